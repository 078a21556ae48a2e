/** Pools of Python workers whose size follows the load, as those of JavaScript workers do: manager-demand.test.ts. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { type Managed, serveManaged, stopManagers, untilGone } from "../support/e2e/supervised.ts";
import { repositoryRoot } from "../support/paths.ts";
import { PYTHON } from "../support/python/python.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

const TIMEOUT_MS = patience(60_000);

beforeAll(built);
afterEach(stopManagers);

function serve(...flags: string[]): Promise<Managed> {
  const folder = temporaryFolder("pd");
  copyFileSync(join(repositoryRoot, "test", "support", "python", "faulty.py"), join(folder, "faulty.py"));
  const address = `unix:${join(folder, "a.sock")}`;
  const args = ["serve", "faulty:app", "--bind", address, "--python", PYTHON, ...flags];
  return serveManaged({ args, address, cwd: folder });
}

describeWithServer("python", "a pool of Python workers", () => {
  it(
    "on demand has none until somebody asks, none after a while, and one again",
    async () => {
      const managed = await serve(
        ...["--pm", "ondemand", "--max-children", "2", "--process-idle-timeout", "1s"],
      );
      expect(await managed.workers()).toEqual([]);
      const pids: number[] = [];
      for (let round = 0; round < 3; round++) {
        const answer = await managed.get("/");
        expect(answer.status).toBe(200);
        pids.push(Number(answer.text));
        await untilGone([pids.at(-1)!], managed.log);
        await managed.until("no worker", ({ pools: [pool] }) => pool?.workers.length === 0);
      }
      expect(new Set(pids).size).toBe(3);
      expect(managed.log().match(/reason=idle/g)).toHaveLength(3);
      // In the moment in which its worker leaves, too.
      const from = managed.process.lines.length;
      await managed.get("/");
      await managed.line(/draining a worker.* reason=idle/, from);
      expect((await managed.get("/")).status).toBe(200);
      expect((await managed.pool()).workersCrashed).toBe(0);
    },
    TIMEOUT_MS,
  );

  it(
    "that is dynamic grows while all threads of all workers are busy, and shrinks when they are not",
    async () => {
      const spare = ["--start-servers", "1", "--min-spare-servers", "1", "--max-spare-servers", "1"];
      const managed = await serve("--pm", "dynamic", "--max-children", "3", "--threads", "2", ...spare);
      const until = join(temporaryFolder("u"), "now");
      const held: Promise<{ status: number; text: string }>[] = [];
      for (let busy = 1; busy <= 3; busy++) {
        const there = Math.min(busy + 1, 3);
        // Whichever worker takes them: asked for until so many are busy with all their threads.
        await managed.until(`${busy} busy workers of ${there}`, ({ pools: [pool] }) => {
          const workers = pool?.workers ?? [];
          const open = workers.reduce((sum, { concurrency }) => sum + (concurrency ?? 0), 0);
          const isBusy = workers.filter((worker) => worker.isBusy).length >= busy;
          if (!isBusy && open === held.length) held.push(managed.get(`/wait?until=${until}`));
          return isBusy && workers.length === there;
        });
      }
      await managed.until("a full pool", ({ pools: [pool] }) => (pool?.maxChildrenReached ?? 0) >= 1);
      const waiting = managed.get(`/wait?until=${until}`); // for whichever thread is free first
      writeFileSync(until, "");
      for (const { status, text } of await Promise.all([...held, waiting]))
        expect(`${status} ${text}`).toBe("200 waited");
      await managed.until("one worker", ({ pools: [pool] }) => pool?.workers.length === 1);
      expect(managed.log()).toContain("reason=surplus");
      expect((await managed.pool()).lostRequests).toBe(0);
    },
    TIMEOUT_MS,
  );
});

/** Pools whose size follows the load: none until somebody asks, and more while all are busy. */
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type TestManager, withManager } from "../support/e2e/manager.ts";
import { ask } from "../support/e2e/service.ts";

const TIMEOUT_MS = 120_000;

/** Answers with its pid. */
const WHO = (): string => "export default (req, res) => res.end(String(process.pid));\n";

/** Answers when a file is there. */
const heldUntil = (file: string): string => `
import { existsSync } from "node:fs";
export default (req, res) => {
  const timer = setInterval(() => {
    if (!existsSync(${JSON.stringify(file)})) return;
    clearInterval(timer);
    res.end("released");
  }, 20);
};
`;

function addressOf(manager: TestManager): string {
  return `unix:${manager.socket}`;
}

function hasNone({ workers }: { workers: readonly unknown[] }): boolean {
  return workers.length === 0;
}

describe("An ondemand pool", () => {
  const flags = ["--pm", "ondemand", "--max-children", "2", "--process-idle-timeout", "1s"];

  it(
    "has no worker until somebody asks, none after a while, and one again, on one socket",
    async () => {
      await withManager({ program: WHO, flags }, async (manager) => {
        const { ino } = statSync(manager.socket);
        expect(await manager.workers()).toEqual([]);
        const pids = new Set<string>();
        for (let round = 0; round < 3; round++) {
          pids.add(await ask(addressOf(manager)));
          await manager.waitForPool(hasNone, "the idle worker to be gone");
        }
        expect(pids.size).toBe(3);
        expect(manager.log().match(/reason=idle/g)).toHaveLength(3);
        expect(statSync(manager.socket).ino).toBe(ino);
        expect((await manager.pool()).workersCrashed).toBe(0);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "answers who comes in the moment in which its worker leaves",
    async () => {
      await withManager({ program: WHO, flags }, async (manager) => {
        for (let round = 0; round < 4; round++) {
          const pid = await ask(addressOf(manager));
          await manager.waitForLog(new RegExp(`draining a worker.*pid=${pid} reason=idle`));
          expect(await ask(addressOf(manager))).toMatch(/^\d+$/);
        }
      });
    },
    TIMEOUT_MS,
  );

  it(
    "starts one worker after another while its applications fail, and answers when one does not",
    async () => {
      const broken = (): string => 'throw new Error("not yet");\n';
      await withManager({ program: broken, flags }, async (manager) => {
        const answer = ask(addressOf(manager));
        await manager.waitForLog(/not yet/);
        manager.deploy(WHO());
        expect(await answer).toMatch(/^\d+$/);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "is reloaded while it has no worker, and refuses what does not start",
    async () => {
      await withManager({ program: WHO, flags }, async (manager) => {
        manager.deploy('throw new Error("no good");\n');
        const refused = await manager.reload();
        expect(refused).toMatchObject({ ok: false, message: expect.stringContaining("no good") as string });
        manager.deploy('export default (req, res) => res.end("anew");\n');
        expect(await manager.reload()).toMatchObject({ ok: true });
        expect(await ask(addressOf(manager))).toBe("anew");
      });
    },
    TIMEOUT_MS,
  );
});

describe("A dynamic pool", () => {
  it(
    "grows while all are busy, to maxChildren, and shrinks when they are not",
    async () => {
      const flags = ["--pm", "dynamic", "--max-children", "4", "--start-servers", "1"];
      flags.push("--min-spare-servers", "1", "--max-spare-servers", "1", "--max-concurrency", "1");
      const release = (folder: string): string => join(folder, "release");
      const program = (folder: string): string => heldUntil(release(folder));
      await withManager({ program, flags }, async (manager) => {
        expect(await manager.workers()).toHaveLength(1);
        const held: Promise<string>[] = [];
        for (let busy = 1; busy <= 4; busy++) {
          // One after the other: two that arrive at once may both go to one worker, and wait there.
          held.push(ask(addressOf(manager)));
          held.at(-1)!.catch(() => {}); // looked at below
          const there = Math.min(busy + 1, 4);
          await manager.waitForPool(
            ({ workers }) =>
              workers.length === there && workers.filter(({ isBusy }) => isBusy).length === busy,
            `${busy} busy workers of ${there}`,
          );
        }
        await manager.waitForPool((pool) => pool.maxChildrenReached === 1, "the pool to be full");
        writeFileSync(release(manager.folder), "");
        expect(await Promise.all(held)).toEqual(held.map(() => "released"));
        await manager.waitForPool(({ workers }) => workers.length === 1, "the spare workers to be gone");
        expect(await ask(addressOf(manager))).toBe("released");
        expect(manager.log()).toContain("reason=surplus");
        expect((await manager.pool()).lostRequests).toBe(0);
      });
    },
    TIMEOUT_MS,
  );
});

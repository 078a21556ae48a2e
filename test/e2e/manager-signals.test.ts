/** Signals, drain and exit codes: every row of the tables in docs/signals.md is tried on a real manager. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import {
  CLI,
  deploy,
  descendantsOf,
  get,
  type Managed,
  outcome,
  PATIENT,
  serveApp,
  serveManaged,
  startManager,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { readDocument } from "../support/markdown.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor, waitForFileLine, within } from "../support/wait.ts";

const CLEAN = { code: 0, signal: null };

beforeAll(built);
afterEach(stopManagers);

/** The tests of a table of docs/signals.md, by the text of its first column. */
function testRows(heading: string, tests: Readonly<Record<string, () => Promise<void>>>): void {
  describe(heading, () => {
    const rows = rowsOf(heading);
    for (const row of rows) {
      const test = tests[row];
      it(row, test ?? (() => Promise.reject(new Error(`docs/signals.md: nobody tests the row "${row}"`))));
    }
    it("has no test for what the document does not say", () => {
      expect(rows).toEqual(expect.arrayContaining(Object.keys(tests)));
      expect(rows.length).toBeGreaterThan(2);
    });
  });
}

function rowsOf(heading: string): string[] {
  const { text } = readDocument("docs/signals.md");
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const lines = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(2).map((line) => line.split(" | ")[0]!.slice(2).replaceAll("`", ""));
}

/** The manager has ended in good order, and nothing it started is left. */
async function endsClean(managed: Managed, pids: readonly number[]): Promise<void> {
  expect(await within(managed.process.exited, 40_000, "the manager to end")).toEqual(CLEAN);
  await untilGone(pids, managed.log);
  expect(existsSync(managed.control)).toBe(false);
  expect(existsSync(managed.address.slice("unix:".length))).toBe(false);
}

/** The release that answers, from `get`. */
async function releaseOf(managed: Managed): Promise<unknown> {
  return (await managed.get("/")).json()["release"];
}

testRows("Signals to the manager", {
  async "TERM, INT, QUIT"() {
    const deployment = deploy();
    await Promise.all(
      (["SIGTERM", "SIGINT", "SIGQUIT"] as const).map(async (signal) => {
        const managed = await serveApp(deployment, "--workers", "2");
        const pids = descendantsOf(managed.process.pid);
        const open = await managed.openRequest();
        managed.process.signal(signal);
        await managed.line(/ stopping workers=2/);
        // Nobody listens any more: the web server's next attempt goes elsewhere at once.
        await waitFor(() => !existsSync(managed.address.slice(5)), PATIENT);
        expect(await outcome(managed.get("/"))).toMatch(/^failed/);
        open.finish();
        expect(await open.answer).toBe(`200 waited in ${open.pid}`);
        await endsClean(managed, pids);
      }),
    );
  },

  async "a second one of these"() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const pids = descendantsOf(managed.process.pid);
    const open = await managed.openRequest();
    managed.process.signal("SIGTERM");
    await managed.line(/ stopping workers=1/);
    managed.process.signal("SIGINT");
    expect(await open.answer).toMatch(/^failed/);
    await endsClean(managed, pids);
    expect(managed.log()).toMatch(
      /request lost with its worker: GET \/wait\?until=\S+ .*client=203\.0\.113\.9/,
    );
  },

  async "the same one again within 250 ms"() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const open = await managed.openRequest();
    managed.process.signal("SIGTERM");
    managed.process.signal("SIGTERM");
    await managed.line(/ stopping workers=1/);
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    expect(await managed.process.exited).toEqual(CLEAN);
  },

  async "HUP, USR2"() {
    const deployment = deploy();
    const managed = await serveApp(deployment, "--workers", "2");
    for (const [signal, release] of [
      ["SIGHUP", "two"],
      ["SIGUSR2", "three"],
    ] as const) {
      const open = await managed.openRequest();
      const from = managed.process.lines.length;
      deployment.release(release);
      managed.process.signal(signal);
      await managed.line(/ reloaded pool=/, from);
      await managed.until("the old generation to be at its last request", ({ pools }) => {
        const old = pools[0]?.workers.filter((worker) => worker.generation < (pools[0]?.generation ?? 0));
        return old?.length === 1 && old[0]?.stage === "draining" && old[0].pid === open.pid;
      });
      // The old one was told, and may not have heard yet.
      await waitFor(async () => (await releaseOf(managed)) === release, PATIENT);
      open.finish();
      expect(await open.answer).toBe(`200 waited in ${open.pid}`);
      await untilGone([open.pid], managed.log);
    }
    const from = managed.process.lines.length;
    deployment.release("throws");
    managed.process.signal("SIGHUP");
    await managed.line(/reload failed, the old workers go on: .*no database/, from);
    expect(await releaseOf(managed)).toBe("three");
    expect((await managed.status()).lastReloadError).toMatch(/no database/);
  },

  async USR1() {
    const log = join(temporaryFolder("log"), "test.log");
    const slowlog = `${log}.slow`;
    const deployment = deploy();
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const files = ["--log-file", log, "--slowlog", slowlog];
    const managed = startManager({ args: ["serve", deployment.app, "--bind", address, ...files], address });
    await waitForFileLine(log, / listening for FastCGI pool=/, PATIENT);
    for (const file of [log, slowlog]) renameSync(file, `${file}.1`);
    managed.process.signal("SIGUSR1");
    await waitForFileLine(log, / log reopened/, PATIENT);
    await waitFor(() => existsSync(slowlog), PATIENT);
    await managed.get("/print?text=after");
    await waitForFileLine(log, / after$/m, PATIENT);
    expect(readFileSync(`${log}.1`, "utf8")).not.toMatch(/after$/m);
    // Not to the workers, where it opens Node's debugger.
    expect(readFileSync(log, "utf8")).not.toMatch(/Debugger/);
  },

  async TTIN() {
    const managed = await serveApp(deploy(), "--workers", "1");
    managed.process.signal("SIGTTIN");
    await managed.until("two ready workers", readyWorkers(2));
  },

  async TTOU() {
    const managed = await serveApp(deploy(), "--workers", "2");
    const open = await managed.openRequest();
    managed.process.signal("SIGTTOU");
    await managed.until("one ready worker", readyWorkers(1));
    managed.process.signal("SIGTTOU");
    await managed.line(/ scaled pool=\S+ maxChildren=1/, managed.process.lines.length);
    expect((await managed.get("/")).status).toBe(200);
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
  },

  async KILL() {
    const deployment = deploy();
    const managed = await serveApp(deployment, "--workers", "2");
    const pids = descendantsOf(managed.process.pid);
    const open = await managed.openRequest();
    managed.process.signal("SIGKILL");
    await untilGone(pids.filter((pid) => pid !== open.pid && isWorker(pid)));
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    await untilGone(pids);
  },
});

function isWorker(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("postern: worker");
  } catch {
    return false;
  }
}

function readyWorkers(count: number) {
  return ({ pools }: Awaited<ReturnType<Managed["status"]>>): boolean =>
    pools[0]?.workers.filter(({ stage }) => stage === "ready").length === count;
}

testRows("Signals to a worker", {
  async TERM() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const open = await managed.openRequest();
    process.kill(open.pid, "SIGTERM");
    await managed.line(/ a worker was sent TERM/);
    // The only worker drains, and is not waited for.
    const answer = await managed.get("/");
    expect(answer.status).toBe(200);
    expect(answer.json()["pid"]).not.toBe(open.pid);
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    await managed.line(/ worker ended: exit code 0 /);
    const pool = await managed.pool();
    expect([pool.workersCrashed, pool.lostRequests]).toEqual([0, 0]);
  },

  async "INT, HUP, QUIT"() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const { pid } = (await managed.get("/")).json() as { pid: number };
    for (const signal of ["SIGINT", "SIGHUP", "SIGQUIT"] as const) process.kill(pid, signal);
    // Handled in order: what comes after has found it alive.
    const open = await managed.openRequest();
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${pid}`);
  },

  async USR1() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const { pid } = (await managed.get("/")).json() as { pid: number };
    process.kill(pid, "SIGUSR1");
    await managed.line(/Debugger listening on ws:\/\/127\.0\.0\.1:\d+/);
    expect((await managed.get("/")).json()["pid"]).toBe(pid);
  },

  async KILL() {
    const managed = await serveApp(deploy(), "--workers", "1");
    const open = await managed.openRequest();
    process.kill(open.pid, "SIGKILL");
    expect(await open.answer).toMatch(/^failed/);
    expect((await managed.get("/")).status).toBe(200);
    await managed.line(
      new RegExp(`worker ended unexpectedly: signal SIGKILL .*pid=${open.pid} .*lostRequests=1`),
    );
    await managed.line(
      /request lost with its worker: GET \/wait\?until=\S+ .*client=203\.0\.113\.9 afterMs=\d+/,
    );
    const pool = await managed.pool();
    expect([pool.workersCrashed, pool.lostRequests]).toEqual([1, 1]);
  },
});

testRows("How long an end may take", {
  async drainDelay() {
    const flags = ["--workers", "2", "--drain-delay", "3s", "--ping-path", "/ping"];
    const managed = await serveApp(deploy(), ...flags);
    expect((await managed.get("/ping")).text).toBe("pong");
    managed.process.signal("SIGTERM");
    const seen: string[] = [];
    await waitFor(async () => {
      const page = await outcome(managed.get("/"));
      const ping = await outcome(managed.get("/ping"));
      if (page.startsWith("failed")) return true;
      seen.push(`${page.slice(0, 3)} ${ping.slice(0, 3)}`);
      return ping.startsWith("failed");
    }, PATIENT);
    expect(seen).toContain("200 503");
    expect(seen.filter((one) => /^503/.test(one))).toEqual([]);
    expect(await managed.process.exited).toEqual(CLEAN);
  },

  async drainTimeout() {
    const managed = await serveApp(deploy(), "--workers", "1", "--drain-timeout", "500ms");
    const open = await managed.openRequest();
    managed.process.signal("SIGTERM");
    expect(await open.answer).toMatch(/^(failed|502|503)/);
    expect(await managed.process.exited).toEqual(CLEAN);
    // Which ones, not only how many.
    expect(managed.log()).toMatch(/cut.*GET \/wait\?until=\S+.*client=203\.0\.113\.9/);
  },

  async "no end yet"() {
    // A program that makes nothing of the first TERM, and obeys the second.
    const twice = "n=0; trap 'n=$((n+1)); [ $n -lt 2 ] || exit 0' TERM; while :; do sleep 0.1; done";
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const args = ["spawn", "--bind", address, "--drain-timeout", "200ms", "--", "/bin/sh", "-c", twice];
    const managed = await serveManaged({ args, address });
    managed.process.signal("SIGTERM");
    await managed.line(/did not end within its drainTimeout of 200 ms: TERM, then KILL/);
    await managed.line(/ worker ended: exit code 0 /);
    expect(await managed.process.exited).toEqual(CLEAN);
  },

  async "still no end"() {
    const managed = await serveApp(deploy(), "--workers", "1", "--drain-timeout", "200ms");
    const answer = outcome(managed.get("/loop"));
    await managed.line(/looping in/);
    const pids = descendantsOf(managed.process.pid);
    managed.process.signal("SIGTERM");
    await managed.line(/did not end within its drainTimeout of 200 ms: TERM, then KILL/);
    expect(await answer).toMatch(/^failed/);
    await endsClean(managed, pids);
    expect(managed.log()).toMatch(/request lost with its worker: GET \/loop/);
  },
});

describe("When the manager is killed", () => {
  /** One manager, killed with a worker that drains, one that stands still, and a program in another language. */
  it("leaves nothing behind but its socket files, and the next one takes these over", async () => {
    const folder = temporaryFolder("k");
    const { app } = deploy();
    const at = (name: string): string => `unix:${join(folder, `${name}.sock`)}`;
    const config = {
      drainTimeout: "1s",
      pools: {
        drains: { app, bind: at("drains") },
        stuck: { app, bind: at("stuck") },
        other: { command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"], bind: at("other") },
      },
    };
    const file = join(folder, "postern.config.json");
    writeFileSync(file, JSON.stringify(config));
    const managed = await serveManaged({ args: ["serve", "--config", file], address: at("drains") });
    const pids = descendantsOf(managed.process.pid);
    expect(pids.length).toBeGreaterThanOrEqual(4); // three workers and the guardian
    const open = await managed.openRequest();
    const stuck = outcome(get(at("stuck"), "/loop"));
    await managed.line(/looping in/);
    managed.process.signal("SIGKILL");
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    await untilGone(pids);
    expect(await stuck).toMatch(/^failed/);
    expect(existsSync(join(folder, "drains.sock"))).toBe(true);

    const control = ["--control-socket", managed.control];
    const again = await serveManaged({
      args: ["serve", "--config", file, ...control],
      address: at("drains"),
    });
    expect((await again.get("/")).status).toBe(200);
    const rows = ["a worker", "a worker whose event loop stands still", "a program in another language"];
    expect(rowsOf("When the manager is killed")).toEqual([...rows, "the socket files"]);
  });
});

testRows("Exit codes", {
  async "0"() {
    const managed = await serveApp(deploy());
    expect((await managed.cli("scale", "2")).code).toBe(0);
    expect((await managed.cli("stop")).code).toBe(0);
    expect(await managed.process.exited).toEqual(CLEAN);
  },

  async "1"() {
    const deployment = deploy();
    const managed = await serveApp(deployment);
    deployment.release("throws");
    const reload = await managed.cli("reload");
    expect(reload.stderr).toMatch(
      /^postern: the reload failed and the old workers go on serving\n[\s\S]*no database/,
    );
    expect(reload.code).toBe(1);
  },

  async "2"() {
    expect(await failsToStart(["--bind", "9000"])).toMatchObject({ code: 2 });
    expect(await failsToStart(["--bind", "unix:x.sock", "--workers", "many"])).toMatchObject({ code: 2 });
    const user = ["--user", "nobody-at-all"];
    expect(await failsToStart(["--bind", "unix:x.sock", ...user])).toMatchObject({ code: 2 });
    const nobody = await run(process.execPath, [CLI, "reload", "--control", join(temporaryFolder("n"), "x")]);
    expect(nobody.code).toBe(2);
  },

  async "3"() {
    expect(await failsToStart(["--bind", "unix:x.sock"], "dies")).toMatchObject({ code: 3 });
  },

  async "4"() {
    const thrown = await failsToStart(["--bind", "unix:x.sock", "--workers", "2"], "throws");
    expect(thrown.code).toBe(4);
    expect(thrown.stderr).toMatch(/\npostern: .*app\.js could not be loaded:\nError: no database\n/);
    for (const release of ["exits", "awaits"]) {
      const ended = await failsToStart(["--bind", "unix:x.sock"], release);
      expect(ended.stderr).toMatch(/^postern: application \S+: the process ended while it was being loaded/m);
      expect(ended.code).toBe(4);
    }
    const slow = await failsToStart(["--bind", "unix:x.sock", "--ready-timeout", "1s"], "waits");
    expect(slow.code).toBe(4);
    expect(slow.stderr).toMatch(/\npostern: the application was not ready within 1000 ms \(readyTimeout\)/);
  },
});

/** `postern serve` with these flags, which ends by itself and leaves nothing. */
async function failsToStart(flags: readonly string[], release = "one") {
  const { app, folder } = deploy(release);
  const cwd = temporaryFolder("f");
  const control = join(cwd, "c.sock");
  const args = [CLI, "serve", app, "--name", "test", "--control-socket", control, ...flags];
  const finished = await run(process.execPath, args, { cwd, timeoutMs: 30_000 });
  expect(finished.stdout).toBe("");
  for (const file of [control, join(cwd, "x.sock"), join(folder, "x.sock")])
    expect(existsSync(file)).toBe(false);
  return finished;
}

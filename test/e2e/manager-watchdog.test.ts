/** Supervision: what becomes of workers that crash, do not start, grow, or stand still; and what the log says of it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { renderStatus } from "../../src/status/render.ts";
import { built } from "../support/e2e/built.ts";
import {
  deploy,
  outcome,
  PATIENT,
  serveApp,
  startManager,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { isAlive } from "../support/proc.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor, waitForFileLine } from "../support/wait.ts";

beforeAll(built);
afterEach(stopManagers);

it("waits longer and longer while workers crash in a row, shows until when, and recovers", async () => {
  const deployment = deploy();
  const managed = await serveApp(deployment, "--workers", "1");
  deployment.release("throws");
  const { pid } = (await managed.get("/")).json() as { pid: number };
  process.kill(pid, "SIGKILL");
  const status = await managed.until("a start that is held back", (now) => {
    const [pool] = now.pools;
    return pool?.nextStartAt !== undefined && pool.workersCrashed >= 4 && now;
  });
  const { workersStarted, workersCrashed } = status.pools[0]!;
  expect(workersStarted).toBeLessThanOrEqual(workersCrashed + 1);
  // What `postern status` would have said at that moment, with the reason.
  const shown = renderStatus(status, { width: 100 });
  expect(shown).toMatch(/the next is started in \d+ m?s|the next is started in [\d.]+ s/);
  expect(managed.log()).toMatch(/worker ended before it was ready: exit code 4[\s\S]*Error: no database/);
  // Nobody is refused meanwhile: the connection waits in the backlog.
  const answer = outcome(managed.get("/"));
  deployment.release("two");
  expect(await answer).toMatch(/^200 .*"release":"two"/);
});

it("ends a worker that is not ready in time during a reload, and the old one goes on", async () => {
  const deployment = deploy();
  const managed = await serveApp(deployment, "--workers", "1", "--ready-timeout", "2s");
  deployment.release("waits");
  const { code, stderr } = await managed.cli("reload");
  expect(code).toBe(1);
  expect(stderr).toMatch(/the application was not ready within 2000 ms \(readyTimeout\)/);
  expect((await managed.get("/")).json()["release"]).toBe("one");
  expect((await managed.workers()).map(({ generation }) => generation)).toEqual([1]);
});

it("stops without waiting for an application that is still being loaded", async () => {
  const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
  const args = [
    "serve",
    deploy("waits").app,
    "--bind",
    address,
    "--drain-timeout",
    "0",
    "--ready-timeout",
    "0",
  ];
  const managed = startManager({ args, address });
  await managed.line(/ loading$/);
  managed.process.signal("SIGTERM");
  expect(await managed.process.exited).toEqual({ code: 0, signal: null });
  expect(existsSync(address.slice(5))).toBe(false);
});

it("replaces a worker that has grown beyond maxMemory, without losing its requests", async () => {
  const managed = await serveApp(deploy(), "--workers", "1", "--max-memory", "200M");
  const open = await managed.openRequest();
  expect((await managed.get("/grow?mebibytes=220")).text).toBe("grown");
  await managed.line(new RegExp(`draining a worker .*pid=${open.pid} reason=maxMemory`));
  // It hears of it a moment later.
  await waitFor(async () => (await managed.get("/")).json()["pid"] !== open.pid, PATIENT);
  open.finish();
  expect(await open.answer).toBe(`200 waited in ${open.pid}`);
  await untilGone([open.pid], managed.log);
});

it("answers 504 for a request beyond requestTerminateTimeout that waits, and its worker lives on", async () => {
  const managed = await serveApp(deploy(), "--workers", "1", "--request-terminate-timeout", "1s");
  const { pid } = (await managed.get("/")).json() as { pid: number };
  expect((await managed.get("/never")).status).toBe(504);
  expect((await managed.get("/")).json()["pid"]).toBe(pid);
  await managed.line(
    /not answered within 1000 ms: answered 504 .*method=GET url=\/never client=203\.0\.113\.9/,
  );
});

it("replaces a worker whose request beyond requestTerminateTimeout computes without end", async () => {
  const managed = await serveApp(deploy(), "--workers", "1", "--request-terminate-timeout", "1s");
  const answer = outcome(managed.get("/loop?forever"));
  const [, pid] = await managed.line(/looping in (\d+)/);
  expect(await answer).toMatch(/^failed/);
  expect((await managed.get("/")).json()["pid"]).not.toBe(Number(pid));
  expect(managed.log()).toMatch(/request in the stuck worker: GET \/loop\?forever .*client=203\.0\.113\.9/);
});

it("logs where a stuck worker stands, with its request, and replaces it", async () => {
  const managed = await serveApp(deploy(), "--workers", "1", "--max-loop-delay", "3s");
  const waiting = await managed.openRequest();
  const answer = outcome(managed.get("/loop"));
  await managed.line(/looping in/);
  // Not what waits in the same worker alone: both are in it, and both are lost.
  expect(await answer).toMatch(/^failed/);
  expect(await waiting.answer).toMatch(/^failed/);
  const text = managed.log();
  expect(text).toMatch(/event loop of a worker has stood still for \d+\.\d s: it is replaced .*pid=\d+/);
  expect(text).toMatch(/request in the stuck worker: GET \/loop .*client=203\.0\.113\.9/);
  expect(text).toMatch(/request in the stuck worker: GET \/wait\?until=/);
  expect(text).toMatch(/ {4}at endlessLoop \(\/\S+\/app\.js:\d+:\d+\)/);
  expect(text).toMatch(/ {4}at (?:Server\.)?handle \(\/\S+\/app\.js:\d+:\d+\)/);
  // It was logged before it was killed.
  const ended = await managed.until("its end", ({ pools: [pool] }) => pool?.workersCrashed === 1 && pool);
  expect(ended.lostRequests).toBe(2);
  expect((await managed.get("/")).status).toBe(200);
  expect(isAlive(waiting.pid)).toBe(false);
});

it("writes slow requests to the slow log: with the stack while it computes, and the worker lives on", async () => {
  const slowlog = join(temporaryFolder("slow"), "slow.log");
  const flags = ["--request-slowlog-timeout", "1s", "--slowlog", slowlog];
  const managed = await serveApp(deploy(), "--workers", "1", ...flags);
  const answer = managed.get("/loop?seconds=6");
  await waitForFileLine(slowlog, /^\S+ warn {2}.*stood still for/m, PATIENT);
  expect((await answer).text).toBe("looped");
  const text = readFileSync(slowlog, "utf8");
  expect(text).toMatch(/slow request: GET \/loop\?seconds=6 .*client=203\.0\.113\.9/);
  expect(text).toMatch(/ {4}at busyFor \(\/\S+\/app\.js:\d+:\d+\)/);

  // One that only waits has no stack worth showing; it is named all the same.
  const open = await managed.openRequest();
  await waitForFileLine(
    slowlog,
    /slow request: it takes longer than 1000 ms .*url="?\/wait\?until=/,
    PATIENT,
  );
  open.finish();
  expect(await open.answer).toMatch(/^200/);
  // Workers give account once a second.
  await managed.until("two slow requests", ({ pools }) => pools[0]?.slowRequests === 2);
  expect((await managed.pool()).workersStarted).toBe(1);
  expect(managed.log()).not.toMatch(/slow request/);
});

it("lists the requests of a worker in the status while it stands still", async () => {
  const managed = await serveApp(deploy(), "--workers", "1");
  const answer = outcome(managed.get("/loop"));
  const [, pid] = await managed.line(/looping in (\d+)/);
  const worker = await managed.until("the request of the stuck worker", ({ pools }) => {
    const one = pools[0]?.workers[0];
    return one?.current.length === 1 && one;
  });
  expect(worker).toMatchObject({ current: [{ method: "GET", url: "/loop", client: "203.0.113.9" }] });
  expect((await managed.cli("status")).stdout).toMatch(/GET \/loop 203\.0\.113\.9/);
  process.kill(Number(pid), "SIGKILL");
  expect(await answer).toMatch(/^failed/);
  await managed.line(/request lost with its worker: GET \/loop .*client=203\.0\.113\.9/);
});

it("recycles workers after maxRequests, and loses nothing", async () => {
  const managed = await serveApp(deploy(), "--workers", "1", "--max-requests", "20");
  const answers: string[] = [];
  const pids = new Set<unknown>();
  while (pids.size < 3) {
    const answer = await managed.get("/");
    answers.push(String(answer.status));
    pids.add(answer.json()["pid"]);
  }
  expect(new Set(answers)).toEqual(new Set(["200"]));
  expect(managed.log()).toMatch(/draining a worker .*reason=maxRequests/);
  expect((await managed.pool()).workersCrashed).toBe(0);
  expect(existsSync(managed.address.slice(5))).toBe(true);
});

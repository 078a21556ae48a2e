/** The stack of workers that are stuck in all the ways JavaScript can be stuck. With real processes. */

import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { InspectorUrl } from "../../../src/manager/inspector.ts";
import { captureLines } from "../../../src/manager/output.ts";
import { type Stack, stackOf } from "../../../src/manager/watchdog.ts";
import { type Running, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, waitFor } from "../../support/wait.ts";

/** Long: how quick it is, is not what is tested. */
const DEADLINE_MS = 20_000;
const PATIENTLY = { timeout: patience(60_000) };

interface StuckWorker extends Running {
  readonly inspector: InspectorUrl;
  /** What would have been logged of its stderr. */
  readonly logged: string[];
  /** What the inspector printed. */
  readonly chatter: string[];
  /** Makes `isReleased()` true in it. */
  release(): void;
}

/** Starts a worker, which runs `code` in a function `handler` as soon as it gets a line on stdin, and waits for that. */
async function startStuck(code: string, before = ""): Promise<StuckWorker> {
  const file = join(temporaryFolder(), "app.mjs");
  writeFileSync(
    file,
    `${before}
import { existsSync } from "node:fs";
function isReleased() { return existsSync(${JSON.stringify(`${file}.go`)}); }
function handler() {
  ${code}
  console.log("free");
}
process.stdin.once("data", () => { console.log("stuck"); handler(); });
process.stdin.on("data", () => console.log("works on"));
console.log("ready");`,
  );
  const worker = start(process.execPath, ["--inspect-port=127.0.0.1:0", file], { stdin: "pipe" });
  const inspector = new InspectorUrl();
  const logged: string[] = [];
  const chatter: string[] = [];
  if (worker.child.stderr !== null) {
    captureLines(worker.child.stderr, (line) => (inspector.offer(line) ? chatter : logged).push(line));
  }
  await worker.waitForLine(/^ready$/, { timeoutMs: 30_000 });
  worker.child.stdin?.write("go\n");
  await worker.waitForLine(/^stuck$/);
  const release = (): void => writeFileSync(`${file}.go`, "");
  return Object.assign(worker, { inspector, logged, chatter, release });
}

/** Its stack, read again until `pattern` is in it: a worker says that it is stuck a moment before it is. */
async function mustHaveStack(worker: StuckWorker, pattern = /handler/, depth = 20): Promise<Stack> {
  return waitFor(
    async () => {
      const why: string[] = [];
      const explain = (text: string): void => void why.push(text);
      const stack = await stackOf(worker, { deadlineMs: DEADLINE_MS, depth, explain });
      if (stack === undefined) throw new Error(`no stack: ${why}\n${worker.output()}`);
      return pattern.test(stack.frames.join("\n")) && stack;
    },
    { timeoutMs: DEADLINE_MS, what: `a stack with ${pattern}`, evidence: () => worker.output() },
  );
}

function isListening(url: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url ?? "").port), "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

describe("a worker that is stuck in", PATIENTLY, () => {
  const cases: readonly [what: string, code: string][] = [
    ["an endless loop", "for (;;);"],
    ["a regular expression", '/^(a+)+$/.test("a".repeat(60) + "b");'],
    ["JSON of many lines", "for (;;) lines.map((line) => JSON.parse(line));"],
    ["Atomics.wait", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);"],
    ["promises that never let go", "const again = () => Promise.resolve().then(again); again(); return;"],
  ];
  for (const [what, code] of cases) {
    it(`${what} shows where`, async () => {
      await using worker = await startStuck(code, 'const lines = Array(1000).fill("[1]");');
      const { frames } = await mustHaveStack(worker, /(?:handler|again) \(\/.*\/app\.mjs:\d+:\d+\)/);
      expect(frames.length).toBeGreaterThan(0);
      await worker.stop({ signal: "SIGKILL" });
    });
  }

  it("one long built-in call shows nothing, and says so", async () => {
    await using worker = await startStuck(
      'execSync("echo waits >&2; sleep 60", { stdio: "inherit" });',
      'import { execSync } from "node:child_process";',
    );
    await waitFor(() => worker.logged.includes("waits"));
    const why: string[] = [];
    expect(await stackOf(worker, { deadlineMs: 300, explain: (text) => why.push(text) })).toBeUndefined();
    expect(why).toEqual([expect.stringContaining("it is in one long built-in call, such as execSync")]);
    await worker.stop({ signal: "SIGKILL" });
  });
});

describe("the stack", PATIENTLY, () => {
  it("names functions, files and lines, innermost first, as deep as asked for", async () => {
    await using worker = await startStuck(
      "outer();",
      "function outer() { inner(); }\nfunction inner() {\n for (;;);\n}",
    );
    const { frames } = await mustHaveStack(worker, /^inner/, 3);
    expect(frames).toEqual([
      expect.stringMatching(/^inner \(\/.*\/app\.mjs:3:\d+\)$/),
      expect.stringMatching(/^outer \(\/.*\/app\.mjs:1:\d+\)$/),
      expect.stringMatching(/^handler \(\/.*\/app\.mjs:8:\d+\)$/),
      expect.stringMatching(/^… \d+ more$/),
    ]);
    await worker.stop({ signal: "SIGKILL" });
  });

  it("of a worker that only waits has no frames", async () => {
    await using worker = await startStuck("");
    await worker.waitForLine(/^free$/);
    expect(await mustHaveStack(worker, /^$/)).toEqual({ frames: [], requests: undefined });
  });

  it("is not what the application makes of stacks", async () => {
    const before = "Error.prepareStackTrace = () => 5; Error.stackTraceLimit = 0;";
    await using worker = await startStuck("for (;;);", before);
    expect((await mustHaveStack(worker)).frames.join("\n")).toMatch(/^handler \(/m);
    await worker.stop({ signal: "SIGKILL" });
  });

  it("comes with the requests the worker was working on, however hostile", async () => {
    const list = `globalThis[Symbol.for("postern.requests")] = () => [
      { method: "GET", url: "/slow?\\n", client: "192.0.2.1", startedAt: 5 },
      { method: 1, url: "x".repeat(5000), startedAt: "now" }, null, ...Array(100).fill("x"),
    ];`;
    await using worker = await startStuck("for (;;);", list);
    const { requests } = await mustHaveStack(worker);
    expect(requests).toHaveLength(20);
    expect(requests?.slice(0, 3)).toEqual([
      { method: "GET", url: "/slow?\\x0a", client: "192.0.2.1", startedAt: 5 },
      { method: "", url: `${"x".repeat(2000)}… (3000 more)`, client: "", startedAt: 0 },
      { method: "", url: "", client: "", startedAt: 0 },
    ]);
    await worker.stop({ signal: "SIGKILL" });
  });

  it("comes without requests from a worker that cannot list them", async () => {
    for (const list of ["() => { for (;;); }", "() => { throw new Error('no'); }", "1", "() => 'none'"]) {
      const define = `globalThis[Symbol.for("postern.requests")] = ${list};`;
      await using worker = await startStuck("for (;;);", define);
      expect(await mustHaveStack(worker)).toEqual({ frames: expect.any(Array), requests: undefined });
      await worker.stop({ signal: "SIGKILL" });
    }
  });
});

describe("afterwards", PATIENTLY, () => {
  const untilReleased = "while (!isReleased());";

  it("the worker goes on working, and its inspector is closed again", async () => {
    await using worker = await startStuck(untilReleased);
    await mustHaveStack(worker);
    worker.release();
    await worker.waitForLine(/^free$/);
    worker.child.stdin?.write("again\n");
    await worker.waitForLine(/^works on$/, { from: worker.lines.length });
    await waitFor(async () => !(await isListening(worker.inspector.last)), {
      what: "the inspector to close",
    });
    // Neither does it come back: SIGUSR1 also leaves something in the event loop.
    worker.child.stdin?.write("again\n");
    await worker.waitForLine(/^works on$/, { from: worker.lines.length });
    expect(await isListening(worker.inspector.last)).toBe(false);
    expect(worker.exit).toBeUndefined();
  });

  it("the worker goes on working, also when its list of requests was stopped", async () => {
    const list = 'globalThis[Symbol.for("postern.requests")] = () => { for (;;); };';
    await using worker = await startStuck(untilReleased, list);
    expect((await mustHaveStack(worker)).requests).toBeUndefined();
    worker.release();
    await worker.waitForLine(/^free$/);
    worker.child.stdin?.write("again\n");
    await worker.waitForLine(/^works on$/, { from: worker.lines.length });
    await waitFor(async () => !(await isListening(worker.inspector.last)), {
      what: "the inspector to close",
    });
  });

  it("nothing of it is in the log, except what the worker itself printed", async () => {
    await using worker = await startStuck(
      `console.error("mine"); ${untilReleased} console.error("mine too");`,
    );
    await mustHaveStack(worker);
    worker.release();
    await worker.waitForLine(/^free$/);
    expect(worker.chatter[0]).toMatch(/^Debugger listening on /);
    await waitFor(() => worker.logged.includes("mine too"));
    expect(worker.logged).toEqual(["mine", "mine too"]);
  });

  it("the stack of the same worker can be read again, while it is stuck and after", async () => {
    await using worker = await startStuck(
      `${untilReleased} process.stdin.once("data", () => { console.log("second"); second(); });`,
      "function second() { for (;;); }",
    );
    for (let count = 0; count < 2; count++) {
      expect((await mustHaveStack(worker)).frames.join("\n")).toMatch(/^handler /m);
    }
    worker.release();
    await worker.waitForLine(/^free$/);
    await waitFor(async () => !(await isListening(worker.inspector.last)));
    worker.child.stdin?.write("again\n");
    await worker.waitForLine(/^second$/);
    expect((await mustHaveStack(worker, /^second/m)).frames[0]).toMatch(/^second /);
    await worker.stop({ signal: "SIGKILL" });
  });

  it("a worker that was too late closes its inspector too", async () => {
    await using worker = await startStuck(
      'execSync("echo waits >&2; until [ -e " + process.argv[1] + ".go ]; do sleep 0.02; done", { stdio: "inherit" });',
      'import { execSync } from "node:child_process";',
    );
    await waitFor(() => worker.logged.includes("waits"));
    expect(await stackOf(worker, { deadlineMs: 50 })).toBeUndefined();
    worker.release();
    await worker.waitForLine(/^free$/);
    await waitFor(() => worker.inspector.last !== undefined, { what: "the inspector to open" });
    await waitFor(async () => !(await isListening(worker.inspector.last)), {
      what: "the inspector to close",
    });
    worker.child.stdin?.write("again\n");
    await worker.waitForLine(/^works on$/, { from: worker.lines.length });
    expect(worker.logged).toEqual(["waits"]);
    expect(worker.exit).toBeUndefined();
  });
});

describe("no stack", PATIENTLY, () => {
  it("comes from a worker that is gone", async () => {
    const gone = start("true");
    await gone.exited;
    const why: string[] = [];
    const worker = { pid: gone.pid, inspector: new InspectorUrl() };
    expect(await stackOf(worker, { explain: (text) => why.push(text) })).toBeUndefined();
    expect(why).toEqual(["the worker is gone"]);
  });

  it("comes from something else that listens where the worker says", async () => {
    for (const reply of ["not json", '{"id":1}', "[]", "null", "x".repeat(2 * 1024 * 1024)]) {
      const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
      await new Promise((resolve) => server.once("listening", resolve));
      server.on("connection", (socket) => {
        socket.on("error", () => {});
        socket.on("message", () => socket.send(reply));
      });
      await using worker = start("sh", ["-c", 'trap "" USR1; echo ready; while :; do sleep 0.02; done']);
      await worker.waitForLine(/ready/);
      const inspector = new InspectorUrl();
      const result = stackOf({ pid: worker.pid, inspector }, { deadlineMs: 300 });
      const { port } = server.address() as { port: number };
      inspector.offer(`Debugger listening on ws://127.0.0.1:${port}/01234567-89ab-cdef-0123-456789abcdef`);
      expect(await result).toBeUndefined();
      for (const client of server.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

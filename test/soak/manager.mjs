// `node test/soak/manager.mjs [--minutes 6 --workers 20]`: does the manager keep anything of workers that are gone? One
// manager runs a program in another language and replaces all its workers over and over; beside it another does the
// same with a JavaScript application that is asked without a pause. What both hold is printed every ten seconds. Ends
// with 1 when descriptors, children or timers have grown, when the heap has grown by more than 1 MB and 100 bytes for
// each worker, or when a request was lost. Needs the build (npm run build), and Linux for /proc.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FastCGIClient } from "../../dist/client/index.js";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
/** Code is compiled, caches fill: growth counts from here on. */
const WARM_UP_MS = 40_000;
const PRINT_MS = 10_000;
const HEAP_BYTES = 1_000_000;
const HEAP_BYTES_A_WORKER = 100;

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "6" }, workers: { type: "string", default: "20" } },
});
const endAt = Date.now() + Number(values.minutes) * 60_000;
const folder = mkdtempSync(join(tmpdir(), "postern-soak-"));
let isBad = false;

try {
  await Promise.all([
    soak("sleep", ["spawn", "--max-children", values.workers], ["--", "/bin/sleep", "1000"]),
    soakJavaScript(),
  ]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = isBad ? 1 : 0;

async function soakJavaScript() {
  const app = join(folder, "app.mjs");
  writeFileSync(app, 'export default (req, res) => res.end("hello");\n');
  const load = { answered: 0, failed: 0, isOver: false };
  const clients = [1, 2].map(() => askForEver(`unix:${join(folder, "js.sock")}`, load));
  await soak("js", ["serve", app, "--workers", "2", "--max-requests", "2000"], [], 3000);
  load.isOver = true;
  await Promise.all(clients);
  console.log(`js: ${load.answered} requests answered, ${load.failed} failed`);
  if (load.failed > 0) isBad = true;
}

/** Replaces all workers again and again, and looks at the manager. */
async function soak(name, [command, ...flags], program, pauseMs = 0) {
  const control = join(folder, `${name}.ctl`);
  const bind = `unix:${join(folder, `${name}.sock`)}`;
  const settings = ["--name", name, "--bind", bind, "--control-socket", control, "--log-level", "error"];
  const manager = spawn(
    process.execPath,
    ["--import", probeFile(name), CLI, command, ...flags, ...settings, ...program],
    { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, POSTERN_RUN_DIR: folder } },
  );
  const ended = new Promise((resolve) => manager.once("exit", resolve));
  await until(async () => (await ask(control, "GET", "/status").catch(() => undefined))?.state === "running");
  const warmAt = Date.now() + WARM_UP_MS;
  let first;
  let last;
  let printedAt = 0;
  let failures = 0;
  while (Date.now() < endAt) {
    const outcome = await ask(control, "POST", "/reload", {});
    if (outcome.ok !== true) {
      failures++;
      console.log(`${name}: a reload failed: ${outcome.message}`);
    }
    if (Date.now() - printedAt >= PRINT_MS) {
      printedAt = Date.now();
      last = await look(name, manager.pid, control);
      if (Date.now() >= warmAt) first ??= last;
      console.log(tell(name, last));
    }
    await pause(pauseMs);
  }
  last = await look(name, manager.pid, control);
  console.log(tell(name, last));
  await ask(control, "POST", "/stop", {});
  const code = await ended;
  first ??= last;
  const workers = last.started - first.started;
  const growth = last.heapBytes - first.heapBytes;
  console.log(
    `${name}: ${workers} workers since warm-up; heap ${growth >= 0 ? "+" : ""}${growth} bytes, ${(growth / Math.max(1, workers)).toFixed(0)} for each; exit code ${code}`,
  );
  const isSame = JSON.stringify(first.counts) === JSON.stringify(last.counts);
  if (!isSame)
    console.log(`${name}: it holds more or less than before: ${JSON.stringify([first.counts, last.counts])}`);
  const hasGrown = growth > HEAP_BYTES + workers * HEAP_BYTES_A_WORKER;
  if (!isSame || hasGrown || code !== 0 || failures > 0) isBad = true;
}

/** What it holds while nothing is on its way. */
async function look(name, pid, control) {
  let before = "";
  for (;;) {
    const [pool] = (await ask(control, "GET", "/status")).pools;
    const isQuiet = pool.workers.every(({ stage }) => stage === "ready");
    const inside = isQuiet ? await probe(name, pid) : undefined;
    if (inside !== undefined) {
      const counts = {
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        children: readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").length,
        ...inside.resources,
      };
      // The control connection of a moment ago may still be there.
      if (JSON.stringify(counts) === before) {
        const residentBytes =
          Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
        return { counts, residentBytes, heapBytes: inside.heapBytes, started: pool.workersStarted };
      }
      before = JSON.stringify(counts);
    }
    await pause(100);
  }
}

function tell(name, { counts, residentBytes, heapBytes, started }) {
  const mega = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
  const all = Object.entries(counts).map(([what, count]) => `${what} ${count}`);
  return `${name.padEnd(5)} ${String(started).padStart(6)} workers started  heap ${mega(heapBytes)}  resident ${mega(residentBytes)}  ${all.join(", ")}`;
}

/** A module for the manager's process: it tells its heap and what keeps its event loop alive when it gets a WINCH. */
function probeFile(name) {
  const file = join(folder, `${name}.probe.mjs`);
  const answer = JSON.stringify(join(folder, `${name}.probe.json`));
  writeFileSync(
    file,
    `import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");
process.on("SIGWINCH", () => setImmediate(() => {
  gc();
  const resources = {};
  for (const kind of process.getActiveResourcesInfo().sort()) resources[kind] = (resources[kind] ?? 0) + 1;
  writeFileSync(${answer} + ".new", JSON.stringify({ heapBytes: process.memoryUsage().heapUsed, resources }));
  renameSync(${answer} + ".new", ${answer});
}));
`,
  );
  return file;
}

async function probe(name, pid) {
  const answer = join(folder, `${name}.probe.json`);
  process.kill(pid, "SIGWINCH");
  const taken = `${answer}.taken`;
  await until(() => {
    try {
      renameSync(answer, taken);
      return true;
    } catch {
      return false;
    }
  });
  return JSON.parse(readFileSync(taken, "utf8"));
}

async function until(condition) {
  while (!(await condition())) await pause(20);
}

function ask(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { host: "localhost", "content-type": "application/json", "content-length": text.length };
    const asked = request({ socketPath, method, path, headers, agent: false }, (answer) => {
      let all = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece) => {
        all += piece;
      });
      answer.once("error", reject);
      answer.once("end", () => resolve(JSON.parse(all)));
    });
    asked.once("error", reject);
    asked.end(text);
  });
}

/** A connection for each request, which no reload may lose. */
async function askForEver(address, load) {
  const params = {
    REQUEST_METHOD: "GET",
    REQUEST_URI: "/",
    SCRIPT_NAME: "",
    PATH_INFO: "/",
    QUERY_STRING: "",
    SERVER_NAME: "localhost",
    SERVER_PORT: "80",
    SERVER_PROTOCOL: "HTTP/1.1",
    REMOTE_ADDR: "127.0.0.1",
  };
  let hasBegun = false;
  while (!load.isOver) {
    const client = new FastCGIClient({ connect: address });
    try {
      const response = await client.request({ params });
      let text = "";
      for await (const piece of response.body) text += String(piece);
      if (text !== "hello") throw new Error(`the answer was ${JSON.stringify(text)}`);
      hasBegun = true;
      load.answered++;
    } catch (error) {
      // Before the manager listens, and after it was stopped.
      if (!load.isOver && hasBegun && Date.now() < endAt) {
        load.failed++;
        console.log(`js: a request failed: ${error.message}`);
      }
      await pause(50);
    } finally {
      await client.close();
    }
    await pause(5);
  }
}

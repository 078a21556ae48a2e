// `npm run bench [-- --seconds 2 --rounds 3 --json]`: CPU time of the application process per request, Postern beside
// node:http and beside the floor (a socket that parses nothing), all in turns within one run. Trust the ratios, not
// the microseconds: machines differ and are noisy. Needs the build: npm run build.
import { execFileSync, fork } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requestFor } from "./requests.mjs";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

const WORK = [
  { name: "hello", path: "/hello" },
  { name: "headers as JSON", path: "/env" },
  { name: "64 KiB upload", path: "/upload" },
  { name: "1 MiB download", path: "/download" },
];
const MODES = [
  { name: "16 kept connections", keep: "keep", connections: 16 },
  { name: "connection per request, 8 at a time", keep: "close", connections: 8 },
];
const CANDIDATES = [
  "floor",
  "node:http",
  "postern listener",
  "worker listener",
  "postern fetch",
  "worker fetch",
];

if (!existsSync(new URL("../dist/index.js", import.meta.url))) {
  console.error("dist/ is missing: run `npm run build` first");
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
const pins = canPin();
const results = [];
try {
  for (const mode of MODES) for (const work of WORK) await compare(mode, work);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (flags.json) console.log(JSON.stringify(results, null, 2));

async function compare(mode, work) {
  const figures = new Map(CANDIDATES.map((candidate) => [candidate, []]));
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const candidate of CANDIDATES) {
      // The floor never closes a connection: there is none for a connection per request.
      if (candidate === "floor" && mode.keep === "close") continue;
      figures.get(candidate).push(await measure(candidate, mode, work));
    }
  }
  print(mode, work, figures);
}

async function measure(candidate, mode, work) {
  const protocol = candidate === "node:http" ? "http" : "fastcgi";
  const socket = join(folder, "app.sock");
  rmSync(socket, { force: true });
  const kind = candidate === "floor" && work.path === "/download" ? "floor-download" : candidate;
  const bytes = requestFor(protocol, work.path, mode.keep === "keep").length;
  const app = start("apps.mjs", [kind, socket, String(bytes)], 0);
  await message(app);
  const load = start(
    "load.mjs",
    [protocol, socket, work.path, String(mode.connections), mode.keep, flags.seconds],
    1,
  );
  await message(load);
  const before = await cpu(app);
  const { answered, elapsed, p50, p99 } = await message(load);
  const used = (await cpu(app)) - before;
  app.kill("SIGKILL");
  if (answered === 0) throw new Error(`${candidate} answered nothing to ${work.path}`);
  return { cpuUs: used / answered, perSecond: answered / elapsed, p50, p99 };
}

function print(mode, work, figures) {
  const median = (list, key) => list.map((figure) => figure[key]).sort((a, b) => a - b)[list.length >> 1];
  const http = median(figures.get("node:http"), "cpuUs");
  const floor = figures.get("floor").length > 0 ? median(figures.get("floor"), "cpuUs") : undefined;
  if (!flags.json) {
    console.log(`\n${work.name}, ${mode.name} (node ${process.version})`);
    console.log(`${"".padEnd(18)}  CPU us/request   / node:http   / floor    requests/s   p50 us   p99 us`);
  }
  for (const [candidate, list] of figures) {
    if (list.length === 0) continue;
    const cpuUs = median(list, "cpuUs");
    const row = {
      work: work.name,
      mode: mode.name,
      candidate,
      cpuUs,
      toHttp: cpuUs / http,
      toFloor: floor === undefined ? undefined : cpuUs / floor,
      perSecond: median(list, "perSecond"),
      p50: median(list, "p50"),
      p99: median(list, "p99"),
      node: process.version,
    };
    results.push(row);
    if (flags.json) continue;
    const cell = (value, width, digits = 2) =>
      (value === undefined ? "-" : value.toFixed(digits)).padStart(width);
    console.log(
      candidate.padEnd(18) +
        cell(cpuUs, 16, 1) +
        cell(row.toHttp, 14) +
        cell(row.toFloor, 10) +
        cell(row.perSecond, 14, 0) +
        cell(row.p50, 9, 0) +
        cell(row.p99, 9, 0),
    );
  }
}

/** Application and load on a core each, where there are two and taskset to say so. */
function start(file, args, core) {
  const path = new URL(file, import.meta.url).pathname;
  if (!pins) return fork(path, args);
  return fork(path, args, { execPath: "taskset", execArgv: ["-c", String(core), process.execPath] });
}

function canPin() {
  try {
    if (availableParallelism() < 2) return false;
    execFileSync("taskset", ["-c", "0", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function message(child) {
  return new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`${child.spawnargs.join(" ")} exited with ${code}`)));
  });
}

async function cpu(child) {
  const answer = message(child);
  child.send("cpu");
  const { user, system } = await answer;
  return user + system;
}

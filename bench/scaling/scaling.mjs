// `npm run bench -- --scaling [--only workers,idle,mux,params,bodies] [--json]`: what a request costs when there is more of
// something. Cost is CPU time of the application's processes. The verdict is worked out from the figures: see `growth`.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runLoad } from "../load/load.mjs";
import { startServer } from "../processes.mjs";
import { bodyRecord, fastcgiRequest } from "../request-bytes.mjs";
import { memoryMb, peakMb } from "../usage.mjs";
import { workersOverOne } from "./workers.mjs";

const APP = new URL("app.mjs", import.meta.url).pathname;
/** A whole cost that grows as n to the power of this is still called linear: the rest is noise. */
const MOST_EXPONENT = 1.15;
/** How many of the largest sizes the exponent is taken from: constants have least weight there. */
const LARGEST = 3;
const HOLD_MS = 300;

const SERIES = { workers, idle, mux, params, bodies };

/**
 * @param options `{ node, rounds, seconds, only: names of SERIES or undefined, say }`
 * @returns `{ series, unit: of the size, points: [{ size, cost, … }], exponent, verdict }` of each
 */
export async function scaling({ only, ...options }) {
  const unknown = (only ?? []).filter((name) => !Object.hasOwn(SERIES, name));
  if (unknown.length > 0)
    throw new Error(`--only: ${unknown.join(", ")}; there are ${Object.keys(SERIES).join(", ")}`);
  const folder = mkdtempSync(join(tmpdir(), "postern-scaling-"));
  const results = [];
  try {
    for (const name of only ?? Object.keys(SERIES)) {
      options.say(`${name} …`);
      results.push(...(await SERIES[name]({ ...options, folder })));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return results;
}

/**
 * How the whole cost of n grows, as the power of n: the slope of the line through the logarithms of the largest sizes, by
 * least squares. 1 is linear, 2 is a list walked for each of its members.
 * @param points `{ size, total }`
 */
function growth(points) {
  const logs = points
    .filter(({ size }) => size > 0)
    .slice(-LARGEST)
    .map(({ size, total }) => [Math.log(size), Math.log(total)]);
  const mean = (at) => logs.reduce((sum, log) => sum + log[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const above = logs.reduce((sum, [lx, ly]) => sum + (lx - x) * (ly - y), 0);
  return above / logs.reduce((sum, [lx]) => sum + (lx - x) ** 2, 0);
}

function result(series, unit, points, notes = {}) {
  const exponent = growth(points);
  const verdict = exponent <= MOST_EXPONENT ? "grows linearly or better" : "grows worse than linearly";
  return { series, unit, points, exponent, verdict, ...notes };
}

/** CPU µs per request at saturation: the same load on one worker and on two. */
async function workers(how) {
  const points = [];
  const { figures } = await workersOverOne(how, how.rounds);
  for (const [size, cost] of figures) points.push({ size, cost, total: cost * size });
  return [result("workers, a connection per request", "workers", points)];
}

/** Idle kept connections beside a light load. */
async function idle(how) {
  const points = [];
  const hard =
    Number(execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" })) || Number.POSITIVE_INFINITY;
  for (const size of [1, 10, 100, 1000, 10000]) {
    if (size + 200 > hard) {
      how.say(`${size} idle connections are left out: only ${hard} descriptors are allowed (ulimit -Hn)`);
      continue;
    }
    const costs = [];
    let memory;
    await withApp(how, "listener", async ({ pid, address }) => {
      // Warm, so that memory is of the connections and not of the code.
      await runLoad(address, { request: small(how), connections: 1, "warm-count": 3000, count: 1 });
      const before = memoryMb(pid).private;
      for (let round = 0; round < how.rounds; round++) {
        const load = {
          request: small(how),
          connections: 1,
          idle: size,
          "idle-used": true,
          seconds: how.seconds,
          pid,
        };
        const { answered, cpuUs, failed, idleLost } = await runLoad(address, load, (event) => {
          if (event === "end" && memory === undefined) memory = memoryMb(pid).private - before;
        });
        if (failed > 0 || idleLost > 0)
          throw new Error(`${failed} requests failed, ${idleLost} idle connections were lost`);
        costs.push(cpuUs[0] / answered);
      }
    });
    const cost = median(costs);
    points.push({ size, cost, total: cost, kibEach: (memory * 1000) / size });
  }
  return [result("idle kept connections, beside one that is busy", "connections", points)];
}

/** Requests at a time on one connection. */
async function mux(how) {
  const points = [];
  for (const size of [1, 10, 100, 1000]) {
    const costs = [];
    let memory;
    await withApp(how, "listener", async ({ pid, address }) => {
      const load = { connections: 1, multiplex: size };
      await runLoad(address, { ...load, request: small(how), "warm-count": 5000, count: 1 });
      for (let round = 0; round < how.rounds; round++) {
        const { answered, cpuUs, failed } = await runLoad(address, {
          ...load,
          request: small(how),
          seconds: how.seconds,
          pid,
        });
        if (failed > 0) throw new Error(`${failed} requests failed`);
        costs.push(cpuUs[0] / answered);
      }
    });
    // Requests that the application holds, in a process that has not held as many before: what each of them takes.
    await withApp(how, "listener", async ({ pid, address }) => {
      await runLoad(address, { request: small(how), connections: 1, "warm-count": 2000, count: 1 });
      const before = memoryMb(pid).rss;
      writeFileSync(`/proc/${pid}/clear_refs`, "5"); // forgets the peak
      const request = small(how, `/hold/${HOLD_MS}`);
      await runLoad(address, { connections: 1, multiplex: size, request, warm: 0, count: size });
      memory = peakMb(pid) - before;
    });
    const cost = median(costs);
    points.push({ size, cost, total: cost * size, kibEach: (memory * 1000) / size });
  }
  return [result("multiplexed requests on one connection", "requests", points)];
}

/** Parameters of a request. */
async function params(how) {
  const points = [];
  for (const kib of [0.5, 1, 2, 4, 8, 16, 32, 64]) {
    const { head, end, paramsBytes } = fastcgiRequest({ paramsBytes: kib * 1024 });
    const file = join(how.folder, `params-${kib}`);
    writeFileSync(file, Buffer.concat([head, end]));
    const costs = await costsOf(how, "listener", { request: file, connections: 4, "warm-count": 2000 });
    const cost = median(costs);
    points.push({ size: paramsBytes, cost, total: cost, perByteNs: (cost * 1000) / paramsBytes });
  }
  return [result("parameters", "bytes", points)];
}

/** Bodies from nothing to 1 GiB, up and down. */
async function bodies(how) {
  const record = join(how.folder, "record");
  writeFileSync(record, bodyRecord());
  const sizes = [0, 1, 32, 1024, 10240, 102400, 1048576].map((kib) => kib * 1024);
  const results = [];
  for (const kind of ["listener", "fetch"]) {
    for (const direction of ["up", "down"]) {
      const points = [];
      for (const size of sizes) {
        const load = direction === "up" ? upload(how, record, size) : download(how, size);
        // Of the largest one is enough: a second or two of work.
        const count = size >= 104857600 ? { count: Math.max(1, Math.round(209715200 / size)), warm: 0 } : {};
        const costs = await costsOf(how, kind, { ...load, connections: 1, ...count });
        const cost = median(costs);
        points.push({ size, cost, total: cost, perByteNs: size === 0 ? undefined : (cost * 1000) / size });
      }
      results.push(result(`bodies ${direction}, ${kind}`, "bytes", points));
    }
  }
  return results;
}

function upload(how, record, size) {
  const { head, end } = fastcgiRequest({ path: "/count", bodyBytes: size });
  const [first, last, one] = ["first", "last", "one"].map((name) => join(how.folder, `up-${name}-${size}`));
  const whole = Math.floor(size / 32768);
  const rest = size - whole * 32768;
  writeFileSync(first, head);
  writeFileSync(last, Buffer.concat([...(rest > 0 ? [bodyRecord(rest)] : []), end]));
  if (whole > 0) return { request: [first, `${record}*${whole}`, last] };
  writeFileSync(one, Buffer.concat([head, ...(rest > 0 ? [bodyRecord(rest)] : []), end]));
  return { request: one };
}

function download(how, size) {
  return { request: small(how, `/bytes/${size}`), expect: size };
}

/** CPU µs per request, a figure for every round. */
async function costsOf(how, kind, load) {
  const costs = [];
  await withApp(how, kind, async ({ pid, address }) => {
    for (let round = 0; round < how.rounds; round++) {
      const window = load.count === undefined ? { seconds: how.seconds } : {};
      const { answered, cpuUs, failed, failure } = await runLoad(address, { ...load, ...window, pid });
      if (failed > 0) throw new Error(`${failed} requests failed: ${failure}`);
      costs.push(cpuUs[0] / answered);
    }
  });
  return costs;
}

async function withApp({ node, folder }, kind, use) {
  const path = join(folder, "app.sock");
  rmSync(path, { force: true });
  const server = await startServer([node, APP, kind, path], `unix:${path}`);
  try {
    await use(server);
  } finally {
    await server.stop();
  }
}

function small({ folder }, path = "/hello") {
  const { head, end } = fastcgiRequest({ path });
  const file = join(folder, `small${path.replaceAll("/", "-")}`);
  writeFileSync(file, Buffer.concat([head, end]));
  return file;
}

function median(list) {
  return list.toSorted((a, b) => a - b)[list.length >> 1];
}

/** The same for people. */
export function printScaling(results) {
  for (const { series, unit, points, exponent, verdict } of results) {
    console.log(
      `${series}: ${verdict} (the whole cost grows as n^${exponent.toFixed(2)} over the ${LARGEST} largest)`,
    );
    for (const { size, cost, perByteNs, kibEach } of points) {
      const more = [
        perByteNs === undefined ? "" : `${perByteNs.toFixed(2)} ns/byte`,
        kibEach === undefined ? "" : `${kibEach.toFixed(1)} KiB of memory each`,
      ].filter((text) => text !== "");
      console.log(
        `  ${String(size).padStart(10)} ${unit.padEnd(12)} ${cost.toFixed(1).padStart(10)} us/request  ${more.join(", ")}`,
      );
    }
    console.log();
  }
}

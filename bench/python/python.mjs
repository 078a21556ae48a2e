// `npm run bench -- --python`: servers for WSGI applications behind one nginx, in turns within one run.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../bench.mjs";
import { APPLICATION_CORE, pinned, runLoad } from "../load/load.mjs";
import { startNginx } from "../nginx.mjs";
import { startServer } from "../processes.mjs";
import { requestFor } from "../requests.mjs";
import { programOf, setUp } from "../set-up.mjs";
import { family, memoryAloneMb, memoryMb } from "../usage.mjs";
import { CANDIDATES, POSTERN, PYTHON, THREADS } from "./candidates.mjs";

/** Long enough for caches to be warm again after another candidate's turn. */
const TURN_WARM_S = 0.15;

/** What is asked: of which application, by how many at once; `expect` is the length of an answer's body. */
const WORKS = [
  { key: "hello", work: "hello", app: "wsgi_works:hello", connections: 16, expect: 12, warm: 500 },
  {
    key: "flask",
    work: "hello in Flask",
    app: "wsgi_flask:app",
    connections: 16,
    expect: 12,
    warm: 300,
    needs: ["flask"],
  },
  {
    key: "upload",
    work: "64 KiB upload, read",
    app: "wsgi_works:upload",
    connections: 16,
    bytes: 65536,
    expect: 6,
    warm: 200,
  },
  {
    key: "download",
    work: "1 MiB response, in pieces of 16 KiB",
    app: "wsgi_works:download",
    connections: 8,
    expect: 1048576,
    warm: 100,
  },
  {
    key: "slow",
    work: "32 at once, each waits 20 ms",
    app: "wsgi_works:slow",
    connections: 32,
    expect: 12,
    warm: 32,
  },
];

/**
 * @param options those of Bench (bench.mjs), and `only`: keys of works (default: all)
 * @param onWork called with the results of a work as soon as there are all
 * @returns `{ work, candidate, measured, toPostern, version, python, nginx, threads }` of each candidate in each work;
 *   `measured` is null where it could not be measured, and `missing` says why. Figures are medians of all turns:
 *   `cpuUs` of all processes of the server, `managerUs` what of it is a manager's (master's, arbiter's), `nginxUs`;
 *   memory when the load is over, of all processes, of it the manager's
 */
export async function pythonBench({ only, ...options }, onWork = () => {}) {
  const unknown = (only ?? []).filter((key) => !WORKS.some((work) => work.key === key));
  if (unknown.length > 0) throw new Error(`--only: there is no work ${unknown.join(", ")}`);
  const works = only === undefined ? WORKS : WORKS.filter(({ key }) => only.includes(key));
  const needs = [...Object.values(CANDIDATES), ...works].flatMap((one) => one.needs ?? []);
  const missing = await setUp(new Set(["gcc", "libc", "nginx", ...needs]), options.say, options.installs);
  for (const need of ["gcc", "libc", "nginx"]) {
    if (missing.has(need)) throw new Error(`${need}: ${missing.get(need)}`);
  }
  const all = [];
  for (const work of works) {
    const results = await compare(work, { ...options, missing });
    onWork(results);
    all.push(...results);
  }
  return all;
}

async function compare(work, options) {
  options.say(`${work.work}, ${work.connections} at once, behind nginx`);
  const folder = mkdtempSync(join(tmpdir(), "postern-python-"));
  const runs = Object.entries(CANDIDATES).map(([name, candidate]) => ({ name, candidate, turns: [] }));
  const stops = [];
  try {
    for (const run of runs) {
      await attempt(run, options, async () => {
        run.server = await start(run, work, folder, options.missing);
        stops.push(run.server.stop);
      });
    }
    const started = runs.filter(({ server }) => server !== undefined);
    const backends = started.map(({ server, candidate: { protocol, keeps } }) => ({
      protocol,
      keeps,
      address: server.address,
    }));
    const nginx = await startNginx(programOf("nginx"), folder, backends);
    stops.push(nginx.stop);
    for (const [index, run] of started.entries()) run.address = nginx.addresses[index];
    const request = join(folder, "request");
    writeFileSync(request, requestFor("http", { path: "/", bytes: work.bytes ?? 0 }, true));
    const context = { work, request, nginxPid: nginx.pid, ...options };
    for (let round = -1; round < options.rounds; round++) {
      for (const run of started) await attempt(run, options, () => turn(run, context, round < 0));
    }
    for (const run of started) await attempt(run, options, () => takeMemory(run));
  } finally {
    await Promise.all(stops.map((stop) => stop()));
    rmSync(folder, { recursive: true, force: true });
  }
  return resultsOf(work, runs);
}

/** One that breaks down is missing from then on, and the others go on. */
async function attempt(run, { say }, action) {
  if (run.missing !== undefined) return;
  try {
    await action();
  } catch (error) {
    run.missing = error.message;
    say(`missing: ${run.name}: ${error.message}`);
  }
}

async function start({ name, candidate }, work, folder, missing) {
  for (const need of [...candidate.needs, ...(work.needs ?? [])]) {
    if (missing.has(need)) throw new Error(`${need}: ${missing.get(need)}`);
  }
  const where = join(folder, `${name.replaceAll(/\W/g, "-")}.sock`);
  const command = candidate.command({ app: work.app, where, folder });
  return await startServer(pinned(APPLICATION_CORE, command), `unix:${where}`);
}

/** One candidate's turn: the first is for warming up only. */
async function turn(run, { work, request, nginxPid, rounds, seconds }, isFirst) {
  const { pid } = run.server;
  const result = await runLoad(run.address, {
    protocol: "http",
    request,
    expect: work.expect,
    connections: work.connections,
    warm: TURN_WARM_S,
    // A run that is too short to be trusted needs none.
    "warm-count": isFirst ? Math.ceil(work.warm * Math.min(1, rounds * seconds)) : 1,
    ...(isFirst ? { count: 1 } : { seconds }),
    pid: [pid, nginxPid, ...(isFirst || !run.candidate.hasManager ? [] : [workerOf(pid)])],
  });
  if (result.failed > 0) {
    throw new Error(`${result.failed} answers failed beside ${result.answered}: ${result.failure}`);
  }
  if (isFirst) return;
  const [cpuUs, nginxUs, workerUs = cpuUs] = result.cpuUs;
  run.turns.push({
    perSecond: result.answered / result.seconds,
    cpuUs: cpuUs / result.answered,
    managerUs: (cpuUs - workerUs) / result.answered,
    nginxUs: nginxUs / result.answered,
    p50: result.p50,
    p99: result.p99,
  });
}

/** The process that runs the application: the manager's one descendant that has it. */
function workerOf(pid) {
  // Postern's manager also has a shell that sees to its workers when it is killed: the smaller one.
  const workers = family(pid)
    .slice(1)
    .sort((a, b) => memoryMb(b).rss - memoryMb(a).rss);
  if (workers.length === 0) throw new Error("the worker has ended");
  return workers[0];
}

function takeMemory(run) {
  const { pid } = run.server;
  const all = family(pid);
  const whole = memoryAloneMb(all);
  run.memory = {
    memoryMb: whole,
    managerMb: run.candidate.hasManager ? whole - memoryAloneMb([workerOf(pid)]) : 0,
    rssMb: all.reduce((sum, one) => sum + memoryMb(one).rss, 0),
  };
}

function resultsOf(work, runs) {
  const figures = new Map(runs.map((run) => [run.name, figuresOf(run)]));
  const ours = figures.get(POSTERN);
  return runs.map(({ name, candidate, missing }) => {
    const measured = figures.get(name);
    const ratio = (field) => measured[field] / ours[field];
    return {
      work: work.work,
      candidate: name,
      measured,
      toPostern:
        measured === null || ours === null
          ? null
          : Object.fromEntries(
              ["perSecond", "cpuUs", "minCpuUs", "memoryMb"].map((field) => [field, ratio(field)]),
            ),
      ...(missing !== undefined && { missing }),
      ...(missing === undefined &&
        candidate.version !== undefined && { version: versionOf(candidate.version()) }),
      python: versionOf([PYTHON, "--version"]),
      nginx: versionOf([programOf("nginx"), "-v"]),
      connections: work.connections,
      threads: THREADS,
    };
  });
}

function figuresOf({ turns, memory, missing }) {
  if (missing !== undefined) return null;
  const of = (field) => turns.map((turn) => turn[field]);
  const medians = ["perSecond", "cpuUs", "managerUs", "nginxUs", "p50", "p99"].map((field) => [
    field,
    median(of(field)),
  ]);
  return { ...Object.fromEntries(medians), minCpuUs: Math.min(...of("cpuUs")), ...memory };
}

/** The number in what a program says of itself; nginx says it on standard error. */
function versionOf([command, ...args]) {
  const { stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  return /\d[\w.]*/.exec(stdout + stderr)?.[0];
}

/** The results of one work as a table. */
export function printPython(results) {
  const [{ work, connections, python, nginx, threads }] = results;
  console.log(
    `\n${work}, ${connections} at once, behind nginx ${nginx} (Python ${python}, ${threads} threads)`,
  );
  const head = [
    "",
    "requests/s",
    "CPU us/request",
    "of it manager",
    "/ Postern",
    "nginx us",
    "p50 us",
    "p99 us",
  ];
  const lines = [[...head, "memory MB", "of it manager", "RSS MB"]];
  for (const { candidate, measured, toPostern, missing } of results) {
    if (measured === null) {
      lines.push([candidate, `missing: ${missing}`]);
      continue;
    }
    const cell = (value, digits) => (value === undefined ? "-" : value.toFixed(digits));
    lines.push([
      candidate,
      cell(measured.perSecond, 0),
      cell(measured.cpuUs, 1),
      cell(measured.managerUs, 1),
      cell(toPostern?.cpuUs, 2),
      cell(measured.nginxUs, 1),
      cell(measured.p50, 0),
      cell(measured.p99, 0),
      cell(measured.memoryMb, 1),
      cell(measured.managerMb, 1),
      cell(measured.rssMb, 1),
    ]);
  }
  const widths = lines[0].map((_, column) =>
    Math.max(...lines.map((line) => (line.length > 2 ? line[column].length : 0))),
  );
  for (const [first, ...rest] of lines) {
    const cells = rest.map((cell, column) => cell.padStart(widths[column + 1]));
    console.log([first.padEnd(24), ...cells].join("  "));
  }
}

/**
 * A snapshot as a person reads it: one line about the manager, some facts about each pool, a table of its workers, and
 * beneath each worker what it works on. Pure; the width of the terminal and the wish for colour come from outside.
 *
 * No line is wider than `width`. URLs, addresses of visitors and output of applications are made harmless.
 */
import type { ManagerSnapshot, PoolSnapshot, RequestSnapshot, WorkerSnapshot } from "./snapshot.ts";
import { type Column, plainStyle, type Style, styleFor, table } from "./table.ts";
import { ascii, bytes, counted, cut, duration, printable, printableLines } from "./text.ts";
import type { ListedWorker } from "./workers.ts";

export interface RenderOptions {
  /** Columns of the terminal. */
  readonly width: number;
  /** @default false */
  readonly colour?: boolean;
  /** An earlier snapshot, to tell requests a second. */
  readonly previous?: ManagerSnapshot | undefined;
}

/** Lines of `lastReloadError` that are shown. */
const ERROR_LINES = 5;
/** Narrower than this nothing can be read; wider, a URL is not worth it. */
const LEAST_WIDTH = 40;

/** The whole of `postern status`, each line ended by `\n`. */
export function renderStatus(snapshot: ManagerSnapshot, options: RenderOptions): string {
  const width = Math.max(options.width, LEAST_WIDTH);
  const style = options.colour === true ? styleFor : plainStyle;
  const lines = managerLines(snapshot, width, style);
  for (const pool of snapshot.pools) {
    const previous = earlier(pool, snapshot, options.previous);
    lines.push("", ...poolLines(pool, snapshot.now, width, style, rateOf(pool, previous)));
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** The workers of all pools, as `postern workers` prints them. */
export function renderWorkers(workers: readonly ListedWorker[], now: number, options: RenderOptions): string {
  if (workers.length === 0) return "no workers run\n";
  const width = Math.max(options.width, LEAST_WIDTH);
  const style = options.colour === true ? styleFor : plainStyle;
  const columns: Column<ListedWorker>[] = [
    { title: "pool", side: "right", text: (worker) => printable(worker.pool) },
    ...workerColumns<ListedWorker>(now),
  ];
  return table(columns, workers, { width, style, under: () => [] })
    .map((line) => `${line}\n`)
    .join("");
}

function managerLines(snapshot: ManagerSnapshot, width: number, style: Style): string[] {
  const { name, state, version, pid, startedAt, now, memoryBytes, configFile, reloads } = snapshot;
  const facts = [
    `postern ${printable(version)}`,
    `pid ${pid}`,
    `up ${duration(now - startedAt)}`,
    bytes(memoryBytes),
    ...(reloads > 0 ? [counted(reloads, "reload")] : []),
    ...(configFile === undefined ? [] : [printable(configFile)]),
  ];
  const begin = `${printable(name)} `;
  const line = cut(`${begin}${state}, ${facts.join(", ")}`, width);
  const lines = [
    line.startsWith(`${begin}${state}`)
      ? style("strong", begin) + style(stateColour(state), state) + line.slice(begin.length + state.length)
      : line,
  ];
  if (snapshot.lastReloadError !== undefined) {
    const [first = "", ...rest] = printableLines(snapshot.lastReloadError).trimEnd().split("\n");
    lines.push(style("bad", cut(`last reload: ${first}`, width)));
    lines.push(...rest.slice(0, ERROR_LINES - 1).map((text) => cut(`  ${text}`, width)));
    if (rest.length >= ERROR_LINES) lines.push(`  … ${counted(rest.length - ERROR_LINES + 1, "more line")}`);
  }
  return lines;
}

function stateColour(state: string): "good" | "busy" {
  return state === "running" || state === "ready" ? "good" : "busy";
}

function poolLines(pool: PoolSnapshot, now: number, width: number, style: Style, rate: string): string[] {
  const head = [
    `${printable(pool.name)}:`,
    printable(pool.program),
    "on",
    pool.addresses.length === 0 ? "no address" : pool.addresses.map(printable).join(" "),
  ].join(" ");
  const lines = [
    style("strong", cut(head, width)),
    ...wrap(factsOf(pool, rate), width - 2).map((line) => `  ${line}`),
  ];
  if (pool.nextStartAt !== undefined) {
    const wait = duration(Math.max(0, pool.nextStartAt - now));
    lines.push(
      style("bad", cut(`  workers crash one after the other; the next is started in ${wait}`, width)),
    );
    if (pool.lastFailure !== undefined) lines.push(cut(`  the last: ${printable(pool.lastFailure)}`, width));
  }
  if (pool.workers.length === 0) {
    lines.push(
      pool.pm === "ondemand" ? "  no worker runs; the first connection starts one" : "  no worker runs",
    );
    return lines;
  }
  const under = (worker: WorkerSnapshot): string[] => requestLines(worker.current, now, width - 4);
  return [
    ...lines,
    ...table(workerColumns(now), pool.workers, { width: width - 2, style, under }).map((line) => `  ${line}`),
  ];
}

function factsOf(pool: PoolSnapshot, rate: string): string[] {
  const busy = pool.workers.filter((worker) => worker.isBusy).length;
  // Those that only finish what they have do not count against the limit.
  const draining = pool.workers.filter((worker) => worker.stage === "draining").length;
  return [
    pool.pm,
    `generation ${pool.generation}`,
    ...(pool.isReloading ? ["reloading"] : []),
    `workers ${pool.workers.length - draining} of ${pool.maxChildren}`,
    ...(draining > 0 ? [`${draining} draining`] : []),
    ...(busy > 0 ? [`${busy} busy`] : []),
    `requests ${pool.requests}${rate}`,
    `slow ${pool.slowRequests}`,
    `lost ${pool.lostRequests}`,
    ...(pool.workersCrashed > 0 ? [`crashed ${pool.workersCrashed}`] : []),
    pool.listenQueue === undefined
      ? `queue of ${pool.listenBacklog}`
      : `queue ${pool.listenQueue} of ${pool.listenBacklog}`,
    ...(pool.maxChildrenReached > 0 ? [`all busy ${pool.maxChildrenReached}×`] : []),
  ];
}

/** Facts with commas between, as many on a line as fit. */
function wrap(facts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const fact of facts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + fact.length + 3 <= width)
      lines[lines.length - 1] = `${last}, ${fact}`;
    else lines.push(fact);
  }
  return lines.map((line, index) => cut(index < lines.length - 1 ? `${line},` : line, width));
}

function workerColumns<T extends WorkerSnapshot>(now: number): Column<T>[] {
  return [
    { title: "gen", side: "left", text: (worker) => String(worker.generation) },
    { title: "pid", side: "left", text: (worker) => String(worker.pid) },
    {
      title: "stage",
      side: "right",
      text: (worker) => (worker.isBusy && worker.stage === "ready" ? "busy" : worker.stage),
      colour: (worker) => (worker.isBusy ? "busy" : stateColour(worker.stage)),
    },
    { title: "requests", side: "left", text: (worker) => orDash(worker.requests, String) },
    { title: "open", side: "left", text: (worker) => orDash(worker.concurrency, String) },
    { title: "delay", side: "left", text: (worker) => orDash(worker.loopDelayMs, duration) },
    { title: "loop", side: "left", text: (worker) => orDash(worker.loopUtilisation, percent) },
    { title: "memory", side: "left", text: (worker) => orDash(worker.memoryBytes, bytes) },
    { title: "age", side: "left", text: (worker) => duration(now - worker.startedAt) },
  ];
}

function requestLines(requests: readonly RequestSnapshot[], now: number, width: number): string[] {
  return requests.map(({ method, url, client, startedAt }) => {
    const end = ` ${ascii(client)} ${duration(now - startedAt)}`;
    // The end says who and how long, so it is the URL that is cut.
    const begin = cut(`${ascii(method)} ${ascii(url)}`, Math.max(8, width - end.length));
    return `  ${cut(begin + end, width)}`;
  });
}

function orDash<T>(value: T | undefined | null, show: (value: T) => string): string {
  return value === undefined || value === null ? "-" : show(value);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** The same pool in an earlier snapshot of the same manager. */
function earlier(
  pool: PoolSnapshot,
  now: ManagerSnapshot,
  before: ManagerSnapshot | undefined,
): { requests: number; ms: number } | undefined {
  if (before === undefined || before.pid !== now.pid || before.startedAt !== now.startedAt) return undefined;
  const same = before.pools.find((candidate) => candidate.name === pool.name);
  return same && { requests: same.requests, ms: now.now - before.now };
}

function rateOf(pool: PoolSnapshot, before: { requests: number; ms: number } | undefined): string {
  if (before === undefined || before.ms <= 0 || pool.requests < before.requests) return "";
  const rate = ((pool.requests - before.requests) * 1000) / before.ms;
  return ` (${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s)`;
}

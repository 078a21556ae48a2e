/**
 * A pool as php-fpm's status page shows one, so that what reads such pages (exporters, checks, dashboards) reads ours.
 *
 * The keys, their order and the layout are those of php-fpm 8.2: `text` pads keys to 22 columns, `json` has times as
 * seconds since the epoch, `full` adds a block for each process. A key of php-fpm means here what it means there; what
 * php-fpm has no key for follows behind, under names of its own. Pure.
 */
import { renderHtmlStatus } from "./html.ts";
import { poolMetrics } from "./metrics.ts";
import { OPENMETRICS_TYPE } from "./openmetrics.ts";
import type { PoolSnapshot, WorkerSnapshot } from "./snapshot.ts";
import { ascii, printable } from "./text.ts";

export interface PhpFpmStatusOptions {
  /** @default "text" */
  readonly format?: "text" | "json";
  /** A block for each process as well. @default false */
  readonly full?: boolean;
}

/** Text and numbers in the order they are printed; a Date is shown as each format has times. */
type Facts = readonly (readonly [key: string, value: string | number | boolean | Date])[];

const KEY_COLUMNS = 22;
const BETWEEN_PROCESSES = "*".repeat(24);

/** The status page of one pool. @param now ms since the epoch */
export function renderPhpFpmStatus(
  pool: PoolSnapshot,
  now: number,
  options: PhpFpmStatusOptions = {},
): string {
  const facts = poolFacts(pool, now);
  const processes =
    options.full === true ? pool.workers.map((worker) => processFacts(worker, now)) : undefined;
  if (options.format === "json") {
    const body = { ...jsonOf(facts), ...(processes && { processes: processes.map(jsonOf) }) };
    return JSON.stringify(body);
  }
  const blocks = (processes ?? []).map((process) => `\n${BETWEEN_PROCESSES}\n${textOf(process)}`);
  return textOf(facts) + blocks.join("");
}

/**
 * What `statusPath` answers to a query as php-fpm knows them: `json`, `html` or `openmetrics`, `full`, with `&` between.
 */
export function phpFpmStatusPage(
  pool: PoolSnapshot,
  now: number,
  query: string,
): { readonly text: string; readonly contentType: string } {
  const words = query.split("&");
  const isFull = words.includes("full");
  if (words.includes("openmetrics")) return { text: poolMetrics([pool]), contentType: OPENMETRICS_TYPE };
  if (words.includes("html")) return { text: renderHtmlStatus(pool, now, isFull), contentType: "text/html" };
  const format = words.includes("json") ? "json" : "text";
  return {
    text: renderPhpFpmStatus(pool, now, { format, full: isFull }),
    contentType: format === "json" ? "application/json" : "text/plain",
  };
}

function poolFacts(pool: PoolSnapshot, now: number): Facts {
  const active = pool.workers.filter(isActive).length;
  const queue = pool.listenQueue ?? 0;
  return [
    ["pool", pool.name],
    ["process manager", pool.pm],
    ["start time", new Date(pool.startedAt)],
    ["start since", secondsSince(pool.startedAt, now)],
    // php-fpm counts requests under this name, not connections.
    ["accepted conn", pool.requests],
    ["listen queue", queue],
    ["max listen queue", Math.max(queue, pool.maxListenQueue)],
    ["listen queue len", pool.listenBacklog],
    ["idle processes", pool.workers.length - active],
    ["active processes", active],
    ["total processes", pool.workers.length],
    ["max active processes", Math.max(active, pool.maxActiveWorkers)],
    ["max children reached", pool.maxChildrenReached],
    ["slow requests", pool.slowRequests],
    ["busy processes", pool.workers.filter((worker) => worker.isBusy).length],
    ["open requests", pool.workers.reduce((sum, { concurrency }) => sum + (concurrency ?? 0), 0)],
    ["connections", pool.connections],
    ["lost requests", pool.lostRequests],
    ["processes started", pool.workersStarted],
    ["processes crashed", pool.workersCrashed],
    ["max children", pool.maxChildren],
    ["generation", pool.generation],
    ["reloading", pool.isReloading],
  ];
}

function processFacts(worker: WorkerSnapshot, now: number): Facts {
  // A worker may have many requests at once where php-fpm has one: this is the oldest.
  const [request] = worker.current;
  return [
    ["pid", worker.pid],
    ["state", isActive(worker) ? "Running" : "Idle"],
    ["start time", new Date(worker.startedAt)],
    ["start since", secondsSince(worker.startedAt, now)],
    ["requests", worker.requests ?? 0],
    [
      "request duration",
      request === undefined ? 0 : Math.max(0, Math.round((now - request.startedAt) * 1000)),
    ],
    ["request method", request?.method ?? "-"],
    ["request uri", request?.url ?? "-"],
    ["content length", 0],
    ["user", "-"],
    ["script", "-"],
    ["last request cpu", 0],
    ["last request memory", 0],
    ["stage", worker.stage],
    ["open requests", worker.concurrency ?? 0],
    ["memory", worker.memoryBytes ?? 0],
    ["loop delay ms", worker.loopDelayMs ?? 0],
    ["loop utilisation", worker.loopUtilisation ?? 0],
    ["generation", worker.generation],
  ];
}

/** Works on a request. A program that does not tell is active while it is busy. */
function isActive(worker: WorkerSnapshot): boolean {
  return worker.concurrency === undefined ? worker.isBusy : worker.concurrency > 0;
}

function secondsSince(then: number, now: number): number {
  return Math.max(0, Math.floor((now - then) / 1000));
}

function jsonOf(facts: Facts): Record<string, string | number | boolean> {
  return Object.fromEntries(
    facts.map(([key, value]) => [key, value instanceof Date ? Math.floor(value.getTime() / 1000) : value]),
  );
}

function textOf(facts: Facts): string {
  return facts
    .map(([key, value]) => {
      const shown =
        value instanceof Date ? logTime(value) : typeof value === "string" ? safe(key, value) : value;
      // php-fpm writes the one key differently here than in JSON.
      return `${`${key === "request uri" ? "request URI" : key}:`.padEnd(KEY_COLUMNS)}${shown}\n`;
    })
    .join("");
}

function safe(key: string, value: string): string {
  return key.startsWith("request ") ? ascii(value) : printable(value);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

/** `22/Nov/2026:13:15:41 +0000`, as access logs have it; always UTC. */
function logTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()].map(two).join(":");
  return `${two(time.getUTCDate())}/${MONTHS[time.getUTCMonth()]}/${time.getUTCFullYear()}:${clock} +0000`;
}

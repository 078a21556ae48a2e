/**
 * What the manager knows about itself at one moment: the body of `GET /status` on the control socket, and what
 * `postern status` prints. Times are ms since the epoch or durations in ms; sizes are bytes.
 */

/** One request being served. */
export interface RequestSnapshot {
  readonly method: string;
  readonly url: string;
  /** The visitor's address as the web server told it. */
  readonly client: string;
  readonly startedAt: number;
}

/** The stage of a worker. */
export type WorkerStage = "starting" | "ready" | "draining";

export interface WorkerSnapshot {
  readonly id: number;
  readonly pid: number;
  readonly generation: number;
  readonly stage: WorkerStage;
  /** Ready, and at `maxConcurrency` or with a busy event loop. */
  readonly isBusy: boolean;
  readonly startedAt: number;
  /** Requests begun since it started. Undefined for a program that does not tell. */
  readonly requests: number | undefined;
  /** Requests open now. */
  readonly concurrency: number | undefined;
  /** Requests that wait in it for their turn. */
  readonly queuedRequests: number | undefined;
  readonly connections: number | undefined;
  /** How late its event loop lately was at worst, ms. */
  readonly loopDelayMs: number | undefined;
  /** Share of the time its event loop was busy, 0 to 1. */
  readonly loopUtilisation: number | undefined;
  /** Resident memory. */
  readonly memoryBytes: number | undefined;
  /** The oldest of what it works on now, at most 20. */
  readonly current: readonly RequestSnapshot[];
}

/** How long requests took: a histogram. */
export interface DurationsSnapshot {
  readonly count: number;
  /** Of all of them together. */
  readonly seconds: number;
  /** How many took at most `upTo` seconds, shorter ones included. */
  readonly buckets: readonly { readonly upTo: number; readonly count: number }[];
}

export interface PoolSnapshot {
  readonly name: string;
  readonly pm: "static" | "dynamic" | "ondemand";
  /** The application's file or the program's command line. */
  readonly program: string;
  readonly addresses: readonly string[];
  readonly generation: number;
  readonly startedAt: number;
  readonly isReloading: boolean;
  readonly maxChildren: number;
  /** Connections that wait to be accepted, where the system tells. */
  readonly listenQueue: number | undefined;
  /** The most that ever waited, as looked at once a second. */
  readonly maxListenQueue: number;
  readonly listenBacklog: number;
  /** Of all workers there ever were. */
  readonly requests: number;
  readonly connections: number;
  readonly slowRequests: number;
  /** Requests that are over, by the class of their status: none (there was no answer), 1xx, 2xx, 3xx, 4xx, 5xx. */
  readonly responses: Readonly<Record<string, number>>;
  /** Bytes of bodies sent to the web server. */
  readonly sentBytes: number;
  readonly durations: DurationsSnapshot;
  /** Requests that were in workers when these were lost. */
  readonly lostRequests: number;
  readonly workersStarted: number;
  readonly workersCrashed: number;
  /** How often the pool was at `maxChildren` and all of them were busy. */
  readonly maxChildrenReached: number;
  /** While workers crash in a row: when the next one is started. */
  readonly nextStartAt: number | undefined;
  /** How the last worker that crashed ended, in one line. */
  readonly lastFailure: string | undefined;
  /** The most workers that were ever at work at the same time, as looked at once a second. */
  readonly maxActiveWorkers: number;
  readonly workers: readonly WorkerSnapshot[];
}

export interface ManagerSnapshot {
  readonly name: string;
  readonly version: string;
  readonly pid: number;
  readonly state: "starting" | "running" | "reloading" | "stopping";
  readonly startedAt: number;
  readonly now: number;
  readonly memoryBytes: number;
  readonly configFile: string | undefined;
  readonly reloads: number;
  /** The last reload that failed, until one succeeds. */
  readonly lastReloadError: string | undefined;
  readonly pools: readonly PoolSnapshot[];
}

/** What passes between a worker handle and its pool: how to start one, and what becomes of it. */
import type { PoolSettings } from "../config/types.ts";
import type { RequestSnapshot } from "../status/snapshot.ts";
import type { Beat, FromWorker } from "./channel.ts";
import type { ScoreboardFile } from "./scoreboard.ts";
import type { Stack, StackOptions } from "./watchdog.ts";

/** Milliseconds that never jump back. */
export type Clock = () => number;

export type HandleSettings = Pick<
  PoolSettings,
  | "name"
  | "readyTimeoutMs"
  | "drainDelayMs"
  | "drainTimeoutMs"
  | "maxRequests"
  | "maxMemoryBytes"
  | "maxLoopDelayMs"
  | "requestTerminateTimeoutMs"
  | "requestSlowlogTimeoutMs"
  | "requestSlowlogTraceDepth"
>;

/** How to start the process, worked out by `launch.ts`. */
export interface Launching {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Descriptors from 0; those that are not numbers are pipes. */
  readonly stdio: readonly (number | "pipe" | "ignore")[];
  /** Where it listens, to count the connections of a program that does not tell. */
  readonly address: string | undefined;
  /** The first message, for a worker of ours. */
  readonly start: object | undefined;
  readonly scoreboard: ScoreboardFile | undefined;
  /** How its stack is read while it stands still; by default as JavaScript's. */
  readonly readStack?: (pid: number, options: StackOptions) => Promise<Stack | undefined>;
  /** Removes what was made for this one process. */
  cleanUp(): void;
}

/** How a worker ended. */
export interface WorkerEnd {
  readonly wasReady: boolean;
  /** Whether it was told to. */
  readonly isExpected: boolean;
  readonly livedMs: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** `exit code 1`, `signal SIGKILL`. */
  readonly how: string;
  /** Requests that were in it. */
  readonly lost: readonly RequestSnapshot[];
  /** What it said of its failure itself; empty when it had no time for that. */
  readonly said: string;
  /** The same with where it is, or the last lines it printed. */
  readonly failure: string;
  /** Whether the application could not be loaded, as opposed to the worker not being set up. */
  readonly isApp: boolean;
}

/** A worker, as far as its pool and the log look at it. */
export interface KnownWorker {
  readonly id: number;
  readonly pid: number;
  readonly generation: number;
  /** What it has told of itself last. */
  readonly told: Beat | undefined;
  /** Answers a status page that it asked for. */
  tellStatus(id: number, text: string, contentType: string): void;
}

export interface WorkerSink {
  onReady(worker: KnownWorker): void;
  /** It became busy or free, or wants to be replaced. */
  onChange(worker: KnownWorker): void;
  onEnded(worker: KnownWorker, end: WorkerEnd): void;
  onLine(worker: KnownWorker, stream: "stdout" | "stderr", line: string): void;
  onMessage(worker: KnownWorker, message: Extract<FromWorker, { type: "log" | "status" | "files" }>): void;
  /** A request that takes too long, or a stuck event loop, with what could be found out. */
  onSlow(worker: KnownWorker, report: SlowReport): void;
}

export interface SlowReport {
  readonly isStuck: boolean;
  readonly silentMs: number;
  readonly requests: readonly RequestSnapshot[];
  /** JavaScript frames, innermost first; undefined when there was no getting them. */
  readonly frames: readonly string[] | undefined;
  /** Why there are none. */
  readonly why: string;
}

/**
 * What a pool says in the log: ends of workers and what was lost with them, slow requests with their stacks, and what
 * the workers print. Several lines for one event are several messages, so that each can be found.
 */
import type { Logger } from "../base/log.ts";
import { lineLogger } from "../base/log.ts";
import type { PoolSettings } from "../config/types.ts";
import type { RequestSnapshot } from "../status/snapshot.ts";
import { prepareAccessLog } from "./access-logs.ts";
import { type LogFile, openLogFile } from "./log-file.ts";
import type { PoolHost } from "./pool-host.ts";
import type { KnownWorker, SlowReport, WorkerEnd } from "./worker-sink.ts";

/** More requests of one worker are counted, not listed. */
const MOST_LISTED = 256;
/** The same advice is given at most this often, ms. */
const ADVICE_MS = 60000;

export class PoolLog {
  readonly #settings: PoolSettings;
  readonly #host: Pick<PoolHost, "logger" | "write">;
  readonly #slowFile: LogFile | undefined;
  readonly #slowLogger: Logger;
  #advisedAt = Number.NEGATIVE_INFINITY;

  /** @throws {SettingError} the slow log or the access log cannot be opened */
  constructor(settings: PoolSettings, host: Pick<PoolHost, "logger" | "write">) {
    prepareAccessLog(settings);
    this.#settings = settings;
    this.#host = host;
    this.#slowFile = settings.slowlog === undefined ? undefined : openLogFile(settings.slowlog);
    this.#slowLogger = this.#slowFile === undefined ? host.logger : lineLogger(this.#slowFile.write);
  }

  workerEnded(worker: KnownWorker, end: WorkerEnd): void {
    const fields = {
      pool: this.#settings.name,
      pid: worker.pid,
      worker: worker.id,
      generation: worker.generation,
      livedMs: Math.round(end.livedMs),
    };
    const { logger } = this.#host;
    if (end.lost.length === 0 && end.isExpected) logger.info(fields, `worker ended: ${end.how}`);
    else if (end.wasReady) {
      const what = end.isExpected ? "worker was ended" : "worker ended unexpectedly";
      // Of these, some may have carried a request that it had not read yet: nobody can tell.
      const connections = worker.told?.connections;
      logger.error({ ...fields, lostRequests: end.lost.length, connections }, `${what}: ${end.how}`);
    } else if (!end.isExpected) {
      logger.error(fields, `worker ended before it was ready: ${end.how}`);
      // What it printed is in the log already.
      const text = this.#settings.catchWorkersOutput ? end.said : end.failure;
      for (const line of text === "" ? [] : text.split("\n")) logger.error({ pid: worker.pid }, `  ${line}`);
    }
    this.#list(logger, "error", "request lost with its worker", worker.pid, end.lost);
  }

  slow(pid: number, { isStuck, silentMs, requests, frames, why }: SlowReport): void {
    const fields = { pool: this.#settings.name, pid };
    const seconds = (silentMs / 1000).toFixed(1);
    const { program } = this.#settings;
    const isPython = program.kind === "app" && program.language === "python";
    const what = isPython ? "the interpreter of a worker" : "the event loop of a worker";
    const loggers = isStuck ? new Set([this.#host.logger, this.#slowLogger]) : [this.#slowLogger];
    for (const logger of loggers) {
      const level = isStuck ? "error" : "warn";
      logger[level](
        fields,
        isStuck
          ? `${what} has stood still for ${seconds} s: it is replaced`
          : `${what} has stood still for ${seconds} s`,
      );
      this.#list(logger, level, isStuck ? "request in the stuck worker" : "slow request", pid, requests);
      if (frames === undefined) {
        logger[level]({ pid }, `    there is no stack: ${why}`);
      }
      if (frames?.length === 0) {
        const turns = isPython ? "it runs again" : "its event loop turns again";
        logger[level]({ pid }, `    ${turns}; it waits for something`);
      }
      for (const frame of frames ?? []) {
        logger[level]({ pid }, `    ${frame.startsWith("…") ? "" : "at "}${frame}`);
      }
    }
  }

  /** What the worker's server says. */
  message(pid: number, level: keyof Logger, fields: object, message: string): void {
    const { isSlow, ...others } = fields as { readonly isSlow?: unknown };
    const logger = isSlow === true ? this.#slowLogger : this.#host.logger;
    logger[level]({ pool: this.#settings.name, pid, ...others }, message);
  }

  /** What its application prints, a line at a time; control characters are escaped already. */
  output(pid: number, stream: "stdout" | "stderr", line: string): void {
    if (!this.#settings.catchWorkersOutput) return;
    const tag = this.#settings.decorateWorkersOutput
      ? `${new Date().toISOString()} ${stream === "stdout" ? "out  " : "err  "} [${this.#settings.name} ${pid}] `
      : "";
    this.#host.write(`${tag}${line}\n`);
  }

  maxChildrenReached(maxChildren: number): void {
    this.#advise(
      `all ${maxChildren} workers are busy (maxChildren): requests wait; allow more if there are cores and memory for them`,
    );
  }

  processMaxReached(): void {
    this.#advise("one more worker is wanted, but all pools together have processMax of them");
  }

  reopen(): void {
    this.#slowFile?.reopen();
    try {
      prepareAccessLog(this.#settings);
    } catch (error) {
      this.#host.logger.error({ pool: this.#settings.name }, (error as Error).message);
    }
  }

  close(): void {
    this.#slowFile?.close();
  }

  #advise(message: string): void {
    const now = performance.now();
    if (now - this.#advisedAt < ADVICE_MS) return;
    this.#advisedAt = now;
    this.#host.logger.warn({ pool: this.#settings.name }, message);
  }

  #list(
    logger: Logger,
    level: "warn" | "error",
    what: string,
    pid: number,
    requests: readonly RequestSnapshot[],
  ): void {
    const now = Date.now();
    for (const { method, url, client, startedAt } of requests.slice(0, MOST_LISTED)) {
      logger[level](
        { pool: this.#settings.name, pid, client, afterMs: now - startedAt },
        `  ${what}: ${method} ${url}`,
      );
    }
  }
}

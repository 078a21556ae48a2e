/**
 * Answers for a pool that has no worker, between two attempts to start one: with 503, when to ask again, and why, for the
 * web server's log. A process of its own, under the pool's user: the manager accepts nothing.
 *
 * It is there only while nobody could serve. Before an attempt begins it takes nothing more, so requests wait for how that
 * comes out; whoever is served by a worker never sees it.
 */
import type { PoolSettings } from "../config/types.ts";
import { bootReason } from "./boot-reason.ts";
import { type LaunchContext, launchWorker } from "./launch.ts";
import type { PoolHost } from "./pool-host.ts";
import { WorkerHandle } from "./worker-handle.ts";
import type { KnownWorker, WorkerSink } from "./worker-sink.ts";

/** Waits that are shorter than this are waited for by visitors, too, ms. */
const WORTH_MS = 1000;

export class Caretaker implements WorkerSink {
  readonly #host: PoolHost;
  #worker: WorkerHandle | undefined = undefined;

  constructor(host: PoolHost) {
    this.#host = host;
  }

  /**
   * No worker is there, and none is started for `waitMs`.
   * @param why what the last one said of its end
   */
  hire(context: LaunchContext, why: string, waitMs: number): void {
    const { pool } = context;
    if (this.#worker !== undefined || pool.program.kind !== "app" || waitMs < WORTH_MS) return;
    const { logger, guardian, now } = this.#host;
    const id = this.#host.nextWorkerId();
    const failure = {
      status: 503 as const,
      reason: bootReason(why, pool.program.file),
      detail: why,
      isDevelopment: isDevelopment(pool, this.#host.env),
      retryAfter: Math.ceil(waitMs / 1000),
    };
    try {
      const launching = launchWorker({ ...context, failure }, id, 0);
      this.#worker = new WorkerHandle({ id, generation: 0 }, pool, launching, { sink: this, logger, now });
    } catch (error) {
      logger.debug({ pool: pool.name, error }, "nobody can answer in the place of the workers");
      return;
    }
    if (this.#worker.pid > 0) guardian.add(this.#worker.pid, true);
    const seconds = (waitMs / 1000).toFixed(1);
    logger.warn({ pool: pool.name }, `no worker can serve: requests are answered with 503 for ${seconds} s`);
  }

  /** A worker is about to be started, or none is wanted any more. */
  dismiss(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined) return;
    if (worker.stage === "starting") worker.kill("a worker is started");
    else worker.drain(0);
  }

  // WorkerSink

  onEnded(worker: KnownWorker): void {
    this.#host.guardian.remove(worker.pid);
    if (this.#worker === worker) this.#worker = undefined;
  }

  onReady(): void {}

  onChange(): void {}

  onLine(): void {}

  onMessage(): void {}

  onSlow(): void {}
}

function isDevelopment({ development, env }: PoolSettings, ofManager: NodeJS.ProcessEnv): boolean {
  return development ?? (env["NODE_ENV"] ?? ofManager["NODE_ENV"]) === "development";
}

/**
 * The clock of all deadlines of a server. It stands still while the process does (a blocked event loop, a suspended
 * machine): bytes that came meanwhile are read before anybody is judged for not having sent them.
 *
 * It ticks while there is somebody to judge, and one tick longer: a server whose connections come one after the other
 * would start and stop a timer for each.
 */
import type { ResolvedOptions } from "./options.ts";

/** Deadlines are judged this often, ms; shorter when a deadline is. */
const TICK_MS = 1000;

export class DeadlineClock {
  /** Milliseconds, as of the last tick. */
  now = 1;
  readonly #tickMs: number;
  readonly #onTick: () => boolean;
  #tickedAt = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param onTick judges; returns whether it has to be asked again */
  constructor(options: ResolvedOptions, onTick: () => boolean) {
    this.#tickMs = tickFor(options);
    this.#onTick = onTick;
  }

  /** As exact as it gets, ms. */
  get exactNow(): number {
    return this.now + Math.min(performance.now() - this.#tickedAt, 2 * this.#tickMs);
  }

  /** There is somebody to judge. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#tickedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs);
    this.#timer.unref();
  }

  #tick(): void {
    const at = performance.now();
    this.now += Math.min(at - this.#tickedAt, 2 * this.#tickMs);
    this.#tickedAt = at;
    if (this.#onTick()) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function tickFor(options: ResolvedOptions): number {
  const { recordTimeoutMs, idleTimeoutMs, stallTimeoutMs, lingerTimeoutMs } = options;
  const { queueTimeoutMs, requestTimeoutMs, slowRequestMs } = options;
  const all = [recordTimeoutMs, idleTimeoutMs, stallTimeoutMs, lingerTimeoutMs];
  all.push(queueTimeoutMs, requestTimeoutMs, slowRequestMs);
  const shortest = Math.min(...all.filter((ms) => ms > 0), TICK_MS * 4);
  return Math.ceil(shortest / 4);
}

/**
 * How long a pool waits before it starts the next worker while workers crash in a row. Knows times only, no workers.
 *
 * The first restart comes at once, the next ones 0.1 s apart, then 0.2 s, 0.4 s and so on up to 30 s, one start per
 * delay. Workers that were started together and crash together count once: only the crash of a worker that was started
 * after the last one counted says something new. The row ends when such a worker has been ready for 10 s.
 */

/** Of the second crash in a row. */
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;

/** A worker that has been ready this long proves that starting works. */
const PROOF_MS = 10_000;

/** Times are fractions of a ms, computed: a worker started at the moment of a crash was started after it. */
const ROUNDING_MS = 1;

export class Backoff {
  #crashes = 0;
  #lastCrashAt = Number.NEGATIVE_INFINITY; // the last one counted
  #notBefore = Number.NEGATIVE_INFINITY;

  get crashesInARow(): number {
    return this.#crashes;
  }

  /** The next start is not before this, on the caller's clock; long past when there is nothing to wait for. */
  get notBefore(): number {
    return this.#notBefore;
  }

  /** A worker was started: while workers crash in a row that uses up the delay. */
  started(now: number): void {
    if (this.#delayMs > 0) this.#notBefore = now + this.#delayMs;
  }

  /** A worker crashed, or ended before it was ready. @param readyAt since when it had been ready, if it was */
  crashed(startedAt: number, readyAt: number | undefined, now: number): void {
    if (!this.#isNews(startedAt)) return;
    if (readyAt !== undefined && now - readyAt >= PROOF_MS) this.reset();
    this.#crashes++;
    this.#lastCrashAt = now;
    if (this.#delayMs > 0) this.#notBefore = now + this.#delayMs;
  }

  /** When a worker that is ready will end the row; never (Infinity) if it says nothing about it. */
  proofAt(startedAt: number, readyAt: number): number {
    return this.#crashes > 0 && this.#isNews(startedAt) ? readyAt + PROOF_MS : Number.POSITIVE_INFINITY;
  }

  reset(): void {
    this.#crashes = 0;
    this.#lastCrashAt = Number.NEGATIVE_INFINITY;
    this.#notBefore = Number.NEGATIVE_INFINITY;
  }

  #isNews(startedAt: number): boolean {
    return startedAt >= this.#lastCrashAt - ROUNDING_MS;
  }

  get #delayMs(): number {
    return this.#crashes < 2 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#crashes - 2));
  }
}

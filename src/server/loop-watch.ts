/**
 * Notices turns of the event loop that took long because something computed in them. It beats every few milliseconds
 * while requests come, and not otherwise; a beat that is late, and whose delay was spent computing, tells.
 */

/** Between two beats, ms. */
const BEAT_MS = 5;
/** A turn that computes longer than this is told, ms. Garbage collection and compilers stay below, mostly. */
const LONG_MS = 10;
/** What a beginning or an end of a request may take: a turn full of light requests computes for none of them long, ms. */
const LIGHT_MS = 0.5;
/** Without a request it beats so often and then rests; more often while one is open. */
const IDLE_BEATS = 20;
const OPEN_BEATS = 200;

export class LoopWatch {
  readonly #onBlocked: (blockedMs: number, now: number) => void;
  readonly #hasOpen: () => boolean;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isBeating = false;
  #idleBeats = 0;
  #dueAt = 0;
  #touches = 0; // since the last beat
  #cpuUs = 0; // used by this process when the last beat ended

  /** @param onBlocked told how long the event loop stood still, in ms, and what `performance.now()` is */
  constructor(hasOpen: () => boolean, onBlocked: (blockedMs: number, now: number) => void) {
    this.#hasOpen = hasOpen;
    this.#onBlocked = onBlocked;
  }

  /** A request has come or gone. */
  touch(): void {
    this.#idleBeats = 0;
    this.#touches++;
    if (!this.#isBeating) this.#begin();
  }

  /** Beats no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isBeating = false;
  }

  #begin(): void {
    this.#isBeating = true;
    this.#touches = 0;
    this.#cpuUs = cpuUs();
    this.#dueAt = performance.now() + BEAT_MS;
    if (this.#timer !== undefined) this.#timer.refresh();
    else {
      this.#timer = setTimeout(() => this.#beat(), BEAT_MS);
      this.#timer.unref();
    }
  }

  #beat(): void {
    const now = performance.now();
    const lateMs = now - this.#dueAt;
    if (lateMs >= LONG_MS) {
      // Waiting for a processor is not ours: closing connections does not make the machine faster.
      const computedMs = (cpuUs() - this.#cpuUs) / 1000 - BEAT_MS - this.#touches * LIGHT_MS;
      const blockedMs = Math.min(lateMs, computedMs);
      if (blockedMs >= LONG_MS) this.#onBlocked(blockedMs, now);
    }
    this.#isBeating = ++this.#idleBeats < (this.#hasOpen() ? OPEN_BEATS : IDLE_BEATS);
    if (this.#isBeating) this.#begin();
  }
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * The schedule of a load.
 *
 * Closed loop: each place sends its next request when the last was answered. It finds out how much a server can do; it
 * cannot tell how long visitors wait, because a server that stalls is asked less meanwhile (coordinated omission).
 *
 * Fixed rate: request number i is due i/rate after the start, whatever happens. One that finds no free place waits in
 * line, and its time counts from when it was due. So a stall shows up in every request that came into it.
 *
 * Requests under way at the end are waited for: leaving them out would leave out the slowest.
 */
import { Exchange, type Expectation } from "./exchange.ts";
import type { Lane } from "./lane.ts";
import { Tally } from "./tally.ts";

export interface LoadOptions {
  readonly lanes: readonly Lane[];
  readonly expected: Expectation;
  /** Requests a second; absent: closed loop. */
  readonly rate: number | undefined;
  /** The load ends with whichever comes first. */
  readonly durationMs: number;
  readonly requests: number;
  /** Of each request, from when it was sent. */
  readonly timeoutMs: number;
  /** Ends it early: what has been seen counts. */
  readonly signal: AbortSignal;
  /** Called after each answer. */
  readonly onAnswer?: (tally: Tally) => void;
}

/** Requests that may wait in line, at a fixed rate; more are counted and given up. */
const MOST_WAITING = 100_000;
/** Timeouts are looked for this often. */
const SWEEP_MS = 50;
/** Connections that fail one after another, with no answer in between, end a load: there is nothing to measure. */
const MOST_FAILURES = 1000;

/** Runs one load. Never rejects: what goes wrong is in the tally. */
export function runLoad(options: LoadOptions): Promise<Tally> {
  return new Promise((resolve) => new Load(options, resolve).start());
}

class Load {
  readonly #options: LoadOptions;
  readonly #resolve: (tally: Tally) => void;
  readonly #tally: Tally = new Tally();
  /** Lanes with room, once for each place. */
  readonly #free: Lane[];
  readonly #open: Map<Exchange, Lane> = new Map();
  /** When the requests in line were due. */
  #waiting: number[] = [];
  #waitingFrom = 0;
  #startedAt = 0;
  #begun = 0;
  #failures = 0;
  #isEnding = false;
  #ticker: NodeJS.Timeout | undefined = undefined;
  #sweeper: NodeJS.Timeout | undefined = undefined;
  #ender: NodeJS.Timeout | undefined = undefined;
  readonly #stop = (): void => this.#end();

  constructor(options: LoadOptions, resolve: (tally: Tally) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#free = options.lanes.flatMap((lane) => new Array<Lane>(lane.room).fill(lane)).reverse();
  }

  start(): void {
    const { durationMs, rate, signal } = this.#options;
    this.#startedAt = performance.now();
    signal.addEventListener("abort", this.#stop);
    if (Number.isFinite(durationMs)) this.#ender = setTimeout(this.#stop, durationMs);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    if (signal.aborted) this.#end();
    else if (rate === undefined) this.#fill();
    else this.#tick(rate);
  }

  /** Closed loop: every free place sends. */
  #fill(): void {
    while (!this.#isEnding && this.#free.length > 0) {
      if (this.#begun >= this.#options.requests) {
        this.#end();
        return;
      }
      this.#begun++;
      this.#send(performance.now());
    }
  }

  /** Fixed rate: what has become due since the last look is put in line. */
  #tick(rate: number): void {
    if (this.#isEnding) return;
    const now = performance.now();
    const due = Math.min(this.#options.requests, Math.floor(((now - this.#startedAt) * rate) / 1000) + 1);
    while (this.#begun < due) {
      const dueAt = this.#startedAt + (this.#begun++ * 1000) / rate;
      if (this.#waiting.length - this.#waitingFrom < MOST_WAITING) this.#waiting.push(dueAt);
      else this.#tally.unsent++;
    }
    this.#serve();
    if (this.#begun >= this.#options.requests) this.#end();
    else {
      const next = this.#startedAt + (this.#begun * 1000) / rate - performance.now();
      this.#ticker = setTimeout(() => this.#tick(rate), Math.max(1, next));
    }
  }

  #serve(): void {
    while (this.#free.length > 0 && this.#waitingFrom < this.#waiting.length) {
      this.#send(this.#waiting[this.#waitingFrom++]!);
    }
    if (this.#waitingFrom > 1024 && this.#waitingFrom * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingFrom);
      this.#waitingFrom = 0;
    }
  }

  #send(dueAt: number): void {
    const lane = this.#free.pop()!;
    const exchange = new Exchange(dueAt, this.#options.expected, this.#onEnd);
    exchange.sentAt = performance.now();
    this.#open.set(exchange, lane);
    lane.send(exchange);
  }

  readonly #onEnd = (exchange: Exchange): void => {
    const lane = this.#open.get(exchange);
    if (lane === undefined) return;
    this.#open.delete(exchange);
    this.#tally.add(exchange);
    this.#tally.elapsedMs = exchange.endedAt - this.#startedAt;
    this.#free.push(lane);
    this.#options.onAnswer?.(this.#tally);
    if (exchange.fault === undefined) this.#failures = 0;
    else if (++this.#failures >= MOST_FAILURES) this.#end();
    // A failure costs nothing: without a pause a target that is gone would be asked as fast as this machine can.
    if (exchange.fault !== undefined) setTimeout(() => this.#next(), 10);
    else this.#next();
  };

  #next(): void {
    if (this.#isEnding) this.#finish();
    else if (this.#options.rate === undefined) this.#fill();
    else this.#serve();
  }

  #sweep(): void {
    const limit = performance.now() - this.#options.timeoutMs;
    for (const [exchange, lane] of this.#open) {
      if (exchange.sentAt > limit) break; // in the order they were sent
      lane.cut("timeout", `no whole answer within ${this.#options.timeoutMs} ms`);
    }
  }

  /** Nothing more becomes due. */
  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    clearTimeout(this.#ticker);
    clearTimeout(this.#ender);
    // A line that grew all the time is not served to its end: that may take longer than the load did.
    this.#ender = setTimeout(() => this.#giveUp(), this.#options.timeoutMs);
    this.#finish();
  }

  #giveUp(): void {
    this.#tally.unsent += this.#waiting.splice(this.#waitingFrom).length;
  }

  #finish(): void {
    // At a fixed rate the line is served to its end: its requests are the ones that waited longest.
    if (!this.#options.signal.aborted && this.#failures < MOST_FAILURES) this.#serve();
    else this.#giveUp();
    if (this.#open.size > 0) return;
    clearInterval(this.#sweeper);
    clearTimeout(this.#ender);
    this.#options.signal.removeEventListener("abort", this.#stop);
    this.#resolve(this.#tally);
  }
}

// HOT
/**
 * When a request reaches the application. A server without any of the options that need it has none of these.
 *
 *     arrives ── a probe? answered ── came late? two turns of the event loop ── room? ──> the application
 *                                                                                 └─> WAITING, first come first served
 *
 * At `maxConcurrency` the listening sockets are not accepted from, so that another process takes new connections.
 * Requests that come all the same, on kept connections, wait here; their bodies are held back as ever. One that is
 * aborted while it waits never reaches the application.
 *
 * Invariants: 1. an observer hears of each request's beginning and end exactly once; 2. no request starts while one
 * that came before it waits; 3. nothing starts inside another request's end: each start has a turn of its own.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import { ProtocolStatus } from "../protocol/records.ts";
import { publishEnd, publishStart, requestEnd, requestStart } from "./events.ts";
import type { Exchange, ExchangeWatcher, Handler } from "./exchange.ts";
import { Fairness } from "./fairness.ts";
import type { ServerHooks, ServerObserver } from "./hooks.ts";
import { LoopWatch } from "./loop-watch.ts";
import { together } from "./observers.ts";
import type { ResolvedOptions } from "./options.ts";
import { Probes } from "./probes.ts";
import { startExchange } from "./refusals.ts";
import { RequestClock } from "./request-clock.ts";
import { waitedMs } from "./request-start.ts";

/** What an admission needs of its server. */
export interface AdmissionHost {
  readonly options: ResolvedOptions;
  readonly handler: Handler;
  /** The clock of deadlines, as exact as it gets, ms. */
  readonly exactNow: number;
  /** Open ones. */
  readonly connections: number;
  /** Whether no more requests are wanted. */
  readonly isLeaving: boolean;
  /** Stops accepting, or begins again. Returns whether that was possible. */
  setAccepting(accepts: boolean): boolean;
}

/** A process that could not accept for longer than this has connections waiting that are out of date, ms. */
const UNABLE_MS = 20;
/** For how long afterwards those come, ms: as long as it lasted, within these bounds. */
const LEAST_LATE_MS = 100;
const MOST_LATE_MS = 10000;
/** `onBusy` is called at most this often, ms. */
const BUSY_MS = 100;

export class Admission implements ExchangeWatcher {
  readonly #host: AdmissionHost;
  readonly #most: number;
  readonly #queueTimeoutMs: number;
  readonly #observer: ServerObserver | undefined;
  readonly #probes: Probes | undefined;
  readonly #clock: RequestClock | undefined;
  readonly #fairness: Fairness | undefined;
  readonly #watch: LoopWatch;
  readonly #onBusy: (() => void) | undefined;
  /** Since when each has been waiting, by `performance.now()`. */
  readonly #queue = new Map<Exchange, number>();
  readonly #late = new Set<Exchange>();
  #running = 0;
  #expected = 0; // connections just accepted, whose request is about to be read
  #starting = 0; // turns asked for to start one that waits
  #hadNoRoom = false; // while accepting was stopped, not only about to be
  #pausedAt = 0; // since when accepting is stopped; 0 when it is not
  #lateUntil = 0; // connections accepted before this may be out of date; 0 when none are
  #wasBusy = false;
  #busyTimer: NodeJS.Timeout | undefined = undefined;
  #busyAt = 0;

  constructor(host: AdmissionHost, hooks: ServerHooks) {
    const { options } = host;
    this.#host = host;
    this.#most = options.maxConcurrency;
    this.#queueTimeoutMs = options.queueTimeoutMs;
    this.#observer = together(hooks.observer, options.accessLog);
    this.#onBusy = hooks.onBusy;
    this.#fairness = hooks.isShared === true ? new Fairness() : undefined;
    const { pingPath, statusPath, metricsPath, requestTimeoutMs, slowRequestMs } = options;
    if ((pingPath ?? statusPath ?? metricsPath) !== undefined)
      this.#probes = new Probes(options, hooks.onStatus);
    if (requestTimeoutMs > 0 || slowRequestMs > 0) this.#clock = new RequestClock(options);
    this.#watch = new LoopWatch(
      () => this.#running > 0,
      (blockedMs, now) => this.#onBlocked(blockedMs, now),
    );
  }

  /** Whether a server needs one. */
  static isNeeded(options: ResolvedOptions, hooks: ServerHooks): boolean {
    const { maxConcurrency, queueTimeoutMs, requestTimeoutMs, slowRequestMs, pingPath, statusPath } = options;
    const hasLimit = maxConcurrency + queueTimeoutMs + requestTimeoutMs + slowRequestMs > 0;
    return hasLimit || (pingPath ?? statusPath) !== undefined || Object.keys(hooks).length > 0;
  }

  get openRequests(): number {
    return this.#running;
  }

  get queuedRequests(): number {
    return this.#queue.size + this.#late.size;
  }

  get slowRequests(): number {
    return this.#clock?.slowRequests ?? 0;
  }

  /** Whether a request that came now would have to wait. */
  get isBusy(): boolean {
    return this.#most > 0 && this.#running >= this.#most;
  }

  /** Whether a connection that was accepted now has waited so long that the web server may be gone. */
  isLate(): boolean {
    if (this.#lateUntil === 0) return false;
    if (performance.now() < this.#lateUntil) return true;
    this.#lateUntil = 0;
    return false;
  }

  /**
   * A connection was accepted. Web servers send its request at once, which is read in the next turns: with room for one,
   * the connection behind it is a sibling's.
   */
  onAccepted(): void {
    if (this.#most === 0) return;
    this.#expected++;
    this.#update();
    setImmediate(() =>
      setImmediate(() => {
        this.#expected--;
        this.#update();
      }),
    );
  }

  /** A request is complete up to its input. @param isLate first look whether the web server is still there */
  receive(exchange: Exchange, isLate: boolean): void {
    if (this.#probes?.answers(exchange, this.#host.isLeaving) === true) return;
    exchange.watcher = this;
    this.#observer?.onRequestBegin(exchange);
    if (requestStart.hasSubscribers) publishStart(exchange);
    this.#watch.touch();
    if (isLate) this.#look(exchange);
    else this.#admit(exchange);
  }

  /** Judges every deadline; called about once a second. */
  check(): void {
    if (this.#queueTimeoutMs > 0) {
      const now = performance.now();
      for (const [exchange, since] of [...this.#queue]) this.#isOverdue(exchange, now - since);
    }
    this.#clock?.check(this.#host.exactNow);
  }

  /** Nothing runs any more. */
  stop(): void {
    this.#watch.stop();
    clearTimeout(this.#busyTimer);
  }

  // ExchangeWatcher

  onEnded(exchange: Exchange): boolean {
    exchange.watcher = undefined;
    if (requestEnd.hasSubscribers) publishEnd(exchange);
    if ((this.#queue.size > 0 && this.#queue.delete(exchange)) || this.#late.delete(exchange)) {
      this.#observer?.onRequestEnd(exchange);
    } else {
      this.#running--;
      this.#observer?.onRequestEnd(exchange);
      this.#clock?.end(exchange);
      this.#watch.touch();
    }
    if (this.#most > 0) this.#update();
    return this.#fairness?.closesConnection(this.#host.connections) === true;
  }

  /**
   * A web server that has given up has closed the connection already, but that is read behind the request: in the next
   * turn of the event loop at the latest.
   */
  #look(exchange: Exchange): void {
    this.#late.add(exchange);
    setImmediate(() =>
      setImmediate(() => {
        if (this.#late.delete(exchange)) this.#admit(exchange);
      }),
    );
  }

  #admit(exchange: Exchange): void {
    let waited = 0;
    if (this.#queueTimeoutMs > 0) {
      waited = waitedMs(exchange.params, Date.now());
      if (this.#isOverdue(exchange, waited)) return;
    }
    if (this.#most > 0 && (this.#running >= this.#most || this.#queue.size > 0)) {
      this.#queue.set(exchange, performance.now() - waited);
      this.#update();
    } else {
      this.#start(exchange);
    }
  }

  #start(exchange: Exchange): void {
    this.#running++;
    this.#clock?.begin(exchange, this.#host.exactNow);
    startExchange(exchange, this.#host.handler);
    if (this.#most > 0) this.#update();
  }

  /** Refuses what has waited too long. */
  #isOverdue(exchange: Exchange, waited: number): boolean {
    const limitMs = this.#queueTimeoutMs;
    if (limitMs === 0 || waited <= limitMs) return false;
    const message = `the request waited for more than ${limitMs} ms`;
    const error = new RemoteProtocolError("ERR_POSTERN_QUEUE_TIMEOUT", message, "request");
    exchange.log("warn", `${message}: answered 503`, { code: error.code, waitedMs: Math.round(waited) });
    this.#queue.set(exchange, 0); // where its end finds it: it never ran
    exchange.refuse(503, "Service Unavailable", error, ProtocolStatus.Overloaded);
    return true;
  }

  /** The number of requests has changed: accepts or not, starts what waits, tells who wants to know. */
  #update(): void {
    const hasNoRoom = this.#running >= this.#most || this.#queue.size > 0;
    const isFull = hasNoRoom || this.#running + this.#expected >= this.#most;
    this.#hadNoRoom ||= hasNoRoom;
    if (isFull && this.#pausedAt === 0) {
      if (this.#host.setAccepting(false)) this.#pausedAt = performance.now();
    } else if (!isFull && this.#pausedAt > 0) {
      const now = performance.now();
      this.#host.setAccepting(true);
      if (this.#hadNoRoom) this.#onUnable(now - this.#pausedAt, now);
      this.#hadNoRoom = false;
      this.#pausedAt = 0;
    }
    while (this.#starting < this.#queue.size && this.#starting < this.#most - this.#running) {
      this.#starting++;
      setImmediate(startNext, this);
    }
    if (this.#onBusy !== undefined && this.isBusy !== this.#wasBusy) this.#tellBusy(this.#onBusy);
  }

  /** @internal */
  startNext(): void {
    this.#starting--;
    if (this.#running >= this.#most) return;
    for (const [exchange, since] of this.#queue) {
      if (this.#isOverdue(exchange, performance.now() - since)) continue;
      this.#queue.delete(exchange);
      this.#start(exchange);
      return;
    }
    this.#update();
  }

  #onBlocked(blockedMs: number, now: number): void {
    this.#fairness?.onBlocked(blockedMs, now);
    if (blockedMs >= UNABLE_MS) this.#onUnable(blockedMs, now);
  }

  #onUnable(unableMs: number, now: number): void {
    const lastsMs = Math.min(Math.max(unableMs, LEAST_LATE_MS), MOST_LATE_MS);
    this.#lateUntil = Math.max(this.#lateUntil, now + lastsMs);
  }

  #tellBusy(onBusy: () => void): void {
    if (this.#busyTimer !== undefined) return;
    const inMs = Math.max(0, this.#busyAt + BUSY_MS - performance.now());
    this.#busyTimer = setTimeout(() => {
      this.#busyTimer = undefined;
      if (this.isBusy === this.#wasBusy) return;
      this.#wasBusy = this.isBusy;
      this.#busyAt = performance.now();
      onBusy();
    }, inMs);
    this.#busyTimer.unref();
  }
}

function startNext(admission: Admission): void {
  admission.startNext();
}

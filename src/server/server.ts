/**
 * The server: its listeners, the set of its connections, one clock for all deadlines, and the way down.
 *
 *     NEW --listen--> LISTENING --close--> DRAINING --last connection ended, or deadline--> CLOSED
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { UsageError } from "../base/errors.ts";
import type { AppLimits } from "../protocol/app-limits.ts";
import { SlabPool } from "../protocol/record-writer.ts";
import { Admission, type AdmissionHost } from "./admission.ts";
import { Background } from "./background.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import { DeadlineClock } from "./deadline-clock.ts";
import type { Handler } from "./exchange.ts";
import { HandleWire, type Peer, peerOf } from "./handle-wire.ts";
import type { ServerHooks, ServerLoad } from "./hooks.ts";
import { Idlest } from "./idlest.ts";
import { LastLook } from "./last-look.ts";
import { type Listener, type ListenerSink, openListeners } from "./listener.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "./options.ts";
import type { StreamHandle } from "./stream-internals.ts";
import { StreamWire } from "./stream-wire.ts";
import { Tunnels } from "./tunnels.ts";
import type { Wire } from "./wire.ts";

const ACCEPT_LOG_MS = 10000; // the same accept error is logged at most this often

/** Counters of a server since it was made. */
export interface ServerStats {
  readonly connections: number;
  readonly acceptedConnections: number;
  readonly openRequests: number;
  /** Upgraded connections, such as WebSockets. They count as no request any more. */
  readonly openTunnels: number;
  readonly acceptedRequests: number;
}

/** The longest a timer can wait, ms. */
const MOST_TIMER_MS = 2147483647;

export class Server implements ConnectionHost, AdmissionHost, ListenerSink {
  readonly handler: Handler;
  readonly options: ResolvedOptions;
  readonly admission: Admission | undefined;
  readonly slabs: SlabPool = new SlabPool();
  readonly limits: AppLimits;
  readonly tunnels: Tunnels = new Tunnels();
  readonly failurePage: ServerHooks["failurePage"];
  readonly background: Background = new Background(() => this.#onIdle());
  readonly #clock: DeadlineClock;
  /** Resolves when the server has closed, by `close()` or by its signal. */
  readonly closed: Promise<void>;
  readonly #connections = new Set<Connection>();
  readonly #idlest = new Idlest<Connection>();
  readonly #overloaded = new Set<Connection>();
  readonly #warnings = new Set<string>(); // kinds
  readonly #onCut: ((reason: string) => void) | undefined;
  readonly #isHeld: boolean;
  #listeners: Listener[] = [];
  #state: "new" | "opening" | "listening" | "draining" | "closed" = "new";
  #resolveClosed!: () => void;
  #deadline: NodeJS.Timeout | undefined = undefined;
  #leaving: NodeJS.Timeout | undefined = undefined; // drainSoon() was called, close() not yet
  #lastLook: LastLook | undefined = undefined; // draining, and still accepting what waits
  #freshConnections = 0;
  #acceptedConnections = 0;
  #acceptedRequests = 0;
  #lastAcceptLog = 0;

  /**
   * @param hooks for the process manager
   * @throws {SettingError} ERR_POSTERN_BAD_SETTING
   */
  constructor(handler: Handler, options: ServerOptions = {}, hooks: ServerHooks = {}) {
    this.handler = handler;
    this.#onCut = hooks.onCut;
    this.failurePage = hooks.failurePage;
    this.#isHeld = hooks.isHeld === true;
    this.options = resolveOptions(options, process.env, hooks.statusPath, hooks.metricsPath);
    const { maxParamsBytes, maxParams, maxRequestsPerConnection: maxRequests, maxConnections } = this.options;
    this.limits = { maxParamsBytes, maxParams, maxRequests, maxConnections };
    this.#clock = new DeadlineClock(this.options, () => this.#judge());
    this.admission = Admission.isNeeded(this.options, hooks) ? new Admission(this, hooks) : undefined;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const { signal } = options;
    if (signal !== undefined) {
      const onAbort = (): void => void this.close();
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
      void this.closed.then(() => signal.removeEventListener("abort", onAbort));
    }
  }

  /** Where it listens, as text that `bind` and `connect` options read. */
  get addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Whether every listener was opened by somebody else: this process was started by a web server or a manager. */
  get isSpawned(): boolean {
    return this.#listeners.length > 0 && this.#listeners.every((listener) => listener.isInherited);
  }

  get stats(): ServerStats {
    let openRequests = 0;
    for (const connection of this.#connections) openRequests += connection.app.openRequests;
    return {
      connections: this.#connections.size,
      acceptedConnections: this.#acceptedConnections,
      openRequests: openRequests - this.tunnels.size,
      openTunnels: this.tunnels.size,
      acceptedRequests: this.#acceptedRequests,
    };
  }

  /** What it has to do at this moment, cheap to ask for. @internal */
  get load(): ServerLoad {
    const { admission } = this;
    return {
      openRequests: admission?.openRequests ?? this.stats.openRequests,
      openTunnels: this.tunnels.size,
      queuedRequests: admission?.queuedRequests ?? 0,
      connections: this.#connections.size,
      freshConnections: this.#freshConnections,
      acceptedConnections: this.#acceptedConnections,
      acceptedRequests: this.#acceptedRequests,
      slowRequests: admission?.slowRequests ?? 0,
    };
  }

  /** Whether a request that came now would have to wait for its turn. @internal */
  get isBusy(): boolean {
    return this.admission?.isBusy === true;
  }

  /**
   * Opens every listener. With no `bind` and nothing inherited there is none, and `addresses` stays empty.
   * @throws {SettingError} naming the address and the remedy
   */
  async listen(env: NodeJS.ProcessEnv = process.env): Promise<this> {
    if (this.#state !== "new") {
      throw new UsageError("ERR_POSTERN_BAD_SETTING", `this server is ${this.#state}: listen() works once`);
    }
    this.#state = "opening";
    try {
      this.#listeners = await openListeners(this.options, this, env);
    } catch (error) {
      this.#state = "new";
      throw error;
    }
    // close() may have come meanwhile, by the signal.
    if (this.#isClosing()) this.#closeListeners();
    else this.#state = "listening";
    return this;
  }

  /**
   * Takes no new connections but those that wait already, lets open requests and work after answers (`waitUntil`) end,
   * closes. What is still open after `drainTimeoutMs` is cut, with a line in the log. Safe to call again.
   */
  close(): Promise<void> {
    if (this.#isClosing()) return this.closed;
    this.#state = "draining";
    clearTimeout(this.#leaving);
    if (this.#isHeld || this.#listeners.length === 0) this.#closeListeners();
    else this.#acceptTheLast();
    for (const connection of [...this.#connections]) connection.drain();
    const { drainTimeoutMs } = this.options;
    this.#onIdle();
    if (this.#state === "draining" && drainTimeoutMs > 0) {
      this.#deadline = setTimeout(
        () => this.destroy(`not finished within ${drainTimeoutMs} ms`),
        drainTimeoutMs,
      );
    }
    return this.closed;
  }

  /**
   * Closes in `delayMs`: until then `pingPath` answers 503, so that whoever balances the load turns elsewhere, and
   * everything else is served as before. Closing meanwhile, or a second call, does not wait for it.
   */
  drainSoon(delayMs: number): Promise<void> {
    if (!(delayMs > 0) || this.#leaving !== undefined || this.#isClosing()) return this.close();
    this.#leaving = setTimeout(() => void this.close(), Math.min(delayMs, MOST_TIMER_MS));
    return this.closed;
  }

  /** Cuts every connection now, and takes no more. */
  destroy(reason = "the server was destroyed"): void {
    this.#closeListeners();
    this.#state = this.#state === "closed" ? "closed" : "draining";
    this.cut(reason);
    const openWork = this.background.abandon();
    if (openWork > 0) this.options.logger.warn({ openWork, reason }, "work after answers was given up");
    this.#onIdle();
  }

  /** Cuts every connection now; new ones are served. */
  cut(reason: string): void {
    const openTunnels = this.tunnels.endAll(reason);
    if (openTunnels > 0) this.options.logger.info({ openTunnels, reason }, "tunnels were ended");
    const { openRequests } = this.stats;
    if (openRequests > 0) {
      this.options.logger.warn({ openRequests, reason }, "requests were cut");
      this.#onCut?.(reason);
    }
    for (const connection of [...this.#connections]) connection.destroy(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Serves a connection that was not accepted here: anything that behaves like a socket. */
  serveSocket(socket: Duplex, peer: string): void {
    this.#serve(new StreamWire(socket), peer);
  }

  #serve(wire: Wire, peer: string): void {
    if (this.#isClosing() && this.#lastLook === undefined) {
      wire.destroy();
      return;
    }
    const { maxConnections, logger } = this.options;
    const full = this.#connections.size >= maxConnections && !this.#closeIdlest();
    if (full && this.#connections.size >= 2 * maxConnections) {
      logger.warn(
        { peer, code: "ERR_POSTERN_TOO_MANY_CONNECTIONS" },
        `more than ${2 * maxConnections} connections`,
      );
      wire.destroy();
      return;
    }
    const connection = new Connection(this, wire, peer);
    this.#freshConnections++;
    this.#acceptedConnections++;
    this.admission?.onAccepted();
    this.#connections.add(connection);
    if (full) this.#overloaded.add(connection);
    if (this.#lastLook !== undefined) {
      connection.drain();
      this.#lastLook.hold(wire);
    }
    this.#clock.start();
  }

  // ListenerSink

  onSocket(socket: Socket, isTcp: boolean): void {
    const { remoteAddress: address, remotePort: port } = socket;
    this.#onAccepted(new StreamWire(socket), isTcp ? { address, port } : undefined);
  }

  onHandle(handle: StreamHandle, isTcp: boolean): void {
    this.#onAccepted(new HandleWire(handle), isTcp ? peerOf(handle) : undefined);
  }

  #onAccepted(wire: Wire, peer: Peer | undefined): void {
    // A TCP peer that has reset the connection has no address any more, but what it sent can still be read.
    if (peer !== undefined && !this.options.allowedClients.allows(peer.address)) {
      const { address } = peer;
      const fields = { peer: address, code: "ERR_POSTERN_CLIENT_NOT_ALLOWED" };
      const { logger } = this.options;
      if (address === undefined) logger.debug(fields, "connection refused: the peer is gone again");
      else logger.warn(fields, "connection refused: the address is not among allowedClients");
      wire.destroy();
      return;
    }
    this.#serve(wire, peer === undefined ? "unix" : `${peer.address ?? "?"}:${peer.port ?? "?"}`);
  }

  onAcceptError(address: string, error: Error): void {
    const now = Date.now();
    if (now - this.#lastAcceptLog < ACCEPT_LOG_MS) return;
    this.#lastAcceptLog = now;
    this.options.logger.error({ address, error }, "a connection could not be accepted; accepting goes on");
  }

  // AdmissionHost

  get connections(): number {
    return this.#connections.size;
  }

  get exactNow(): number {
    return this.#clock.exactNow;
  }

  get isLeaving(): boolean {
    return this.#leaving !== undefined || this.#isClosing();
  }

  setAccepting(accepts: boolean): boolean {
    if (this.#isClosing()) return false;
    let isSo = false;
    for (const listener of this.#listeners) isSo = listener.setAccepting(accepts) || isSo;
    return isSo;
  }

  // ConnectionHost

  get now(): number {
    return this.#clock.now;
  }

  onFirstBytes(): void {
    this.#freshConnections--;
  }

  isOverloaded(connection: Connection): boolean {
    return this.#overloaded.size > 0 && this.#overloaded.has(connection);
  }

  nextNumber(): number {
    return ++this.#acceptedRequests;
  }

  warnOnce(kind: string, warning: string): void {
    if (this.#warnings.has(kind)) return;
    this.#warnings.add(kind);
    this.options.logger.warn({ rule: kind }, warning);
  }

  onConnectionEnd(connection: Connection): void {
    this.#connections.delete(connection);
    this.#overloaded.delete(connection);
    if (connection.isFresh) this.#freshConnections--;
    if (this.#connections.size === 0) this.#onIdle();
  }

  /** A connection has ended, or work after an answer: perhaps it was the last that a close waits for. */
  #onIdle(): void {
    const isIdle = this.#connections.size === 0 && this.background.size === 0;
    if (this.#state === "draining" && isIdle && this.#lastLook === undefined) this.#finish();
  }

  #isClosing(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  #acceptTheLast(): void {
    for (const listener of this.#listeners) {
      listener.hide();
      listener.setAccepting(true);
    }
    this.#lastLook = new LastLook({
      accepted: () => this.#acceptedConnections,
      close: () => {
        this.#closeListeners();
        this.#onIdle();
      },
    });
    this.#lastLook.begin(this.isSpawned && this.stats.openRequests === 0);
  }

  #closeListeners(): void {
    for (const listener of this.#listeners) listener.close();
    this.#listeners = [];
    this.#lastLook?.end();
    this.#lastLook = undefined;
  }

  #finish(): void {
    this.#state = "closed";
    for (const timer of [this.#deadline, this.#leaving]) clearTimeout(timer);
    this.admission?.stop();
    this.options.accessLog?.close();
    this.#resolveClosed();
  }

  /** Makes room by closing the kept connection that has been idle longest. Returns whether there was one. */
  #closeIdlest(): boolean {
    const idlest = this.#idlest.take(this.#connections);
    idlest?.destroy("room for a new connection");
    return idlest !== undefined;
  }

  /** Judges every deadline. Returns whether there will be more to judge. */
  #judge(): boolean {
    for (const connection of this.#connections) connection.check(this.now);
    if (this.#connections.size < this.options.maxConnections) this.#idlest.forget();
    this.admission?.check();
    return this.#connections.size > 0;
  }
}

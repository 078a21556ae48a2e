/**
 * The server: its listeners, the set of its connections, one clock for all deadlines, and the way down.
 *
 *     NEW --listen--> LISTENING --close--> DRAINING --last connection ended, or deadline--> CLOSED
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { UsageError } from "../base/errors.ts";
import { SlabPool } from "../protocol/record-writer.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import type { Handler } from "./exchange.ts";
import { type Listener, type ListenerSink, openListeners } from "./listener.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "./options.ts";

/** Deadlines are judged this often, ms; shorter when a deadline is. */
const SWEEP_MS = 1000;
/** The same accept error is logged at most this often, ms. */
const ACCEPT_LOG_MS = 10000;

/** Counters of a server since it was made. */
export interface ServerStats {
  readonly connections: number;
  readonly acceptedConnections: number;
  readonly openRequests: number;
  readonly acceptedRequests: number;
}

export class Server implements ConnectionHost, ListenerSink {
  readonly handler: Handler;
  readonly options: ResolvedOptions;
  readonly slabs: SlabPool = new SlabPool();
  /**
   * The clock of all deadlines, ms. It stands still while the process does (a blocked event loop, a suspended
   * machine): bytes that came meanwhile are read before anybody is judged for not having sent them.
   */
  now = 1;
  #tickedAt = 0;
  /** Resolves when the server has closed, by `close()` or by its signal. */
  readonly closed: Promise<void>;
  readonly #connections = new Set<Connection>();
  readonly #overloaded = new Set<Connection>();
  readonly #warnings = new Set<string>(); // kinds
  #listeners: Listener[] = [];
  #state: "new" | "opening" | "listening" | "draining" | "closed" = "new";
  #resolveClosed!: () => void;
  #sweep: NodeJS.Timeout | undefined = undefined;
  #deadline: NodeJS.Timeout | undefined = undefined;
  #acceptedConnections = 0;
  #acceptedRequests = 0;
  #lastAcceptLog = 0;

  /** @throws {SettingError} ERR_POSTERN_BAD_SETTING */
  constructor(handler: Handler, options: ServerOptions = {}) {
    this.handler = handler;
    this.options = resolveOptions(options);
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
      openRequests,
      acceptedRequests: this.#acceptedRequests,
    };
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
   * Takes no new connections, lets open requests end, closes. Those still open after `drainTimeoutMs` are cut, with
   * a line in the log. Safe to call again.
   */
  close(): Promise<void> {
    if (this.#isClosing()) return this.closed;
    this.#state = "draining";
    this.#closeListeners();
    for (const connection of [...this.#connections]) connection.drain();
    const { drainTimeoutMs } = this.options;
    if (this.#connections.size === 0) this.#finish();
    else if (drainTimeoutMs > 0) {
      this.#deadline = setTimeout(
        () => this.destroy(`not finished within ${drainTimeoutMs} ms`),
        drainTimeoutMs,
      );
    }
    return this.closed;
  }

  /** Cuts every connection now. */
  destroy(reason = "the server was destroyed"): void {
    this.#closeListeners();
    const { openRequests } = this.stats;
    if (openRequests > 0) {
      this.options.logger.warn({ openRequests, reason }, "requests were cut");
    }
    this.#state = this.#state === "closed" ? "closed" : "draining";
    for (const connection of [...this.#connections]) connection.destroy(reason);
    if (this.#connections.size === 0) this.#finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Serves a connection that was not accepted here: anything that behaves like a socket. */
  serveSocket(socket: Duplex, peer: string): void {
    if (this.#isClosing()) {
      socket.destroy();
      return;
    }
    const { maxConnections, logger } = this.options;
    const full = this.#connections.size >= maxConnections && !this.#closeIdlest();
    if (full && this.#connections.size >= 2 * maxConnections) {
      logger.warn(
        { peer, code: "ERR_POSTERN_TOO_MANY_CONNECTIONS" },
        `more than ${2 * maxConnections} connections`,
      );
      socket.destroy();
      return;
    }
    const connection = new Connection(this, socket, peer);
    this.#acceptedConnections++;
    this.#connections.add(connection);
    if (full) this.#overloaded.add(connection);
    this.#startSweep();
  }

  // ListenerSink

  onSocket(socket: Socket, isTcp: boolean): void {
    const { remoteAddress, remotePort } = socket;
    // A TCP peer that has reset the connection has no address any more, but what it sent can still be read.
    if (isTcp && !this.options.allowedClients.allows(remoteAddress)) {
      const fields = { peer: remoteAddress, code: "ERR_POSTERN_CLIENT_NOT_ALLOWED" };
      const { logger } = this.options;
      if (remoteAddress === undefined) logger.debug(fields, "connection refused: the peer is gone again");
      else logger.warn(fields, "connection refused: the address is not among allowedClients");
      socket.destroy();
      return;
    }
    this.serveSocket(socket, isTcp ? `${remoteAddress ?? "?"}:${remotePort ?? "?"}` : "unix");
  }

  onAcceptError(address: string, error: Error): void {
    const now = Date.now();
    if (now - this.#lastAcceptLog < ACCEPT_LOG_MS) return;
    this.#lastAcceptLog = now;
    this.options.logger.error({ address, error }, "a connection could not be accepted; accepting goes on");
  }

  // ConnectionHost

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
    if (this.#connections.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
    if (this.#state === "draining") this.#finish();
  }

  #isClosing(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  #closeListeners(): void {
    for (const listener of this.#listeners) listener.close();
    this.#listeners = [];
  }

  #finish(): void {
    this.#state = "closed";
    clearTimeout(this.#deadline);
    this.#resolveClosed();
  }

  /** Makes room by closing the kept connection that has been idle longest. Returns whether there was one. */
  #closeIdlest(): boolean {
    let idlest: Connection | undefined;
    for (const connection of this.#connections) {
      if (connection.isIdle && (idlest === undefined || connection.lastReceive < idlest.lastReceive)) {
        idlest = connection;
      }
    }
    idlest?.destroy("room for a new connection");
    return idlest !== undefined;
  }

  #startSweep(): void {
    if (this.#sweep !== undefined) return;
    const { recordTimeoutMs, idleTimeoutMs, stallTimeoutMs, lingerTimeoutMs } = this.options;
    const shortest = Math.min(
      ...[recordTimeoutMs, idleTimeoutMs, stallTimeoutMs, lingerTimeoutMs].filter((ms) => ms > 0),
      SWEEP_MS * 4,
    );
    const everyMs = Math.ceil(shortest / 4);
    this.#tickedAt = performance.now();
    this.#sweep = setInterval(() => {
      const at = performance.now();
      this.now += Math.min(at - this.#tickedAt, 2 * everyMs);
      this.#tickedAt = at;
      for (const connection of this.#connections) connection.check(this.now);
    }, everyMs);
    this.#sweep.unref();
  }
}

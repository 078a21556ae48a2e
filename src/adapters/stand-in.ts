/**
 * An `http.Server` that listens as far as anybody can see, while Postern serves it: no port is opened.
 *
 * The server's handle, which Node makes around a listening socket, is replaced by one that does nothing. So Node's own
 * code answers `listening`, `address()`, `ref()`, a second `listen()`, `close()` and `Symbol.asyncDispose`, whatever was
 * wrapped around those methods. What is used of node:net beyond its documentation is named in `Internals`, is the same
 * in Node 20, 22, 24 and 26, and is tried out before the first use.
 */

import { isIPv6 } from "node:net";
import { UsageError } from "../base/errors.ts";
import { HttpServer } from "../base/node-http.ts";
import type { Asked } from "./listen-arguments.ts";

/** The undocumented members of net.Server. */
interface Internals {
  _handle: Handle | null;
  _pipeName?: string | undefined;
  /** Connections that are open: while there are any, 'close' waits. */
  _connections: number;
  /** Emits 'close' when there is no handle and no connection. */
  _emitCloseIfDrained(): void;
}

/** What node:net calls of a handle. */
interface Handle {
  close(): void;
  ref(): void;
  unref(): void;
  /** Absent for a unix socket. */
  getsockname?(out: object): number;
}

/** Who serves in the name of the server. */
export interface Substitute {
  /** The application closed the server: nothing new is taken. Resolves when what was open is over. */
  close(): Promise<unknown>;
  /** Cuts every request that is open. */
  cut(): void;
  openRequests(): number;
}

const NO_ADDRESS = "::"; // what Node says when every address was asked for

export class StandIn {
  readonly server: HttpServer;
  readonly asked: Asked;
  readonly #handle: Handle;

  /** From now on the server is `listening`; nobody has been told yet. */
  constructor(server: HttpServer, asked: Asked, substitute: Substitute) {
    this.server = server;
    this.asked = asked;
    const internals = internalsOf(server);
    const handle = makeHandle(asked);
    handle.close = (): void => {
      internals._connections++; // so that Node does not emit 'close' at once
      void substitute.close().then(() => {
        internals._connections--;
        internals._emitCloseIfDrained();
      });
    };
    this.#handle = handle;
    if (asked.callback !== undefined) server.once("listening", asked.callback);
    internals._handle = handle;
    if (asked.path !== undefined) internals._pipeName = asked.path;
    count(server, substitute);
    if (asked.signal !== undefined) closeOn(server, asked.signal);
  }

  /** Whether it listens still: the application has not closed it. */
  get isListening(): boolean {
    return internalsOf(this.server)._handle === this.#handle;
  }

  /**
   * Emits 'listening', as Node does unless the server was closed meanwhile. In a tick of its own: what a listener
   * throws is the application's uncaught exception, not an error of ours.
   */
  announce(): void {
    process.nextTick(() => {
      if (this.isListening) this.server.emit("listening");
    });
  }

  /** Postern has stopped serving by itself: whoever waits for 'close' is told. */
  close(): void {
    if (this.isListening) this.server.close();
  }
}

/** The methods that only the substitute can answer. */
function count(server: HttpServer, substitute: Substitute): void {
  const cutHttp = server.closeAllConnections;
  server.closeAllConnections = function (this: HttpServer): void {
    cutHttp.call(this);
    substitute.cut();
  };
  server.getConnections = function (this: HttpServer, callback): HttpServer {
    process.nextTick(callback, null, substitute.openRequests());
    return this;
  };
}

function closeOn(server: HttpServer, signal: AbortSignal): void {
  const onAbort = (): void => void server.close();
  if (signal.aborted) {
    process.nextTick(onAbort);
    return;
  }
  signal.addEventListener("abort", onAbort, { once: true });
  server.once("close", () => signal.removeEventListener("abort", onAbort));
}

function makeHandle(asked: Asked): Handle {
  const handle: Handle = { close() {}, ref() {}, unref() {} };
  if (asked.path === undefined) {
    handle.getsockname = (out): number => {
      const address = asked.host === "localhost" ? "127.0.0.1" : (asked.host ?? NO_ADDRESS);
      Object.assign(out, {
        address,
        family: isIPv6(address) ? "IPv6" : "IPv4",
        port: asked.port ?? 0,
      });
      return 0;
    };
  }
  return handle;
}

function internalsOf(server: HttpServer): Internals {
  return server as unknown as Internals;
}

/** @throws {UsageError} ERR_POSTERN_BAD_APP: this runtime's node:net is not one we know */
export function checkStandIn(): void {
  const server = new HttpServer();
  const internals = internalsOf(server);
  let isClosed = false;
  const handle = makeHandle({
    port: 1,
    host: undefined,
    path: undefined,
    signal: undefined,
    callback: undefined,
  });
  handle.close = (): void => {
    isClosed = true;
  };
  internals._handle = handle;
  const { port } = Object(server.address()) as { port?: unknown };
  const wasListening = server.listening;
  if (typeof internals._emitCloseIfDrained === "function" && internals._connections === 0) server.close();
  if (wasListening && port === 1 && isClosed && internals._handle === null) return;
  throw new UsageError(
    "ERR_POSTERN_BAD_APP",
    `node:net of ${process.version} lacks what the interception of listen() builds on: use a supported Node (20.19, 22, 24, 26), or export the application instead of calling listen()`,
  );
}

/**
 * The side listener of `--ws-http`: plain HTTP, for upgrades alone. Web servers that cannot carry a WebSocket over
 * FastCGI pass those requests on by HTTP, to here, in the same process as everything else; the application's own
 * http.Server gets the real socket. Any other request is told that it is wrong here.
 *
 * It is no way round the web server: who may connect is decided as for FastCGI, by file permissions, by loopback or by
 * allowedClients. Unlike there, the client's address and the like are HTTP headers that the web server must set.
 */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer, type HttpServer, type IncomingMessage } from "../base/node-http.ts";
import { type Listener, type ListenerSink, openListeners } from "../server/listener.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "../server/options.ts";
import type { Part } from "./front.ts";

const WRONG_HERE =
  "Upgrades alone, such as WebSockets, come here by HTTP (--ws-http); everything else goes to the web server's FastCGI address.\n";
const NOBODY = "The application takes no upgrades: it is no http.Server with an 'upgrade' listener.\n";

/** While draining, how long a connection may take to ask for its tunnel, ms. */
const LAST_REQUEST_MS = 1000;

export class WsHttp implements ListenerSink, Part {
  readonly options: ResolvedOptions;
  readonly closed: Promise<void>;
  readonly #target: () => HttpServer | undefined;
  readonly #base: string;
  readonly #http: HttpServer;
  readonly #sockets = new Set<Socket>();
  readonly #tunnels = new Set<Duplex>();
  #listeners: Listener[] = [];
  #isClosing = false;
  #deadline: NodeJS.Timeout | undefined = undefined;
  #resolveClosed!: () => void;

  /**
   * @param target the application's http.Server, if it is one by now
   * @param options `bind`, and those that go with it; `base` is taken off the URL, as over FastCGI
   */
  constructor(target: () => HttpServer | undefined, options: ServerOptions) {
    this.options = resolveOptions(options);
    this.#target = target;
    this.#base = options.base ?? "";
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#http = createServer((_request, response) => {
      response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" });
      response.end(WRONG_HERE);
    });
    this.#http.on("upgrade", (request, socket, head) => this.#onUpgrade(request, socket, head));
  }

  /** @throws {SettingError} naming the address and the remedy */
  async listen(): Promise<this> {
    this.#listeners = await openListeners(this.options, this, process.env);
    return this;
  }

  get addresses(): readonly string[] {
    return this.#listeners.map(({ address }) => address);
  }

  get openTunnels(): number {
    return this.#tunnels.size;
  }

  get stats(): { readonly openRequests: number } {
    return { openRequests: 0 };
  }

  /** Takes nothing new, and lets tunnels be until `drainTimeoutMs`. */
  close(): Promise<void> {
    if (this.#isClosing) return this.closed;
    this.#isClosing = true;
    for (const listener of this.#listeners) listener.close();
    // One that was accepted a moment ago has yet to say what it wants.
    setTimeout(() => {
      for (const socket of this.#sockets) this.#endUnlessTunnel(socket);
    }, LAST_REQUEST_MS).unref();
    const { drainTimeoutMs } = this.options;
    if (this.#sockets.size === 0) this.#resolveClosed();
    else if (drainTimeoutMs > 0) {
      this.#deadline = setTimeout(() => this.cut(`not finished within ${drainTimeoutMs} ms`), drainTimeoutMs);
    }
    return this.closed;
  }

  cut(reason: string): void {
    const openTunnels = this.#tunnels.size;
    if (openTunnels > 0) this.options.logger.info({ openTunnels, reason }, "tunnels were ended");
    for (const socket of this.#sockets) socket.destroy();
  }

  destroy(reason: string): void {
    void this.close();
    this.cut(reason);
  }

  // ListenerSink

  onSocket(socket: Socket, isTcp: boolean): void {
    const { logger, allowedClients } = this.options;
    if (isTcp && !allowedClients.allows(socket.remoteAddress)) {
      const fields = { peer: socket.remoteAddress, code: "ERR_POSTERN_CLIENT_NOT_ALLOWED" };
      logger.warn(fields, "connection refused: the address is not among allowedClients");
      socket.destroy();
      return;
    }
    const { maxConnections, recordTimeoutMs } = this.options;
    if (this.#sockets.size >= maxConnections) {
      logger.warn({}, `connection refused: more than ${maxConnections} connections`);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    // Nothing but a tunnel has a reason to stay. Node's own deadlines are only kept by a server that listens itself.
    const deadline =
      recordTimeoutMs > 0 ? setTimeout(() => this.#endUnlessTunnel(socket), recordTimeoutMs) : undefined;
    deadline?.unref();
    socket.once("close", () => {
      clearTimeout(deadline);
      this.#sockets.delete(socket);
      this.#tunnels.delete(socket);
      if (!this.#isClosing || this.#sockets.size > 0) return;
      clearTimeout(this.#deadline);
      this.#resolveClosed();
    });
    this.#http.emit("connection", socket);
  }

  onAcceptError(address: string, error: Error): void {
    this.options.logger.error({ address, error }, "a connection could not be accepted; accepting goes on");
  }

  #endUnlessTunnel(socket: Socket): void {
    if (!this.#tunnels.has(socket)) socket.destroy();
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Visitors leave: that must not end the process of an application that did not think of it.
    socket.on("error", () => {});
    const server = this.#target();
    if (server === undefined || server.listenerCount("upgrade") === 0) {
      socket.end(
        `HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${NOBODY.length}\r\n\r\n${NOBODY}`,
      );
      socket.resume(); // or its end is never seen
      return;
    }
    this.#tunnels.add(socket);
    const mounted = request as IncomingMessage & { baseUrl?: string; originalUrl?: string };
    const url = request.url ?? "/";
    mounted.originalUrl = url;
    mounted.baseUrl = "";
    const base = this.#base;
    if (base !== "" && url.startsWith(base) && /^(?:$|[/?])/.test(url.slice(base.length))) {
      mounted.baseUrl = base;
      request.url = url.slice(base.length).replace(/^(?!\/)/, "/");
    }
    server.emit("upgrade", request, socket, head);
  }
}

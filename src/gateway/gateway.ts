/**
 * An HTTP server in front of a FastCGI application: the development default, and a front of its own for small sites.
 * Upgrade requests are passed on as ordinary ones, without the Upgrade field: FastCGI has no tunnel to offer here.
 */

import { parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import {
  createServer,
  type HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "../base/node-http.ts";
import { markOwn } from "../base/own-server.ts";
import { addressText } from "../base/settings.ts";
import { Forward } from "./forward.ts";
import { type GatewayOptions, type ResolvedGateway, resolveGateway } from "./options.ts";

/** An HTTP front. Use `listen`, or `handler` in a server of your own (TLS, HTTP/1 only). */
export class Gateway {
  /** Answers one HTTP request. */
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void;
  readonly #gateway: ResolvedGateway;
  readonly #server: HttpServer;
  #isClosing = false;

  /** @internal */
  constructor(gateway: ResolvedGateway) {
    this.#gateway = gateway;
    this.handler = (req, res) => {
      // A connection that was busy when we began to close would be kept until its timeout.
      res.once("close", () => {
        if (this.#isClosing) setImmediate(() => this.#server.closeIdleConnections());
      });
      void new Forward(gateway, req, res).run();
    };
    this.#server = createServer(
      {
        headersTimeout: gateway.headTimeoutMs,
        // A body may take as long as it moves: the client's timeoutMs watches it.
        requestTimeout: 0,
        keepAliveTimeout: gateway.keepAliveTimeoutMs,
        connectionsCheckingInterval: 5000,
      },
      this.handler,
    );
    this.#server.maxConnections = gateway.maxConnections;
    this.#server.maxHeadersCount = 0; // none is dropped silently; Node bounds the bytes (16 KiB, then 431)
    this.#server.on("checkContinue", (req: IncomingMessage, res: ServerResponse) => {
      // Before a body that would be refused, the refusal saves the client from sending it.
      if (!isTooLarge(req, gateway.maxBodyBytes)) res.writeContinue();
      this.handler(req, res);
    });
  }

  /** The HTTP server. */
  get server(): HttpServer {
    return this.#server;
  }

  /** Where it can be reached, such as `http://localhost:8080/`; undefined when it does not listen on TCP. */
  get url(): string | undefined {
    const address = this.#server.address();
    if (address === null || typeof address === "string") return undefined;
    const isAny = address.address === "::" || address.address === "0.0.0.0";
    const isLocal = isAny || address.address === "127.0.0.1" || address.address === "::1";
    const host = isLocal ? "localhost" : address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `http://${host}:${address.port}${this.#gateway.mount}/`;
  }

  /**
   * Starts to accept HTTP connections.
   * @param address `:8080` (every interface; this machine only in development), `host:port`, `[::1]:8080`, `unix:/path`,
   *   or a listening socket that was inherited, `fd:3`
   * @throws {SettingError} `ERR_POSTERN_ADDRESS`; and as `cause` why it cannot be used
   */
  async listen(address: string): Promise<void> {
    const parsed = parseAddress(addressText("listen", address), "listen");
    const server = this.#server;
    let where: { path: string } | { port: number; host?: string } | { fd: number };
    if (parsed.kind === "tcp") {
      const host = parsed.host !== "" ? parsed.host : this.#gateway.development ? "localhost" : undefined;
      where = host === undefined ? { port: parsed.port } : { port: parsed.port, host };
    } else if (parsed.kind === "unix") {
      where = { path: parsed.path };
    } else if (parsed.kind === "fd") {
      where = { fd: parsed.fd };
    } else {
      throw new SettingError(
        "ERR_POSTERN_ADDRESS",
        `listen ${printAddress(parsed)}: HTTP listens on TCP, a unix socket or an inherited descriptor`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: NodeJS.ErrnoException): void => {
        const message = `cannot listen on ${printAddress(parsed)}: ${explain(cause.code ?? cause.message)}`;
        reject(new SettingError("ERR_POSTERN_ADDRESS", message, { cause }));
      };
      server.once("error", failed);
      markOwn(server).listen(where, () => {
        server.off("error", failed);
        resolve();
      });
    });
  }

  /** Accepts nothing new, lets open requests finish, closes the connections to the application. */
  async close(): Promise<void> {
    const server = this.#server;
    const { drainTimeoutMs, ownPool } = this.#gateway;
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const timer =
      drainTimeoutMs > 0 ? setTimeout(() => server.closeAllConnections(), drainTimeoutMs) : undefined;
    await closed;
    clearTimeout(timer);
    await ownPool?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Makes a gateway; `listen` starts it.
 * @throws {UsageError} neither `connect` nor `pool`
 * @throws {SettingError} `ERR_POSTERN_ADDRESS`, `ERR_POSTERN_BAD_SETTING`
 */
export function createGateway(options: GatewayOptions): Gateway {
  return new Gateway(resolveGateway(options));
}

function isTooLarge(req: IncomingMessage, maxBodyBytes: number): boolean {
  return maxBodyBytes > 0 && Number(req.headers["content-length"] ?? 0) > maxBodyBytes;
}

function explain(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "something else listens there already (EADDRINUSE); stop it, or choose another port";
    case "EACCES":
      return "this user may not (EACCES); choose a port from 1024, or a folder it may write to";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address (EADDRNOTAVAIL)";
    default:
      return code;
  }
}

// HOT
/**
 * The socket that Node's own IncomingMessage and ServerResponse think they talk to: one per request, carrying what
 * the web server says about the client, passing the body up and the response down to the exchange.
 *
 * A real Duplex, because frameworks listen to it, pipe it, `finished()` it and destroy it; but `write`, `cork`,
 * `pause` and `resume` go straight to the exchange, whose connection does the buffering and the flow control.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import { AppError } from "../base/errors.ts";
import { type Addresses, addresses, tlsFacts } from "../cgi/environ.ts";
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { emitDrain, type ResponseInternals } from "./http-internals.ts";

/** Options of every ExchangeSocket: it must outlive the end of either direction. */
const OPTIONS = { allowHalfOpen: true, autoDestroy: false, emitClose: true } as const;

type WriteCallback = (error?: Error | null) => void;

export class ExchangeSocket extends Duplex implements InputSink {
  readonly #exchange: Exchange;
  #addresses: Addresses | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** Idle timeout in ms as set by setTimeout; 0 is none. */
  timeout = 0;
  readonly connecting: boolean = false;
  /** Set by the adapter right after construction. */
  request!: IncomingMessage;
  /** The response this socket carries; the name is what node:http looks for. */
  _httpMessage: ServerResponse | null = null;

  /** As on an accepted socket: the http.Server that the application was made with, if any. */
  readonly server: HttpServer | undefined;
  #awaitsDrain = false;

  constructor(exchange: Exchange, server: HttpServer | undefined) {
    super(OPTIONS);
    this.#exchange = exchange;
    this.server = server;
  }

  // What the web server says about the client

  get remoteAddress(): string | undefined {
    return this.#facts.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.#facts.remotePort;
  }
  get remoteFamily(): string | undefined {
    return family(this.#facts.remoteAddress);
  }
  get localAddress(): string | undefined {
    return this.#facts.localAddress;
  }
  get localPort(): number | undefined {
    return this.#facts.localPort;
  }
  get localFamily(): string | undefined {
    return family(this.#facts.localAddress);
  }
  /** Whether the client came over TLS, as the web server vouches. */
  get encrypted(): boolean {
    return this.#facts.encrypted;
  }
  /** Whether the web server verified a client certificate. */
  get authorized(): boolean {
    return this.#exchange.params.get("SSL_CLIENT_VERIFY") === "SUCCESS";
  }
  address(): object {
    const { localAddress, localPort } = this.#facts;
    return { address: localAddress, family: family(localAddress), port: localPort };
  }
  /** The client certificate as far as SSL_* parameters tell; `{}` without one, as node:tls has it. */
  getPeerCertificate(): object {
    const facts = tlsFacts(this.#exchange.params);
    if (facts?.subject === undefined) return {};
    return {
      subject: facts.subject,
      issuer: facts.issuer,
      serialNumber: facts.serialNumber,
      valid_from: facts.validFrom,
      valid_to: facts.validTo,
      pem: facts.certificate,
    };
  }
  getProtocol(): string | null {
    return tlsFacts(this.#exchange.params)?.protocol ?? null;
  }
  getCipher(): object {
    const name = tlsFacts(this.#exchange.params)?.cipher;
    return name === undefined ? {} : { name };
  }

  get #facts(): Addresses {
    this.#addresses ??= addresses(this.#exchange.params);
    return this.#addresses;
  }

  // The body, on its way up

  onPiece(piece: Buffer): void {
    if (this.#timer !== undefined) this.#timer.refresh();
    if (!this.request.push(piece)) this.#exchange.stdin.pause();
  }

  onEnd(): void {
    this.request.complete = true;
    this.request.push(null);
  }

  onFail(cause: Error): void {
    this.request.destroy(connectionReset(cause));
  }

  override resume(): this {
    this.#exchange.stdin.resume();
    return this;
  }

  override pause(): this {
    this.#exchange.stdin.pause();
    return this;
  }

  override _read(): void {}

  // The response, on its way down

  override write(
    data: unknown,
    encoding?: BufferEncoding | WriteCallback | null,
    callback?: WriteCallback,
  ): boolean {
    if (typeof encoding === "function") return this.write(data, undefined, encoding);
    if (this.#timer !== undefined) this.#timer.refresh();
    const exchange = this.#exchange;
    const response = this._httpMessage as unknown as ResponseInternals | null;
    // Interim answers (100, 102, 103) come before the head: no web server relays them soundly, so they end here.
    if (response?._headerSent === true) {
      if (typeof data === "string") {
        this.#writeString(response, data, encoding ?? "utf8");
      } else {
        exchange.sendBytes(data as Uint8Array);
      }
    }
    if (typeof callback === "function") exchange.afterFlush(callback);
    if (!exchange.isCongested) return true;
    if (!this.#awaitsDrain) {
      this.#awaitsDrain = true;
      exchange.afterFlush(() => this.#onDrain());
    }
    return false;
  }

  #onDrain(): void {
    this.#awaitsDrain = false;
    if (this._httpMessage !== null) emitDrain(this._httpMessage);
    this.emit("drain");
  }

  #writeString(response: ResponseInternals, data: string, encoding: BufferEncoding): void {
    const exchange = this.#exchange;
    if (exchange.isHeadSent) {
      exchange.sendText(data, encoding);
      return;
    }
    // node:http puts head and first piece into one string. The head is latin1 whatever the body is.
    const head = response._header as string;
    exchange.sendHead(head);
    if (data.length > head.length) exchange.sendText(data.slice(head.length), encoding);
  }

  override cork(): void {}
  override uncork(): void {}

  /** node:http never ends the socket of a request; an application that does wants it closed. */
  override end(): this {
    this.destroy();
    return this;
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    if (!this.#exchange.isEnded) {
      this.#exchange.fail(
        error ??
          new AppError(
            "ERR_POSTERN_RESPONSE_STATE",
            "the application destroyed the request before the response was complete",
          ),
      );
    }
    // Nobody listens for errors of a socket they never made; request and response have their own.
    callback(null);
  }

  // What else sockets have

  /** As net.Socket: 'timeout' on request, response and socket; destroyed if nobody listens. */
  setTimeout(ms: number, callback?: () => void): this {
    this.timeout = ms;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (callback !== undefined) {
      if (ms === 0) this.removeListener("timeout", callback);
      else this.once("timeout", callback);
    }
    if (ms > 0) this.#timer = setTimeout(() => this.#onTimeout(), ms).unref();
    return this;
  }

  #onTimeout(): void {
    const heard = [
      !this.request.complete && this.request.emit("timeout", this),
      this._httpMessage?.emit("timeout", this) ?? false,
      this.emit("timeout"),
    ];
    if (!heard.includes(true)) this.destroy();
  }

  /** The response is complete. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#exchange.end();
  }

  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

/** The error node:http gives a request whose client went away. */
export function connectionReset(cause: Error): Error {
  return Object.assign(new Error("aborted", { cause }), { code: "ECONNRESET" });
}

function family(address: string | undefined): string | undefined {
  return address === undefined ? undefined : address.includes(":") ? "IPv6" : "IPv4";
}

// HOT
/**
 * The socket that Node's own IncomingMessage and ServerResponse think they talk to: one per request, carrying what
 * the web server says about the client, passing the body up and the response down to the exchange.
 *
 * A Duplex, because frameworks listen to it, pipe it, `finished()` it and destroy it; but `write`, `cork`,
 * `pause` and `resume` go straight to the exchange, whose connection does the buffering and the flow control.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import { AppError } from "../base/errors.ts";
import { clientCertificate, isClientVerified } from "../cgi/client-certificate.ts";
import { type Addresses, addresses } from "../cgi/environ.ts";
import { tlsConnection } from "../cgi/gateway-facts.ts";
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { asUtf8 } from "./http-head.ts";
import {
  emitClose,
  emitDrain,
  isEndKnown,
  type RequestInternals,
  type ResponseInternals,
  readsItsSocket,
  type WritableInternals,
} from "./http-internals.ts";
import { LateDuplex } from "./late-duplex.ts";
import type { ServerTraits } from "./server-traits.ts";

const DESTROYED = "the application destroyed the request before the response was complete";

type WriteCallback = (error?: Error | null) => void;

export class ExchangeSocket extends LateDuplex implements InputSink {
  readonly #exchange: Exchange;
  #addresses: Addresses | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** Idle timeout in ms as set by setTimeout; 0 is none. */
  timeout = 0;
  readonly connecting: boolean = false;
  /** Of the request's body. */
  bytesRead = 0;
  /** Of the answer, its head included. Text counts by its characters: to count bytes costs more than to send them. */
  bytesWritten = 0;
  /** Set by the adapter right after construction. */
  request!: IncomingMessage;
  /** The response this socket carries; the name is what node:http looks for. */
  _httpMessage: ServerResponse | null = null;

  /** As on an accepted socket: the http.Server of the application. */
  readonly server: HttpServer;
  /** `readableHighWaterMark`, see below. */
  readonly highWaterMark: number;
  /** Whether the response came as one piece, see response-end.ts. */
  isWhole = false;
  #awaitsDrain = false;
  #owesEnd = false; // the body has ended, and nobody has begun to read it
  #isFinished = false; // 'finish' was emitted: what happens to the connection is no abort of the request
  #cause: Error | undefined = undefined; // why the client is gone

  constructor(exchange: Exchange, traits: ServerTraits) {
    super(traits.socketOptions);
    this.#exchange = exchange;
    this.server = traits.server;
    this.highWaterMark = traits.socketOptions.highWaterMark;
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
  /** A plain member of a TLS socket, and some applications set it. */
  set encrypted(value: boolean) {
    Object.defineProperty(this, "encrypted", { value, writable: true, configurable: true, enumerable: true });
  }
  /** Whether the web server verified a client certificate. */
  get authorized(): boolean {
    return isClientVerified(this.#exchange.client);
  }
  address(): object {
    const { localAddress, localPort } = this.#facts;
    return { address: localAddress, family: family(localAddress), port: localPort };
  }
  /** The client certificate as far as SSL_* parameters tell; `{}` without one, as node:tls has it. */
  getPeerCertificate(): object {
    const certificate = this.encrypted ? clientCertificate(this.#exchange.client) : undefined;
    if (certificate === undefined) return {};
    return {
      subject: certificate.subject,
      issuer: certificate.issuer,
      serialNumber: certificate.serial,
      fingerprint: certificate.fingerprint,
      valid_from: certificate.notBefore,
      valid_to: certificate.notAfter,
      pem: certificate.pem,
    };
  }
  getProtocol(): string | null {
    return tlsConnection(this.#exchange.client)?.protocol ?? null;
  }
  getCipher(): object {
    const name = tlsConnection(this.#exchange.client)?.cipher;
    return name === undefined ? {} : { name };
  }

  get #facts(): Addresses {
    this.#addresses ??= addresses(this.#exchange.client);
    return this.#addresses;
  }

  // The body, on its way up

  onPiece(piece: Buffer): void {
    if (this.#timer !== undefined) this.#timer.refresh();
    this.bytesRead += piece.length;
    if (!this.request.push(piece)) this.#exchange.stdin.pause();
  }

  onEnd(): void {
    const request = this.request as IncomingMessage & RequestInternals;
    request.complete = true;
    // Who never reads never sees an end, and most requests have no body.
    if (request._consuming === true || !readsItsSocket) request.push(null);
    else this.#owesEnd = true;
  }

  onFail(cause: Error): void {
    this.#cause = cause;
    this.destroy(connectionReset(cause));
  }

  override resume(): this {
    this.#exchange.stdin.resume();
    this.settle();
    return this;
  }

  /** Tells the request of the end of its body, if that was left until somebody wants to know. */
  settle(): void {
    if (!this.#owesEnd) return;
    this.#owesEnd = false;
    this.request.push(null);
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
      this.bytesWritten += (data as string | Uint8Array).length;
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
      exchange.afterFlush((error) => this.#onDrain(error));
    }
    return false;
  }

  #onDrain(error: Error | undefined): void {
    this.#awaitsDrain = false;
    if (error !== undefined || this.destroyed) return;
    if (this._httpMessage !== null) emitDrain(this._httpMessage);
    this.emit("drain");
  }

  #writeString(response: ResponseInternals, data: string, encoding: BufferEncoding): void {
    const exchange = this.#exchange;
    if (exchange.isHeadSent) {
      exchange.sendText(data, encoding);
      return;
    }
    // node:http puts head and first piece into one string, and so both into one encoding.
    const head = response._header as string;
    exchange.sendHead(encoding === "latin1" ? head : asUtf8(head, data.length === head.length));
    if (data.length > head.length) exchange.sendText(data.slice(head.length), encoding);
  }

  /** The whole response: head and body leave with END_REQUEST in one write. */
  sendWhole(response: ResponseInternals, body: string | Uint8Array, encoding: BufferEncoding): void {
    if (this.#timer !== undefined) this.#timer.refresh();
    const exchange = this.#exchange;
    const head = response._header as string;
    exchange.isHeld = true; // until the end
    this.isWhole = true;
    response._headerSent = true;
    if (typeof body === "string") {
      // Without a body node:http sends the head as latin1, as with one of bytes.
      exchange.sendHead(encoding === "latin1" || body === "" ? head : asUtf8(head, false));
      exchange.sendText(body, encoding);
    } else {
      exchange.sendHead(head);
      exchange.sendBytes(body);
    }
    this.bytesWritten += head.length + body.length;
  }

  /** Calls back once everything is with the kernel. */
  afterFlush(callback: WriteCallback): void {
    this.#exchange.afterFlush(callback);
  }

  // node:http corks for a moment whenever something is written, and reads and sets the count itself.

  override cork(): void {
    (this as unknown as WritableInternals)._writableState.corked++;
    this.#exchange.isHeld = true;
  }

  override uncork(): void {
    const state = (this as unknown as WritableInternals)._writableState;
    if (state.corked > 0 && --state.corked === 0) this.#exchange.release();
  }

  /** Bytes that wait for the web server to take them: `writableLength`, see below. */
  get backlogBytes(): number {
    return this.#exchange.isEnded ? 0 : this.#exchange.backlogBytes;
  }

  /** node:http never ends the socket of a request; an application that does wants it closed. */
  override end(): this {
    this.destroy();
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    if (!this.#exchange.isEnded) {
      this.#exchange.fail(error ?? new AppError("ERR_POSTERN_RESPONSE_STATE", DESTROYED));
    }
    // For who listens, as on-finished does. To others an error of a socket they never made would be the end.
    callback(this.listenerCount("error") > 0 ? error : null);
    // As with a TCP socket 'close' comes when everything that is said in this turn was said.
    setImmediate(emitClosed, this, error !== null);
  }

  /**
   * An 'error' that the application emits. node:http listens for them on each of its sockets: they are the server's
   * 'clientError', or the end of the request, and never the end of the process.
   */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "error") return super.emit(event, ...args);
    const [error] = args as [Error];
    if (!this.destroyed && !this.server.emit("clientError", error, this)) this.destroy(error);
    return this.listenerCount("error") === 0 || super.emit("error", error);
  }

  /** The client is gone, or the web server has given up. */
  abort(cause: Error): void {
    this.#cause ??= cause;
    this.destroy();
  }

  /** What node:http's server does when a socket closes: a request that is not answered is aborted. */
  abortRequest(): void {
    if (!this.#isFinished) this.request.destroy(connectionReset(this.#cause));
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

  /** All are told, in node:http's order; whoever listens on the socket alone does not keep it. */
  #onTimeout(): void {
    const byRequest = !this.request.complete && this.request.emit("timeout", this);
    const byResponse = this._httpMessage?.emit("timeout", this) ?? false;
    const byServer = this.server.emit("timeout", this);
    if (!byRequest && !byResponse && !byServer) this.destroy();
    this.emit("timeout");
  }

  /** The response is complete: END_REQUEST leaves in the same write. */
  finish(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#exchange.end();
  }

  /** The response has emitted 'finish'. */
  release(): void {
    this.#isFinished = true;
  }

  get pending(): boolean {
    return false;
  }
  get readyState(): string {
    return this.destroyed ? "closed" : "open";
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

// stream.Duplex declares properties, which no accessor of a class may replace.
Object.defineProperties(ExchangeSocket.prototype, {
  writableLength: {
    configurable: true,
    get(this: ExchangeSocket): number {
      return this.backlogBytes;
    },
  },
  // Asked by every request when it is made.
  readableHighWaterMark: {
    configurable: true,
    get(this: ExchangeSocket): number {
      return this.highWaterMark;
    },
  },
});

function emitClosed(socket: ExchangeSocket, hadError: boolean): void {
  socket.abortRequest();
  // Elsewhere `assignSocket` listens for that, and Deno's would say it twice.
  if (isEndKnown && socket._httpMessage !== null) emitClose(socket._httpMessage);
  socket.emit("close", hadError);
}

/** The error node:http gives a request whose client went away. */
function connectionReset(cause: Error | undefined): Error {
  const error = cause === undefined ? new Error("aborted") : new Error("aborted", { cause });
  return Object.assign(error, { code: "ECONNRESET" });
}

function family(address: string | undefined): string | undefined {
  return address === undefined ? undefined : address.includes(":") ? "IPv6" : "IPv4";
}

/**
 * The socket that an 'upgrade' listener gets: a stream of bytes to the client and back, carried in the STDIN and STDOUT
 * of one request. Applications write an HTTP answer onto it. A 101 opens the tunnel and everything behind it goes
 * through as it is; any other answer is an answer, with its end.
 *
 *     HEAD ──101──> TUNNEL ──end(), destroy()──> END_REQUEST behind what was written, the web server closes
 *       │              └──connection lost──> 'end' behind what had arrived, then 'close'; writing gives EPIPE
 *       └──another status──> ANSWER ──complete, end()──> END_REQUEST
 *
 * Other than TCP there is no half of a close: with the end of either side lighttpd closes both. So 'end' follows end(),
 * and what the client says after that is dropped.
 */
import type { Server as HttpServer, IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { AppError } from "../base/errors.ts";
import { type Addresses, addresses } from "../cgi/environ.ts";
import { errorPage } from "../cgi/error-page.ts";
import { serializeHead } from "../cgi/response-head.ts";
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { type AnswerSink, RawAnswer } from "./raw-answer.ts";

type Callback = (error?: Error | null) => void;

export class TunnelSocket extends Duplex implements InputSink, AnswerSink {
  readonly #exchange: Exchange;
  readonly #addresses: Addresses;
  /** What is written, until it is known to be a 101. */
  #answer: RawAnswer | undefined;
  #isWanted = false; // somebody reads
  #isOver = false; // nothing more will be read
  #timer: NodeJS.Timeout | undefined = undefined;
  /** As set by setTimeout, in ms; 0 is none. */
  timeout = 0;
  bytesRead = 0;
  bytesWritten = 0;
  readonly connecting: boolean = false;
  readonly pending: boolean = false;
  /** As on an accepted socket. */
  readonly server: HttpServer;
  /** Set by the adapter right after construction; the name is the one of ExchangeSocket. */
  request!: IncomingMessage;

  constructor(exchange: Exchange, server: HttpServer) {
    super({ allowHalfOpen: true });
    this.#exchange = exchange;
    this.#addresses = addresses(exchange.client);
    this.#answer = new RawAnswer(this, exchange.params.get("REQUEST_METHOD") ?? "GET");
    this.server = server;
    exchange.whenAborted((error) => this.#onLost(error));
  }

  // What sockets say of themselves; of the client, as the web server vouches

  get remoteAddress(): string | undefined {
    return this.#addresses.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.#addresses.remotePort;
  }
  get remoteFamily(): string | undefined {
    return family(this.#addresses.remoteAddress);
  }
  get localAddress(): string | undefined {
    return this.#addresses.localAddress;
  }
  get localPort(): number | undefined {
    return this.#addresses.localPort;
  }
  get localFamily(): string | undefined {
    return family(this.#addresses.localAddress);
  }
  get encrypted(): boolean {
    return this.#addresses.encrypted;
  }
  address(): object {
    const { localAddress, localPort } = this.#addresses;
    return { address: localAddress, family: family(localAddress), port: localPort };
  }
  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  // From the client

  onPiece(piece: Buffer): void {
    this.bytesRead += piece.length;
    this.#timer?.refresh();
    if (!this.push(piece)) this.#exchange.stdin.pause();
  }

  onEnd(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.push(null);
    this.read(0); // so that 'end' comes even if nobody listens for data, as on a net.Socket
  }

  onFail(error: Error): void {
    this.destroy(error);
  }

  override _read(): void {
    this.#isWanted = true;
    if (this.#answer === undefined) this.#exchange.stdin.resume();
  }

  // To the client

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#send([{ chunk }], callback);
  }

  override _writev(chunks: readonly { chunk: Buffer }[], callback: Callback): void {
    this.#send(chunks, callback);
  }

  #send(chunks: readonly { chunk: Buffer }[], callback: Callback): void {
    const exchange = this.#exchange;
    if (exchange.abortError !== undefined) {
      callback(systemError("EPIPE", "write"));
      return;
    }
    this.#timer?.refresh();
    try {
      for (const { chunk } of chunks) this.#sendOne(chunk);
    } catch (error) {
      exchange.fail(error);
      callback(error as Error);
      return;
    }
    // As net.Socket has it: the bytes are the application's again when this is called.
    exchange.afterFlush((error) =>
      callback(error === undefined || exchange.isEnded ? null : systemError("EPIPE", "write")),
    );
  }

  #sendOne(chunk: Buffer): void {
    this.bytesWritten += chunk.length;
    const rest = this.#answer === undefined ? chunk : this.#answer.push(chunk);
    if (rest !== undefined) this.#exchange.sendBytes(rest);
  }

  // AnswerSink

  onHead(status: number, reason: string, headers: readonly string[]): void {
    const exchange = this.#exchange;
    const head = serializeHead(status, reason, headers);
    if (status !== 101) {
      exchange.sendHead(head);
      return;
    }
    if (!exchange.canTunnel) {
      throw new AppError(
        "ERR_POSTERN_RESPONSE_HEAD",
        "the application answered 101, and the web server has no tunnel any more",
      );
    }
    this.#answer = undefined;
    exchange.openTunnel(head);
    exchange.stdin.attach(this);
    if (this.#isWanted) exchange.stdin.resume();
  }

  onBody(piece: Buffer): void {
    this.#exchange.sendBytes(piece);
  }

  onWhole(): void {
    this.#exchange.end();
    this.onEnd(); // a client that kept its connection would go on with another request, which is not for us
  }

  // The end

  override _final(callback: Callback): void {
    this.#finish(undefined);
    this.#exchange.afterFlush(() => {
      callback();
      this.onEnd();
    });
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    const isPeerGone = this.#exchange.abortError !== undefined && isOfPeer(error);
    this.#finish(isPeerGone ? undefined : (error ?? undefined));
    // Visitors leave: that must not end the process of an application that did not think of it.
    callback(isPeerGone && this.listenerCount("error") === 0 ? null : error);
  }

  /** The application has said everything. */
  #finish(error: Error | undefined): void {
    const exchange = this.#exchange;
    if (exchange.isEnded) return;
    const answer = this.#answer;
    if (answer === undefined) {
      exchange.stdin.discard();
      exchange.end();
    } else if (error !== undefined) {
      exchange.fail(error);
    } else if (answer.isHeadless) {
      // Closing without a word is how many say no.
      const page = errorPage(400, "Bad Request");
      exchange.respond(page.head, page.body);
    } else if (answer.mayEnd) {
      exchange.end();
    } else {
      exchange.fail(new AppError("ERR_POSTERN_RESPONSE_STATE", "the answer to an upgrade was not completed"));
    }
  }

  /** The connection is gone, or the server ends it. */
  #onLost(error: Error): void {
    const { code } = Object(error.cause) as { code?: unknown };
    if (code !== undefined && this.#answer === undefined) {
      this.destroy(systemError("ECONNRESET", "read"));
      return;
    }
    if (this.#answer !== undefined) this.onEnd();
    // Nothing could be written any more, so nobody is waited for to close the other half.
    if (this.readableEnded) setImmediate(() => this.destroy());
    else this.once("end", () => setImmediate(() => this.destroy()));
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  // What else sockets have

  /** As on a net.Socket: 'timeout' is only said; who wants an end to follow makes one. */
  setTimeout(ms: number, callback?: () => void): this {
    this.timeout = ms;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (callback !== undefined) {
      if (ms === 0) this.removeListener("timeout", callback);
      else this.once("timeout", callback);
    }
    if (ms > 0) this.#timer = setTimeout(() => this.emit("timeout"), ms).unref();
    return this;
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

/** An error as net.Socket gives it. */
function systemError(code: "EPIPE" | "ECONNRESET", syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}

function isOfPeer(error: Error | null): boolean {
  const { code } = Object(error) as { code?: unknown };
  return error === null || code === "EPIPE" || code === "ECONNRESET";
}

function family(address: string | undefined): string | undefined {
  return address === undefined ? undefined : address.includes(":") ? "IPv6" : "IPv4";
}

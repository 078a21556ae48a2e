// HOT
/**
 * One accepted connection and its protocol machine: reads, flow control both ways, one write per turn, the end.
 *
 *     OPEN --last request without KEEP_CONN ended, or draining--> FINISHED --input read to its end--> destroyed
 *       └--error, deadline, peer gone--> destroyed; every open request is aborted
 *
 * FINISHED with input still to come half-closes (web servers wait for that FIN when they asked for no KEEP_CONN) and
 * reads on, bounded by bytes and time: closing over unread input is a reset, and a 502 (web-servers rule 8).
 *
 * FastCGI has no flow control per request. A connection with one request at a time is paused as soon as its
 * body piles up. A multiplexing one is read on, up to `maxUnreadBytes` per request; beyond that it pauses too, and
 * a request that then makes no progress for `stallTimeoutMs` is ended with 503, so that no sibling waits for ever.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import type { LogFields } from "../base/log.ts";
import { errorPage } from "../cgi/error-page.ts";
import { AppConnection, type AppSink } from "../protocol/app-connection.ts";
import type { AppLimits } from "../protocol/app-limits.ts";
import type { AppRequest, RequestSink } from "../protocol/app-request.ts";
import type { SlabPool } from "../protocol/record-writer.ts";
import { ProtocolStatus } from "../protocol/records.ts";
import { sniff } from "../protocol/sniff.ts";
import type { Admission } from "./admission.ts";
import { Exchange, type ExchangeHost, type Handler } from "./exchange.ts";
import type { ServerOf } from "./exchange-host.ts";
import { askToLeave, isFromNginx, leave, type Silent, writeGoodbye } from "./farewell.ts";
import { Gate, type GateHost } from "./gate.ts";
import type { ResolvedOptions } from "./options.ts";
import { type FlushCallback, Output, type OutputHost } from "./output.ts";
import {
  answerPage,
  breakOff,
  HTTP_ANSWER,
  refusalStatus,
  startAtOnce,
  tooManyConnections,
} from "./refusals.ts";
import { keep, type Wire, type WireSink } from "./wire.ts";

/** A body queued beyond this pauses a connection that carries one request at a time. */
const PAUSE_BYTES = 65536;

/** What a connection needs of its server. */
export interface ConnectionHost extends ServerOf<Exchange> {
  readonly options: ResolvedOptions;
  readonly handler: Handler;
  /** Decides when a request starts; undefined when each does at once. */
  readonly admission: Admission | undefined;
  readonly slabs: SlabPool;
  /** Of every connection. */
  readonly limits: AppLimits;
  /** Milliseconds, updated about once a second: good enough for deadlines, free to read. */
  readonly now: number;
  /** The same, to the millisecond: a silence that is to last a second begins here. */
  readonly exactNow: number;
  /** Whether new requests are answered 503 because there are too many connections. */
  isOverloaded(connection: Connection): boolean;
  /** The first bytes have come. */
  onFirstBytes(): void;
  onConnectionEnd(connection: Connection): void;
}

/** While draining, how long a connection without a request may stay silent before it is closed, ms. */
const LAST_REQUEST_MS = 1000;
/** How long a peer that does not speak FastCGI may go on sending after it was told so, ms. */
const NOT_FASTCGI_LINGER_MS = 1000;

export class Connection implements WireSink, OutputHost, GateHost, AppSink, ExchangeHost, Silent {
  readonly #wire: Wire;
  readonly #peer: string;
  readonly output: Output;
  readonly #gate: Gate;
  readonly app: AppConnection;
  readonly server: ConnectionHost;
  readonly options: ResolvedOptions;
  /** Whether nothing was received yet. Changed here only. */
  isFresh = true;
  #isLate: boolean; // it may have waited so long that the web server has given up
  #isReceiving = false; // inside app.receive: it is followed by a flush
  #isFinished = false;
  isNginxs = false;
  askedAt = -1;
  /** When bytes last came, or it was told to end, in ms of the server's clock. */
  lastReceive: number;
  #lingerUntil = 0;
  #lingerBytes = 0;
  #isDraining = false;
  #isDeaf = false; // the peer does not speak FastCGI: what it still sends is dropped

  constructor(host: ConnectionHost, wire: Wire, peer: string) {
    this.#isLate = host.admission?.isLate() === true;
    this.#wire = wire;
    this.#peer = peer;
    this.server = host;
    this.options = host.options;
    this.output = new Output(wire, host.slabs, this);
    this.#gate = new Gate(wire, this);
    this.lastReceive = host.now;
    this.app = new AppConnection(this, this.output.writer, host.limits);
    wire.open(this);
  }

  /** Whether it was used, is kept open and carries no request: closing it disturbs least. */
  get isIdle(): boolean {
    return !this.isFresh && !this.#isFinished && this.app.openRequests === 0 && !this.app.isPartial;
  }

  /**
   * Ends with its next answer, or after a second of silence, and nginx is asked to close it: closing at once would cross
   * the next request. With POST behind nginx 12 to 15 of 700 were lost that way.
   */
  drain(): void {
    this.#isDraining = true;
    this.lastReceive = this.server.exactNow;
    if (this.app.openRequests > 0) this.app.finish();
    else if (!this.#isFinished) askToLeave(this);
  }

  /** Closes at once; open requests are aborted. */
  destroy(reason: string): void {
    if (this.app.isAnswering) breakOff(this.app, this.output);
    else this.output.flush();
    this.#lose(new Error(reason));
  }

  /** Judges every deadline; called about once a second. */
  check(now: number): void {
    const { recordTimeoutMs, idleTimeoutMs, stallTimeoutMs } = this.options;
    const silentMs = now - this.lastReceive;
    if (this.#lingerUntil > 0 && now >= this.#lingerUntil) {
      this.destroy("the rest of the body did not arrive in time");
    } else if (this.#isDraining && silentMs > LAST_REQUEST_MS && this.app.openRequests === 0) {
      leave(this, "no request came while draining");
    } else if (
      recordTimeoutMs > 0 &&
      silentMs >= recordTimeoutMs &&
      this.app.isPartial &&
      !this.#gate.isPaused
    ) {
      this.#onRecordTimeout(recordTimeoutMs);
    } else if (recordTimeoutMs > 0 && silentMs >= recordTimeoutMs && this.isFresh) {
      this.destroy("nothing was sent");
    } else if (idleTimeoutMs > 0 && silentMs >= idleTimeoutMs && this.isIdle) {
      leave(this, "idle for too long");
    }
    if (recordTimeoutMs > 0 && this.app.openRequests > 0) this.#checkParams(now, recordTimeoutMs);
    // A connection with one request has no siblings that wait.
    if (stallTimeoutMs > 0 && this.app.multiplexes && this.app.openRequests > 1) {
      this.#gate.refuseStalled(now, stallTimeoutMs);
    }
  }

  // AppSink

  onRequest(request: AppRequest): RequestSink {
    if (this.#isDraining) this.app.finish();
    if (request.keepConn && this.app.servedRequests === 0) this.isNginxs = isFromNginx(request.params);
    const exchange = new Exchange(this, request);
    if (this.server.isOverloaded(this)) {
      this.#logRefusal(503, `more than ${this.options.maxConnections} connections`, request);
      exchange.refuse(503, "Service Unavailable", tooManyConnections(), ProtocolStatus.Overloaded);
      this.app.finish();
      return exchange;
    }
    const { admission } = this.server;
    if (admission === undefined) startAtOnce(exchange, this.server.handler);
    else admission.receive(exchange, this.#isLate);
    this.#isLate = false;
    return exchange;
  }

  onRefuse(request: AppRequest, error: RemoteProtocolError): void {
    const [status, title, protocolStatus] = refusalStatus(error);
    this.#logRefusal(status, error.message, request, error.code);
    answerPage(this.app, request, status, title, protocolStatus);
  }

  // ExchangeHost, OutputHost, GateHost

  get isCongested(): boolean {
    return this.output.isCongested;
  }

  get backlogBytes(): number {
    return this.output.backlogBytes;
  }

  scheduleFlush(): void {
    this.output.schedule(this.#isReceiving);
  }

  flushAnswer(): void {
    if (this.#isReceiving || this.app.multiplexes) this.scheduleFlush();
    else this.output.flush();
  }

  afterFlush(callback: FlushCallback): void {
    this.output.afterFlush(callback);
  }

  own(chunk: Buffer, start: number, end: number): Buffer {
    return this.#wire.isLent ? keep(chunk, start, end) : chunk.subarray(start, end);
  }

  onDrain(): void {
    this.output.flush();
  }

  onFlushed(): void {
    if (this.#gate.isClogged) this.#gate.onTaken(this.output.backlogBytes);
    this.#finishIfDone();
  }

  onOpen(): void {
    this.lastReceive = this.server.now;
  }

  onQueued(exchange: Exchange, change: number): void {
    this.#gate.onQueued(exchange, change, this.app.multiplexes ? this.options.maxUnreadBytes : PAUSE_BYTES);
  }

  sayGoodbye({ params }: Exchange): void {
    writeGoodbye(this.output.writer, params);
  }

  cut(reason: string): void {
    this.#log("debug", `connection cut: ${reason}`);
    if (!breakOff(this.app, this.output)) {
      this.#lose(new Error(reason));
      return;
    }
    // What was written must arrive, or its end is missed; what still comes is read, or our close is a reset.
    const { isReceivingInput } = this.app.requests;
    this.#isFinished = true;
    this.#abortAll(new Error(reason));
    if (isReceivingInput) this.#linger();
    this.output.end(!isReceivingInput);
    this.#gate.open();
  }

  // WireSink

  onRead(chunk: Buffer, length: number): void {
    this.lastReceive = this.server.now;
    if (this.isFresh && !this.#accepts(chunk.subarray(0, length))) return;
    if (this.#isFinished && (!this.#mayLinger(length) || this.#isDeaf)) return;
    this.#isReceiving = true;
    const { questions } = this.app;
    try {
      this.app.receive(chunk, length);
    } catch (error) {
      this.#isReceiving = false;
      this.#fail(error);
      return;
    }
    this.#isReceiving = false;
    this.output.endTurn();
    if (this.app.questions !== questions && !this.#isFinished) this.#gate.onAsked(this.output.backlogBytes);
  }

  /** Looks at the first bytes: whoever does not speak FastCGI is named in the log and sent away. */
  #accepts(chunk: Buffer): boolean {
    this.isFresh = false;
    this.server.onFirstBytes();
    const other = sniff(chunk);
    if (other === undefined) return true;
    this.#log("warn", `the peer speaks ${other.name}, not FastCGI: connection closed`, {
      code: "ERR_POSTERN_NOT_FASTCGI",
    });
    if (!other.isHttp) {
      this.#wire.destroy();
      return false;
    }
    // Closing over what it still sends would be a reset, which takes the answer away again.
    this.#isDeaf = true;
    this.#isFinished = true;
    this.#lingerUntil = this.server.now + NOT_FASTCGI_LINGER_MS;
    this.#wire.writeOne(HTTP_ANSWER);
    this.#wire.end(() => {});
    return false;
  }

  /** Counts what a finished connection still sends. */
  #mayLinger(bytes: number): boolean {
    this.#lingerBytes += bytes;
    if (this.#lingerBytes <= this.options.maxDrainBytes) return true;
    this.destroy("the rest of the body is too long");
    return false;
  }

  onEnd(): void {
    // Bun also tells of the end of a socket that was destroyed here.
    if (this.#isFinished || this.#wire.isDestroyed) {
      this.#wire.destroy();
      return;
    }
    // A web server that closes its side has given up on whatever is open: none half-closes and waits.
    this.onError(new Error("the web server closed the connection"));
  }

  /** Visitors who leave are everyday life; a peer that leaves in the middle of a record is not. */
  onError(error: Error): void {
    const level = this.app.isPartial ? "warn" : "debug";
    if (!this.#isFinished && (this.app.isPartial || this.app.openRequests > 0)) {
      const { openRequests } = this.app;
      const where = this.app.isPartial
        ? "in the middle of a record or of a request's parameters"
        : "during a request";
      this.#log(level, `connection lost ${where}: ${error.message}`, {
        code: "ERR_POSTERN_ABORTED",
        openRequests,
      });
    }
    this.#lose(error);
  }

  #fail(error: unknown): void {
    if (error instanceof RemoteProtocolError) {
      this.#log("warn", `${error.message}: connection closed`, { code: error.code });
    } else {
      this.#log("error", "a bug in Postern: connection closed", { error });
    }
    if (this.app.isAnswering) breakOff(this.app, this.output);
    else this.output.flush();
    this.#lose(error instanceof Error ? error : new Error(String(error)));
  }

  #onRecordTimeout(timeoutMs: number): void {
    const message = `a request or record was begun and not completed within ${timeoutMs} ms`;
    const error = new RemoteProtocolError("ERR_POSTERN_RECORD_TIMEOUT", message, "connection");
    const page = errorPage(408, "Request Timeout");
    this.app.timeOut(error, page.head, page.body);
    this.#fail(error);
  }

  /** Parameters that come drop by drop, or beside busy siblings: the connection is never silent for them. */
  #checkParams(now: number, timeoutMs: number): void {
    // While we do not read, nobody is late.
    const patienceMs = this.#gate.isPaused ? Number.POSITIVE_INFINITY : timeoutMs;
    for (const request of this.app.lateParams(now, patienceMs)) {
      const reason = `its parameters were not complete within ${timeoutMs} ms`;
      this.#logRefusal(408, reason, request, "ERR_POSTERN_RECORD_TIMEOUT");
      answerPage(this.app, request, 408, "Request Timeout"); // what still comes of it is dropped
      this.scheduleFlush();
    }
  }

  // The end

  #finishIfDone(): void {
    if (!this.app.isFinished || !this.output.isEmpty) return;
    // Padding counts as input: it may still be on its way when everything it follows has been answered.
    const isLast = !this.app.awaitsInput && !this.app.isPartial;
    const wasFinished = this.#isFinished;
    this.#isFinished = true;
    if (isLast) this.output.end(true);
    else if (!wasFinished) {
      this.#linger();
      this.output.end(false);
      this.#gate.open();
    }
  }

  /** What still comes is read for a while: our close would be a reset otherwise. */
  #linger(): void {
    const { lingerTimeoutMs } = this.options;
    if (lingerTimeoutMs > 0) this.#lingerUntil = this.server.now + lingerTimeoutMs;
  }

  #lose(error: Error): void {
    if (!this.#wire.isDestroyed) this.#wire.destroy();
    this.#abortAll(error);
  }

  #abortAll(cause: Error): void {
    // Also those that are answered, and whose body is still being read.
    if (this.app.requests.size > 0) {
      const message = `the connection was lost: ${cause.message}`;
      this.app.lose(new RemoteProtocolError("ERR_POSTERN_ABORTED", message, "connection", { cause }));
    }
    this.output.callBack(cause);
  }

  onClose(): void {
    // An error costs more than all the rest of a connection, and as a rule nobody is left to hear of it.
    if (this.app.requests.size > 0 || this.output.isAwaited) this.#abortAll(new Error("it was closed"));
    this.server.onConnectionEnd(this);
  }

  #logRefusal(status: number, reason: string, request: AppRequest, code?: string): void {
    this.#log("warn", `request refused with ${status}: ${reason}`, { requestId: request.id, code });
  }

  #log(level: "debug" | "warn" | "error", message: string, fields: LogFields = {}): void {
    this.options.logger[level]({ peer: this.#peer, ...fields }, message);
  }
}

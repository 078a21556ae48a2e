// HOT
/**
 * The application's side of one FastCGI connection: requests in, answers out. A pure machine: bytes come in
 * through `receive`, meaning goes up to the sink, bytes to send collect in the writer.
 *
 * The life of one request (FastCGI 1.0 §6), as kept in the request table:
 *
 *     BEGIN_REQUEST ──> PARAMS ──end of PARAMS──> RUNNING ──end()──> gone
 *          │               │                         │
 *          │               └─ABORT─> gone            └─ABORT / lost─> onAbort, gone
 *          └─limit or order broken─> REFUSED ──end of PARAMS──> onRefuse, RUNNING without input
 *
 * A request starts at the end of PARAMS, never of STDIN: lighttpd does not end that of an upgrade request. An end of
 * STDIN that has come right behind, as without a body it does, is seen beforehand: the request starts with its STDIN
 * ended, and the record means nothing when it is read. An answer may be complete before the input is, which is STDIN for
 * a responder, STDIN and DATA for a filter, nothing for an authorizer (§6.3; Apache's send no STDIN, lighttpd an empty one).
 *
 * Invariants: 1. records of ids not in the table are ignored (§3.3); 2. an id is in the table from its BEGIN_REQUEST
 * to its END_REQUEST and to the end of its input, or until it is begun again; 3. no state holds more than `limits`
 * allow: at most twice `maxRequests` ids; 4. a RemoteProtocolError of scope "connection" is thrown out of `receive`,
 * nothing may be received afterwards; 5. a sink may call anything here but `receive`, and hears no more of what is gone.
 */
import { type ErrorCode, RemoteProtocolError } from "../base/errors.ts";
import { type AppLimits, answerValues } from "./app-limits.ts";
import { AppRequest, deaf, GONE, PARAMS, REFUSED, type RequestSink, RUNNING } from "./app-request.ts";
import { RecordReader, type RecordSink } from "./record-reader.ts";
import type { RecordWriter } from "./record-writer.ts";
import {
  isRole,
  KEEP_CONN,
  MANAGEMENT_ID,
  ProtocolStatus,
  RecordType,
  Role,
  recordTypeName,
} from "./records.ts";
import { RequestTable } from "./request-table.ts";

/** Takes the requests of one connection. */
export interface AppSink {
  /** PARAMS are complete: the request runs until `end`. Returns where its input goes. */
  onRequest(request: AppRequest): RequestSink;
  /** The request broke a limit. Answer it with a page and `end`; nothing else will be heard of it. */
  onRefuse(request: AppRequest, error: RemoteProtocolError): void;
}

export class AppConnection implements RecordSink {
  readonly #sink: AppSink;
  readonly #writer: RecordWriter;
  readonly #limits: AppLimits;
  readonly #reader: RecordReader;
  readonly #requests = new RequestTable();
  #type = 0; // of the record being read
  #id = 0;
  #length = 0;
  #request: AppRequest | undefined = undefined; // the one the record belongs to, if it is in the table
  #begin = 0; // the first four content bytes of a BEGIN_REQUEST: role (2), flags, reserved
  #beginBytes = 0;
  #values = ""; // content of a GET_VALUES
  #open = 0; // requests in the table that are not GONE
  #closesWhenIdle = false; // some request came without KEEP_CONN
  #multiplexes = false;
  #lost = false;
  #served = 0;
  #questions = 0;

  constructor(sink: AppSink, writer: RecordWriter, limits: AppLimits) {
    this.#sink = sink;
    this.#writer = writer;
    this.#limits = limits;
    this.#reader = new RecordReader(this);
  }

  /** Requests begun and not ended. */
  get openRequests(): number {
    return this.#open;
  }

  /** Requests that have ended. */
  get servedRequests(): number {
    return this.#served;
  }

  /** Records that ask for an answer: requests begun, and management records. */
  get questions(): number {
    return this.#questions;
  }

  /** Whether the web server has shown that it multiplexes: it asked, or it did. Pausing such a connection stalls siblings. */
  get multiplexes(): boolean {
    return this.#multiplexes;
  }

  /** Whether nothing more is to be said: the requests are over and one of them came without KEEP_CONN. */
  get isFinished(): boolean {
    return this.#closesWhenIdle && this.#open === 0;
  }

  /** Whether input of an ended request is still to come. It must be read: closing over it makes web servers answer 502. */
  get awaitsInput(): boolean {
    return this.#requests.awaitsInput;
  }

  /** Whether a request is open whose answer has begun: the web server must not take that part for the whole. */
  get isAnswering(): boolean {
    return this.#requests.isAnswering;
  }

  /** What else can be asked about all of them. */
  get requests(): RequestTable {
    return this.#requests;
  }

  /** Whether the peer owes bytes: a record or a request's PARAMS have begun and are not complete. */
  get isPartial(): boolean {
    return this.#reader.isPartial || this.#requests.awaitsParams;
  }

  /** Takes bytes from the web server, cut anywhere: `chunk[0..length)`. @throws {RemoteProtocolError} scope connection: close it */
  receive(chunk: Buffer, length: number = chunk.length): void {
    this.#reader.push(chunk, length);
  }

  /** Closes this connection once no request is open, as if the web server had not asked to keep it. */
  finish(): void {
    this.#closesWhenIdle = true;
  }

  /** The peer owes bytes for too long: requests that wait for them are answered with a page, if it is not too late. */
  timeOut(error: RemoteProtocolError, head: string, body: string): void {
    for (const request of this.#requests.all()) {
      if (request.state === GONE || request.hasStdout) continue;
      if (request.state === RUNNING && request.inputEnded) continue;
      const sink = request.sink;
      this.writeHead(request, head);
      this.writeText(request, body, "utf8");
      this.end(request, 0, ProtocolStatus.RequestComplete);
      sink.onAbort(error);
    }
  }

  /** Requests whose PARAMS have been waited for `limitMs`, since this was first asked; Infinity excuses the time so far. */
  lateParams(now: number, limitMs: number): AppRequest[] {
    return this.#requests.lateParams(now, limitMs);
  }

  /** The connection is gone: every open request is aborted, and no other will begin. */
  lose(error: RemoteProtocolError): void {
    this.#lost = true;
    const requests = this.#requests.all();
    this.#requests.clear();
    for (const request of requests) {
      if (request.state === GONE && !request.readsOn) continue; // ended, perhaps by the sink before
      const sink = request.sink;
      request.error = error;
      if (request.state !== GONE) this.#release(request);
      request.readsOn = false;
      request.sink = deaf;
      sink.onAbort(error);
    }
  }

  /** Queues the header block (latin1, at most 65528 characters) in one STDOUT record. */
  writeHead(request: AppRequest, head: string): void {
    if (request.state === GONE) return;
    request.hasStdout = true;
    this.#writer.writeWhole(RecordType.Stdout, request.id, head);
  }

  /** Queues text for STDOUT. */
  writeText(request: AppRequest, text: string, encoding: BufferEncoding): void {
    if (request.state === GONE) return;
    request.hasStdout = true;
    this.#writer.writeText(RecordType.Stdout, request.id, text, encoding);
  }

  /** Queues bytes for STDOUT; they must not change until they are on the wire. */
  writeBytes(request: AppRequest, bytes: Uint8Array): void {
    if (request.state === GONE) return;
    request.hasStdout = true;
    this.#writer.writeBytes(RecordType.Stdout, request.id, bytes);
  }

  /** Queues text for STDERR: the web server's error log. */
  writeStderr(request: AppRequest, text: string): void {
    if (request.state === GONE) return;
    request.hasStderr = true;
    this.#writer.writeText(RecordType.Stderr, request.id, text, "utf8");
  }

  /**
   * Ends the streams that were begun, then the request. FastCGI 1.0 §3.3, §5.5.
   * @param readsOn go on handing the input to the request's sink, until it ends or the id is begun again
   */
  end(request: AppRequest, appStatus: number, protocolStatus: ProtocolStatus, readsOn = false): void {
    if (request.state === GONE) return;
    if (request.hasStdout) this.#writer.endStream(RecordType.Stdout, request.id);
    if (request.hasStderr) this.#writer.endStream(RecordType.Stderr, request.id);
    this.#writer.endRequest(request.id, appStatus, protocolStatus);
    if (!request.keepConn) this.#closesWhenIdle = true;
    const { sink } = request;
    this.#release(request);
    request.readsOn = readsOn;
    // Else it stays in the table: if the connection is to close, its input must have been seen to end.
    if (request.inputEnded) this.#requests.delete(request.id);
    else if (readsOn) request.sink = sink;
  }

  #release(request: AppRequest): void {
    request.state = GONE;
    request.sink = deaf;
    this.#open--;
    this.#served++;
  }

  // RecordSink

  onRecord(type: number, id: number, contentLength: number): void {
    this.#type = type;
    this.#id = id;
    this.#length = contentLength;
    this.#request = this.#requests.get(id);
    if (type === RecordType.BeginRequest) {
      this.#beginBytes = 0;
      if (contentLength === 8) return;
      throw fatal("ERR_POSTERN_RECORD_BODY", `BEGIN_REQUEST with ${contentLength} bytes of content, not 8`);
    }
    if (type === RecordType.GetValues) this.#values = "";
  }

  onContent(chunk: Buffer, start: number, end: number): void {
    const request = this.#request;
    switch (this.#type) {
      case RecordType.Params:
        request?.addParams(chunk, start, end, this.#limits.maxParamsBytes);
        break;
      case RecordType.Stdin:
        if (request === undefined || request.stdinEnded) break;
        if (request.state === PARAMS) this.#refuseEarly(request);
        request.sink.onStdin(chunk, start, end);
        break;
      case RecordType.Data:
        if (request === undefined || request.dataEnded) break;
        if (request.state === PARAMS) this.#refuseEarly(request);
        request.sink.onData(chunk, start, end);
        break;
      case RecordType.BeginRequest:
        for (let at = start; at < end && this.#beginBytes < 4; at++, this.#beginBytes++) {
          this.#begin = (this.#begin << 8) | chunk[at]!;
        }
        break;
      case RecordType.GetValues:
        this.#values += chunk.toString("latin1", start, end);
        break;
    }
  }

  onRecordEnd(chunk: Buffer, next: number, end: number): void {
    const request = this.#request;
    if (request === undefined) {
      if (this.#type === RecordType.BeginRequest) this.#beginRequest();
      else if (this.#id === MANAGEMENT_ID) this.#manage();
      return;
    }
    switch (this.#type) {
      case RecordType.BeginRequest:
        this.#beginRequest();
        break;
      case RecordType.Params:
        if (this.#length === 0) this.#paramsEnd(request, request.isStdinEnd(chunk, next, end));
        break;
      case RecordType.Stdin:
        if (this.#length === 0) this.#stdinEnd(request);
        break;
      case RecordType.Data:
        if (this.#length === 0) this.#dataEnd(request);
        break;
      case RecordType.AbortRequest:
        this.#abort(request);
        break;
    }
  }

  /** A management record. FastCGI 1.0 §4. */
  #manage(): void {
    this.#questions++;
    if (this.#type === RecordType.GetValues) {
      this.#multiplexes = true;
      this.#writer.writeRecord(
        RecordType.GetValuesResult,
        MANAGEMENT_ID,
        answerValues(this.#values, this.#limits),
      );
    } else this.#writer.writeFixed(RecordType.UnknownType, MANAGEMENT_ID, this.#type << 24, 0);
  }

  #beginRequest(): void {
    const id = this.#id;
    const role = this.#begin >>> 16;
    const keepConn = ((this.#begin >>> 8) & KEEP_CONN) !== 0;
    if (id === MANAGEMENT_ID) throw fatal("ERR_POSTERN_REQUEST_ID", "BEGIN_REQUEST with request id 0");
    if (this.isFinished) return; // our side is closed: nothing could be answered
    const before = this.#request;
    if (before !== undefined && before.state !== GONE) {
      throw fatal("ERR_POSTERN_REQUEST_ID_REUSED", `BEGIN_REQUEST for request ${id}, which is still open`);
    }
    if (before !== undefined) this.#forget(before);
    if (this.#requests.size >= 2 * this.#limits.maxRequests) this.#forgetEnded();
    if (this.#lost) return;
    this.#questions++;
    if (this.#open > 0) this.#multiplexes = true;
    const known = isRole(role);
    const request = new AppRequest(id, known ? role : Role.Responder, keepConn);
    this.#checkCount(request);
    this.#requests.add(request);
    this.#open++;
    if (!known) this.end(request, 0, ProtocolStatus.UnknownRole);
  }

  /** Room for new requests: input that has not ended by now may never do so. */
  #forgetEnded(): void {
    for (const request of this.#requests.all()) {
      if (request.state === GONE) this.#forget(request);
    }
  }

  /** No more input of an ended request is expected. */
  #forget(request: AppRequest): void {
    this.#requests.delete(request.id);
    if (!request.readsOn) return;
    const message = `the input of request ${request.id} did not end`;
    request.sink.onAbort(new RemoteProtocolError("ERR_POSTERN_ABORTED", message, "request"));
  }

  /** Refuses a request beyond the limit with a page; a peer that goes on beginning them loses the connection. */
  #checkCount(request: AppRequest): void {
    const most = this.#limits.maxRequests;
    if (this.#open < most) return;
    const message = `${this.#open + 1} requests open on one connection, the limit is ${most}`;
    if (this.#open >= 2 * most) throw fatal("ERR_POSTERN_TOO_MANY_REQUESTS", message);
    request.refuse("ERR_POSTERN_TOO_MANY_REQUESTS", message);
  }

  /** Inputs come one after the other (§6.1): content that overtakes the parameters belongs to nothing yet. */
  #refuseEarly(request: AppRequest): void {
    const message = `${recordTypeName(this.#type)} of request ${request.id} before the end of its parameters`;
    request.refuse("ERR_POSTERN_PARAMS_MALFORMED", message);
  }

  #paramsEnd(request: AppRequest, endsStdin: boolean): void {
    if (request.state === PARAMS) request.decodeParams(this.#limits.maxParams);
    if (request.state === PARAMS) {
      request.state = RUNNING;
      if (endsStdin) request.stdinEnded = true;
      const sink = this.#sink.onRequest(request);
      if (request.isGone) {
        // It was answered at once, or the connection was lost meanwhile.
        if (request.error !== undefined) sink.onAbort(request.error);
        if (request.error !== undefined || !request.readsOn) return;
      }
      request.sink = sink;
      if (request.stdinEnded) sink.onStdinEnd();
      if (request.role === Role.Filter && request.dataEnded) request.sink.onDataEnd();
    } else if (request.state === REFUSED) {
      request.state = RUNNING;
      this.#sink.onRefuse(request, request.error!);
    }
  }

  #stdinEnd(request: AppRequest): void {
    if (request.stdinEnded) return;
    request.stdinEnded = true;
    this.#forgetDrained(request);
    request.sink.onStdinEnd();
  }

  #dataEnd(request: AppRequest): void {
    if (request.dataEnded) return;
    request.dataEnded = true;
    this.#forgetDrained(request);
    request.sink.onDataEnd();
  }

  #forgetDrained(request: AppRequest): void {
    if (request.state === GONE && request.inputEnded) this.#requests.delete(request.id);
  }

  /** FastCGI 1.0 §5.4: answer END_REQUEST as soon as possible; nobody will look at a header block. */
  #abort(request: AppRequest): void {
    const sink = request.sink;
    this.end(request, 0, ProtocolStatus.RequestComplete);
    this.#requests.delete(request.id); // its input may stop anywhere
    const message = `the web server aborted request ${request.id}`;
    sink.onAbort(new RemoteProtocolError("ERR_POSTERN_ABORTED", message, "request"));
  }
}

function fatal(code: ErrorCode, message: string): RemoteProtocolError {
  return new RemoteProtocolError(code, message, "connection");
}

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
 *          └─limit exceeded─> REFUSED ──end of PARAMS──> onRefuse ──end()──> gone
 *
 * A request starts at the end of PARAMS, never at the end of STDIN: lighttpd does not end the STDIN of an upgrade
 * request before the upgrade is over. An answer may be complete before the input is; what still arrives is dropped.
 *
 * Invariants: 1. records of ids not in the table are ignored (§3.3); 2. an id is in the table from its BEGIN_REQUEST
 * to its END_REQUEST and, when the connection is to close afterwards, to the end of its input; 3. no state holds more than `limits` allow; 4. a RemoteProtocolError of scope "connection" is
 * thrown out of `receive`, and nothing may be received afterwards.
 */
import { type ErrorCode, RemoteProtocolError } from "../base/errors.ts";
import { encodeParams, Params } from "./params.ts";
import { RecordReader, type RecordSink } from "./record-reader.ts";
import type { RecordWriter } from "./record-writer.ts";
import {
  isRole,
  KEEP_CONN,
  MANAGEMENT_ID,
  MAX_CONTENT_BYTES,
  ProtocolStatus,
  RecordType,
  Role,
  ValueName,
} from "./records.ts";

/** Bounds of one connection. */
export interface AppLimits {
  /** Bytes of one request's PARAMS stream. */
  readonly maxParamsBytes: number;
  /** Pairs in one request's PARAMS stream. */
  readonly maxParams: number;
  /** Requests open at the same time on one connection. */
  readonly maxRequests: number;
  /** What GET_VALUES answers for FCGI_MAX_CONNS. */
  readonly maxConnections: number;
}

/** Takes the input of one request. Chunks are only lent: copy what must outlive the call. */
export interface RequestSink {
  onStdin(chunk: Buffer, start: number, end: number): void;
  onStdinEnd(): void;
  /** FCGI_DATA, for filters only. */
  onData(chunk: Buffer, start: number, end: number): void;
  onDataEnd(): void;
  /** The web server gave up on the request: END_REQUEST is already queued, whatever is written now is dropped. */
  onAbort(error: RemoteProtocolError): void;
}

/** Takes the requests of one connection. */
export interface AppSink {
  /** PARAMS are complete: the request runs until `end`. Returns where its input goes. */
  onRequest(request: AppRequest): RequestSink;
  /** The request broke a limit. Answer it with a page and `end`; nothing else will be heard of it. */
  onRefuse(request: AppRequest, error: RemoteProtocolError): void;
}

const PARAMS = 0;
const RUNNING = 1;
const REFUSED = 2;
const GONE = 3;

/** Params of a refused request that are skipped before the connection is given up. */
const MAX_SKIPPED_PARAMS_BYTES = 1 << 20;

const NO_PARAMS = Params.from([]);

/** Drops everything: the sink of requests that are not running. */
const deaf: RequestSink = {
  onStdin(): void {},
  onStdinEnd(): void {},
  onData(): void {},
  onDataEnd(): void {},
  onAbort(): void {},
};

/** One request of a connection, from its BEGIN_REQUEST to its END_REQUEST. Written to by AppConnection only. */
export class AppRequest {
  /** 1..65535, unique among the open requests of the connection. */
  readonly id: number;
  readonly role: Role;
  /** Whether the web server asked to keep the connection open afterwards. */
  readonly keepConn: boolean;
  /** The parameters; empty before they are complete. */
  params: Params = NO_PARAMS;
  /** Whether STDIN has ended (and DATA, for a filter). */
  inputEnded = false;
  /**
   * Whether the end of the input is worth waiting for before the connection closes. False for an upgrade request
   * without a body: its STDIN ends only with the connection.
   */
  awaitsInput = true;
  /** @internal */ state: number = PARAMS;
  /** @internal */ paramsText = "";
  /** @internal */ skippedBytes = 0;
  /** @internal */ refusal: RemoteProtocolError | undefined = undefined;
  /** @internal */ stdinEnded = false;
  /** @internal */ sink: RequestSink = deaf;
  /** @internal */ hasStdout = false;

  constructor(id: number, role: Role, keepConn: boolean) {
    this.id = id;
    this.role = role;
    this.keepConn = keepConn;
  }

  /** Whether END_REQUEST has been queued: nothing can be written any more. */
  get isGone(): boolean {
    return this.state === GONE;
  }
}

export class AppConnection implements RecordSink {
  readonly #sink: AppSink;
  readonly #writer: RecordWriter;
  readonly #limits: AppLimits;
  readonly #reader: RecordReader;
  readonly #requests = new Map<number, AppRequest>();
  #type = 0; // of the record being read
  #id = 0;
  #length = 0;
  #request: AppRequest | undefined = undefined; // the one the record belongs to, if it is in the table
  #body = ""; // content of a record that is needed whole: BEGIN_REQUEST, GET_VALUES
  #open = 0; // requests in the table that are not GONE
  #closesWhenIdle = false; // some request came without KEEP_CONN
  #multiplexes = false;
  #served = 0;

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

  /** Whether the web server has shown that it multiplexes: it asked, or it did. Pausing such a connection stalls siblings. */
  get multiplexes(): boolean {
    return this.#multiplexes;
  }

  /** Whether nothing more is to be said on this connection: its requests are over and one of them came without KEEP_CONN. */
  get isFinished(): boolean {
    return this.#closesWhenIdle && this.#open === 0;
  }

  /** Whether input of an ended request is still to come. It must be read: closing over it makes web servers answer 502. */
  get awaitsInput(): boolean {
    for (const request of this.#requests.values()) {
      if (request.state === GONE && request.awaitsInput && !request.inputEnded) return true;
    }
    return false;
  }

  /** Whether the peer owes bytes: a record or a request's PARAMS have begun and are not complete. */
  get isPartial(): boolean {
    if (this.#reader.isPartial) return true;
    for (const request of this.#requests.values()) {
      if (request.state === PARAMS || request.state === REFUSED) return true;
    }
    return false;
  }

  /** Takes bytes from the web server, cut anywhere.
   * @throws {RemoteProtocolError} scope connection: close it */
  receive(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  /** Closes this connection once no request is open, as if the web server had not asked to keep it. */
  finish(): void {
    this.#closesWhenIdle = true;
  }

  /** The connection is gone: every open request is aborted. */
  lose(error: RemoteProtocolError): void {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) {
      const sink = request.sink;
      request.inputEnded = true;
      if (request.state !== GONE) this.#release(request);
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
    if (request.state !== GONE) this.#writer.writeText(RecordType.Stdout, request.id, text, encoding);
  }

  /** Queues bytes for STDOUT; they must not change until they are on the wire. */
  writeBytes(request: AppRequest, bytes: Uint8Array): void {
    if (request.state !== GONE) this.#writer.writeBytes(RecordType.Stdout, request.id, bytes);
  }

  /** Queues text for STDERR: the web server's error log. */
  writeStderr(request: AppRequest, text: string): void {
    if (request.state !== GONE) this.#writer.writeText(RecordType.Stderr, request.id, text, "utf8");
  }

  /** Ends STDOUT and the request. FastCGI 1.0 §5.5. */
  end(request: AppRequest, appStatus: number, protocolStatus: ProtocolStatus): void {
    if (request.state === GONE) return;
    if (request.hasStdout) this.#writer.endStream(RecordType.Stdout, request.id);
    this.#writer.endRequest(request.id, appStatus, protocolStatus);
    if (!request.keepConn) this.#closesWhenIdle = true;
    this.#release(request);
    // Otherwise it stays in the table, deaf, until its input has been seen to end.
    if (request.keepConn || request.inputEnded) this.#requests.delete(request.id);
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
    this.#body = "";
    if (type === RecordType.BeginRequest && contentLength !== 8) {
      throw fatal("ERR_POSTERN_RECORD_BODY", `BEGIN_REQUEST with ${contentLength} bytes of content instead of 8`);
    }
  }

  onContent(chunk: Buffer, start: number, end: number): void {
    const request = this.#request;
    switch (this.#type) {
      case RecordType.Params:
        if (request !== undefined) this.#addParams(request, chunk, start, end);
        break;
      case RecordType.Stdin:
        if (request !== undefined && !request.stdinEnded) request.sink.onStdin(chunk, start, end);
        break;
      case RecordType.Data:
        if (request !== undefined && !request.inputEnded) request.sink.onData(chunk, start, end);
        break;
      case RecordType.BeginRequest:
      case RecordType.GetValues:
        this.#body += chunk.toString("latin1", start, end);
        break;
    }
  }

  onRecordEnd(): void {
    const endsStream = this.#length === 0;
    const request = this.#request;
    switch (this.#type) {
      case RecordType.BeginRequest:
        this.#begin();
        break;
      case RecordType.Params:
        if (request !== undefined && endsStream) this.#paramsEnd(request);
        break;
      case RecordType.Stdin:
        if (request !== undefined && endsStream) this.#stdinEnd(request);
        break;
      case RecordType.Data:
        if (request !== undefined && endsStream) this.#dataEnd(request);
        break;
      case RecordType.AbortRequest:
        if (request !== undefined) this.#abort(request);
        break;
      case RecordType.GetValues:
        this.#getValues();
        break;
      default:
        if (this.#id === MANAGEMENT_ID) this.#writer.writeFixed(RecordType.UnknownType, 0, this.#type << 24, 0);
    }
  }

  #begin(): void {
    const id = this.#id;
    const body = this.#body;
    const role = (body.charCodeAt(0) << 8) | body.charCodeAt(1);
    const keepConn = (body.charCodeAt(2) & KEEP_CONN) !== 0;
    if (id === MANAGEMENT_ID) throw fatal("ERR_POSTERN_REQUEST_ID", "BEGIN_REQUEST with request id 0");
    const before = this.#requests.get(id);
    if (before !== undefined && before.state !== GONE) {
      throw fatal("ERR_POSTERN_REQUEST_ID_REUSED", `BEGIN_REQUEST for request ${id}, which is still open`);
    }
    if (!isRole(role)) {
      this.#writer.endRequest(id, 0, ProtocolStatus.UnknownRole);
      if (!keepConn) this.#closesWhenIdle = true;
      return;
    }
    const request = new AppRequest(id, role, keepConn);
    if (this.#open > 0) {
      this.#multiplexes = true;
      this.#checkCount(request);
    }
    this.#open++;
    this.#requests.set(id, request);
  }

  /** Refuses a request beyond the limit with a page; a peer that goes on beginning them loses the connection. */
  #checkCount(request: AppRequest): void {
    const most = this.#limits.maxRequests;
    const held = this.#requests.size;
    if (held < most) return;
    const message = `${held + 1} requests open on one connection, the limit is ${most}`;
    if (held >= 2 * most) throw fatal("ERR_POSTERN_TOO_MANY_REQUESTS", message);
    this.#refuse(request, new RemoteProtocolError("ERR_POSTERN_TOO_MANY_REQUESTS", message, "request"));
  }

  #addParams(request: AppRequest, chunk: Buffer, start: number, end: number): void {
    if (request.state === PARAMS) {
      const most = this.#limits.maxParamsBytes;
      if (request.paramsText.length + end - start <= most) {
        request.paramsText += chunk.toString("latin1", start, end);
        return;
      }
      this.#refuse(
        request,
        new RemoteProtocolError(
          "ERR_POSTERN_PARAMS_TOO_LARGE",
          `parameters of request ${request.id} exceed ${most} bytes`,
          "request",
        ),
      );
    }
    if (request.state === REFUSED) {
      request.skippedBytes += end - start;
      if (request.skippedBytes > MAX_SKIPPED_PARAMS_BYTES) {
        throw fatal(request.refusal!.code, `${request.refusal!.message}, and kept coming`);
      }
    }
  }

  #refuse(request: AppRequest, error: RemoteProtocolError): void {
    request.state = REFUSED;
    request.refusal = error;
    request.paramsText = "";
  }

  #paramsEnd(request: AppRequest): void {
    if (request.state === PARAMS) {
      try {
        request.params = Params.decode(request.paramsText, this.#limits.maxParams);
      } catch (error) {
        this.#refuse(request, error as RemoteProtocolError);
      }
      request.paramsText = "";
    }
    if (request.state === PARAMS) {
      request.state = RUNNING;
      request.sink = this.#sink.onRequest(request);
      if (request.state !== RUNNING) request.sink = deaf; // it was answered at once
    } else if (request.state === REFUSED) {
      this.#sink.onRefuse(request, request.refusal!);
    }
  }

  #stdinEnd(request: AppRequest): void {
    if (request.stdinEnded) return;
    request.stdinEnded = true;
    if (request.role !== Role.Filter) request.inputEnded = true;
    if (request.state === GONE) this.#drained(request);
    else request.sink.onStdinEnd();
  }

  #dataEnd(request: AppRequest): void {
    if (request.role !== Role.Filter || request.inputEnded) return;
    request.inputEnded = true;
    if (request.state === GONE) this.#drained(request);
    else request.sink.onDataEnd();
  }

  #drained(request: AppRequest): void {
    if (request.inputEnded) this.#requests.delete(request.id);
  }

  /** FastCGI 1.0 §5.4: answer END_REQUEST as soon as possible; nobody will look at a header block. */
  #abort(request: AppRequest): void {
    const sink = request.sink;
    request.inputEnded = true;
    this.#drained(request);
    this.end(request, 0, ProtocolStatus.RequestComplete);
    sink.onAbort(
      new RemoteProtocolError("ERR_POSTERN_ABORTED", `the web server aborted request ${request.id}`, "request"),
    );
  }

  /** FastCGI 1.0 §4.1: known names with their values, unknown ones left out. */
  #getValues(): void {
    this.#multiplexes = true;
    const values: [string, string][] = [];
    const { maxConnections, maxRequests } = this.#limits;
    const asked = decodeValues(this.#body);
    if (asked.has(ValueName.MaxConnections)) values.push([ValueName.MaxConnections, `${maxConnections}`]);
    if (asked.has(ValueName.MaxRequests)) values.push([ValueName.MaxRequests, `${maxConnections * maxRequests}`]);
    if (asked.has(ValueName.Multiplex)) values.push([ValueName.Multiplex, "1"]);
    const content = encodeParams(values);
    if (content.length === 0) this.#writer.endStream(RecordType.GetValuesResult, MANAGEMENT_ID);
    else this.#writer.writeBytes(RecordType.GetValuesResult, MANAGEMENT_ID, content);
  }
}

function decodeValues(text: string): Params {
  try {
    return Params.decode(text, MAX_CONTENT_BYTES);
  } catch (cause) {
    throw new RemoteProtocolError("ERR_POSTERN_PARAMS_MALFORMED", "malformed GET_VALUES", "connection", { cause });
  }
}

function fatal(code: ErrorCode, message: string): RemoteProtocolError {
  return new RemoteProtocolError(code, message, "connection");
}

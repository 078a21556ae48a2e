// HOT
/**
 * The web server's side of one FastCGI connection: requests out, answers in. A pure machine: bytes to send collect
 * in the writer, bytes from the application come in through `receive`, meaning goes up to the sinks.
 *
 * The life of one request (FastCGI 1.0 §6), as kept in the request table:
 *
 *     begin() ──> OPEN ──END_REQUEST──> gone (onEnd)
 *                  │ ├─broken answer──> ABORTED (onError, ABORT_REQUEST sent)
 *                  │ ├─abort()────────> ABORTED ──END_REQUEST──> gone
 *                  │ └─lose()─────────> gone (onError)
 *                  (an answer may end before the input has: what is written afterwards is dropped)
 *
 * Strict on purpose, where web servers differ: a record for an id that is not in the table, a record only a web
 * server may send, or a management record nobody asked for ends the connection (nginx, Apache and h2o agree).
 *
 * Invariants: 1. an id is in the table from `begin` to its END_REQUEST, so it is never reused while the application
 * may still send for it; 2. after onEnd or onError a sink hears nothing more; 3. a RemoteProtocolError of scope
 * "connection" is thrown out of `receive`: call `lose` with it and receive nothing more; 4. only management
 * records are gathered, and of those at most 65535 bytes.
 */
import { type ErrorCode, type ErrorScope, RemoteProtocolError, UsageError } from "../base/errors.ts";
import { encodeParams, Params } from "./params.ts";
import { RecordReader, type RecordSink } from "./record-reader.ts";
import type { RecordWriter } from "./record-writer.ts";
import {
  KEEP_CONN,
  MANAGEMENT_ID,
  MAX_CONTENT_BYTES,
  MAX_REQUEST_ID,
  ProtocolStatus,
  RecordType,
  type Role,
  recordTypeName,
} from "./records.ts";

/** Takes the answer to one request. Chunks are only lent: copy what must outlive the call. */
export interface AnswerSink {
  onStdout(chunk: Buffer, start: number, end: number): void;
  /** The application has ended its STDOUT. Not every application does. */
  onStdoutEnd(): void;
  onStderr(chunk: Buffer, start: number, end: number): void;
  /** END_REQUEST: the answer is whole. `appStatus` is 0..4294967295. */
  onEnd(appStatus: number, protocolStatus: ProtocolStatus): void;
  /** The answer broke the protocol, or the connection was lost: there will be no END_REQUEST. */
  onError(error: Error): void;
}

/** Takes the answers to management records. */
export interface WebSink {
  /** The answer to `getValues`; undefined when the application does not know GET_VALUES. */
  onValues(values: Params | undefined): void;
}

const OPEN = 0;
const ABORTED = 1;
const GONE = 2;

/** Drops everything: the sink of aborted requests. */
const deaf: AnswerSink = {
  onStdout(): void {},
  onStdoutEnd(): void {},
  onStderr(): void {},
  onEnd(): void {},
  onError(): void {},
};

/** One request of a connection, as the web server sees it. Written to by WebConnection only. */
export class WebRequest {
  /** 1..65535, unique among the open requests of the connection. */
  readonly id: number;
  readonly role: Role;
  /** Whether the application was asked to keep the connection open afterwards. */
  readonly keepConn: boolean;
  /** Whether every input stream of the request has been ended by us. */
  inputEnded = false;
  /** Whether the application has sent anything for it. */
  isAnswered = false;
  /** @internal */ state: number = OPEN;
  /** @internal */ sink: AnswerSink;
  /** @internal */ stdinEnded = false;
  /** @internal */ stdoutEnded = false;
  /** @internal */ stderrEnded = false;

  constructor(id: number, role: Role, keepConn: boolean, sink: AnswerSink) {
    this.id = id;
    this.role = role;
    this.keepConn = keepConn;
    this.sink = sink;
  }

  /** Whether it still takes input: neither ended nor aborted. */
  get isOpen(): boolean {
    return this.state === OPEN;
  }
}

export class WebConnection implements RecordSink {
  readonly #sink: WebSink;
  readonly #writer: RecordWriter;
  readonly #maxRequests: number;
  readonly #reader: RecordReader;
  readonly #requests = new Map<number, WebRequest>();
  #type = 0; // of the record being read
  #id = 0;
  #length = 0;
  #request: WebRequest | undefined = undefined; // the one the record belongs to
  #body = ""; // content of a record that is needed whole: END_REQUEST and management records
  #valuesAsked = false;
  #isSpoilt = false; // some request ended in a way that leaves the application's next read in doubt

  /** @param maxRequests most requests open at once; 1 unless the application is known to multiplex */
  constructor(sink: WebSink, writer: RecordWriter, maxRequests = 1) {
    this.#sink = sink;
    this.#writer = writer;
    this.#maxRequests = Math.min(maxRequests, MAX_REQUEST_ID);
    this.#reader = new RecordReader(this);
  }

  /** Requests begun and not ended, aborted ones included until the application has ended them. */
  get openRequests(): number {
    return this.#requests.size;
  }

  /** Whether one more request may begin now. */
  get hasRoom(): boolean {
    return this.#requests.size < this.#maxRequests;
  }

  /**
   * Whether another request may follow on this connection. Not after a request that came without KEEP_CONN, was
   * aborted, or was answered before its input had ended: php-fpm and libfcgi would take the rest of the old input,
   * or the ABORT_REQUEST, for the start of the new request and hang up.
   */
  get isReusable(): boolean {
    return !this.#isSpoilt;
  }

  /** Whether the application owes the rest of a record. */
  get isPartial(): boolean {
    return this.#reader.isPartial;
  }

  /**
   * Begins a request: BEGIN_REQUEST and the whole PARAMS stream. FastCGI 1.0 §5.1, §5.2.
   * @param params an encoded stream, see `encodeParams`; it must not change until it is on the wire
   * @throws {UsageError} `ERR_POSTERN_TOO_MANY_REQUESTS` when there is no room
   */
  begin(role: Role, keepConn: boolean, params: Uint8Array, sink: AnswerSink): WebRequest {
    if (!this.hasRoom) {
      throw new UsageError(
        "ERR_POSTERN_TOO_MANY_REQUESTS",
        `${this.#requests.size} requests are open on this connection, the limit is ${this.#maxRequests}`,
      );
    }
    let id = 1;
    while (this.#requests.has(id)) id++;
    const request = new WebRequest(id, role, keepConn, sink);
    this.#requests.set(id, request);
    if (!keepConn) this.#isSpoilt = true;
    this.#writer.writeFixed(RecordType.BeginRequest, id, (role << 16) | ((keepConn ? KEEP_CONN : 0) << 8), 0);
    this.#writer.writeBytes(RecordType.Params, id, params);
    this.#writer.endStream(RecordType.Params, id);
    return request;
  }

  /** Queues bytes of STDIN; they must not change until they are on the wire. Dropped when the request is over. */
  writeStdin(request: WebRequest, bytes: Uint8Array): void {
    if (request.state === OPEN && !request.stdinEnded) {
      this.#writer.writeBytes(RecordType.Stdin, request.id, bytes);
    }
  }

  /** Ends STDIN. FastCGI 1.0 §5.3. @param isLast false when DATA follows, for a filter */
  endStdin(request: WebRequest, isLast = true): void {
    if (request.state !== OPEN || request.stdinEnded) return;
    request.stdinEnded = true;
    request.inputEnded = isLast;
    this.#writer.endStream(RecordType.Stdin, request.id);
  }

  /** Queues bytes of DATA, a filter's second input; they must not change until they are on the wire. */
  writeData(request: WebRequest, bytes: Uint8Array): void {
    if (request.state === OPEN && !request.inputEnded) {
      this.#writer.writeBytes(RecordType.Data, request.id, bytes);
    }
  }

  /** Ends DATA. FastCGI 1.0 §5.3. */
  endData(request: WebRequest): void {
    if (request.state !== OPEN || request.inputEnded) return;
    request.inputEnded = true;
    this.#writer.endStream(RecordType.Data, request.id);
  }

  /** Gives a request up: its sink hears nothing more, its id stays taken until END_REQUEST. FastCGI 1.0 §5.4. */
  abort(request: WebRequest): void {
    if (request.state !== OPEN) return;
    request.state = ABORTED;
    request.sink = deaf;
    this.#isSpoilt = true;
    this.#writer.endStream(RecordType.AbortRequest, request.id); // an empty record is all there is to it
  }

  /**
   * Asks for variables. FastCGI 1.0 §4.1. The answer comes to `onValues`; one question at a time.
   * @throws {UsageError} `ERR_POSTERN_TOO_MANY_REQUESTS` while an answer is awaited
   */
  getValues(names: readonly string[]): void {
    if (this.#valuesAsked)
      throw new UsageError("ERR_POSTERN_TOO_MANY_REQUESTS", "GET_VALUES is already under way");
    const content = encodeParams(names.map((name) => [name, ""] as const));
    if (content.length > MAX_CONTENT_BYTES)
      throw new RangeError("GET_VALUES is one record: ask for fewer names");
    this.#valuesAsked = true;
    if (content.length === 0) this.#writer.endStream(RecordType.GetValues, MANAGEMENT_ID);
    else this.#writer.writeBytes(RecordType.GetValues, MANAGEMENT_ID, content);
  }

  /** Takes bytes from the application, cut anywhere.
   * @throws {RemoteProtocolError} scope connection: call `lose` and close it */
  receive(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  /** The connection is gone: every open request hears of it. */
  lose(error: Error): void {
    this.#isSpoilt = true;
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) {
      const sink = request.sink;
      request.state = GONE;
      request.sink = deaf;
      sink.onError(error);
    }
  }

  // RecordSink

  onRecord(type: number, id: number, contentLength: number): void {
    this.#type = type;
    this.#id = id;
    this.#length = contentLength;
    this.#body = "";
    switch (type) {
      case RecordType.Stdout:
      case RecordType.Stderr:
      case RecordType.EndRequest:
        this.#request = this.#requests.get(id);
        if (this.#request === undefined) throw this.#unknownId();
        this.#request.isAnswered = true;
        if (type === RecordType.EndRequest) this.#checkLength(8);
        break;
      case RecordType.GetValuesResult:
      case RecordType.UnknownType:
        if (id !== MANAGEMENT_ID || !this.#valuesAsked) {
          throw fatal(
            "ERR_POSTERN_RECORD_BODY",
            `${recordTypeName(type)} that nobody asked for (request id ${id})`,
          );
        }
        if (type === RecordType.UnknownType) this.#checkLength(8);
        break;
      default:
        throw fatal("ERR_POSTERN_RECORD_BODY", `${recordTypeName(type)} is not for an application to send`);
    }
  }

  onContent(chunk: Buffer, start: number, end: number): void {
    const request = this.#request!;
    switch (this.#type) {
      case RecordType.Stdout:
        if (request.stdoutEnded) this.#fail(request, "STDOUT goes on after its end");
        else request.sink.onStdout(chunk, start, end);
        break;
      case RecordType.Stderr:
        if (request.stderrEnded) this.#fail(request, "STDERR goes on after its end");
        else request.sink.onStderr(chunk, start, end);
        break;
      default:
        this.#body += chunk.toString("latin1", start, end);
    }
  }

  onRecordEnd(): void {
    const endsStream = this.#length === 0;
    const request = this.#request!;
    switch (this.#type) {
      case RecordType.Stdout:
        if (endsStream && !request.stdoutEnded) {
          request.stdoutEnded = true;
          request.sink.onStdoutEnd();
        }
        break;
      case RecordType.Stderr:
        if (endsStream) request.stderrEnded = true;
        break;
      case RecordType.EndRequest:
        this.#end(request);
        break;
      default:
        this.#values();
    }
  }

  #end(request: WebRequest): void {
    const body = Buffer.from(this.#body, "latin1");
    const protocolStatus = body[4]!;
    if (request.state === OPEN && protocolStatus > ProtocolStatus.UnknownRole) {
      this.#fail(request, `END_REQUEST with protocol status ${protocolStatus}`);
    }
    const sink = request.sink;
    this.#requests.delete(request.id);
    if (!request.inputEnded) this.#isSpoilt = true;
    request.state = GONE;
    request.sink = deaf;
    sink.onEnd(body.readUInt32BE(0), protocolStatus as ProtocolStatus);
  }

  #values(): void {
    this.#valuesAsked = false;
    if (this.#type === RecordType.UnknownType) {
      const type = this.#body.charCodeAt(0);
      if (type !== RecordType.GetValues) {
        throw fatal(
          "ERR_POSTERN_RECORD_BODY",
          `UNKNOWN_TYPE for ${recordTypeName(type)}, which was never sent`,
        );
      }
      this.#sink.onValues(undefined);
      return;
    }
    let values: Params;
    try {
      values = Params.decode(this.#body, MAX_CONTENT_BYTES);
    } catch (cause) {
      throw new RemoteProtocolError(
        "ERR_POSTERN_PARAMS_MALFORMED",
        "malformed GET_VALUES_RESULT",
        "connection",
        {
          cause,
        },
      );
    }
    this.#sink.onValues(values);
  }

  /** The answer to one request makes no sense; its siblings go on. */
  #fail(request: WebRequest, message: string): void {
    if (request.state !== OPEN) return;
    const sink = request.sink;
    this.abort(request);
    sink.onError(protocolError("ERR_POSTERN_RECORD_BODY", `${message} (request ${request.id})`, "request"));
  }

  #unknownId(): RemoteProtocolError {
    const name = recordTypeName(this.#type);
    return fatal("ERR_POSTERN_REQUEST_ID", `${name} for request ${this.#id}, which is not open`);
  }

  #checkLength(bytes: number): void {
    if (this.#length !== bytes) {
      const name = recordTypeName(this.#type);
      throw fatal(
        "ERR_POSTERN_RECORD_BODY",
        `${name} with ${this.#length} bytes of content instead of ${bytes}`,
      );
    }
  }
}

function fatal(code: ErrorCode, message: string): RemoteProtocolError {
  return protocolError(code, message, "connection");
}

function protocolError(code: ErrorCode, message: string, scope: ErrorScope): RemoteProtocolError {
  return new RemoteProtocolError(code, message, scope);
}

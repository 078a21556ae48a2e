/**
 * The two directions of one connection, as they go by → the requests in them: who asked for what, what was answered, how
 * it ended. Looks on only: it holds no body, never throws, and forgets a request when it has ended.
 *
 *     BEGIN_REQUEST ──> open ──END_REQUEST──────────────> ended (onRequestEnd)
 *                        └──── the connection is over ──> ended, and by whom
 */
import { createHash, type Hash } from "node:crypto";
import { type ResponseHead, ResponseHeadParser } from "../../cgi/response-head.ts";
import { Params } from "../../protocol/params.ts";
import { KEEP_CONN, ProtocolStatus, RecordType } from "../../protocol/records.ts";
import { type Broken, type CutRecord, RecordCutter } from "./cutter.ts";

/** Who sent it. */
export type Side = "web server" | "application";

/** How a request ended; `open` while it has not. */
export type Ending =
  | "open"
  | "done"
  | "aborted"
  | "closed by the web server"
  | "closed by the application"
  | "overloaded"
  | "cannot multiplex"
  | "unknown role"
  | "tap ended";

/** One request. Changes until it has ended. */
export interface Exchange {
  /** From 1, in its connection. */
  readonly ordinal: number;
  readonly id: number;
  readonly role: number;
  readonly keepConn: boolean;
  /** ms by the clock of the conversation. */
  readonly beginMs: number;
  firstByteMs: number | undefined;
  endMs: number | undefined;
  ending: Ending;
  /** The web server has sent ABORT_REQUEST. */
  isAborted: boolean;
  /** Undefined until they are whole, or when they are malformed. */
  params: Params | undefined;
  paramsBytes: number;
  paramsEnded: boolean;
  stdinBytes: number;
  stdinEnded: boolean;
  dataBytes: number;
  stdoutBytes: number;
  stderrBytes: number;
  head: ResponseHead | undefined;
  /** Why the header block cannot be read. */
  headProblem: string | undefined;
  bodyBytes: number;
  /** The beginning of the body, when bodies are looked at. */
  bodyStart: Buffer;
  /** What the application wrote on STDERR, its beginning. */
  stderr: string;
  appStatus: number | undefined;
  protocolStatus: number | undefined;
  stdinSha256: string | undefined;
  bodySha256: string | undefined;
}

/** Hears of what happens. Must not throw. */
export interface ConversationSink {
  onBegin?(exchange: Exchange): void;
  onParams?(exchange: Exchange): void;
  /** One line of STDERR, without its end. */
  onStderr?(exchange: Exchange, line: string): void;
  onEnd?(exchange: Exchange): void;
  onBroken?(side: Side, broken: Broken): void;
}

export interface ConversationOptions {
  /** ms; anything that only grows. */
  readonly now: () => number;
  /** Take the hashes of bodies and keep their beginnings: for recordings, not for a tap. @default false */
  readonly bodies?: boolean;
  /** The head of an answer is read without one: of a recording of that direction alone. @default false */
  readonly isOneSided?: boolean;
}

const MOST_PARAMS_BYTES = 4 * 1024 * 1024;
const MOST_STDERR = 64 * 1024;
const MOST_LINE = 4096;
const BODY_START_BYTES = 64 * 1024;

/** What is needed of a request while it is open. */
interface Work {
  readonly exchange: Exchange;
  readonly head: ResponseHeadParser;
  params: string;
  line: string;
  readonly stdin: Hash | undefined;
  readonly body: Hash | undefined;
}

export class Conversation {
  readonly #sink: ConversationSink;
  readonly #options: ConversationOptions;
  readonly #open = new Map<number, Work>();
  readonly #cutters: Readonly<Record<Side, RecordCutter>>;
  #count = 0;
  /** Content of a record that is needed whole. */
  #fixed = "";
  #isGone = false;

  constructor(sink: ConversationSink, options: ConversationOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#cutters = { "web server": this.#listen("web server"), application: this.#listen("application") };
  }

  /** Requests that have begun and not ended. */
  get openRequests(): number {
    return this.#open.size;
  }

  *open(): Generator<Exchange> {
    for (const { exchange } of this.#open.values()) yield exchange;
  }

  /** Whether both sides have sent records only. */
  get isFastCgi(): boolean {
    return this.#cutters["web server"].broken === undefined && this.#cutters.application.broken === undefined;
  }

  /** Whether no request is open, and nothing half sent. */
  get isIdle(): boolean {
    return (
      this.#open.size === 0 &&
      this.isFastCgi &&
      this.#cutters["web server"].isBetween &&
      this.#cutters.application.isBetween
    );
  }

  cutter(side: Side): RecordCutter {
    return this.#cutters[side];
  }

  /** Bytes that this side has sent. They are only lent. */
  push(side: Side, chunk: Buffer): void {
    const cutter = this.#cutters[side];
    if (cutter.broken !== undefined) {
      cutter.push(chunk);
      return;
    }
    cutter.push(chunk);
    if (cutter.broken !== undefined) this.#sink.onBroken?.(side, cutter.broken);
  }

  /** Nobody takes answers any more: what the application still says of open requests reaches no one. */
  webServerGone(): void {
    this.#isGone = true;
  }

  /** The connection is over: what is open has ended so. */
  close(how: Ending): void {
    for (const work of [...this.#open.values()]) this.#finish(work, how);
  }

  #listen(side: Side): RecordCutter {
    let record: CutRecord;
    let work: Work | undefined;
    return new RecordCutter({
      onRecord: (next) => {
        record = next;
        this.#fixed = "";
        if (side === "web server") work = this.#open.get(record.requestId);
        else work = this.#open.get(record.requestId) ?? this.#unasked(record);
      },
      onContent: (chunk, start, end) => this.#content(record, work, chunk, start, end),
      onRecordEnd: () => this.#recordEnd(side, record, work),
    });
  }

  /** A request that is known from its answer alone. */
  #unasked(record: CutRecord): Work | undefined {
    const isAnswer = record.type === RecordType.Stdout || record.type === RecordType.Stderr;
    if (this.#options.isOneSided !== true || record.requestId === 0) return undefined;
    return isAnswer || record.type === RecordType.EndRequest
      ? this.#begin(record.requestId, 0, 0)
      : undefined;
  }

  #begin(id: number, role: number, flags: number): Work {
    // An id that is used again before it has ended: the old one is lost.
    const before = this.#open.get(id);
    if (before !== undefined) this.#finish(before, "closed by the web server");
    const exchange: Exchange = {
      ordinal: ++this.#count,
      id,
      role,
      keepConn: (flags & KEEP_CONN) !== 0,
      beginMs: this.#options.now(),
      firstByteMs: undefined,
      endMs: undefined,
      ending: "open",
      isAborted: false,
      params: undefined,
      paramsBytes: 0,
      paramsEnded: false,
      stdinBytes: 0,
      stdinEnded: false,
      dataBytes: 0,
      stdoutBytes: 0,
      stderrBytes: 0,
      head: undefined,
      headProblem: undefined,
      bodyBytes: 0,
      bodyStart: Buffer.alloc(0),
      stderr: "",
      appStatus: undefined,
      protocolStatus: undefined,
      stdinSha256: undefined,
      bodySha256: undefined,
    };
    const hash = (): Hash | undefined => (this.#options.bodies === true ? createHash("sha256") : undefined);
    const work: Work = {
      exchange,
      head: new ResponseHeadParser(),
      params: "",
      line: "",
      stdin: hash(),
      body: hash(),
    };
    this.#open.set(id, work);
    this.#sink.onBegin?.(exchange);
    return work;
  }

  #content(record: CutRecord, work: Work | undefined, chunk: Buffer, start: number, end: number): void {
    if (record.type === RecordType.BeginRequest || record.type === RecordType.EndRequest) {
      if (this.#fixed.length < 8) this.#fixed += chunk.toString("latin1", start, end);
      return;
    }
    if (work === undefined) return;
    const { exchange } = work;
    switch (record.type) {
      case RecordType.Params:
        exchange.paramsBytes += end - start;
        if (exchange.paramsBytes <= MOST_PARAMS_BYTES) work.params += chunk.toString("latin1", start, end);
        break;
      case RecordType.Stdin:
        exchange.stdinBytes += end - start;
        work.stdin?.update(chunk.subarray(start, end));
        break;
      case RecordType.Data:
        exchange.dataBytes += end - start;
        break;
      case RecordType.Stdout:
        this.#stdout(work, chunk, start, end);
        break;
      case RecordType.Stderr:
        this.#stderr(work, chunk.toString("latin1", start, end));
        break;
    }
  }

  #stdout(work: Work, chunk: Buffer, start: number, end: number): void {
    const { exchange, head } = work;
    exchange.firstByteMs ??= this.#options.now();
    exchange.stdoutBytes += end - start;
    let at = start;
    while (head.head === undefined && exchange.headProblem === undefined && at < end) {
      try {
        const body = head.push(chunk, at, end);
        if (body < 0) return;
        at = body;
        const found = head.head as ResponseHead | undefined;
        // An interim answer is followed by the real one.
        if (found !== undefined && found.status < 200 && found.status !== 101) head.reset();
        else exchange.head = found;
      } catch (error) {
        exchange.headProblem = error instanceof Error ? error.message : String(error);
      }
    }
    if (at >= end) return;
    exchange.bodyBytes += end - at;
    if (work.body === undefined) return;
    work.body.update(chunk.subarray(at, end));
    const room = BODY_START_BYTES - exchange.bodyStart.length;
    if (room > 0) {
      exchange.bodyStart = Buffer.concat([exchange.bodyStart, chunk.subarray(at, Math.min(end, at + room))]);
    }
  }

  #stderr(work: Work, text: string): void {
    const { exchange } = work;
    exchange.stderrBytes += text.length;
    if (exchange.stderr.length < MOST_STDERR)
      exchange.stderr += text.slice(0, MOST_STDERR - exchange.stderr.length);
    const lines = (work.line + text).split("\n");
    work.line = lines.pop() ?? "";
    for (const line of lines) this.#sink.onStderr?.(exchange, line.replace(/\r$/, ""));
    if (work.line.length < MOST_LINE) return;
    this.#sink.onStderr?.(exchange, work.line);
    work.line = "";
  }

  #recordEnd(side: Side, record: CutRecord, work: Work | undefined): void {
    const byte = (at: number): number => this.#fixed.charCodeAt(at) || 0;
    if (side === "web server") {
      switch (record.type) {
        case RecordType.BeginRequest:
          if (record.requestId !== 0) this.#begin(record.requestId, byte(0) * 256 + byte(1), byte(2));
          break;
        case RecordType.AbortRequest:
          if (work !== undefined) work.exchange.isAborted = true;
          break;
        case RecordType.Params:
          if (work !== undefined && record.contentLength === 0) this.#paramsEnd(work);
          break;
        case RecordType.Stdin:
          if (work !== undefined && record.contentLength === 0) work.exchange.stdinEnded = true;
          break;
      }
    } else if (record.type === RecordType.EndRequest && work !== undefined) {
      const { exchange } = work;
      exchange.appStatus = ((byte(0) * 256 + byte(1)) * 256 + byte(2)) * 256 + byte(3);
      exchange.protocolStatus = byte(4);
      this.#finish(work, this.#endingOf(exchange));
    }
  }

  #paramsEnd({ exchange, params }: Work): void {
    if (exchange.paramsEnded) return;
    exchange.paramsEnded = true;
    try {
      exchange.params = Params.decode(params, Number.POSITIVE_INFINITY);
    } catch {
      // Told by its absence.
    }
    this.#sink.onParams?.(exchange);
  }

  #endingOf({ isAborted, protocolStatus }: Exchange): Ending {
    if (isAborted) return "aborted";
    if (this.#isGone) return "closed by the web server";
    switch (protocolStatus) {
      case ProtocolStatus.CannotMultiplex:
        return "cannot multiplex";
      case ProtocolStatus.Overloaded:
        return "overloaded";
      case ProtocolStatus.UnknownRole:
        return "unknown role";
      default:
        return "done";
    }
  }

  #finish(work: Work, ending: Ending): void {
    const { exchange } = work;
    this.#open.delete(exchange.id);
    if (work.line !== "") this.#sink.onStderr?.(exchange, work.line);
    exchange.ending = exchange.isAborted && ending !== "tap ended" ? "aborted" : ending;
    exchange.endMs = this.#options.now();
    exchange.stdinSha256 = work.stdin?.digest("hex");
    exchange.bodySha256 = work.body?.digest("hex");
    this.#sink.onEnd?.(exchange);
  }
}

/**
 * An AppConnection with an application that writes down everything it is told, one line per event, so that whole
 * conversations can be compared. Input is lent as a socket lends it: overwritten as soon as `receive` returns.
 */
import { RemoteProtocolError } from "../../src/base/errors.ts";
import { AppConnection, type AppSink } from "../../src/protocol/app-connection.ts";
import type { AppLimits } from "../../src/protocol/app-limits.ts";
import type { AppRequest, RequestSink } from "../../src/protocol/app-request.ts";
import { RecordWriter, SlabPool } from "../../src/protocol/record-writer.ts";
import { decodePairs, decodeRecords, type TestRecord, TYPE } from "./records.ts";

/** Limits that no ordinary test meets. */
export const WIDE: AppLimits = {
  maxParamsBytes: 262144,
  maxParams: 1000,
  maxRequests: 64,
  maxConnections: 100,
};

/** What the application does with a request: keep it, or answer and end it, and when. */
export type Answers = "never" | "at once" | "at input end";

export interface RecorderOptions {
  readonly limits?: Partial<AppLimits>;
  /** @default "never" */
  readonly answers?: Answers;
}

const ROLES = ["", "responder", "authorizer", "filter"];
const PROTOCOL_STATUSES = ["complete", "cannot multiplex", "overloaded", "unknown role"];

/** Latin1 text in quotes, `"x"*300` when it is one character over and over. */
export function quoted(text: string): string {
  const first = text[0] ?? "";
  if (text.length > 40 && text === first.repeat(text.length)) return `${quoted(first)}*${text.length}`;
  return JSON.stringify(text).replace(/[\x7f-\xff]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

/** A record an application sent, in words. */
export function inWords({ type, name, id, content }: TestRecord): string {
  const text = content.toString("latin1");
  switch (type) {
    case TYPE.END_REQUEST:
      return `${name} ${id} app ${content.readUInt32BE(0)} ${PROTOCOL_STATUSES[content.readUInt8(4)]}`;
    case TYPE.UNKNOWN_TYPE:
      return `${name} ${id} type ${content.readUInt8(0)}`;
    case TYPE.GET_VALUES_RESULT:
      return `${name} ${id}${decodePairs(content)
        .map((pair) => ` ${quoted(pair[0])} = ${quoted(pair[1])}`)
        .join(",")}`;
    default:
      return text === "" ? `${name} ${id} end` : `${name} ${id} ${quoted(text)}`;
  }
}

export class AppRecorder implements AppSink {
  readonly app: AppConnection;
  readonly writer: RecordWriter = new RecordWriter(new SlabPool());
  /** Every request announced, the last under its id. */
  readonly requests: Map<number, AppRequest> = new Map();
  /** What `receive` threw. */
  error: RemoteProtocolError | undefined = undefined;
  /** Called for each event, for tests that act in the middle of one. */
  onEvent: (line: string, request: AppRequest) => void = () => {};
  readonly #options: RecorderOptions;
  readonly #lines: string[] = [];
  #streamName = ""; // the stream whose content is being merged
  #streamText = "";
  #output: Buffer[] = [];

  constructor(options: RecorderOptions = {}) {
    this.#options = options;
    this.app = new AppConnection(this, this.writer, { ...WIDE, ...options.limits });
  }

  /** Gives the machine the chunks, each overwritten afterwards, until it throws. */
  feed(chunks: Iterable<Uint8Array>): this {
    for (const chunk of chunks) {
      if (this.error !== undefined) break;
      const lent = Buffer.from(chunk);
      try {
        this.app.receive(lent);
      } catch (error) {
        if (!(error instanceof RemoteProtocolError)) throw error;
        this.error = error;
        this.#add(`error ${error.code} ${error.scope}`);
      }
      lent.fill(0xdd);
    }
    return this;
  }

  /** Everything heard so far; the pieces of a stream that follow each other are one. */
  get events(): string[] {
    this.#mergeStream();
    return [...this.#lines];
  }

  /** All bytes written so far. */
  get output(): Buffer {
    this.#output.push(...this.writer.take().map((piece) => Buffer.from(piece)));
    this.writer.recycle(true);
    return Buffer.concat(this.#output);
  }

  /** All records written so far, in words. */
  get answers(): string[] {
    const { records, rest } = decodeRecords(this.output);
    if (rest.length > 0) throw new Error(`${rest.length} bytes at the end make no record`);
    return records.map(inWords);
  }

  /** What the machine says of itself. */
  get state(): string {
    const { app } = this;
    const words = [`open ${app.openRequests}`, `served ${app.servedRequests}`];
    if (app.isPartial) words.push("partial");
    if (app.multiplexes) words.push("multiplexes");
    if (app.awaitsInput) words.push("awaits input");
    if (app.isFinished) words.push("finished");
    return words.join(", ");
  }

  /** Sends a small page and ends the request. */
  answer(request: AppRequest, head = "Status: 200\r\n\r\n", protocolStatus: 0 | 2 = 0): void {
    this.app.writeHead(request, head);
    this.app.end(request, 0, protocolStatus);
  }

  // AppSink

  onRequest(request: AppRequest): RequestSink {
    this.requests.set(request.id, request);
    const { id } = request;
    this.#add(`request ${id} ${ROLES[request.role]} ${request.keepConn ? "keep" : "close"}`);
    for (const [name, value] of request.params) this.#add(`param ${id} ${quoted(name)} = ${quoted(value)}`);
    this.#tell("request", request);
    if (this.#options.answers === "at once") this.answer(request);
    return {
      onStdin: (chunk, start, end) => {
        this.#content("stdin", id, chunk.toString("latin1", start, end));
        this.#tell("stdin", request);
      },
      onStdinEnd: () => {
        this.#add(`stdin-end ${id}`);
        this.#inputEnd("stdin-end", request);
      },
      onData: (chunk, start, end) => {
        this.#content("data", id, chunk.toString("latin1", start, end));
        this.#tell("data", request);
      },
      onDataEnd: () => {
        this.#add(`data-end ${id}`);
        this.#inputEnd("data-end", request);
      },
      onAbort: (error) => {
        this.#add(`abort ${id} ${error.code}`);
        this.#tell("abort", request);
      },
    };
  }

  onRefuse(request: AppRequest, error: RemoteProtocolError): void {
    this.requests.set(request.id, request);
    this.#add(`refuse ${request.id} ${error.code} ${error.scope}`);
    this.#tell("refuse", request);
    if (this.#options.answers === undefined || this.#options.answers === "never") return;
    const isOverload = error.code === "ERR_POSTERN_TOO_MANY_REQUESTS";
    this.answer(request, isOverload ? "Status: 503\r\n\r\n" : "Status: 400\r\n\r\n", isOverload ? 2 : 0);
  }

  #inputEnd(event: string, request: AppRequest): void {
    this.#tell(event, request);
    if (this.#options.answers === "at input end" && request.inputEnded) this.answer(request);
  }

  #tell(event: string, request: AppRequest): void {
    this.onEvent(`${event} ${request.id}`, request);
  }

  #content(stream: string, id: number, text: string): void {
    if (text.length === 0) throw new Error(`${stream} ${id}: an empty piece`);
    const name = `${stream} ${id}`;
    if (this.#streamName !== name) this.#mergeStream();
    this.#streamName = name;
    this.#streamText += text;
  }

  #mergeStream(): void {
    if (this.#streamName !== "") this.#lines.push(`${this.#streamName} ${quoted(this.#streamText)}`);
    this.#streamName = "";
    this.#streamText = "";
  }

  #add(line: string): void {
    this.#mergeStream();
    this.#lines.push(line);
  }
}

/**
 * One connection to the application under test: bytes out, records in, both written down. Judges every record that comes
 * by the rules of audit.ts, as long as what was sent is what a web server may send.
 */
import { connect, type Socket } from "node:net";
import type { Address } from "../../base/address.ts";
import {
  KEEP_CONN,
  MANAGEMENT_ID,
  ProtocolStatus,
  RecordType,
  recordTypeName,
} from "../../protocol/records.ts";
import { recordLines } from "../record-text.ts";
import type { Audit } from "./audit.ts";
import { type RawRecord, RecordCutter } from "./bytes.ts";

/** One request on a connection, and what came back for it. */
export interface Exchange {
  readonly id: number;
  readonly role: number;
  readonly keepConn: boolean;
  isAborted: boolean;
  readonly stdout: Buffer[];
  readonly stderr: Buffer[];
  stdoutRecords: number;
  stderrRecords: number;
  stdoutEnded: boolean;
  stderrEnded: boolean;
  end: { readonly appStatus: number; readonly protocolStatus: number } | undefined;
}

/** Bytes of a record's content that evidence keeps. */
const KEPT_BYTES = 400;
/** Entries of a transcript that evidence shows: so many of its beginning, so many of its end. */
const SHOWN_FIRST = 8;
const SHOWN_LAST = 20;
const MOST_ENTRIES = 5000;

type Entry = { readonly towards: "application" | "web server"; readonly record: RawRecord } | string;

export class Wire {
  readonly socket: Socket;
  readonly exchanges: Exchange[] = [];
  /** Management records that came. */
  readonly management: RawRecord[] = [];
  /** The application has closed its side. */
  isEnded = false;
  isClosed = false;
  /** Bytes that came. */
  receivedBytes = 0;
  /** The first of them: 1 when it is a record. */
  firstByte = -1;
  readonly #audit: Audit;
  readonly #active = new Map<number, Exchange>();
  readonly #used = new Set<number>();
  readonly #sent: RecordCutter = new RecordCutter();
  readonly #came: RecordCutter = new RecordCutter();
  readonly #entries: Entry[] = [];
  readonly #waiting = new Set<() => void>();
  #isOdd = false;
  #isGivenUp = false;
  #offset = 0;

  constructor(socket: Socket, audit: Audit) {
    this.socket = socket;
    this.#audit = audit;
    socket.on("data", (chunk: Buffer) => {
      if (this.receivedBytes === 0) this.firstByte = chunk[0]!;
      this.receivedBytes += chunk.length;
      this.#came.push(chunk, (record) => this.#received(record));
      this.#wake();
    });
    socket.once("end", () => {
      this.#ended();
      // As a web server does; libfcgi waits for that, and for two seconds if it does not come.
      socket.end();
    });
    socket.once("close", () => {
      this.isClosed = true;
      this.#ended();
    });
    socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#entries.push(`(${error.code ?? error.message})`),
    );
  }

  /** Whether the application is done with the connection. */
  get isOver(): boolean {
    return this.isEnded || this.isClosed;
  }

  /** Sends what a web server may send. */
  send(...parts: readonly Buffer[]): this {
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    this.#sent.push(bytes, (record) => this.#noteSent(record));
    if (this.socket.writable) this.socket.write(bytes);
    return this;
  }

  /** Sends what no web server may send: from here on nothing is held against the application by the audit. */
  sendOdd(bytes: Buffer, what: string): this {
    this.#isOdd = true;
    this.#entries.push(`→ ${what}`);
    if (this.socket.writable) this.socket.write(bytes);
    return this;
  }

  /** The same piece by piece, each in a turn of its own. */
  async sendInPieces(bytes: Buffer, size: number): Promise<void> {
    for (let at = 0; at < bytes.length && !this.isOver; at += size) {
      const piece = bytes.subarray(at, at + size);
      this.#sent.push(piece, (record) => this.#noteSent(record));
      await new Promise<void>((resolve) => {
        this.socket.write(piece, () => setImmediate(resolve));
      });
    }
  }

  /** Waits until `condition`, the end of the connection, or the time is up; says whether the condition is met. */
  async until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0 || this.isClosed || this.isEnded) return condition();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#waiting.add(wake);
      });
    }
    return true;
  }

  /** The latest request with an id. */
  exchange(id: number): Exchange | undefined {
    return this.exchanges.findLast((exchange) => exchange.id === id);
  }

  /** Something that happened beside records, for the evidence. */
  note(text: string): void {
    this.#entries.push(`(${text})`);
  }

  /** Everything that went over the connection, in words. */
  evidence(): string[] {
    const entries = this.#entries;
    const left = entries.length - SHOWN_FIRST - SHOWN_LAST;
    const shown =
      left <= 1
        ? entries
        : [
            ...entries.slice(0, SHOWN_FIRST),
            `… (${left} more records)`,
            ...entries.slice(entries.length - SHOWN_LAST),
          ];
    return shown.flatMap((entry) =>
      typeof entry === "string" ? [entry] : linesOf(entry.record, entry.towards),
    );
  }

  destroy(): void {
    this.#isGivenUp = true;
    this.socket.destroy();
  }

  #ended(): void {
    if (!this.isEnded) {
      this.isEnded = true;
      if (!this.#isGivenUp) {
        this.#entries.push("(the application closed the connection)");
        if (!this.#isOdd) this.#judgeEnd();
      }
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #log(entry: Entry): void {
    if (this.#entries.length < MOST_ENTRIES) this.#entries.push(entry);
  }

  #noteSent(record: RawRecord): void {
    this.#log({ towards: "application", record: shortened(record) });
    const { type, requestId, content } = record;
    if (type === RecordType.BeginRequest && !this.#active.has(requestId)) {
      const exchange: Exchange = {
        id: requestId,
        role: content.readUInt16BE(0),
        keepConn: (content[2]! & KEEP_CONN) !== 0,
        isAborted: false,
        stdout: [],
        stderr: [],
        stdoutRecords: 0,
        stderrRecords: 0,
        stdoutEnded: false,
        stderrEnded: false,
        end: undefined,
      };
      this.exchanges.push(exchange);
      this.#active.set(requestId, exchange);
      this.#used.add(requestId);
    } else if (type === RecordType.AbortRequest) {
      const exchange = this.#active.get(requestId);
      if (exchange !== undefined) exchange.isAborted = true;
    }
  }

  #received(record: RawRecord): void {
    this.#log({ towards: "web server", record: shortened(record) });
    if (!this.#isOdd) this.#judge(record);
    this.#offset += 8 + record.content.length + record.padding;
    const { type, requestId, content } = record;
    if (requestId === MANAGEMENT_ID) {
      this.management.push(record);
      return;
    }
    const exchange = this.#active.get(requestId);
    if (exchange === undefined) return;
    if (type === RecordType.Stdout) {
      exchange.stdoutRecords++;
      exchange.stdout.push(content);
      if (content.length === 0) exchange.stdoutEnded = true;
    } else if (type === RecordType.Stderr) {
      exchange.stderrRecords++;
      exchange.stderr.push(content);
      if (content.length === 0) exchange.stderrEnded = true;
    } else if (type === RecordType.EndRequest) {
      const isWhole = content.length >= 5;
      exchange.end = {
        appStatus: isWhole ? content.readUInt32BE(0) : 0,
        protocolStatus: isWhole ? content[4]! : 255,
      };
      this.#active.delete(requestId);
      if (!this.#isOdd) this.#judgeAnswer(exchange);
    }
  }

  #rule(rule: string, isKept: boolean, says: () => string): void {
    if (isKept) this.#audit.saw(rule);
    else this.#audit.broken(rule, says(), () => this.evidence());
  }

  /** One record that came. */
  #judge({ version, type, requestId, content, reserved }: RawRecord): void {
    const name = recordTypeName(type);
    this.#rule("3.3-version-out", version === 1, () => `a ${name} record has version ${version}`);
    this.#rule(
      "3.3-reserved-out",
      reserved === 0,
      () => `the last byte of the header of ${name} is ${reserved}`,
    );
    this.#rule(
      "3.3-alignment",
      this.#offset % 8 === 0,
      () => `a ${name} record begins at byte ${this.#offset}`,
    );
    const isManagement = type === RecordType.GetValuesResult || type === RecordType.UnknownType;
    const isAnswer =
      type === RecordType.Stdout || type === RecordType.Stderr || type === RecordType.EndRequest;
    this.#rule(
      "3.3-types-out",
      isManagement || isAnswer,
      () => `it sent ${name}, which is not an application's`,
    );
    if (!isManagement && !isAnswer) return;
    this.#rule("3.3-null-id", isManagement === (requestId === MANAGEMENT_ID), () =>
      isManagement ? `${name} came with request id ${requestId}` : `${name} came with request id 0`,
    );
    if (type === RecordType.UnknownType || type === RecordType.EndRequest) {
      const rule = type === RecordType.EndRequest ? "5.5-body" : "4.2-body";
      this.#rule(rule, content.length === 8, () => `${name} has ${content.length} bytes of content`);
      const tail = content.subarray(type === RecordType.EndRequest ? 5 : 1);
      this.#rule(
        "3.3-reserved-out",
        tail.every((byte) => byte === 0),
        () => `reserved bytes of ${name} are set`,
      );
    }
    if (requestId === MANAGEMENT_ID || isManagement) return;
    const exchange = this.#active.get(requestId);
    if (type === RecordType.EndRequest) {
      this.#rule("5.5-once", exchange !== undefined || !this.#used.has(requestId), () => {
        return `END_REQUEST came twice for request ${requestId}`;
      });
      if (exchange === undefined && this.#used.has(requestId)) return;
    }
    this.#rule(
      "3.3-active-ids",
      exchange !== undefined,
      () => `${name} came for request ${requestId}, which is not active`,
    );
    if (exchange === undefined) return;
    const isAfterEnd =
      (type === RecordType.Stdout && exchange.stdoutEnded) ||
      (type === RecordType.Stderr && exchange.stderrEnded);
    this.#rule("3.3-stream-over", !isAfterEnd, () => `${name} came behind the end of its stream`);
  }

  /** A request that has ended. */
  #judgeAnswer(exchange: Exchange): void {
    const { end, isAborted } = exchange;
    const status = end?.protocolStatus ?? 255;
    this.#rule(
      "5.5-protocol-status",
      status <= ProtocolStatus.UnknownRole,
      () => `protocolStatus is ${status}`,
    );
    if (exchange.stdoutRecords > 0) {
      this.#rule("3.3-stdout-ends", exchange.stdoutEnded, () => "STDOUT has no empty record at its end");
    }
    if (exchange.stderrRecords > 0) {
      this.#rule("3.3-stderr-ends", exchange.stderrEnded, () => "STDERR has no empty record at its end");
    }
    if (isAborted || status !== ProtocolStatus.RequestComplete) return;
    this.#rule(
      "6.1-stdout-always",
      exchange.stdoutRecords > 0,
      () => "the request ended without a STDOUT record",
    );
  }

  /** The application has closed the connection. */
  #judgeEnd(): void {
    this.#rule("3.3-whole-records", !this.#came.isPartial, () => "the connection was closed inside a record");
  }
}

/** Connects; undefined when that does not come about in time. */
export function openWire(
  address: Address,
  audit: Audit,
  timeoutMs: number,
): Promise<Wire | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const where =
      address.kind === "unix"
        ? { path: address.path }
        : address.kind === "abstract"
          ? { path: `\0${address.name}` }
          : address.kind === "tcp"
            ? { host: address.host || "localhost", port: address.port }
            : { path: "" };
    const socket = connect({ ...where, allowHalfOpen: true, noDelay: true });
    const fail = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(error);
    };
    const timer = setTimeout(() => fail(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(new Wire(socket, audit));
    });
  });
}

function shortened(record: RawRecord): RawRecord & { readonly length: number } {
  const { content } = record;
  return { ...record, length: content.length, content: Buffer.from(content.subarray(0, KEPT_BYTES)) };
}

function linesOf(record: RawRecord, towards: "application" | "web server"): string[] {
  const { type, requestId, content, padding, version } = record;
  const contentLength = "length" in record ? (record.length as number) : content.length;
  const seen = { towards, type, requestId, contentLength, paddingLength: padding, content, at: 0 };
  const lines = recordLines(seen, { hex: false, width: 110 });
  return version === 1 ? lines : [`${lines[0]}, version ${version}`, ...lines.slice(1)];
}

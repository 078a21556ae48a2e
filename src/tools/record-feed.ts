/**
 * The bytes of one direction of a connection → the records in them, for who looks on. Never throws and never alters
 * anything: what is no record is told once, and the rest of that direction is left alone.
 */
import { RecordReader, type RecordSink } from "../protocol/record-reader.ts";
import { HEADER_BYTES, recordTypeName } from "../protocol/records.ts";
import { sniff } from "../protocol/sniff.ts";
import type { NotRecords, SeenRecord } from "./record-text.ts";

/** Hears of what goes by. Must not throw. */
export interface FeedSink {
  /** A record, when its content is complete. The content is a copy. */
  onRecord(record: SeenRecord): void;
  /** At most once: nothing follows. */
  onNotRecords(seen: NotRecords): void;
}

export interface FeedOptions {
  readonly towards: SeenRecord["towards"];
  /** Bytes of content kept of one record; 0 keeps none. @default 65535, all of it */
  readonly keptBytes?: number;
  /** ms since the start of the connection. @default since the feed was made */
  readonly now?: () => number;
}

/** Bytes kept of what is no record. */
const STRANGE_BYTES = 64;

export class RecordFeed implements RecordSink {
  readonly #sink: FeedSink;
  readonly #towards: SeenRecord["towards"];
  readonly #keptBytes: number;
  readonly #now: () => number;
  readonly #reader: RecordReader = new RecordReader(this);
  #read = 0; // bytes of all chunks before the current one
  #records = 0; // where the next record begins, by the headers so far
  #isOver = false;
  #isOpen = false; // inside the content of a record
  #type = 0;
  #requestId = 0;
  #length = 0;
  #padding = 0;
  #came = 0; // content bytes of the record being read
  #kept = 0;
  #pieces: Buffer[] = [];

  constructor(sink: FeedSink, options: FeedOptions) {
    this.#sink = sink;
    this.#towards = options.towards;
    this.#keptBytes = options.keptBytes ?? 65535;
    const start = performance.now();
    this.#now = options.now ?? ((): number => performance.now() - start);
  }

  /** Whether it still reads records: false after garbage or the end. */
  get isReading(): boolean {
    return !this.#isOver;
  }

  /** Takes the next bytes; they may be reused afterwards. */
  push(chunk: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#reader.push(chunk);
    } catch {
      this.#garbage(chunk);
    }
    this.#read += chunk.length;
  }

  /** The connection has ended in this direction. */
  end(): void {
    if (this.#isOver) return;
    const says = this.#cutText();
    this.#isOver = true;
    if (says !== undefined) this.#tell("cut", says, undefined, this.#read, Buffer.alloc(0));
  }

  // RecordSink

  onRecord(type: number, requestId: number, contentLength: number): void {
    this.#type = type;
    this.#requestId = requestId;
    this.#length = contentLength;
    this.#padding = this.#reader.paddingLength;
    this.#records += HEADER_BYTES + contentLength + this.#padding;
    this.#isOpen = true;
    this.#came = 0;
    this.#kept = 0;
    this.#pieces = [];
  }

  onBlank(): void {
    this.#records += HEADER_BYTES;
  }

  onContent(chunk: Buffer, start: number, end: number): void {
    this.#came += end - start;
    const room = this.#keptBytes - this.#kept;
    if (room <= 0) return;
    const piece = Buffer.from(chunk.subarray(start, Math.min(end, start + room)));
    this.#kept += piece.length;
    this.#pieces.push(piece);
  }

  onRecordEnd(): void {
    this.#isOpen = false;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#sink.onRecord({
      towards: this.#towards,
      type: this.#type,
      requestId: this.#requestId,
      contentLength: this.#length,
      paddingLength: this.#padding,
      content: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces),
      at: this.#now(),
    });
  }

  #garbage(chunk: Buffer): void {
    this.#isOver = true;
    const bytes = chunk.subarray(Math.max(0, this.#records - this.#read));
    const isFirst = this.#records === 0;
    const speaks = isFirst ? sniff(bytes)?.name : undefined;
    const where = isFirst ? "" : ` after ${this.#records} bytes of records`;
    const what =
      speaks !== undefined && !/^something /.test(speaks)
        ? `this is not FastCGI but ${speaks}`
        : `a record begins with byte ${bytes[0] ?? 0}, its version, and only 1 exists`;
    this.#tell("garbage", what + where, speaks, this.#records, Buffer.from(bytes.subarray(0, STRANGE_BYTES)));
  }

  #cutText(): string | undefined {
    if (!this.#reader.isPartial) return undefined;
    if (!this.#isOpen) return "the connection ended inside the header or the padding of a record";
    const name = recordTypeName(this.#type);
    return `the connection ended inside a ${name} record: ${this.#came} of its ${this.#length} bytes came`;
  }

  #tell(
    reason: NotRecords["reason"],
    says: string,
    speaks: string | undefined,
    offset: number,
    bytes: Buffer,
  ): void {
    this.#sink.onNotRecords({ towards: this.#towards, reason, says, speaks, offset, bytes, at: this.#now() });
  }
}

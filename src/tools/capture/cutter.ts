/**
 * Cuts the bytes of one direction into records and knows where each one lies: its number, offset and padding, which the
 * readers of a server have no use for. For who looks on: it never throws, and what is no record ends the cutting.
 */
import { HEADER_BYTES, VERSION } from "../../protocol/records.ts";
import { sniff } from "../../protocol/sniff.ts";

/** The header of a record, and where it is. */
export interface CutRecord {
  /** From 1, in this direction of the connection. */
  readonly number: number;
  /** Bytes of this direction before it. */
  readonly offset: number;
  readonly type: number;
  readonly requestId: number;
  readonly contentLength: number;
  readonly paddingLength: number;
}

/** Hears of what is cut. Must not throw. */
export interface CutterSink {
  onRecord(record: CutRecord): void;
  /** The next piece of its content. The chunk is only lent. */
  onContent(chunk: Buffer, start: number, end: number): void;
  onRecordEnd(): void;
  /** Eight zero bytes: what Cherokee puts behind a POST without a body, and Postern where it breaks an answer off. */
  onBlank?(offset: number): void;
}

/** Where records end and something else begins. */
export interface Broken {
  readonly offset: number;
  /** The number that the record would have. */
  readonly number: number;
  /** What it is, as far as it is known: `HTTP`, `TLS`; only of the first bytes of a connection. */
  readonly speaks: string | undefined;
  /** One sentence, without its full stop. */
  readonly says: string;
}

const FIRST_BYTES = 64;
const HEADER = 0;
const CONTENT = 1;
const PADDING = 2;

export class RecordCutter {
  readonly #sink: CutterSink;
  readonly #header: Buffer = Buffer.alloc(HEADER_BYTES);
  #have = 0;
  #state = HEADER;
  #left = 0;
  #offset = 0; // of the next byte
  #record: CutRecord | undefined;
  #number = 0;
  #first: Buffer = Buffer.alloc(0); // of the connection, to name what speaks
  #broken: Broken | undefined;

  constructor(sink: CutterSink) {
    this.#sink = sink;
  }

  /** Set once something came that is no record. */
  get broken(): Broken | undefined {
    return this.#broken;
  }

  /** Bytes that came so far. */
  get bytes(): number {
    return this.#offset;
  }

  /** Records that have begun. */
  get records(): number {
    return this.#number;
  }

  /** Whether it stands between two records. */
  get isBetween(): boolean {
    return this.#state === HEADER && this.#have === 0;
  }

  push(chunk: Buffer): void {
    if (this.#broken !== undefined) {
      this.#offset += chunk.length;
      return;
    }
    if (this.#offset === 0) this.#first = chunk.subarray(0, FIRST_BYTES);
    const start = this.#offset;
    let at = 0;
    while (at < chunk.length && this.#broken === undefined) {
      if (this.#state === HEADER) {
        this.#header[this.#have++] = chunk[at++]!;
        this.#offset = start + at;
        if (this.#have === 1 && this.#header[0]! > VERSION) this.#break();
        else if (this.#have === HEADER_BYTES) this.#open();
      } else {
        const end = Math.min(at + this.#left, chunk.length);
        if (this.#state === CONTENT) this.#sink.onContent(chunk, at, end);
        this.#left -= end - at;
        at = end;
        this.#offset = start + at;
        if (this.#left === 0) this.#close();
      }
    }
    this.#offset = start + chunk.length;
  }

  /** What is missing when the bytes end here; undefined when nothing is. */
  missing(): Broken | undefined {
    if (this.#broken !== undefined) return this.#broken;
    if (this.isBetween) return undefined;
    const where = `the bytes end at ${this.#offset}`;
    const record = this.#record;
    if (this.#state === HEADER || record === undefined) {
      const offset = this.#offset - this.#have;
      const says = `${where}, inside the header of record ${this.#number + 1}: ${this.#have} of its ${HEADER_BYTES} bytes are there`;
      return { offset, number: this.#number + 1, speaks: undefined, says };
    }
    const part = this.#state === CONTENT ? "content" : "padding";
    const whole = this.#state === CONTENT ? record.contentLength : record.paddingLength;
    const says = `${where}, inside the ${part} of record ${record.number}: ${whole - this.#left} of its ${whole} bytes are there`;
    return { offset: record.offset, number: record.number, speaks: undefined, says };
  }

  #open(): void {
    const header = this.#header;
    const offset = this.#offset - HEADER_BYTES;
    if (header[0] !== VERSION) {
      if (!header.every((byte) => byte === 0)) {
        this.#break();
        return;
      }
      this.#have = 0;
      this.#sink.onBlank?.(offset);
      return;
    }
    this.#have = 0;
    this.#number++;
    const record: CutRecord = {
      number: this.#number,
      offset,
      type: header[1]!,
      requestId: header.readUInt16BE(2),
      contentLength: header.readUInt16BE(4),
      paddingLength: header[6]!,
    };
    this.#record = record;
    this.#state = CONTENT;
    this.#left = record.contentLength;
    this.#sink.onRecord(record);
    if (record.contentLength === 0) this.#close();
  }

  #close(): void {
    if (this.#state === CONTENT) {
      this.#sink.onRecordEnd();
      this.#left = this.#record?.paddingLength ?? 0;
      this.#state = this.#left > 0 ? PADDING : HEADER;
    } else {
      this.#state = HEADER;
    }
  }

  #break(): void {
    const offset = this.#offset - this.#have;
    const byte = this.#header[0]!;
    // What was kept of a connection's first bytes is of no use when the first piece held but one of them.
    const speaks = offset === 0 ? sniff(this.#first)?.name : undefined;
    const number = this.#number + 1;
    const says =
      speaks === undefined
        ? `record ${number}, at offset ${offset}, begins with byte ${byte}, its version, and only ${VERSION} exists`
        : `this is not FastCGI but ${speaks}`;
    this.#broken = { offset, number, speaks, says };
  }
}

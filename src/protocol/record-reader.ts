// HOT
/**
 * Cuts a byte stream into records (FastCGI 1.0 §3.3). Knows headers and padding, nothing of meaning.
 *
 *     HEADER --8 bytes--> CONTENT --contentLength--> PADDING --paddingLength--> HEADER
 *
 * Invariants: 1. never holds more than 7 bytes between calls; 2. every content byte is reported exactly once,
 * in order; 3. onRecord, any onContent, onRecordEnd come in that order for every record.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import { HEADER_BYTES, VERSION } from "./records.ts";

const HEADER = 0;
const CONTENT = 1;
const PADDING = 2;

/** What a {@link RecordReader} reports. One object per connection; may throw to stop the reader for good. */
export interface RecordSink {
  /** A header is complete; `contentLength` is 0..65535 bytes. */
  onRecord(type: number, requestId: number, contentLength: number): void;
  /** `chunk[start..end)` is the next piece of content. The chunk is only lent: copy what must outlive the call. */
  onContent(chunk: Buffer, start: number, end: number): void;
  /** The content is complete (also when it was empty). `chunk[next..end)` has come behind the record, if `next` is less. */
  onRecordEnd(chunk: Buffer, next: number, end: number): void;
  /** Eight zero bytes between two records, for who counts bytes. */
  onBlank?(): void;
}

export class RecordReader {
  readonly #sink: RecordSink;
  #header: Buffer | undefined = undefined; // of a record whose header came in pieces
  #have = 0; // header bytes collected, 0..7
  #state: number = HEADER;
  #left = 0; // bytes still wanted in CONTENT or PADDING
  #padding = 0; // padding bytes of the record being read

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  /** Whether a record has begun and is not complete: the next byte is owed by the peer. */
  get isPartial(): boolean {
    return this.#have > 0 || this.#state !== HEADER;
  }

  /** Padding of the record whose header came last; for who shows records. */
  get paddingLength(): number {
    return this.#padding;
  }

  /**
   * Takes the next bytes of the stream, cut anywhere: `chunk[0..length)`.
   * @throws {RemoteProtocolError} `ERR_POSTERN_RECORD_VERSION`: such a record cannot be skipped, close the connection
   */
  push(chunk: Buffer, length: number = chunk.length): void {
    let at = 0;
    while (at < length) {
      if (this.#state === HEADER) {
        if (this.#have === 0 && length - at >= HEADER_BYTES) {
          at += HEADER_BYTES;
          this.#open(chunk, at - HEADER_BYTES, chunk, at, length);
        } else {
          const byte = chunk[at++]!;
          if (this.#have === 0 && byte > VERSION) throw unknownVersion(byte);
          this.#header ??= Buffer.alloc(HEADER_BYTES);
          this.#header[this.#have++] = byte;
          if (this.#have === HEADER_BYTES) {
            this.#have = 0;
            this.#open(this.#header, 0, chunk, at, length);
          }
        }
      } else {
        const end = Math.min(at + this.#left, length);
        if (this.#state === CONTENT) this.#sink.onContent(chunk, at, end);
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#close(chunk, at, length);
      }
    }
  }

  /** A header is complete, at `bytes[at]`; behind it `chunk[next..end)` has come. */
  #open(bytes: Buffer, at: number, chunk: Buffer, next: number, end: number): void {
    if (bytes[at] !== VERSION) {
      if (isBlank(bytes, at)) {
        this.#sink.onBlank?.();
        return;
      }
      throw unknownVersion(bytes[at]!);
    }
    const contentLength = (bytes[at + 4]! << 8) | bytes[at + 5]!;
    this.#padding = bytes[at + 6]!;
    this.#state = CONTENT;
    this.#left = contentLength;
    this.#sink.onRecord(bytes[at + 1]!, (bytes[at + 2]! << 8) | bytes[at + 3]!, contentLength);
    if (contentLength === 0) this.#close(chunk, next, end);
  }

  #close(chunk: Buffer, next: number, end: number): void {
    if (this.#state === CONTENT) {
      this.#sink.onRecordEnd(chunk, next + this.#padding, end);
      this.#left = this.#padding;
      this.#state = this.#padding > 0 ? PADDING : HEADER;
    } else {
      this.#state = HEADER;
    }
  }
}

/** Cherokee 1.2.104 puts eight zero bytes behind the end of STDIN of a POST without a body. They mean nothing. */
function isBlank(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + HEADER_BYTES; i++) if (bytes[i] !== 0) return false;
  return true;
}

function unknownVersion(version: number): RemoteProtocolError {
  const message = `record with version ${version}, only ${VERSION} exists`;
  return new RemoteProtocolError("ERR_POSTERN_RECORD_VERSION", message, "connection");
}

// HOT
/**
 * Writes records into as few buffers as possible, so that one turn of the event loop costs one write.
 *
 * Small content is copied into a slab; neighbouring writes to the same stream share a record. From
 * `REFERENCE_FROM_BYTES` on, content is referenced, not copied, and only record headers go to the slab.
 * (Measured: copying wins below 16 KiB, a reference above; a write per record costs the most everywhere.)
 *
 * Invariants: 1. `take()` and `takeOne()` return everything written so far, in order; 2. records are never longer than
 * 65528 bytes of content, so never padded; 3. text given to `writeWhole` is never split over two records.
 */
import { FULL_CONTENT_BYTES, HEADER_BYTES, RecordType, VERSION } from "./records.ts";

/** Content of at least this many bytes is referenced instead of copied. */
export const REFERENCE_FROM_BYTES = 16384;
/** Bytes of one slab. */
const SLAB_BYTES = 32768;
/** Slabs kept for reuse; more are left to the garbage collector. */
const SLABS_KEPT = 32;

/** Slabs shared by all connections of one server: an idle connection holds none. */
export class SlabPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  /** Gives back a slab that no write refers to any more. */
  give(slab: Buffer): void {
    if (this.#free.length < SLABS_KEPT && slab.length === SLAB_BYTES) this.#free.push(slab);
  }
}

export class RecordWriter {
  readonly #pool: SlabPool;
  #slab: Buffer | undefined = undefined; // the slab being filled
  #used: Buffer[] = []; // slabs that finished pieces point into
  #from = 0; // start of what is in #slab and not yet a piece
  #at = 0; // end of what is in #slab
  #pieces: Uint8Array[] = []; // finished pieces, in order
  #pieceBytes = 0;
  #open = -1; // where the last record's header starts in #slab, if its content may still grow; else -1
  #openType = 0;
  #openId = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Bytes written and not yet taken. */
  get pendingBytes(): number {
    return this.#pieceBytes + this.#at - this.#from;
  }

  /** Adds latin1 text to a stream in one record: a header block must not be split (HAProxy 2.6 crashes). At most 65528 characters. */
  writeWhole(type: number, id: number, text: string): void {
    if (text.length === 0) return;
    if (text.length > FULL_CONTENT_BYTES)
      throw new RangeError(`${text.length} bytes do not fit in one record`);
    const at = this.#grow(type, id, text.length);
    this.#slab!.write(text, at, "latin1");
  }

  /** Adds a string to a stream. An empty one adds nothing: an empty record would end the stream. */
  writeText(type: number, id: number, text: string, encoding: BufferEncoding): void {
    if (text.length === 0) return;
    if (text.length * 3 > REFERENCE_FROM_BYTES || (encoding !== "utf8" && encoding !== "latin1")) {
      this.writeBytes(type, id, Buffer.from(text, encoding));
    } else if (encoding === "latin1") {
      const at = this.#grow(type, id, text.length);
      this.#slab!.write(text, at, "latin1");
    } else {
      const most = text.length * 3;
      const at = this.#grow(type, id, most);
      this.#shrink(most - this.#slab!.write(text, at, "utf8"));
    }
  }

  /** Adds bytes to a stream; they must not change until they are on the wire. An empty array adds nothing. */
  writeBytes(type: number, id: number, bytes: Uint8Array): void {
    const length = bytes.length;
    if (length === 0) return;
    if (length < REFERENCE_FROM_BYTES) {
      const at = this.#grow(type, id, length);
      this.#slab!.set(bytes, at);
      return;
    }
    for (let start = 0; start < length; start += FULL_CONTENT_BYTES) {
      const end = Math.min(start + FULL_CONTENT_BYTES, length);
      this.#header(type, id, end - start, 0);
      this.#open = -1;
      this.#seal();
      this.#piece(start === 0 && end === length ? bytes : bytes.subarray(start, end));
    }
  }

  /** Ends a stream: an empty record of its type. FastCGI 1.0 §3.3. */
  endStream(type: number, id: number): void {
    this.#header(type, id, 0, 0);
    this.#open = -1;
  }

  /** Adds one record that is part of no stream, so joined to no other; at most 65528 bytes. */
  writeRecord(type: number, id: number, content: Uint8Array): void {
    if (content.length > FULL_CONTENT_BYTES)
      throw new RangeError(`${content.length} bytes do not fit in one record`);
    const at = this.#header(type, id, content.length, content.length);
    this.#open = -1;
    this.#slab!.set(content, at);
  }

  /** A record with a body of exactly 8 bytes (BEGIN_REQUEST, END_REQUEST, UNKNOWN_TYPE). */
  writeFixed(type: number, id: number, first: number, second: number): void {
    const at = this.#header(type, id, 8, 8);
    this.#open = -1;
    const slab = this.#slab!;
    slab[at] = first >>> 24;
    slab[at + 1] = first >>> 16;
    slab[at + 2] = first >>> 8;
    slab[at + 3] = first;
    slab[at + 4] = second >>> 24;
    slab[at + 5] = second >>> 16;
    slab[at + 6] = second >>> 8;
    slab[at + 7] = second;
  }

  /** END_REQUEST. FastCGI 1.0 §5.5. */
  endRequest(id: number, appStatus: number, protocolStatus: number): void {
    this.writeFixed(RecordType.EndRequest, id, appStatus >>> 0, protocolStatus << 24);
  }

  /** What {@link take} would return, if that is one piece, as nearly always; undefined, and nothing taken, if not. */
  takeOne(): Uint8Array | undefined {
    const from = this.#from;
    if (this.#pieces.length > 0 || this.#at === from) return undefined;
    this.#open = -1;
    this.#from = this.#at;
    return this.#slab!.subarray(from, this.#at);
  }

  /** Everything written since the last call, in order. Hand it to the socket, then call {@link recycle}. */
  take(): Uint8Array[] {
    this.#open = -1;
    this.#seal();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return pieces;
  }

  /**
   * Says what became of all the pieces taken so far.
   * @param written true when the kernel has them all, so the slabs may be written again
   */
  recycle(written: boolean): void {
    if (this.pendingBytes > 0) {
      // More was written since: those pieces keep their slabs, and the garbage collector gets all of them.
      this.#open = -1;
      this.#seal();
    } else if (written) {
      for (let at = 0; at < this.#used.length; at++) this.#pool.give(this.#used[at]!);
      if (this.#slab !== undefined) this.#pool.give(this.#slab);
    }
    if (this.#used.length > 0) this.#used = [];
    this.#slab = undefined;
    this.#from = 0;
    this.#at = 0;
  }

  /** Room for `length` more bytes of a stream, in the record that is open or in a new one; returns where they go. */
  #grow(type: number, id: number, length: number): number {
    const slab = this.#slab;
    const open = this.#open;
    if (open >= 0 && this.#openType === type && this.#openId === id) {
      const content = this.#at - open - HEADER_BYTES + length;
      if (content <= FULL_CONTENT_BYTES && this.#at + length <= slab!.length) {
        const at = this.#at;
        this.#at += length;
        this.#setLength(content);
        return at;
      }
    }
    return this.#header(type, id, length, length);
  }

  /** Takes back the last `length` bytes that #grow gave. */
  #shrink(length: number): void {
    this.#at -= length;
    this.#setLength(this.#at - this.#open - HEADER_BYTES);
  }

  #setLength(content: number): void {
    const slab = this.#slab!;
    slab[this.#open + 4] = content >> 8;
    slab[this.#open + 5] = content;
  }

  /** Writes a header, with room behind it for `room` bytes of its content; returns where they go. */
  #header(type: number, id: number, content: number, room: number): number {
    const size = HEADER_BYTES + room;
    if (this.#slab === undefined || this.#at + size > this.#slab.length) this.#nextSlab(size);
    const slab = this.#slab!;
    const at = this.#at;
    slab[at] = VERSION;
    slab[at + 1] = type;
    slab[at + 2] = id >> 8;
    slab[at + 3] = id;
    slab[at + 4] = content >> 8;
    slab[at + 5] = content;
    slab[at + 6] = 0;
    slab[at + 7] = 0;
    this.#open = at;
    this.#openType = type;
    this.#openId = id;
    this.#at = at + size;
    return at + HEADER_BYTES;
  }

  #nextSlab(size: number): void {
    this.#seal();
    if (this.#slab !== undefined) this.#used.push(this.#slab);
    this.#slab = size <= SLAB_BYTES ? this.#pool.take() : Buffer.allocUnsafeSlow(size);
    this.#from = 0;
    this.#at = 0;
  }

  /** Makes what the slab holds a finished piece. */
  #seal(): void {
    if (this.#at > this.#from) {
      const piece = this.#slab!.subarray(this.#from, this.#at);
      this.#from = this.#at;
      this.#piece(piece);
    }
  }

  #piece(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
  }
}

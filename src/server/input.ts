// HOT
/**
 * One input stream of a request (STDIN, or DATA for a filter) between the connection and the application.
 *
 *     OPEN --end--> ENDED       what was queued before the end, or before a failure, is still delivered first
 *       └--fail--> FAILED
 *       └--discard--> DISCARDED (from any state: nobody will read, the rest is dropped)
 *
 * Pieces are handed on as they arrive. While the application does not want any they queue here,
 * and the connection, told through `onQueued`, decides when to stop reading the socket.
 */

/** Takes one input stream. What it throws fails the request, see {@link InputHost}. */
export interface InputSink {
  /** Whether `onPiece` is done with a piece when it returns: it may then be lent memory that soon holds something else. */
  readonly takesLoans?: boolean;
  /** The next piece; the receiver owns it, unless it takes loans. */
  onPiece(piece: Buffer): void;
  onEnd(): void;
  /** The stream will not be complete. */
  onFail(error: Error): void;
}

/** Small pieces are gathered in blocks of up to this size, in bytes. */
const BLOCK_BYTES = 4096;
const NO_BLOCK: Buffer = Buffer.alloc(0);

const OPEN = 0;
const ENDED = 1;
const FAILED = 2;
const DISCARDED = 3;

/** What an input needs of its exchange. */
export interface InputHost {
  /** By how many bytes the queue has grown or shrunk. */
  onQueued(change: number): void;
  /** The sink threw: one of the application's own listeners did. */
  onThrow(thrown: unknown): void;
}

/** Knows whether the bytes of a chunk must be copied to outlast the call they came with. */
export interface ChunkOwner {
  own(chunk: Buffer, start: number, end: number): Buffer;
}

export class Input {
  readonly #host: InputHost;
  #sink: InputSink | undefined = undefined;
  #flowing = false;
  #wasRead = false;
  #state: number = OPEN;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #block: Buffer = NO_BLOCK; // the last piece of the queue, if that was copied: more may be copied behind it
  #blockEnd = 0;
  #error: Error | undefined = undefined;
  #delivered = false; // whether onEnd or onFail was called

  constructor(host: InputHost) {
    this.#host = host;
  }

  /** Bytes waiting for the application. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether there is something to read, or will be. */
  get hasMore(): boolean {
    return this.#state === OPEN || (this.#state === ENDED && this.#queuedBytes > 0);
  }

  /** Whether nothing more will be delivered. */
  get isOver(): boolean {
    return this.#delivered || this.#state === DISCARDED;
  }

  /** Whether the application has begun to read and more is to come. */
  get isBeingRead(): boolean {
    return this.#wasRead && !this.isOver;
  }

  /** Sets who reads. Nothing is delivered before {@link resume}. */
  attach(sink: InputSink): void {
    this.#sink = sink;
  }

  /** The application wants pieces. */
  resume(): void {
    if (this.#flowing || this.#sink === undefined) return;
    this.#flowing = true;
    this.#wasRead = true;
    this.#deliver();
  }

  /** The application wants no more for now. */
  pause(): void {
    this.#flowing = false;
  }

  /** `chunk[start..end)` has arrived: lent, if it goes at once to who takes loans, and else what `owner` makes of it. */
  take(chunk: Buffer, start: number, end: number, owner: ChunkOwner): void {
    const isLent = this.#flowing && this.#queuedBytes === 0 && this.#sink?.takesLoans === true;
    this.push(isLent ? chunk.subarray(start, end) : owner.own(chunk, start, end));
  }

  /** A piece has arrived, owned by us. */
  push(piece: Buffer): void {
    if (this.#state !== OPEN) return;
    if (this.#flowing && this.#queuedBytes === 0) {
      this.#hand(piece);
      return;
    }
    this.#enqueue(piece);
    this.#queuedBytes += piece.length;
    this.#host.onQueued(piece.length);
  }

  /** Keeps no more memory than a small multiple of what is queued: a piece pins the whole chunk it is a view of. */
  #enqueue(piece: Buffer): void {
    const { length } = piece;
    if (2 * length >= piece.buffer.byteLength) {
      this.#queue.push(piece);
      this.#blockEnd = 0;
      return;
    }
    const last = this.#queue.length - 1;
    if (this.#blockEnd > 0 && this.#blockEnd + length <= this.#block.length && last >= 0) {
      this.#block.set(piece, this.#blockEnd);
      this.#queue[last] = this.#block.subarray(0, this.#blockEnd + length);
    } else {
      this.#block = Buffer.allocUnsafe(Math.max(length, Math.min(BLOCK_BYTES, this.#queuedBytes)));
      this.#block.set(piece);
      this.#queue.push(this.#block.subarray(0, length));
      this.#blockEnd = 0;
    }
    this.#blockEnd += length;
  }

  /** The stream is complete. */
  end(): void {
    if (this.#state !== OPEN) return;
    this.#state = ENDED;
    this.#deliver();
  }

  /** The stream ends here and is not complete. */
  fail(error: Error): void {
    if (this.#state !== OPEN && (this.#state !== ENDED || this.#delivered)) return;
    this.#state = FAILED;
    this.#error = error;
    this.#dropQueue();
    if (this.#sink !== undefined && !this.#delivered) this.#handEnd(error);
  }

  /** Nobody will read any more. */
  discard(): void {
    this.#state = DISCARDED;
    this.#dropQueue();
  }

  #deliver(): void {
    while (this.#flowing && this.#queue.length > 0) {
      const piece = this.#queue.shift()!;
      if (this.#queue.length === 0) this.#blockEnd = 0;
      this.#queuedBytes -= piece.length;
      this.#host.onQueued(-piece.length);
      this.#hand(piece);
    }
    if (this.#sink === undefined || this.#delivered || this.#queue.length > 0) return;
    if (this.#state === ENDED) this.#handEnd(undefined);
    else if (this.#state === FAILED) this.#handEnd(this.#error);
  }

  #hand(piece: Buffer): void {
    try {
      this.#sink!.onPiece(piece);
    } catch (thrown) {
      this.#host.onThrow(thrown);
    }
  }

  #handEnd(error: Error | undefined): void {
    this.#delivered = true;
    try {
      if (error === undefined) this.#sink!.onEnd();
      else this.#sink!.onFail(error);
    } catch (thrown) {
      this.#host.onThrow(thrown);
    }
  }

  #dropQueue(): void {
    if (this.#queuedBytes === 0) return;
    const bytes = this.#queuedBytes;
    this.#queue = [];
    this.#block = NO_BLOCK;
    this.#blockEnd = 0;
    this.#queuedBytes = 0;
    this.#host.onQueued(-bytes);
  }
}

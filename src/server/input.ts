// HOT
/**
 * One input stream of a request (STDIN, or DATA for a filter) between the connection and the application.
 *
 *     OPEN --end--> ENDED       what was queued before the end, or before a failure, is still delivered first
 *       └--fail--> FAILED
 *       └--discard--> DISCARDED (from any state: nobody will read, the rest is dropped)
 *
 * Pieces are handed on as they arrive, never gathered. While the application does not want any they queue here,
 * and the connection, told through `onQueued`, decides when to stop reading the socket.
 */

/** Takes one input stream. */
export interface InputSink {
  /** The next piece; the receiver owns it. */
  onPiece(piece: Buffer): void;
  onEnd(): void;
  /** The stream will not be complete. */
  onFail(error: Error): void;
}

const OPEN = 0;
const ENDED = 1;
const FAILED = 2;
const DISCARDED = 3;

export class Input {
  readonly #onQueued: (change: number) => void;
  #sink: InputSink | undefined = undefined;
  #flowing = false;
  #wasRead = false;
  #state: number = OPEN;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #error: Error | undefined = undefined;
  #delivered = false; // whether onEnd or onFail was called

  /** @param onQueued hears by how many bytes the queue has grown or shrunk */
  constructor(onQueued: (change: number) => void) {
    this.#onQueued = onQueued;
  }

  /** Bytes waiting for the application. */
  get queuedBytes(): number {
    return this.#queuedBytes;
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

  /** A piece has arrived, owned by us. */
  push(piece: Buffer): void {
    if (this.#state !== OPEN) return;
    if (this.#flowing && this.#queuedBytes === 0) {
      this.#sink!.onPiece(piece);
      return;
    }
    this.#queue.push(piece);
    this.#queuedBytes += piece.length;
    this.#onQueued(piece.length);
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
    if (this.#sink !== undefined && !this.#delivered) {
      this.#delivered = true;
      this.#sink.onFail(error);
    }
  }

  /** Nobody will read any more. */
  discard(): void {
    this.#state = DISCARDED;
    this.#dropQueue();
  }

  #deliver(): void {
    const sink = this.#sink;
    while (this.#flowing && this.#queue.length > 0) {
      const piece = this.#queue.shift()!;
      this.#queuedBytes -= piece.length;
      this.#onQueued(-piece.length);
      sink!.onPiece(piece);
    }
    if (sink === undefined || this.#delivered || this.#queue.length > 0) return;
    if (this.#state === ENDED) {
      this.#delivered = true;
      sink.onEnd();
    } else if (this.#state === FAILED) {
      this.#delivered = true;
      sink.onFail(this.#error!);
    }
  }

  #dropQueue(): void {
    if (this.#queuedBytes === 0) return;
    const bytes = this.#queuedBytes;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#onQueued(-bytes);
  }
}

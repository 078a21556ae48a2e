/**
 * The body of a response as a Readable that keeps the order of data and failure: what arrived before the connection
 * broke can be read before the error is raised. (Readable.destroy would drop it.)
 *
 * Invariant: at most one chunk sits in the Readable itself; the rest waits in #queue, where it is counted.
 */
import { Readable } from "node:stream";

/** Whoever fills a body. */
export interface BodySource {
  /** Fewer bytes wait than `maxUnreadBytes` again. */
  onBodyRead(): void;
  /** The reader has lost interest before the end. */
  onBodyDropped(error: Error | null): void;
}

export class ResponseBody extends Readable {
  readonly #source: BodySource;
  readonly #maxUnreadBytes: number;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isWanted = false; // _read was called and not answered
  #isFull = false;
  #isComplete = false;
  #failure: Error | undefined = undefined;

  constructor(source: BodySource, maxUnreadBytes: number) {
    super({ highWaterMark: 1 });
    this.#source = source;
    this.#maxUnreadBytes = maxUnreadBytes;
    // Readers hear of a failure as of any stream's. Without one, it must not end the process: `ended` tells it too.
    this.on("error", () => {});
  }

  /** Whether so much waits that the source should pause. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether all of it has arrived, or never will. */
  get isSettled(): boolean {
    return this.#isComplete || this.#failure !== undefined;
  }

  /** Adds bytes, which now belong to the body. */
  add(chunk: Buffer): void {
    if (this.destroyed || this.isSettled) return;
    if (this.#isWanted) {
      this.#isWanted = false;
      this.push(chunk);
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes >= this.#maxUnreadBytes) this.#isFull = true;
  }

  /** Nothing more will come: the body is whole. */
  complete(): void {
    if (this.isSettled) return;
    this.#isComplete = true;
    if (this.#isWanted) this.push(null);
  }

  /** Nothing more will come: the body is cut. The error is raised when everything before it has been read. */
  fail(error: Error): void {
    if (this.isSettled) return;
    this.#failure = error;
    if (this.#isWanted) this.destroy(error);
  }

  override _read(): void {
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#queuedBytes -= chunk.length;
      this.push(chunk);
      if (this.#isFull && this.#queuedBytes < this.#maxUnreadBytes) {
        this.#isFull = false;
        this.#source.onBodyRead();
      }
    } else if (this.#failure !== undefined) {
      // Not at once: read() calls this before it hands out the last chunk, and destroying would swallow that.
      const failure = this.#failure;
      setImmediate(() => this.destroy(failure));
    } else if (this.#isComplete) {
      this.push(null);
    } else {
      this.#isWanted = true;
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#queue.length = 0;
    this.#isFull = false;
    if (!this.isSettled) {
      this.#failure = error ?? new Error("the body was dropped");
      this.#source.onBodyDropped(error);
    }
    callback(error);
  }
}

// HOT
/**
 * What leaves on one connection: records collect in the writer and leave in one write per turn of the event loop,
 * or as soon as there is much of it. Who writes more than the web server takes is told to wait.
 */
import type { Duplex } from "node:stream";
import { RecordWriter, type SlabPool } from "../protocol/record-writer.ts";
import { BROKEN_RECORD } from "../protocol/records.ts";

/** Output held before it is written without waiting for the end of the turn, and from which writers should wait. */
const CONGESTED_BYTES = 65536;
const NOTHING = Buffer.alloc(0);

export type FlushCallback = (error?: Error) => void;

export class Output {
  readonly #socket: Duplex;
  readonly #onFlushed: () => void;
  readonly writer: RecordWriter;
  #isScheduled = false;
  #isFull = false; // enough was written in this turn, even if the kernel took it all: others want their turn too
  #isDrainAsked = false;
  #callbacks: FlushCallback[] = [];

  /** @param onFlushed called after every flush, when nothing may be pending any more */
  constructor(socket: Duplex, slabs: SlabPool, onFlushed: () => void) {
    this.#socket = socket;
    this.#onFlushed = onFlushed;
    this.writer = new RecordWriter(slabs);
    socket.on("drain", () => this.#onDrain());
  }

  /** Whether everything was handed to the socket. */
  get isEmpty(): boolean {
    return this.writer.pendingBytes === 0;
  }

  /** Whether somebody waits to be called back. */
  get isAwaited(): boolean {
    return this.#callbacks.length > 0;
  }

  /** Bytes the web server has not taken yet. */
  get backlogBytes(): number {
    return this.writer.pendingBytes + this.#socket.writableLength;
  }

  /** Whether more would only pile up. */
  get isCongested(): boolean {
    return this.#isFull || this.backlogBytes >= CONGESTED_BYTES;
  }

  /** Something was written. @param isFlushed somebody will call {@link endTurn} before the turn is over */
  schedule(isFlushed: boolean): void {
    if (this.writer.pendingBytes >= CONGESTED_BYTES) {
      this.#isFull = true; // first: see callBack
      this.flush();
    }
    if (!isFlushed && !this.#isScheduled) {
      this.#isScheduled = true;
      process.nextTick(endTurn, this);
    }
  }

  /** Calls back once everything written so far is with the kernel, or with an error if it never will be. */
  afterFlush(callback: FlushCallback): void {
    if (this.#socket.destroyed) process.nextTick(callback, new Error("the connection is closed"));
    else if (this.backlogBytes > 0) this.#callbacks.push(callback);
    else if (this.#isFull) setImmediate(callback);
    else process.nextTick(callback);
  }

  /** The end of a turn of the event loop. */
  endTurn(): void {
    this.#isScheduled = false;
    this.#isFull = false;
    this.flush();
  }

  flush(): void {
    const socket = this.#socket;
    if (this.writer.pendingBytes > 0) {
      const pieces = this.writer.take();
      if (socket.destroyed || socket.writableEnded) {
        this.writer.recycle(true);
        return;
      }
      if (pieces.length === 1) {
        socket.write(pieces[0]!);
      } else {
        socket.cork();
        for (const piece of pieces) socket.write(piece);
        socket.uncork();
      }
      this.writer.recycle(socket.writableLength === 0);
    }
    if (this.#callbacks.length > 0) {
      if (socket.writableLength === 0) this.callBack(undefined);
      else this.#askForDrain();
    }
    this.#onFlushed();
  }

  /**
   * The last before a connection is cut. Returns whether there was still time.
   * @param hasRecord whether the end shall be an error that no web server overlooks: a record that cannot be read
   */
  breakOff(hasRecord: boolean): boolean {
    this.flush();
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return false;
    if (hasRecord) socket.write(BROKEN_RECORD);
    return true;
  }

  /** Closes our side once everything is written. @param isLast then the other side too */
  end(isLast: boolean): void {
    const socket = this.#socket;
    // Everything is written: destroy() costs a third less than end().
    if (isLast && socket.writableLength === 0) {
      socket.destroy();
      return;
    }
    socket.end((error?: Error | null) => {
      this.callBack(error ?? undefined);
      if (isLast) socket.destroy();
    });
  }

  /** Tells everybody who waits that what they wrote is with the kernel, or why it never will be. */
  callBack(error: Error | undefined): void {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    // Who hears of it while we still count as full would write, and be told at once to stop.
    for (const callback of callbacks) {
      if (this.#isFull) setImmediate(callback, error);
      else process.nextTick(callback, error);
    }
  }

  /** Below its high-water mark a socket says nothing when it has written everything. */
  #askForDrain(): void {
    const socket = this.#socket;
    if (this.#isDrainAsked || socket.writableNeedDrain || socket.writableEnded) return;
    this.#isDrainAsked = true;
    socket.write(NOTHING, () => {
      this.#isDrainAsked = false;
      this.#onDrain();
    });
  }

  #onDrain(): void {
    if (this.#socket.writableLength === 0) this.flush();
  }
}

function endTurn(output: Output): void {
  output.endTurn();
}

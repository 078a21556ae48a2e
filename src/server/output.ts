// HOT
/**
 * What leaves on one connection: records collect in the writer and leave in one write per turn of the event loop,
 * or as soon as there is much of it. Who writes more than the web server takes is told to wait.
 */
import { RecordWriter, type SlabPool } from "../protocol/record-writer.ts";
import { BROKEN_RECORD } from "../protocol/records.ts";
import type { Wire } from "./wire.ts";

/** Output held before it is written without waiting for the end of the turn, and from which writers should wait. */
const CONGESTED_BYTES = 65536;

export type FlushCallback = (error?: Error) => void;

export interface OutputHost {
  /** Called after every flush, when nothing may be pending any more. */
  onFlushed(): void;
}

export class Output {
  readonly #wire: Wire;
  readonly #host: OutputHost;
  readonly writer: RecordWriter;
  #isScheduled = false;
  #isFull = false; // enough was written in this turn, even if the kernel took it all: others want their turn too
  #isDelivered = false; // closed by us, behind the last byte
  #callbacks: FlushCallback[] = [];

  constructor(wire: Wire, slabs: SlabPool, host: OutputHost) {
    this.#wire = wire;
    this.#host = host;
    this.writer = new RecordWriter(slabs);
  }

  /** Whether everything was handed over. */
  get isEmpty(): boolean {
    return this.writer.pendingBytes === 0;
  }

  /** Whether somebody waits to be called back. */
  get isAwaited(): boolean {
    return this.#callbacks.length > 0;
  }

  /** Bytes the web server has not taken yet. */
  get backlogBytes(): number {
    return this.writer.pendingBytes + this.#wire.unsentBytes;
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
    if (this.#isDelivered) process.nextTick(callback);
    else if (this.#wire.isDestroyed) process.nextTick(callback, new Error("the connection is closed"));
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
    const wire = this.#wire;
    const { writer } = this;
    if (writer.pendingBytes > 0) {
      if (wire.isDestroyed || wire.isEnded) {
        writer.take();
        writer.recycle(true);
        return;
      }
      const only = writer.takeOne();
      if (only !== undefined) wire.writeOne(only);
      else wire.write(writer.take());
      writer.recycle(wire.unsentBytes === 0);
    }
    if (this.#callbacks.length > 0) {
      if (wire.unsentBytes === 0) this.callBack(undefined);
      else wire.awaitDrain();
    }
    this.#host.onFlushed();
  }

  /**
   * The last before a connection is cut. Returns whether there was still time.
   * @param hasRecord whether the end shall be an error that no web server overlooks: a record that cannot be read
   */
  breakOff(hasRecord: boolean): boolean {
    this.flush();
    const wire = this.#wire;
    if (wire.isDestroyed || wire.isEnded) return false;
    if (hasRecord) wire.writeOne(BROKEN_RECORD);
    return true;
  }

  /** Closes our side once everything is written. @param isLast then the other side too */
  end(isLast: boolean): void {
    const wire = this.#wire;
    // Everything is written: to close at once costs a third less than to close one side after the other.
    if (isLast && wire.unsentBytes === 0) {
      if (!wire.isDestroyed) this.#isDelivered = true;
      wire.destroy();
      return;
    }
    wire.end((error) => {
      this.callBack(error);
      if (isLast) wire.destroy();
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
}

function endTurn(output: Output): void {
  output.endTurn();
}

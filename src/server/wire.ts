/**
 * What carries a connection: a two-way stream of bytes as small as a connection needs it. Over a Duplex it is a
 * StreamWire; over what Node accepts, where that is possible, a HandleWire.
 */

/** Hears of what comes. */
export interface WireSink {
  /** `buffer[0..length)` has come. It is the sink's only during the call when the wire is lent. */
  onRead(buffer: Buffer, length: number): void;
  /** The peer has closed its side. */
  onEnd(): void;
  /** It broke; `onClose` follows. */
  onError(error: Error): void;
  /** It is closed, for whatever reason. Called once, never within {@link Wire.destroy}. */
  onClose(): void;
  /** Everything that was handed over is with the kernel; called when it was not at once. */
  onDrain(): void;
}

/** Calls back when our side is closed, or with the reason why it never will be. */
export type EndCallback = (error?: Error) => void;

export interface Wire {
  /** Whether what `onRead` brings holds something else after the call. */
  readonly isLent: boolean;
  /** Whether it is closed or broken: nothing can be read or written any more. */
  readonly isDestroyed: boolean;
  /** Whether our side is closed, or will be as soon as everything is written. */
  readonly isEnded: boolean;
  /** Bytes that were handed over and are not with the kernel yet. */
  readonly unsentBytes: number;
  /** Begins to read. */
  open(sink: WireSink): void;
  /** Writes a piece. It must not change until it is with the kernel. */
  writeOne(piece: Uint8Array): void;
  /** Writes pieces in order, if it can in one call of the kernel. They must not change until they are with the kernel. */
  write(pieces: readonly Uint8Array[]): void;
  /** Makes sure that `onDrain` is called; while something is unsent. */
  awaitDrain(): void;
  /** Stops reading. */
  pause(): void;
  /** Reads on. */
  resume(): void;
  /** Closes our side behind what was written. May be called again: each callback is called once, then. */
  end(callback: EndCallback): void;
  /** Closes both sides at once. Safe to call again. */
  destroy(): void;
}

/** A copy of `buffer[start..end)` of a wire that lends, for who needs it after the call. */
export function keep(buffer: Buffer, start: number, end: number): Buffer {
  const piece = Buffer.allocUnsafe(end - start);
  buffer.copy(piece, 0, start, end);
  return piece;
}

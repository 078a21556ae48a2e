// HOT
/**
 * A connection directly over libuv's handle, without the net.Socket that Node puts around it. What a socket can do beyond
 * bytes in and bytes out nobody uses here, and it is half of what a connection costs. See docs/adr/0022.
 *
 * All are read into one buffer, which is lent to the sink. A write goes to the kernel at once; what that does not take
 * waits in libuv, and `onDrain` tells of the last of it.
 */
import { constants } from "node:os";
import { type StreamHandle, streamInternals, type WriteRequest } from "./stream-internals.ts";
import type { EndCallback, Wire, WireSink } from "./wire.ts";

/** What one read brings at most, in bytes: as much as Node takes without this. */
const BUFFER_BYTES = 65536;
/** libuv's number for the end of a stream. */
const EOF = -4095;
/** What a shutdown answers when there is nothing left to do. */
const DONE = 1;
const NOT_CONNECTED: number = -constants.errno.ENOTCONN;

/** Not made before somebody reads. */
let lent: Buffer | undefined;
/** For the next write. Only one that the kernel has not taken at once needs it for longer. */
let spare: WireWrite | undefined;

/** How a handle knows its wire. */
const WIRE = Symbol("wire");
interface Marked {
  [WIRE]?: HandleWire;
}

interface WireWrite extends WriteRequest {
  wire?: HandleWire | undefined;
  /** Kept from the garbage collector while the kernel has not taken it. */
  what?: object | undefined;
  bytes?: number;
}

const internals = streamInternals!; // who makes one of these has looked
const state: Int32Array = internals?.streamBaseState;
const READ = internals?.kReadBytesOrError;
const IS_ASYNC = internals?.kLastWriteWasAsync;

export class HandleWire implements Wire {
  readonly isLent = true;
  isDestroyed = false;
  isEnded = false;
  unsentBytes = 0;
  readonly #handle: StreamHandle;
  #sink: WireSink | undefined = undefined;
  #onEnded: EndCallback[] = [];
  #isShut = false; // our side is closed

  constructor(handle: StreamHandle) {
    this.#handle = handle;
  }

  open(sink: WireSink): void {
    this.#sink = sink;
    lent ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const handle = this.#handle;
    (handle as Marked)[WIRE] = this;
    handle.onread = onRead;
    handle.useUserBuffer(lent);
    const error = handle.readStart();
    if (error !== 0) process.nextTick(breakDown, this, "read", error);
  }

  writeOne(piece: Uint8Array): void {
    if (this.isDestroyed) return;
    const request: WireWrite = spare ?? new internals.WriteWrap();
    const error = this.#handle.writeBuffer(request, piece);
    if (error === 0 && state[IS_ASYNC] === 0) spare = request;
    else this.#wait(request, error, piece, piece.length);
  }

  write(pieces: readonly Uint8Array[]): void {
    if (this.isDestroyed) return;
    const request: WireWrite = spare ?? new internals.WriteWrap();
    const error = this.#handle.writev(request, pieces, true);
    if (error === 0 && state[IS_ASYNC] === 0) {
      spare = request;
      return;
    }
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    this.#wait(request, error, pieces, bytes);
  }

  /** The kernel has not taken everything, or nothing any more. */
  #wait(request: WireWrite, error: number, what: object, bytes: number): void {
    spare = undefined;
    this.unsentBytes += bytes;
    if (error !== 0) {
      process.nextTick(breakDown, this, "write", error);
      return;
    }
    request.wire = this;
    request.what = what;
    request.bytes = bytes;
    request.oncomplete = onWritten;
  }

  /** It always tells. */
  awaitDrain(): void {}

  pause(): void {
    if (!this.isDestroyed) this.#handle.readStop();
  }

  resume(): void {
    if (!this.isDestroyed) this.#handle.readStart();
  }

  end(callback: EndCallback): void {
    if (this.isDestroyed) {
      process.nextTick(callback, new Error("the connection is closed"));
      return;
    }
    this.#onEnded.push(callback);
    if (this.isEnded) {
      if (this.#isShut) process.nextTick(shut, this, 0);
      return;
    }
    this.isEnded = true;
    const request = new internals.ShutdownWrap();
    request.oncomplete = (status) => this.onShut(status);
    const status = this.#handle.shutdown(request); // libuv writes what waits first
    if (status !== 0) process.nextTick(shut, this, status);
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.#handle.close(onClosed);
  }

  /** @internal Our side is closed, or never will be. */
  onShut(status: number): void {
    this.#isShut = true;
    const isDone = status === 0 || status === DONE || status === NOT_CONNECTED;
    const error = isDone ? undefined : systemError("shutdown", status);
    for (const callback of this.#onEnded.splice(0)) callback(error);
  }

  /** @internal */
  take(length: number): void {
    if (this.isDestroyed) return;
    const sink = this.#sink!;
    if (length > 0) sink.onRead(lent!, length);
    else if (length === EOF) sink.onEnd();
    else if (length < 0) this.breakDown("read", length);
  }

  /** @internal */
  onWritten(bytes: number, status: number): void {
    this.unsentBytes -= bytes;
    if (this.isDestroyed) return;
    if (status < 0) this.breakDown("write", status);
    else if (this.unsentBytes === 0) this.#sink!.onDrain();
  }

  /** @internal */
  breakDown(call: string, error: number): void {
    if (this.isDestroyed) return;
    this.#sink!.onError(systemError(call, error));
    this.destroy();
  }

  /** @internal */
  onClosed(): void {
    this.#sink?.onClose();
  }
}

function onRead(this: StreamHandle): void {
  (this as Marked)[WIRE]!.take(state[READ]!);
}

function onWritten(this: WireWrite, status: number): void {
  const { wire, bytes } = this;
  this.wire = undefined;
  this.what = undefined;
  wire!.onWritten(bytes!, status);
}

function onClosed(this: StreamHandle): void {
  (this as Marked)[WIRE]?.onClosed();
}

function shut(wire: HandleWire, status: number): void {
  wire.onShut(status);
}

function breakDown(wire: HandleWire, call: string, error: number): void {
  wire.breakDown(call, error);
}

/** Who is at the other end of a TCP connection; nobody knows, once it has reset it. */
export interface Peer {
  address?: string | undefined;
  port?: number | undefined;
}

export function peerOf(handle: StreamHandle): Peer {
  const peer: { address?: string; port?: number } = {};
  handle.getpeername?.(peer);
  return peer;
}

/** As Node words them: `write EPIPE`. */
function systemError(call: string, number: number): Error {
  const found = Object.entries(constants.errno).find(([, value]) => value === -number);
  const code = found === undefined ? `error ${number}` : found[0];
  return Object.assign(new Error(`${call} ${code}`), { code, errno: number, syscall: call });
}

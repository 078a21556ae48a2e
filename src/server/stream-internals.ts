/**
 * What Node's own net.Socket is made of, as far as it is used here: libuv's handles, and the requests that are given to
 * them. Names that are the same in Node 20, 22, 24 and 26; elsewhere this is undefined, and sockets are used as they are.
 */

/** libuv's end of an accepted connection. */
export interface StreamHandle {
  /** Called with what was read; the handle is `this`. */
  onread: ((this: StreamHandle) => void) | undefined;
  /** Reads into this buffer, always. */
  useUserBuffer(buffer: Buffer): void;
  readStart(): number;
  readStop(): number;
  /** @returns 0, or an error of libuv: a negative number */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, pieces: readonly Uint8Array[], areAllBytes: true): number;
  shutdown(request: ShutdownRequest): number;
  close(callback: (this: StreamHandle) => void): void;
  /** Of TCP only. */
  setNoDelay?(on: boolean): number;
  /** Of TCP only: fills `into`. */
  getpeername?(into: { address?: string; port?: number }): number;
}

/** A write that the kernel has not taken at once. */
export interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
}

/** Our side is being closed. */
export interface ShutdownRequest {
  oncomplete: ((this: ShutdownRequest, status: number) => void) | undefined;
}

export interface StreamInternals {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  /** What the last call of a handle was about, by the two indices below. */
  readonly streamBaseState: Int32Array;
  /** Index: bytes that were read, or an error of libuv. */
  readonly kReadBytesOrError: number;
  /** Index: whether the kernel has not taken all of the last write. */
  readonly kLastWriteWasAsync: number;
}

/** The newest major version of Node that runs the tests. */
const NEWEST_TRIED = 26;

/** Undefined where they are not to be had, or not known. */
export const streamInternals: StreamInternals | undefined = findInternals();

function findInternals(): StreamInternals | undefined {
  if (process.versions["bun"] !== undefined || process.versions["deno"] !== undefined) return undefined;
  if (Number.parseInt(process.versions.node, 10) > NEWEST_TRIED) return undefined;
  let found: Partial<StreamInternals>;
  try {
    // Asked for before anybody has said what becomes of warnings; it warns only where all that is deprecated is shown.
    found = (process as unknown as { binding(name: string): Partial<StreamInternals> }).binding(
      "stream_wrap",
    );
  } catch {
    return undefined; // a worker thread, or a process with --permission
  }
  const isKnown =
    typeof found.WriteWrap === "function" &&
    typeof found.ShutdownWrap === "function" &&
    found.streamBaseState instanceof Int32Array &&
    typeof found.kReadBytesOrError === "number" &&
    typeof found.kLastWriteWasAsync === "number";
  return isKnown ? (found as StreamInternals) : undefined;
}

/** Whether a handle can do all that is asked of it. */
export function isKnownHandle(handle: Partial<StreamHandle> | undefined): handle is StreamHandle {
  return (
    typeof handle?.useUserBuffer === "function" &&
    typeof handle.readStart === "function" &&
    typeof handle.readStop === "function" &&
    typeof handle.writeBuffer === "function" &&
    typeof handle.writev === "function" &&
    typeof handle.shutdown === "function" &&
    typeof handle.close === "function"
  );
}

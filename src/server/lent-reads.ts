// HOT
/**
 * Reads all sockets into one buffer, which is lent to whoever reads, instead of making one of 64 KiB for every read:
 * a quarter of what a small request costs.
 *
 * Node offers this for sockets that connect (`onread` of net.connect) and not for those that a server accepts. So what
 * the option sets on a socket is set on an accepted one, under the names found on a socket made with the option. Where
 * something of this is missing (Bun, Deno), or Node is newer than was tried, sockets are read by their 'data' events.
 */
import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from "node:net";
import type { Duplex } from "node:stream";

/** Takes `buffer[0..length)`, which holds something else after the call. */
export type LentRead = (buffer: Buffer, length: number) => void;

/** What one read brings at most, in bytes: as much as Node takes without this. */
const BUFFER_BYTES = 65536;
/** The newest major version of Node that runs the tests. */
const NEWEST_TRIED = 26;

interface Readable {
  [key: symbol]: unknown;
  readonly _handle?: { useUserBuffer?: (buffer: Buffer) => void } | null;
}

/** Under which names a socket keeps its `onread`. */
interface Names {
  readonly buffer: symbol;
  readonly callback: symbol;
}

const names = findNames();
/** Not made before somebody reads: who only loads this module has no use for it. */
let lent: Buffer | undefined;

/** Reads a socket into the shared buffer. Returns whether that is possible; if not, nothing was done. */
export function readLent(socket: Duplex, onRead: LentRead): boolean {
  const isPlain: boolean = Object.getPrototypeOf(socket) === Socket.prototype;
  if (names === undefined || !isPlain) return false;
  const readable = socket as unknown as Readable;
  const handle = readable._handle;
  if (typeof handle?.useUserBuffer !== "function" || socket.readableLength > 0) return false;
  lent ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readable[names.buffer] = lent;
  readable[names.callback] = (length: number, buffer: Buffer) => {
    onRead(buffer, length);
    return true; // read on: who wants a pause says so to the socket
  };
  handle.useUserBuffer(lent);
  socket.resume();
  return true;
}

/** A copy of `buffer[start..end)`, for who needs it after the call. */
export function keep(buffer: Buffer, start: number, end: number): Buffer {
  const piece = Buffer.allocUnsafe(end - start);
  buffer.copy(piece, 0, start, end);
  return piece;
}

function findNames(): Names | undefined {
  if (process.versions["bun"] !== undefined || process.versions["deno"] !== undefined) return undefined;
  if (Number.parseInt(process.versions.node, 10) > NEWEST_TRIED) return undefined;
  const buffer = new Uint8Array(1);
  const callback = (): boolean => true;
  const options: Partial<TcpSocketConnectOpts> = { onread: { buffer, callback } };
  const probe = new Socket(options as SocketConstructorOpts) as unknown as Readable;
  const symbols = Object.getOwnPropertySymbols(probe);
  const found = {
    buffer: symbols.find((name) => probe[name] === buffer),
    callback: symbols.find((name) => probe[name] === callback),
  };
  return found.buffer === undefined || found.callback === undefined ? undefined : (found as Names);
}

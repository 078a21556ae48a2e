/**
 * Takes what a `net.Server` accepts before Node makes a net.Socket of it: the handle itself, see handle-wire.ts. Where this
 * is not possible, or somebody watches Node make sockets, sockets come as ever.
 */
import diagnostics from "node:diagnostics_channel";
import type { Server } from "node:net";
import { isKnownHandle, type StreamHandle, streamInternals } from "./stream-internals.ts";

/** libuv's handle of a listening socket, as far as it is used. */
interface ListeningHandle {
  onconnection?: (this: ListeningHandle, error: number, handle?: Partial<StreamHandle>) => void;
}

/** Where Node tells of every socket that a server has accepted; tracing listens there. */
const sockets = diagnostics.channel("net.server.socket");

/**
 * From now on connections of a server that listens are given to `take`, instead of to its 'connection' listeners. Returns
 * whether that is so; if not, nothing was done.
 */
export function acceptHandles(server: Server, take: (handle: StreamHandle) => void): boolean {
  const listening = (server as unknown as { _handle?: ListeningHandle | null })._handle;
  if (streamInternals === undefined || typeof listening?.onconnection !== "function") return false;
  const makeSocket = listening.onconnection;
  listening.onconnection = function (error, handle) {
    if (error || !isKnownHandle(handle) || sockets.hasSubscribers) makeSocket.call(this, error, handle);
    else take(handle);
  };
  return true;
}

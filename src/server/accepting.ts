/**
 * Stops a listening server from accepting for a while, without closing anything: connections wait in the kernel, where
 * another process that listens on the same socket takes them.
 *
 * Node has no public way. What is used here, and checked each time: the handle of a `net.Server` that listens on an
 * adopted descriptor (`listen({ fd })`) lets itself be read. `readStart` changes nothing, because what libuv does when
 * the descriptor is readable is to accept; `readStop` ends its watch for that, and the next `readStart` begins it again.
 * The same in Node 20, 22, 24 and 26, for unix sockets and TCP. A socket that Node has bound itself refuses (ENOTCONN);
 * it has no other process to take the connections, and is accepted from as ever. See docs/adr/0011.
 */
import type { Server } from "node:net";
import { constants } from "node:os";

/** libuv's handle of a listening socket, as far as it is used. */
interface AcceptHandle {
  readStart(): number;
  readStop(): number;
}

/** What `readStart` answers the second time. */
const ALREADY = -constants.errno.EALREADY;

/** Returns whether the server has stopped accepting. */
export function pauseAccepting(server: Server): boolean {
  const handle = handleOf(server);
  if (handle === undefined) return false;
  // Without the first, the second does nothing. After a resume it is being read already.
  const started = handle.readStart();
  return (started === 0 || started === ALREADY) && handle.readStop() === 0;
}

/** Accepts again after {@link pauseAccepting} has returned true. */
export function resumeAccepting(server: Server): void {
  handleOf(server)?.readStart();
}

function handleOf(server: Server): AcceptHandle | undefined {
  const handle = (server as unknown as { _handle?: Partial<AcceptHandle> | null })._handle;
  const isKnown = typeof handle?.readStart === "function" && typeof handle.readStop === "function";
  return isKnown ? (handle as AcceptHandle) : undefined; // null once it is closed; other runtimes have something else
}

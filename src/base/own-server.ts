/**
 * HTTP servers of Postern itself: where a process serves an application that listens by itself, `listen` is
 * intercepted, and these are not what the application made.
 */

// Registered, because the command and the application may have a copy of the package each.
const OWN = Symbol.for("postern.ownServer");

/** Says of a server that Postern made it. */
export function markOwn<T extends object>(server: T): T {
  Object.defineProperty(server, OWN, { value: true });
  return server;
}

/** Whether Postern made it. */
export function isOwn(server: object): boolean {
  return OWN in server;
}

/**
 * Closes an inherited listening socket for good. libuv never closes the descriptors 0, 1 and 2: a socket there would stay
 * open after its server has closed, and the kernel would go on taking connections for it, which nobody accepts and which
 * break when the process ends. Refused at once, the web server can turn to another process.
 */
import { closeSync, fstatSync, openSync } from "node:fs";

const STANDARD_FDS = [0, 1, 2] as const;

/**
 * @returns what lets go of the socket under this descriptor, in as little time as possible: who connects between the last
 *   look at the queue and this is lost
 */
export function lettingGo(fd: number): () => void {
  const socket = socketAt(fd);
  if (socket === undefined || fd > 2) return () => {};
  // systemd-socket-activate --inetd has it on 0 and 1.
  const held = STANDARD_FDS.filter((standard) => socketAt(standard) === socket);
  return () => {
    for (const standard of held.splice(0)) silence(standard);
  };
}

/** Has what {@link lettingGo} needs compiled, just before it matters. */
export function warmUp(): void {
  try {
    closeSync(openSync("/dev/null", "r+"));
  } catch {
    // Then it is slower by some tenths of a millisecond.
  }
}

/** The number of the socket; undefined when it is something else. */
function socketAt(fd: number): number | undefined {
  try {
    const stat = fstatSync(fd);
    return stat.isSocket() ? stat.ino : undefined;
  } catch {
    return undefined; // closed
  }
}

/** The descriptor must not become that of another file, in which somebody would print. */
function silence(fd: number): void {
  try {
    closeSync(fd);
    openSync("/dev/null", "r+"); // gets the lowest number that is free
  } catch {
    // Without /dev/null it stays closed.
  }
}

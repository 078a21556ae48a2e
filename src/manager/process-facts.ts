/** Processes: signals, and what Linux's /proc tells of those that cannot tell it themselves. Elsewhere that is unknown. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const PAGE_BYTES = 4096;

/** What can be seen of a process from outside; what cannot is undefined. */
export interface Observed {
  /** Resident memory. */
  readonly memoryBytes?: number | undefined;
  /** Connections that came in on its listening socket. One that answers one at a time is at work while it has one. */
  readonly connections?: number | undefined;
}

/** @param address where it listens, as `HeldSocket.address` */
export function observe(pid: number, address: string | undefined): Observed {
  const connections = address === undefined ? undefined : connectionsOf(pid, address);
  return { memoryBytes: memoryOf(pid), connections };
}

function memoryOf(pid: number): number | undefined {
  const resident = contentOf(`/proc/${pid}/statm`)?.split(" ")[1];
  return resident === undefined ? undefined : Number(resident) * PAGE_BYTES;
}

/** In the mask of /proc, signal N is bit N-1. Linux numbers, the same on x86 and ARM. */
const TERM = 15;
const USR1 = 10;

/**
 * The signal that lets a FastCGI program finish its request and leave: TERM if it handles that, else USR1, which
 * libfcgi handles in programs that know nothing of it (C, Perl), else TERM, which ends it.
 */
export function stopSignalOf(pid: number): {
  readonly signal: "SIGTERM" | "SIGUSR1";
  readonly isHandled: boolean;
} {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(contentOf(`/proc/${pid}/status`) ?? "")?.[1];
  const handles = (signal: number): boolean =>
    caught !== undefined && ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
  if (!handles(TERM) && handles(USR1)) return { signal: "SIGUSR1", isHandled: true };
  return { signal: "SIGTERM", isHandled: handles(TERM) };
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}

/** Connections that wait to be accepted, over all these addresses; undefined where the system does not tell. */
export function listenQueueOf(addresses: readonly string[]): number | undefined {
  let sum = 0;
  for (const address of addresses) {
    const waiting = address.startsWith("unix:") ? waitingOnUnix(address.slice(5)) : waitingOnPort(address);
    if (waiting === undefined) return undefined;
    sum += waiting;
  }
  return sum;
}

/** A connection that nobody has accepted yet has no inode, and the address it was made to. */
function waitingOnUnix(path: string): number | undefined {
  const table = contentOf("/proc/net/unix");
  if (table === undefined) return undefined;
  const all = [...unixSockets(table)];
  return all.filter((one) => one.inode === "0" && one.flags !== UNIX_LISTENING && one.path === path).length;
}

const UNIX_LISTENING = "00010000";

function waitingOnPort(address: string): number | undefined {
  const port = PORT.exec(address)?.[1];
  if (port === undefined) return undefined;
  const wanted = Number(port).toString(16).toUpperCase().padStart(4, "0");
  const rows = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => contentOf(file)?.split("\n") ?? []);
  if (rows.length === 0) return undefined;
  let sum = 0;
  for (const row of rows) {
    const [, local = "", , state, queues = ""] = row.trim().split(/\s+/);
    if (state === "0A" && local.endsWith(`:${wanted}`))
      sum += Number.parseInt(queues.split(":")[1] ?? "0", 16);
  }
  return sum;
}

/** Signals a process, or its whole group. @returns why it could not be; a process that is gone is no problem */
export function sendSignal(pid: number, signal: NodeJS.Signals, isForAll: boolean): string | undefined {
  if (pid === 0) return undefined; // it never ran
  try {
    process.kill(isForAll ? -pid : pid, signal);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH" ? undefined : (error as Error).message;
  }
}

function connectionsOf(pid: number, address: string): number | undefined {
  const accepted = acceptedOn(address);
  if (accepted === undefined) return undefined;
  try {
    let count = 0;
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined && accepted.has(inode)) count++;
    }
    return count;
  } catch {
    return undefined; // another user's, or gone
  }
}

/** The port of `host:port`; `fd:0` has none. */
const PORT = /^(?!fd:).*:(\d+)$/;
const UNIX_CONNECTED = "03";
const TCP_ESTABLISHED = "01";

/** The inodes of all accepted connections of an address. */
function acceptedOn(address: string): ReadonlySet<string> | undefined {
  const inodes = new Set<string>();
  const unix = address.startsWith("unix:");
  const port = PORT.exec(address)?.[1];
  if (unix) {
    const table = contentOf("/proc/net/unix");
    if (table === undefined) return undefined;
    for (const { path, state, inode } of unixSockets(table)) {
      if (path === address.slice(5) && state === UNIX_CONNECTED) inodes.add(inode);
    }
    return inodes;
  }
  if (port === undefined) return undefined;
  const wanted = Number(port).toString(16).toUpperCase().padStart(4, "0");
  const rows = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => contentOf(file)?.split("\n") ?? []);
  if (rows.length === 0) return undefined;
  for (const row of rows) {
    const columns = row.trim().split(/\s+/);
    if (columns[3] === TCP_ESTABLISHED && columns[1]?.endsWith(`:${wanted}`)) inodes.add(columns[9] ?? "");
  }
  return inodes;
}

/** The lines of /proc/net/unix. A socket keeps the temporary name that it was bound under: that is cut off. */
function* unixSockets(
  table: string,
): Iterable<{ path: string; flags: string; state: string; inode: string }> {
  for (const line of table.split("\n")) {
    const [, , , flags = "", , state = "", inode = "", ...words] = line.trim().split(/\s+/);
    if (words.length > 0) yield { flags, state, inode, path: words.join(" ").replace(/\.[0-9a-f]{4}$/, "") };
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

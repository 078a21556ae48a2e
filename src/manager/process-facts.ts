/** Processes: signals, and what Linux's /proc tells of those that cannot tell it themselves. Elsewhere that is unknown. */
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4096;

/** Resident memory, or undefined where there is no telling. */
export function memoryOf(pid: number): number | undefined {
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
export function stopSignalOf(pid: number): "SIGTERM" | "SIGUSR1" {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(contentOf(`/proc/${pid}/status`) ?? "")?.[1];
  if (caught === undefined) return "SIGTERM";
  const handles = (signal: number): boolean => ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
  return !handles(TERM) && handles(USR1) ? "SIGUSR1" : "SIGTERM";
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
  const lines = contentOf("/proc/net/unix")?.split("\n");
  // The socket was bound under a temporary name beside its path.
  const name = /^(.*?)(?:\.[0-9a-f]{4})?$/;
  return lines?.filter((line) => {
    const [, , , flags, , , inode, ...words] = line.trim().split(/\s+/);
    return inode === "0" && flags !== "00010000" && name.exec(words.join(" "))?.[1] === path;
  }).length;
}

function waitingOnPort(address: string): number | undefined {
  const port = /:(\d+)$/.exec(address)?.[1];
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

/** Who listens where, as far as Linux's /proc tells: sockets of a process, and processes that run a file. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "../../base/address.ts";
import type { ProcessFact } from "./model.ts";

/** The listening sockets of this network namespace, by inode. */
export function listeningSockets(): ReadonlyMap<string, Address> {
  const found = new Map<string, Address>();
  // Num RefCount Protocol Flags Type St Inode Path; the flag 00010000 is the listening one.
  for (const line of textOf("/proc/net/unix").split("\n")) {
    const [, , , flags = "", , , inode = "", ...path] = line.trim().split(/ +/);
    const name = path.join(" ");
    if (flags !== "00010000" || name === "") continue;
    found.set(
      inode,
      name.startsWith("@") ? { kind: "abstract", name: name.slice(1) } : { kind: "unix", path: name },
    );
  }
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of textOf(table).split("\n")) {
      const columns = line.trim().split(/\s+/);
      const local = /^([0-9A-F]+):([0-9A-F]{4})$/.exec(columns[1] ?? "");
      if (local === null || columns[3] !== "0A") continue;
      found.set(columns[9] ?? "", {
        kind: "tcp",
        host: hostOf(local[1]!),
        port: Number.parseInt(local[2]!, 16),
      });
    }
  }
  return found;
}

/** Where processes listen. */
export function listeningOf(
  pids: readonly number[],
  sockets: ReadonlyMap<string, Address> = listeningSockets(),
): Address[] {
  const found = new Map<string, Address>();
  for (const pid of pids) {
    for (const inode of socketsOf(pid)) {
      const address = sockets.get(inode);
      if (address !== undefined) found.set(inode, atItsPlace(address, pid));
    }
  }
  return [...found.values()];
}

/** The processes that were started with a file as one of their words, and where they listen; not we, nor who started us. */
export function processesRunning(file: string): ProcessFact[] {
  const sockets = listeningSockets();
  const ours = ancestors();
  return pids().flatMap((pid) => {
    if (ours.has(pid)) return [];
    const words = textOf(`/proc/${pid}/cmdline`).split("\0").filter(Boolean);
    const folder = linkOf(`/proc/${pid}/cwd`);
    if (!namesFile(words, file, folder) && !isOurs(words, folder, file)) return [];
    if (isTool(words)) return [];
    const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
    if (uid === undefined) return [];
    return [{ pid, command: words.join(" "), uid, listens: listeningOf([pid], sockets) }];
  });
}

function namesFile(words: readonly string[], file: string, folder = "/"): boolean {
  return words.some((word) => word.endsWith(nameOf(file)) && resolve(folder, word) === file);
}

/** Postern's own processes have a title in place of their words; its workers run in the application's folder. */
function isOurs([title = ""]: readonly string[], folder: string | undefined, file: string): boolean {
  return title.startsWith("postern: ") && folder === dirname(file);
}

/** Processes that have a variable in their environment, and all of a process group. */
export function processesMarked(marker: string, group: number | undefined): number[] {
  return pids().filter((pid) => {
    if (pid === process.pid) return false;
    if (group !== undefined && groupOf(pid) === group) return true;
    return textOf(`/proc/${pid}/environ`).split("\0").includes(marker);
  });
}

const LOOKS = 12;
const LOOK_MS = 60;

/** Whether one of the processes wants a processor whenever one looks, as in a loop that does not end. */
export async function wantsProcessor(all: readonly number[]): Promise<boolean> {
  let running = 0;
  for (let look = 0; look < LOOKS; look++) {
    if (all.some((pid) => afterName(pid)[0] === "R")) running++;
    await sleep(LOOK_MS);
  }
  return running > LOOKS * 0.8;
}

/** Also those that they have started: a manager's workers. */
export function withChildren(parents: readonly number[]): number[] {
  const own = new Set(parents);
  return [...own, ...pids().filter((pid) => !own.has(pid) && own.has(parentOf(pid)))];
}

/** Editors and our own tools have the file on their command line, too, and serve nothing. */
function isTool(words: readonly string[]): boolean {
  return words.includes("doctor") || /(?:^|\/)(?:vim?|nano|emacs|less|tail|cat)$/.test(words[0] ?? "");
}

function ancestors(): ReadonlySet<number> {
  const found = new Set<number>();
  for (let pid = process.pid; pid > 1 && !found.has(pid); pid = parentOf(pid)) found.add(pid);
  return found;
}

function parentOf(pid: number): number {
  return Number(afterName(pid)[1] ?? 0);
}

function groupOf(pid: number): number {
  return Number(afterName(pid)[2] ?? 0);
}

/** The columns of /proc/PID/stat behind the name, which may hold anything: state, parent, group. */
function afterName(pid: number): string[] {
  const text = textOf(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function pids(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return []; // not Linux
  }
}

function socketsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(
      (fd) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`) ?? "")?.[1] ?? [],
    );
  } catch {
    return []; // another user's, or gone
  }
}

/** Bound under a relative path, or under Postern's temporary name and moved into place. */
function atItsPlace(address: Address, pid: number): Address {
  if (address.kind !== "unix") return address;
  const path = resolve(linkOf(`/proc/${pid}/cwd`) ?? "/", address.path);
  const moved = path.replace(/\.[0-9a-f]{4}$/, "");
  return { kind: "unix", path: moved !== path && !existsSync(path) ? moved : path };
}

/** An address of /proc/net/tcp: words of 32 bits in the order of the machine, which is little-endian. */
function hostOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.every((byte) => byte === 0)) return "::";
  if (bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return "::1";
  const groups = bytes.flatMap((byte, at) =>
    at % 2 === 0 ? [((byte << 8) | bytes[at + 1]!).toString(16)] : [],
  );
  return groups.join(":");
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

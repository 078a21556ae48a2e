/**
 * Sockets that whoever started us opened: descriptor 0 (the FastCGI contract, §2.2) and systemd's LISTEN_FDS.
 * Looks only; nothing is opened, and an inherited socket's file is never removed.
 */
import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import { SettingError } from "../base/errors.ts";

/** FCGI_LISTENSOCK_FILENO. FastCGI 1.0 §2.2. */
export const LISTEN_FD = 0;
/** The first descriptor systemd passes. */
const SYSTEMD_FIRST_FD = 3;

/** One socket passed by systemd. */
export interface SystemdSocket {
  readonly fd: number;
  /** FileDescriptorName=, by default the name of the socket unit. */
  readonly name: string;
}

/** The sockets systemd passed to this process (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES); none if they are not for us. */
export function systemdSockets(env: NodeJS.ProcessEnv): SystemdSocket[] {
  if (Number(env["LISTEN_PID"]) !== process.pid) return [];
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  return Array.from({ length: Number(env["LISTEN_FDS"]) || 0 }, (_, index) => ({
    fd: SYSTEMD_FIRST_FD + index,
    name: names[index] || "unknown",
  }));
}

/** Those of {@link systemdSockets} that `systemd` or `systemd:NAME` means. @throws {SettingError} ERR_POSTERN_NO_LISTENER */
export function systemdSocketsNamed(name: string | undefined, env: NodeJS.ProcessEnv): SystemdSocket[] {
  const all = systemdSockets(env);
  const chosen = name === undefined ? all : all.filter((socket) => socket.name === name);
  if (chosen.length > 0) return chosen;
  if (all.length > 0) {
    const passed = all.map((socket) => socket.name).join(", ");
    throw new SettingError(
      "ERR_POSTERN_NO_LISTENER",
      `systemd passed no socket named ${JSON.stringify(name)}, only: ${passed}; set FileDescriptorName= in the socket unit`,
    );
  }
  const pid = env["LISTEN_PID"];
  throw new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    pid === undefined
      ? "systemd passed no socket: LISTEN_FDS is not set; start the .socket unit, not only the .service"
      : `systemd passed its sockets to process ${pid}, this is ${process.pid}; start node itself from ExecStart, not a script around it`,
  );
}

/**
 * Whether a descriptor is a listening socket. Exact on Linux; elsewhere any socket counts, unless the environment
 * says that this is a plain-CGI request (then it is a connected one).
 */
export function isListeningSocket(fd: number, env: NodeJS.ProcessEnv): boolean {
  // First: Deno's fstat knows no descriptors but 0 to 2 and its own.
  const link = linkOf(fd);
  if (link === undefined) {
    if (!isSocket(fd)) return false;
  } else {
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode === undefined) return false;
    const known = isListeningInode(inode);
    if (known !== undefined) return known;
  }
  return !isPlainCgi(env);
}

/** What a descriptor is, as Linux names it; undefined when it is closed, and on systems without /proc. */
function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false; // closed
  }
}

/** Whether the environment is that of one CGI request. RFC 3875 §4.1. fcgiwrap passes on only what it was given. */
export function isPlainCgi(env: NodeJS.ProcessEnv): boolean {
  const { REQUEST_METHOD, GATEWAY_INTERFACE, SCRIPT_FILENAME, SCRIPT_NAME } = env;
  return REQUEST_METHOD !== undefined && (GATEWAY_INTERFACE ?? SCRIPT_FILENAME ?? SCRIPT_NAME) !== undefined;
}

/** Whether this process was started for one CGI request, and not on a socket. */
export function isCgiProgram(env: NodeJS.ProcessEnv): boolean {
  return isPlainCgi(env) && !isListeningSocket(LISTEN_FD, env);
}

const UNIX_LISTENING = 0x10000; // __SO_ACCEPTCON in the flags column
const TCP_LISTEN = "0A";

/** Undefined when the tables do not have it: a socket may come from outside our network namespace. */
function isListeningInode(inode: string): boolean | undefined {
  for (const line of readTable("/proc/self/net/unix").split("\n")) {
    const columns = line.trim().split(/\s+/);
    if (columns[6] === inode) return (Number.parseInt(columns[3] ?? "0", 16) & UNIX_LISTENING) !== 0;
  }
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const line of readTable(table).split("\n")) {
      const columns = line.trim().split(/\s+/);
      if (columns[9] === inode) return columns[3] === TCP_LISTEN;
    }
  }
  return undefined;
}

/** Empty where it cannot be read, such as where the kernel has no IPv6. */
function readTable(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

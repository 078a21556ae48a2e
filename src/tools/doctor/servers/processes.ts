/** The web servers that run, from /proc: by their program, with their command line, user, environment and start. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { WEB_SERVERS, type WebServerName } from "../../../sites/model.ts";
import { PROGRAMS } from "./commands.ts";

export interface ServerProcess {
  readonly server: WebServerName;
  readonly pid: number;
  readonly parent: number;
  /** The program, and what stands before its own arguments: a dynamic linker. */
  readonly program: readonly string[];
  readonly args: readonly string[];
  readonly uid: number;
  /** The first is the primary one. */
  readonly gids: readonly number[];
  /** ms since 1970. */
  readonly startedAt: number;
  /** It works off its last requests after a reload. */
  readonly isLeaving: boolean;
}

/** A web server that runs: the process that began it, and those that it has made. */
export interface RunningServer {
  readonly master: ServerProcess;
  readonly workers: readonly ServerProcess[];
}

/** @param folder `/proc` */
export function runningServers(folder = "/proc"): RunningServer[] {
  const all = pidsIn(folder).flatMap((pid) => processOf(folder, pid) ?? []);
  const byPid = new Map(all.map((one) => [one.pid, one]));
  const isWorker = ({ server, parent }: ServerProcess): boolean => byPid.get(parent)?.server === server;
  return all
    .filter((one) => !isWorker(one))
    .map((master) => ({
      master,
      workers: all.filter(
        (one) => one !== master && one.server === master.server && one.parent === master.pid,
      ),
    }));
}

function pidsIn(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return []; // no /proc here
  }
}

function processOf(folder: string, pid: number): ServerProcess | undefined {
  const at = `${folder}/${pid}`;
  const words = contentOf(`${at}/cmdline`).split("\0");
  if (words.at(-1) === "") words.pop();
  const exe = linkOf(`${at}/exe`)?.replace(/ \(deleted\)$/, "");
  const found = programOf(words, exe);
  if (found === undefined) return undefined;
  const status = contentOf(`${at}/status`);
  const numbers = (name: string): number[] =>
    (new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "").split(/\s+/).filter(Boolean).map(Number);
  const [, uid] = numbers("Uid");
  const [, gid] = numbers("Gid");
  const startedAt = startOf(folder, contentOf(`${at}/stat`));
  if (uid === undefined || gid === undefined || startedAt === undefined) return undefined;
  // A zombie has no command line.
  const gids = [...new Set([gid, ...numbers("Groups")])];
  const parent = numbers("PPid")[0] ?? 0;
  return { ...found, pid, parent, uid, gids, startedAt, isLeaving: /shutting down/.test(words[0] ?? "") };
}

/** Whose program it is, by the file that runs; by its name where that cannot be seen. */
function programOf(
  words: readonly string[],
  exe: string | undefined,
): Pick<ServerProcess, "server" | "program" | "args"> | undefined {
  const [first = ""] = words;
  if (first === "") return undefined;
  // nginx writes its role and all arguments into the first word.
  const title = /^nginx: (?:master process (.*)|\S.*)$/s.exec(first);
  if (title !== null) {
    const [program = "nginx", ...args] = titleWords(title[1] ?? "");
    return { server: "nginx", program: [exe !== undefined && !isLinker(exe) ? exe : program], args };
  }
  if (exe !== undefined && isLinker(exe)) {
    const at = words.findIndex((word, index) => index > 0 && serverOf(basename(word)) !== undefined);
    const server = serverOf(basename(words[at] ?? ""));
    return server === undefined
      ? undefined
      : { server, program: words.slice(0, at + 1), args: words.slice(at + 1) };
  }
  const path = exe ?? first;
  const server = serverOf(basename(path));
  return server === undefined ? undefined : { server, program: [path], args: words.slice(1) };
}

/** Arguments that were joined by spaces: an option's value goes up to the next option. */
function titleWords(title: string): string[] {
  const [program = "", ...rest] = title.split(/ (?=-[a-zA-Z](?: |$))/);
  return [
    program,
    ...rest.flatMap((option) => [option.slice(0, 2), option.slice(3)].filter((word) => word !== "")),
  ];
}

function isLinker(path: string): boolean {
  return /^ld-linux.*\.so\.\d+$|^ld-\d.*\.so$/.test(basename(path));
}

function serverOf(name: string): WebServerName | undefined {
  return WEB_SERVERS.find((server) => PROGRAMS[server].test(name));
}

/** In ticks since the machine was started, of which every Linux tells 100 a second. */
function startOf(folder: string, stat: string): number | undefined {
  const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  const uptime = Number(contentOf(`${folder}/uptime`).split(" ")[0]);
  return Number.isFinite(ticks) && Number.isFinite(uptime)
    ? Date.now() - (uptime * 1000 - ticks * 10)
    : undefined;
}

export function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // gone meanwhile, or not ours to read
  }
}

export function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** The environment that a process was started with; undefined when it is not ours to read. */
export function environmentOf(pid: number): Record<string, string> | undefined {
  const text = contentOf(`/proc/${pid}/environ`);
  if (text === "") return undefined;
  return Object.fromEntries(
    text
      .split("\0")
      .filter((pair) => pair.includes("="))
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
}

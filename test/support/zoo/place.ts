/**
 * Where one animal lives: a folder of its own that other users may enter, an application with everything it needs, and
 * whoever serves it. All of it ends with the place, mounts as well.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { findGroup, findUser } from "../../../src/server/accounts.ts";
import { built } from "../e2e/built.ts";
import { type RequestOptions, request } from "../http.ts";
import { repositoryRoot } from "../paths.ts";
import { isListening } from "../ports.ts";
import { isAlive } from "../proc.ts";
import { type Running, type StartOptions, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { serverUser, type WebServer } from "../web-servers/web-server.ts";
import { type Sight, WELL } from "./model.ts";

/** Until something of a started program has happened, on a machine that does much else at the time. */
const PATIENT = { timeoutMs: 30_000 };
/** How long a visitor waits who is to see that there is no answer. */
const VISIT_MS = 4000;

export interface Place extends AsyncDisposable {
  /** Of the application. */
  readonly folder: string;
  path(name: string): string;
  /** Writes a file of the application, for everybody to read. @returns its path */
  write(name: string, text: string, mode?: number): string;
  /** Done when the place ends, last first. */
  later(end: () => unknown): void;
  /** Starts something that ends with the place. */
  start(command: string, args: readonly string[], options?: StartOptions): Running;
  /** Ends the processes that run in the folder or name it, and whoever they started. */
  killPrograms(): Promise<void>;
}

let library: Promise<string> | undefined;

/** `node_modules` with Postern and what its command needs, for all places: users need not be let into the repository. */
export function sharedLibrary(): Promise<string> {
  library ??= makeLibrary();
  return library;
}

async function makeLibrary(): Promise<string> {
  await built();
  const modules = join(temporaryFolder("lib"), "node_modules");
  const text = readFileSync(join(repositoryRoot, "package.json"), "utf8");
  const { dependencies } = JSON.parse(text) as { readonly dependencies: Record<string, string> };
  for (const name of Object.keys(dependencies)) {
    cpSync(join(repositoryRoot, "node_modules", name), join(modules, name), {
      recursive: true,
      dereference: true,
    });
  }
  const own = join(modules, "postern");
  cpSync(join(repositoryRoot, "dist"), join(own, "dist"), { recursive: true });
  cpSync(join(repositoryRoot, "package.json"), join(own, "package.json"));
  mkdirSync(join(modules, ".bin"));
  chmodSync(commandIn(modules), 0o755);
  symlinkSync(commandIn(modules), join(modules, ".bin", "postern"));
  return modules;
}

/** The script of the `postern` command in a `node_modules`. */
export function commandIn(modules: string): string {
  return join(modules, "postern", "dist", "cli", "main.js");
}

export async function makePlace(): Promise<Place> {
  const modules = await sharedLibrary();
  const folder = temporaryFolder("z");
  symlinkSync(modules, join(folder, "node_modules"));
  const ends: (() => unknown)[] = [];
  const place: Place = {
    folder,
    path: (name) => join(folder, name),
    write(name, text, mode = 0o644) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      chmodSync(path, mode);
      return path;
    },
    later: (end) => void ends.push(end),
    start(command, args, options = {}) {
      const running = start(command, args, { cwd: folder, ...options });
      ends.push(() => running.stop({ graceMs: 1000 }));
      return running;
    },
    async killPrograms() {
      const pids = programsIn(folder);
      for (const pid of pids) signal(pid);
      await waitFor(() => !pids.some(isAlive), { ...PATIENT, what: "the programs to end" });
    },
    async [Symbol.asyncDispose]() {
      for (const end of ends.reverse()) await end();
      await place.killPrograms();
    },
  };
  return place;
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

function programsIn(folder: string): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    const pid = Number(entry);
    if (!pid || pid === process.pid) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const cwd = readlinkSync(`/proc/${pid}/cwd`);
      return words.includes(`${folder}/`) || cwd === folder || cwd.startsWith(`${folder}/`) ? [pid] : [];
    } catch {
      return [];
    }
  });
}

/** A user of an application that is not the web server's; ourselves when we are not root. */
export function ids(user: string, group: string): { readonly uid: number; readonly gid: number } | undefined {
  if (serverUser() === undefined) return undefined;
  return { uid: findUser(user), gid: findGroup(group) };
}

/** Gives a file or folder to somebody, where that can be done. */
export function give(path: string, user: string, group: string): void {
  const who = ids(user, group);
  if (who !== undefined) chownSync(path, who.uid, who.gid);
}

/** One request of a visitor. */
export async function look(url: string, options: RequestOptions = {}): Promise<Sight> {
  try {
    const answer = await request(url, { timeoutMs: VISIT_MS, ...options });
    if (answer.status !== 200) return answer.status;
    return answer.text.includes(WELL) ? 200 : "another's";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ECONNREFUSED") return "refused";
    if (/no answer from/.test(message)) return "waits";
    if (code === "ECONNRESET") return "cut";
    throw error;
  }
}

/** The main file of a generated configuration. */
export function configurationOf(web: WebServer): string {
  const words = web.process.child.spawnargs;
  const found = words.find((word, at) => /\.(conf|cfg|json|yaml)$|Caddyfile$/.test(word) && at > 0);
  if (found === undefined) throw new Error(`no file of a configuration in ${words.join(" ")}`);
  return found;
}

/** Replaces what must be there. */
export function edit(file: string, from: string | RegExp, to: string): void {
  const text = readFileSync(file, "utf8");
  const changed = text.replace(from, () => to);
  if (changed === text) throw new Error(`${file} has no ${String(from)}:\n${text}`);
  writeFileSync(file, changed);
}

const restarted = new WeakMap<WebServer, Running>();

/** A web server ended, and started again with the command it had; in another way, if one is given. */
export async function restart(place: Place, web: WebServer, wrap: readonly string[] = []): Promise<Running> {
  await (restarted.get(web) ?? web.process).stop();
  const [program = "", ...args] = [...wrap, ...web.process.child.spawnargs];
  const again = place.start(program, args, { cwd: web.folder, env: { ...process.env, HOME: web.folder } });
  restarted.set(web, again);
  await waitFor(async () => again.exit ?? (await isListening({ host: "127.0.0.1", port: web.port })), {
    ...PATIENT,
    what: `${web.name} to listen again`,
    evidence: again.output,
  });
  return again;
}

/** Runs a command to its end. */
export function must(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}

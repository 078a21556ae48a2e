/**
 * From the flags of `postern init` to a {@link ServiceModel}: everything absolute, what was not said guessed from this
 * machine. Each guess that could surprise is told as a sentence.
 */
import { existsSync, realpathSync, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { ownFile } from "../base/own-files.ts";
import { absoluteAddress, nameOfFolder } from "../config/places.ts";
import { isPythonApp, pythonSource } from "../config/python-app.ts";
import { readDuration } from "../config/values.ts";
import type { ServicePython } from "../generate/model.ts";
import type { ServiceKind, ServiceModel, ServiceSocket } from "../generate/services.ts";
import { pythonCommand } from "../manager/python.ts";
import { findAccount, findGroup } from "../server/accounts.ts";
import { webServerGroup, webServerUser } from "./web-server-accounts.ts";

export interface InitFlags {
  readonly name?: string;
  readonly user?: string;
  readonly group?: string;
  readonly bind?: readonly string[];
  readonly workers?: string;
  readonly config?: string;
  readonly drainTimeout?: string;
  readonly socketActivation?: boolean;
  readonly mount?: string;
  readonly output?: string;
  readonly write?: boolean;
  readonly force?: boolean;
}

/** What workers there are if nobody says: one can be replaced while the other serves. */
const WORKERS = "2";
const DRAIN_TIMEOUT = "30s";
/** Where packages put a node, or a link to it, that outlives an update. */
const LASTING_NODES = ["/usr/bin/node", "/usr/local/bin/node"];

/** @throws {SettingError} for a file that is not there, an address that cannot be used, and the like */
export function serviceModel(
  kind: ServiceKind,
  file: string | undefined,
  flags: InitFlags,
  serveFlags: readonly string[],
): { model: ServiceModel; notes: string[] } {
  const notes: string[] = [];
  const { program, source, isPython } = programPath(file, flags.config);
  const folder = dirname(program);
  const name = flags.name ?? nameOfFolder(folder);
  const user = flags.user ?? guessUser(source, notes);
  const group = flags.group ?? guessGroup(user);
  // An account that does not exist would be noticed at the next boot.
  findAccount(user);
  findGroup(group);
  const places = placesOf(kind, name, folder);
  const binds = bindsOf(kind, flags, places.socket);
  const isPassed = kind === "systemd" ? flags.socketActivation === true : isForSupervisor(kind, binds);
  if (flags.socketActivation === true && kind !== "systemd") {
    throw wrong("--socket-activation is systemd's; supervisor opens the socket by itself, and others cannot");
  }
  if (flags.mount !== undefined && kind !== "shared-hosting") {
    throw wrong(
      `--mount is for shared hosting, where Apache finds the application by a folder; for ${kind} write -- --base ${flags.mount}`,
    );
  }
  const workers =
    flags.workers ?? (flags.config === undefined && kind !== "shared-hosting" ? WORKERS : undefined);
  const drain = flags.drainTimeout;
  const model: ServiceModel = {
    name,
    description: `${name}, a ${isPython ? "Python" : "Node"} application served by Postern`,
    user,
    group,
    node: nodePath(isPython && kind === "shared-hosting" ? [] : notes),
    postern: posternPath(folder),
    arguments: [
      "serve",
      ...(flags.config === undefined ? [program] : ["--config", program]),
      ...(isPassed ? [] : binds.flatMap((address) => ["--bind", address])),
      ...(workers === undefined ? [] : ["--workers", workersOf(workers)]),
      ...(drain === undefined ? [] : ["--drain-timeout", drain]),
      ...serveFlags,
    ],
    workingDirectory: folder,
    environment: isPython ? {} : { NODE_ENV: "production" },
    runtimeDirectory: places.run,
    logDirectory: places.log,
    publicDirectory: flags.output === undefined ? join(homedir(), "public_html") : resolve(flags.output),
    ...(flags.mount === undefined ? {} : { mount: flags.mount }),
    ...(isPython && kind === "shared-hosting" && { python: pythonOf(program, source, flags, serveFlags) }),
    sockets: isPassed ? binds.map((address, at) => passedSocket(address, at, user, group)) : [],
    drainTimeoutSeconds: secondsOf(drain ?? DRAIN_TIMEOUT),
  };
  if (flags.config !== undefined && drain === undefined) {
    notes.push(
      `the service is given ${model.drainTimeoutSeconds} s to let open requests end; if drainTimeout in ${program} is longer, say it here too with --drain-timeout`,
    );
  }
  return { model, notes };
}

interface Program {
  /** What is served: a file, or a module of Python and a name. Links in it stay: `current` is to be followed at every start. */
  readonly program: string;
  /** The file that is loaded first. */
  readonly source: string;
  readonly isPython: boolean;
}

/** The application, or the configuration. */
function programPath(file: string | undefined, config: string | undefined): Program {
  if (file !== undefined && config !== undefined) {
    throw wrong(
      `${file} and --config ${config}: give the application or the configuration that names it, not both`,
    );
  }
  const given = config ?? file;
  if (given === undefined) {
    throw wrong(
      "say what to serve: postern init <kind> app.js, of Python yourapplication:app, or --config postern.config.js",
    );
  }
  const program = resolve(given);
  const isPython = config === undefined && isPythonApp(program);
  const source = isPython ? pythonSource(program) : program;
  if (source === undefined && basename(program).includes(":")) {
    throw wrong(`there is no module ${basename(program).split(":")[0]} in ${dirname(program)}`);
  }
  const stats = source === undefined ? undefined : statSync(source, { throwIfNoEntry: false });
  if (source === undefined || stats === undefined) throw wrong(`there is no file ${source ?? program}`);
  if (!stats.isFile()) throw wrong(`${source} is not a file; name the file in it that is to be served`);
  return { program, source, isPython };
}

/** What a file for a shared host needs to know of Python. No manager runs there, so its flags have no place. */
function pythonOf(
  app: string,
  source: string,
  { workers, drainTimeout }: InitFlags,
  serveFlags: readonly string[],
): ServicePython {
  const [flag, python, ...more] = serveFlags;
  const isNone = flag === undefined || (flag === "--python" && python !== undefined && more.length === 0);
  if (!isNone || workers !== undefined || drainTimeout !== undefined) {
    throw wrong(
      "shared hosting in Python runs without a manager: of the flags of postern serve it takes --python alone (-- --python .venv)",
    );
  }
  const settings = { name: basename(app), python, chdir: dirname(app) };
  const [program = ""] = pythonCommand(settings, source, process.env["PATH"]);
  return { program: resolve(program), app, library: ownFile("python") };
}

/** Folders that belong to the kind, and the socket for when no address is given. */
function placesOf(
  kind: ServiceKind,
  name: string,
  folder: string,
): { run: string; log: string; socket: string } {
  const run = `/run/${name}`;
  switch (kind) {
    case "screen":
      // No root needed: everything beside the application.
      return {
        run: join(folder, "run"),
        log: join(folder, "run"),
        socket: `unix:${join(folder, "run", "app.sock")}`,
      };
    case "supervisor":
      return { run, log: "/var/log/supervisor", socket: `unix:/run/${name}.sock` };
    default:
      return { run, log: `/var/log/${name}`, socket: `unix:${run}/app.sock` };
  }
}

/** The addresses, absolute. None with a configuration, which has its own, and on a shared host. */
function bindsOf(kind: ServiceKind, flags: InitFlags, standard: string): string[] {
  if (flags.bind === undefined) {
    if (flags.socketActivation === true)
      return [`unix:${standard.slice(5).replace(/\/app\.sock$/, ".sock")}`];
    return flags.config !== undefined || kind === "shared-hosting" ? [] : [standard];
  }
  return flags.bind.map((text) => {
    const address = parseAddress(text, "--bind");
    if (address.kind === "fd" || address.kind === "systemd") {
      throw wrong(
        `--bind ${text}: give the address itself; for a socket that systemd opens add --socket-activation`,
      );
    }
    if (address.kind === "abstract" && flags.socketActivation === true) {
      throw wrong(`--bind ${text}: with --socket-activation it must be unix:/path or host:port`);
    }
    if (address.kind === "tcp" && address.host === "") return `127.0.0.1:${address.port}`;
    return printAddress(absoluteAddress(address, process.cwd()));
  });
}

/** Supervisor opens one socket, over IPv4 or unix; else Postern listens itself. */
function isForSupervisor(kind: ServiceKind, binds: readonly string[]): boolean {
  return kind === "supervisor" && binds.length === 1 && !/^unix:@|^\[/.test(binds[0] ?? "");
}

/** A socket that the service manager opens. */
function passedSocket(address: string, at: number, owner: string, group: string): ServiceSocket {
  return { name: at === 0 ? "app" : `app${at + 1}`, address, mode: "0660", owner, group };
}

/** Who typed the command; root is never taken by itself. */
function guessUser(program: string, notes: string[]): string {
  if (process.getuid?.() !== 0) return userInfo().username;
  const owner = findAccount(statSync(program).uid);
  if (owner.uid !== 0 && owner.name !== undefined) {
    notes.push(`no --user: it will run as ${owner.name}, who owns ${program}`);
    return owner.name;
  }
  const server = webServerUser();
  if (server === undefined)
    throw wrong("say with --user who the application is to run as; root is not a good choice");
  notes.push(`no --user: it will run as ${server}, not as root; --user chooses another`);
  return server;
}

/** The web server's group, which then may use the socket; else the user's own. */
function guessGroup(user: string): string {
  return webServerGroup() ?? String(findAccount(user).gid ?? user);
}

/** This node, by a name that stays when it is updated if there is one. */
function nodePath(notes: string[]): string {
  const lasting = LASTING_NODES.find((path) => existsSync(path) && realpathSync(path) === process.execPath);
  const node = lasting ?? process.execPath;
  if (/\/(?:\.nvm|\.volta|\.fnm|\.asdf|\.n|mise)\//.test(node)) {
    notes.push(
      `${node} is gone when that version of node is removed, and other users may not be able to run it; a node of the system is better for a service`,
    );
  }
  return node;
}

/** This postern; through the application's node_modules if that is where it is, whatever a package manager links there. */
function posternPath(folder: string): string {
  const own = ownFile("dist/cli/main.js");
  const real = existsSync(own) ? realpathSync(own) : own;
  for (let at = folder; ; at = dirname(at)) {
    const path = join(at, "node_modules", "postern", "dist", "cli", "main.js");
    if (existsSync(path) && realpathSync(path) === real) return path;
    if (at === dirname(at)) return real;
  }
}

function workersOf(text: string): string {
  if (/^(?:auto|[1-9]\d{0,4})$/.test(text)) return text;
  throw wrong(`--workers ${JSON.stringify(text)}: it is a number from 1 on, or auto`);
}

function secondsOf(duration: string): number {
  const ms = readDuration(duration);
  if (ms !== undefined) return ms / 1000;
  throw wrong(`--drain-timeout ${JSON.stringify(duration)}: it is a time such as 30s or 2m`);
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

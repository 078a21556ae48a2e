/** How the process of a worker is started: its command, environment, descriptors and first message. */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import type { LogLevelName } from "../base/log.ts";
import { ownFile } from "../base/own-files.ts";
import type { PoolSettings } from "../config/types.ts";
import { findUser } from "../server/accounts.ts";
import type { BootFailure } from "../server/boot-failure.ts";
import type { HeldSocket } from "../server/held-socket.ts";
import { openStandardOutput } from "./access-logs.ts";
import { type DevSettings, FIRST_SOCKET_FD, type ToWorker, type WorkerSettings } from "./channel.ts";
import { withholdCompileCache } from "./compile-cache.ts";
import { workerEnvironment } from "./environment.ts";
import { type LaunchTools, planLaunch } from "./preamble.ts";
import { findProgram } from "./programs.ts";
import { pythonCommand } from "./python.ts";
import { pythonStackOf } from "./python-stack.ts";
import { ScoreboardFile } from "./scoreboard.ts";
import { frontOptions, serverOptions } from "./server-options.ts";
import type { Launching } from "./worker-sink.ts";

const WORKER_PROGRAM = ownFile("dist/manager/worker-main.js");

/** Node tells of each module that it loads, to `process.send`: what `node --watch` is made of, since Node 18. */
const LOADED_FILES = { WATCH_REPORT_DEPENDENCIES: "1" };

export interface LaunchContext {
  readonly pool: PoolSettings;
  readonly sockets: readonly HeldSocket[];
  readonly http: HeldSocket | undefined;
  readonly wsHttp: HeldSocket | undefined;
  readonly logLevel: LogLevelName;
  /** The manager's own environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly tools: LaunchTools;
  /** Instead of the application: what every request is answered with. */
  readonly failure?: BootFailure | undefined;
  readonly dev?: DevSettings | undefined;
}

/**
 * @throws {SettingError} the environment, user or limits cannot be had
 * @throws {Error} ENOSPC, …: no scoreboard can be made
 */
export function launchWorker(context: LaunchContext, id: number, generation: number): Launching {
  return context.pool.program.kind === "app"
    ? launchApp(context, context.pool.program.file, id, generation)
    : launchCommand(context, context.pool.program.command);
}

function launchApp(context: LaunchContext, file: string, id: number, generation: number): Launching {
  const { sockets, http, wsHttp } = context;
  // The worker's own standard output is the application's.
  const output = context.pool.accessLog === "-" ? openStandardOutput() : undefined;
  const logFd = FIRST_SOCKET_FD + [...sockets, http, wsHttp].filter((socket) => socket !== undefined).length;
  const pool = output === undefined ? context.pool : { ...context.pool, accessLog: `fd:${logFd}` };
  const own = workerEnvironment(pool, context.env);
  const isAnother = pool.user !== undefined || pool.group !== undefined;
  const env: Record<string, string> = {
    ...(isAnother ? withholdCompileCache(own) : own),
    POSTERN_POOL: pool.name,
    POSTERN_WORKER: String(id),
    ...(context.dev !== undefined && LOADED_FILES),
  };
  const { rlimitFiles } = pool;
  const isPython = isPythonWorker(context);
  const command = isPython
    ? pythonCommand(pool, file, env["PATH"])
    : [process.execPath, ...pool.nodeArgs, "--inspect-port=127.0.0.1:0", WORKER_PROGRAM];
  const launch = planLaunch(command, rlimitFiles === undefined ? {} : { rlimitFiles }, context.tools);
  // Not as descriptor 0: libuv makes 0 to 2 blocking in a child, and with that every worker's accept(2), since they
  // all share the one open socket (docs/adr/0013).
  const extra = [...sockets, http, wsHttp].filter((socket) => socket !== undefined);
  const fdOf = (socket: HeldSocket | undefined): number | undefined =>
    socket === undefined ? undefined : FIRST_SOCKET_FD + extra.indexOf(socket);
  const frontFolder = http === undefined ? undefined : makeFolder(pool.user);
  const settings: WorkerSettings = {
    pool: pool.name,
    id,
    generation,
    file,
    sockets: sockets.map((socket, at) => ({
      fd: FIRST_SOCKET_FD + at,
      address: socket.address,
    })),
    httpFd: fdOf(http),
    wsHttpFd: fdOf(wsHttp),
    static: pool.static,
    chdir: pool.chdir,
    user: pool.user,
    group: pool.group,
    umask: pool.umask,
    logLevel: context.logLevel,
    hasSiblings: pool.maxChildren > 1,
    // A pool without an application is not well.
    ...probes({ ...context, pool }),
    frontFolder,
    failure: context.failure,
    dev: context.dev,
    ...(isPython && { python: { threads: pool.threads, slowDepth: pool.requestSlowlogTraceDepth } }),
  };
  const start: ToWorker = { type: "start", settings };
  const scoreboard = new ScoreboardFile();
  return {
    command: launch.command,
    args: launch.args,
    env,
    cwd: "/", // the worker changes it as the user it becomes
    uid: undefined,
    gid: undefined,
    stdio: [
      "ignore",
      "pipe",
      "pipe",
      "pipe",
      scoreboard.fd,
      ...extra.map(({ fd }) => fd),
      ...(output === undefined ? [] : [output.fd]),
    ],
    address: undefined,
    start,
    scoreboard,
    ...(isPython && { readStack: (pid, options) => pythonStackOf(pid, scoreboard, options) }),
    cleanUp(): void {
      scoreboard.close();
      output?.close();
      if (frontFolder !== undefined) rmSync(frontFolder, { recursive: true, force: true });
    },
  };
}

/** What answers in the place of an application is JavaScript. */
function isPythonWorker({ pool: { program }, failure }: LaunchContext): boolean {
  return program.kind === "app" && program.language === "python" && failure === undefined;
}

function probes({
  pool,
  failure,
}: LaunchContext): Pick<WorkerSettings, "statusPath" | "metricsPath" | "options" | "frontOptions"> {
  const none = { statusPath: undefined, metricsPath: undefined, pingPath: undefined };
  const shown = failure === undefined ? pool : { ...pool, ...none };
  return {
    statusPath: shown.statusPath,
    metricsPath: shown.metricsPath,
    options: serverOptions(shown),
    frontOptions: frontOptions(shown),
  };
}

/** A folder that only the user of the worker may enter. */
function makeFolder(user: string | number | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), "postern-"));
  if (user !== undefined) chownSync(folder, findUser(user), -1);
  return folder;
}

function launchCommand(context: LaunchContext, command: readonly string[]): Launching {
  const { pool, sockets } = context;
  const { umask, rlimitFiles, user, group } = pool;
  const needs = {
    ...(umask !== undefined && { umask }),
    ...(rlimitFiles !== undefined && { rlimitFiles }),
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
  };
  const launch = planLaunch(command, needs, context.tools);
  const [socket] = sockets;
  const env = workerEnvironment(pool, context.env);
  checkProgram(command[0] ?? "", env["PATH"]);
  return {
    command: launch.command,
    args: launch.args,
    env: { ...env, ...webServerAddresses(pool, socket) },
    cwd: pool.chdir,
    uid: launch.options.uid,
    gid: launch.options.gid,
    stdio: [socket?.fd ?? "ignore", "pipe", "pipe"],
    address: socket?.address,
    start: undefined,
    scoreboard: undefined,
    cleanUp(): void {},
  };
}

/** What the system says of a program that is not there (ENOENT, 127) helps nobody. */
function checkProgram(program: string, path: string | undefined): void {
  if (program.includes("/") ? existsSync(program) : findProgram(program, path) !== undefined) return;
  const where = program.includes("/") ? "" : ` in PATH (${path ?? ""})`;
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `there is no program ${program}${where}; install it or correct the command`,
  );
}

/** FastCGI 1.0 §3.2: over TCP the program itself must refuse strangers, if it knows how. */
function webServerAddresses(pool: PoolSettings, socket: HeldSocket | undefined): Record<string, string> {
  if (socket === undefined || !socket.isTcp || parseAddress(socket.address).kind !== "tcp") return {};
  const clients = pool.allowedClients ?? ["127.0.0.1"];
  const isList = clients.every((client) => client !== "any" && !client.includes("/"));
  return isList ? { FCGI_WEB_SERVER_ADDRS: clients.join(",") } : {};
}

/** @throws {Error} when the system cannot start a process */
export function startProcess(launching: Launching): ChildProcess {
  const { command, args, cwd, env, stdio, uid, gid } = launching;
  return spawn(command, [...args], {
    cwd,
    env: { ...env },
    stdio: [...stdio],
    // A group of its own: a terminal's ctrl-C is the manager's to understand, and KILL reaches its children too.
    detached: true,
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  });
}

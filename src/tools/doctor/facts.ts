/**
 * Gathers what the doctor knows before it asks anything: the application and its settings, the web servers, and how the
 * application would be started. Runs nothing of the application; a configuration file of Postern is a program, and is
 * evaluated as `postern serve` would.
 */
import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { type Address, printAddress } from "../../base/address.ts";
import { PosternError } from "../../base/errors.ts";
import { oneLine } from "../../base/text.ts";
import { findConfigurationFile, loadConfiguration } from "../../config/load.ts";
import { runFolder } from "../../config/places.ts";
import { isPythonApp, pythonSource } from "../../config/python-app.ts";
import type { PoolSettings } from "../../config/types.ts";
import { ofApplication, ofUrl } from "./concerned.ts";
import { identityOf, ownIdentity } from "./identity.ts";
import { processesRunning } from "./listening.ts";
import type {
  ApplicationFact,
  BackendFact,
  DoctorOptions,
  Facts,
  Finding,
  Identity,
  TrialFact,
  WebServerFact,
} from "./model.ts";
import { readProgram } from "./program-file.ts";
import { findWebServers } from "./servers/index.ts";

/** What web servers give to the programs they start, when nothing better is known. */
export const BARE_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Gathers. Never fails for what it finds: that is a finding. */
export async function gatherFacts(options: DoctorOptions, signal: AbortSignal): Promise<Facts> {
  const problems: Finding[] = [];
  const all = await findWebServers(options, signal).catch((error: unknown) => {
    problems.push({
      id: "web-server.unknown",
      verdict: "unknown",
      says: "the web servers of this machine could not be found out",
      evidence: [oneLine(error)],
      remedy: [],
    });
    return [];
  });
  const found = options.url === undefined ? all : ofUrl(all, options.url);
  const pool = await poolOf(options, problems);
  const application = await applicationOf(options, pool, found, problems);
  const webServers = ofApplication(found, application, options);
  const trial = application === undefined ? undefined : await trialOf(application, options, pool, webServers);
  return {
    ...(application !== undefined && { application }),
    ...(trial !== undefined && { trial }),
    ...(options.connect !== undefined && { connect: options.connect }),
    ...(options.url !== undefined && { url: options.url }),
    webServers,
    problems,
    options,
  };
}

/** What Postern's own settings say; a mistake in them is the cause of everything else. */
async function poolOf(options: DoctorOptions, problems: Finding[]): Promise<PoolSettings | undefined> {
  const folder = options.folder ?? options.cwd;
  try {
    const file =
      options.config ?? (options.application === undefined ? findConfigurationFile(folder) : undefined);
    if (file === undefined) return undefined;
    const { configuration } = await loadConfiguration({
      file,
      flags: {},
      cwd: folder,
      env: { ...options.environment },
      uid: process.getuid?.() ?? 0,
      cores: availableParallelism(),
    });
    const wanted = options.application === undefined ? undefined : resolve(options.cwd, options.application);
    const fits = configuration.pools.filter(
      ({ program }) => wanted === undefined || (program.kind === "app" && program.file === wanted),
    );
    return fits[0] ?? configuration.pools[0];
  } catch (error) {
    const isOurs = error instanceof PosternError;
    problems.push({
      id: "program.settings",
      verdict: "bad",
      says: "Postern refuses its own settings, so nothing starts",
      evidence: (isOurs ? error.message : oneLine(error)).split("\n"),
      remedy: [{ advice: "mend what it names; postern config show says when all is well" }],
    });
    return undefined;
  }
}

async function applicationOf(
  options: DoctorOptions,
  pool: PoolSettings | undefined,
  webServers: readonly WebServerFact[],
  problems: Finding[],
): Promise<ApplicationFact | undefined> {
  const spawned = webServers.flatMap((server) =>
    server.backends.flatMap((backend) => (backend.program === undefined ? [] : [{ server, backend }])),
  );
  const file = options.application ?? fileOf(pool) ?? onlyProgram(spawned.map(({ backend }) => backend));
  if (file === undefined) return undefined;
  const named = resolve(options.cwd, file);
  const isPython = isPythonApp(named);
  const path = isPython ? (pythonSource(named) ?? missingSource(named)) : named;
  // A web server of which nothing else is known starts what is called so.
  const likely = /\.f?cgi$/.test(path) ? webServers.find(({ user }) => user !== undefined) : undefined;
  const starter = spawned.find(
    ({ backend }) => resolve("/", backend.program!) === path || backend.program === file,
  );
  const processes = processesRunning(named);
  const user = await userOf(options, pool, starter?.server ?? likely, processes[0]?.uid, problems);
  const ofProcesses = processes.flatMap(({ listens, uid }) => servedAt(listens, uid));
  return {
    file,
    path,
    ...(isPython && { python: named }),
    folder: options.folder ?? pool?.chdir ?? dirname(named),
    listens: pool?.bind.length ? pool.bind : distinct(ofProcesses),
    ...(user !== undefined && { user }),
    ...(starter !== undefined && { spawnedAt: starter.backend.place }),
    ...(pool?.base !== undefined && { base: pool.base }),
    ...(pool !== undefined &&
      pool.requestTerminateTimeoutMs > 0 && { timeoutSeconds: pool.requestTerminateTimeoutMs / 1000 }),
    processes,
  };
}

/** `PID.COUNT` in `FcgidIPCDir`. */
const OF_FCGID = /^\d+\.\d+$/;

/** Not the control socket of a manager, which speaks HTTP, nor the one by which mod_fcgid reaches what it has started. */
function servedAt(listens: readonly Address[], uid: number): Address[] {
  const folders = [runFolder(process.env, uid), runFolder({}, uid)];
  return listens.filter(
    (one) =>
      one.kind !== "unix" || !(folders.includes(dirname(one.path)) || OF_FCGID.test(basename(one.path))),
  );
}

/** Workers have the sockets of their manager. */
function distinct(addresses: readonly Address[]): Address[] {
  return [...new Map(addresses.map((one) => [printAddress(one), one])).values()];
}

/** Where a module of Python would be. */
function missingSource(named: string): string {
  const [module = ""] = basename(named).split(":");
  return /\.(?:py|wsgi|fcgi)$/.test(module)
    ? join(dirname(named), module)
    : `${join(dirname(named), ...module.split("."))}.py`;
}

function fileOf(pool: PoolSettings | undefined): string | undefined {
  if (pool === undefined) return undefined;
  return pool.program.kind === "app" ? pool.program.file : pool.program.command[0];
}

/** What a configuration starts, when that is one program. */
function onlyProgram(backends: readonly BackendFact[]): string | undefined {
  const programs = new Set(backends.map(({ program }) => program));
  return programs.size === 1 ? [...programs][0] : undefined;
}

/** Who runs it. */
async function userOf(
  options: DoctorOptions,
  pool: PoolSettings | undefined,
  starter: WebServerFact | undefined,
  uid: number | undefined,
  problems: Finding[],
): Promise<Identity | undefined> {
  const named = options.user ?? (starter?.user === undefined ? (pool?.user ?? uid) : undefined);
  if (named === undefined) return starter?.user;
  try {
    return await identityOf(named);
  } catch (error) {
    problems.push({
      id: "program.no-user",
      verdict: "bad",
      says: `there is no user ${named} on this machine`,
      evidence: [oneLine(error)],
      remedy: [{ advice: "name a user of /etc/passwd, or make this one (adduser)" }],
    });
    return undefined;
  }
}

async function trialOf(
  application: ApplicationFact,
  options: DoctorOptions,
  pool: PoolSettings | undefined,
  webServers: readonly WebServerFact[],
): Promise<TrialFact | undefined> {
  const wasNamed = options.application !== undefined;
  if (!(options.run ?? wasNamed) || application.path === undefined) return undefined;
  if (statSync(application.path, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  const notes: string[] = [];
  const starter = webServers.find(({ backends }) =>
    backends.some(({ place }) => place === application.spawnedAt),
  );
  const backend = starter?.backends.find(({ place }) => place === application.spawnedAt);
  const given = backend?.environment ?? starter?.environment;
  if (given !== undefined && starter !== undefined)
    notes.push(`with the environment that ${starter.server} gives`);
  else notes.push(`with PATH=${BARE_PATH} and nothing else of this shell's environment`);
  const own = await ownIdentity();
  const user = application.user;
  if (user === undefined || user.uid === own.uid) notes.push(`as ${own.name}`);
  else if (own.uid === 0) notes.push(`as ${user.name}`);
  else notes.push(`as ${own.name}, who asks: only root can run it as ${user.name}`);
  return {
    command: commandOf(application, options, pool),
    folder: application.folder,
    environment: { PATH: BARE_PATH, ...given, ...fileVariables(pool), ...pool?.env },
    ...(user !== undefined && own.uid === 0 && user.uid !== 0 && { user }),
    notes,
  };
}

/** A program starts by itself; what only exports an application is served. */
function commandOf(
  { path = "", spawnedAt, python }: ApplicationFact,
  options: DoctorOptions,
  pool: PoolSettings | undefined,
): readonly string[] {
  if (pool?.program.kind === "command" && pool.program.command[0] === path) return pool.program.command;
  const [node = process.execPath] = options.postern;
  if (python !== undefined && spawnedAt === undefined && !path.endsWith(".fcgi")) {
    const chosen = pool?.python === undefined ? [] : ["--python", pool.python];
    return [...options.postern, "serve", python, ...chosen];
  }
  try {
    const program = readProgram(path);
    const isExecutable = (program.mode & 0o111) !== 0;
    const startsItself = !program.isJavaScript || (program.shebang !== undefined && isExecutable);
    if (spawnedAt !== undefined || startsItself || path.endsWith(".fcgi")) return [path];
    const nodeArgs = pool?.nodeArgs ?? [];
    return program.servesItself
      ? [node, ...nodeArgs, path]
      : [node, ...nodeArgs, ...options.postern.slice(1), "serve", path];
  } catch {
    return [path];
  }
}

/** The variables of the settings' envFile, in their plain forms. */
function fileVariables(pool: PoolSettings | undefined): Record<string, string> {
  return Object.assign(
    {},
    ...(pool?.envFile ?? []).map((file) => variablesOf(resolve(pool!.chdir, file))),
  ) as Record<string, string>;
}

/** `NAME=value` lines of a file; none when it cannot be read. */
export function variablesOf(file: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  const found: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) found[name] = value.replace(/^(["'])(.*)\1$/, "$2");
  }
  return found;
}

/** The file of variables that people keep beside an application. */
export function envFileOf({ folder }: Pick<ApplicationFact, "folder">): string {
  return join(folder, ".env");
}

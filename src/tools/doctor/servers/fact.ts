/** One web server as a fact: its configuration, and the process that runs with it, when there is one. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { oneLine } from "../../../base/text.ts";
import { findGroup } from "../../../server/accounts.ts";
import type { WebServerName } from "../../../sites/model.ts";
import { readConfiguration } from "../../../sites/reading.ts";
import { NOTHING_SAID, type Reading, type SaidBackend } from "../../../sites/reading-model.ts";
import { identityOf, userName } from "../identity.ts";
import type { BackendFact, Identity, MasterFact, SourceLine, WebServerFact } from "../model.ts";
import { type CommandLine, checkCommand } from "./command-line.ts";
import { type ConfigurationFound, readFiles } from "./configuration.ts";
import { hiddenFrom } from "./hidden.ts";
import { htaccessOf, programsOf } from "./htaccess.ts";
import { environmentOf, linkOf, type RunningServer, type ServerProcess } from "./processes.ts";
import { below } from "./source-text.ts";
import { hiddenByUnit, reloadOf, restartOf, unitOf } from "./systemd.ts";

export interface Known {
  readonly server: WebServerName;
  readonly program: readonly string[] | undefined;
  readonly version: string | undefined;
  readonly line: CommandLine;
  readonly files: readonly string[];
  readonly running: RunningServer | undefined;
}

export async function factOf(known: Known, signal: AbortSignal): Promise<WebServerFact> {
  const { server, program, version, line, files, running } = known;
  const master = running?.master;
  const started = master === undefined ? undefined : environmentOf(master.pid);
  const disk = { root: master === undefined ? "" : diskOf(master.pid) };
  const found = readFiles({ server, files, prefix: line.prefix, environment: started, disk });
  const { reading, problem } = readingOf(server, found);
  const source = found.source;
  const place = (at: number): string => placeOf(source?.lines ?? [], at, files[0] ?? "");
  const unit = master === undefined ? undefined : unitOf(master.pid);
  const folder = server === "nginx" ? (line.prefix ?? "/usr/share/nginx") : found.folder;
  const environment = general(server, started);
  const htaccess = server === "apache" && source !== undefined ? htaccessOf(source.text, disk) : undefined;
  const backends = [
    ...reading.backends.map((one) =>
      backendOf(one, server, reading.chroot, place, environment, found.folder),
    ),
    ...programsOf(source?.text ?? "", htaccess ?? [], disk).map((one) =>
      backendOf(one, server, undefined, (at) => `${one.file}:${at}`, environment, found.folder),
    ),
  ];
  const spawned = backends.find((one) => one.program !== undefined)?.environment;
  const user = await userOf(running, reading.user, () => userBy(reading, server, started));
  const command = [...(program ?? [server]), ...(master?.args ?? [])];
  const hidden = master === undefined ? await hiddenByUnit(server, signal) : hiddenFrom(master.pid);
  const reload = reloadOf(server, running, unit, source?.text ?? "", files[0]);
  const restart = restartOf(unit);
  const check =
    program === undefined ? undefined : checkCommand(server, program, keptOf(server, line, files));
  const said = [
    ...reading.errorLogs.map(({ path }) => below(folder, path)),
    ...(line.errorLog === undefined ? [] : [line.errorLog]),
  ];
  return {
    server,
    ...(version === undefined ? {} : { version }),
    ...(program === undefined ? {} : { binary: program.at(-1) as string }),
    files: source?.files ?? files,
    ...(source === undefined ? {} : { text: source.text, lines: source.lines }),
    ...(problem === undefined ? {} : { problem }),
    running: running !== undefined,
    ...(user === undefined ? {} : { user }),
    ...(spawned === undefined && environment === undefined
      ? {}
      : { environment: spawned ?? environment ?? {} }),
    hidden,
    errorLogs: [
      ...new Set([
        ...said,
        ...(said.length > 0 ? [] : defaultLogs(server, found.folder)),
        ...outputOf(master),
      ]),
    ],
    backends,
    listens: reading.listens.map(({ host, port, isTls, names, line: at }) => ({
      host,
      port,
      isTls,
      names,
      place: place(at),
    })),
    ...(reading.chroot === undefined ? {} : { chroot: reading.chroot }),
    ...(master === undefined ? {} : { master: masterOf(running as RunningServer, command) }),
    ...(reload === undefined ? {} : { reload }),
    ...(restart === undefined ? {} : { restart }),
    ...(check === undefined ? {} : { check }),
    ...(unit === undefined ? {} : { unit }),
    ...(htaccess === undefined ? {} : { htaccess }),
  };
}

/** Files of a process are read where it sees them, if we may. */
function diskOf(pid: number): string {
  const theirs = linkOf(`/proc/${pid}/ns/mnt`);
  if (theirs === undefined || theirs === linkOf("/proc/self/ns/mnt")) return "";
  return existsSync(`/proc/${pid}/root/etc`) ? `/proc/${pid}/root` : "";
}

function readingOf(
  server: WebServerName,
  found: ConfigurationFound,
): { reading: Reading; problem: string | undefined } {
  if (found.source === undefined) return { reading: NOTHING_SAID, problem: found.problem };
  try {
    return { reading: readConfiguration(server, found.source.text), problem: undefined };
  } catch (error) {
    return {
      reading: NOTHING_SAID,
      problem: mapped(oneLine(error instanceof Error ? error.message : error), found.source.lines),
    };
  }
}

/** `line 12:` of the whole text as the place in its file. */
function mapped(message: string, lines: readonly SourceLine[]): string {
  return message.replace(/^line (\d+):/, (_, at: string) => `${placeOf(lines, Number(at), "line")}:`);
}

/** `file:line`. */
function placeOf(lines: readonly SourceLine[], at: number, otherwise: string): string {
  const line = lines[at - 1];
  return line === undefined ? otherwise : `${line.file}:${line.line}`;
}

function backendOf(
  said: SaidBackend,
  server: WebServerName,
  chroot: string | undefined,
  place: (at: number) => string,
  environment: Readonly<Record<string, string>> | undefined,
  folder: string,
): BackendFact {
  const { address, program, timeout, bodyLimit, url, pattern, block, site } = said;
  // Where it is found in the end; as it is written when there is no such file.
  const inside = address?.kind === "unix" && chroot !== undefined ? join(chroot, address.path) : undefined;
  return {
    ...(address === undefined
      ? {}
      : {
          address:
            inside !== undefined && existsSync(inside) ? { kind: "unix" as const, path: inside } : address,
        }),
    // Apache's is relative to ServerRoot; lighttpd's to where it was started, which nobody can rely on.
    ...(program === undefined ? {} : { program: server === "apache" ? below(folder, program) : program }),
    place: place(said.line),
    ...(timeout === undefined ? {} : { timeout }),
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
    ...(program === undefined ? {} : { environment: environmentFor(said, server, environment) }),
    ...(url === undefined ? {} : { path: url }),
    ...(pattern === undefined ? {} : { pattern }),
    ...(block === undefined ? {} : { block }),
    ...(site === undefined ? {} : { site }),
  };
}

/** What programs of this server get before it adds its own. */
function general(
  server: WebServerName,
  started: Readonly<Record<string, string>> | undefined,
): Record<string, string> | undefined {
  if (started === undefined) return undefined;
  // mod_fcgid passes nothing on but where programs are found.
  if (server === "apache") return started["PATH"] === undefined ? {} : { PATH: started["PATH"] };
  return { ...started };
}

/** What systemd gives to services when it is not told otherwise. */
const SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function environmentFor(
  { environment: own, copied }: SaidBackend,
  server: WebServerName,
  of: Readonly<Record<string, string>> = { PATH: SERVICE_PATH },
): Record<string, string> {
  if (server === "cherokee") return { ...own };
  const passed =
    copied === undefined
      ? of
      : Object.fromEntries(Object.entries(of).filter(([name]) => copied.includes(name)));
  return { ...passed, ...own };
}

/** Users whom the packages of a server bring along; the first that there is. */
const USERS: Readonly<Record<WebServerName, readonly string[]>> = {
  nginx: ["www-data", "nginx", "nobody"],
  apache: ["www-data", "apache", "nobody"],
  lighttpd: ["www-data", "lighttpd"],
  caddy: ["caddy", "www-data"],
  haproxy: ["haproxy"],
  h2o: ["h2o", "nobody"],
  cherokee: ["www-data", "cherokee"],
};

/** Of a server that does not run: by its configuration. */
async function userBy(
  { user, group }: Reading,
  server: WebServerName,
  started: Readonly<Record<string, string>> | undefined,
): Promise<Identity | undefined> {
  const named = user?.replace(/^#/, "") ?? started?.["APACHE_RUN_USER"];
  for (const name of named === undefined ? USERS[server] : [named]) {
    try {
      const found = await identityOf(name);
      if (group === undefined) return found;
      const gid = findGroup(group.replace(/^#/, ""));
      return { ...found, gids: [...new Set([gid, ...found.gids])] };
    } catch {
      // There is no such user here, or no such group.
    }
  }
  return undefined;
}

/** Of a worker that is not on its way out; of the process itself where there is none. */
async function userOf(
  running: RunningServer | undefined,
  named: string | undefined,
  configured: () => Promise<Identity | undefined>,
): Promise<Identity | undefined> {
  if (running === undefined) return await configured();
  const { master, workers } = running;
  const { uid, gids } = workers.find((one) => !one.isLeaving && one.uid !== 0) ?? workers[0] ?? master;
  // A worker that has just been made is still root.
  const other = uid === 0 && named !== undefined ? await configured() : undefined;
  return other ?? { name: userName(uid), uid, gids };
}

function masterOf({ master, workers }: RunningServer, command: readonly string[]): MasterFact {
  const staying = workers.filter((one) => !one.isLeaving).map((one) => one.startedAt);
  const showsIt = master.server === "nginx" || master.server === "apache" || master.server === "haproxy";
  const loadedAt = showsIt && staying.length > 0 ? Math.min(...staying) : undefined;
  return { pid: master.pid, command, startedAt: master.startedAt, loadedAt };
}

/** The arguments that name the configuration, also where it was found without being named. */
function keptOf(
  server: WebServerName,
  line: CommandLine,
  files: readonly string[],
): Pick<CommandLine, "kept"> {
  if (line.files.length > 0 || files[0] === undefined) return line;
  switch (server) {
    case "nginx":
    case "h2o":
      return { kept: ["-c", files[0], ...line.kept] };
    case "apache":
    case "lighttpd":
    case "haproxy":
      return { kept: ["-f", files[0], ...line.kept] };
    case "caddy":
      return {
        kept: ["--config", files[0], ...(/Caddyfile/.test(files[0]) ? ["--adapter", "caddyfile"] : [])],
      };
    case "cherokee":
      return line;
  }
}

function defaultLogs(server: WebServerName, folder: string): string[] {
  const logs: Readonly<Record<WebServerName, readonly string[]>> = {
    nginx: ["/var/log/nginx/error.log"],
    apache: ["/var/log/apache2/error.log", "/var/log/httpd/error_log", join(folder, "logs/error_log")],
    lighttpd: ["/var/log/lighttpd/error.log"],
    caddy: [],
    haproxy: ["/var/log/haproxy.log"],
    h2o: ["/var/log/h2o/error-log", "/var/log/h2o/error.log"],
    cherokee: ["/var/log/cherokee/cherokee.error"],
  };
  return logs[server].filter((file) => existsSync(file));
}

/** The file that a process writes its standard error to. */
function outputOf(master: ServerProcess | undefined): string[] {
  if (master === undefined) return [];
  const path = linkOf(`/proc/${master.pid}/fd/2`);
  if (path?.startsWith("/") !== true || path.startsWith("/dev/")) return [];
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? [path] : [];
}

/** For a message: `nginx (pid 12, /etc/nginx/nginx.conf)`. */
export function nameOf({ server, master, files }: WebServerFact): string {
  const parts = [...(master === undefined ? [] : [`pid ${master.pid}`]), ...files.slice(0, 1)];
  return parts.length === 0 ? server : `${server} (${parts.join(", ")})`;
}

/** The folder that a process is in. */
export function folderOfProcess(pid: number): string {
  return linkOf(`/proc/${pid}/cwd`) ?? "/";
}

/**
 * The web servers of this machine, or those that were named: installed, running, with their configurations. Reads
 * files and /proc, and asks programs for their version; changes nothing.
 */
import { existsSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { WEB_SERVERS, type WebServerName } from "../../../sites/model.ts";
import type { DoctorOptions, WebServerFact } from "../model.ts";
import { type CommandLine, defaultFiles, readCommandLine } from "./command-line.ts";
import { findProgram, PROGRAMS, versionOf } from "./commands.ts";
import { factOf, folderOfProcess } from "./fact.ts";
import { contentOf, type RunningServer, runningServers } from "./processes.ts";

export { nameOf } from "./fact.ts";

const NO_ARGUMENTS: CommandLine = { files: [], prefix: undefined, errorLog: undefined, kept: [] };

/**
 * Those that run first. With `configFile`: what runs with that file, or the file alone; without: all that run, and the
 * configuration of those that are installed and do not.
 */
export async function findWebServers(
  options: Pick<DoctorOptions, "server" | "configFile" | "environment">,
  signal: AbortSignal,
): Promise<readonly WebServerFact[]> {
  const { configFile } = options;
  const server = options.server ?? (configFile === undefined ? undefined : serverOfFile(configFile));
  const wanted = server === undefined ? [...WEB_SERVERS] : [server];
  const running = runningServers()
    .filter(({ master }) => wanted.includes(master.server))
    .map((one) => ({ one, line: lineOf(one) }))
    .filter(
      ({ one, line }) =>
        configFile === undefined || filesOf(one.master.server, line).some((file) => isSame(file, configFile)),
    );
  const facts: WebServerFact[] = [];
  for (const { one, line } of running) {
    const { server: name, program } = one.master;
    const version = await versionOf(name, program, signal);
    facts.push(
      await factOf(
        { server: name, program, version, line, files: filesOf(name, line), running: one },
        signal,
      ),
    );
  }
  for (const name of wanted) {
    if (facts.some((fact) => fact.server === name)) continue;
    const binary = findProgram(name, options.environment);
    const file =
      configFile ?? (binary === undefined ? undefined : defaultFiles(name).find((one) => existsSync(one)));
    if (file === undefined || (configFile !== undefined && server === undefined)) continue;
    const program = binary === undefined ? undefined : [binary];
    const version = program === undefined ? undefined : await versionOf(name, program, signal);
    const line = lineFor(name, file);
    facts.push(
      await factOf({ server: name, program, version, line, files: [file], running: undefined }, signal),
    );
  }
  return facts;
}

/** A configuration that is not where nginx looks by itself has its relative paths beside it, as far as can be told. */
function lineFor(server: WebServerName, file: string): CommandLine {
  if (server !== "nginx" || defaultFiles(server).includes(file)) return NO_ARGUMENTS;
  const folder = dirname(file);
  return {
    files: [file],
    prefix: folder,
    errorLog: undefined,
    kept: ["-p", folder, "-c", file, "-e", "stderr"],
  };
}

function lineOf({ master }: RunningServer): CommandLine {
  return readCommandLine(master.server, master.args, folderOfProcess(master.pid));
}

function filesOf(server: WebServerName, line: CommandLine): readonly string[] {
  if (line.files.length > 0) return line.files;
  const file = defaultFiles(server).find((one) => existsSync(one));
  return file === undefined ? [] : [file];
}

function isSame(one: string, other: string): boolean {
  try {
    return one === other || realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

/** By the name of the file, its folder, or what is in it. */
export function serverOfFile(file: string): WebServerName | undefined {
  const name = basename(file);
  const text = contentOf(file).slice(0, 64 * 1024);
  const made = /^\W*Made by: postern config (\w+)/m.exec(text)?.[1];
  const words = `${file} `.toLowerCase();
  return (
    WEB_SERVERS.find((one) => one === made) ??
    WEB_SERVERS.find((one) => PROGRAMS[one].test(name.replace(/\.(?:conf|cfg)$/, ""))) ??
    WEB_SERVERS.find((one) => words.includes(one === "apache" ? "apache" : one)) ??
    (/httpd|\.htaccess/.test(words) ? "apache" : undefined) ??
    CONTENTS.find(([, pattern]) => pattern.test(text))?.[0]
  );
}

const CONTENTS: readonly (readonly [WebServerName, RegExp])[] = [
  ["apache", /^\s*(?:<VirtualHost|LoadModule|ProxyPass|ServerRoot|RewriteEngine)\b/im],
  ["lighttpd", /^\s*(?:server\.(?:modules|port|document-root)|fastcgi\.server)\b/m],
  ["cherokee", /^vserver!\d+/m],
  ["haproxy", /^(?:frontend|backend|fcgi-app|listen) \S+\s*$/m],
  ["h2o", /^(?:hosts|listen):/m],
  ["caddy", /^\s*(?:reverse_proxy|php_fastcgi|transport fastcgi)\b/m],
  ["nginx", /^\s*(?:server|http|events|location\s.*)\s*\{/m],
];

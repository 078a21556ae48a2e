/** What several kinds of service files have in common: paths, arguments, the head line, pieces of shell scripts. */
import { parseAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { clip } from "../base/text.ts";
import type { ServiceModel } from "./model.ts";
import { checked, checkedVariable, shWord } from "./quoting.ts";

/** Exit codes that a restart does not mend: a wrong setting, an application that cannot be loaded. */
export const HOPELESS_EXIT_CODES: readonly number[] = [2, 4];

/** Between the end of the drain and the kill. */
const KILL_AFTER_DRAIN_SECONDS = 15;

/** How long a service may take to stop. */
export function stopSeconds({ drainTimeoutSeconds }: ServiceModel): number {
  return Math.ceil(drainTimeoutSeconds) + KILL_AFTER_DRAIN_SECONDS;
}

function controlSocketOf({ runtimeDirectory }: ServiceModel): string {
  return `${runtimeDirectory}/control.sock`;
}

export function pidFileOf({ runtimeDirectory, name }: ServiceModel): string {
  return `${runtimeDirectory}/${name}.pid`;
}

/** A log that neither a service manager nor a terminal keeps. */
export function logFileOf({ logDirectory, name }: ServiceModel): string {
  return `${logDirectory}/${name}.log`;
}

/** The arguments after the script: the model's, those by which the manager is found again, and more. */
export function managerArguments(model: ServiceModel, ...more: readonly string[]): string[] {
  return [...model.arguments, "--name", model.name, "--control-socket", controlSocketOf(model), ...more];
}

/** The arguments of a command to the running manager. */
export function controlArguments(model: ServiceModel, ...command: readonly string[]): string[] {
  return [...command, "--control", controlSocketOf(model)];
}

export function madeBy(model: ServiceModel, kind: string): string {
  return `# ${checked("description", model.description)}. Made by: postern init ${kind}`;
}

/** @throws {SettingError} when the name cannot be part of a file name, a unit and a screen session */
export function checkModel(model: ServiceModel): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(model.name)) {
    throw refused(
      `--name ${clip(JSON.stringify(model.name), 60)}: a name is of at most 40 letters, digits, "_", "-" and ".", and begins with a letter or digit`,
    );
  }
  for (const [what, path] of Object.entries(pathsOf(model))) {
    if (!path.startsWith("/")) throw refused(`${what}: ${JSON.stringify(path)} is not an absolute path`);
  }
  for (const [what, who] of [
    ["user", model.user],
    ["group", model.group],
  ] as const) {
    if (!/^[\p{L}\p{N}_.][\p{L}\p{N}_.@-]*\$?$/u.test(who)) {
      throw refused(`${what}: ${JSON.stringify(who)} is not the name of a ${what}`);
    }
  }
  if (!(model.drainTimeoutSeconds >= 0 && model.drainTimeoutSeconds <= 86_400)) {
    throw refused(`drain time-out: ${model.drainTimeoutSeconds} is not a number of seconds up to 86400`);
  }
}

function pathsOf(model: ServiceModel): Record<string, string> {
  const { node, postern, workingDirectory, runtimeDirectory, logDirectory } = model;
  return {
    node,
    postern,
    "working directory": workingDirectory,
    "runtime directory": runtimeDirectory,
    "log directory": logDirectory,
  };
}

/** @throws {SettingError} where the service manager opens no sockets */
export function withoutSockets(model: ServiceModel, kind: string): void {
  if (model.sockets.length === 0) return;
  throw refused(`${kind} opens no sockets for a service: let Postern listen, with --bind`);
}

/** The path of a unix socket's address; undefined for another. */
export function unixPath(address: string): string | undefined {
  const parsed = parseAddress(address, "--bind");
  return parsed.kind === "unix" ? parsed.path : undefined;
}

/** The address of a socket that the service manager opens: a path, or host and port. @throws {SettingError} */
export function passedAddress(address: string): { path: string } | { host: string; port: number } {
  const parsed = parseAddress(address, "--bind");
  if (parsed.kind === "unix") return { path: parsed.path };
  if (parsed.kind === "tcp" && parsed.host !== "") return { host: parsed.host, port: parsed.port };
  throw refused(`--bind ${address}: a socket that is passed to Postern is unix:/path or host:port`);
}

/** The value of every `--bind` among the arguments. */
export function bindsOf(model: ServiceModel): string[] {
  return model.arguments.flatMap((word, at) => (model.arguments[at - 1] === "--bind" ? [word] : []));
}

export function refused(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

/** Words of a shell command, quoted, on lines of their own from the second flag on. */
export function shLines(words: readonly string[], indent: string): string {
  const quoted = words.map((word) => shWord("argument", word));
  return quoted
    .map((word, at) => (at === 0 ? word : words[at]?.startsWith("--") ? ` \\\n${indent}${word}` : ` ${word}`))
    .join("");
}

/** `export NAME='value'` for each. */
export function shEnvironment(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(
      ([name, value]) => `export ${checkedVariable(name)}=${shWord(`environment variable ${name}`, value)}\n`,
    )
    .join("");
}

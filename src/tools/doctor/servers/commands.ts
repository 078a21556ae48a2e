/** The programs of web servers: where they are, and what they print when they are asked. Only flags that read. */
import { spawn } from "node:child_process";
import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { WebServerName } from "../../../sites/model.ts";
import { deadline } from "../deadline.ts";

/** What came of a command. */
export interface Printed {
  /** Both streams, in the order in which they came. */
  readonly text: string;
  /** Undefined: it was ended, or could not be started. */
  readonly code: number | undefined;
}

const DEADLINE_MS = 5000;
const MOST_CHARACTERS = 256 * 1024;

/** Runs a command to its end: without a shell, without input, never longer than a few seconds. */
export function runs(
  command: readonly string[],
  signal: AbortSignal,
  { environment = {} }: { readonly environment?: Readonly<Record<string, string>> | undefined } = {},
): Promise<Printed> {
  const [program = "", ...args] = command;
  return new Promise((resolve) => {
    let text = "";
    const child = spawn(program, args, {
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: SEARCHED.join(delimiter), ...environment, LC_ALL: "C" },
      signal: deadline(DEADLINE_MS, signal),
      killSignal: "SIGKILL",
    });
    const more = (piece: string): void => {
      if (text.length < MOST_CHARACTERS) text += piece;
    };
    child.stdout.setEncoding("utf8").on("data", more);
    child.stderr.setEncoding("utf8").on("data", more);
    child.on("error", (error) => {
      if (child.pid === undefined) resolve({ text: error.message, code: undefined });
    });
    child.on("close", (code) => resolve({ text: text.slice(0, MOST_CHARACTERS), code: code ?? undefined }));
  });
}

/** Names of each server's program. */
export const PROGRAMS: Readonly<Record<WebServerName, RegExp>> = {
  nginx: /^nginx$/,
  apache: /^(?:apache2|httpd)$/,
  lighttpd: /^lighttpd$/,
  caddy: /^caddy$/,
  haproxy: /^haproxy$/,
  h2o: /^h2o$/,
  cherokee: /^cherokee(?:-worker)?$/,
};

/** Servers live in sbin, which is not on every user's PATH. */
const SEARCHED = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The program of a server that is installed. */
export function findProgram(
  server: WebServerName,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const folders = [...(environment["PATH"] ?? "").split(delimiter), ...SEARCHED];
  for (const folder of new Set(folders.filter((one) => one.startsWith("/")))) {
    const found = namesIn(folder).find(
      (name) => PROGRAMS[server].test(name) && isExecutable(join(folder, name)),
    );
    if (found !== undefined) return join(folder, found);
  }
  return undefined;
}

/** Arguments that make it print its version, and where in that the version is. */
const VERSIONS: Readonly<Record<WebServerName, readonly [argument: string, pattern: RegExp]>> = {
  nginx: ["-v", /nginx\/(\S+)/],
  apache: ["-v", /Apache\/(\S+)/],
  lighttpd: ["-v", /lighttpd\/(\S+)/],
  // It may warn of a missing HOME first.
  caddy: ["version", /^v?(\d+\.\d+\S*)/m],
  haproxy: ["-v", /version (\S+)/],
  h2o: ["--version", /version (\S+)/],
  cherokee: ["-V", /(\d+\.\d+\S*)/],
};

export async function versionOf(
  server: WebServerName,
  program: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const [argument, pattern] = VERSIONS[server];
  const { text } = await runs([...program, argument], signal);
  return pattern.exec(text)?.[1];
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Which foreign servers are on this machine. The list is the one that `npm test` installs from. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, it } from "vitest";
import { notice } from "../notice.ts";
import { repositoryRoot } from "../paths.ts";

export type ServerName =
  | "nginx"
  | "apache"
  | "apache-xsendfile"
  | "apache-fcgid"
  | "lighttpd"
  | "lighttpd-openssl"
  | "caddy"
  | "haproxy"
  | "h2o"
  | "php-fpm"
  | "cgi-fcgi"
  | "spawn-fcgi"
  | "multiwatch"
  | "curl"
  | "supervisor"
  | "runit"
  | "screen"
  | "systemd"
  | "perl"
  | "php-cgi"
  | "libfcgi-perl"
  | "gcc"
  | "libc6-dev"
  | "libfcgi-dev"
  | "python"
  | "gunicorn"
  | "uwsgi"
  | "uwsgi-python"
  | "flask"
  | "django"
  | "bottle"
  | "chromium";

interface Entry {
  readonly name: ServerName;
  readonly package: string;
  /** A regular expression for the program's whole name. A library has none. */
  readonly program?: string;
  /** Of a library: a command that succeeds where it is installed. */
  readonly check?: readonly string[];
}

const LIST = join(repositoryRoot, "scripts", "web-servers.json");

function entryOf(name: ServerName): Entry {
  const entry = (JSON.parse(readFileSync(LIST, "utf8")) as Entry[]).find((one) => one.name === name);
  if (!entry) throw new Error(`${name} is not in ${LIST}`);
  return entry;
}

/** The full path of a server's program; undefined when it is not installed. */
export function findProgram(name: ServerName): string | undefined {
  const { program } = entryOf(name);
  if (program === undefined) return undefined;
  const wanted = new RegExp(`^(${program})$`);
  // Servers live in sbin, which is not on every user's PATH.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  for (const folder of folders) {
    const found = existsSync(folder) ? readdirSync(folder).find((entry) => wanted.test(entry)) : undefined;
    if (found) return join(folder, found);
  }
  return undefined;
}

/** @throws when the program is not installed: use {@link describeWithServer}. */
export function programOf(name: ServerName): string {
  const program = findProgram(name);
  if (!program) throw new Error(`${name} is not installed (package ${entryOf(name).package})`);
  return program;
}

export function isAvailable(name: ServerName): boolean {
  const [command, ...args] = entryOf(name).check ?? [];
  if (command === undefined) return findProgram(name) !== undefined;
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/**
 * `describe` for tests that need servers: one, or several. When one is not installed, they are skipped with one
 * printed line, or fail with CI set.
 */
export function describeWithServer(
  servers: ServerName | readonly ServerName[],
  title: string,
  tests: () => void,
): void {
  const missing = [servers].flat().filter((name) => !isAvailable(name));
  if (missing.length === 0) {
    describe(title, tests);
    return;
  }
  const why = `not installed: ${missing.map((name) => entryOf(name).package).join(", ")}`;
  if (process.env["CI"]) {
    it(title, () => {
      throw new Error(why);
    });
    return;
  }
  notice(`skipped "${title}": ${why}`);
  describe.skip(title, tests);
}

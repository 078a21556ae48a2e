/**
 * The newest web servers, which scripts/current-servers.mjs has unpacked into a folder: they are run with the libraries
 * they came with, by the dynamic linker they came with, so that nothing of this machine's is mixed in and nothing has
 * to be mounted or installed.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "vitest";
import { notice } from "../notice.ts";

const PROGRAMS = {
  nginx: "usr/sbin/nginx",
  lighttpd: "usr/sbin/lighttpd",
  haproxy: "usr/sbin/haproxy",
  caddy: "usr/bin/caddy",
} as const;

export type CurrentName = keyof typeof PROGRAMS;

/** A command: the program to start, and arguments that come before those of the server. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

/** As in scripts/current-servers.mjs. */
export function currentFolder(): string {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(cache, "postern-tests", `current-servers-${process.arch}`);
}

/** How to run a current server; undefined when there is none. Files of its package are below {@link currentFolder}. */
export function findCurrent(name: CurrentName): Command | undefined {
  const program = join(currentFolder(), PROGRAMS[name]);
  const linker = findLinker();
  if (linker === undefined || !existsSync(program)) return undefined;
  return { program: linker, args: ["--library-path", dirname(linker), program] };
}

/** @throws when it is not there: use {@link describeWithCurrent}. */
export function currentCommand(name: CurrentName): Command {
  const command = findCurrent(name);
  if (command === undefined) throw new Error(`no current ${name}: node scripts/current-servers.mjs`);
  return command;
}

function findLinker(): string | undefined {
  const libraries = join(currentFolder(), "usr", "lib");
  if (!existsSync(libraries)) return undefined;
  for (const folder of readdirSync(libraries)) {
    if (!/-linux-gnu/.test(folder)) continue;
    const linker = readdirSync(join(libraries, folder)).find((name) => /^ld-linux.*\.so\.\d$/.test(name));
    if (linker !== undefined) return join(libraries, folder, linker);
  }
  return undefined;
}

/** `describe` for tests that need a current server: skipped with one printed line, or failing with CI set. */
export function describeWithCurrent(name: CurrentName, title: string, tests: () => void): void {
  if (findCurrent(name) !== undefined) {
    describe(title, tests);
    return;
  }
  const why = `there is no current ${name}: node scripts/current-servers.mjs fetches it, on Debian`;
  if (process.env["CI"]) {
    it(title, () => {
      throw new Error(why);
    });
    return;
  }
  notice(`skipped "${title}": ${why}`);
  describe.skip(title, tests);
}

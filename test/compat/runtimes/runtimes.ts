/** The runtimes beside Node that the suites run on, as npm packages: see package.json. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../support/paths.ts";

// Neither looks for a newer version of itself meanwhile.
process.env["DENO_NO_UPDATE_CHECK"] = "1";
process.env["DO_NOT_TRACK"] = "1";

export interface Runtime {
  /** As it is called in the tables of docs/compatibility.md. */
  readonly name: "Bun" | "Deno";
  /** The program and the arguments in front of the file that it runs. */
  readonly command: readonly [program: string, ...args: string[]];
}

const MODULES = join(repositoryRoot, "test", "compat", "runtimes", "node_modules");

/**
 * A program of the package for this machine, or where the install script of the main package has put it: npm may
 * have run that, or not.
 */
function program(scope: string, path: string, installed: string): string {
  const folder = join(MODULES, scope);
  const packages = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name, path)) : [];
  const found = [...packages, join(MODULES, installed)].find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new Error(`${scope} is not installed: node scripts/projects.mjs test/compat/runtimes`);
}

export const bun: Runtime = { name: "Bun", command: [program("@oven", "bin/bun", "bun/bin/bun.exe")] };
export const deno: Runtime = {
  name: "Deno",
  command: [
    program("@deno", "deno", "deno/deno"),
    "run",
    "--allow-all",
    "--no-lock",
    "--v8-flags=--expose-gc",
  ],
};

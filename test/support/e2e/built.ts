/** Programs that tests start import the built package, as users do: built anew when the source is newer. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../paths.ts";
import { type Running, run, start } from "../process.ts";
import { runFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";

let done: Promise<void> | undefined;

/** Makes sure that `dist` is what `src` says. */
export function built(): Promise<void> {
  done ??= build();
  return done;
}

/** One test file at a time: half of a build looks as new as a whole one, to those that run beside it. */
async function build(): Promise<void> {
  const lock = join(runFolder(), "building");
  await waitFor(() => isMade(lock), { timeoutMs: 120_000, what: "the build of another test file" });
  try {
    if (isStale()) await compile();
  } finally {
    rmdirSync(lock);
  }
}

function isMade(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function isStale(): boolean {
  const entry = join(repositoryRoot, "dist", "index.js");
  return !existsSync(entry) || newestMs(join(repositoryRoot, "dist")) < newestMs(join(repositoryRoot, "src"));
}

async function compile(): Promise<void> {
  const builder = join(repositoryRoot, "scripts", "build.mjs");
  const { code, stdout } = await run(process.execPath, [builder], {
    cwd: repositoryRoot,
    timeoutMs: 60_000,
  });
  if (code !== 0) throw new Error(`the package cannot be built:\n${stdout}`);
}

function newestMs(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Math.max(...files.map((file) => statSync(join(file.parentPath, file.name)).mtimeMs));
}

/** The full path of a program in `programs/`. */
export function programPath(name: string): string {
  return join(repositoryRoot, "test", "support", "e2e", "programs", name);
}

/** Starts one of the programs under Node. */
export async function startProgram(name: string, args: readonly string[]): Promise<Running> {
  await built();
  return start(process.execPath, [programPath(name), ...args]);
}

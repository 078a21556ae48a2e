/** Programs that tests start import the built package, as users do: built anew when the source is newer. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../paths.ts";
import { type Running, run, start } from "../process.ts";

let done: Promise<void> | undefined;

/** Makes sure that `dist` is what `src` says. */
export function built(): Promise<void> {
  done ??= build();
  return done;
}

async function build(): Promise<void> {
  const entry = join(repositoryRoot, "dist", "index.js");
  if (existsSync(entry) && newestMs(join(repositoryRoot, "dist")) >= newestMs(join(repositoryRoot, "src")))
    return;
  const compiler = join(repositoryRoot, "node_modules", "typescript", "bin", "tsc");
  const { code, stdout } = await run(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
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

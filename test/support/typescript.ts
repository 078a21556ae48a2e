/** Runs a piece of JavaScript that uses files of src/ in a process of its own: for what a process does to itself. */
import { join } from "node:path";
import { repositoryRoot } from "./paths.ts";
import { type Running, type StartOptions, start } from "./process.ts";
import { runFolder } from "./temp.ts";

/** The arguments of node for `code`, an ES module, in which `await load("folder/file.ts")` imports from src/. */
export function scriptArguments(code: string): string[] {
  const jiti = JSON.stringify(`file://${join(repositoryRoot, "node_modules/jiti/lib/jiti.mjs")}`);
  const source = JSON.stringify(join(repositoryRoot, "src/"));
  // Compiling takes most of the time such a process needs: once per run is enough.
  const cache = JSON.stringify(join(runFolder(), "jiti"));
  const prelude = `
    import { createJiti } from ${jiti};
    const load = (file) => createJiti(${source}, { fsCache: ${cache} }).import(${source} + file);
  `;
  return ["--input-type=module", "-e", prelude + code];
}

/** Starts such a piece. */
export function startScript(code: string, options: StartOptions = {}): Running {
  return start(process.execPath, scriptArguments(code), options);
}

/**
 * Loads an application file: ESM, CommonJS or TypeScript, and finds the application among what it exports.
 */
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type PosternError, SettingError } from "../base/errors.ts";

const TYPESCRIPT = new Set([".ts", ".mts", ".cts", ".tsx"]);

/**
 * The application a file exports: `default`, else `app`, `handler`, `server` or the module itself when it has
 * `fetch`. A promise is awaited.
 * @throws {SettingError} ERR_POSTERN_APP_LOAD: not there, not loadable, or exports nothing that can be served
 */
export async function loadApplication(file: string, directory: string = process.cwd()): Promise<unknown> {
  const path = resolve(directory, file);
  if (!existsSync(path)) {
    throw new SettingError("ERR_POSTERN_APP_LOAD", `application ${file}: there is no file ${path}`);
  }
  if (statSync(path).isDirectory()) {
    throw new SettingError(
      "ERR_POSTERN_APP_LOAD",
      `application ${file}: ${path} is a directory, name the file to run`,
    );
  }
  const module = await watched(file, () => importFile(path));
  const application = await pick(module);
  if (application === undefined) {
    const listens = isListening() ? "; it listens by itself: remove its listen()" : "";
    throw new SettingError(
      "ERR_POSTERN_APP_LOAD",
      `application ${file}: it exports ${describe(module)}; export the application as default (export default app, or module.exports = app)${listens}`,
    );
  }
  return application;
}

/** Whether something in this process accepts TCP connections: after loading, that is the application. */
export function isListening(): boolean {
  return process.getActiveResourcesInfo().includes("TCPServerWrap");
}

function describe(module: Record<string, unknown>): string {
  const names = Object.keys(module);
  if (names.includes("default")) return `a default that is ${String(module["default"])}`;
  return names.join(", ") || "nothing";
}

/** Loads, and says so if that never ends: Node would leave without a word. */
async function watched<T>(file: string, load: () => Promise<T>): Promise<T> {
  const onExit = (): void => {
    process.stderr.write(
      `postern: application ${file}: the process ended while it was being loaded: a top-level await that never settles, or a process.exit()\n`,
    );
  };
  process.on("exit", onExit);
  try {
    return await load();
  } catch (cause) {
    throw loadError(file, cause);
  } finally {
    process.off("exit", onExit);
  }
}

async function importFile(path: string): Promise<Record<string, unknown>> {
  const strips = (process.features as { typescript?: unknown }).typescript;
  if (TYPESCRIPT.has(extname(path)) && (!strips || extname(path) === ".tsx")) {
    // Node 20 cannot strip types itself.
    const { createJiti } = await import("jiti");
    return (await createJiti(pathToFileURL(path).href).import(path)) as Record<string, unknown>;
  }
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    // A .fcgi file has no extension Node knows: it is CommonJS unless its package says module.
    if ((error as NodeJS.ErrnoException).code !== "ERR_UNKNOWN_FILE_EXTENSION") throw error;
    return { default: createRequire(pathToFileURL(path))(path) as unknown };
  }
}

/** The application among a module's exports. CommonJS transpiled from ESM has its default one level deeper. */
async function pick(module: Record<string, unknown>): Promise<unknown> {
  const exported = (await module["default"]) as Record<string, unknown> | undefined;
  const candidates = [
    (exported as { __esModule?: boolean } | undefined)?.__esModule ? exported?.["default"] : exported,
    module["app"],
    module["handler"],
    module["server"],
    typeof module["fetch"] === "function" ? module : undefined,
  ];
  for (const candidate of candidates) {
    const application: unknown = await candidate;
    if (typeof application === "function") return application;
    if (typeof application !== "object" || application === null) continue;
    if ("fetch" in application || Object.keys(application).length > 0) return application;
  }
  return undefined;
}

function loadError(file: string, cause: unknown): PosternError {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  if (/Cannot use import statement outside a module|Unexpected token 'export'/.test(error.message)) {
    return new SettingError(
      "ERR_POSTERN_APP_LOAD",
      `application ${file} is an ES module, but its package.json says otherwise: set "type": "module" there (npm pkg set type=module), or rename it to .mjs`,
    );
  }
  // Where a syntax error is, Node shows after this; of any other error the stack is what its author needs.
  const reason = error instanceof SyntaxError ? error.message : (error.stack ?? String(error));
  return new SettingError("ERR_POSTERN_APP_LOAD", `application ${file} could not be loaded:\n${reason}`, {
    cause,
  });
}

/** Node tells the file and line of a syntax error only when nobody catches it: this ends the process that way. */
export function showPlace(error: SyntaxError, exitCode: number): void {
  process.on("exit", () => {
    process.exitCode = exitCode;
  });
  setImmediate(() => {
    throw error;
  });
}

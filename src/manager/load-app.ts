/**
 * Runs an application file: ESM, CommonJS or TypeScript, and finds the application among what it exports. What to do
 * with one that listens instead is in application.ts.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { findFramework, isPromise } from "../adapters/frameworks.ts";
import { type PosternError, SettingError } from "../base/errors.ts";
import { pythonSource } from "../config/python-app.ts";

const TYPESCRIPT = new Set([".ts", ".mts", ".cts", ".tsx"]);

/** The file of an application, as a full path. @throws {SettingError} ERR_POSTERN_APP_LOAD: it is not there */
export function findFile(file: string, directory: string = process.cwd()): string {
  const path = resolve(directory, file);
  if (!existsSync(path)) {
    throw new SettingError(
      "ERR_POSTERN_APP_LOAD",
      `application ${file}: there is no file ${path}${pythonHint(file, path)}`,
    );
  }
  if (statSync(path).isDirectory()) {
    throw new SettingError(
      "ERR_POSTERN_APP_LOAD",
      `application ${file}: ${path} is a directory, name the file to run${pythonHint(`${file}.wsgi`, `${path}.wsgi`)}`,
    );
  }
  return path;
}

/** For a module of Python that was named without its application. */
function pythonHint(file: string, path: string): string {
  const source = pythonSource(`${path}:app`);
  if (source === undefined) return "";
  const name = /^application\b/m.test(readFileSync(source, "utf8")) ? "application" : "app";
  return `; to serve ${source}, name the application in it: ${file}:${name}`;
}

/** What a file exports. */
export interface Exports {
  /**
   * The application: `default`, else `app`, `handler`, `server`, `listener`, `middleware` or the module itself when it
   * has `fetch`. A promise is awaited. Undefined when there is none.
   */
  readonly application: unknown;
  /** Everything, for people: `a default that is 3`, `port`, `nothing`. */
  readonly what: string;
}

/** Runs a file. @throws {SettingError} ERR_POSTERN_APP_LOAD: it fails */
export async function loadFile(file: string, path: string): Promise<Exports> {
  try {
    const module = await importFile(path);
    return { ...(await pick(module)), what: describe(module) };
  } catch (cause) {
    throw loadError(file, cause);
  }
}

function describe(module: Record<string, unknown>): string {
  const names = Object.keys(module);
  if (names.includes("default")) return `a default that is ${describeValue(module["default"])}`;
  return names.join(", ") || "nothing";
}

/** Objects by their members: not all of them can be made a text, such as those without a prototype. */
function describeValue(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return `an object with ${Object.keys(value).slice(0, 5).join(", ") || "nothing in it"}`;
}

async function importFile(path: string): Promise<Record<string, unknown>> {
  const strips = (process.features as { typescript?: unknown }).typescript;
  const isTypeScript = TYPESCRIPT.has(extname(path));
  if (isTypeScript && (!strips || extname(path) === ".tsx")) return importTranspiled(path); // Node 20
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    if (isTypeScript && needsTranspiling(error)) return importTranspiled(path);
    // A .fcgi file has no extension Node knows: it is CommonJS unless its package says module.
    if ((Object(error) as NodeJS.ErrnoException).code !== "ERR_UNKNOWN_FILE_EXTENSION") throw error;
    const { createRequire } = process.getBuiltinModule("node:module");
    return { default: createRequire(pathToFileURL(path))(path) as unknown };
  }
}

async function importTranspiled(path: string): Promise<Record<string, unknown>> {
  const { createJiti } = await import("jiti");
  return (await createJiti(pathToFileURL(path).href).import(path)) as Record<string, unknown>;
}

/**
 * Whether the file is TypeScript that Node takes only after a compiler: enums, parameter properties, decorators, or
 * `import` in a package of CommonJS. Nothing of it has run yet.
 */
function needsTranspiling(error: unknown): boolean {
  if ((Object(error) as NodeJS.ErrnoException).code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") return true;
  // What else a compiler would refuse has a code of its own.
  return (
    error instanceof SyntaxError && /^(?:Invalid or unexpected token$|Cannot use import)/.test(error.message)
  );
}

/** The application among a module's exports. CommonJS transpiled from ESM has its default one level deeper. */
async function pick(module: Record<string, unknown>): Promise<Pick<Exports, "application">> {
  const exported = (await settled(module["default"])).value as Record<string, unknown> | undefined;
  const candidates = [
    holdsApp(exported) ? exported["app"] : undefined,
    (exported as { __esModule?: boolean } | undefined)?.__esModule ? exported?.["default"] : exported,
    module["app"],
    module["handler"],
    module["server"],
    module["listener"],
    module["middleware"],
    typeof module["fetch"] === "function" ? module : undefined,
  ];
  for (const candidate of candidates) {
    const { value: application } = await settled(candidate);
    if (typeof application === "function") return { application };
    if (typeof application !== "object" || application === null) continue;
    if ("fetch" in application || Object.keys(application).length > 0) return { application };
  }
  return { application: undefined };
}

/** `module.exports = { app, … }`: an object that is no application itself. */
function holdsApp(exported: unknown): exported is Readonly<Record<"app", unknown>> {
  if (typeof exported !== "object" || exported === null || !Object.hasOwn(exported, "app")) return false;
  const others = ["fetch", "raw", "responder", "authorizer", "filter"];
  return findFramework(exported) === undefined && !others.some((name) => name in exported);
}

/** What a promise comes to; in an object, because an await would take a framework's object for a promise. */
async function settled(value: unknown): Promise<{ readonly value: unknown }> {
  return { value: isPromise(value) ? await value : value };
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

/**
 * Runs a configuration file and brings back what it exports, as plain data.
 *
 * It runs in a thread of its own. So every reload reads it and all it imports anew, whatever kind of module they are
 * (Node never forgets an ES module it has imported); what it does to its process (`process.exit`, `process.env`, an
 * endless loop, memory) does nothing to the manager's; and a file that never ends is given up.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { extname } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { SettingError } from "../base/errors.ts";

/** A configuration that fetches something may take a while; one that takes longer is stuck. */
const PATIENCE_MS = 30_000;

/**
 * What a configuration file exports as default; a function is called, a promise awaited.
 * @param path absolute
 * @param env what the file finds in `process.env`
 * @throws {SettingError} `ERR_POSTERN_CONFIG_LOAD`
 */
export async function evaluateFile(
  path: string,
  env: Readonly<NodeJS.ProcessEnv>,
  patienceMs: number = PATIENCE_MS,
): Promise<unknown> {
  if (!existsSync(path)) throw loadError(path, "there is no such file");
  if (statSync(path).isDirectory()) throw loadError(path, "this is a folder; name the file in it");
  if (extname(path) === ".json") return readJson(path);
  if (!/^\.[cm]?[jt]s$/.test(extname(path))) {
    throw loadError(path, "it must end in .ts, .mts, .cts, .js, .mjs, .cjs or .json");
  }
  const { value, error, thrown } = await runInThread(path, env, patienceMs);
  if (thrown !== undefined)
    throw loadError(path, `it could not be loaded:\n${thrown}${hintFor(thrown, path)}`);
  if (error !== undefined) throw loadError(path, error);
  return value;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8").replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw loadError(path, (cause as Error).message, cause);
  }
}

/** What the thread came to: a configuration, a sentence on why there is none, or the stack of what it threw. */
interface Answer {
  readonly value?: unknown;
  readonly error?: string;
  readonly thrown?: string;
}

function runInThread(path: string, env: Readonly<NodeJS.ProcessEnv>, patienceMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const worker = new Worker(THREAD, {
      eval: true,
      env: { ...env },
      workerData: { url: pathToFileURL(path).href, jiti: jitiFor(path) },
    });
    const timer = setTimeout(() => {
      end({ error: `it did not end within ${patienceMs / 1000} seconds` });
    }, patienceMs);
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      // What it leaves open (a connection, an interval) ends here.
      void worker.terminate();
      resolve(answer);
    };
    worker.once("message", end);
    // What is thrown later than the file is loaded, from a timer of its own.
    worker.once("error", (error: unknown) =>
      end({ thrown: String((error as Error | null)?.stack ?? error) }),
    );
    worker.once("exit", (code) => {
      end({
        error:
          code === 13 || code === 0
            ? "it ended without a configuration: an await that never settles, or a process.exit()"
            : `it ended with process.exit(${code})`,
      });
    });
  });
}

/**
 * The library that reads .ts and .js, or undefined where Node does. Node would go by the `type` in package.json, and
 * refuse the `export default` of a configuration in a CommonJS package; before 22.18 it reads no TypeScript at all.
 */
function jitiFor(path: string): string | undefined {
  return /\.[cm]js$/.test(path) ? undefined : createRequire(import.meta.url).resolve("jiti");
}

/**
 * The program of the thread. It is text because it must run as it stands, from the sources and from the package.
 * What it sends back is copied by hand, so that what cannot be sent (a function, say) is called by its name.
 */
const THREAD = `
const { parentPort, workerData } = require("node:worker_threads");
const { url, jiti } = workerData;
class Unusable extends Error {}
function plain(value, place, depth) {
  if (typeof value === "function" || typeof value === "symbol" || typeof value === "bigint") {
    throw new Unusable((place || "the default export") + " is a " + typeof value + "; a setting is text, a number, true or false, a list or an object");
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth > 8) throw new Unusable(place + " is nested too deep");
  if (Array.isArray(value)) return value.map((one, at) => plain(one, place + "[" + at + "]", depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, plain(one, place === "" ? key : place + "." + key, depth + 1)]),
  );
}
async function load() {
  if (jiti === undefined) return import(url);
  const { createJiti } = require(jiti);
  // What a configuration imports of postern is there wherever postern is installed, and costs nothing.
  const virtualModules = { postern: { defineConfig: (config) => config } };
  return createJiti(url, { fsCache: false, virtualModules }).import(require("node:url").fileURLToPath(url));
}
async function run() {
  const module = await load();
  let value = await module.default;
  if (value && value.__esModule) value = await value.default;
  if (typeof value === "function") value = await value();
  if (value === undefined) {
    const names = Object.keys(module).join(", ") || "nothing";
    throw new Unusable("it exports " + names + "; export the configuration as default (export default { … })");
  }
  return plain(value, "", 0);
}
run().then(
  (value) => parentPort.postMessage({ value }),
  (error) => {
    const isUnusable = error instanceof Unusable;
    const stack = error?.stack ?? require("node:util").inspect(error);
    parentPort.postMessage(isUnusable ? { error: error.message } : { thrown: String(stack) });
  },
);
`;

/** A syntax error in an ES module does not tell where it is. */
function hintFor(stack: string, path: string): string {
  return stack.startsWith("SyntaxError") && !stack.includes(path) ? `\nnode --check ${path} shows where` : "";
}

function loadError(path: string, reason: string, cause?: unknown): SettingError {
  return new SettingError("ERR_POSTERN_CONFIG_LOAD", `configuration ${path}: ${reason}`, { cause });
}

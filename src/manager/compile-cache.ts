/**
 * Node's compile cache, where the environment of a pool names a folder for it (NODE_COMPILE_CACHE, Node 22.1).
 *
 * 1. What is in the folder is run as it stands. A worker that becomes another user takes it as that user, not before:
 *    whoever the application is must not say what runs as root.
 * 2. Node writes it when a process ends by itself. A worker may live for months, and be killed then.
 */

const VARIABLE = "NODE_COMPILE_CACHE";
/** The same, where Node does not see it. */
const WITHHELD = "POSTERN_COMPILE_CACHE";

/** After the worker is ready, ms: the first requests have been answered by then, and what they need is in the cache. */
const SAVE_AFTER_MS = 2000;

/** What the types of Node 20 leave out. */
interface CompileCache {
  readonly enableCompileCache?: (folder: string) => unknown;
  readonly getCompileCacheDir?: () => string | undefined;
  /** Node 22.10. */
  readonly flushCompileCache?: () => void;
}

/** The environment for a process that starts as somebody else than it will be. */
export function withholdCompileCache(env: Readonly<Record<string, string>>): Record<string, string> {
  const { [VARIABLE]: folder, ...others } = env;
  return folder === undefined ? others : { ...others, [WITHHELD]: folder };
}

/** In the worker, which is who it will be from now on. */
export function takeCompileCache(env: NodeJS.ProcessEnv): void {
  const folder = env[WITHHELD];
  if (folder === undefined) return;
  delete env[WITHHELD];
  env[VARIABLE] = folder; // for what the application starts
  // A folder that cannot be had is no error: Node goes without.
  if (!env["NODE_DISABLE_COMPILE_CACHE"]) compileCache().enableCompileCache?.(folder);
}

/** In the worker, which is ready. */
export function saveCompileCacheSoon(): void {
  const { getCompileCacheDir, flushCompileCache } = compileCache();
  if (getCompileCacheDir?.() === undefined || flushCompileCache === undefined) return;
  setTimeout(flushCompileCache, SAVE_AFTER_MS).unref();
}

function compileCache(): CompileCache {
  return process.getBuiltinModule("node:module") as CompileCache;
}

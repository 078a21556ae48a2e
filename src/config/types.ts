/**
 * The shapes of the configuration: as people write it, and resolved. What each setting means, its unit, default, flag
 * and limits are declared once, in `settings.ts`.
 */
import type { Address } from "../base/address.ts";
import type { LogLevelName } from "../base/log.ts";
import type { MountOptions } from "../cgi/mount-options.ts";

/** `pm`: how many workers there are. The words are php-fpm's. */
export type ProcessManagement = "static" | "dynamic" | "ondemand";

/** Settings of the manager itself, resolved. Times in ms, sizes in bytes, paths absolute. */
export interface ManagerSettings {
  /** What this manager is called: in its log, and by `postern status NAME`. */
  readonly name: string;
  /** Path of the control socket. */
  readonly controlSocket: string;
  readonly pidFile: string | undefined;
  /** Where the manager's log and its workers' output go; standard error when undefined. */
  readonly logFile: string | undefined;
  readonly logLevel: LogLevelName;
  /** Workers of all pools together; 0 is no limit. */
  readonly processMax: number;
}

/**
 * What runs in the workers of a pool: an application, or a FastCGI program in any language. An application is JavaScript's
 * unless its language is told; of one in Python `file` may be a folder, a module in it and a name: `/srv/shop/shop:app`.
 */
export type Program =
  | { readonly kind: "app"; readonly file: string; readonly language?: "python" }
  | { readonly kind: "command"; readonly command: readonly string[] };

/** Settings of one pool, resolved. Times in ms (0 is off), sizes in bytes (0 is off), paths absolute. */
export interface PoolSettings {
  readonly name: string;
  readonly program: Program;
  /** Empty means: what was inherited. Unix paths are absolute. */
  readonly bind: readonly Address[];
  /** Also answer HTTP there. */
  readonly http: string | undefined;
  /** Take upgraded connections by HTTP there. */
  readonly wsHttp: string | undefined;
  readonly static: string | undefined;

  readonly listenMode: number;
  readonly listenOwner: string | number | undefined;
  readonly listenGroup: string | number | undefined;
  readonly listenBacklog: number;
  readonly allowedClients: readonly string[] | undefined;
  /** Proxies in front of the web server that are believed. */
  readonly trustProxy: readonly string[] | undefined;
  /** Folders whose files the web server sends. */
  readonly sendFile: readonly string[] | undefined;

  readonly base: string | undefined;
  readonly scriptName: MountOptions["scriptName"] | undefined;
  readonly stripBase: boolean;
  /** Undefined: by the web server's name. */
  readonly upgrade: boolean | undefined;
  readonly development: boolean | undefined;

  readonly pm: ProcessManagement;
  /** Static: this many. Dynamic and ondemand: at most this many. */
  readonly maxChildren: number;
  readonly startServers: number;
  readonly minSpareServers: number;
  readonly maxSpareServers: number;
  readonly maxSpawnRate: number;
  readonly processIdleTimeoutMs: number;

  readonly maxRequests: number;
  readonly maxMemoryBytes: number;
  /** Requests one worker works on at once; 0 is no limit. */
  readonly maxConcurrency: number;
  readonly queueTimeoutMs: number;
  /** A worker whose event loop stands still this long is stuck: logged with its stack, and replaced. */
  readonly maxLoopDelayMs: number;
  readonly readyTimeoutMs: number;
  readonly drainDelayMs: number;
  readonly drainTimeoutMs: number;
  readonly requestTerminateTimeoutMs: number;
  readonly requestSlowlogTimeoutMs: number;
  readonly requestSlowlogTraceDepth: number;
  /** Where slow requests are logged; the manager's log when undefined. */
  readonly slowlog: string | undefined;
  readonly phasedReload: boolean;
  /** Touching this file reloads the pool; relative paths are in `chdir`. */
  readonly restartFile: string | undefined;

  readonly pingPath: string | undefined;
  readonly pingResponse: string;
  readonly statusPath: string | undefined;
  readonly metricsPath: string | undefined;
  /** A file, or `-` for standard output. */
  readonly accessLog: string | undefined;
  readonly accessLogFormat: string;

  readonly user: string | number | undefined;
  readonly group: string | number | undefined;
  readonly umask: number | undefined;
  readonly chdir: string;
  readonly clearEnv: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** Files of NAME=value lines, read at every start of a generation. */
  readonly envFile: readonly string[];
  readonly rlimitFiles: number | undefined;
  /** Flags for node itself, such as --max-old-space-size=256. */
  readonly nodeArgs: readonly string[];
  /** The Python that runs a Python application: a program, or a virtual environment. Undefined: looked for. */
  readonly python: string | undefined;
  /** Threads of a worker that runs a Python application. */
  readonly threads: number;

  /** Log what workers write to stdout and stderr. Otherwise it is discarded. */
  readonly catchWorkersOutput: boolean;
  /** Tag each line of it with time, pool and pid. Otherwise as it came, controls escaped. */
  readonly decorateWorkersOutput: boolean;
}

/** The whole configuration, resolved. At least one pool; names are unique. */
export interface Configuration {
  readonly manager: ManagerSettings;
  readonly pools: readonly PoolSettings[];
  /** The file it came from, absolute; undefined when there was none. */
  readonly file: string | undefined;
}

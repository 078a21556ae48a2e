/** Options of the gateway with their defaults, units and reasons. */
import { statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join, resolve } from "node:path";
import type { Address } from "../base/address.ts";
import { UsageError } from "../base/errors.ts";
import { type Logger, silentLogger } from "../base/log.ts";
import { badOption, checkKeys, checkLogger, yesOrNo } from "../base/settings.ts";
import type { Pair, ScriptRules } from "../cgi/from-http.ts";
import { ClientPool, type PoolOptions } from "../client/pool.ts";
import { StaticFiles, type StaticFilesOptions } from "./static-files.ts";

/** How URLs name PHP files. */
export interface PhpOptions {
  /** The script of a path that ends in a slash. @default "index.php" */
  readonly index?: string;
  /** The script of every path that names none, such as `/index.php` for a framework. */
  readonly frontController?: string;
  /** Endings of scripts. @default [".php"] */
  readonly extensions?: readonly string[];
  /**
   * Look whether a script exists before asking PHP; false when php-fpm sees other files than the gateway does. Without
   * it `/photo.jpg/x.php` relies on php-fpm's `security.limit_extensions`. @default true
   */
  readonly checkFiles?: boolean;
}

/** One finished request. */
export interface AccessEntry {
  readonly remoteAddress: string | undefined;
  readonly method: string;
  /** The request target as received. */
  readonly target: string;
  readonly httpVersion: string;
  /** What was sent to the client; 499 when it left before any answer. */
  readonly status: number;
  /** Body bytes handed to the client's connection. */
  readonly bodyBytes: number;
  readonly durationMs: number;
  readonly referer: string | undefined;
  readonly userAgent: string | undefined;
  /** Why the request failed. */
  readonly error: Error | undefined;
}

/** Options of {@link createGateway}. Either `connect` or `pool` is needed. */
export interface GatewayOptions {
  /** Where the application listens; see `ClientOptions.connect`. */
  connect?: string | Address;
  /** More about the connections to it. */
  client?: Omit<PoolOptions, "connect">;
  /** Connections made elsewhere; closing the gateway leaves them open. */
  pool?: Pick<ClientPool, "request">;
  /** URL path of the application, such as `/app`; everything else is 404. @default "" */
  mount?: string;
  /** DOCUMENT_ROOT; with `php` the folder of the scripts. */
  documentRoot?: string;
  /** Map paths to script files, as php-fpm needs it; `documentRoot` is then needed too. @default false */
  php?: boolean | PhpOptions;
  /** Files to serve in front of the application. With `php` its scripts are left out. */
  files?: string | StaticFilesOptions;
  /** More parameters, as text that is sent as UTF-8. They replace what the request gave. */
  params?: Readonly<Record<string, string>> | ((req: IncomingMessage) => Readonly<Record<string, string>>);
  /** Pass request headers with underscores in their names, which can shadow others. @default false */
  underscoreHeaders?: boolean;
  /** SERVER_SOFTWARE. @default "Postern" */
  software?: string;
  /** Bytes of a request body. Beyond: 413. @default 0: no limit, it is never collected */
  maxBodyBytes?: number;
  /**
   * Bytes of a body without a length (chunked) that are collected, to tell the application its length. Beyond: 411.
   * 0 passes such a body on as it comes. @default 0; with `php` 8388608, because PHP ignores a body of unknown length
   */
  maxCollectedBytes?: number;
  /** HTTP connections open at once; more are closed at once. @default 10000 */
  maxConnections?: number;
  /** Milliseconds for a client to send the head of a request. Then: 408. @default 30000 */
  headTimeoutMs?: number;
  /** Milliseconds a kept HTTP connection waits for the next request. @default 5000, as Node */
  keepAliveTimeoutMs?: number;
  /**
   * Milliseconds a client may take nothing of the answer that waits for it; then it is cut. 0 waits for ever.
   * @default 60000, as nginx: a connection to the application is occupied for so long
   */
  sendTimeoutMs?: number;
  /** `close()`: milliseconds for open requests to finish. @default 30000 */
  drainTimeoutMs?: number;
  /** Show the reason of a failure to clients on this machine. @default `NODE_ENV === "development"` */
  development?: boolean;
  /** Failures, and what the application writes to STDERR. @default silent */
  logger?: Logger;
  /** Called after each request. */
  onAccess?: (entry: AccessEntry) => void;
}

/** {@link GatewayOptions}, resolved. */
export interface ResolvedGateway {
  readonly pool: Pick<ClientPool, "request">;
  /** The pool when it is ours to close. */
  readonly ownPool: ClientPool | undefined;
  readonly mount: string;
  /** Latin1, as parameters are. */
  readonly documentRoot: string | undefined;
  readonly php: ScriptRules | undefined;
  readonly files: StaticFiles | undefined;
  readonly params: (req: IncomingMessage) => Iterable<Pair>;
  readonly underscoreHeaders: boolean;
  readonly software: string;
  readonly maxBodyBytes: number;
  readonly maxCollectedBytes: number;
  readonly maxConnections: number;
  readonly headTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly sendTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly development: boolean;
  readonly logger: Logger;
  readonly onAccess: ((entry: AccessEntry) => void) | undefined;
}

/** What PHP would run, or include; its source is never sent, whatever the case of its name. */
const PHP_SOURCES = /\.(?:php\d?|phtml|phps|phar|inc)(?![a-z\d])/i;
const PHP_COLLECTED_BYTES = 8388608;

/** Every name; the compiler compares it with the interface. */
const KNOWN = {
  connect: 0,
  client: 0,
  pool: 0,
  mount: 0,
  documentRoot: 0,
  php: 0,
  files: 0,
  params: 0,
  underscoreHeaders: 0,
  software: 0,
  maxBodyBytes: 0,
  maxCollectedBytes: 0,
  maxConnections: 0,
  headTimeoutMs: 0,
  keepAliveTimeoutMs: 0,
  sendTimeoutMs: 0,
  drainTimeoutMs: 0,
  development: 0,
  logger: 0,
  onAccess: 0,
} satisfies Readonly<Record<keyof GatewayOptions, unknown>>;
const PHP_KNOWN = { index: 0, frontController: 0, extensions: 0, checkFiles: 0 } satisfies Readonly<
  Record<keyof PhpOptions, unknown>
>;

/**
 * Fills in defaults and checks every value.
 * @throws {UsageError} neither `connect` nor `pool`
 * @throws {SettingError} `ERR_POSTERN_ADDRESS`, `ERR_POSTERN_BAD_SETTING`
 */
export function resolveGateway(options: GatewayOptions): ResolvedGateway {
  checkKeys("gateway options", options, KNOWN, options?.pool === undefined ? "connect" : undefined);
  checkLogger(options.logger);
  const { connect, php } = options;
  if (connect === undefined && options.pool === undefined) {
    throw new UsageError(
      "ERR_POSTERN_BAD_SETTING",
      `a gateway needs connect, the address of the application, or a pool; write connect: "127.0.0.1:9000"`,
    );
  }
  if (options.client !== undefined) checkKeys("client options", options.client, options.client);
  if (options.pool !== undefined && typeof options.pool?.request !== "function") {
    throw badOption("pool", options.pool, "a ClientPool");
  }
  const ownPool =
    options.pool === undefined ? new ClientPool({ ...options.client, connect: connect! }) : undefined;
  const root = text("documentRoot", options.documentRoot);
  const folder = root === undefined ? undefined : resolve(root);
  const isPhp = php !== undefined && php !== false;
  if (typeof php === "object") checkKeys("php options", php, PHP_KNOWN);
  else yesOrNo("php", php, false);
  if (isPhp && folder === undefined)
    throw badOption("documentRoot", undefined, "the folder of the scripts, as php-fpm sees it");
  return Object.freeze({
    pool: options.pool ?? ownPool!,
    ownPool,
    mount: resolveMount(text("mount", options.mount) ?? ""),
    documentRoot: folder === undefined ? undefined : latin1(folder === "/" ? "" : folder),
    php: isPhp ? scriptRules(php === true ? {} : php, folder!) : undefined,
    files: resolveFiles(options.files, isPhp),
    params: resolveParams(options.params),
    underscoreHeaders: yesOrNo("underscoreHeaders", options.underscoreHeaders, false),
    software: text("software", options.software) ?? "Postern",
    maxBodyBytes: whole("maxBodyBytes", options.maxBodyBytes, 0),
    maxCollectedBytes: whole("maxCollectedBytes", options.maxCollectedBytes, isPhp ? PHP_COLLECTED_BYTES : 0),
    maxConnections: whole("maxConnections", options.maxConnections, 10_000),
    headTimeoutMs: whole("headTimeoutMs", options.headTimeoutMs, 30_000),
    keepAliveTimeoutMs: whole("keepAliveTimeoutMs", options.keepAliveTimeoutMs, 5000),
    sendTimeoutMs: whole("sendTimeoutMs", options.sendTimeoutMs, 60_000),
    drainTimeoutMs: whole("drainTimeoutMs", options.drainTimeoutMs, 30_000),
    development: yesOrNo("development", options.development, process.env["NODE_ENV"] === "development"),
    logger: options.logger ?? silentLogger,
    onAccess: options.onAccess,
  });
}

/** Text as the latin1 string of its UTF-8 bytes. */
function latin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function resolveMount(mount: string): string {
  const trimmed = mount.replace(/\/+$/, "");
  if (trimmed !== "" && !/^(?:\/[^/?#\0]+)+$/.test(trimmed))
    throw badOption("mount", mount, "a path such as /app");
  return latin1(trimmed);
}

function scriptRules(php: PhpOptions, folder: string): ScriptRules {
  // A look at the file system on the way of a request: only for paths that name a script.
  const isFile = (scriptName: string): boolean => {
    const path = join(folder, Buffer.from(scriptName, "latin1").toString("utf8"));
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  };
  const exists = (scriptName: string): boolean => {
    try {
      return isFile(scriptName);
    } catch {
      return false; // ENOTDIR, EACCES, ELOOP
    }
  };
  return {
    ...(php.index !== undefined && { index: php.index }),
    ...(php.extensions !== undefined && { extensions: php.extensions }),
    frontController: php.frontController,
    exists: (php.checkFiles ?? true) ? exists : undefined,
  };
}

function resolveFiles(
  files: string | StaticFilesOptions | undefined,
  isPhp: boolean,
): StaticFiles | undefined {
  if (files === undefined) return undefined;
  const options = typeof files === "string" ? { folder: files } : files;
  return new StaticFiles(isPhp ? { hidden: PHP_SOURCES, ...options } : options);
}

function resolveParams(params: GatewayOptions["params"]): ResolvedGateway["params"] {
  if (params === undefined) return () => [];
  const pairs = (record: Readonly<Record<string, string>>): Pair[] => {
    return Object.entries(record).map(([name, value]) => [latin1(name), latin1(value)]);
  };
  if (typeof params === "function") return (req) => pairs(params(req));
  const fixed = pairs(params);
  return () => fixed;
}

function text(name: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw badOption(name, value, "text");
}

function whole(name: string, value: number | undefined, standard: number): number {
  if (value === undefined) return standard;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw badOption(name, value, "a whole number from 0");
}

/**
 * Every option of `serve` and `createServer` with its default, its unit and the reason for the default.
 * Options are resolved once and frozen; nothing below this file sees an undefined one.
 */
import { BlockList } from "node:net";
import { type Logger, safeLogger, stderrLogger } from "../base/log.ts";
import { addressText, badOption, checkKeys, checkLogger, yesOrNo } from "../base/settings.ts";
import type { HopTrust } from "../cgi/forwarded.ts";
import { type MountOptions, type MountRule, resolveMountOptions } from "../cgi/mount-options.ts";
import { AccessLog } from "./access-log.ts";
import { addRange, isListed } from "./address-list.ts";
import { resolveSendFile, type SendFile } from "./send-file.ts";
import { resolveTrustProxy } from "./trusted-hops.ts";

/** Bounds on size and count. Every one has an answer: see `docs/errors.md`. */
export interface Limits {
  /** Bytes of one request's parameters. Beyond: 431. @default 262144 (four times what nginx can send) */
  maxParamsBytes?: number;
  /** Parameters of one request. Beyond: 431. @default 1000 */
  maxParams?: number;
  /** Requests open at once on one connection. Beyond: 503. @default 100 (only HAProxy multiplexes) */
  maxRequestsPerConnection?: number;
  /** Connections open at once. Beyond: the idlest kept one is closed, else 503. @default 10000 */
  maxConnections?: number;
  /**
   * Requests the application works on at once. Beyond: no connection is accepted where another process listens on the
   * same socket, and requests on open connections wait their turn. @default 0 (no limit)
   */
  maxConcurrency?: number;
  /**
   * Bytes of one request's body kept while the application does not read. On a connection that carries one
   * request at a time the socket is paused instead, from 64 KiB on. @default 1048576
   */
  maxUnreadBytes?: number;
  /** Bytes of an unread body that are dropped before a finished connection is closed anyway. @default 1073741824 */
  maxDrainBytes?: number;
}

/** Bounds on time, in milliseconds; 0 turns one off. */
export interface Timeouts {
  /** A record, or a request's parameters, begun and not complete. Then: 408. @default 30000 */
  recordTimeoutMs?: number;
  /**
   * A kept connection without a request. @default 0: the web server decides. Closing first makes Apache answer 503
   * to the request that crosses the close.
   */
  idleTimeoutMs?: number;
  /** A multiplexed request whose full body buffer stalls its siblings. Then: 503. @default 5000 */
  stallTimeoutMs?: number;
  /** Waiting for the rest of a body after the answer is complete. @default 30000 */
  lingerTimeoutMs?: number;
  /** `close()`: waiting for open requests before their connections are cut. @default 30000 */
  drainTimeoutMs?: number;
  /**
   * A request waiting for its turn at `maxConcurrency`, and before that if the web server tells when it came
   * (REQUEST_START). Then: 503. @default 0: the web server decides
   */
  queueTimeoutMs?: number;
  /** The application working on a request. Then: 504, or a cut connection. @default 0: the web server decides */
  requestTimeoutMs?: number;
  /** The application working on a request. Then: a line in the log. @default 0 */
  slowRequestMs?: number;
}

/** Options of `serve` and `createServer`. */
export interface ServerOptions extends Limits, Timeouts, MountOptions {
  /**
   * Where to listen, one or several: `unix:/path`, `/path`, `unix:@abstract`, `host:port`, `:port`, `[::1]:port`,
   * `fd:N`, `systemd`, `systemd:NAME`. Without it: the socket inherited on descriptor 0, else systemd's, else one
   * plain-CGI request. See `docs/listening.md`.
   */
  bind?: string | readonly string[];
  /** Permissions of unix sockets. A string is octal. @default 0o660 */
  mode?: number | string;
  /** Owner of unix sockets: a user name or id. @default the user of the process */
  owner?: string | number;
  /** Group of unix sockets: a group name or id; usually the web server's. @default the group of the process */
  group?: string | number;
  /** Connections the kernel keeps waiting. @default 511 */
  backlog?: number;
  /**
   * Who may connect over TCP: addresses or CIDR ranges, or `any`. Needed for every address that is not loopback:
   * whoever reaches the port can claim to be any user. FCGI_WEB_SERVER_ADDRS adds to it. @default loopback only
   */
  allowedClients?: string | readonly string[];
  /**
   * Proxies in front of the web server (load balancers, a CDN) whose word about the client counts: addresses, ranges,
   * `loopback`, `private` or `unix`. They must set or overwrite X-Forwarded-For and -Proto. See `docs/identity.md`.
   * @default nobody: the client is whom the web server saw
   */
  trustProxy?: string | readonly string[];
  /**
   * Folders whose files the web server sends in the application's place: `/var/files=/protected/` for nginx with an
   * internal location of that name, `/var/files` for lighttpd and Apache. They must be told to. See `docs/files.md`.
   * @default none
   */
  sendFile?: string | readonly string[];
  /** A path that is answered before the application, with `pingResponse`, or with 503 on the way down. @default none */
  pingPath?: string;
  /** What `pingPath` answers. @default "pong" */
  pingResponse?: string;
  /**
   * Whether the web server carries upgraded connections, such as WebSockets, inside FastCGI.
   * @default worked out: lighttpd 1.4.74 or newer does, if it is told to; no other does
   */
  upgrade?: boolean;
  /** Show stack traces in error pages. @default `NODE_ENV === "development"` */
  development?: boolean;
  /** For fetch applications: `request.url` holds the path inside the mount instead of the whole path. @default false */
  stripBase?: boolean;
  /**
   * A line for each request goes there: a file, opened anew when it was moved away, or `-` for standard output. See
   * `docs/observing.md`. @default none
   */
  accessLog?: string;
  /** `common`, `combined`, `json`, or text with php-fpm's fields, such as `%R %m %r%Q%q %s %d`. @default "combined" */
  accessLogFormat?: string;
  /** Where messages go. @default lines on stderr, from level info */
  logger?: Logger;
  /** Closes the server when it aborts. */
  signal?: AbortSignal;
}

/** {@link ServerOptions} with every default filled in. */
export interface ResolvedOptions extends Readonly<Required<Limits>>, Readonly<Required<Timeouts>> {
  readonly bind: readonly string[];
  readonly mode: number;
  readonly owner: string | number | undefined;
  readonly group: string | number | undefined;
  readonly backlog: number;
  readonly allowedClients: AllowedClients;
  readonly trustProxy: HopTrust | undefined;
  readonly sendFile: SendFile | undefined;
  readonly pingPath: string | undefined;
  readonly pingResponse: string;
  /** From the hooks: see hooks.ts. */
  readonly statusPath: string | undefined;
  readonly metricsPath: string | undefined;
  readonly upgrade: boolean | undefined;
  readonly development: boolean;
  readonly stripBase: boolean;
  readonly mount: MountRule;
  readonly accessLog: AccessLog | undefined;
  readonly logger: Logger;
}

/** Who may connect over TCP. */
export interface AllowedClients {
  /** Whether anything was allowed explicitly, which a public address needs. */
  readonly isStated: boolean;
  allows(address: string | undefined): boolean;
}

const COUNTS = {
  maxParamsBytes: 262144,
  maxParams: 1000,
  maxRequestsPerConnection: 100,
  maxConnections: 10000,
  maxUnreadBytes: 1048576,
  maxDrainBytes: 1073741824,
  backlog: 511,
} as const;

/** Counts that may be 0: no limit. */
const OPTIONAL_COUNTS = { maxConcurrency: 0 } as const;

const TIMES = {
  recordTimeoutMs: 30000,
  idleTimeoutMs: 0,
  stallTimeoutMs: 5000,
  lingerTimeoutMs: 30000,
  drainTimeoutMs: 30000,
  queueTimeoutMs: 0,
  requestTimeoutMs: 0,
  slowRequestMs: 0,
} as const;

/** Every name; the compiler compares it with the interface. */
const KNOWN = {
  ...COUNTS,
  ...OPTIONAL_COUNTS,
  ...TIMES,
  bind: 0,
  mode: 0,
  owner: 0,
  group: 0,
  allowedClients: 0,
  trustProxy: 0,
  sendFile: 0,
  pingPath: 0,
  pingResponse: 0,
  upgrade: 0,
  development: 0,
  stripBase: 0,
  accessLog: 0,
  accessLogFormat: 0,
  logger: 0,
  signal: 0,
  signals: 0, // of serve; a program may give both functions the same options
  scriptName: 0,
  base: 0,
  LighttpdCGIRootFix: 0,
  ScriptNameStripper: 0,
} satisfies Readonly<Record<keyof ServerOptions | "signals", unknown>>;

/**
 * Fills in defaults and checks every value.
 * @param statusPath of the hooks, as metricsPath is
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function resolveOptions(
  options: ServerOptions,
  env: NodeJS.ProcessEnv = process.env,
  statusPath?: unknown,
  metricsPath?: unknown,
): ResolvedOptions {
  checkKeys("serve options", options, KNOWN, "bind");
  checkLogger(options.logger);
  checkSignal(options.signal);
  const logger = safeLogger(options.logger ?? stderrLogger());
  return Object.freeze({
    ...numbers(COUNTS, options, 1),
    ...numbers(OPTIONAL_COUNTS, options, 0),
    ...numbers(TIMES, options, 0),
    bind: resolveBind(options.bind),
    mode: resolveMode(options.mode),
    owner: options.owner,
    group: options.group,
    allowedClients: resolveAllowedClients(options.allowedClients, env),
    trustProxy: resolveTrustProxy(options.trustProxy),
    sendFile: resolveSendFile(options.sendFile),
    pingPath: resolvePath("pingPath", options.pingPath),
    pingResponse: resolveText("pingResponse", options.pingResponse, "pong"),
    statusPath: resolvePath("statusPath", statusPath),
    metricsPath: resolvePath("metricsPath", metricsPath),
    upgrade: options.upgrade === undefined ? undefined : yesOrNo("upgrade", options.upgrade, false),
    development: yesOrNo("development", options.development, env["NODE_ENV"] === "development"),
    stripBase: yesOrNo("stripBase", options.stripBase, false),
    mount: resolveMountOptions(options),
    accessLog: resolveAccessLog(options, logger),
    logger,
  });
}

function resolveBind(bind: unknown): readonly string[] {
  if (bind === undefined) return [];
  const list: readonly unknown[] = Array.isArray(bind) ? bind : [bind];
  return list.map((one) => addressText("bind", one));
}

function resolveAccessLog(
  { accessLog, accessLogFormat }: ServerOptions,
  logger: Logger,
): AccessLog | undefined {
  const format = resolveText("accessLogFormat", accessLogFormat, "combined");
  if (accessLog === undefined) return undefined;
  if (typeof accessLog === "string" && accessLog !== "") return new AccessLog(accessLog, format, logger);
  throw badOption("accessLog", accessLog, 'a file, or "-" for standard output');
}

function resolvePath(name: string, path: unknown): string | undefined {
  if (path === undefined) return undefined;
  if (typeof path === "string" && /^\/[^?#\s\x00-\x1f\x7f]*$/.test(path)) return path;
  throw badOption(name, path, "a whole path as visitors ask for it, such as /ping");
}

function resolveText(name: string, text: unknown, standard: string): string {
  if (text === undefined) return standard;
  if (typeof text === "string") return text;
  throw badOption(name, text, "text");
}

function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const { aborted, addEventListener } = Object(signal) as Readonly<Record<string, unknown>>;
  if (typeof aborted === "boolean" && typeof addEventListener === "function") return;
  throw badOption("signal", signal, "an AbortSignal");
}

function numbers<T extends Readonly<Record<string, number>>>(
  defaults: T,
  options: ServerOptions,
  least: number,
): { [K in keyof T]: number } {
  const resolved: Record<string, number> = {};
  for (const [name, standard] of Object.entries(defaults)) {
    const value = (options as Readonly<Record<string, unknown>>)[name] ?? standard;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) {
      throw badOption(name, value, `a whole number from ${least}`);
    }
    resolved[name] = value;
  }
  return resolved as { [K in keyof T]: number };
}

function resolveMode(mode: number | string | undefined): number {
  if (mode === undefined) return 0o660;
  const value =
    typeof mode === "string" && /^(0o?)?[0-7]{3,4}$/.test(mode)
      ? Number.parseInt(mode.replace("o", ""), 8)
      : mode;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0o777) {
    throw badOption("mode", mode, 'octal permissions such as "0660" or 0o660');
  }
  return value;
}

function resolveAllowedClients(
  allowed: string | readonly string[] | undefined,
  env: NodeJS.ProcessEnv,
): AllowedClients {
  const entries: unknown[] = typeof allowed === "string" ? allowed.split(",") : [allowed ?? []].flat();
  // FastCGI 1.0 §3.2: the web server, or an administrator, names who may connect.
  entries.push(...(env["FCGI_WEB_SERVER_ADDRS"] ?? "").split(","));
  const stated = entries
    .map((entry) => (typeof entry === "string" ? entry.trim() : entry))
    .filter((entry) => entry !== "");
  if (stated.includes("any")) return { isStated: true, allows: () => true };
  const list = new BlockList();
  for (const entry of stated) {
    if (typeof entry !== "string" || !addRange(list, entry))
      throw badOption("allowedClients", entry, CLIENTS);
  }
  if (stated.length === 0) {
    list.addSubnet("127.0.0.0", 8, "ipv4");
    list.addAddress("::1", "ipv6");
  }
  return {
    isStated: stated.length > 0,
    allows: (address) => address !== undefined && isListed(list, address),
  };
}

const CLIENTS = "an IP address, a range such as 10.0.0.0/8, or any";

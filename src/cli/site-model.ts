/**
 * From the flags of `postern config <server>` and the configuration of Postern to a {@link Site}: everything absolute,
 * what was not said taken from the configuration, else a default. Each guess that could surprise is told as a sentence.
 */
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Address, parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { type OffloadFolder, parseOffloadFolder } from "../base/offload-folder.ts";
import { ownFile } from "../base/own-files.ts";
import { absoluteAddress, nameOfFolder } from "../config/places.ts";
import { isPythonApp } from "../config/python-app.ts";
import type { PoolSettings } from "../config/types.ts";
import { readCount, readDuration, readSize } from "../config/values.ts";
import {
  APACHE_MODULES,
  type ApacheModule,
  type Attachment,
  type Expected,
  type Site,
  type Standalone,
  type StaticFiles,
  type Tls,
  type WebServerName,
  type WebSocketRoute,
} from "../sites/index.ts";
import { isGroup, webServerUser } from "./web-server-accounts.ts";

/** As commander gives them. */
export interface SiteFlags {
  readonly name?: string;
  readonly bind?: readonly string[];
  readonly mount?: string;
  readonly serverName?: readonly string[];
  readonly listen?: string;
  /** False: `--no-root`. */
  readonly root?: string | false;
  readonly static?: readonly string[];
  readonly maxBody?: string;
  readonly timeout?: string;
  /** `--keep-alive`, `--no-keep-alive`; neither means what loses no request. */
  readonly keepAlive?: boolean;
  readonly multiplex?: boolean;
  readonly stream?: boolean;
  readonly certificate?: string;
  readonly key?: string;
  readonly clientCa?: string;
  readonly passwords?: string;
  readonly sendFile?: readonly string[];
  readonly wsHttp?: string;
  readonly websocket?: string;
  readonly module?: string;
  readonly spawn?: string;
  readonly processes?: string;
  readonly dynamic?: boolean;
  readonly socket?: string;
  readonly env?: readonly string[];
  readonly standalone?: string;
}

/** What is known of the application besides the flags. */
export interface SiteSources {
  readonly server: WebServerName;
  /** Of the configuration or the application's file; undefined when there is neither. */
  readonly pool: PoolSettings | undefined;
  /** Relative paths mean this. */
  readonly cwd: string;
  /** Of this process: root's web server needs another user for its workers. */
  readonly uid: number;
}

const DEFAULT_MAX_BODY = "100m";
const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_PROCESSES = "2";

/** @throws {SettingError} for a value that cannot be one */
export function siteModel(flags: SiteFlags, sources: SiteSources): { site: Site; notes: string[] } {
  const { server, pool, cwd } = sources;
  const notes: string[] = [];
  const folder = appFolder(sources);
  const name = flags.name ?? pool?.name ?? nameOfFolder(folder);
  const tls = tlsOf(flags, cwd);
  const mount = mountOf(flags, pool) ?? "";
  const publicFolder = publicFolderOf(flags, sources, folder, notes);
  const standalone = standaloneOf(flags, sources, notes);
  if (flags.serverName === undefined) {
    notes.push("no --server-name: example.com stands for the name of your site; give yours");
  }
  const site: Site = {
    name,
    serverNames: flags.serverName ?? ["example.com"],
    listen: listenOf(flags.listen, tls !== undefined),
    mount,
    application: applicationOf(flags, sources, name, standalone, notes),
    apacheModule: moduleOf(flags),
    publicFolder,
    statics: (flags.static ?? []).map((text) => staticOf(text, publicFolder, cwd)),
    maxBodyBytes: bytesOf(flags.maxBody ?? DEFAULT_MAX_BODY),
    timeoutSeconds: timeoutOf(flags, pool) ?? DEFAULT_TIMEOUT_MS / 1000,
    // nginx alone loses no request when a worker that drains closes a kept connection: it is told, and asks again.
    isKeptAlive: flags.keepAlive ?? (server === "nginx" || flags.multiplex === true),
    isMultiplexed: flags.multiplex === true,
    isStreaming: flags.stream === true,
    tls,
    passwords: flags.passwords === undefined ? undefined : resolve(cwd, flags.passwords),
    sendFile: sendFileOf(flags, pool, cwd),
    webSocket: webSocketOf(flags, pool, mount, cwd),
    standalone,
  };
  tellMissingFiles(server, site, notes);
  return { site, notes };
}

/** What an existing configuration is compared with: only what was said, here or in Postern's configuration. */
export function expectedOf(flags: SiteFlags, { pool, cwd }: SiteSources): Expected {
  const addresses = flags.bind?.map((text) => bindOf(text, cwd)) ?? pool?.bind.filter(isReachable);
  const isSaid = addresses !== undefined && addresses.length > 0 && flags.spawn === undefined;
  return {
    addresses: isSaid ? addresses : undefined,
    mount: mountOf(flags, pool),
    maxBodyBytes: flags.maxBody === undefined ? undefined : bytesOf(flags.maxBody),
    sendFile:
      flags.sendFile === undefined && pool?.sendFile === undefined ? undefined : sendFileOf(flags, pool, cwd),
    timeoutSeconds: timeoutOf(flags, pool),
  };
}

function appFolder({ pool, cwd }: SiteSources): string {
  if (pool === undefined) return cwd;
  return pool.program.kind === "app" ? dirname(pool.program.file) : pool.chdir;
}

function mountOf({ mount }: SiteFlags, pool: PoolSettings | undefined): string | undefined {
  if (mount !== undefined) return mount.replace(/\/+$/, "");
  if (pool?.base !== undefined) return pool.base.replace(/\/+$/, "");
  const scriptName = pool?.scriptName;
  return scriptName?.startsWith("/") ? scriptName.replace(/\/+$/, "") : undefined;
}

function listenOf(text: string | undefined, isTls: boolean): Site["listen"] {
  if (text === undefined) return { host: undefined, port: isTls ? 443 : 80 };
  const [, six, host, port = ""] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? [];
  const number = Number(port);
  if (port === "" || number < 1 || number > 65_535) {
    throw wrong(`--listen ${JSON.stringify(text)}: write a port, or host:port such as 127.0.0.1:8080`);
  }
  return { host: six ?? (host || undefined), port: number };
}

function applicationOf(
  flags: SiteFlags,
  { server, pool, cwd }: SiteSources,
  name: string,
  standalone: Standalone | undefined,
  notes: string[],
): Attachment {
  if (flags.spawn !== undefined) {
    if (flags.bind !== undefined) {
      throw wrong(
        "--bind and --spawn: the application runs by itself at an address, or the web server starts it; give one of them",
      );
    }
    return {
      kind: "spawned",
      program: resolve(cwd, flags.spawn),
      processes: processesOf(flags.processes ?? DEFAULT_PROCESSES),
      isDynamic: flags.dynamic === true,
      socket:
        flags.socket === undefined ? spawnedSocket(server, name, standalone) : resolve(cwd, flags.socket),
      environment: {
        ...(isPython(resolve(cwd, flags.spawn), pool)
          ? { PYTHONPATH: ownFile("python") } // a stand-in for flup is there
          : { NODE_ENV: "production" }),
        ...environmentOf(flags.env ?? []),
      },
    };
  }
  for (const flag of ["processes", "dynamic", "socket", "env"] as const) {
    if (flags[flag] === undefined) continue;
    throw wrong(
      `--${flag} without --spawn: it is about a program that the web server starts; add --spawn PROGRAM, or leave it out`,
    );
  }
  const given = flags.bind?.map((text) => bindOf(text, cwd));
  return { kind: "external", addresses: given ?? [poolAddress(pool, name, notes)] };
}

function isPython(program: string, pool: PoolSettings | undefined): boolean {
  return isPythonApp(program) || (pool?.program.kind === "app" && pool.program.language === "python");
}

function spawnedSocket(server: WebServerName, name: string, standalone: Standalone | undefined): string {
  if (standalone !== undefined) return `${standalone.folder}/app.sock`;
  // The folder that its package makes, where it may write.
  return server === "lighttpd" ? `/run/lighttpd/${name}.sock` : `/run/${name}/app.sock`;
}

/** Several addresses of one application are ways to it, and no load to share: one is enough. */
function poolAddress(pool: PoolSettings | undefined, name: string, notes: string[]): Address {
  const bind = pool?.bind ?? [];
  if (bind.length === 0) return { kind: "unix", path: `/run/${name}/app.sock` };
  const usable = bind.filter(isReachable).map(connectable);
  const [first] = usable;
  if (first === undefined) {
    throw wrong(
      `bind ${bind.map(printAddress).join(", ")}: that is no address for a web server; say with --bind where it reaches the application, such as --bind unix:/run/${name}/app.sock`,
    );
  }
  if (usable.length > 1) {
    notes.push(
      `the application listens at ${usable.map(printAddress).join(" and ")}: the web server is given the first`,
    );
  }
  return first;
}

function isReachable({ kind }: Address): boolean {
  return kind === "unix" || kind === "tcp";
}

/** What listens on every address is reached on this machine's own. */
function connectable(address: Address): Address {
  if (address.kind !== "tcp") return address;
  if (address.host === "::") return { ...address, host: "::1" };
  return address.host === "" || address.host === "0.0.0.0" ? { ...address, host: "127.0.0.1" } : address;
}

function bindOf(text: string, cwd: string): Address {
  const address = parseAddress(text, "--bind");
  if (!isReachable(address)) {
    throw wrong(
      `--bind ${text}: a web server is given unix:/path or host:port; write the address of the socket itself`,
    );
  }
  return connectable(absoluteAddress(address, cwd));
}

function processesOf(text: string): number {
  const count = readCount(text);
  if (count !== undefined && count >= 1 && count <= 10_000) return count;
  throw wrong(`--processes ${JSON.stringify(text)}: a number from 1 to 10000`);
}

function environmentOf(texts: readonly string[]): Record<string, string> {
  const pairs = texts.map((text): [string, string] => {
    const at = text.indexOf("=");
    if (at < 1) throw wrong(`--env ${JSON.stringify(text)}: write NAME=value`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

function moduleOf({ module, spawn }: SiteFlags): ApacheModule {
  if (module === undefined) return spawn === undefined ? "proxy_fcgi" : "fcgid";
  const found = APACHE_MODULES.find((one) => one === module);
  if (found !== undefined) return found;
  throw wrong(`--module ${JSON.stringify(module)}: it is one of ${APACHE_MODULES.join(", ")}`);
}

function publicFolderOf(
  flags: SiteFlags,
  { server, pool, cwd }: SiteSources,
  folder: string,
  notes: string[],
): string | undefined {
  if (flags.root === false) return undefined;
  if (flags.root !== undefined) {
    const root = resolve(cwd, flags.root);
    if (pool !== undefined && `${folder}/`.startsWith(`${root}/`))
      notes.push(
        `--root ${root} holds the application: visitors can read its source; give a folder of files`,
      );
    return root;
  }
  if (pool?.static !== undefined) return pool.static;
  const beside = join(folder, "public");
  if (!isFolder(beside)) return undefined;
  // HAProxy sends no files at all, h2o none from the place of the application; both say so.
  const isSent = server !== "haproxy" && (server !== "h2o" || (mountOf(flags, pool) ?? "") !== "");
  if (isSent) {
    notes.push(
      `the files in ${beside} are for every visitor; --no-root leaves them out, --root chooses another folder`,
    );
  }
  return beside;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** `URL=FOLDER`, or `URL` for the folder of that name in the document root. */
function staticOf(text: string, publicFolder: string | undefined, cwd: string): StaticFiles {
  const at = text.indexOf("=");
  const path = (at < 0 ? text : text.slice(0, at)).replace(/\/*$/, "/");
  if (at >= 0) return { url: path, folder: resolve(cwd, text.slice(at + 1)) };
  if (publicFolder === undefined) {
    throw wrong(
      `--static ${text}: there is no document root to find it in; write --static ${text}=FOLDER, or add --root FOLDER`,
    );
  }
  return { url: path, folder: join(publicFolder, path).replace(/\/$/, "") };
}

function bytesOf(text: string): number {
  const bytes = readSize(text);
  if (bytes !== undefined) return bytes;
  throw wrong(`--max-body ${JSON.stringify(text)}: a size such as 512k, 100m or 1g; 0 is no limit`);
}

/** Undefined when nobody has said it. */
function timeoutOf({ timeout }: SiteFlags, pool: PoolSettings | undefined): number | undefined {
  if (timeout === undefined) {
    return pool?.requestTerminateTimeoutMs ? Math.ceil(pool.requestTerminateTimeoutMs / 1000) : undefined;
  }
  const ms = readDuration(timeout);
  if (ms !== undefined && ms >= 1000) return Math.ceil(ms / 1000);
  throw wrong(`--timeout ${JSON.stringify(timeout)}: a time from one second on, such as 60s or 5m`);
}

function tlsOf({ certificate, key, clientCa }: SiteFlags, cwd: string): Tls | undefined {
  if (certificate !== undefined && key !== undefined) {
    return {
      certificate: resolve(cwd, certificate),
      key: resolve(cwd, key),
      clientCa: clientCa === undefined ? undefined : resolve(cwd, clientCa),
    };
  }
  const lone = Object.entries({ "--certificate": certificate, "--key": key, "--client-ca": clientCa });
  const [flag] = lone.find(([, value]) => value !== undefined) ?? [];
  if (flag === undefined) return undefined;
  throw wrong(`${flag} alone: TLS needs --certificate FILE and --key FILE`);
}

function sendFileOf(flags: SiteFlags, pool: PoolSettings | undefined, cwd: string): OffloadFolder[] {
  return (flags.sendFile ?? pool?.sendFile ?? []).map((text) => {
    const entry = parseOffloadFolder(text);
    if (entry !== undefined) return { ...entry, folder: resolve(cwd, entry.folder) };
    throw wrong(`--send-file ${JSON.stringify(text)}: a folder, or folder=/internal/location/ for nginx`);
  });
}

/** None, unless the application is known to take WebSockets. */
function webSocketOf(
  { wsHttp, websocket }: SiteFlags,
  pool: PoolSettings | undefined,
  mount: string,
  cwd: string,
): WebSocketRoute | undefined {
  const text = wsHttp ?? pool?.wsHttp;
  const isWanted = websocket !== undefined || text !== undefined || pool?.upgrade === true;
  if (!isWanted) return undefined;
  const url = websocket?.replace(/\/+$/, "") ?? mount;
  if (text === undefined) return { url, address: undefined };
  const address = absoluteAddress(parseAddress(text, "--ws-http"), cwd);
  if (isReachable(address)) return { url, address: connectable(address) };
  throw wrong(`--ws-http ${text}: a web server is given unix:/path or host:port`);
}

/** Root's web server starts as root, and its workers must be somebody else. */
function standaloneOf(
  { standalone }: SiteFlags,
  { server, cwd, uid }: SiteSources,
  notes: string[],
): Standalone | undefined {
  if (standalone === undefined) return undefined;
  const folder = resolve(cwd, standalone);
  if (folder === "/") throw wrong("--standalone /: give a folder of its own, for all that the server writes");
  const nobody: Standalone = { folder, user: undefined, group: undefined, modules: undefined };
  // Caddy stays who it was started as.
  if (uid !== 0 || server === "caddy") return nobody;
  const user = webServerUser();
  if (user === undefined) return nobody;
  notes.push(`its workers become ${user}, who needs to reach ${folder}`);
  return { ...nobody, user, group: isGroup(user) ? user : undefined };
}

/** The configuration may be for another machine: what is missing here is told, not refused. */
function tellMissingFiles(
  server: WebServerName,
  { application, tls, passwords }: Site,
  notes: string[],
): void {
  const files = [
    ["--spawn", application.kind === "spawned" ? application.program : undefined],
    ["--certificate", tls?.certificate],
    ["--key", tls?.key],
    ["--client-ca", tls?.clientCa],
    ["--passwords", passwords],
  ] as const;
  for (const [flag, path] of files) {
    if (path !== undefined && !existsSync(path)) {
      notes.push(`${flag} ${path}: there is no such file here; ${server} will want it`);
    }
  }
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

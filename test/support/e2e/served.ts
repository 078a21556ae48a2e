/** A Postern server in this process for a web server to talk to, and the pair of both. */
import { join } from "node:path";
import { type Application, createServer, type Server, type ServerOptions } from "../../../src/index.ts";
import { temporaryFolder } from "../temp.ts";
import { startApache } from "../web-servers/apache.ts";
import type { ServerName } from "../web-servers/available.ts";
import { type LighttpdOptions, startLighttpd } from "../web-servers/lighttpd.ts";
import { startNginx } from "../web-servers/nginx.ts";
import { type FastCgiAddress, serverUser, type WebServer } from "../web-servers/web-server.ts";

export type Transport = "unix" | "tcp";

/** What the server logged. */
export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Served {
  readonly server: Server;
  readonly address: FastCgiAddress;
  readonly log: readonly LogEntry[];
  close(): Promise<void>;
}

/** Serves an application on an address of its own that www-data may use. */
export async function servePostern(
  application: Application,
  transport: Transport = "unix",
  options: ServerOptions = {},
): Promise<Served> {
  const log: LogEntry[] = [];
  const at =
    (level: LogEntry["level"]) =>
    (fields: object, message: string): void => {
      log.push({ level, message, fields: { ...fields } });
    };
  const user = serverUser();
  const server = createServer(application, {
    bind: transport === "unix" ? `unix:${join(temporaryFolder("app"), "a.sock")}` : "127.0.0.1:0",
    ...(user ? { group: user.gid } : {}),
    drainTimeoutMs: 2000,
    logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    ...options,
  });
  await server.listen();
  return {
    server,
    address: addressOf(server.addresses[0]!),
    log,
    async close() {
      // What a failed test left open must not hold the next one up.
      if (server.stats.openRequests > 0) server.destroy("the test is over");
      await server.close();
    },
  };
}

/** An address of `server.addresses` as the web servers' configurations want it. */
export function addressOf(text: string): FastCgiAddress {
  if (text.startsWith("unix:")) return { unix: text.slice("unix:".length) };
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

/** One way to put a web server in front of an application. */
export interface Site extends Omit<LighttpdOptions, "application"> {
  readonly web: "nginx" | "apache" | "lighttpd";
  readonly transport: Transport;
  readonly mount: string;
  /** Options the server needs in this place. */
  readonly server?: ServerOptions;
}

const START = { nginx: startNginx, apache: startApache, lighttpd: startLighttpd } as const satisfies Partial<
  Record<ServerName, unknown>
>;

/** `nginx mounted unix keep-conn streaming`. */
export function titleOf(site: Site): string {
  const words = [site.web, site.mount === "" ? "root" : "mounted", site.transport];
  if (site.keepConn) words.push("keep-conn");
  if (site.streaming) words.push("streaming");
  if (site.fixRootScriptName === false) words.push("without fix-root-scriptname");
  for (const name of Object.keys(site.server ?? {})) words.push(name);
  return words.join(" ");
}

/** Some of the web server's limits are lower than ours, which are to be seen. */
const DIRECTIVES = {
  nginx: "",
  // A worker waits this long for the next request before it ends a response that broke off.
  apache: "KeepAliveTimeout 1\nLimitRequestLine 16380\n",
  lighttpd: 'server.max-request-field-size = 65536\nserver.errorfile-prefix = ""\n',
} as const;

/** Starts the web server of a site. */
export function startSite(site: Site, address: FastCgiAddress): Promise<WebServer> {
  const { web, transport: _, server: __, ...options } = site;
  const globalDirectives = `${DIRECTIVES[web]}${site.globalDirectives ?? ""}`;
  return START[web]({ ...options, globalDirectives, application: address });
}

/** Runs `test` with an application behind a web server of its own. */
export async function withSite(
  site: Site,
  application: Application,
  test: (both: { readonly web: WebServer; readonly served: Served }) => Promise<void>,
): Promise<void> {
  const served = await servePostern(application, site.transport, site.server);
  try {
    const web = await startSite(site, served.address);
    try {
      await test({ web, served });
    } finally {
      await web.stop();
    }
  } finally {
    await served.close();
  }
}

/** Something that happens once, to wait for. */
export interface Gate<T = void> {
  readonly opened: Promise<T>;
  open(value: T): void;
}

export function gate<T = void>(): Gate<T> {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

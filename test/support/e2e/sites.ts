/**
 * Every web server, of every version that is here, in every way that it can be attached: sites as data. Their
 * configurations are those of `postern config`; `hand` are the few that are not, because users have them from elsewhere.
 */
import type { Site, WebServerName } from "../../../src/sites/index.ts";
import { isThorough } from "../thorough.ts";
import { isAvailable, type ServerName } from "../web-servers/available.ts";
import {
  canStart,
  externalAt,
  type Release,
  type SiteOptions,
  startGenerated,
} from "../web-servers/generated.ts";
import type { WebServer } from "../web-servers/web-server.ts";
import type { FormName, Probe, Transport } from "./probe.ts";
import { type Middleware, pythonFormOf } from "./probe-python.ts";
import { startSite } from "./served.ts";
import { startSharedHost } from "./shared-host.ts";

/** A column of the table in docs/web-servers.md. */
export const COLUMNS = [
  "nginx",
  "nginx current",
  "Apache mod_proxy_fcgi",
  "Apache mod_fcgid",
  "lighttpd",
  "lighttpd current",
  "Caddy",
  "Caddy current",
  "HAProxy",
  "HAProxy current",
  "h2o",
] as const;
export type Column = (typeof COLUMNS)[number];

type Generated = Exclude<WebServerName, "cherokee">;

export const SERVERS: Readonly<Record<Column, readonly [Generated, Release]>> = {
  nginx: ["nginx", "system"],
  "nginx current": ["nginx", "current"],
  "Apache mod_proxy_fcgi": ["apache", "system"],
  "Apache mod_fcgid": ["apache", "system"],
  lighttpd: ["lighttpd", "system"],
  "lighttpd current": ["lighttpd", "current"],
  Caddy: ["caddy", "system"],
  "Caddy current": ["caddy", "current"],
  HAProxy: ["haproxy", "system"],
  "HAProxy current": ["haproxy", "current"],
  h2o: ["h2o", "system"],
};

export interface SuiteSite {
  readonly column: Column;
  /** How it is attached, and what the application is: `mounted tcp keep-alive, express`. Unique in its column. */
  readonly title: string;
  readonly mount: string;
  readonly form: FormName;
  /** The applications' addresses; empty when the web server starts it. */
  readonly transports: readonly Transport[];
  readonly isKeptAlive: boolean;
  readonly isMultiplexed: boolean;
  readonly isStreaming: boolean;
  readonly isSpawned: boolean;
  /** `base` is stated, as that server needs it, or to learn the mount without its slash. */
  readonly hasBase: boolean;
  /** The one site of its server that is tested where not everything is. */
  readonly isFirst: boolean;
  /** In place of a generated configuration. */
  readonly hand: ((probe: Probe, publicFolder: string) => Promise<WebServer>) | undefined;
  /** More options of `serve`. */
  readonly serve: Readonly<Record<string, unknown>>;
  /** Of the classic guide, around an application in Python. */
  readonly wrapped: Middleware | undefined;
}

const MOUNT = "/yourapplication";
const FLAGS = [
  "mounted",
  "root",
  "unix",
  "tcp",
  "two",
  "spawned",
  "keep-alive",
  "multiplexed",
  "streaming",
  "base",
];

/** A site by its words: `mounted unix keep-alive`. */
function site(column: Column, words: string, form: FormName, more: Partial<SuiteSite> = {}): SuiteSite {
  const flags = words.split(" ");
  const unknown = flags.filter((flag) => !FLAGS.includes(flag));
  if (unknown.length > 0) throw new Error(`${words}: ${unknown.join()} is no word for a site`);
  const has = (flag: string): boolean => flags.includes(flag);
  const transport: Transport = has("tcp") ? "tcp" : "unix";
  return {
    column,
    title: `${words}, ${form}${more.wrapped === undefined ? "" : ` in ${more.wrapped}`}`,
    mount: has("mounted") ? MOUNT : "",
    form,
    transports: has("spawned") ? [] : has("two") ? [transport, transport] : [transport],
    isKeptAlive: has("keep-alive"),
    isMultiplexed: has("multiplexed"),
    isStreaming: has("streaming"),
    isSpawned: has("spawned"),
    hasBase: has("base"),
    isFirst: false,
    hand: undefined,
    serve: has("base") ? { base: has("mounted") ? MOUNT : "" } : {},
    wrapped: undefined,
    ...more,
  };
}

/** lighttpd as users have it who did not get it from us. */
function startWithoutRootFix({ addresses }: Probe): Promise<WebServer> {
  return startSite(
    { web: "lighttpd", transport: "unix", mount: "", fixRootScriptName: false },
    addresses[0]!,
  );
}

/** Columns whose sites differ in little but the release get fewer for the second. */
const ALL: readonly SuiteSite[] = [
  site("nginx", "mounted unix keep-alive", "express"),
  site("nginx", "mounted unix", "listener"),
  site("nginx", "mounted tcp", "fetch"),
  site("nginx", "mounted tcp keep-alive streaming", "express"),
  site("nginx", "root unix", "express"),
  site("nginx", "root tcp keep-alive", "httpServer"),
  site("nginx", "root unix streaming", "listener"),
  site("nginx", "root tcp two keep-alive", "listener"),
  site("nginx", "root unix keep-alive streaming", "fetch"),
  site("nginx", "mounted unix keep-alive", "flask"),
  site("nginx", "mounted tcp streaming", "django"),
  site("nginx", "root tcp", "bottle"),
  site("nginx current", "mounted unix keep-alive", "express"),
  site("nginx current", "root tcp", "listener"),
  site("nginx current", "root unix two keep-alive streaming", "fetch"),
  site("Apache mod_proxy_fcgi", "mounted unix", "express"),
  site("Apache mod_proxy_fcgi", "root unix", "listener"),
  site("Apache mod_proxy_fcgi", "root tcp keep-alive streaming", "express"),
  site("Apache mod_proxy_fcgi", "mounted unix streaming", "fetch"),
  site("Apache mod_proxy_fcgi", "mounted unix", "bottle"),
  site("Apache mod_fcgid", "mounted spawned", "listener"),
  site("Apache mod_fcgid", "root spawned streaming", "listener"),
  site("Apache mod_fcgid", "root spawned", "express"),
  site("Apache mod_fcgid", "root spawned", "fetch", {
    title: "root spawned by .htaccess, fetch",
    hand: ({ program }, publicFolder) => startSharedHost(program, publicFolder),
  }),
  site("Apache mod_fcgid", "mounted spawned", "flask"),
  site("Apache mod_fcgid", "root spawned", "django", {
    title: "root spawned by .htaccess, django in ScriptNameStripper",
    hand: ({ program }, publicFolder) => startSharedHost(program, publicFolder),
    wrapped: "ScriptNameStripper",
  }),
  site("lighttpd", "mounted tcp", "express"),
  site("lighttpd", "mounted unix base", "listener"),
  site("lighttpd", "root unix streaming", "express"),
  site("lighttpd", "mounted unix streaming", "fetch"),
  site("lighttpd", "root spawned", "listener"),
  site("lighttpd", "root unix", "express", {
    title: "root unix without fix-root-scriptname, express",
    hand: startWithoutRootFix,
    serve: { LighttpdCGIRootFix: true },
  }),
  site("lighttpd", "mounted unix base", "bottle"),
  site("lighttpd", "root spawned", "flask"),
  site("lighttpd", "root unix", "django", {
    title: "root unix without fix-root-scriptname, django in LighttpdCGIRootFix",
    hand: startWithoutRootFix,
    wrapped: "LighttpdCGIRootFix",
  }),
  site("lighttpd", "root unix base", "flask", {
    title: "root unix without fix-root-scriptname, flask with an empty base",
    hand: startWithoutRootFix,
  }),
  site("lighttpd current", "mounted unix base", "express"),
  site("lighttpd current", "root tcp streaming", "listener"),
  site("lighttpd current", "mounted spawned", "fetch"),
  site("Caddy", "mounted unix", "express"),
  site("Caddy", "root tcp streaming", "listener"),
  site("Caddy", "mounted tcp two", "fetch"),
  site("Caddy", "mounted unix", "django"),
  site("Caddy current", "mounted unix", "express"),
  site("Caddy current", "root tcp streaming", "listener"),
  site("HAProxy", "mounted unix keep-alive", "express"),
  site("HAProxy", "root tcp", "listener"),
  site("HAProxy", "root tcp two keep-alive multiplexed", "fetch"),
  site("HAProxy", "mounted unix keep-alive", "flask"),
  site("HAProxy current", "mounted tcp keep-alive multiplexed", "express"),
  site("HAProxy current", "root unix", "listener"),
  site("h2o", "mounted unix base", "express"),
  site("h2o", "root tcp keep-alive", "listener"),
  site("h2o", "root spawned", "fetch"),
  site("h2o", "mounted unix base", "bottle"),
];

/** One site for each server, unless everything is tested. */
export const SITES: readonly SuiteSite[] = ALL.map((one) => ({
  ...one,
  isFirst: ALL.find(({ column }) => column === one.column) === one,
})).filter(({ isFirst }) => isThorough || isFirst);

/** Why a site cannot be tested on this machine. */
export function missingFor({
  column,
  form,
}: Pick<SuiteSite, "column"> & Partial<Pick<SuiteSite, "form">>): string | undefined {
  const [server, release] = SERVERS[column];
  const module: ServerName[] = column === "Apache mod_fcgid" ? ["apache-fcgid"] : [];
  const framework = pythonFormOf(form ?? "");
  if (framework !== undefined) module.push("python", framework);
  if (canStart(server, release) && module.every(isAvailable)) return undefined;
  return release === "current"
    ? `there is no current ${server}: node scripts/current-servers.mjs fetches it, on Debian`
    : `not installed: ${[server, ...module].join(", ")}`;
}

/** Starts the web server of a site in front of a probe. */
export function startSuiteSite(one: SuiteSite, probe: Probe, publicFolder: string): Promise<WebServer> {
  if (one.hand !== undefined) return one.hand(probe, publicFolder);
  const [server, release] = SERVERS[one.column];
  const application: Site["application"] = one.isSpawned
    ? {
        kind: "spawned",
        program: probe.program,
        processes: 1,
        isDynamic: false,
        socket: probe.program.replace(/[^/]+$/, "spawned.sock"),
        environment: {},
      }
    : externalAt(...probe.addresses);
  const options: SiteOptions = {
    application,
    mount: one.mount,
    apacheModule: one.isSpawned ? "fcgid" : "proxy_fcgi",
    publicFolder,
    statics: [{ url: "/static/", folder: `${publicFolder}/static` }],
    isKeptAlive: one.isKeptAlive,
    isMultiplexed: one.isMultiplexed,
    isStreaming: one.isStreaming,
  };
  return startGenerated(server, options, release);
}

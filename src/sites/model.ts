/**
 * What a web server has to know of an application, and what a configuration made from it is. One model for all of
 * them: what a server cannot do, its generator refuses or says in a note. Values only, nothing here looks at the disk.
 */
import type { Address } from "../base/address.ts";
import type { OffloadFolder } from "../base/offload-folder.ts";
import type { GeneratedFile, Step } from "../generate/model.ts";

/** The web servers there are configurations for. */
export const WEB_SERVERS = ["nginx", "apache", "lighttpd", "caddy", "haproxy", "h2o", "cherokee"] as const;
export type WebServerName = (typeof WEB_SERVERS)[number];

/** Apache's modules that speak FastCGI. */
export const APACHE_MODULES = ["proxy_fcgi", "fcgid", "fastcgi"] as const;
export type ApacheModule = (typeof APACHE_MODULES)[number];

/** Where the web server finds the application. All paths are absolute. */
export type Attachment = External | Spawned;

/** It runs by itself (`postern serve`, a service): one address or, to share the load, several. */
export interface External {
  readonly kind: "external";
  /** Unix sockets and TCP only; never empty. */
  readonly addresses: readonly Address[];
}

/** The web server starts it, and passes a listening socket as descriptor 0 where it does so. */
export interface Spawned {
  readonly kind: "spawned";
  /** The `.fcgi` file. */
  readonly program: string;
  /** How many the web server starts, or may start. */
  readonly processes: number;
  /** mod_fastcgi: started with the first request instead of at once. */
  readonly isDynamic: boolean;
  /** The path of the unix socket, for servers that want one named. */
  readonly socket: string;
  /** More environment variables for it; web servers give it next to none. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Files that the web server sends itself: what is asked for below `url` is in `folder`. */
export interface StaticFiles {
  /** Such as `/static/`: with a slash at both ends. Of the whole site, not of the mount. */
  readonly url: string;
  /** Without a slash at the end. */
  readonly folder: string;
}

export interface Tls {
  /** PEM: the certificate and those between it and the root. */
  readonly certificate: string;
  readonly key: string;
  /** PEM: visitors may show certificates signed by one of these, and the application is told which was shown. */
  readonly clientCa: string | undefined;
}

/** WebSocket: inside FastCGI where the server can, else by HTTP to the side listener of `--ws-http`. */
export interface WebSocketRoute {
  /**
   * The URL below which visitors open them, such as `/ws`: no slash at the end. Of the whole site. The same as `mount`
   * (`""` for the root): anywhere in the application, told from other requests by their header Upgrade.
   */
  readonly url: string;
  /** The side listener. Undefined: inside FastCGI. */
  readonly address: Address | undefined;
}

/** A whole configuration for a server of its own, in the foreground, that needs nothing of the system's. */
export interface Standalone {
  /** For the configuration, and for everything the server writes. It is there. */
  readonly folder: string;
  /** Who its workers become. Undefined: whoever starts it. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Where its modules are (Apache: `mod_*.so`, lighttpd: `mod_*.so`). Undefined: where it looks by itself. */
  readonly modules: string | undefined;
}

/** One application and the web server in front of it. */
export interface Site {
  /** Letters, digits, `.`, `_` and `-`: names of upstreams, backends, files. */
  readonly name: string;
  /** Host names; never empty. The first is the site's own name. */
  readonly serverNames: readonly string[];
  /** Where the web server listens; no host means every address. */
  readonly listen: { readonly host: string | undefined; readonly port: number };
  /** The URL path of the application, not encoded: `""` for the root, or `/yourapplication` without a slash at the end. */
  readonly mount: string;
  readonly application: Attachment;
  /** Apache only. */
  readonly apacheModule: ApacheModule;
  /** The document root. Where the server can ask for each file, files in it come before the application. */
  readonly publicFolder: string | undefined;
  readonly statics: readonly StaticFiles[];
  /** The largest request body; 0 is no limit. */
  readonly maxBodyBytes: number;
  /** How long the application may be silent. */
  readonly timeoutSeconds: number;
  /** Keep connections to the application open, where the server can. */
  readonly isKeptAlive: boolean;
  /** HAProxy: several requests at once on one connection. */
  readonly isMultiplexed: boolean;
  /** Pass bodies on in both directions as they come, instead of collecting them first. Event streams pass either way. */
  readonly isStreaming: boolean;
  readonly tls: Tls | undefined;
  /** A file of `user:hash` lines: the web server asks for a password, and REMOTE_USER is who gave the right one. */
  readonly passwords: string | undefined;
  /** Folders whose files the web server sends in the application's place: `--send-file`. */
  readonly sendFile: readonly OffloadFolder[];
  readonly webSocket: WebSocketRoute | undefined;
  readonly standalone: Standalone | undefined;
}

/** What making a configuration gives. */
export interface GeneratedSite {
  /** The first is the configuration itself. Standalone: all in its folder; else where the distribution looks (Debian). */
  readonly files: readonly GeneratedFile[];
  /** The command by which the server checks it. Its first word is the name of the program, without a folder. */
  readonly check: readonly string[];
  /** Standalone: the command that runs it in the foreground; else undefined. */
  readonly run: readonly string[] | undefined;
  /** What to do with the files: `install`, `check`, `reload`. */
  readonly steps: readonly Step[];
  /** Sentences for whoever asked for it: what this server cannot do, what to mind, what to tell Postern. */
  readonly notes: readonly string[];
}

/** Something an existing configuration gets wrong. */
export interface Finding {
  /** What is found, in lower case with dashes: `encoded-slashes-refused`. Documented by this name. */
  readonly rule: string;
  /** `error`: requests fail or come out wrong. `warning`: they do in some cases, or could be better. */
  readonly severity: "error" | "warning";
  /** Of the text that was checked, from 1; 0 when the whole lacks something. */
  readonly line: number;
  /** One sentence: what is wrong, and what comes of it. */
  readonly what: string;
  /** What to write instead, as that server's configuration or a sentence. */
  readonly remedy: string;
}

/** What a configuration is compared with; undefined members are not compared. */
export interface Expected {
  readonly addresses: readonly Address[] | undefined;
  readonly mount: string | undefined;
  readonly maxBodyBytes: number | undefined;
  readonly sendFile: readonly OffloadFolder[] | undefined;
  /** How long the application may take. */
  readonly timeoutSeconds?: number | undefined;
}

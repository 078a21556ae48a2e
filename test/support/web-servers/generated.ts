/**
 * Web servers run from the configuration that `postern config <server> --standalone` writes, of every version that is
 * here: what is tested is what users are given. Nothing is added to it.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generateSite, type Site, type WebServerName } from "../../../src/sites/index.ts";
import { findProgram, programOf, type ServerName } from "./available.ts";
import { type Command, type CurrentName, currentCommand, currentFolder, findCurrent } from "./current.ts";
import { type FastCgiAddress, startWebServer, versionOf, type WebServer } from "./web-server.ts";

/** This machine's, or the newest (Debian sid's). */
export type Release = "system" | "current";

/** What a test says of a site; the rest is {@link DEFAULTS}. */
export type SiteOptions = Partial<Site> & Pick<Site, "application">;

const DEFAULTS: Omit<Site, "application" | "listen" | "standalone"> = {
  name: "yourapplication",
  serverNames: ["example.com"],
  mount: "",
  apacheModule: "proxy_fcgi",
  publicFolder: undefined,
  statics: [],
  maxBodyBytes: 0,
  timeoutSeconds: 60,
  isKeptAlive: false,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
};

interface Kind {
  /** How the program says its version, and where in that. */
  readonly version: readonly [argument: string, pattern: RegExp];
  readonly reloadSignal: NodeJS.Signals;
  /** A line of its log that appears once for the start and once for each reload. */
  readonly readyLine: RegExp;
}

const KINDS: Readonly<Record<Exclude<WebServerName, "cherokee">, Kind>> = {
  nginx: { version: ["-v", /nginx\/(\S+)/], reloadSignal: "SIGHUP", readyLine: /start worker processes/ },
  apache: {
    version: ["-v", /Apache\/(\S+)/],
    reloadSignal: "SIGUSR1",
    readyLine: /resuming normal operations/,
  },
  lighttpd: { version: ["-v", /lighttpd\/(\S+)/], reloadSignal: "SIGUSR1", readyLine: /server started/ },
  caddy: {
    version: ["version", /(\d+\.\d+\S*)/],
    reloadSignal: "SIGUSR1",
    readyLine: /serving initial configuration/,
  },
  haproxy: { version: ["-v", /version (\S+)/], reloadSignal: "SIGUSR2", readyLine: /./ },
  h2o: { version: ["--version", /version (\S+)/], reloadSignal: "SIGHUP", readyLine: /./ },
};

/** Whether a server can be started here. Cherokee cannot be had from any distribution that we test on. */
export function canStart(server: WebServerName, release: Release = "system"): boolean {
  if (server === "cherokee") return false;
  if (release === "system") return findProgram(server satisfies ServerName) !== undefined;
  return isCurrentName(server) && findCurrent(server) !== undefined;
}

function isCurrentName(server: WebServerName): server is CurrentName & WebServerName {
  return server === "nginx" || server === "lighttpd" || server === "haproxy" || server === "caddy";
}

/**
 * Starts a web server with a generated configuration, and waits until it accepts.
 * @param more lines at the end of it: what an administrator sets beside
 */
export function startGenerated(
  server: Exclude<WebServerName, "cherokee">,
  options: SiteOptions,
  release: Release = "system",
  more = "",
): Promise<WebServer> {
  const { version, reloadSignal, readyLine } = KINDS[server];
  const command = commandOf(server, release);
  return startWebServer({
    name: server,
    program: command.program,
    version: versionOf(command.program, [...command.args, version[0]], version[1]),
    mount: options.mount ?? "",
    documentRoot: options.publicFolder,
    reloadSignal,
    readyLine,
    prepare({ port, folder, documentRoot, user }) {
      const site: Site = {
        ...DEFAULTS,
        publicFolder: documentRoot,
        ...options,
        listen: { host: "127.0.0.1", port },
        standalone: { folder, user: user?.user, group: user?.group, modules: modulesOf(server, release) },
      };
      const { files, run } = generateSite(server, site);
      if (run === undefined) throw new Error(`${server}: a standalone site without a command to run it`);
      for (const { path, text, mode } of files) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, path === files[0]?.path ? text + more : text);
        chmodSync(path, mode);
      }
      return {
        files: {},
        args: [...command.args, ...run.slice(1)],
        // Caddy wants a home, and writes there; it does not become another user. The newest is in our own home.
        env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
        runAs: server === "caddy" && release === "system" ? user : undefined,
      };
    },
  });
}

/** The program of a server, and the arguments that come before its own. */
export function commandOf(server: Exclude<WebServerName, "cherokee">, release: Release): Command {
  if (release === "system") return { program: programOf(server), args: [] };
  if (!isCurrentName(server)) throw new Error(`there is no newer ${server} than this machine's`);
  return currentCommand(server);
}

/** Where the modules of a server are that is not installed. */
export function modulesOf(server: WebServerName, release: Release): string | undefined {
  return server === "lighttpd" && release === "current"
    ? join(currentFolder(), "usr", "lib", "lighttpd")
    : undefined;
}

/** An address of the tests as the model has it. */
export function externalAt(...addresses: readonly FastCgiAddress[]): Site["application"] {
  return {
    kind: "external",
    addresses: addresses.map((address) =>
      "unix" in address
        ? { kind: "unix", path: address.unix }
        : { kind: "tcp", host: address.host, port: address.port },
    ),
  };
}

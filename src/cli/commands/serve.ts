/**
 * `postern serve app.js`: an application file on FastCGI sockets, with an HTTP gateway in front if asked for.
 * One process; the manager builds on the same parts.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { handlerFor } from "../../adapters/app.ts";
import { parseAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { type Logger, LogLevel, type LogLevelName, silentLogger, stderrLogger } from "../../base/log.ts";
import { createGateway } from "../../gateway/index.ts";
import { serveCgi } from "../../serve.ts";
import type { Handler } from "../../server/exchange.ts";
import { isPlainCgi } from "../../server/inherited.ts";
import type { ResolvedOptions, ServerOptions } from "../../server/options.ts";
import { type Drainable, drainOnSignals, survivePipes } from "../../server/process.ts";
import { Server } from "../../server/server.ts";
import { isListening, loadApplication } from "../load-app.ts";

interface ServeFlags {
  readonly bind?: readonly string[];
  readonly http?: string;
  readonly static?: string;
  readonly base?: string;
  readonly scriptName?: string;
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
  readonly allowedClients?: string;
  readonly stripBase?: boolean;
  readonly development?: boolean;
  readonly logLevel: LogLevelName;
}

export function serveCommand(): Command {
  return new Command("serve")
    .description("Serve an application file (ESM, CommonJS or TypeScript) over FastCGI.")
    .argument("<file>", "file that exports the application: (req, res) => …, { fetch }, an http.Server, …")
    .option(
      "-b, --bind <address>",
      "listen there, repeatable: unix:/path, host:port, unix:@abstract, fd:N, systemd (default: the inherited socket)",
      (address: string, all: readonly string[] | undefined) => [...(all ?? []), address],
    )
    .option(
      "--http <address>",
      "also answer HTTP there, such as :8080 or 127.0.0.1:3000; no web server needed",
    )
    .option("--static <folder>", "with --http: serve files of this folder before asking the application")
    .option("--base <path>", "the mount, such as /app, when the web server does not tell it")
    .option("--script-name <how>", "auto, keep, '' or /path: how the mount is found (default: auto)")
    .option("--strip-base", "fetch applications: request.url without the mount")
    .option("--mode <octal>", "permissions of unix sockets (default: 0660)")
    .option("--owner <user>", "owner of unix sockets")
    .option("--group <group>", "group of unix sockets, usually the web server's, such as www-data")
    .option(
      "--allowed-clients <list>",
      "who may connect over TCP: addresses and ranges, comma-separated, or any",
    )
    .option("--development", "error pages with stack traces (default: NODE_ENV is development)")
    .addOption(
      new Option("--log-level <level>", "least severe message to print")
        .choices(Object.keys(LogLevel))
        .default("info")
        .argParser((level) => {
          if (Object.hasOwn(LogLevel, level)) return level as LogLevelName;
          throw new InvalidArgumentError(`Allowed: ${Object.keys(LogLevel).join(", ")}.`);
        }),
    )
    .action(serveFile);
}

async function serveFile(file: string, flags: ServeFlags): Promise<void> {
  if (flags.static !== undefined && flags.http === undefined) {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      "--static needs --http: behind a web server, let that serve the files",
    );
  }
  const logger = stderrLogger(flags.logLevel);
  // Relative paths on the command line mean where it was typed; those of the application, its own folder.
  const path = resolve(file);
  const bind = (flags.bind ?? []).map(absoluteBind);
  const files = flags.static === undefined ? undefined : resolve(flags.static);
  let handler: Handler = unloaded;
  const handle: Handler = (exchange) => handler(exchange);
  // Made before the application is loaded, so that a mistake in a flag is told first.
  const server = new Server(handle, serverOptions(flags, bind, logger));
  process.chdir(folderOf(path));
  handler = handlerFor(await loadApplication(path));
  if (isListening()) {
    logger.warn(
      {},
      "the application listens on a port of its own, which the web server does not guard: remove its listen()",
    );
  }
  const parts: Part[] = [];
  try {
    if (bind.length > 0 || flags.http === undefined) {
      await server.listen();
      if (server.addresses.length === 0) {
        if (!isPlainCgi(process.env)) throw nothingToListenOn(file);
        serveCgi(server);
        return;
      }
      for (const address of server.addresses) logger.info({ address }, "listening for FastCGI");
      if (server.isSpawned) survivePipes();
      parts.push(server);
    }
    if (flags.http !== undefined) parts.push(await openFront(flags.http, handle, server.options, files));
  } catch (error) {
    for (const part of [server, ...parts]) part.destroy("start failed");
    throw error;
  }
  const all = together(parts, logger);
  drainOnSignals(all);
  await all.closed;
}

/** A server, or the gateway with a server of its own behind it. */
type Part = Drainable & { close(): Promise<unknown> };

function together(parts: readonly Part[], logger: Logger): Part {
  return {
    options: { logger },
    get stats() {
      return { openRequests: parts.reduce((sum, part) => sum + part.stats.openRequests, 0) };
    },
    closed: Promise.all(parts.map((part) => part.closed)),
    close: () => Promise.all(parts.map((part) => part.close())),
    destroy: (reason) => {
      for (const part of parts) part.destroy(reason);
    },
  };
}

/**
 * The HTTP gateway, before a server of its own on a socket that only this process uses: so the gateway can finish
 * what it has begun while the sockets of web servers are closed already.
 */
async function openFront(
  address: string,
  handler: Handler,
  { logger, development }: ResolvedOptions,
  files: string | undefined,
): Promise<Part> {
  const folder = mkdtempSync(join(tmpdir(), "postern-"));
  const server = new Server(handler, { bind: `unix:${join(folder, "app.sock")}`, logger, development });
  const destroy = (reason: string): void => {
    server.destroy(reason);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.listen();
    const gateway = createGateway({
      connect: server.addresses[0]!,
      // What the application writes to STDERR has been logged by the server behind it, in this process.
      logger: { ...logger, warn: silentLogger.warn },
      development,
      ...(files !== undefined && { files }),
    });
    await gateway.listen(address);
    logger.info({}, gateway.url === undefined ? `listening for HTTP on ${address}` : `open ${gateway.url}`);
    return {
      options: server.options,
      get stats() {
        return server.stats;
      },
      closed: server.closed.then(() => rmSync(folder, { recursive: true, force: true })),
      // The gateway goes first, so that what it has accepted still finds the application.
      close: () => gateway.close().then(() => server.close()),
      destroy,
    };
  } catch (error) {
    destroy("start failed");
    throw error;
  }
}

function unloaded(): never {
  throw new Error("a request came before the application was loaded");
}

function nothingToListenOn(file: string): SettingError {
  return new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    `nothing to listen on: name an address (postern serve ${file} --bind unix:/run/app.sock) or try it without a web server (--http :8080)`,
  );
}

function serverOptions(flags: ServeFlags, bind: string[], logger: Logger): ServerOptions {
  const { base, scriptName, mode, owner, group, allowedClients, stripBase, development } = flags;
  return {
    bind,
    logger,
    ...(base !== undefined && { base }),
    ...(scriptName !== undefined && { scriptName }),
    ...(mode !== undefined && { mode }),
    ...(owner !== undefined && { owner }),
    ...(group !== undefined && { group }),
    ...(allowedClients !== undefined && { allowedClients }),
    ...(stripBase !== undefined && { stripBase }),
    ...(development !== undefined && { development }),
  };
}

/** The folder of the application; of a file that is not there, wherever we are: loading says what is wrong. */
function folderOf(path: string): string {
  return existsSync(path) ? dirname(path) : process.cwd();
}

/** A unix address is relative to where the command was typed; the process moves to the application's folder. */
function absoluteBind(text: string): string {
  const address = parseAddress(text, "--bind");
  return address.kind === "unix" ? `unix:${resolve(address.path)}` : text;
}

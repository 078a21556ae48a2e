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
import { type Logger, LogLevel, type LogLevelName, stderrLogger } from "../../base/log.ts";
import { createGateway, type Gateway } from "../../gateway/index.ts";
import type { ServerOptions } from "../../server/options.ts";
import { drainOnSignals, survivePipes } from "../../server/process.ts";
import { Server } from "../../server/server.ts";
import { loadApplication } from "../load-app.ts";

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
  process.chdir(folderOf(path));
  const application = await loadApplication(path);
  const handler = handlerFor(application);
  const folder = flags.http !== undefined && bind.length === 0 ? privateFolder() : undefined;
  if (folder !== undefined) bind.push(`unix:${join(folder, "app.sock")}`);
  const server = new Server(handler, serverOptions(flags, bind, logger));
  try {
    await server.listen();
    if (server.addresses.length === 0) {
      throw new SettingError(
        "ERR_POSTERN_NO_LISTENER",
        `nothing to listen on: name an address (postern serve ${file} --bind unix:/run/app.sock) or try it without a web server (--http :8080)`,
      );
    }
    const gateway =
      flags.http === undefined ? undefined : await openGateway(flags.http, server, files, logger);
    announce(server, gateway, folder !== undefined, logger);
    if (server.isSpawned) survivePipes();
    // The gateway goes first, so that what it has accepted still finds the application.
    drainOnSignals({
      options: server.options,
      get stats() {
        return server.stats;
      },
      closed: server.closed,
      close: async () => {
        await gateway?.close();
        await server.close();
      },
    });
    await server.closed;
  } catch (error) {
    server.destroy("start failed");
    throw error;
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
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

/** The gateway in front of the server's first socket, both in this process. */
async function openGateway(
  address: string,
  server: Server,
  files: string | undefined,
  logger: Logger,
): Promise<Gateway> {
  const gateway = createGateway({
    connect: server.addresses[0]!,
    logger,
    development: server.options.development,
    ...(files !== undefined && { files }),
  });
  await gateway.listen(address);
  return gateway;
}

/** A folder for a socket that only this process uses. */
function privateFolder(): string {
  return mkdtempSync(join(tmpdir(), "postern-"));
}

function announce(
  server: Server,
  gateway: Gateway | undefined,
  isSocketPrivate: boolean,
  logger: Logger,
): void {
  if (!isSocketPrivate) {
    for (const address of server.addresses) logger.info({ address }, "FastCGI");
  }
  if (gateway !== undefined) {
    logger.info({}, `open ${gateway.url}`);
  }
}

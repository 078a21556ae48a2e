/** Serves one application in this very process, without a manager. */

import { printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { type Logger, type LogLevelName, stderrLogger } from "../base/log.ts";
import type { PoolSettings } from "../config/types.ts";
import { ApplicationLoader } from "../manager/application.ts";
import type { BootGuard } from "../manager/boot-guard.ts";
import type { Part } from "../manager/front.ts";
import { dropPrivileges } from "../manager/preamble.ts";
import { frontOptions, serverOptions } from "../manager/server-options.ts";
import { serveCgi } from "../serve.ts";
import type { AnswerOutput } from "../server/claim-stdout.ts";
import type { Handler } from "../server/exchange.ts";
import { isPlainCgi } from "../server/inherited.ts";
import type { ServerOptions } from "../server/options.ts";
import { type Drainable, drainOnSignals, survivePipes } from "../server/process.ts";
import { Server } from "../server/server.ts";

/** How long an application may take to close its server on a signal when there is no drainTimeout, ms. */
const LONGEST_PATIENCE_MS = 30000;

/** What surrounds an application that is served here. */
export interface HereOptions {
  readonly logLevel: LogLevelName;
  /** Warnings for the log. */
  readonly notes: readonly string[];
  /** Of a CGI program: where its answer goes. */
  readonly stdout: AnswerOutput | undefined;
  /** It was started by a web server: whatever goes wrong must come back as an error, and not end the process. */
  readonly guard: BootGuard | undefined;
}

/** Resolves when everything is over. @throws {SettingError} nothing is left behind */
export async function serveHere(
  pool: PoolSettings,
  { logLevel, notes, stdout, guard }: HereOptions,
): Promise<void> {
  const logger = stderrLogger(logLevel);
  for (const note of notes) logger.warn({}, note);
  if (pool.program.kind !== "app") {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      "a command cannot run in this process: leave --workers 0 out",
    );
  }
  if (pool.program.language === "python") {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      "an application in Python cannot run in this process, which is JavaScript's: leave --workers 0 out",
    );
  }
  let handler: Handler = unloaded;
  const handle: Handler = (exchange) => handler(exchange);
  // Made before the application is loaded, so that a mistake in a setting is told first.
  const server = makeServer(handle, pool, logger);
  const parts: Part[] = [];
  let isClosed = false; // by the application, perhaps before there is any part
  const application = new ApplicationLoader(pool.program.file, {
    logger,
    onClose: () => {
      isClosed = true;
      return Promise.all(parts.map((part) => part.close()));
    },
    cut: (reason) => {
      for (const part of parts) part.cut(reason);
    },
    openRequests: () => openRequestsOf(parts),
    onReplaced: (next) => {
      handler = next;
    },
  });
  try {
    // Before this process becomes another user, who may not read our files.
    if (pool.http !== undefined) await import("../manager/front.ts");
    if (pool.wsHttp !== undefined) await import("../manager/ws-http.ts");
    if (pool.umask !== undefined) process.umask(pool.umask);
    dropPrivileges(pool.user, pool.group);
    process.chdir(pool.chdir);
    guard?.begin(pool.program.file, pool.readyTimeoutMs, (error) => application.abandon(error));
    handler = await application.load(pool.readyTimeoutMs);
    guard?.release();
    if (pool.bind.length > 0 || pool.http === undefined) {
      await server.listen();
      if (server.addresses.length === 0) {
        if (!isPlainCgi(process.env)) throw nothingToListenOn(pool.program.file);
        parts.push(server);
        application.announce();
        void server.closed.then(() => application.close());
        serveCgi(server, stdout);
        return;
      }
      for (const address of server.addresses) logger.info({ address }, "listening for FastCGI");
      if (server.isSpawned) survivePipes();
      parts.push(server);
    }
    if (pool.http !== undefined) {
      const { openFront } = await import("../manager/front.ts");
      const front = await openFront(handle, {
        address: pool.http,
        files: pool.static,
        upgradeServer: application.upgradeServer,
        server: { ...frontOptions(pool), logger, development: server.options.development },
      });
      logger.info({}, front.url === undefined ? `listening for HTTP on ${pool.http}` : `open ${front.url}`);
      parts.push(front);
    }
    if (pool.wsHttp !== undefined) {
      const { WsHttp } = await import("../manager/ws-http.ts");
      const side = new WsHttp(() => application.upgradeServer, {
        ...listeningOptions(pool, logger),
        bind: pool.wsHttp,
      });
      parts.push(await side.listen());
      for (const address of side.addresses) logger.info({ address }, "listening for upgrades by HTTP");
    }
  } catch (error) {
    for (const part of [server, ...parts]) part.destroy("start failed");
    throw error;
  }
  const all = together(parts, logger);
  application.announce();
  if (isClosed) void all.close();
  const patienceMs = application.listens ? pool.drainTimeoutMs || LONGEST_PATIENCE_MS : 0;
  drainOnSignals(all, { patienceMs, isSpawned: server.isSpawned });
  guard?.passSignalOn();
  await all.closed;
  application.close();
}

function makeServer(handler: Handler, pool: PoolSettings, logger: Logger): Server {
  const bind = pool.bind.map((address) => printAddress(address));
  return new Server(handler, { ...listeningOptions(pool, logger), bind });
}

function listeningOptions(pool: PoolSettings, logger: Logger): ServerOptions {
  return {
    ...serverOptions(pool),
    mode: pool.listenMode,
    ...(pool.listenOwner !== undefined && { owner: pool.listenOwner }),
    ...(pool.listenGroup !== undefined && { group: pool.listenGroup }),
    logger,
  };
}

function together(parts: readonly Part[], logger: Logger): Drainable {
  return {
    options: { logger },
    get stats() {
      return { openRequests: openRequestsOf(parts) };
    },
    closed: Promise.all(parts.map((part) => part.closed)),
    close: () => Promise.all(parts.map((part) => part.close())),
    destroy: (reason) => {
      for (const part of parts) part.destroy(reason);
    },
  };
}

function openRequestsOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.stats.openRequests, 0);
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

/** Serves one application in this very process, without a manager. */

import { handlerFor } from "../adapters/app.ts";
import { printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { type Logger, type LogLevelName, stderrLogger } from "../base/log.ts";
import type { PoolSettings } from "../config/types.ts";
import { openFront, type Part } from "../manager/front.ts";
import { frontOptions, serverOptions } from "../manager/launch.ts";
import { isListening, loadApplication } from "../manager/load-app.ts";
import { dropPrivileges } from "../manager/preamble.ts";
import { serveCgi } from "../serve.ts";
import type { Handler } from "../server/exchange.ts";
import { isPlainCgi } from "../server/inherited.ts";
import { drainOnSignals, survivePipes } from "../server/process.ts";
import { Server } from "../server/server.ts";

/** Resolves when everything is over. @throws {SettingError} nothing is left behind */
export async function serveHere(
  pool: PoolSettings,
  logLevel: LogLevelName,
  notes: readonly string[],
): Promise<void> {
  const logger = stderrLogger(logLevel);
  for (const note of notes) logger.warn({}, note);
  if (pool.program.kind !== "app") {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      "a command cannot run in this process: leave --workers 0 out",
    );
  }
  let handler: Handler = unloaded;
  const handle: Handler = (exchange) => handler(exchange);
  // Made before the application is loaded, so that a mistake in a setting is told first.
  const server = makeServer(handle, pool, logger);
  const parts: Part[] = [];
  try {
    if (pool.umask !== undefined) process.umask(pool.umask);
    dropPrivileges(pool.user, pool.group);
    process.chdir(pool.chdir);
    handler = handlerFor(await loadApplication(pool.program.file));
    if (isListening()) {
      logger.warn(
        {},
        "the application listens on a port of its own, which the web server does not guard: remove its listen()",
      );
    }
    if (pool.bind.length > 0 || pool.http === undefined) {
      await server.listen();
      if (server.addresses.length === 0) {
        if (!isPlainCgi(process.env)) throw nothingToListenOn(pool.program.file);
        serveCgi(server);
        return;
      }
      for (const address of server.addresses) logger.info({ address }, "listening for FastCGI");
      if (server.isSpawned) survivePipes();
      parts.push(server);
    }
    if (pool.http !== undefined) {
      const front = await openFront(handle, {
        address: pool.http,
        files: pool.static,
        server: { ...frontOptions(pool), logger, development: server.options.development },
      });
      logger.info({}, front.url === undefined ? `listening for HTTP on ${pool.http}` : `open ${front.url}`);
      parts.push(front);
    }
  } catch (error) {
    for (const part of [server, ...parts]) part.destroy("start failed");
    throw error;
  }
  const all = together(parts, logger);
  drainOnSignals(all);
  await all.closed;
}

function makeServer(handler: Handler, pool: PoolSettings, logger: Logger): Server {
  return new Server(handler, {
    ...serverOptions(pool),
    bind: pool.bind.map((address) => printAddress(address)),
    mode: pool.listenMode,
    ...(pool.listenOwner !== undefined && { owner: pool.listenOwner }),
    ...(pool.listenGroup !== undefined && { group: pool.listenGroup }),
    logger,
  });
}

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

function unloaded(): never {
  throw new Error("a request came before the application was loaded");
}

function nothingToListenOn(file: string): SettingError {
  return new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    `nothing to listen on: name an address (postern serve ${file} --bind unix:/run/app.sock) or try it without a web server (--http :8080)`,
  );
}

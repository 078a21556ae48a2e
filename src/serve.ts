/**
 * `serve` and `createServer`: an application, a handler for it, a server, and what a spawned program owes to whoever
 * started it: to drain on signals, and to answer plain CGI when that is what it was started for.
 */
import { type Application, hostApplication } from "./adapters/app.ts";
import { SettingError } from "./base/errors.ts";
import { yesOrNo } from "./base/settings.ts";
import { answerFailure, type BootFailure } from "./server/boot-failure.ts";
import { type AnswerOutput, claimStdout } from "./server/claim-stdout.ts";
import { isPlainCgi } from "./server/inherited.ts";
import type { ServerOptions } from "./server/options.ts";
import { CgiConnection, forgetProxyHeader } from "./server/plain-cgi.ts";
import { drainOnSignals, exitWhenDone, survivePipes } from "./server/process.ts";
import { Server } from "./server/server.ts";

// At once: what is imported behind us may look for a proxy before anything is served.
forgetProxyHeader();

/** Options of {@link serve}. */
export interface ServeOptions extends ServerOptions {
  /**
   * Drain on SIGTERM, SIGINT, SIGQUIT and SIGUSR1 and then exit; a second one exits at once. @default true
   */
  signals?: boolean;
}

/**
 * A server for an application, not yet listening: `await createServer(app, options).listen()`. Requests wait for
 * frameworks that start in the background (Fastify, NestJS); that one cannot start is logged.
 * @throws {SettingError} ERR_POSTERN_BAD_SETTING
 * @throws {UsageError} ERR_POSTERN_BAD_APP
 */
export function createServer(application: Application, options: ServerOptions = {}): Server {
  const { handler, ready } = hostApplication(application);
  const server = new Server(handler, options);
  ready?.catch((error: unknown) => {
    server.options.logger.error({ error }, "no request will be served: the application could not be started");
  });
  return server;
}

/**
 * Serves an application over FastCGI: on the addresses of `bind`; without it on the socket inherited on descriptor
 * 0, on systemd's sockets, or, started as a plain CGI program, for one request on stdin and stdout.
 * @returns the server, listening
 * @throws {SettingError} an option or address cannot be used, or there is nothing to listen on
 * @throws {UsageError} ERR_POSTERN_BAD_APP
 * @throws {AppError} ERR_POSTERN_APP_LOAD: its framework could not start it
 */
export async function serve(application: Application, options: ServeOptions = {}): Promise<Server> {
  try {
    return await begin(application, options);
  } catch (error) {
    // Whoever has started this program has visitors who wait.
    if (options?.bind === undefined) await answerFailure(bootFailureOf(error), undefined);
    throw error;
  }
}

async function begin(application: Application, options: ServeOptions): Promise<Server> {
  const { handler, ready } = hostApplication(application);
  const server = new Server(handler, options);
  const drainsOnSignals = yesOrNo("signals", options.signals, true);
  await ready;
  await server.listen();
  if (server.addresses.length === 0 && options.signal?.aborted !== true) {
    if (!isPlainCgi(process.env)) throw nothingToListenOn();
    serveCgi(server);
    return server;
  }
  if (server.isSpawned) survivePipes();
  if (drainsOnSignals) drainOnSignals(server, { isSpawned: server.isSpawned });
  return server;
}

function bootFailureOf(error: unknown): BootFailure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return {
    status: 500,
    reason: `${process.argv[1]?.split("/").at(-1) ?? "the program"}: ${message}`,
    detail: stack ?? message,
    isDevelopment: process.env["NODE_ENV"] === "development",
  };
}

/** Answers the one request that this process was started for, then exits. RFC 3875. */
export function serveCgi(server: Server, stdout: AnswerOutput = claimStdout()): void {
  const { stdin, stderr } = process;
  const connection = new CgiConnection(process.env, { stdin, stdout, stderr });
  server.serveSocket(connection, "cgi");
  connection.once("close", () => exitWhenDone(server, connection.appStatus & 0xff));
}

function nothingToListenOn(): SettingError {
  return new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    "nothing to listen on: no bind option, descriptor 0 is not a listening socket, systemd passed none (LISTEN_FDS) and " +
      "this is not a CGI request. Say where: serve(app, { bind: 'unix:/run/app.sock' }), or let the web server, " +
      "spawn-fcgi, supervisor or systemd start this program",
  );
}

/**
 * `postern/register`: `node --import postern/register app.js` runs an application that listens by itself, unchanged, and
 * serves it over FastCGI instead. Where, the environment says: POSTERN_BIND and the like, named as the settings of
 * `postern serve` are; without it what `serve()` finds, that is descriptor 0, systemd's sockets, or one CGI request.
 *
 * Importing it is using it. An application that never listens runs as without it.
 */
import cluster from "node:cluster";
import { isMainThread } from "node:worker_threads";
import { interceptListen, type ListenHost, tlsOnly } from "./adapters/intercept-listen.ts";
import type { StandIn } from "./adapters/stand-in.ts";
import { PosternError, SettingError } from "./base/errors.ts";
import { stderrLogger } from "./base/log.ts";
import { createServer, serveCgi } from "./serve.ts";
import { type AnswerOutput, claimStdout } from "./server/claim-stdout.ts";
import { isCgiProgram } from "./server/inherited.ts";
import type { ServerOptions } from "./server/options.ts";
import { drainOnSignals, exitSoon, survivePipes } from "./server/process.ts";
import type { Server } from "./server/server.ts";

const EXIT_FAILURE = 1;
const EXIT_SETTING = 2;
const EXIT_APP = 4;

/** How long an application may take to close its server on a signal when there is no drain timeout, ms. */
const LONGEST_PATIENCE_MS = 30000;

/** The options that can be said, and the variables that say them. */
const VARIABLES = {
  bind: "POSTERN_BIND",
  mode: "POSTERN_LISTEN_MODE",
  owner: "POSTERN_LISTEN_OWNER",
  group: "POSTERN_LISTEN_GROUP",
  allowedClients: "POSTERN_ALLOWED_CLIENTS",
  trustProxy: "POSTERN_TRUST_PROXY",
  sendFile: "POSTERN_SEND_FILE",
  base: "POSTERN_BASE",
  scriptName: "POSTERN_SCRIPT_NAME",
} as const satisfies Partial<Record<keyof ServerOptions, string>>;

const LISTS: readonly string[] = ["bind", "allowedClients", "trustProxy", "sendFile"];

/** The one FastCGI server of this process, from `listen()` to the end of `close()`. */
class Registration implements ListenHost {
  readonly #logger = stderrLogger();
  readonly #stdout: AnswerOutput | undefined;
  #server: Server | undefined = undefined;
  #closing = new AbortController();
  #closed: Promise<unknown> = Promise.resolve();
  #isAdopted = false;

  constructor() {
    // At once: what the application prints while it is loaded would be taken for its answer.
    const isCgi = !process.env[VARIABLES.bind] && isCgiProgram(process.env);
    this.#stdout = isCgi ? claimStdout() : undefined;
  }

  // ListenHost

  onAdopted(standIn: StandIn): void {
    this.#isAdopted = true;
    process.env[SERVED] = String(process.pid);
    this.#closing = new AbortController();
    this.#closed = this.#serve(standIn, this.#closing.signal).catch((error: unknown) => fail(error));
  }

  onTls(what: string): void {
    // A turn later: an http server may listen, too.
    setImmediate(() => {
      if (this.#isAdopted) return;
      fail(new SettingError("ERR_POSTERN_APP_LOAD", `the application cannot be served: ${tlsOnly(what)}`));
    });
  }

  warn(message: string): void {
    this.#logger.warn({}, message);
  }

  close(): Promise<unknown> {
    this.#closing.abort();
    return this.#closed;
  }

  cut(): void {
    this.#server?.cut("the application closed all connections");
  }

  openRequests(): number {
    return this.#server?.stats.openRequests ?? 0;
  }

  /** Resolves when all is over. */
  async #serve(standIn: StandIn, signal: AbortSignal): Promise<void> {
    const options = optionsFrom(process.env);
    if (cluster.isWorker) refuseSocketFile(options.bind);
    const server = createServer(standIn.server, { ...options, signal, logger: this.#logger });
    this.#server = server;
    await server.listen();
    const { addresses } = server;
    if (addresses.length === 0 && !signal.aborted && this.#stdout === undefined) throw nothingToListenOn();
    for (const address of addresses) this.#logger.info({ address }, "listening for FastCGI");
    if (server.isSpawned) survivePipes();
    standIn.announce();
    if (this.#stdout !== undefined) serveCgi(server, this.#stdout);
    else {
      const patienceMs = server.options.drainTimeoutMs || LONGEST_PATIENCE_MS;
      drainOnSignals(server, { patienceMs, isSpawned: server.isSpawned });
    }
    await server.closed;
    standIn.close();
  }
}

function optionsFrom(env: NodeJS.ProcessEnv): ServerOptions {
  const options: Record<string, string | readonly string[]> = {};
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const text = env[variable];
    if (text === undefined || (text === "" && name !== "base" && name !== "scriptName")) continue;
    options[name] = LISTS.includes(name) ? text.split(",").map((part) => part.trim()) : text;
  }
  return options;
}

/** The workers of node:cluster share TCP ports and descriptors; the file of a unix socket belongs to one process. */
function refuseSocketFile(bind: ServerOptions["bind"]): void {
  const file = [bind ?? []].flat().find((address) => /^(?:unix:)?\//.test(address));
  if (file === undefined) return;
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `${VARIABLES.bind} ${file}: the application starts workers of its own (node:cluster), which cannot share the file of a unix socket; bind 127.0.0.1:9000 or the like, or let Postern start the workers (postern serve app.js --workers 4) and the application none`,
  );
}

function nothingToListenOn(): SettingError {
  return new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    `nothing to listen on: ${VARIABLES.bind} is not set, descriptor 0 is not a listening socket, systemd passed none (LISTEN_FDS) and this is not a CGI request. Say where, such as ${VARIABLES.bind}=unix:/run/app.sock, or let the web server, spawn-fcgi, supervisor or systemd start this program`,
  );
}

/** Whatever the application has open must not keep a process alive that serves nobody. */
function fail(error: unknown): void {
  const isOurs = error instanceof PosternError;
  process.stderr.write(
    `postern: ${isOurs ? inVariableNames(error.message) : String(Object(error).stack ?? error)}\n`,
  );
  const isApp = isOurs && error.code === "ERR_POSTERN_APP_LOAD";
  exitSoon(isApp ? EXIT_APP : error instanceof SettingError ? EXIT_SETTING : EXIT_FAILURE);
}

/** `option mode: …` as `POSTERN_LISTEN_MODE: …`, `bind host:port: …` as `POSTERN_BIND …`. */
function inVariableNames(message: string): string {
  let text = message;
  for (const [name, variable] of Object.entries(VARIABLES)) {
    text = text.replace(new RegExp(`\\boption ${name}\\b|^${name}(?= \\S+:)`, "g"), variable);
    if (/[A-Z]/.test(name)) text = text.replace(new RegExp(`\\b${name}\\b`, "g"), variable);
  }
  return text;
}

/**
 * Names the process that is served to those that it starts: they inherit `--import` by fork(), or NODE_OPTIONS. With
 * NODE_OPTIONS from the moment it listens, since what was started may be npm.
 */
const SERVED = "POSTERN_REGISTERED";

function isHelper(): boolean {
  const served = process.env[SERVED];
  return served !== undefined && served !== String(process.pid) && !cluster.isWorker;
}

if (isMainThread && !isHelper()) {
  if (process.execArgv.some((word) => word.includes("postern"))) process.env[SERVED] = String(process.pid);
  interceptListen(new Registration(), process.env);
}

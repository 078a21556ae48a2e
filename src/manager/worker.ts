/**
 * A worker: one process of a pool that runs a JavaScript application. It is told everything over its channel, accepts
 * on the sockets it inherited, gives account of itself about once a second, and leaves when it is told to or when the
 * manager is gone.
 *
 *     BOOTING --settings, application loaded, listening--> SERVING --drain, TERM, manager gone--> DRAINING --> exit 0
 *        └── exit 3 (the worker could not be set up) or 4 (the application could not be loaded)
 *
 * What a signal to the whole process group means is the manager's to say: here INT, HUP and QUIT mean nothing.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { PosternError, SettingError } from "../base/errors.ts";
import { stderrLogger } from "../base/log.ts";
import { failureHandler } from "../server/boot-failure.ts";
import { workerDraining, workerEvent, workerReady } from "../server/events.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import type { ServerObserver } from "../server/hooks.ts";
import { Meter } from "../server/meter.ts";
import { together } from "../server/observers.ts";
import { forgetProxyHeader } from "../server/plain-cgi.ts";
import { exitSoon, survivePipes } from "../server/process.ts";
import { Server } from "../server/server.ts";
import { ApplicationLoader } from "./application.ts";
import {
  type Beat,
  type Channel,
  channelToManager,
  type FromWorker,
  readStart,
  SCOREBOARD_FD,
  type ToWorker,
  type WorkerSettings,
} from "./channel.ts";
import { saveCompileCacheSoon, takeCompileCache } from "./compile-cache.ts";
import type { DevSide } from "./dev-side.ts";
import type { Front, Part } from "./front.ts";
import { dropPrivileges } from "./preamble.ts";
import { Scoreboard } from "./scoreboard.ts";
import { showPlace } from "./show-place.ts";
import { StatusPage } from "./status-page.ts";
import { workerLogger } from "./worker-logger.ts";
import type { WsHttp } from "./ws-http.ts";

const BEAT_MS = 1000;
/** How long before the channel must say what to do, ms. */
const START_TIMEOUT_MS = 10000;
/** A worker whose event loop is busy for more than this share of a second is busy. */
const BUSY_UTILISATION = 0.8;

/** More cut requests are counted, not listed. */
const MOST_LISTED = 256;

const EXIT_BOOT = 3;
const EXIT_APP = 4;

export class Worker {
  readonly #channel: Channel;
  readonly #scoreboard = new Scoreboard(SCOREBOARD_FD);
  readonly #meter = new Meter();
  readonly #observer = together(this.#scoreboard, this.#meter) as ServerObserver;
  readonly #statusPage: StatusPage;
  #application: ApplicationLoader | undefined = undefined;
  #server: Server | undefined = undefined;
  #front: Front | undefined = undefined;
  #wsHttp: WsHttp | undefined = undefined;
  #settings: WorkerSettings | undefined = undefined;
  #dev: DevSide | undefined = undefined;
  #onGo!: (failure: WorkerSettings["failure"]) => void;
  readonly #go = new Promise<WorkerSettings["failure"]>((resolve) => {
    this.#onGo = resolve;
  });
  #isDraining = false;
  #isReady = false;
  #wasBusy = false;
  #lastBeat: number;
  #lastUtilisation = performance.eventLoopUtilization();
  #loopDelayMs = 0;

  constructor() {
    this.#lastBeat = performance.now();
    this.#channel = channelToManager({
      onMessage: (message) => this.#onMessage(message as ToWorker),
      onBroken: () => {},
      onEnd: () => this.#onManagerGone(),
    });
    this.#statusPage = new StatusPage((id, query) => this.#tell({ type: "status", id, query }));
    survivePipes();
    for (const signal of ["SIGINT", "SIGHUP", "SIGQUIT"] as const) process.on(signal, () => {});
    process.on("SIGTERM", () => this.#onTerm());
    // The watchdog asks for it through the inspector, while the event loop stands still.
    Object.defineProperty(globalThis, Symbol.for("postern.requests"), {
      value: () => this.#scoreboard.list(),
    });
    setTimeout(() => {
      if (this.#settings === undefined) this.#fail("boot", new Error("no manager talks to this worker"));
    }, START_TIMEOUT_MS).unref();
  }

  #onMessage(message: ToWorker): void {
    switch (message.type) {
      case "start":
        if (this.#settings !== undefined) return;
        this.#settings = readStart(message);
        void this.#start(this.#settings);
        return;
      case "go":
        this.#onGo(message.failure);
        return;
      case "drain":
        this.#drain(message.delayMs);
        return;
      case "reopenLogs":
        for (const one of [this.#server, this.#front?.server]) one?.options.accessLog?.reopen();
        return;
      case "status":
        this.#statusPage.answer(message.id, message.text, message.contentType);
        return;
    }
  }

  async #start(settings: WorkerSettings): Promise<void> {
    process.title = `postern: worker ${settings.pool}`;
    let server: Server;
    let handler: Handler = unloaded;
    try {
      await loadParts(settings);
      if (settings.umask !== undefined) process.umask(settings.umask);
      dropPrivileges(settings.user, settings.group);
      takeCompileCache(process.env);
      process.chdir(settings.chdir);
      if (settings.dev !== undefined) {
        const { DevSide } = await import("./dev-side.ts");
        this.#dev = new DevSide(settings.dev, settings.chdir);
      }
      server = this.#makeServer((exchange) => handler(exchange), settings);
    } catch (error) {
      this.#fail("boot", error);
      return;
    }
    try {
      forgetProxyHeader();
      handler = await this.#load(settings, server, (next) => {
        handler = next;
      });
    } catch (error) {
      this.#fail("app", error);
      return;
    }
    try {
      if (settings.sockets.length > 0) await server.listen();
      if (settings.httpFd !== undefined) {
        const { openFront } = await import("./front.ts");
        this.#front = await openFront(server.handler, {
          address: `fd:${settings.httpFd}`,
          files: settings.static,
          server: {
            ...settings.frontOptions,
            logger: server.options.logger,
            development: server.options.development,
          },
          hooks: { observer: this.#observer },
          upgradeServer: this.#application?.upgradeServer,
          ...(settings.frontFolder !== undefined && { folder: settings.frontFolder }),
        });
      }
      if (settings.wsHttpFd !== undefined) this.#wsHttp = await this.#openWsHttp(server, settings);
    } catch (error) {
      this.#fail("boot", error);
      return;
    }
    this.#server = server;
    if (this.#isDraining) {
      this.#close(0);
      return;
    }
    this.#application?.announce();
    await nextTurn(); // what fails when the application hears that it listens was never ready
    if (this.#isDraining) return;
    this.#isReady = true;
    this.#dev?.flushFiles();
    this.#tell({ type: "ready" });
    workerReady.publish(workerEvent(settings));
    // Loading the application was work as well, but no sign that visitors have to wait.
    this.#lastBeat = performance.now();
    this.#lastUtilisation = performance.eventLoopUtilization();
    this.#beat();
    saveCompileCacheSoon();
    setInterval(() => this.#beat(), BEAT_MS).unref();
  }

  /** The application, or what is served in its place. */
  async #load(
    settings: WorkerSettings,
    server: Server,
    onReplaced: (next: Handler) => void,
  ): Promise<Handler> {
    const dev = this.#dev;
    const failure = settings.dev?.isSpare === true ? await this.#go : settings.failure;
    if (failure !== undefined) {
      return dev?.wrap(dev.failureHandler(failure)) ?? failureHandler(failure);
    }
    dev?.tellFiles((files) => this.#tell({ type: "files", files }));
    // An await that nothing will ever settle ends the process, as it does without us.
    this.#channel.keepAlive(false);
    this.#application = new ApplicationLoader(settings.file, {
      logger: server.options.logger,
      onClose: () => this.#onClosedByApplication(),
      cut: (reason) => {
        for (const one of [server, this.#front?.server]) one?.cut(reason);
      },
      openRequests: () => server.load.openRequests + (this.#front?.server.load.openRequests ?? 0),
      onReplaced: (next) => onReplaced(dev?.wrap(next) ?? next),
    });
    const handler = await this.#application.load(0); // the manager counts the time
    this.#channel.keepAlive(true);
    return dev?.wrap(handler) ?? handler;
  }

  #makeServer(handler: Handler, settings: WorkerSettings): Server {
    const { sockets, statusPath, metricsPath, options } = settings;
    const bind = sockets.map(({ fd }) => `fd:${fd}`);
    return new Server(
      handler,
      { ...options, bind, logger: workerLogger(settings, (message) => this.#tell(message)) },
      {
        observer: this.#observer,
        isShared: settings.hasSiblings,
        isHeld: true,
        onBusy: () => this.#beat(),
        onCut: (reason: string) => this.#logCut(reason),
        ...(this.#dev !== undefined && { failurePage: this.#dev.failurePage }),
        ...((statusPath ?? metricsPath) !== undefined && {
          ...(statusPath !== undefined && { statusPath }),
          ...(metricsPath !== undefined && { metricsPath }),
          onStatus: (exchange: Exchange, isMetrics: boolean) => this.#statusPage.ask(exchange, isMetrics),
        }),
      },
    );
  }

  async #openWsHttp({ options }: Server, settings: WorkerSettings): Promise<WsHttp> {
    const { WsHttp } = await import("./ws-http.ts");
    const { logger } = options;
    const side = { ...settings.options, bind: `fd:${settings.wsHttpFd}`, logger };
    return new WsHttp(() => this.#application?.upgradeServer, side).listen();
  }

  /** How many there are is said by the server; here, which they are. */
  #logCut(reason: string): void {
    const now = Date.now();
    for (const { method, url, client, startedAt } of this.#scoreboard.list().slice(0, MOST_LISTED)) {
      const fields = { client, afterMs: now - startedAt, reason };
      this.#tell({ type: "log", level: "warn", message: `  request cut: ${method} ${url}`, fields });
    }
  }

  #beat(): void {
    const server = this.#server;
    if (server === undefined) return;
    const now = performance.now();
    const utilisation = performance.eventLoopUtilization(this.#lastUtilisation);
    const sinceMs = now - this.#lastBeat;
    if (sinceMs >= BEAT_MS) {
      // The timer was due a second after the last one.
      this.#loopDelayMs = sinceMs - BEAT_MS;
      this.#lastBeat = now;
      this.#lastUtilisation = performance.eventLoopUtilization();
      this.#wasBusy = utilisation.utilization > BUSY_UTILISATION;
    }
    const { load } = server;
    const front = this.#front?.server.load;
    const beat: Beat = {
      requests: load.acceptedRequests + (front?.acceptedRequests ?? 0),
      // Who has an open tunnel is no idle worker, that may go.
      openRequests: load.openRequests + (front?.openRequests ?? 0) + this.#openTunnels,
      connections: load.connections + (front?.connections ?? 0),
      acceptedConnections: load.acceptedConnections,
      slowRequests: load.slowRequests + (front?.slowRequests ?? 0),
      queuedRequests: load.queuedRequests + (front?.queuedRequests ?? 0),
      isBusy: server.isBusy || this.#wasBusy,
      loopDelayMs: Math.round(this.#loopDelayMs),
      loopUtilisation: utilisation.utilization,
      memoryBytes: process.memoryUsage.rss(),
      meter: this.#meter.read(),
    };
    this.#tell({ type: "beat", beat });
  }

  get #openTunnels(): number {
    const parts = [this.#server?.load, this.#front, this.#wsHttp];
    return parts.reduce((sum, part) => sum + (part?.openTunnels ?? 0), 0);
  }

  /** From somebody else: the manager says "drain", and TERM only to a worker that did not come to an end. */
  #onTerm(): void {
    if (!this.#isDraining && this.#server !== undefined)
      this.#tell({ type: "leaving", why: "a worker was sent TERM" });
    this.#drain(0);
  }

  #drain(delayMs: number): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    if (this.#settings !== undefined) workerDraining.publish(workerEvent(this.#settings));
    this.#dev?.close();
    if (this.#server !== undefined) this.#close(delayMs);
    else exitSoon(0); // nothing was begun: however long the application would still take to load
  }

  #close(delayMs: number): void {
    void this.#closeAll(delayMs).then(() => {
      this.#application?.close();
      exitSoon(0);
    });
  }

  async #closeAll(delayMs: number): Promise<void> {
    await Promise.all([
      this.#server?.drainSoon(delayMs),
      closeIn(delayMs, this.#front),
      closeIn(delayMs, this.#wsHttp),
    ]);
    this.#beat(); // the last account
    this.#channel.finish();
  }

  /** What it does after that is its own: the process ends when nothing of it is left, or when the manager ends it. */
  async #onClosedByApplication(): Promise<void> {
    if (this.#isDraining) {
      await Promise.all([this.#server?.closed, this.#front?.closed, this.#wsHttp?.closed]);
      return;
    }
    this.#isDraining = true;
    if (!this.#isReady) {
      const message =
        "the application closed its server before it was ready: let it listen until it is told to end";
      this.#fail("app", new SettingError("ERR_POSTERN_APP_LOAD", message));
      return;
    }
    this.#tell({ type: "leaving", why: "the application of a worker closed its server" });
    await this.#closeAll(0);
  }

  #onManagerGone(): void {
    if (this.#isDraining) return;
    if (this.#server === undefined) process.exit(EXIT_BOOT);
    stderrLogger().warn({}, "the manager is gone: this worker finishes what it has and ends");
    this.#drain(0);
  }

  #fail(stage: "boot" | "app", error: unknown): void {
    this.#dev?.flushFiles();
    this.#isDraining = true; // the manager's answer to our finish() would look as if it were gone
    const message =
      error instanceof PosternError ? error.message : String((error as Error | undefined)?.stack ?? error);
    const { cause } = Object(error) as { cause?: unknown };
    const isPlacePrinted = cause instanceof SyntaxError;
    this.#tell({ type: "failed", stage, message: message.slice(0, 20000), isPlacePrinted });
    const exitCode = stage === "boot" ? EXIT_BOOT : EXIT_APP;
    this.#channel.finish();
    if (cause instanceof SyntaxError) showPlace(cause, exitCode);
    else exitSoon(exitCode);
  }

  #tell(message: FromWorker): boolean {
    return this.#channel.send(message);
  }
}

/** What only some workers need. While this process is who it was started as: later it may not read our files. */
async function loadParts({ dev, httpFd, wsHttpFd }: WorkerSettings): Promise<void> {
  if (dev !== undefined) await import("./dev-side.ts");
  if (httpFd !== undefined) await import("./front.ts");
  if (wsHttpFd !== undefined) await import("./ws-http.ts");
}

function closeIn(delayMs: number, part: Part | undefined): Promise<unknown> | undefined {
  if (part === undefined) return undefined;
  return new Promise((resolve) => setTimeout(resolve, delayMs)).then(() => part.close());
}

function unloaded(): never {
  throw new Error("a request came before the application was loaded");
}

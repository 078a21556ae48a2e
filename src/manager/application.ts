/**
 * The application of this process: what its file exports, or the http server that it lets listen.
 *
 *     LOADING --exports an application, or listens--> FOUND
 *        └--exports none--> WAITING --listens--> FOUND
 *                              └-- nothing goes on any more, readyTimeout: ERR_POSTERN_APP_LOAD
 *
 * A server that listens wins over what is exported, also when it comes later. Installing the interception is for good:
 * applications may listen long after they were loaded.
 */
import type { Server as HttpServer } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import { handlerFor, prepareApplication } from "../adapters/app.ts";
import { interceptListen, tlsOnly } from "../adapters/intercept-listen.ts";
import { describeAsked } from "../adapters/listen-arguments.ts";
import type { StandIn } from "../adapters/stand-in.ts";
import { upgradeServerOf } from "../adapters/upgrade.ts";
import { SettingError, UsageError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Handler } from "../server/exchange.ts";
import { type Exports, findFile, loadFile } from "./load-app.ts";

/** What the application's process does for it. */
export interface ApplicationHost {
  readonly logger: Pick<Logger, "info" | "warn">;
  /** The application closed its server. Resolves when what was open is over. */
  onClose(): Promise<unknown>;
  /** Cuts every open request. */
  cut(reason: string): void;
  openRequests(): number;
  /** An application that was served already listens now: that server is served from here on. */
  onReplaced(handler: Handler): void;
}

/** A file that takes longer to listen than this is said to be waited for, ms. */
const PATIENCE_MS = 2000;

const EXPORT_IT = "export the application as default (export default app, or module.exports = app)";

export class ApplicationLoader {
  readonly #host: ApplicationHost;
  readonly #file: string;
  #standIn: StandIn | undefined = undefined;
  #isServed = false;
  #served: unknown = undefined; // what is exported, or the server
  #prepared: unknown = undefined; // the same as its framework has it
  #exports: Exports | undefined = undefined;
  #unusable: unknown = undefined; // why what is exported cannot be served
  #tls: string | undefined = undefined;
  #settle: { resolve(handler: Handler): void; reject(error: unknown): void } | undefined = undefined;

  constructor(file: string, host: ApplicationHost) {
    this.#file = file;
    this.#host = host;
    const substitute = {
      close: () => host.onClose(),
      cut: () => host.cut("the application closed all connections"),
      openRequests: () => host.openRequests(),
      onAdopted: (standIn: StandIn) => this.#onAdopted(standIn),
      onTls: (what: string) => this.#onTls(what),
      warn: (message: string) => host.logger.warn({}, message),
    };
    try {
      interceptListen(substitute, process.env);
    } catch (error) {
      host.logger.warn({}, (error as Error).message); // what is exported can be served all the same
    }
  }

  /** Whether the application is a server that listens, and so has a say in when it is closed. */
  get listens(): boolean {
    return this.#standIn !== undefined;
  }

  /** Whose 'upgrade' listeners are the application's. */
  get upgradeServer(): HttpServer | undefined {
    return this.#standIn?.server ?? upgradeServerOf(this.#prepared);
  }

  /**
   * Runs the file.
   * @param readyTimeoutMs how long to wait for a file that exports no application to listen; 0 is for ever
   * @throws {SettingError} ERR_POSTERN_APP_LOAD
   * @throws {UsageError} ERR_POSTERN_BAD_APP: it exports something else, and does not listen
   */
  async load(readyTimeoutMs: number): Promise<Handler> {
    const path = findFile(this.#file);
    // As `node app.js` has it: some applications listen only when they are the program.
    process.argv.splice(1, Number.POSITIVE_INFINITY, path);
    const onExit = (): void => this.#onExit();
    const onIdle = (): void => this.#giveUp("does not listen");
    const timers: NodeJS.Timeout[] = [];
    const after = (ms: number, act: () => void): void => void timers.push(setTimeout(act, ms).unref());
    process.on("exit", onExit);
    process.on("beforeExit", onIdle);
    try {
      return await new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
        after(PATIENCE_MS, () => this.#tellWaiting());
        if (readyTimeoutMs > 0) {
          after(readyTimeoutMs, () => this.#giveUp(`did not listen within ${readyTimeoutMs} ms`));
        }
        void this.#run(path);
      });
    } finally {
      this.#settle = undefined;
      for (const timer of timers) clearTimeout(timer);
      process.off("exit", onExit);
      process.off("beforeExit", onIdle);
    }
  }

  /** Somebody else knows that nothing will come of it: `load` rejects. Nothing happens once it has found one. */
  abandon(error: SettingError): void {
    this.#settle?.reject(error);
  }

  /** Requests are served from now on: a server that listens hears of it. */
  announce(): void {
    this.#isServed = true;
    const standIn = this.#standIn;
    if (standIn === undefined) return;
    if (this.#served !== standIn.server) {
      this.#served = standIn.server;
      this.#host.onReplaced(handlerFor(standIn.server));
    }
    standIn.announce();
  }

  /** Postern has closed: a server that listens is closed, too. */
  close(): void {
    this.#standIn?.close();
  }

  async #run(path: string): Promise<void> {
    try {
      this.#exports = await loadFile(this.#file, path);
    } catch (error) {
      // Found already, since it listens: this is a rejection that nobody handles, as it would be without us.
      if (this.#settle === undefined) throw (error as Error).cause ?? error;
      this.#settle.reject(error);
      return;
    }
    const { application } = this.#exports;
    if (application !== undefined) await this.#useExport(application);
    else await nextTurn();
    if (this.#standIn !== undefined || this.#settle === undefined) return;
    // Hardly anybody comes here, and it takes child_process and more along.
    const { default: cluster } = await import("node:cluster");
    if (this.#standIn !== undefined || this.#settle === undefined) return;
    if (cluster.isPrimary && Object.keys(cluster.workers ?? {}).length > 0) {
      this.#fail(
        "it starts workers of its own (node:cluster), which is Postern's part: let it listen in this process, and say how many workers there are with --workers",
      );
    } else if (this.#tls !== undefined) this.#failForTls(this.#tls);
  }

  async #useExport(application: unknown): Promise<void> {
    if (this.#standIn !== undefined) {
      this.#tellChoice();
      return;
    }
    try {
      const prepared = await prepareApplication(application);
      const handler = handlerFor(prepared);
      this.#prepared = prepared;
      if (this.#standIn === undefined) this.#found(application, handler);
    } catch (error) {
      // Something else is exported, such as settings: the file may listen yet.
      if (error instanceof UsageError) this.#unusable = error;
      else this.#settle?.reject(error);
    }
  }

  #found(application: unknown, handler: Handler): void {
    if (this.#settle === undefined) return;
    this.#served = application;
    this.#settle.resolve(handler);
    this.#settle = undefined;
  }

  #onAdopted(standIn: StandIn): void {
    const isFirst = this.#standIn === undefined;
    this.#standIn = standIn;
    if (isFirst && this.#exports !== undefined) this.#tellChoice();
    // A turn later: what the file does right after listen() may fail yet.
    if (!this.#isServed) setImmediate(() => this.#found(standIn.server, handlerFor(standIn.server)));
    else process.nextTick(() => this.announce());
  }

  #onTls(what: string): void {
    this.#tls = what;
    if (this.#exports === undefined) return; // the file may yet do better
    setImmediate(() => {
      if (this.#standIn === undefined) this.#failForTls(what);
    });
  }

  #tellChoice(): void {
    const application = this.#exports?.application;
    if (application === undefined || isSame(application, this.#standIn!.server)) return;
    const where = describeAsked(this.#standIn!.asked);
    this.#host.logger.info(
      {},
      `${this.#file} exports an application and listens on ${where}: the server that listens is served; if another one is meant, set PORT to its port`,
    );
  }

  #failForTls(what: string): void {
    this.#fail(`${tlsOnly(what)}, or ${EXPORT_IT}`);
  }

  /** While it is loaded, what it waits for is its own business. */
  #giveUp(problem: string): void {
    if (this.#exports !== undefined) {
      if (this.#unusable !== undefined) this.#settle?.reject(this.#unusable);
      else this.#fail(`it exports ${this.#exports.what} and ${problem}; ${EXPORT_IT}, or let it listen`);
    }
  }

  #tellWaiting(): void {
    if (this.#exports === undefined) return;
    this.#host.logger.info({}, `${this.#file} exports ${this.#exports.what}: waiting for it to listen`);
  }

  #fail(problem: string): void {
    this.#settle?.reject(new SettingError("ERR_POSTERN_APP_LOAD", `application ${this.#file}: ${problem}`));
  }

  /** Node would leave without a word. */
  #onExit(): void {
    const reason =
      this.#exports === undefined
        ? "while it was being loaded: a top-level await that never settles, or a process.exit()"
        : "before it listened";
    process.stderr.write(`postern: application ${this.#file}: the process ended ${reason}\n`);
  }
}

/** Whether what a file exports is the server it lets listen, in whatever form. */
function isSame(application: unknown, server: HttpServer): boolean {
  if (application === server || (server.listeners("request") as unknown[]).includes(application)) return true;
  return (Object(application) as { server?: unknown }).server === server; // Fastify, Polka
}

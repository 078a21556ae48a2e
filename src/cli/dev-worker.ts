/**
 * The one worker of `postern dev`, started anew after each change; and, while the application cannot be started, a worker
 * that answers with the reason. They take turns on one socket, on which requests wait meanwhile: a worker that goes stops
 * accepting at once, and finishes what it has. Of JavaScript the next one is started ahead; a Python is there at once.
 */

import type { Logger } from "../base/log.ts";
import type { PoolSettings } from "../config/types.ts";
import { bootReason } from "../manager/boot-reason.ts";
import type { FromWorker } from "../manager/channel.ts";
import type { Guardian } from "../manager/guardian.ts";
import { launchWorker } from "../manager/launch.ts";
import { findLaunchTools, type LaunchTools } from "../manager/preamble.ts";
import { WorkerHandle } from "../manager/worker-handle.ts";
import type { KnownWorker, WorkerEnd, WorkerSink } from "../manager/worker-sink.ts";
import type { BootFailure } from "../server/boot-failure.ts";
import type { HeldSocket } from "../server/held-socket.ts";

/** What an old worker gets for requests that are open, ms. */
const LAST_MS = 1000;

export interface DevWorkerSink {
  /** The application serves. @param tookMs since {@link DevWorker.start} */
  onUp(tookMs: number): void;
  /** It could not be started, or has ended. */
  onFailure(text: string): void;
  onFiles(files: readonly string[]): void;
  onLine(line: string): void;
}

export class DevWorker implements WorkerSink {
  readonly #pool: PoolSettings;
  readonly #socket: HeldSocket;
  readonly #wsSocket: HeldSocket;
  readonly #hasSources: boolean;
  readonly #sink: DevWorkerSink;
  readonly #logger: Logger;
  readonly #guardian: Guardian;
  readonly #tools: LaunchTools;
  readonly #all = new Map<number, WorkerHandle>();
  #current: WorkerHandle | undefined = undefined;
  #spare: WorkerHandle | undefined = undefined;
  #late: NodeJS.Timeout | undefined = undefined;
  #isStandIn = false; // the current one answers with a failure
  #startedAt = 0;
  #lastId = 0;
  #isClosing = false;
  #onEmpty: () => void = () => {};

  constructor(
    pool: PoolSettings,
    sockets: { readonly fastcgi: HeldSocket; readonly wsHttp: HeldSocket },
    options: {
      readonly hasSources: boolean;
      readonly sink: DevWorkerSink;
      readonly logger: Logger;
      readonly guardian: Guardian;
    },
  ) {
    this.#pool = pool;
    this.#socket = sockets.fastcgi;
    this.#wsSocket = sockets.wsHttp;
    this.#hasSources = options.hasSources;
    this.#sink = options.sink;
    this.#logger = options.logger;
    this.#guardian = options.guardian;
    this.#tools = findLaunchTools(process.env);
  }

  /** The one that serves takes nothing more: requests wait for the next. */
  retire(): void {
    const worker = this.#current;
    this.#current = undefined;
    if (worker === undefined) return;
    if (worker.stage === "starting") worker.kill("there is a newer version");
    else {
      worker.drain(0);
      setTimeout(() => worker.kill("a newer version serves"), LAST_MS).unref();
    }
  }

  /** Starts the application as it is on disk now. */
  start(): void {
    this.retire();
    this.#startedAt = performance.now();
    this.#isStandIn = false;
    this.#launch(undefined);
  }

  /** Ends everything at once. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#late);
    const gone = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    if (this.#all.size === 0) return;
    for (const worker of this.#all.values()) worker.kill("the end");
    await gone;
  }

  /** What was started ahead is thrown away: the environment of the next one is another. */
  dropSpare(): void {
    this.#spare?.kill("its environment is old");
    this.#spare = undefined;
  }

  #launch(failure: string | undefined): void {
    if (this.#isClosing) return;
    try {
      const worker = this.#spare ?? this.#makeWorker(failure);
      this.#spare = undefined;
      this.#current = worker;
      worker.tell({ type: "go", failure: failure === undefined ? undefined : this.#failureOf(failure) });
      clearTimeout(this.#late);
      if (failure !== undefined) return;
      const { readyTimeoutMs } = this.#pool;
      if (readyTimeoutMs > 0) this.#late = setTimeout(() => this.#onLate(worker), readyTimeoutMs);
    } catch (error) {
      // Such as a mistake in a .env file.
      const text = error instanceof Error ? error.message : String(error);
      if (failure === undefined) this.#fail(text);
      else this.#sink.onLine(text);
    }
  }

  /** The next one: a process takes longer to start than most applications to load. */
  #prepare(): void {
    if (this.#isClosing || this.#spare !== undefined || this.#isPython) return;
    try {
      this.#spare = this.#makeWorker();
    } catch {
      // Told when it is needed.
    }
  }

  /** @param failure the worker is for nothing but to tell this; one of JavaScript learns that later */
  #makeWorker(failure?: string): WorkerHandle {
    const id = ++this.#lastId;
    const context = {
      pool: this.#pool,
      sockets: [this.#socket],
      http: undefined,
      wsHttp: this.#wsSocket,
      logLevel: "warn" as const,
      env: process.env,
      tools: this.#tools,
      dev: { hasSources: this.#hasSources, isSpare: !this.#isPython },
      failure: this.#isPython && failure !== undefined ? this.#failureOf(failure) : undefined,
    };
    const launching = launchWorker(context, id, id);
    const now = (): number => performance.now();
    // It may wait for long until it is needed.
    const settings = { ...this.#pool, readyTimeoutMs: 0 };
    const surroundings = { sink: this, logger: this.#logger, now };
    const worker = new WorkerHandle({ id, generation: id }, settings, launching, surroundings);
    this.#all.set(id, worker);
    if (worker.pid > 0) this.#guardian.add(worker.pid, true);
    return worker;
  }

  get #isPython(): boolean {
    const { program } = this.#pool;
    return program.kind === "app" && program.language === "python";
  }

  #failureOf(text: string): BootFailure {
    const { program } = this.#pool;
    const reason = bootReason(text, program.kind === "app" ? program.file : "");
    return { status: 500, reason, detail: text, isDevelopment: this.#hasSources };
  }

  #onLate(worker: WorkerHandle): void {
    if (worker !== this.#current || worker.stage !== "starting") return;
    worker.kill("it takes too long");
    this.#fail(
      `the application was not ready within ${this.#pool.readyTimeoutMs} ms (readyTimeout): ${this.#isPython ? "a server of its own that it starts, or something that it waits for" : "a top-level await that does not settle, or a file that neither exports an application nor listens"}`,
    );
  }

  #fail(text: string): void {
    this.#current = undefined;
    this.#sink.onFailure(text);
    this.#isStandIn = true;
    this.#launch(text);
  }

  // WorkerSink

  onReady(worker: KnownWorker): void {
    if (worker !== this.#current) return;
    clearTimeout(this.#late);
    this.#prepare();
    if (!this.#isStandIn) this.#sink.onUp(performance.now() - this.#startedAt);
  }

  onChange(worker: KnownWorker): void {
    // It leaves by itself: the application has closed its server.
    if (worker === this.#current && !this.#isStandIn) {
      this.#current = undefined;
    }
  }

  onEnded(worker: KnownWorker, end: WorkerEnd): void {
    this.#all.delete(worker.id);
    this.#guardian.remove(worker.pid);
    if (this.#all.size === 0) this.#onEmpty();
    if (worker === this.#spare) this.#spare = undefined;
    if (worker !== this.#current || this.#isClosing) return;
    if (this.#isStandIn) {
      this.#current = undefined;
      return;
    }
    const what = end.wasReady ? `The application ended with ${end.how}.\n` : "";
    this.#fail(what + (end.failure || `the process ended with ${end.how}`));
  }

  onLine(_worker: KnownWorker, _stream: "stdout" | "stderr", line: string): void {
    this.#sink.onLine(line);
  }

  onMessage(worker: KnownWorker, message: Extract<FromWorker, { type: "log" | "status" | "files" }>): void {
    if (message.type === "files") this.#sink.onFiles(message.files);
    else if (message.type === "log") this.#logger[message.level](message.fields as never, message.message);
    else worker.tellStatus(message.id, "", "text/plain");
  }

  onSlow(): void {}
}

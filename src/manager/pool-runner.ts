/**
 * One pool at work: its sockets, its workers and its policy. Carries out what `pool.ts` decides, and tells the policy
 * what happened. Everything that several pools share (reload of all, stop, log) is the manager's.
 */

import type { PoolSettings } from "../config/types.ts";
import type { PoolSnapshot } from "../status/snapshot.ts";
import { Caretaker } from "./caretaker.ts";
import type { FromWorker } from "./channel.ts";
import { launchWorker } from "./launch.ts";
import { Pool, type PoolAction, type ReloadMode } from "./pool.ts";
import { faultOf, type PoolHost, type PoolSockets, policyOf, type StartOutcome } from "./pool-host.ts";
import { PoolLog } from "./pool-log.ts";
import { PoolTotals } from "./pool-totals.ts";
import { WorkerHandle } from "./worker-handle.ts";
import type { KnownWorker, SlowReport, WorkerEnd, WorkerSink } from "./worker-sink.ts";

const FIRST_GENERATION = 1;

const NEW_WORKERS_ENDED: StartOutcome = {
  ok: false,
  fault: "app",
  message: "a new worker ended as soon as it was ready",
};

/** A worker that leaves by itself after this long has not crashed, ms. */
const SETTLED_MS = 10000;

export class PoolRunner implements WorkerSink {
  readonly name: string;
  readonly #host: PoolHost;
  readonly #pool: Pool;
  readonly #workers = new Map<number, WorkerHandle>();
  #log: PoolLog;
  #settings: PoolSettings;
  #sockets: PoolSockets;
  /** What the generation runs under that a reload is starting. */
  #next:
    | { readonly settings: PoolSettings; readonly sockets: PoolSockets; readonly log: PoolLog }
    | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isStopping = false;
  #isStopped = false;
  #hasFailed = false; // at the first start
  #starting: ((outcome: StartOutcome) => void) | undefined = undefined;
  #reloading: ((outcome: StartOutcome) => void) | undefined = undefined;
  #firstFailure: StartOutcome | undefined = undefined; // of the generation being started
  readonly #caretaker: Caretaker;
  #lastEnd = ""; // why a worker ended that should not have
  readonly #totals = new PoolTotals();

  constructor(settings: PoolSettings, sockets: PoolSockets, host: PoolHost) {
    this.name = settings.name;
    this.#settings = settings;
    this.#sockets = sockets;
    this.#host = host;
    this.#pool = new Pool(policyOf(settings));
    this.#log = new PoolLog(settings, host);
    this.#caretaker = new Caretaker(host);
  }

  get settings(): PoolSettings {
    return this.#settings;
  }

  get sockets(): PoolSockets {
    return this.#sockets;
  }

  get generation(): number {
    return this.#pool.generation;
  }

  get workerCount(): number {
    return this.#workers.size;
  }

  /** Starts the first workers. Resolves when they serve, or one of them cannot. */
  start(): Promise<StartOutcome> {
    const outcome = new Promise<StartOutcome>((resolve) => {
      this.#starting = resolve;
    });
    this.#act();
    this.#settleStart();
    return outcome;
  }

  /**
   * Replaces every worker by one of a new generation. Resolves when that serves, or has failed and the old one goes on
   * with its old settings.
   * @throws {SettingError} the slow log cannot be opened
   */
  reload(settings: PoolSettings, sockets: PoolSockets, mode: ReloadMode): Promise<StartOutcome> {
    if (this.#pool.isReloading || this.#isStopping) {
      const why = this.#isStopping ? "the pool is stopping" : "another reload of this pool is under way";
      return Promise.resolve({ ok: false, fault: "boot", message: why });
    }
    this.#next = { settings, sockets, log: new PoolLog(settings, this.#host) };
    this.#firstFailure = undefined;
    this.#pool.setPolicy(policyOf(settings));
    this.#pool.reload(mode);
    this.#host.logger.info({ pool: this.name, mode }, "reloading");
    const outcome = new Promise<StartOutcome>((resolve) => {
      this.#reloading = resolve;
    });
    this.#act();
    return outcome;
  }

  #endReload(outcome: StartOutcome): void {
    const next = this.#next;
    if (next !== undefined && outcome.ok) {
      this.#settings = next.settings;
      this.#sockets = next.sockets;
      this.#log.close();
      this.#log = next.log;
    } else next?.log.close();
    this.#next = undefined;
    const settle = this.#reloading;
    this.#reloading = undefined;
    settle?.(outcome);
  }

  /** Takes no new work and lets every worker finish. `onStopped` follows. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#caretaker.dismiss();
    this.#endReload({ ok: false, fault: "boot", message: "the pool was stopped meanwhile" });
    this.#pool.stop();
    this.#act();
    this.#checkStopped();
  }

  /** Ends every worker now. */
  kill(reason: string): void {
    this.stop();
    for (const worker of this.#workers.values()) worker.kill(reason);
  }

  /** @returns how many there shall be now */
  scale(change: number | { readonly to: number }): number {
    const target = this.#pool.scale(change);
    this.#act();
    return target;
  }

  /** The worker with this pid or id. */
  find(worker: number): WorkerHandle | undefined {
    return [...this.#workers.values()].find((one) => one.pid === worker) ?? this.#workers.get(worker);
  }

  reopenLogs(): void {
    this.#log.reopen();
    for (const worker of this.#workers.values()) worker.tell({ type: "reopenLogs" });
  }

  /** Judges every worker; about once a second. */
  check(wasAsleep: boolean): void {
    const workers = [...this.#workers.values()];
    for (const worker of workers) worker.check(wasAsleep);
    this.#totals.look(this.#settings, workers);
    this.#act();
  }

  snapshot(): PoolSnapshot {
    const workers = [...this.#workers.values()];
    const { generation, isReloading, maxChildren, nextStartAt } = this.#pool;
    const { settings, sockets } = { settings: this.#settings, sockets: this.#sockets };
    const waitMs = nextStartAt === undefined ? undefined : nextStartAt - this.#host.now();
    return this.#totals.snapshot({
      settings,
      sockets,
      workers,
      generation,
      isReloading,
      maxChildren,
      waitMs,
    });
  }

  // Carrying out decisions

  #act(): void {
    clearTimeout(this.#timer);
    if (this.#hasFailed && !this.#isStopping) return; // the manager gives up: another worker would fail as well
    const views = [...this.#workers.values()]
      .map((worker) => worker.view)
      .filter((view) => view !== undefined);
    const now = this.#host.now();
    const { actions, wakeAt } = this.#pool.decide(views, now);
    for (const action of actions) this.#do(action);
    if (this.#pool.nextStartAt !== undefined && this.#workers.size === 0 && !this.#isStopping) {
      const context = this.#launchContext(this.#settings, this.#sockets);
      this.#caretaker.hire(context, this.#lastEnd, this.#pool.nextStartAt - now);
    }
    if (wakeAt !== undefined && !this.#isStopped) {
      this.#timer = setTimeout(() => this.#act(), Math.max(1, Math.ceil(wakeAt - now)));
    }
  }

  #do(action: PoolAction): void {
    switch (action.do) {
      case "spawn":
        this.#spawn(action.generation, action.replaces);
        return;
      case "drain": {
        const worker = this.#workers.get(action.id);
        if (worker === undefined) return;
        this.#host.logger.info(
          { pool: this.name, pid: worker.pid, reason: action.reason },
          "draining a worker",
        );
        worker.drain(action.reason === "stop" ? this.#settings.drainDelayMs : 0);
        return;
      }
      case "kill":
        this.#workers.get(action.id)?.kill(action.reason);
        return;
      case "watchSocket":
        for (const socket of this.#sockets.fastcgi) socket.watch(() => this.#onDemand());
        this.#sockets.http?.watch(() => this.#onDemand());
        this.#sockets.wsHttp?.watch(() => this.#onDemand());
        return;
      case "maxChildrenReached":
        this.#totals.maxChildrenReached++;
        this.#log.maxChildrenReached(this.#pool.maxChildren);
        return;
      case "reloaded":
        this.#host.logger.info({ pool: this.name, generation: action.generation }, "reloaded");
        this.#endReload({ ok: true });
        return;
      case "reloadFailed":
        this.#endReload(this.#firstFailure ?? NEW_WORKERS_ENDED);
        return;
    }
  }

  get #program(): string {
    const { program } = this.#settings;
    return program.kind === "app" ? program.file : program.command.join(" ");
  }

  #onDemand(): void {
    this.#pool.demand();
    this.#act();
  }

  #spawn(generation: number, replaces: number | undefined): void {
    // A reload goes beyond it for a moment, or it could never prove the new workers before the old ones go.
    if (!this.#pool.isReloading && !this.#host.mayStart()) {
      this.#log.processMaxReached();
      return;
    }
    this.#caretaker.dismiss();
    const id = this.#host.nextWorkerId();
    const { logger, now } = this.#host;
    const { settings, sockets } = this.#underWhich(generation);
    let worker: WorkerHandle;
    try {
      const launching = launchWorker(this.#launchContext(settings, sockets), id, generation);
      worker = new WorkerHandle({ id, generation }, settings, launching, { sink: this, logger, now });
    } catch (error) {
      // Not in the middle of a decision: the policy hears of it as of any other death.
      setImmediate(() => this.#onNotSpawned(id, generation, error));
      return;
    }
    this.#totals.workersStarted++;
    this.#workers.set(id, worker);
    if (worker.pid > 0) this.#host.guardian.add(worker.pid, settings.program.kind === "app");
    logger.debug({ pool: this.name, pid: worker.pid, worker: id, generation, replaces }, "worker started");
  }

  /** A worker of the generation that a reload starts has the new settings, every other the old ones. */
  #underWhich(generation: number): { settings: PoolSettings; sockets: PoolSockets } {
    if (this.#next !== undefined && generation > this.#pool.generation) return this.#next;
    return { settings: this.#settings, sockets: this.#sockets };
  }

  #launchContext(pool: PoolSettings, sockets: PoolSockets): Parameters<typeof launchWorker>[0] {
    const { env, logLevel, tools } = this.#host;
    const { fastcgi, http, wsHttp } = sockets;
    return { pool, sockets: fastcgi, http, wsHttp, env, logLevel, tools };
  }

  #onNotSpawned(id: number, generation: number, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#host.logger.error({ pool: this.name }, `a worker could not be started: ${message}`);
    this.#lastEnd = message;
    this.#fail({ ok: false, fault: faultOf(error), message });
    this.#pool.ended({ id, generation, wasReady: false, isExpected: false, livedMs: 0 }, this.#host.now());
    this.#act();
  }

  // WorkerSink

  onReady(worker: KnownWorker): void {
    this.#host.logger.info(
      { pool: this.name, pid: worker.pid, worker: worker.id, generation: worker.generation },
      "worker ready",
    );
    this.#pool.ready(worker, this.#host.now());
    this.#act();
    this.#settleStart();
  }

  onChange(_worker: KnownWorker): void {
    // Not now: it may be told from inside a decision.
    setImmediate(() => this.#act());
  }

  onEnded(worker: KnownWorker, end: WorkerEnd): void {
    this.#workers.delete(worker.id);
    this.#host.guardian.remove(worker.pid);
    this.#totals.addEnded(worker, end);
    const { wasReady, livedMs } = end;
    // Programs have limits of their own, and TERM to one worker is a request; an application that exits at once, though,
    // would be started again without end.
    const isAgreed =
      wasReady && end.code === 0 && (this.#settings.program.kind === "command" || livedMs > SETTLED_MS);
    const isExpected = end.isExpected || isAgreed;
    if (!isExpected) this.#lastEnd = end.failure || `${this.#program} ended with ${end.how}`;
    this.#log.workerEnded(worker, { ...end, isExpected });
    if (!end.wasReady && !end.isExpected) {
      this.#fail({
        ok: false,
        fault: end.isApp ? "app" : "boot",
        message: end.failure === "" ? `${this.#program} ended with ${end.how}` : end.failure,
      });
    }
    const { id, generation } = worker;
    this.#pool.ended({ id, generation, wasReady, isExpected, livedMs }, this.#host.now());
    this.#act();
    this.#checkStopped();
  }

  onLine(worker: KnownWorker, stream: "stdout" | "stderr", line: string): void {
    this.#log.output(worker.pid, stream, line);
  }

  onMessage(worker: KnownWorker, message: Extract<FromWorker, { type: "log" | "status" | "files" }>): void {
    if (message.type === "log") {
      this.#log.message(worker.pid, message.level, message.fields, message.message);
      return;
    }
    if (message.type === "files") return; // for `postern dev` alone
    const { text, contentType } = this.#host.statusPage(this.name, message.query);
    worker.tellStatus(message.id, text, contentType);
  }

  onSlow(worker: KnownWorker, report: SlowReport): void {
    // The worker counts for itself what it comes to the end of.
    if (report.isStuck && this.#settings.requestSlowlogTimeoutMs > 0) this.#totals.slowRequests++;
    this.#log.slow(worker.pid, report);
  }

  // The first start

  #settleStart(): void {
    if (this.#starting === undefined) return;
    const workers = [...this.#workers.values()];
    const isUp =
      this.#settings.pm === "ondemand" ||
      (workers.length > 0 && workers.every((one) => one.stage !== "starting"));
    if (isUp) this.#endStart({ ok: true });
  }

  #fail(failure: StartOutcome): void {
    this.#firstFailure ??= failure;
    if (this.#starting !== undefined && this.#pool.generation === FIRST_GENERATION) this.#endStart(failure);
  }

  #endStart(outcome: StartOutcome): void {
    const settle = this.#starting;
    this.#starting = undefined;
    this.#firstFailure = undefined;
    this.#hasFailed = !outcome.ok;
    settle?.(outcome);
  }

  #checkStopped(): void {
    if (!this.#isStopping || this.#workers.size > 0 || this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#log.close();
    this.#host.onStopped(this.name);
  }
}

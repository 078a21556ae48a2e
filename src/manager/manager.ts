/**
 * The manager: owns the sockets for its whole life, runs the pools, and is asked things by signals and by its control
 * socket. Never accepts a connection itself.
 *
 *     sockets ── pools ── workers
 *        │         │
 *        └── manager ── lifecycle (what may happen now) ── host (signals, pid file, systemd)
 *                └───── control socket
 */
import type { Configuration, ManagerSettings } from "../config/types.ts";
import type { ManagerSnapshot } from "../status/snapshot.ts";
import type { Commands, Outcome } from "./commands.ts";
import { ExitCode } from "./exit-codes.ts";
import type { Host } from "./host.ts";
import { Lifecycle, type ManagerStep } from "./lifecycle.ts";
import type { ReloadMode } from "./pool.ts";
import type { StartOutcome } from "./pool-host.ts";
import type { PoolRunner } from "./pool-runner.ts";
import { messageOf, PoolSet } from "./pool-set.ts";

/** Everything is judged this often, ms. */
const CHECK_MS = 1000;
/** A check this late means that the machine slept. */
const ASLEEP_MS = 5000;

export interface ManagerOptions {
  readonly configuration: Configuration;
  /** Reads the configuration again. @throws {SettingError} what is wrong with it */
  readonly reread: () => Promise<Configuration>;
  readonly host: Host;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Of a start that failed. */
const EXIT_CODES = { setting: ExitCode.Usage, app: ExitCode.App, boot: ExitCode.Boot } as const;

interface ReloadRequest {
  readonly pool: string | undefined;
  readonly mode: ReloadMode | undefined;
  readonly resolve: (outcome: Outcome) => void;
}

export class Manager implements Commands {
  readonly #host: Host;
  readonly #reread: () => Promise<Configuration>;
  readonly #version: string;
  readonly #lifecycle = new Lifecycle();
  readonly #pools: PoolSet;
  readonly #startedAt = Date.now();
  #settings: ManagerSettings;
  #configuration: Configuration;
  #waiting: ReloadRequest[] = [];
  #reloads = 0;
  #lastReloadError: string | undefined = undefined;
  #check: NodeJS.Timeout | undefined = undefined;
  #checkedAt = 0;
  #exitCode: ExitCode = ExitCode.Ok;
  #failure: string | undefined = undefined;
  #resolveEnd!: (code: ExitCode) => void;
  readonly #end: Promise<ExitCode>;

  constructor({ configuration, reread, host, version, env }: ManagerOptions) {
    this.#configuration = configuration;
    this.#settings = configuration.manager;
    this.#reread = reread;
    this.#host = host;
    this.#version = version;
    this.#pools = new PoolSet(host, env, configuration.manager.processMax, () => this.#onPoolsStopped());
    this.#end = new Promise((resolve) => {
      this.#resolveEnd = resolve;
    });
  }

  /** Why it could not be started, when `run` resolves to 3 or 4. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /**
   * Runs until it is stopped.
   * @returns the exit code
   * @throws {SettingError} an address, file or name cannot be used; nothing is left behind
   */
  async run(): Promise<ExitCode> {
    try {
      for (const pool of this.#configuration.pools) await this.#pools.add(pool);
      await this.#host.begin(this);
    } catch (error) {
      for (const pool of this.#pools.all()) pool.kill("start failed");
      this.#pools.closeSockets();
      await this.#host.end();
      throw error;
    }
    this.#checkedAt = this.#host.now();
    this.#check = setInterval(() => this.#onCheck(), CHECK_MS);
    const starts = this.#pools.all().map((pool) => pool.start().then((how) => ({ pool, how })));
    for (const start of starts) void start.then(({ pool, how }) => this.#onStartFailed(pool, how));
    void Promise.all(starts).then((all) => {
      if (all.every(({ how }) => how.ok)) this.#step(this.#lifecycle.on("ready"));
    });
    return this.#end;
  }

  // Commands

  status(): ManagerSnapshot {
    const { state } = this.#lifecycle;
    return {
      name: this.#settings.name,
      version: this.#version,
      pid: process.pid,
      state: state === "stopped" ? "stopping" : state,
      startedAt: this.#startedAt,
      now: Date.now(),
      memoryBytes: process.memoryUsage.rss(),
      configFile: this.#configuration.file,
      reloads: this.#reloads,
      lastReloadError: this.#lastReloadError,
      pools: this.#pools.all().map((pool) => pool.snapshot()),
    };
  }

  reload(pool: string | undefined, mode: ReloadMode | undefined): Promise<Outcome> {
    return new Promise((resolve) => {
      const step = this.#lifecycle.on("reload");
      if (step === "ignore") {
        resolve({ ok: false, message: "the manager is stopping" });
        return;
      }
      this.#waiting.push({ pool, mode, resolve });
      this.#step(step);
    });
  }

  /** Whether it has been told to stop. */
  get isStopping(): boolean {
    return this.#lifecycle.state === "stopping" || this.#lifecycle.state === "stopped";
  }

  stop(how: "graceful" | "now"): Outcome {
    if (how === "graceful" && this.isStopping)
      return { ok: true, message: `${this.#settings.name} is stopping already` };
    this.#step(this.#lifecycle.on(how === "now" ? "stopNow" : "stop"));
    const { length } = this.#pools.all().flatMap((pool) => pool.snapshot().workers);
    return {
      ok: true,
      message: `${this.#settings.name} is stopping: ${length} worker${length === 1 ? "" : "s"} to end`,
    };
  }

  scale(name: string | undefined, workers: string): Outcome {
    const pool = this.#pools.pick(name);
    if (typeof pool === "string") return { ok: false, message: pool };
    if (!/^[+-]?\d{1,5}$/.test(workers)) {
      return { ok: false, message: `${JSON.stringify(workers)} is no number of workers; write 4, +1 or -2` };
    }
    const number = Number(workers);
    const target = pool.scale(/^[+-]/.test(workers) ? number : { to: number });
    this.#host.logger.info({ pool: pool.name, maxChildren: target }, "scaled");
    return { ok: true, message: `pool ${pool.name}: ${target} worker${target === 1 ? "" : "s"} at most` };
  }

  replace(worker: number): Outcome {
    for (const pool of this.#pools.all()) {
      const found = pool.find(worker);
      if (found === undefined) continue;
      found.askToRetire("asked");
      return {
        ok: true,
        message: `worker ${found.pid} of pool ${pool.name} goes when its successor is ready`,
      };
    }
    return { ok: false, message: `there is no worker with the pid or number ${worker}` };
  }

  reopenLogs(): Outcome {
    this.#host.reopenLogs();
    for (const pool of this.#pools.all()) pool.reopenLogs();
    return { ok: true, message: "the logs were reopened" };
  }

  /** TTIN, TTOU: every pool gets one worker more or less. */
  scaleAll(change: 1 | -1): void {
    for (const pool of this.#pools.all()) {
      const target = pool.scale(change);
      this.#host.logger.info({ pool: pool.name, maxChildren: target }, "scaled");
    }
  }

  // Lifecycle

  #step(step: ManagerStep): void {
    switch (step) {
      case "announceReady":
        this.#announceReady();
        return;
      case "beginReload":
        void this.#runReloads();
        return;
      case "beginStop":
        this.#beginStop();
        return;
      case "killAll":
        this.#host.onStopping();
        for (const pool of this.#pools.all()) pool.kill("the manager was told to stop at once");
        return;
      case "exit":
        void this.#exit();
        return;
      case "queueReload":
      case "ignore":
        return;
    }
  }

  #announceReady(): void {
    const { name } = this.#settings;
    for (const pool of this.#pools.all()) {
      const { addresses } = pool.snapshot();
      for (const address of addresses) {
        this.#host.logger.info({ pool: pool.name, address }, urlOf(address) ?? "listening for FastCGI");
      }
    }
    this.#host.onReady(`${name}: ${this.#pools.size} pool${this.#pools.size === 1 ? "" : "s"}`);
    if (this.#lifecycle.isReloadQueued) this.#step(this.#lifecycle.on("reload"));
  }

  #onStartFailed(pool: PoolRunner, how: StartOutcome): void {
    if (how.ok || this.#lifecycle.state !== "starting") return;
    this.#exitCode = EXIT_CODES[how.fault];
    this.#failure = this.#pools.size > 1 ? `pool ${pool.name}: ${how.message}` : how.message;
    this.#step(this.#lifecycle.on("startFailed"));
    for (const one of this.#pools.all()) one.kill("the start failed");
  }

  #beginStop(): void {
    this.#host.logger.info({ workers: this.#pools.workerCount }, "stopping");
    this.#host.onStopping();
    for (const { resolve } of this.#waiting.splice(0))
      resolve({ ok: false, message: "the manager is stopping" });
    for (const pool of this.#pools.all()) {
      const { drainDelayMs } = pool.settings;
      // Until its workers stop accepting; then a visitor is better told at once than left in the backlog.
      setTimeout(() => this.#pools.release(pool), drainDelayMs).unref();
      pool.stop();
    }
  }

  #onPoolsStopped(): void {
    this.#step(this.#lifecycle.on("drained"));
  }

  async #exit(): Promise<void> {
    clearInterval(this.#check);
    this.#pools.closeSockets();
    await this.#host.end();
    this.#resolveEnd(this.#exitCode);
  }

  // Reload

  async #runReloads(): Promise<void> {
    const requests = this.#waiting.splice(0);
    this.#host.onReloading();
    const names = requests.map(({ pool }) => pool);
    const only = names.includes(undefined) ? undefined : new Set(names.filter((name) => name !== undefined));
    const mode = requests.find((request) => request.mode !== undefined)?.mode;
    let outcome: Outcome;
    try {
      outcome = await this.#reloadPools(only, mode);
    } catch (error) {
      outcome = { ok: false, message: messageOf(error) };
    }
    this.#reloads++;
    this.#lastReloadError = outcome.ok ? undefined : outcome.message;
    if (!outcome.ok)
      this.#host.logger.error({}, `reload failed, the old workers go on: ${firstLine(outcome.message)}`);
    for (const { resolve } of requests) resolve(outcome);
    this.#step(this.#lifecycle.on("reloadEnded"));
  }

  async #reloadPools(only: ReadonlySet<string> | undefined, mode: ReloadMode | undefined): Promise<Outcome> {
    const next = await this.#reread();
    const unknown = [...(only ?? [])].find((name) => !next.pools.some((pool) => pool.name === name));
    if (unknown !== undefined) {
      return {
        ok: false,
        message: `there is no pool named ${unknown}; there are ${next.pools.map(({ name }) => name).join(", ")}`,
      };
    }
    this.#noteManagerChanges(next.manager);
    const wanted = next.pools.filter(({ name }) => only === undefined || only.has(name));
    const outcomes = await Promise.all(wanted.map((pool) => this.#pools.reload(pool, mode)));
    const failures = outcomes.flatMap(({ name, how }) => (how.ok ? [] : [`pool ${name}: ${how.message}`]));
    // A pool may have been given another name: the old one goes only when what comes instead serves.
    if (only === undefined && failures.length === 0) {
      const names = new Set(next.pools.map(({ name }) => name));
      for (const pool of this.#pools.all()) if (!names.has(pool.name)) pool.stop();
      this.#configuration = next;
    }
    if (failures.length > 0) {
      const message = ["the reload failed and the old workers go on serving", ...failures].join("\n");
      return { ok: false, message };
    }
    const served = outcomes.map(
      ({ name }) => `${name} serves generation ${this.#pools.get(name)?.generation}`,
    );
    return { ok: true, message: `reloaded: ${served.join(", ")}` };
  }

  #noteManagerChanges(next: ManagerSettings): void {
    for (const name of ["name", "controlSocket", "pidFile", "logFile", "logLevel"] as const) {
      if (next[name] === this.#settings[name]) continue;
      this.#host.logger.warn(
        {},
        `the setting ${name} has changed: it takes effect when the manager is started anew`,
      );
    }
    this.#pools.processMax = next.processMax;
  }

  #onCheck(): void {
    const now = this.#host.now();
    const wasAsleep = now - this.#checkedAt > ASLEEP_MS;
    this.#checkedAt = now;
    for (const pool of this.#pools.all()) pool.check(wasAsleep);
    if (this.#lifecycle.state === "running") void this.#lookAtRestartFiles();
  }

  async #lookAtRestartFiles(): Promise<void> {
    for (const name of await this.#pools.touched()) {
      if (this.#lifecycle.state !== "running") return;
      this.#host.logger.info({ pool: name }, "the restart file was touched");
      await this.reload(name, undefined);
    }
  }
}

/** What to click on, for an address of HTTP. */
function urlOf(address: string): string | undefined {
  const [, host, port] = /^http (\S+):(\d+)$/.exec(address) ?? [];
  if (host === undefined) return undefined;
  const isHere = ["[::]", "0.0.0.0", "[::1]", "127.0.0.1"].includes(host);
  return `open http://${isHere ? "localhost" : host}:${port}/`;
}

function firstLine(text: string): string {
  return text.split("\n").slice(0, 3).join(" ");
}

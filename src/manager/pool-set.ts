/** The pools of a manager: adding, reloading and taking away, with their sockets and restart files. */
import { PosternError, SettingError } from "../base/errors.ts";
import type { PoolSettings } from "../config/types.ts";
import { phpFpmStatusPage } from "../status/php-fpm.ts";
import type { Host } from "./host.ts";
import type { ReloadMode } from "./pool.ts";
import { faultOf, type PoolHost, type PoolSockets, type StartOutcome } from "./pool-host.ts";
import { PoolRunner } from "./pool-runner.ts";
import { findLaunchTools, type LaunchTools } from "./preamble.ts";
import { RestartFile } from "./restart-file.ts";
import { SocketStore } from "./socket-store.ts";

export class PoolSet {
  /** Workers of all pools together; 0 is no limit. */
  processMax: number;
  readonly #host: Host;
  readonly #env: NodeJS.ProcessEnv;
  readonly #tools: LaunchTools;
  readonly #onEmpty: () => void;
  readonly #sockets: SocketStore;
  readonly #pools = new Map<string, PoolRunner>();
  readonly #restartFiles = new Map<string, RestartFile>();
  #lastWorkerId = 0;

  /** @param onEmpty the last pool has stopped */
  constructor(host: Host, env: NodeJS.ProcessEnv, processMax: number, onEmpty: () => void) {
    this.#host = host;
    this.#env = env;
    this.#tools = findLaunchTools(env);
    this.processMax = processMax;
    this.#onEmpty = onEmpty;
    this.#sockets = new SocketStore(env);
  }

  get size(): number {
    return this.#pools.size;
  }

  get workerCount(): number {
    let count = 0;
    for (const pool of this.#pools.values()) count += pool.workerCount;
    return count;
  }

  /** All there are now; pools may come and go meanwhile. */
  all(): PoolRunner[] {
    return [...this.#pools.values()];
  }

  get(name: string): PoolRunner | undefined {
    return this.#pools.get(name);
  }

  /** The pool of that name, or the only one; else a sentence that says what there is. */
  pick(name: string | undefined): PoolRunner | string {
    const names = [...this.#pools.keys()].join(", ");
    const only = this.#pools.size === 1 ? this.all()[0] : undefined;
    if (name === undefined) return only ?? `name the pool: ${names}`;
    return this.#pools.get(name) ?? `there is no pool named ${name}; there are ${names}`;
  }

  /** Opens the sockets of a pool; it is not started yet. @throws {SettingError} */
  async add(settings: PoolSettings): Promise<PoolRunner> {
    const sockets = await this.#sockets.open(settings);
    if (sockets.fastcgi.length === 0 && sockets.http === undefined) throw nothingToListenOn(settings);
    const pool = await this.#orRelease(sockets, () => new PoolRunner(settings, sockets, this.#poolHost()));
    this.#pools.set(settings.name, pool);
    this.#watchRestartFile(settings);
    return pool;
  }

  /** A new generation with these settings; a pool that is new is started. Never rejects. */
  async reload(
    settings: PoolSettings,
    mode: ReloadMode | undefined,
  ): Promise<{ readonly name: string; readonly how: StartOutcome }> {
    const { name } = settings;
    try {
      return { name, how: await this.#replace(settings, mode) };
    } catch (error) {
      return { name, how: { ok: false, fault: faultOf(error), message: messageOf(error) } };
    }
  }

  /** The pool accepts nothing more: its sockets are closed here, and their files removed. Safe to call again. */
  release(pool: PoolRunner): void {
    this.#sockets.release(pool.sockets);
  }

  closeSockets(): void {
    this.#sockets.closeAll();
  }

  /** The names of the pools whose restart file was touched since the last look. */
  async touched(): Promise<string[]> {
    const names: string[] = [];
    for (const [name, file] of [...this.#restartFiles]) if (await file.hasChanged()) names.push(name);
    return names;
  }

  async #replace(settings: PoolSettings, mode: ReloadMode | undefined): Promise<StartOutcome> {
    const existing = this.#pools.get(settings.name);
    if (existing === undefined) {
      const pool = await this.add(settings);
      const how = await pool.start();
      if (!how.ok) pool.kill("it could not be started");
      return how;
    }
    const before = existing.sockets;
    const sockets = await this.#sockets.open(settings);
    const how = await this.#orRelease(sockets, () =>
      existing.reload(settings, sockets, mode ?? (settings.phasedReload ? "phased" : "all")),
    );
    this.#sockets.release(how.ok ? before : sockets);
    if (how.ok) this.#watchRestartFile(settings);
    return how;
  }

  /** What cannot be done must not keep its sockets. */
  async #orRelease<T>(sockets: PoolSockets, work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#sockets.release(sockets);
      throw error;
    }
  }

  #poolHost(): PoolHost {
    const { logger, logLevel, write, guardian, now } = this.#host;
    return {
      logger,
      logLevel,
      write,
      guardian,
      now,
      env: this.#env,
      tools: this.#tools,
      nextWorkerId: () => ++this.#lastWorkerId,
      mayStart: () => this.processMax === 0 || this.workerCount < this.processMax,
      statusPage: (name, query) => phpFpmStatusPage(this.#pools.get(name)!.snapshot(), Date.now(), query),
      onStopped: (name) => this.#remove(name),
    };
  }

  #remove(name: string): void {
    const pool = this.#pools.get(name);
    if (pool !== undefined) this.release(pool);
    this.#pools.delete(name);
    this.#restartFiles.delete(name);
    if (this.#pools.size === 0) this.#onEmpty();
  }

  #watchRestartFile({ name, restartFile, chdir }: PoolSettings): void {
    if (restartFile === undefined) this.#restartFiles.delete(name);
    else this.#restartFiles.set(name, new RestartFile(restartFile, chdir));
  }
}

/** What to tell an operator about an error: of ours the sentence, of others also where they come from. */
export function messageOf(error: unknown): string {
  if (error instanceof PosternError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function nothingToListenOn({ name, program }: PoolSettings): SettingError {
  const what = program.kind === "app" ? `serve ${program.file}` : `spawn … -- ${program.command.join(" ")}`;
  return new SettingError(
    "ERR_POSTERN_NO_LISTENER",
    `pool ${name}: nothing to listen on: name an address (postern ${what} --bind unix:/run/app.sock) or try it without a web server (--http :8080)`,
  );
}

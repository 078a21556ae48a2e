/**
 * Decides how many workers one pool has and which of them go. Executes nothing, owns no timer and no process: it is told
 * what happened, shown the workers there are, and answers with the actions to take. How many are wanted is
 * `pool-size.ts`; how long a crashing pool waits is `backoff.ts`.
 *
 *               reload()                              decide()
 *   ┌─────────┐          ┌─────────────────────────┐  all new ones ready: reloaded,      ┌─────────┐
 *   │ settled │ ───────▶ │ reloading all or phased │  the old ones drain                 │ settled │
 *   │         │          │                         │ ──────────────────────────────────▶ │         │
 *   └─────────┘          └─────────────────────────┘  a new one crashed: reloadFailed,   └─────────┘
 *                                                     the old ones stay
 *   from everywhere: stop() ──▶ stopping: everything drains, nothing is started. A reload is forgotten without an action.
 *
 * Settled, three rules bring the workers to the target, each on counts, so that deciding twice changes nothing:
 *
 *   start     while fewer are there than wanted, and one more for each that retires, a quarter of the target at a time
 *   drain     the retiring ones that the target can spare: first the new one is ready, then the old one goes
 *   surplus   more than wanted that do not retire: starting ones go first, then the longest idle, then the oldest
 *
 * Reloading:
 *  - Nothing else is decided: no sizes, no idle times, no replacements. A lost old worker is replaced by an old one only
 *    when the pool served and nobody is ready any more; the new ones are on their way, and made of the same code on disk.
 *  - It fails when a new worker ends before it is ready, or crashes later while the reload is still under way.
 *  - `all` starts as many as the pool wants, at once. When it fails, the new ones go: a ready one drains, since it may
 *    have accepted requests; the others are killed.
 *  - `phased` starts one; when that is ready an old one drains; when that has ended the next is started. When it fails,
 *    the new ones that are ready stay, beside the old ones; until the next reload both are right. A worker lost after
 *    that is started as the old generation: only a reload that succeeded changes what `generation` is.
 *  - Its crashes do not count for the back-off, since a failed reload is not repeated.
 *
 * A machine that was suspended shows as a decision that comes much later than it was wanted: nobody was idle meanwhile.
 */
import { Backoff } from "./backoff.ts";
import { type Crowd, type PoolPolicy, PoolSize } from "./pool-size.ts";
import {
  byAge,
  bySurplus,
  countCrowd,
  isReady,
  isStuck,
  type RetireReason,
  type WorkerView,
} from "./worker-view.ts";

export type { PoolPolicy } from "./pool-size.ts";
export type { RetireReason, WorkerView } from "./worker-view.ts";

export type ReloadMode = "all" | "phased";

export type PoolAction =
  /** @property replaces for the log: the worker whose place it takes */
  | { readonly do: "spawn"; readonly generation: number; readonly replaces: number | undefined }
  | { readonly do: "drain"; readonly id: number; readonly reason: RetireReason }
  /** It never served. */
  | { readonly do: "kill"; readonly id: number; readonly reason: string }
  | { readonly do: "reloaded"; readonly generation: number }
  /** @property id the worker that failed */
  | { readonly do: "reloadFailed"; readonly generation: number; readonly id: number }
  /** Nobody could accept: call `demand` when a connection waits. Holds until that call. */
  | { readonly do: "watchSocket" }
  /** All `maxChildren` are busy. Once per episode. */
  | { readonly do: "maxChildrenReached" };

export interface Decision {
  /** To be carried out in this order, all of them, before the next decision. */
  readonly actions: readonly PoolAction[];
  /** Decide again then at the latest, though nothing has happened. */
  readonly wakeAt: number | undefined;
}

/** A worker that has ended. */
export interface EndedWorker {
  readonly id: number;
  readonly generation: number;
  readonly wasReady: boolean;
  /** We drained or killed it, or it ended itself as agreed. Before it was ready, that is a failure all the same. */
  readonly isExpected: boolean;
  readonly livedMs: number;
}

interface Reload {
  readonly mode: ReloadMode;
  readonly generation: number;
  readonly policy: PoolPolicy;
  /** Workers the new generation has. */
  readonly target: number;
  /** Whether an old worker was ready while it went on. */
  hadReady: boolean;
  /** The new worker that crashed. */
  failedId: number | undefined;
}

/** What one decision collects. */
interface Turn {
  readonly now: number;
  readonly actions: PoolAction[];
  /** Infinity is never. */
  wakeAt: number;
}

/** A decision this much later than wanted: the machine slept. */
const LATE_MS = 5_000;

/** A worker that goes for one of these is replaced. */
const REPLACED: ReadonlySet<RetireReason | undefined> = new Set(["maxRequests", "maxMemory", "asked"]);

export class Pool {
  readonly #size: PoolSize;
  readonly #backoff: Backoff = new Backoff();
  #generation = 1;
  #lastGeneration = 1;
  #nextPolicy: PoolPolicy | undefined = undefined;
  #reload: Reload | undefined = undefined;
  #isStopping = false;
  #isWatching = false;
  #heldUntil: number | undefined = undefined;
  #wakeAt = Number.POSITIVE_INFINITY; // what the last decision asked for
  #awakeSince = Number.NEGATIVE_INFINITY; // when the machine was last found to have slept
  /** Generations whose workers are right: one, or more after a phased reload that failed half-way. */
  #serving: ReadonlySet<number> = new Set([1]);
  /** Workers that were told to go, until they have ended. */
  readonly #leaving: Set<number> = new Set();
  readonly #readyAt: Map<number, number> = new Map();

  constructor(policy: PoolPolicy) {
    this.#size = new PoolSize(policy);
  }

  /** The generation that should serve: that of the last reload that succeeded. */
  get generation(): number {
    return this.#generation;
  }

  get isReloading(): boolean {
    return this.#reload !== undefined;
  }

  /** As configured or scaled. */
  get maxChildren(): number {
    return this.#size.maxChildren;
  }

  /** How many workers are wanted now. */
  get target(): number {
    return this.#size.target;
  }

  /** When the next worker is started, while a start is held back. */
  get nextStartAt(): number | undefined {
    return this.#heldUntil;
  }

  get crashesInARow(): number {
    return this.#backoff.crashesInARow;
  }

  /** Of an ondemand pool: a connection waits. */
  demand(): void {
    this.#isWatching = false;
    this.#size.demand();
  }

  ready(worker: { readonly id: number; readonly generation: number }, now: number): void {
    this.#readyAt.set(worker.id, now);
  }

  /** A worker is gone. To be told once for each that was started, also when its process could not be made. */
  ended(worker: EndedWorker, now: number): void {
    const wasTold = this.#leaving.delete(worker.id);
    const readyAt = this.#readyAt.get(worker.id);
    this.#readyAt.delete(worker.id);
    if (this.#isStopping || wasTold || (worker.isExpected && worker.wasReady)) return;
    if (this.#reload?.generation === worker.generation) this.#reload.failedId ??= worker.id;
    if (!this.#serving.has(worker.generation)) return;
    this.#backoff.crashed(now - worker.livedMs, readyAt, now);
    if (this.#backoff.notBefore > now) this.#heldUntil = this.#backoff.notBefore;
  }

  /**
   * Begins to replace all workers by a new generation, under the policy last set.
   *
   * @returns false while one is under way, or the pool stops
   */
  reload(mode: ReloadMode): boolean {
    if (this.#reload !== undefined || this.#isStopping) return false;
    const policy = this.#nextPolicy ?? this.#size.policy;
    this.#nextPolicy = undefined;
    const target = this.#size.targetUnder(policy);
    const generation = ++this.#lastGeneration;
    this.#reload = { mode, generation, policy, target, hadReady: false, failedId: undefined };
    this.#backoff.reset();
    return true;
  }

  /** The policy of the next reload. It holds when that has succeeded, and is forgotten when it fails. */
  setPolicy(policy: PoolPolicy): void {
    this.#nextPolicy = policy;
  }

  /**
   * Changes `maxChildren`, relatively or to a number; it stays at least 1, since a pool is ended by stopping it. It
   * outlives reloads, until one brings another `maxChildren` from the configuration.
   *
   * @returns what it is now
   */
  scale(change: number | { to: number }): number {
    return this.#size.scale(change);
  }

  stop(): void {
    this.#isStopping = true;
    this.#reload = undefined;
  }

  /** What to do now. To be asked after each event and at `wakeAt`. @param workers all whose end was not told yet */
  decide(workers: readonly WorkerView[], now: number): Decision {
    const turn: Turn = { now, actions: [], wakeAt: Number.POSITIVE_INFINITY };
    if (now - this.#wakeAt > LATE_MS) this.#awakeSince = now;
    this.#heldUntil = undefined;
    if (this.#isStopping) {
      for (const worker of this.#present(workers)) this.#drain(turn, worker, "stop");
    } else {
      if (this.#provenAt(workers) <= now) this.#backoff.reset();
      if (this.#reload !== undefined) this.#advance(turn, this.#reload, workers);
      // Not "else": a reload that has just ended leaves workers to be dealt with.
      if (this.#reload === undefined) this.#settle(turn, workers);
      wake(turn, this.#provenAt(workers));
    }
    this.#wakeAt = turn.wakeAt;
    return { actions: turn.actions, wakeAt: Number.isFinite(turn.wakeAt) ? turn.wakeAt : undefined };
  }

  /** Brings the workers to the target. */
  #settle(turn: Turn, workers: readonly WorkerView[]): void {
    for (const worker of this.#present(workers)) {
      if (isStuck(worker)) continue;
      if (!this.#serving.has(worker.generation)) this.#dismissOld(turn, worker);
      else if (this.#idleUntil(worker) <= turn.now) this.#drain(turn, worker, "idle");
    }
    const present = this.#present(workers);
    const stuck = present.filter(isStuck);
    const live = present.filter((worker) => !isStuck(worker));
    this.#size.adjust(countCrowd(present), turn.now);
    wake(turn, this.#size.nextLookAt);
    const target = this.#size.target;

    // A starting worker that is to be replaced becomes ready first: it is of more use than none.
    const retiring = live.filter((worker) => isReady(worker) && worker.retire !== undefined).sort(byAge);
    const most = Math.min(retiring.length, this.#replacementsAllowed(workers));
    for (let extra = live.length - target; extra < most; extra++) {
      // Below the target it takes the place of a stuck one, or of one that is gone.
      const replaced = extra < 0 ? stuck[stuck.length + extra] : retiring[extra];
      if (!this.#spawn(turn, replaced?.id)) break;
    }

    const spare = Math.max(0, live.filter(isReady).length - target);
    for (const worker of retiring.slice(0, spare)) this.#drain(turn, worker, worker.retire!);
    const lasting = live.filter((worker) => !retiring.includes(worker)).sort(bySurplus);
    for (const worker of lasting.slice(0, Math.max(0, lasting.length - target))) {
      this.#dismiss(turn, worker, "surplus", "it is not needed any more");
    }

    const left = this.#present(workers);
    for (const worker of left) wake(turn, this.#idleUntil(worker));
    this.#report(turn, countCrowd(left));
  }

  /** How many may be there beyond the target now. One that still finishes after it was replaced counts. */
  #replacementsAllowed(workers: readonly WorkerView[]): number {
    const finishing = workers.filter((worker) => this.#isLeaving(worker) && REPLACED.has(worker.retire));
    return Math.max(0, Math.max(1, Math.ceil(this.#size.target / 4)) - finishing.length);
  }

  /** Of an ondemand pool: when a worker that has nothing to do goes. Never (Infinity) is usual. */
  #idleUntil(worker: WorkerView): number {
    const { pm, processIdleTimeoutMs } = this.#size.policy;
    const isIdle = isReady(worker) && worker.idleSince !== undefined && worker.retire === undefined;
    if (pm !== "ondemand" || processIdleTimeoutMs === 0 || !isIdle) return Number.POSITIVE_INFINITY;
    return Math.max(worker.idleSince, this.#awakeSince) + processIdleTimeoutMs;
  }

  /** What others are to know: that the pool is full; that an ondemand pool has nobody who would accept. */
  #report(turn: Turn, crowd: Crowd): void {
    if (this.#size.becomesFull(crowd, turn.now)) turn.actions.push({ do: "maxChildrenReached" });
    const isSomebodyComing =
      crowd.starting > 0 ||
      this.#heldUntil !== undefined ||
      turn.actions.some((action) => action.do === "spawn");
    const hasRoom = this.#size.policy.pm === "ondemand" && crowd.total < this.#size.maxChildren;
    const shouldWatch = hasRoom && crowd.idle === 0 && !isSomebodyComing;
    if (shouldWatch && !this.#isWatching) turn.actions.push({ do: "watchSocket" });
    this.#isWatching = shouldWatch;
  }

  /** Takes a reload one step further. */
  #advance(turn: Turn, reload: Reload, workers: readonly WorkerView[]): void {
    const live = this.#present(workers).filter((worker) => !isStuck(worker));
    const fresh = live.filter((worker) => worker.generation === reload.generation);
    const old = live.filter((worker) => worker.generation !== reload.generation);
    const proven = fresh.filter(isReady).length;
    if (reload.failedId !== undefined) this.#fail(turn, reload, reload.failedId, fresh);
    else if (proven >= reload.target) this.#succeed(turn, reload);
    else {
      if (reload.mode === "all") this.#start(turn, reload.generation, reload.target - fresh.length);
      else this.#roll(turn, reload, workers, fresh);
      reload.hadReady ||= old.some(isReady);
      // A new one that is ready serves; an old one that starts will.
      if (reload.hadReady && proven === 0 && old.length === 0) this.#spawn(turn, undefined);
    }
  }

  /** Phased: an old one goes for each new one that is ready. The next is started when that has ended. */
  #roll(turn: Turn, reload: Reload, workers: readonly WorkerView[], fresh: readonly WorkerView[]): void {
    const proven = fresh.filter(isReady).length;
    const old = this.#present(workers).filter((worker) => !isStuck(worker) && !fresh.includes(worker));
    const spare = proven === 0 ? 0 : Math.max(0, proven + old.length - reload.target);
    for (const worker of old.sort(bySurplus).slice(0, spare)) this.#dismissOld(turn, worker);
    if (proven === fresh.length && !workers.some((worker) => this.#isLeaving(worker))) {
      this.#start(turn, reload.generation, 1);
    }
  }

  #succeed(turn: Turn, reload: Reload): void {
    this.#reload = undefined;
    this.#generation = reload.generation;
    this.#serving = new Set([reload.generation]);
    this.#size.apply(reload.policy, reload.target);
    this.#backoff.reset();
    turn.actions.push({ do: "reloaded", generation: reload.generation });
  }

  #fail(turn: Turn, reload: Reload, id: number, fresh: readonly WorkerView[]): void {
    this.#reload = undefined;
    turn.actions.push({ do: "reloadFailed", generation: reload.generation, id });
    if (reload.mode === "phased") this.#serving = new Set([...this.#serving, reload.generation]);
    for (const worker of fresh) {
      if (reload.mode === "phased" && isReady(worker)) continue;
      this.#dismiss(turn, worker, "reload", "the reload failed");
    }
  }

  /** Starts workers of a new generation, which no crash of the old one holds back. */
  #start(turn: Turn, generation: number, count: number): void {
    for (let n = 0; n < count; n++) turn.actions.push({ do: "spawn", generation, replaces: undefined });
  }

  /** Starts a worker unless it must wait. */
  #spawn(turn: Turn, replaces: number | undefined): boolean {
    const notBefore = this.#backoff.notBefore;
    if (notBefore > turn.now) {
      this.#heldUntil = notBefore;
      wake(turn, notBefore);
      return false;
    }
    this.#backoff.started(turn.now);
    turn.actions.push({ do: "spawn", generation: this.#generation, replaces });
    return true;
  }

  /** When a worker that was started after the crashes will have held out long enough to end the row. */
  #provenAt(workers: readonly WorkerView[]): number {
    let at = Number.POSITIVE_INFINITY;
    for (const worker of this.#present(workers)) {
      const readyAt = this.#readyAt.get(worker.id);
      if (readyAt === undefined || isStuck(worker)) continue;
      at = Math.min(at, this.#backoff.proofAt(worker.startedAt, readyAt));
    }
    return at;
  }

  /** Those that were not told to go. */
  #present(workers: readonly WorkerView[]): WorkerView[] {
    return workers.filter((worker) => !this.#isLeaving(worker));
  }

  #isLeaving(worker: WorkerView): boolean {
    return worker.stage === "draining" || this.#leaving.has(worker.id);
  }

  #drain(turn: Turn, worker: WorkerView, reason: RetireReason): void {
    this.#leaving.add(worker.id);
    turn.actions.push({ do: "drain", id: worker.id, reason });
  }

  /** Sends a worker away: one that is not ready has nothing to finish. */
  #dismiss(turn: Turn, worker: WorkerView, reason: RetireReason, why: string): void {
    this.#leaving.add(worker.id);
    if (isReady(worker)) turn.actions.push({ do: "drain", id: worker.id, reason });
    else turn.actions.push({ do: "kill", id: worker.id, reason: why });
  }

  #dismissOld(turn: Turn, worker: WorkerView): void {
    this.#dismiss(turn, worker, "reload", "a new generation serves");
  }
}

function wake(turn: Turn, at: number): void {
  turn.wakeAt = Math.min(turn.wakeAt, at);
}

/** A world for a pool: workers that do what a test says, and a clock that stands still until it is advanced. */
import { expect } from "vitest";
import {
  Pool,
  type PoolAction,
  type PoolPolicy,
  type RetireReason,
  type WorkerView,
} from "../../../src/manager/pool.ts";

export const STATIC: PoolPolicy = {
  pm: "static",
  maxChildren: 4,
  startServers: 2,
  minSpareServers: 1,
  maxSpareServers: 3,
  maxSpawnRate: 8,
  processIdleTimeoutMs: 10_000,
};

export const DYNAMIC: PoolPolicy = { ...STATIC, pm: "dynamic", maxChildren: 20 };
export const ONDEMAND: PoolPolicy = { ...STATIC, pm: "ondemand", maxChildren: 3 };

/** A worker, to be changed by the world only. */
export type Worker = { -readonly [key in keyof WorkerView]: WorkerView[key] } & {
  wasReady: boolean;
  isKilled: boolean;
};

/** Whether it was told to go. */
export function isGoing(worker: Readonly<Worker>): boolean {
  return worker.stage === "draining" || worker.isKilled;
}

/** An action as a test writes it: "spawn g1", "spawn g1 for 3", "drain 3 idle", "kill 4", "reloaded g2" … */
function inWords(action: PoolAction): string {
  switch (action.do) {
    case "spawn":
      return `spawn g${action.generation}${action.replaces === undefined ? "" : ` for ${action.replaces}`}`;
    case "drain":
      return `drain ${action.id} ${action.reason}`;
    case "kill":
      return `kill ${action.id}`;
    case "reloaded":
      return `reloaded g${action.generation}`;
    case "reloadFailed":
      return `reloadFailed g${action.generation} by ${action.id}`;
    default:
      return action.do;
  }
}

export class World {
  readonly pool: Pool;
  readonly workers: Map<number, Worker> = new Map();
  now = 1_000_000;
  wakeAt: number | undefined = undefined;
  #lastId = 0;

  constructor(policy: PoolPolicy) {
    this.pool = new Pool(policy);
  }

  /** Lets the pool decide and does what it says. Checks that deciding again at once changes nothing. */
  decide(): string[] {
    const before = new Map([...this.workers].map(([id, worker]) => [id, { ...worker }]));
    const { actions, wakeAt } = this.pool.decide([...this.workers.values()], this.now);
    for (const action of actions) this.#do(action);
    this.judge(actions, before);
    const again = this.pool.decide([...this.workers.values()], this.now);
    if (again.actions.length > 0 || again.wakeAt !== wakeAt) expect(again).toEqual({ actions: [], wakeAt });
    if (wakeAt !== undefined && wakeAt <= this.now)
      throw new Error(`asked to be woken ${this.now - wakeAt} ms ago`);
    this.wakeAt = wakeAt;
    return actions.map(inWords);
  }

  /** Looks at a decision that was just carried out. @param _before the workers at that time */
  protected judge(_actions: readonly PoolAction[], _before: ReadonlyMap<number, Readonly<Worker>>): void {}

  advance(ms: number): string[] {
    this.now += ms;
    return this.decide();
  }

  /** Lets time pass as a manager does: with a decision whenever one was asked for. */
  pass(ms: number): string[] {
    const until = this.now + ms;
    const done: string[] = [];
    while (this.wakeAt !== undefined && this.wakeAt <= until)
      done.push(...this.advance(this.wakeAt - this.now));
    done.push(...this.advance(until - this.now));
    return done;
  }

  /** These become ready, or all that start. */
  ready(...ids: number[]): string[] {
    const chosen =
      ids.length > 0 ? ids : this.ids((worker) => worker.stage === "starting" && !isGoing(worker));
    for (const id of chosen) {
      const worker = this.worker(id);
      Object.assign(worker, { stage: "ready", wasReady: true, isBusy: false, idleSince: this.now });
      this.pool.ready(worker, this.now);
    }
    return this.decide();
  }

  busy(...ids: number[]): string[] {
    for (const id of ids) Object.assign(this.worker(id), { isBusy: true, idleSince: undefined });
    return this.decide();
  }

  idle(...ids: number[]): string[] {
    for (const id of ids) Object.assign(this.worker(id), { isBusy: false, idleSince: this.now });
    return this.decide();
  }

  retire(reason: RetireReason, ...ids: number[]): string[] {
    for (const id of ids) this.worker(id).retire = reason;
    return this.decide();
  }

  /** Workers end by themselves, at the same moment. */
  crash(...ids: number[]): string[] {
    for (const id of ids) this.#end(id, false);
    return this.decide();
  }

  /** Those that were told to go do; or these end, as was to be expected. */
  leave(...ids: number[]): string[] {
    const chosen = ids.length > 0 ? ids : this.ids(isGoing);
    for (const id of chosen) this.#end(id, true);
    return this.decide();
  }

  /** Starts the pool: what it wants at first is ready and was for long enough to be trusted. */
  settle(): this {
    this.decide();
    this.ready();
    this.pass(20_000);
    return this;
  }

  ids(wanted: (worker: Worker) => boolean = () => true): number[] {
    return [...this.workers.values()].filter(wanted).map((worker) => worker.id);
  }

  worker(id: number): Worker {
    const worker = this.workers.get(id);
    if (worker === undefined) throw new Error(`there is no worker ${id}`);
    return worker;
  }

  #do(action: PoolAction): void {
    if (action.do === "spawn") {
      this.#lastId++;
      this.workers.set(this.#lastId, {
        id: this.#lastId,
        generation: action.generation,
        stage: "starting",
        isBusy: false,
        idleSince: undefined,
        retire: undefined,
        startedAt: this.now,
        wasReady: false,
        isKilled: false,
      });
    } else if (action.do === "drain") {
      const worker = this.worker(action.id);
      worker.stage = "draining";
      worker.retire ??= action.reason;
    } else if (action.do === "kill") {
      this.worker(action.id).isKilled = true; // and it looks as before until it has ended
    }
  }

  #end(id: number, isExpected: boolean): void {
    const { generation, wasReady, startedAt } = this.worker(id);
    this.workers.delete(id);
    this.pool.ended({ id, generation, wasReady, isExpected, livedMs: this.now - startedAt }, this.now);
  }
}

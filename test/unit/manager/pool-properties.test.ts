/** What holds for any sequence of events, in a world where workers start, serve, hang, crash and leave as they like. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PoolAction, PoolPolicy, ReloadMode } from "../../../src/manager/pool.ts";
import { DYNAMIC, isGoing, ONDEMAND, STATIC, type Worker, World } from "./pool-world.ts";

const POLICIES: readonly PoolPolicy[] = [
  STATIC,
  { ...STATIC, maxChildren: 1 },
  { ...STATIC, maxChildren: 9 },
  { ...DYNAMIC, maxChildren: 6, startServers: 3, maxSpareServers: 2 },
  ONDEMAND,
  { ...ONDEMAND, maxChildren: 1 },
];

type Event =
  | { readonly what: "time"; readonly ms: number }
  | { readonly what: "ready" | "crash" | "leave" | "agreedEnd" | "busy" | "idle"; readonly which: number }
  | {
      readonly what: "retire";
      readonly which: number;
      readonly reason: "maxRequests" | "maxMemory" | "asked" | "stuck";
    }
  | { readonly what: "reload"; readonly mode: ReloadMode; readonly policy: PoolPolicy | undefined }
  | { readonly what: "scale"; readonly change: number }
  | { readonly what: "demand" | "stop" };

const which = fc.nat(40);
const anyPolicy = fc.constantFrom(...POLICIES);
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant("time"), ms: fc.constantFrom(1, 90, 900, 1000, 9000, 40_000) }),
  },
  { weight: 6, arbitrary: fc.record({ what: fc.constant("ready"), which }) },
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constantFrom("crash", "leave", "leave", "agreedEnd", "busy", "busy", "idle"),
      which,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant("retire"),
      which,
      reason: fc.constantFrom("maxRequests", "maxMemory", "asked", "stuck"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant("reload"),
      mode: fc.constantFrom<ReloadMode>("all", "phased"),
      policy: fc.option(anyPolicy, { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant("scale"), change: fc.integer({ min: -3, max: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("demand") }) },
);
const anyEvents = fc.array(anyEvent, { minLength: 5, maxLength: 80 });

/** A world that checks every decision, and remembers what tests ask for. */
class JudgedWorld extends World {
  readonly outcomes: string[] = [];
  reloadsBegun = 0;
  isStopped = false;
  pm: PoolPolicy["pm"];
  #reload: { mode: ReloadMode; generation: number; most: number; pm: PoolPolicy["pm"] } | undefined =
    undefined;
  #lastStartAt = Number.NEGATIVE_INFINITY;
  #accepted = new Set([1]);

  constructor(policy: PoolPolicy) {
    super(policy);
    this.pm = policy.pm;
    this.decide();
  }

  happen(event: Event): void {
    switch (event.what) {
      case "time":
        this.pass(event.ms);
        break;
      case "reload":
        this.#begin(event.mode, event.policy);
        break;
      case "scale":
        this.pool.scale(event.change);
        break;
      case "demand":
        this.pool.demand();
        break;
      case "stop":
        this.pool.stop();
        this.isStopped = true;
        this.#reload = undefined;
        break;
      default:
        this.#happenTo(event);
    }
    this.decide();
  }

  #happenTo(event: Exclude<Event, { what: "time" | "reload" | "scale" | "demand" | "stop" }>): void {
    const among = this.ids((worker) => {
      if (event.what === "leave") return isGoing(worker) || worker.retire === "stuck";
      if (event.what === "crash") return true;
      if (event.what === "retire") return !isGoing(worker) && worker.retire === undefined;
      return !isGoing(worker) && worker.stage === (event.what === "ready" ? "starting" : "ready");
    });
    const id = among[event.which % among.length];
    if (id === undefined) return;
    if (event.what === "retire") this.retire(event.reason, id);
    else if (event.what === "agreedEnd") this.leave(id);
    else this[event.what](id);
  }

  #begin(mode: ReloadMode, policy: PoolPolicy | undefined): void {
    if (!this.pool.isReloading && policy !== undefined) this.pool.setPolicy(policy);
    if (!this.pool.reload(mode)) return;
    this.reloadsBegun++;
    const most = Math.max(this.pool.maxChildren, policy?.maxChildren ?? 1);
    this.#reload = { mode, generation: 1 + this.reloadsBegun, most, pm: policy?.pm ?? this.pm };
  }

  protected override judge(
    actions: readonly PoolAction[],
    before: ReadonlyMap<number, Readonly<Worker>>,
  ): void {
    const outcome = actions.find((action) => action.do === "reloaded" || action.do === "reloadFailed");
    const reload = this.#reload;
    this.#judgeStarts(actions);
    if (reload?.mode === "all" && outcome === undefined) {
      // The old ones serve on, whatever becomes of the new.
      expect(actions.every((action) => action.do === "spawn")).toBe(true);
    }
    if (outcome !== undefined) {
      expect(outcome.generation).toBe(reload?.generation);
      this.outcomes.push(outcome.do);
      if (outcome.do === "reloaded") {
        this.#accepted = new Set([outcome.generation]);
        this.pm = reload!.pm;
      }
      if (reload?.mode === "phased") this.#accepted.add(outcome.generation);
      this.#reload = undefined;
    }
    for (const action of actions) {
      if (action.do !== "drain" && action.do !== "kill") continue;
      const worker = before.get(action.id);
      if (worker === undefined) throw new Error(`${action.do} of ${action.id}, who is not there`);
      expect(isGoing(worker)).toBe(false);
      if (action.do === "kill") expect(worker.stage).toBe("starting");
      const reason =
        action.do === "drain" ? action.reason : action.reason.includes("needed") ? "surplus" : "reload";
      expect([worker, reason, this.#isJust(worker, reason, outcome, before)]).toEqual([worker, reason, true]);
    }
  }

  #judgeStarts(actions: readonly PoolAction[]): void {
    const starts = actions.filter((action) => action.do === "spawn");
    if (starts.length === 0) return;
    expect(this.isStopped).toBe(false);
    const there = this.ids((worker) => !isGoing(worker) && worker.retire !== "stuck");
    const generation = this.#reload?.generation;
    const fresh = there.filter((id) => this.worker(id).generation === generation);
    if (this.pool.isReloading) expect(fresh.length).toBeLessThanOrEqual(this.#reload!.most);
    const ordinary = starts.filter((action) => action.generation !== generation || !this.pool.isReloading);
    if (ordinary.length === 0) return;
    if (!this.pool.isReloading) {
      const target = this.pool.target;
      expect(target).toBeLessThanOrEqual(this.pool.maxChildren);
      expect(there.length).toBeLessThanOrEqual(target + Math.max(1, Math.ceil(target / 4)));
    }
    const crashes = this.pool.crashesInARow;
    if (crashes >= 2) {
      expect(ordinary).toHaveLength(1);
      expect(this.now - this.#lastStartAt).toBeGreaterThanOrEqual(Math.min(30_000, 100 * 2 ** (crashes - 2)));
    }
    this.#lastStartAt = this.now;
  }

  /** Whether there was a reason to let this worker go. */
  #isJust(
    worker: Readonly<Worker>,
    reason: string,
    outcome: PoolAction | undefined,
    before: ReadonlyMap<number, Readonly<Worker>>,
  ): boolean {
    const { target } = this.pool;
    const there = [...before.values()].filter((one) => !isGoing(one) && one.retire !== "stuck");
    const others = this.ids((one) => !isGoing(one) && one.stage === "ready" && one.retire !== "stuck");
    switch (reason) {
      case "stop":
        return this.isStopped;
      case "idle":
        return (
          worker.idleSince !== undefined &&
          this.now - worker.idleSince >= 10_000 &&
          worker.retire === undefined
        );
      case "surplus":
        return worker.retire !== "stuck" && there.length > target && this.#leftAfter() >= target;
      case "reload":
        if (outcome?.do === "reloadFailed") return worker.generation === outcome.generation;
        if (outcome?.do === "reloaded") return worker.generation !== outcome.generation;
        return (
          this.#reload?.mode === "phased" &&
          worker.generation !== this.#reload.generation &&
          others.some((id) => this.worker(id).generation === this.#reload?.generation)
        );
      default:
        return worker.retire === reason && worker.stage === "ready" && others.length >= target;
    }
  }

  #leftAfter(): number {
    return this.ids((one) => !isGoing(one) && one.retire !== "stuck").length;
  }

  /** Nothing fails any more, nobody has anything to do, and time passes. */
  calmDown(): void {
    this.idle(...this.ids((worker) => worker.stage === "ready" && worker.isBusy));
    for (let round = 0; round < 60; round++) {
      this.leave(...this.ids((worker) => isGoing(worker) || worker.retire === "stuck"));
      this.ready();
      this.pass(1000);
    }
    this.leave();
    for (const worker of this.workers.values()) expect(this.#accepted).toContain(worker.generation);
  }
}

/** POSTERN_FUZZ_RUNS multiplies the number of runs. fast-check prints the seed of one that fails. */
const RUNS = { numRuns: 100 * Number(process.env["POSTERN_FUZZ_RUNS"] ?? 1) };

describe("any pool, whatever happens", { timeout: 60_000 * (RUNS.numRuns / 100) }, () => {
  it("stays within its number, lets nobody go without a reason, ends each reload, and comes to rest", () => {
    fc.assert(
      fc.property(anyPolicy, anyEvents, (policy, events) => {
        const world = new JudgedWorld(policy);
        for (const event of events) world.happen(event);
        world.calmDown();
        expect(world.pool.isReloading).toBe(false);
        expect(world.outcomes).toHaveLength(world.reloadsBegun);
        expect(world.ids()).toHaveLength(world.pool.target);
        expect(world.ids((worker) => worker.retire !== undefined)).toEqual([]);
        expect(world.pool.nextStartAt).toBeUndefined();
        if (world.pm === "static") expect(world.pool.target).toBe(world.pool.maxChildren);
        else if (world.pm === "ondemand") expect(world.pool.target).toBe(0);
        else expect(world.pool.target).toBeGreaterThanOrEqual(1);
      }),
      RUNS,
    );
  });

  it("starts nobody after it was stopped, and everybody who is left is told", () => {
    fc.assert(
      fc.property(anyPolicy, anyEvents, anyEvents, (policy, events, later) => {
        const world = new JudgedWorld(policy);
        for (const event of events) world.happen(event);
        world.happen({ what: "stop" });
        expect(world.ids((worker) => !isGoing(worker))).toEqual([]);
        for (const event of later) world.happen(event);
        world.leave(...world.ids(isGoing));
        expect(world.ids()).toEqual([]);
        expect(world.wakeAt).toBeUndefined();
      }),
      RUNS,
    );
  });

  it("does not start workers faster than the back-off while none holds out", () => {
    const anyTimes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 20, maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), anyTimes, (maxChildren, times) => {
        const world = new JudgedWorld({ ...STATIC, maxChildren });
        for (const ms of times) {
          world.pass(ms);
          if (ms % 3 === 0) world.ready();
          world.crash(...world.ids());
        }
        expect(world.pool.crashesInARow).toBeGreaterThan(4);
      }),
      RUNS,
    );
  });
});

/** How many workers a pool has, which go, and how they are replaced. Reloads are in pool-reload.test.ts. */
import { describe, expect, it } from "vitest";
import type { PoolPolicy, RetireReason } from "../../../src/manager/pool.ts";
import { DYNAMIC, ONDEMAND, STATIC, World } from "./pool-world.ts";

const settled = (policy: PoolPolicy): World => new World(policy).settle();

describe("a static pool", () => {
  it("starts as many workers as it has, and no more", () => {
    const world = new World(STATIC);
    expect(world.pool.generation).toBe(1);
    expect(world.decide()).toEqual(["spawn g1", "spawn g1", "spawn g1", "spawn g1"]);
    expect(world.ready(1, 2)).toEqual([]);
    expect(world.ready(3, 4)).toEqual([]);
    expect(world.pass(3_600_000)).toEqual([]);
    expect(world.wakeAt).toBeUndefined();
  });

  it("replaces a worker that crashed at once", () => {
    const world = settled(STATIC);
    expect(world.crash(2)).toEqual(["spawn g1"]);
  });

  it("replaces a worker that ended itself as agreed, which is no crash", () => {
    const world = settled(STATIC);
    expect(world.leave(2)).toEqual(["spawn g1"]);
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("never lets a busy worker or an idle one go by itself", () => {
    const world = settled(STATIC);
    world.busy(1, 2);
    expect(world.pass(86_400_000)).toEqual([]);
  });

  it("follows when it is scaled up and down", () => {
    const world = settled(STATIC);
    expect(world.pool.scale(+1)).toBe(5);
    expect(world.decide()).toEqual(["spawn g1"]);
    expect(world.pool.scale({ to: 2 })).toBe(2);
    expect(world.pool.target).toBe(2);
    expect(world.pool.maxChildren).toBe(2);
    expect(world.decide()).toEqual(["kill 5", "drain 1 surplus", "drain 2 surplus"]);
  });

  it("is not scaled below one worker", () => {
    const world = settled(STATIC);
    expect(world.pool.scale(-100)).toBe(1);
    expect(world.pool.scale({ to: 0 })).toBe(1);
  });

  it("lets those go first that are missed least: idle for longest, then not fully busy, then busy and old", () => {
    const world = settled({ ...STATIC, maxChildren: 5 });
    world.busy(1, 2, 3, 4, 5);
    world.advance(1000);
    world.idle(5);
    world.advance(1000);
    world.idle(4);
    world.worker(3).isBusy = false; // it has requests, and could take one more
    world.pool.scale(-4);
    expect(world.decide()).toEqual([
      "drain 5 surplus",
      "drain 4 surplus",
      "drain 3 surplus",
      "drain 1 surplus",
    ]);
  });

  it("takes no end of a worker that was told to go for a crash", () => {
    const world = settled(STATIC);
    world.pool.scale(+1);
    world.decide();
    world.pool.scale(-2);
    expect(world.decide()).toEqual(["kill 5", "drain 1 surplus"]);
    expect(world.crash(5, 1)).toEqual([]);
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("replaces a lost worker while a worker that was surplus still finishes", () => {
    const world = settled(STATIC);
    world.pool.scale(-1);
    expect(world.decide()).toEqual(["drain 1 surplus"]);
    expect(world.crash(2)).toEqual(["spawn g1"]);
    expect(world.leave(1)).toEqual([]);
  });
});

describe("a dynamic pool", () => {
  it("starts with startServers", () => {
    expect(new World(DYNAMIC).decide()).toEqual(["spawn g1", "spawn g1"]);
    expect(new World({ ...DYNAMIC, maxChildren: 1 }).decide()).toEqual(["spawn g1"]);
    expect(new World({ ...DYNAMIC, startServers: 0 }).decide()).toEqual(["spawn g1"]);
  });

  it("starts more when too few are idle: one, then two, then four at a time, one look a second", () => {
    const world = settled({ ...DYNAMIC, startServers: 6, minSpareServers: 6, maxSpareServers: 10 });
    world.busy(1, 2, 3, 4, 5, 6);
    const starts: number[] = [];
    for (let second = 0; second < 4; second++) {
      starts.push(world.pass(1000).length);
      world.ready();
      world.busy(...world.ids());
    }
    expect(starts).toEqual([1, 2, 4, 6]); // what is missing is 6
  });

  it("does not start more than maxSpawnRate at a time", () => {
    const world = settled({
      ...DYNAMIC,
      minSpareServers: 9,
      maxSpareServers: 12,
      maxSpawnRate: 3,
      startServers: 9,
    });
    const starts: number[] = [];
    for (let second = 0; second < 5; second++) {
      world.busy(...world.ids());
      starts.push(world.pass(1000).length);
      world.ready();
    }
    expect(starts).toEqual([1, 2, 3, 3, 2]); // 9 and these are maxChildren
  });

  it("begins slowly again after enough were idle", () => {
    const world = settled({ ...DYNAMIC, startServers: 3, minSpareServers: 3, maxSpareServers: 5 });
    world.busy(1, 2, 3);
    expect(world.pass(1000)).toHaveLength(1);
    expect(world.pass(1000)).toHaveLength(2);
    world.ready();
    world.pass(1000);
    world.busy(4, 5, 6);
    expect(world.pass(1000)).toHaveLength(1);
  });

  it("begins slowly again after too many were idle", () => {
    const world = settled({ ...DYNAMIC, startServers: 4, minSpareServers: 4, maxSpareServers: 5 });
    world.busy(1, 2, 3, 4);
    world.pass(2000);
    world.ready();
    world.idle(1, 2, 3, 4);
    expect(world.pass(1000)).toEqual(["drain 1 surplus"]);
    world.busy(2, 3, 4, 5, 6, 7);
    expect(world.pass(1000)).toHaveLength(1);
  });

  it("counts starting workers as idle ones to be", () => {
    const world = settled(DYNAMIC);
    world.busy(1, 2);
    expect(world.pass(1000)).toEqual(["spawn g1"]);
    expect(world.pass(10_000)).toEqual([]);
  });

  it("lets one surplus worker go each second, the longest idle first", () => {
    const world = new World({ ...DYNAMIC, startServers: 6 });
    world.decide();
    world.ready(1, 2, 4, 5, 6);
    world.busy(1, 2, 4, 5, 6);
    world.ready(3);
    world.busy(3);
    for (const id of [4, 2, 6, 1, 5]) {
      world.now += 100;
      world.idle(id);
    }
    expect(world.pass(700)).toEqual(["drain 4 surplus"]);
    expect(world.pass(1000)).toEqual(["drain 2 surplus"]);
    expect(world.pass(10_000)).toEqual([]); // three idle ones are maxSpareServers
    expect(world.pool.target).toBe(4);
  });

  it("never has more than maxChildren, and says once that it would need them", () => {
    const world = settled({ ...DYNAMIC, maxChildren: 3, maxSpareServers: 2 });
    world.busy(1, 2);
    expect(world.pass(1000)).toEqual(["spawn g1"]);
    world.ready();
    expect(world.busy(3)).toEqual(["maxChildrenReached"]);
    expect(world.pass(10_000)).toEqual([]);
  });

  it("wants maxChildren again after it was scaled, and not more", () => {
    const world = settled({ ...DYNAMIC, startServers: 3 });
    world.pool.scale({ to: 2 });
    expect(world.decide()).toEqual(["drain 1 surplus"]);
    expect(world.pool.scale(+5)).toBe(7);
    expect(world.pool.target).toBe(2);
  });

  it("is never without a worker, whatever the settings say", () => {
    const world = settled({
      ...DYNAMIC,
      startServers: 1,
      minSpareServers: 0,
      maxSpareServers: 0,
      maxSpawnRate: 0,
    });
    expect(world.pass(10_000)).toEqual([]);
    world.busy(1);
    expect(world.pass(1000)).toEqual(["spawn g1"]);
  });

  it("does not take a replaced worker and its replacement for two idle ones", () => {
    const world = settled({ ...DYNAMIC, maxSpareServers: 2 });
    expect(world.retire("maxRequests", 1)).toEqual(["spawn g1 for 1"]);
    world.worker(3).stage = "ready"; // seen by the look before the pool was told
    expect(world.advance(1000)).toEqual(["drain 1 maxRequests"]);
    expect(world.pool.target).toBe(2);
  });

  it("wants no more while those it wants are held back", () => {
    const world = settled(DYNAMIC);
    world.busy(1, 2);
    for (let n = 0; n < 12; n++) {
      const [id] = world.ids((worker) => worker.stage === "starting");
      if (id !== undefined) world.crash(id);
      world.pass(1000);
    }
    expect(world.pool.target).toBe(3);
  });
});

describe("an ondemand pool", () => {
  it("starts nobody, and asks to be told of a connection once", () => {
    const world = new World(ONDEMAND);
    expect(world.decide()).toEqual(["watchSocket"]);
    expect(world.pool.target).toBe(0);
    expect(world.wakeAt).toBeUndefined();
    expect(world.advance(60_000)).toEqual([]);
  });

  it("starts a worker for a connection at once", () => {
    const world = new World(ONDEMAND);
    world.decide();
    world.pool.demand();
    expect(world.decide()).toEqual(["spawn g1"]);
    expect(world.ready()).toEqual([]);
  });

  it("starts one more each time a connection waits while all are busy, up to maxChildren", () => {
    const world = new World({ ...ONDEMAND, maxChildren: 2 });
    world.decide();
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.busy(1)).toEqual(["watchSocket"]);
    world.pool.demand();
    expect(world.decide()).toEqual(["spawn g1"]);
    world.pool.demand(); // somebody is on the way
    expect(world.decide()).toEqual([]);
    world.ready();
    expect(world.busy(2)).toEqual(["maxChildrenReached"]);
    world.pool.demand();
    expect(world.decide()).toEqual([]);
  });

  it("does not start a worker for a connection that another is free to take", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    world.pool.demand();
    expect(world.decide()).toEqual([]);
    expect(world.pool.target).toBe(1);
  });

  it("lets a worker go when it had nothing to do for processIdleTimeout, each at its time", () => {
    const world = new World(ONDEMAND);
    for (const id of [1, 2]) {
      world.pool.demand();
      world.decide();
      world.ready();
      world.busy(id);
    }
    world.idle(1);
    world.now += 4_000;
    world.idle(2);
    expect(world.pass(5_999)).toEqual([]);
    expect(world.pass(1)).toEqual(["drain 1 idle"]);
    expect(world.pass(3_999)).toEqual([]);
    expect(world.pass(1)).toEqual(["drain 2 idle", "watchSocket"]);
    expect(world.pool.target).toBe(0);
  });

  it("keeps a worker that works, and one that has a request though it could take another", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    world.busy(1);
    expect(world.pass(60_000)).toEqual([]);
    world.worker(1).isBusy = false;
    expect(world.advance(60_000)).toEqual([]);
  });

  it("keeps idle workers when processIdleTimeout is 0", () => {
    const world = new World({ ...ONDEMAND, processIdleTimeoutMs: 0 });
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.pass(86_400_000)).toEqual([]);
    expect(world.wakeAt).toBeUndefined();
  });

  it("starts nobody for a worker that crashed, but waits for the next connection", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.crash(1)).toEqual(["watchSocket"]);
    world.pool.demand();
    expect(world.decide()).toEqual(["spawn g1"]);
  });

  it("remembers a connection while the start is held back, and does not watch meanwhile", () => {
    const world = new World(ONDEMAND);
    for (const id of [1, 2]) {
      world.pool.demand();
      world.decide();
      world.crash(id);
    }
    world.pool.demand();
    expect(world.decide()).toEqual([]);
    expect(world.wakeAt).toBe(world.now + 100);
    expect(world.pass(100)).toEqual(["spawn g1"]);
  });

  it("replaces a worker new first, and once", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.retire("maxRequests", 1)).toEqual(["spawn g1 for 1"]);
    expect(world.ready()).toEqual(["drain 1 maxRequests"]);
    expect(world.leave()).toEqual([]);
  });

  it("watches again when the free worker leaves for a busy replacement", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    world.retire("asked", 1);
    Object.assign(world.worker(2), { stage: "ready", isBusy: true });
    expect(world.decide()).toEqual(["drain 1 asked", "watchSocket"]);
  });

  it("replaces a stuck worker, though it would not replace a lost one", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.retire("stuck", 1)).toEqual(["spawn g1 for 1"]);
    expect(world.leave(1)).toEqual([]);
  });

  it("lets workers go when it is scaled down", () => {
    const world = new World(ONDEMAND);
    for (const id of [1, 2, 3]) {
      world.pool.demand();
      world.decide();
      world.ready();
      world.busy(id);
    }
    world.pool.scale({ to: 1 });
    expect(world.decide()).toEqual(["drain 1 surplus", "drain 2 surplus"]);
  });
});

describe("replacing a worker", () => {
  it.each<RetireReason>(["maxRequests", "maxMemory", "asked"])("starts the new one first (%s)", (reason) => {
    const world = settled(STATIC);
    expect(world.retire(reason, 3)).toEqual(["spawn g1 for 3"]);
    expect(world.pass(60_000)).toEqual([]); // the old one serves as long as it takes
    expect(world.ready()).toEqual([`drain 3 ${reason}`]);
    expect(world.leave()).toEqual([]);
    expect(world.ids()).toEqual([1, 2, 4, 5]);
  });

  it("replaces a quarter of the pool at a time, and the next when the last has finished", () => {
    const world = settled({ ...STATIC, maxChildren: 5 });
    expect(world.retire("maxRequests", 1, 2, 3, 4, 5)).toEqual(["spawn g1 for 1", "spawn g1 for 2"]);
    expect(world.ready(6)).toEqual(["drain 1 maxRequests"]);
    expect(world.ready(7)).toEqual(["drain 2 maxRequests"]);
    expect(world.leave(1)).toEqual(["spawn g1 for 3"]);
    expect(world.leave(2)).toEqual(["spawn g1 for 4"]);
    world.ready();
    expect(world.leave()).toEqual(["spawn g1 for 5"]);
  });

  it("counts on the old one when the new one crashes, and tries again", () => {
    const world = settled(STATIC);
    world.retire("asked", 2);
    expect(world.crash(5)).toEqual(["spawn g1 for 2"]);
    expect(world.ready()).toEqual(["drain 2 asked"]);
  });

  it("needs no more than the new one when the old one ends meanwhile", () => {
    const world = settled(STATIC);
    world.retire("asked", 2);
    expect(world.crash(2)).toEqual([]);
    expect(world.ready()).toEqual([]);
  });

  it("lets the worker go without a new one when the pool was scaled down", () => {
    const world = settled(STATIC);
    world.retire("asked", 3);
    world.pool.scale(-1);
    expect(world.decide()).toEqual(["drain 3 asked", "kill 5"]);
  });

  it("waits until a starting worker is ready before it is replaced", () => {
    const world = new World(STATIC);
    world.decide();
    expect(world.retire("asked", 1)).toEqual([]);
    expect(world.ready()).toEqual(["spawn g1 for 1"]);
  });

  it("replaces stuck workers at once, all of them, and leaves killing them to the handle", () => {
    const world = settled(STATIC);
    expect(world.retire("stuck", 1, 4)).toEqual(["spawn g1 for 1", "spawn g1 for 4"]);
    expect(world.ready()).toEqual([]);
    expect(world.leave(1, 4)).toEqual([]);
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("names no worker when one is missing for another reason than a stuck one", () => {
    const world = settled(STATIC);
    world.retire("stuck", 1);
    expect(world.crash(2)).toEqual(["spawn g1 for 1"]); // the one that is missing beside it
    world.leave(1);
    world.pool.scale(+2);
    expect(world.retire("stuck", 3)).toEqual(["spawn g1", "spawn g1", "spawn g1 for 3"]);
  });
});

describe("a pool that is full", () => {
  it("says so once while all are busy, and again only after somebody was free for a while", () => {
    const world = settled({ ...STATIC, maxChildren: 2 });
    expect(world.busy(1)).toEqual([]);
    expect(world.busy(2)).toEqual(["maxChildrenReached"]);
    world.idle(1);
    world.now += 4_999;
    expect(world.busy(1)).toEqual([]);
    world.idle(1);
    world.now += 5_000;
    expect(world.busy(1)).toEqual(["maxChildrenReached"]);
    world.idle(1);
    world.advance(6_000);
    expect(world.pass(6_000)).toEqual([]);
    expect(world.busy(1)).toEqual(["maxChildrenReached"]);
  });

  it("does not say so again because somebody was free long ago, for a moment", () => {
    const world = settled({ ...STATIC, maxChildren: 1 });
    world.busy(1);
    world.idle(1);
    world.now += 100;
    expect(world.busy(1)).toEqual([]);
    expect(world.advance(60_000)).toEqual([]);
  });
});

describe("workers that crash in a row", () => {
  /** A pool of one whose worker crashes after `livesMs`. @returns how long each start was waited for */
  function delays(world: World, count: number, livesMs: number): number[] {
    const found: number[] = [];
    for (let n = 0; n < count; n++) {
      world.now += livesMs;
      world.crash(...world.ids());
      const crashedAt = world.now;
      if (world.ids().length === 0) {
        expect(world.pool.nextStartAt).toBe(world.wakeAt);
        world.pass(world.wakeAt! - world.now);
      }
      expect(world.ids()).toHaveLength(1);
      found.push(world.now - crashedAt);
    }
    return found;
  }
  const ONE: PoolPolicy = { ...STATIC, maxChildren: 1 };

  it("are restarted at once, then after 0.1 s, doubling up to 30 s", () => {
    const world = new World(ONE);
    world.decide();
    expect(delays(world, 13, 50)).toEqual([
      0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000,
    ]);
    expect(world.pool.crashesInARow).toBe(13);
  });

  it("are known as soon as the crash is told", () => {
    const world = new World(ONE);
    world.decide();
    delays(world, 1, 0);
    const ended = { id: 2, generation: 1, wasReady: false, isExpected: false, livedMs: 0 };
    world.workers.clear();
    world.pool.ended(ended, world.now);
    expect(world.pool.nextStartAt).toBe(world.now + 100);
  });

  it("are forgotten when one has been ready for 10 s", () => {
    const world = new World(ONE);
    world.decide();
    delays(world, 5, 0);
    world.ready();
    expect(world.wakeAt).toBe(world.now + 10_000);
    world.pass(9_999);
    expect(world.pool.crashesInARow).toBe(5);
    world.pass(1);
    expect(world.pool.crashesInARow).toBe(0);
    expect(delays(world, 2, 0)).toEqual([0, 100]);
  });

  it("are forgotten by one that crashes after it was ready for 10 s, though nobody looked", () => {
    const world = new World(ONE);
    world.decide();
    delays(world, 5, 0);
    world.ready();
    world.now += 10_000;
    expect(delays(world, 2, 0)).toEqual([0, 100]);
  });

  it("are not forgotten because starting takes long", () => {
    const world = new World(ONE);
    world.decide();
    expect(delays(world, 3, 60_000)).toEqual([0, 100, 200]);
  });

  it("count also when they were killed because they did not become ready", () => {
    const world = new World(ONE);
    world.decide();
    expect(world.leave(1)).toEqual(["spawn g1"]);
    expect(world.leave(2)).toEqual([]);
    expect(world.pool.crashesInARow).toBe(2);
  });

  it("count once when they crash together", () => {
    const world = settled(STATIC);
    expect(world.crash(1, 2, 3, 4)).toEqual(["spawn g1", "spawn g1", "spawn g1", "spawn g1"]);
    expect(world.pool.crashesInARow).toBe(1);
    world.now += 500;
    expect(world.crash(5, 6, 7, 8)).toEqual([]);
    expect(world.pool.crashesInARow).toBe(2);
  });

  it("are restarted one per delay", () => {
    const world = settled(STATIC);
    world.crash(1, 2, 3, 4);
    world.now += 500;
    world.crash(5, 6, 7, 8);
    expect(world.pass(99)).toEqual([]);
    expect(world.pass(1)).toEqual(["spawn g1"]);
    expect(world.pass(99)).toEqual([]);
    expect(world.pass(1)).toEqual(["spawn g1"]);
  });

  it("are all restarted when one has held out", () => {
    const world = settled(STATIC);
    for (let n = 0; n < 12; n++) {
      world.now += 500;
      world.crash(...world.ids());
      if (world.ids().length === 0) world.pass(world.wakeAt! - world.now);
    }
    expect(world.ids()).toHaveLength(1);
    world.ready();
    expect(world.pass(9_999)).toEqual([]);
    expect(world.pass(1)).toEqual(["spawn g1", "spawn g1", "spawn g1"]);
    expect(world.pool.nextStartAt).toBeUndefined();
  });

  it("are not forgotten because another worker has been there for long", () => {
    const world = settled(STATIC);
    for (let n = 0; n < 5; n++) {
      const newest = Math.max(...world.ids());
      world.crash(newest);
      if (world.ids().length < 4) world.pass(world.wakeAt! - world.now);
    }
    expect(world.pool.crashesInARow).toBe(5);
  });

  it("are not forgotten because a stuck one has been there for long", () => {
    const world = new World(ONE);
    world.decide();
    delays(world, 3, 0);
    world.ready();
    world.retire("stuck", 4);
    world.pass(60_000);
    expect(world.pool.crashesInARow).toBe(3);
  });

  it("hold back replacements too", () => {
    const world = settled(STATIC);
    world.crash(1);
    world.crash(5);
    expect(world.retire("asked", 2)).toEqual([]);
    expect(world.pass(200)).toEqual(["spawn g1", "spawn g1 for 2"]);
  });
});

describe("a machine that slept", () => {
  it("finds its idle workers where it left them", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.advance(8 * 3_600_000)).toEqual([]);
    expect(world.pass(9_999)).toEqual([]);
    expect(world.pass(1)).toEqual(["drain 1 idle", "watchSocket"]);
  });

  it("takes a decision that is a little late for what it is", () => {
    const world = new World(ONDEMAND);
    world.pool.demand();
    world.decide();
    world.ready();
    expect(world.advance(15_000)).toEqual(["drain 1 idle", "watchSocket"]);
  });

  it("does not let the surplus of all that time go at once", () => {
    const world = new World({ ...DYNAMIC, startServers: 8 });
    world.decide();
    world.ready();
    expect(world.advance(8 * 3_600_000)).toEqual(["drain 1 surplus"]);
  });
});

describe("stopping", () => {
  it("drains everybody, once, and starts nobody any more", () => {
    const world = new World(STATIC);
    world.decide();
    world.ready(1, 2);
    world.retire("stuck", 2);
    world.pool.stop();
    const everybody = ["drain 1 stop", "drain 2 stop", "drain 3 stop", "drain 4 stop", "drain 5 stop"];
    expect(world.decide()).toEqual(everybody);
    expect(world.crash(1)).toEqual([]);
    world.pool.demand();
    world.pool.scale(+3);
    expect(world.leave()).toEqual([]);
    expect(world.wakeAt).toBeUndefined();
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("forgets a reload, and begins none", () => {
    const world = settled(STATIC);
    world.pool.reload("all");
    world.decide();
    world.pool.stop();
    expect(world.pool.isReloading).toBe(false);
    expect(world.decide()).toHaveLength(8);
    expect(world.pool.reload("all")).toBe(false);
  });
});

/** How one generation of workers follows another. */
import { describe, expect, it } from "vitest";
import type { PoolPolicy } from "../../../src/manager/pool.ts";
import { DYNAMIC, ONDEMAND, STATIC, World } from "./pool-world.ts";

const THREE: PoolPolicy = { ...STATIC, maxChildren: 3 };
const settled = (policy: PoolPolicy): World => new World(policy).settle();

function reloading(world: World, mode: "all" | "phased" = "all"): World {
  expect(world.pool.reload(mode)).toBe(true);
  world.decide();
  return world;
}

describe("a reload of all workers", () => {
  it("starts a whole new generation, and drains the old one when all of the new are ready", () => {
    const world = settled(THREE);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g2", "spawn g2", "spawn g2"]);
    expect(world.pool.isReloading).toBe(true);
    expect(world.ready(4, 5)).toEqual([]);
    expect(world.pool.generation).toBe(1);
    expect(world.ready(6)).toEqual(["reloaded g2", "drain 1 reload", "drain 2 reload", "drain 3 reload"]);
    expect(world.pool.generation).toBe(2);
    expect(world.pool.isReloading).toBe(false);
    expect(world.leave()).toEqual([]);
    expect(world.crash(5)).toEqual(["spawn g2"]);
  });

  it("is refused while one is under way", () => {
    const world = reloading(settled(THREE));
    expect(world.pool.reload("phased")).toBe(false);
    world.ready();
    expect(world.pool.reload("phased")).toBe(true);
  });

  it("keeps the old workers when a new one does not become ready, and lets the new ones go", () => {
    const world = reloading(settled(THREE));
    world.ready(4);
    expect(world.crash(5)).toEqual(["reloadFailed g2 by 5", "drain 4 reload", "kill 6"]);
    expect(world.pool.generation).toBe(1);
    expect(world.pool.isReloading).toBe(false);
    expect(world.leave()).toEqual([]);
    expect(world.ids()).toEqual([1, 2, 3]);
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("fails once when several crash, and when one is killed for not becoming ready in time", () => {
    const world = reloading(settled(THREE));
    expect(world.crash(6, 4)).toEqual(["reloadFailed g2 by 6", "kill 5"]);
    reloading(world);
    expect(world.leave(7)).toEqual(["reloadFailed g3 by 7", "kill 8", "kill 9"]);
    expect(world.crash(8)).toEqual([]); // before it was killed
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("fails when a new worker that was ready crashes before the others are", () => {
    const world = reloading(settled(THREE));
    world.ready(4);
    expect(world.crash(4)).toEqual(["reloadFailed g2 by 4", "kill 5", "kill 6"]);
  });

  it("starts another one for a new worker that got stuck or ended itself as agreed", () => {
    const world = reloading(settled(THREE));
    world.ready(4, 5);
    expect(world.leave(4)).toEqual(["spawn g2"]);
    expect(world.retire("stuck", 5)).toEqual(["spawn g2"]);
    expect(world.ready()).toEqual(["reloaded g2", "drain 1 reload", "drain 2 reload", "drain 3 reload"]);
    expect(world.leave(5)).toEqual([]);
  });

  it("never uses the number of a generation again", () => {
    const world = reloading(settled(THREE));
    world.crash(4);
    reloading(world);
    expect(world.ids((worker) => worker.generation === 3)).toHaveLength(3);
    world.ready();
    expect(world.pool.generation).toBe(3);
  });

  it("does not restart a lost old worker while others serve, and does after it has failed", () => {
    const world = reloading(settled(THREE));
    expect(world.crash(1, 2)).toEqual([]);
    expect(world.crash(4)).toEqual(["reloadFailed g2 by 4", "kill 5", "kill 6", "spawn g1", "spawn g1"]);
  });

  it("starts one old worker when nobody serves any more, held back when that crashes too", () => {
    const world = reloading(settled(THREE));
    expect(world.crash(1, 2, 3)).toEqual(["spawn g1"]);
    expect(world.crash(7)).toEqual([]);
    expect(world.wakeAt).toBe(world.now + 100);
    expect(world.pass(100)).toEqual(["spawn g1"]);
    world.ready(8);
    expect(world.ready()).toEqual(["reloaded g2", "drain 8 reload"]);
  });

  it("ends the row of crashes of the old workers when it succeeds", () => {
    const world = reloading(settled(THREE));
    world.crash(1);
    expect(world.pool.crashesInARow).toBe(1);
    world.ready();
    expect(world.pool.crashesInARow).toBe(0);
  });

  it("starts no old worker when a new one serves already, or when none served before", () => {
    const world = reloading(settled(THREE));
    world.ready(4);
    expect(world.crash(1, 2, 3)).toEqual([]);
    const crashing = new World({ ...THREE, maxChildren: 1 });
    crashing.decide();
    crashing.crash(1);
    crashing.crash(2);
    crashing.pool.reload("all");
    expect(crashing.decide()).toEqual(["spawn g2"]);
  });

  it("kills an old worker that still starts when the new ones serve", () => {
    const world = new World(THREE);
    world.decide();
    world.ready(1);
    reloading(world);
    expect(world.ready(4, 5, 6)).toEqual(["reloaded g2", "drain 1 reload", "kill 2", "kill 3"]);
  });

  it("leaves stuck old workers to their handle", () => {
    const world = reloading(settled(THREE));
    expect(world.retire("stuck", 1)).toEqual([]);
    expect(world.ready()).toEqual(["reloaded g2", "drain 2 reload", "drain 3 reload"]);
    expect(world.leave(1)).toEqual([]);
  });

  it("replaces nobody meanwhile, and whoever is to be replaced afterwards", () => {
    const world = reloading(settled(THREE));
    expect(world.retire("asked", 1)).toEqual([]);
    world.ready(4);
    expect(world.retire("maxRequests", 4)).toEqual([]);
    world.ready();
    expect(world.leave()).toEqual(["spawn g2 for 4"]);
  });

  it("ends the wait of a pool whose workers crash in a row", () => {
    const world = new World({ ...THREE, maxChildren: 1 });
    world.decide();
    for (let id = 1; id < 8; id++) {
      world.crash(id);
      if (world.ids().length === 0) world.pass(world.wakeAt! - world.now);
    }
    world.crash(8);
    expect(world.wakeAt).toBeGreaterThan(world.now + 1000);
    world.pool.reload("all");
    expect(world.pool.crashesInARow).toBe(0);
    expect(world.decide()).toEqual(["spawn g2"]);
    expect(world.pool.nextStartAt).toBeUndefined();
  });
});

describe("a phased reload", () => {
  it("goes one by one: a new one, then an old one drains, and the next when that has ended", () => {
    const world = settled(THREE);
    world.pool.reload("phased");
    expect(world.decide()).toEqual(["spawn g2"]);
    expect(world.ready(4)).toEqual(["drain 1 reload"]);
    expect(world.pass(60_000)).toEqual([]);
    expect(world.leave()).toEqual(["spawn g2"]);
    expect(world.ready(5)).toEqual(["drain 2 reload"]);
    expect(world.leave()).toEqual(["spawn g2"]);
    expect(world.pool.generation).toBe(1);
    expect(world.ready(6)).toEqual(["reloaded g2", "drain 3 reload"]);
    expect(world.pool.generation).toBe(2);
    expect(world.leave()).toEqual([]);
  });

  it("stops at the first failure: the new ones that are ready stay, and so do the old", () => {
    const world = reloading(settled(THREE), "phased");
    world.ready(4);
    world.leave();
    expect(world.crash(5)).toEqual(["reloadFailed g2 by 5"]);
    expect(world.pass(60_000)).toEqual([]);
    expect(world.ids()).toEqual([2, 3, 4]);
    expect(world.pool.generation).toBe(1);
    expect(world.crash(4)).toEqual(["spawn g1"]);
  });

  it("replaces everybody at the next reload, however many generations there are", () => {
    const world = reloading(settled(THREE), "phased");
    world.ready(4);
    world.leave();
    world.crash(5);
    reloading(world);
    expect(world.ready()).toEqual(["reloaded g3", "drain 2 reload", "drain 3 reload", "drain 4 reload"]);
  });

  it("fails when a new one crashes later, and kills the one that starts", () => {
    const world = reloading(settled(THREE), "phased");
    world.ready(4);
    world.leave();
    expect(world.crash(4)).toEqual(["reloadFailed g2 by 4", "kill 5", "spawn g1"]);
  });

  it("makes up for lost old workers by new ones", () => {
    const world = reloading(settled(THREE), "phased");
    world.crash(2, 3);
    expect(world.ready(4)).toEqual(["spawn g2"]);
    expect(world.ready(5)).toEqual(["spawn g2"]);
    expect(world.ready(6)).toEqual(["reloaded g2", "drain 1 reload"]);
  });

  it("has the number of workers of the new policy as soon as one of them is proven", () => {
    const world = settled({ ...STATIC, maxChildren: 5 });
    world.pool.setPolicy({ ...STATIC, maxChildren: 2 });
    world.pool.reload("phased");
    expect(world.decide()).toEqual(["spawn g2"]);
    expect(world.ready()).toEqual(["drain 1 reload", "drain 2 reload", "drain 3 reload", "drain 4 reload"]);
  });
});

describe("a reload of a pool that is not static", () => {
  it("starts one worker of an ondemand pool that has none, as proof, and lets it go when it is idle", () => {
    const world = settled(ONDEMAND);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g2"]);
    expect(world.ready()).toEqual(["reloaded g2"]);
    expect(world.pass(10_000)).toEqual(["drain 1 idle", "watchSocket"]);
  });

  it("watches on when that proof has failed, and again when a connection had come meanwhile", () => {
    const world = reloading(settled(ONDEMAND));
    expect(world.crash(1)).toEqual(["reloadFailed g2 by 1"]);
    reloading(world);
    world.pool.demand();
    expect(world.decide()).toEqual([]);
    expect(world.crash(2)).toEqual(["reloadFailed g3 by 2", "spawn g1"]);
    expect(world.crash(3)).toEqual(["watchSocket"]);
  });

  it("starts as many workers of a dynamic pool as it has come to want", () => {
    const world = settled(DYNAMIC);
    world.busy(1, 2);
    world.pass(1000);
    world.ready();
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g2", "spawn g2", "spawn g2"]);
    expect(world.pass(60_000)).toEqual([]); // nobody is counted meanwhile
    expect(world.ready()).toContain("reloaded g2");
    expect(world.pool.target).toBe(3);
  });
});

describe("a changed policy", () => {
  it("comes with the next reload that succeeds", () => {
    const world = settled(THREE);
    world.pool.setPolicy({ ...THREE, maxChildren: 1 });
    expect(world.decide()).toEqual([]);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g2"]);
    expect(world.pool.target).toBe(3);
    world.ready();
    expect(world.pool.target).toBe(1);
    expect(world.leave()).toEqual([]);
  });

  it("is forgotten when the reload fails", () => {
    const world = settled(THREE);
    world.pool.setPolicy({ ...THREE, maxChildren: 1 });
    reloading(world);
    world.crash(4);
    expect(world.pool.target).toBe(3);
    world.pool.reload("all");
    expect(world.decide()).toHaveLength(3);
  });

  it("may be of another kind", () => {
    const world = settled(THREE);
    world.pool.setPolicy(DYNAMIC);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g2", "spawn g2"]);
    world.ready();
    world.pool.setPolicy(ONDEMAND);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g3"]);
    expect(world.ready()).toContain("reloaded g3");
    world.pool.setPolicy(STATIC);
    world.pool.reload("all");
    expect(world.decide()).toEqual(["spawn g4", "spawn g4", "spawn g4", "spawn g4"]);
  });

  it("limits a dynamic pool to its own maxChildren", () => {
    const world = settled({ ...DYNAMIC, startServers: 3 });
    world.pool.setPolicy({ ...DYNAMIC, maxChildren: 2 });
    world.pool.reload("all");
    expect(world.decide()).toHaveLength(2);
  });

  it("leaves a scaled number alone unless its own maxChildren is another", () => {
    const world = settled(THREE);
    world.pool.scale(+2);
    world.decide();
    world.ready();
    world.pool.setPolicy({ ...THREE, processIdleTimeoutMs: 1 });
    reloading(world);
    expect(world.ready()).toContain("reloaded g2");
    expect(world.pool.maxChildren).toBe(5);
    world.pool.setPolicy({ ...THREE, maxChildren: 4 });
    reloading(world);
    world.ready();
    expect(world.pool.maxChildren).toBe(4);
  });

  it("does not undo a scaling during the reload", () => {
    const world = reloading(settled(THREE));
    world.pool.scale({ to: 1 });
    expect(world.decide()).toEqual([]);
    expect(world.ready()).toEqual([
      "reloaded g2",
      "drain 1 reload",
      "drain 2 reload",
      "drain 3 reload",
      "drain 4 surplus",
      "drain 5 surplus",
    ]);
  });
});

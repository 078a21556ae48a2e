/** The times of the back-off by themselves; what they do to a pool is in pool.test.ts. */
import { describe, expect, it } from "vitest";
import { Backoff } from "../../../src/manager/backoff.ts";

describe("the back-off", () => {
  it("takes a worker started at the moment of a crash for one started after it, however times are rounded", () => {
    const backoff = new Backoff();
    backoff.crashed(0, undefined, 1000.3);
    const startedAt = 1200.7 - (1200.7 - 1000.3); // 1000.3, or a little less
    backoff.crashed(startedAt - 1e-9, undefined, 1200.7);
    expect(backoff.crashesInARow).toBe(2);
    expect(backoff.notBefore).toBe(1300.7);
  });

  it("does not hold back a start that follows no crash, or the first", () => {
    const backoff = new Backoff();
    backoff.started(5);
    expect(backoff.notBefore).toBeLessThan(5);
    backoff.crashed(5, undefined, 6);
    backoff.started(6);
    expect(backoff.notBefore).toBeLessThan(6);
  });
});

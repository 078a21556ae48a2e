import { describe, expect, it } from "vitest";
import { giveMemoryBack, LEAST_BYTES, takeMemory } from "../../../src/adapters/spare-memory.ts";

describe("spare memory", () => {
  it("is given out again, to one at a time", () => {
    const first = takeMemory(100_000);
    const second = takeMemory(100_000);
    expect(second.buffer).not.toBe(first.buffer);
    giveMemoryBack(first);
    // Of another length, but not of another size class.
    const third = takeMemory(70_000);
    expect([third.buffer === first.buffer, third.length]).toEqual([true, 70_000]);
    expect(takeMemory(70_000).buffer).not.toBe(first.buffer);
  });

  it("is as long as was asked for, whatever it was before", () => {
    for (const size of [0, 1, LEAST_BYTES - 1, LEAST_BYTES, LEAST_BYTES + 1, 1 << 20, (4 << 20) + 1]) {
      const bytes = takeMemory(size);
      expect(bytes.length).toBe(size);
      giveMemoryBack(bytes);
      expect(takeMemory(size).length).toBe(size);
    }
  });

  it("does not keep very much", () => {
    const large = takeMemory(5 << 20);
    giveMemoryBack(large);
    expect(takeMemory(5 << 20).buffer).not.toBe(large.buffer);
  });
});

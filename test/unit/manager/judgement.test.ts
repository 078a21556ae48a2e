import { describe, expect, it } from "vitest";
import { describeEnd, jittered, judgeSilence } from "../../../src/manager/judgement.ts";

const OFF = { maxLoopDelayMs: 0, requestTerminateTimeoutMs: 0, requestSlowlogTimeoutMs: 0 };
const aged = (ms: number) => () => ({ method: "GET", url: "/", client: "", startedAt: Date.now() - ms });

describe("a silent worker", () => {
  const cases: readonly [
    what: string,
    settings: Partial<typeof OFF>,
    silent: number,
    age: number,
    is: unknown,
  ][] = [
    ["is left alone when nothing is set", {}, 1e6, 1e6, undefined],
    ["is left alone before it is overdue", { maxLoopDelayMs: 30_000 }, 29_999, 0, undefined],
    ["is stuck when its event loop stands still too long", { maxLoopDelayMs: 30_000 }, 30_000, 0, "stuck"],
    ["is not stuck because of one late sign of life", { maxLoopDelayMs: 100 }, 2000, 0, undefined],
    ["is stuck when its request takes too long", { requestTerminateTimeoutMs: 5000 }, 3000, 5000, "stuck"],
    ["is slow when its request is", { requestSlowlogTimeoutMs: 5000 }, 3000, 5000, "slow"],
    ["is fine while its request is young", { requestSlowlogTimeoutMs: 5000 }, 3000, 4000, undefined],
    ["talks, so its own server judges its requests", { requestTerminateTimeoutMs: 5 }, 1000, 9000, undefined],
    [
      "is stuck rather than slow",
      { requestSlowlogTimeoutMs: 1000, requestTerminateTimeoutMs: 5000 },
      9000,
      9000,
      "stuck",
    ],
  ];
  for (const [what, settings, silentMs, ageMs, expected] of cases) {
    it(what, () => {
      expect(judgeSilence({ ...OFF, ...settings }, silentMs, aged(ageMs))).toBe(expected);
    });
  }

  it("without a request is never slow", () => {
    expect(judgeSilence({ ...OFF, requestSlowlogTimeoutMs: 1 }, 1e6, () => undefined)).toBeUndefined();
  });
});

describe("the end of a worker", () => {
  it("is told in words, with what it said before what it printed", () => {
    const told = { stage: "app", message: "could not be loaded", isPlacePrinted: false } as const;
    expect(describeEnd(1, null, undefined, ["a", "b"])).toEqual({
      how: "exit code 1",
      said: "",
      failure: "a\nb",
      isApp: true,
    });
    expect(describeEnd(3, null, undefined, [])).toMatchObject({ isApp: false });
    expect(describeEnd(null, "SIGKILL", undefined, [])).toMatchObject({ isApp: false });
    expect(describeEnd(null, "SIGKILL", told, ["a"])).toEqual({
      how: "signal SIGKILL",
      said: "could not be loaded",
      failure: "could not be loaded",
      isApp: true,
    });
    expect(
      describeEnd(null, null, { ...told, stage: "boot", isPlacePrinted: true }, [
        "file:2",
        "",
        "    at link (node:internal/x:1:2)",
        "Node.js v20.20.2",
      ]),
    ).toEqual({
      how: "it never ran",
      said: "could not be loaded",
      failure: "could not be loaded\nfile:2",
      isApp: false,
    });
  });
});

describe("a limit for many workers", () => {
  it("is up to a tenth less, never more, never nothing; 0 stays off", () => {
    for (let n = 0; n < 1000; n++) {
      const limit = jittered(1000);
      expect(limit).toBeGreaterThanOrEqual(900);
      expect(limit).toBeLessThanOrEqual(1000);
    }
    expect(jittered(0)).toBe(0);
    expect(jittered(1)).toBe(1);
  });
});

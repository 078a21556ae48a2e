/** The accounting of `postern bench`: what counts, when it was due, and what two targets are said to differ in. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compare } from "../../../src/tools/bench/compare.ts";
import { drawHistogram } from "../../../src/tools/bench/draw.ts";
import { Exchange, type Shot } from "../../../src/tools/bench/exchange.ts";
import { Histogram } from "../../../src/tools/bench/histogram.ts";
import type { Lane } from "../../../src/tools/bench/lane.ts";
import { type LoadOptions, runLoad } from "../../../src/tools/bench/load.ts";
import type { Result } from "../../../src/tools/bench/run.ts";
import { Tally } from "../../../src/tools/bench/tally.ts";

const nothing = { status: undefined, body: undefined };

describe("the histogram", () => {
  const times = fc.array(fc.double({ min: 0.001, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 });

  it("gives every percentile of any values, by nearest rank, to within 1 %", () => {
    fc.assert(
      fc.property(times, fc.double({ min: 0, max: 100, noNaN: true }), (values, percent) => {
        const histogram = new Histogram();
        for (const value of values) histogram.add(value);
        const sorted = [...values].sort((one, two) => one - two);
        const exact = sorted[Math.max(1, Math.ceil((percent / 100) * sorted.length)) - 1]!;
        expect(Math.abs(histogram.percentile(percent) - exact)).toBeLessThanOrEqual(exact * 0.01 + 0.0006);
        expect(histogram.count).toBe(values.length);
        expect([histogram.least, histogram.most]).toEqual([sorted[0], sorted.at(-1)]);
      }),
    );
  });

  it("is the same whether values come together or in two that are added", () => {
    fc.assert(
      fc.property(times, times, (one, two) => {
        const [whole, first, second] = [new Histogram(), new Histogram(), new Histogram()];
        for (const value of [...one, ...two]) whole.add(value);
        for (const value of one) first.add(value);
        for (const value of two) second.add(value);
        first.addAll(second);
        for (const percent of [0, 50, 99, 100]) {
          expect(first.percentile(percent)).toBe(whole.percentile(percent));
        }
        expect(first.between([1, 10, 100])).toEqual(whole.between([1, 10, 100]));
      }),
    );
  });

  it("says 0 of nothing", () => {
    const histogram = new Histogram();
    expect([histogram.mean, histogram.least, histogram.most, histogram.percentile(99)]).toEqual([0, 0, 0, 0]);
  });

  it("draws a bar for each range, as wide as there is room", () => {
    const histogram = new Histogram();
    for (const ms of [1.2, 1.2, 1.3, 1.4, 2.5, 4]) histogram.add(ms);
    expect(drawHistogram(histogram, 60, false)).toEqual([
      `below 1.5 ms   66.7 %  ${"#".repeat(28)}`,
      "  below 2 ms    0.0 %",
      `  below 3 ms   16.7 %  ${"#".repeat(7)}`,
      `  below 5 ms   16.7 %  ${"#".repeat(7)}`,
    ]);
    expect(drawHistogram(histogram, 60, true)[0]).toBe(`below 1.5 ms   66.7 %  ${"█".repeat(28)}`);
    expect(drawHistogram(new Histogram(), 60, true)).toEqual([]);
  });
});

describe("an answer", () => {
  const answer = (
    expected: { status: number | undefined; body: Buffer | undefined },
    status: number,
    pieces: readonly string[],
    announced: number | undefined = undefined,
    appStatus = 0,
  ) => {
    const exchange = new Exchange(0, expected, () => {});
    exchange.status = status;
    for (const piece of pieces) exchange.take(Buffer.from(`<${piece}>`), 1, 1 + piece.length);
    exchange.succeed(announced, appStatus);
    return exchange.fault?.kind;
  };
  const same = { status: 200, body: Buffer.from("hello") };

  it.each([
    ["that is as expected, in pieces", answer(same, 200, ["he", "llo"], 5), undefined],
    ["of another status", answer(same, 500, ["hello"]), "status"],
    ["of a status that is an error, when none is named", answer(nothing, 404, []), "status"],
    ["that redirects, when none is named", answer(nothing, 302, []), undefined],
    ["shorter than announced", answer(nothing, 200, ["hell"], 5), "length"],
    ["longer than announced", answer(nothing, 200, ["hello!"], 5), "length"],
    ["with other bytes", answer(same, 200, ["he", "LLo"]), "body"],
    ["that stops before the end", answer(same, 200, ["hell"]), "body"],
    ["that goes on behind it", answer(same, 200, ["hello", "!"]), "body"],
    ["whose application says that it failed", answer(same, 200, ["hello"], 5, 1), "app status"],
  ])("%s", (_name, found, expected) => {
    expect(found).toBe(expected);
  });

  it("ends once", () => {
    let ends = 0;
    const exchange = new Exchange(0, nothing, () => ends++);
    exchange.fail("closed", "gone");
    exchange.succeed(undefined, 0);
    exchange.fail("timeout", "late");
    expect([ends, exchange.fault?.kind]).toEqual([1, "closed"]);
  });
});

/** A lane whose answers are given by the test. */
class ScriptedLane implements Lane {
  readonly room: number;
  readonly asked: Exchange[] = [];
  readonly #onAsked: (exchange: Exchange, lane: ScriptedLane) => void;

  constructor(onAsked: (exchange: Exchange, lane: ScriptedLane) => void, room = 1) {
    this.room = room;
    this.#onAsked = onAsked;
  }

  send(exchange: Exchange): void {
    this.asked.push(exchange);
    this.#onAsked(exchange, this);
  }

  cut(kind: "timeout" | "closed", says: string): void {
    for (const exchange of this.asked) exchange.fail(kind, says);
  }

  close(): void {}
}

const right = (exchange: Exchange): void => {
  exchange.status = 200;
  exchange.firstByteAt = performance.now();
  exchange.succeed(undefined, 0);
};
const soon = (exchange: Exchange): void => void setImmediate(() => right(exchange));

const load = (lanes: readonly Lane[], options: Partial<LoadOptions>): Promise<Tally> =>
  runLoad({
    lanes,
    expected: nothing,
    rate: undefined,
    durationMs: Infinity,
    requests: Infinity,
    timeoutMs: 60_000,
    signal: new AbortController().signal,
    ...options,
  });

describe("a closed loop", () => {
  it("sends as many as asked for, never more at once than there is room, and counts each", async () => {
    const open = new Set<Exchange>();
    let most = 0;
    const onAsked = (exchange: Exchange): void => {
      open.add(exchange);
      most = Math.max(most, open.size);
      setImmediate(() => {
        open.delete(exchange);
        right(exchange);
      });
    };
    const lanes = [new ScriptedLane(onAsked, 3), new ScriptedLane(onAsked, 2)];
    const tally = await load(lanes, { requests: 500 });
    expect(tally).toMatchObject({ answers: 500, faultCount: 0, unsent: 0 });
    expect(most).toBe(5);
    expect(lanes[0]!.asked.length + lanes[1]!.asked.length).toBe(500);
    expect(tally.statuses).toEqual(new Map([[200, 500]]));
  });

  it("waits at the end for what is open: the slowest answer is not left out", async () => {
    const ending = new AbortController();
    let last: Exchange | undefined;
    const slow = new ScriptedLane((exchange) => {
      last = exchange;
      ending.abort();
      setImmediate(() => setImmediate(() => right(exchange)));
    });
    const tally = await load([slow], { signal: ending.signal });
    expect(tally.answers).toBe(1);
    expect(last?.isOver).toBe(true);
  });

  it("counts faults by kind, with the first as the example, and not as answers", async () => {
    let asked = 0;
    const lane = new ScriptedLane((exchange) => {
      const turn = ++asked;
      setImmediate(() => (turn % 5 === 0 ? exchange.fail("closed", `gone at ${turn}`) : right(exchange)));
    });
    const tally = await load([lane], { requests: 20 });
    expect([...tally.faults.values()]).toEqual([{ kind: "closed", count: 4, example: "gone at 5" }]);
    expect(tally.answers).toBe(16);
    expect(tally.latency.count).toBe(16);
  });

  it("gives up what does not come in time, and goes on", async () => {
    let asked = 0;
    const lane = new ScriptedLane((exchange) => {
      // Before any timer, however busy the machine is.
      if (++asked > 1) queueMicrotask(() => right(exchange));
    });
    const tally = await load([lane], { requests: 3, timeoutMs: 20 });
    expect([...tally.faults.keys()]).toEqual(["timeout"]);
    expect(tally.answers).toBe(2);
  });

  it("ends when nothing but failures comes", async () => {
    const lanes = Array.from({ length: 50 }, () => {
      return new ScriptedLane(
        (exchange) => void setImmediate(() => exchange.fail("connect", "ECONNREFUSED")),
      );
    });
    const tally = await load(lanes, {});
    expect(tally.answers).toBe(0);
    expect(tally.faultCount).toBeGreaterThanOrEqual(1000);
  });
});

describe("a fixed rate", () => {
  const STALL_MS = 300;
  const RATE = 400;

  it("counts a stall for every request that was due in it, though only one met it", async () => {
    let stalls = true;
    const lane = new ScriptedLane((exchange) => {
      if (!stalls) return soon(exchange);
      stalls = false;
      setTimeout(() => right(exchange), STALL_MS);
    });
    const tally = await load([lane], { rate: RATE, requests: 200 });
    expect(tally.answers).toBe(200);
    // Those due in the first third waited at least two thirds: 300 ms at 400 a second are 120 requests.
    const long = tally.latency.between([(STALL_MS * 2) / 3])[1]!;
    expect(long).toBeGreaterThanOrEqual(Math.floor((RATE * STALL_MS) / 3 / 1000));
    expect(tally.lateness.most).toBeGreaterThan(STALL_MS / 2);
  });

  it("sends no more than are due", async () => {
    const lane = new ScriptedLane(soon, 50);
    const startedAt = performance.now();
    const tally = await load([lane], { rate: 500, requests: 100 });
    expect(tally.answers).toBe(100);
    for (const [index, { sentAt }] of lane.asked.entries()) {
      expect(sentAt).toBeGreaterThanOrEqual(startedAt + (index * 1000) / 500);
    }
  });

  it("says how many were due and never sent", async () => {
    const lane = new ScriptedLane(() => {});
    const tally = await load([lane], { rate: 1000, durationMs: 50, timeoutMs: 30 });
    expect(tally.answers).toBe(0);
    expect(tally.unsent).toBeGreaterThan(0);
  });
});

describe("a comparison", () => {
  const shot: Shot = { method: "GET", params: [], target: "/", headers: [], body: undefined };
  /** Rounds of 100 answers that took this long together. */
  const result = (name: string, elapsed: readonly number[]): Result => {
    const rounds = elapsed.map((elapsedMs) => {
      const tally = new Tally();
      for (let index = 0; index < 100; index++) tally.latency.add(elapsedMs / 100);
      tally.elapsedMs = elapsedMs;
      return { tally, used: { processes: 1, cpuMs: elapsedMs / 2, memoryBytes: 1 }, ownCpuMs: 1, ownBusy: 0 };
    });
    const target = { name, place: { url: new URL("http://x/") }, shot, pid: undefined };
    return { target, comparesBodies: true, tally: new Tally(), rounds };
  };

  it("takes the ratio of each round, and says which is better", () => {
    const { rows, verdict } = compare(result("a", [1000, 2000, 1000]), result("b", [500, 1000, 800]), {
      rate: undefined,
    });
    expect(rows[0]).toEqual({
      label: "requests a second",
      first: "100",
      second: "125",
      ratio: 2,
      least: 1.25,
      most: 2,
    });
    expect(rows.at(-1)).toMatchObject({ label: "CPU a request", ratio: 0.5 });
    expect(verdict).toBe(
      "requests a second: b has 2 times that of a (1.25 to 2 over the rounds), which is better.",
    );
  });

  it("does not take noise for a difference", () => {
    const { verdict } = compare(result("a", [1000, 1000]), result("b", [900, 1100]), { rate: undefined });
    expect(verdict).toBe("requests a second: no difference beyond noise (0.909 to 1.11).");
  });

  it("decides by waiting time at a fixed rate, where less is better", () => {
    const { verdict } = compare(result("a", [1000, 1000]), result("b", [1900, 2000]), { rate: 100 });
    expect(verdict).toMatch(/^99 %: b has .* which is worse\.$/);
  });

  it("does not make more of a single round than it is", () => {
    const { verdict } = compare(result("a", [1000]), result("b", [500]), { rate: undefined });
    expect(verdict).toMatch(/in a single round: --rounds shows/);
  });
});

/** What `postern status` and `postern workers` print: to the letter, within the width, and harmless. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderStatus, renderWorkers } from "../../../src/status/render.ts";
import { widthOf } from "../../../src/status/text.ts";
import { listWorkers } from "../../../src/status/workers.ts";
import { readDocument } from "../../support/markdown.ts";
import { examplePool, exampleSnapshot, exampleWorker, NOW } from "./example.ts";

describe("the status", () => {
  it("is what docs/control.md shows", () => {
    const shown = readDocument("docs/control.md").blocks.find(({ text }) =>
      text.includes(" running, postern "),
    );
    expect(renderStatus(exampleSnapshot(), { width: 120 })).toBe(shown?.text);
  });

  it("leaves out columns that a narrow terminal has no room for, and cuts URLs before addresses", () => {
    const pools = [examplePool({ workers: [exampleWorker()] })];
    expect(renderStatus(exampleSnapshot({ pools }), { width: 48 })).toBe(
      `yourapplication running, postern 0.2.0, pid 424…

web: /srv/yourapplication/app.js on unix:/run/y…
  dynamic, generation 3, workers 1 of 8,
  requests 51204, slow 2, lost 0,
  queue 0 of 511
  gen   pid  stage  requests  open  delay  loop
    3  4251  ready      1204     2  12 ms  34 %
    GET /reports/2026?format=p… 203.0.113.9 12 s
    POST /login 2001:db8::7 250 ms
`,
    );
  });

  it("tells a failed reload by its first lines", () => {
    const lastReloadError = "the reload failed\n  at a\r\n\tat b\n  at c\n  at d\n  at e\n  at f\n";
    const text = renderStatus(exampleSnapshot({ lastReloadError, pools: [] }), { width: 60 });
    expect(text.split("\n").slice(1)).toEqual([
      "last reload: the reload failed",
      "    at a",
      "    at b",
      "    at c",
      "    at d",
      "  … 2 more lines",
      "",
    ]);
  });

  it("tells crashes, busy workers, a reload, and when the next worker is started", () => {
    const pool = examplePool({
      isReloading: true,
      nextStartAt: NOW + 4200,
      workersCrashed: 3,
      maxChildrenReached: 2,
      workers: [exampleWorker({ isBusy: true }), exampleWorker({ stage: "draining", current: [] })],
    });
    const text = renderStatus(exampleSnapshot({ pools: [pool], state: "reloading" }), { width: 200 });
    expect(text).toContain("yourapplication reloading, ");
    expect(text).toContain(
      "reloading, workers 1 of 8, 1 draining, 1 busy, requests 51204, slow 2, lost 0, crashed 3, queue 0 of 511, all busy 2×",
    );
    expect(text).toContain("workers crash one after the other; the next is started in 4.2 s");
    expect(text).toMatch(/4251 {2}busy /);
    expect(text).toMatch(/4251 {2}draining /);
  });

  it("tells requests a second from two snapshots of the same manager", () => {
    const previous = exampleSnapshot({ now: NOW - 2000, pools: [examplePool({ requests: 51_179 })] });
    const rate = (now: Parameters<typeof exampleSnapshot>[0]): string | undefined =>
      /requests 51204(?: \((.*?)\))?,/.exec(
        renderStatus(exampleSnapshot(now), { width: 120, previous }),
      )?.[1];
    expect(rate({})).toBe("13/s");
    expect(rate({ now: NOW + 8000 })).toBe("2.5/s");
    expect(rate({ pid: 1 })).toBeUndefined();
    expect(rate({ startedAt: NOW - 1 })).toBeUndefined();
    expect(rate({ now: NOW - 2000 })).toBeUndefined();
    expect(rate({ pools: [examplePool({ name: "other" })] })).toBeUndefined();
  });

  it("has colour only when asked, and says the same without it", () => {
    const options = { width: 120 };
    const snapshot = exampleSnapshot({ lastReloadError: "no", pools: [examplePool({ nextStartAt: NOW })] });
    const plain = renderStatus(snapshot, options);
    const coloured = renderStatus(snapshot, { ...options, colour: true });
    expect(plain).not.toContain("\x1b");
    expect(coloured).toContain("\x1b[32mready   \x1b[0m");
    expect(coloured.replace(/\x1b\[\d+m/g, "")).toBe(plain);
  });

  it("is of a pool without workers a sentence", () => {
    const pools = [examplePool({ workers: [] }), examplePool({ workers: [], pm: "ondemand", addresses: [] })];
    const text = renderStatus(exampleSnapshot({ pools }), { width: 80 });
    expect(text).toContain("\n  no worker runs\n");
    expect(text).toContain(" on no address\n");
    expect(text).toContain("\n  no worker runs; the first connection starts one\n");
  });

  it("never has a line wider than asked, nor a character that a terminal acts on, whatever strangers send", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.constantFrom(
        "\x1b]0;title\x07",
        "\x9b31m",
        "\u202egnp.exe",
        "日本語".repeat(30),
        "\r\n",
        "\u2028",
        "\ud800",
      ),
    );
    const property = fc.property(
      text,
      text,
      text,
      fc.integer({ min: 40, max: 200 }),
      (url, client, error, width) => {
        const current = [{ method: url, url, client, startedAt: NOW - 5 }];
        const pools = [examplePool({ name: client, program: error, workers: [exampleWorker({ current })] })];
        const snapshot = exampleSnapshot({ name: url, lastReloadError: error, configFile: client, pools });
        const printed =
          renderStatus(snapshot, { width }) + renderWorkers(listWorkers(snapshot), NOW, { width });
        expect(printed).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\p{Cf}\p{Cs}\u2028\u2029]/u);
        for (const line of renderStatus(snapshot, { width }).split("\n"))
          expect(widthOf(line)).toBeLessThanOrEqual(width);
      },
    );
    fc.assert(property, { numRuns: 100 });
  });

  it("shows a URL in plain ASCII only", () => {
    const current = [{ method: "GET", url: "/é\x1b[2J\u202e€", client: "::1", startedAt: NOW }];
    const pools = [examplePool({ workers: [exampleWorker({ current })] })];
    const text = renderStatus(exampleSnapshot({ pools }), { width: 100 });
    expect(text).toContain("GET /\\xe9\\x1b[2J\\u{202e}\\u{20ac} ::1 0 ms\n");
  });
});

describe("the list of workers", () => {
  it("has all pools in one table, without their requests", () => {
    const snapshot = exampleSnapshot({
      pools: [
        examplePool({ workers: [exampleWorker()] }),
        examplePool({ name: "mail", workers: [exampleWorker({ pid: 99, requests: undefined })] }),
      ],
    });
    expect(renderWorkers(listWorkers(snapshot), NOW, { width: 100 })).toBe(
      `pool  gen   pid  stage  requests  open  delay  loop  memory    age
web     3  4251  ready      1204     2  12 ms  34 %   88 MB  2h 3m
mail    3    99  ready         -     2  12 ms  34 %   88 MB  2h 3m
`,
    );
  });

  it("says so when there are none", () => {
    expect(renderWorkers([], NOW, { width: 100 })).toBe("no workers run\n");
  });
});

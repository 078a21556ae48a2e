/** The status page in php-fpm's words. The keys and the layout were taken down from php-fpm 8.2.31. */
import { describe, expect, it } from "vitest";
import { phpFpmStatusPage, renderPhpFpmStatus } from "../../../src/status/php-fpm.ts";
import { examplePool, exampleWorker, NOW } from "./example.ts";

/** As php-fpm 8.2 printed them, text and JSON alike. */
const POOL_KEYS = [
  "pool",
  "process manager",
  "start time",
  "start since",
  "accepted conn",
  "listen queue",
  "max listen queue",
  "listen queue len",
  "idle processes",
  "active processes",
  "total processes",
  "max active processes",
  "max children reached",
  "slow requests",
];
const PROCESS_KEYS = [
  "pid",
  "state",
  "start time",
  "start since",
  "requests",
  "request duration",
  "request method",
  "request uri",
  "content length",
  "user",
  "script",
  "last request cpu",
  "last request memory",
];

describe("the status page", () => {
  it("as text begins with php-fpm's keys in their columns", () => {
    expect(renderPhpFpmStatus(examplePool(), NOW)).toBe(
      `pool:                 web
process manager:      dynamic
start time:           19/Nov/2026:09:15:41 +0000
start since:          273600
accepted conn:        51204
listen queue:         0
max listen queue:     0
listen queue len:     511
idle processes:       2
active processes:     1
total processes:      3
max active processes: 1
max children reached: 0
slow requests:        2
busy processes:       0
open requests:        2
connections:          812
lost requests:        0
processes started:    9
processes crashed:    0
max children:         8
generation:           3
reloading:            false
`,
    );
  });

  it("as full text adds a block for each process", () => {
    const pool = examplePool({ workers: [exampleWorker()] });
    const text = renderPhpFpmStatus(pool, NOW, { full: true });
    expect(text.slice(text.indexOf("\n***"))).toBe(
      `
************************
pid:                  4251
state:                Running
start time:           22/Nov/2026:11:12:41 +0000
start since:          7380
requests:             1204
request duration:     12400000
request method:       GET
request URI:          /reports/2026?format=pdf
content length:       0
user:                 -
script:               -
last request cpu:     0
last request memory:  0
stage:                ready
open requests:        2
memory:               92274688
loop delay ms:        12
loop utilisation:     0.34
generation:           3
`,
    );
  });

  it("as JSON has the same keys in the same order, with times in seconds", () => {
    const page = JSON.parse(renderPhpFpmStatus(examplePool(), NOW, { format: "json" })) as Record<
      string,
      unknown
    >;
    expect(Object.keys(page).slice(0, POOL_KEYS.length)).toEqual(POOL_KEYS);
    expect(page["start time"]).toBe(1_795_079_741);
    expect(page["processes"]).toBeUndefined();
    const full = JSON.parse(renderPhpFpmStatus(examplePool(), NOW, { format: "json", full: true })) as {
      processes: Record<string, unknown>[];
    };
    expect(full.processes.map((process) => Object.keys(process).slice(0, PROCESS_KEYS.length))).toEqual([
      PROCESS_KEYS,
      PROCESS_KEYS,
      PROCESS_KEYS,
    ]);
    expect(full.processes[0]).toMatchObject({
      pid: 4251,
      "request uri": "/reports/2026?format=pdf",
      user: "-",
    });
    expect(full.processes[2]).toMatchObject({ state: "Idle", "request method": "-", requests: 0 });
  });

  it("counts a program that does not tell as active while it is busy", () => {
    const silent = exampleWorker({ concurrency: undefined, isBusy: true, current: [] });
    const page = renderPhpFpmStatus(examplePool({ workers: [silent] }), NOW);
    expect(page).toContain("active processes:     1\n");
  });

  it("never shows less as the most there ever were than there is now", () => {
    const pool = examplePool({ listenQueue: 3, maxListenQueue: 7, maxActiveWorkers: 3 });
    const page = renderPhpFpmStatus(pool, NOW);
    expect(page).toContain("listen queue:         3\nmax listen queue:     7\n");
    expect(page).toContain("max active processes: 3\n");
    const late = examplePool({ listenQueue: 3, maxListenQueue: 1 });
    expect(renderPhpFpmStatus(late, NOW)).toContain("max listen queue:     3\n");
  });

  it("cannot be given other lines by a URL", () => {
    const current = [{ method: "GET\n", url: "/\nidle processes: 99\x1b", client: "", startedAt: NOW }];
    const pool = examplePool({ workers: [exampleWorker({ current })] });
    const text = renderPhpFpmStatus(pool, NOW, { full: true });
    expect(text).toContain("request method:       GET\\x0a\n");
    expect(text).toContain("request URI:          /\\x0aidle processes: 99\\x1b\n");
  });

  it("is chosen by php-fpm's query", () => {
    const pool = examplePool();
    const json = "application/json";
    expect(phpFpmStatusPage(pool, NOW, "")).toEqual({
      text: renderPhpFpmStatus(pool, NOW),
      contentType: "text/plain",
    });
    expect(phpFpmStatusPage(pool, NOW, "full").text).toBe(renderPhpFpmStatus(pool, NOW, { full: true }));
    for (const query of ["json&full", "full&json"]) {
      expect(phpFpmStatusPage(pool, NOW, query)).toEqual({
        text: renderPhpFpmStatus(pool, NOW, { format: "json", full: true }),
        contentType: json,
      });
    }
    expect(phpFpmStatusPage(pool, NOW, "json").contentType).toBe(json);
  });
});

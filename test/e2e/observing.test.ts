/**
 * What can be seen of a running pool, behind nginx and with two workers: an access log with one line for each request,
 * over reloads and rotation, metrics that agree with what was asked, and the status page.
 */
import { existsSync, readFileSync, renameSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { loadApplication, underLoad } from "../support/e2e/load.ts";
import { type TestManager, withManager } from "../support/e2e/manager.ts";
import { deploy, serveApp, stopManagers } from "../support/e2e/supervised.ts";
import { readOpenMetrics } from "../support/openmetrics.ts";
import { start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { externalAt, startGenerated } from "../support/web-servers/generated.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const TIMEOUT_MS = 180_000;

beforeAll(built);
afterEach(stopManagers);

function linesOf(...files: readonly string[]): string[] {
  return files
    .flatMap((file) => (existsSync(file) ? readFileSync(file, "utf8").split("\n") : []))
    .filter((line) => line !== "");
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function visit(url: string): Promise<Page> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
      });
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", text }),
      );
    }).once("error", reject);
  });
}

/** Two workers behind nginx. */
async function inScene(
  flags: readonly string[],
  play: (manager: TestManager, web: WebServer) => Promise<void>,
): Promise<void> {
  const program = (): string => loadApplication("first");
  await withManager({ program, flags: ["--workers", "2", ...flags] }, async (manager) => {
    const web = await startGenerated("nginx", {
      application: externalAt({ unix: manager.socket }),
      isKeptAlive: true,
    });
    try {
      await play(manager, web);
    } finally {
      await web.stop();
    }
  });
}

/** A line of {@link FORMAT}, taken apart. */
const FORMAT = "%R %m %r%Q%q %s %b %{micro}d %p %n [%t] end";
const LINE =
  /^(?<client>127\.0\.0\.1|::1) (?<method>GET|POST) (?<url>\/\S*) (?<status>\d{3}) (?<bytes>\d+) \d+ (?<pid>\d+) test \[\d\d\/\w{3}\/\d{4}:[\d:]{8} [+-]\d{4}\] end$/;

describeWithServer("nginx", "observing a pool behind nginx", () => {
  it(
    "the access log has one whole line for each request of two workers, over reloads and rotations under load",
    async () => {
      const folder = temporaryFolder("o");
      const file = join(folder, "access.log");
      const files = [`${file}.1`, `${file}.2`, `${file}.3`, file];
      let answered: ReadonlyMap<string, number> = new Map();
      await inScene(["--access-log", file, "--access-log-format", FORMAT], async (manager, web) => {
        const load = await underLoad({ url: web.url, clients: 6 }, async (running) => {
          await running.more(100);
          renameSync(file, files[0]!);
          expect((await manager.cli("logs", "reopen")).code).toBe(0);
          await running.more(100);
          expect(await manager.reload()).toMatchObject({ ok: true });
          await running.more(100);
          renameSync(file, files[1]!);
          manager.running.signal("SIGUSR1");
          await waitFor(() => existsSync(file), { timeoutMs: 30_000 });
          await running.more(100);
          expect(await manager.reload("phased")).toMatchObject({ ok: true });
          renameSync(file, files[2]!); // nobody says a word of it
          await waitFor(() => existsSync(file), { timeoutMs: 30_000 });
          await running.more(100);
        });
        expect(load.failed).toEqual([]);
        answered = load.answered;
      });
      const lines = linesOf(...files);
      const parsed = lines.map((line) => LINE.exec(line)?.groups ?? expect.fail(`a torn line: ${line}`));
      const ids = parsed.map(({ url }) => /id=(\w+)/.exec(url ?? "")?.[1] ?? "");
      expect(new Set(ids).size).toBe(ids.length);
      expect([...ids].sort()).toEqual([...answered.keys()].sort());
      expect(new Set(parsed.map(({ status }) => status))).toEqual(new Set(["200"]));
      for (const { url = "", bytes } of parsed) {
        expect(Number(bytes)).toBeGreaterThan(Number(/size=(\d+)/.exec(url)?.[1]));
      }
      // Two before the reloads and two after each.
      expect(new Set(parsed.map(({ pid }) => pid)).size).toBeGreaterThanOrEqual(4);
      expect(files.map((one) => linesOf(one).length > 0)).toEqual([true, true, true, true]);
    },
    TIMEOUT_MS,
  );

  it(
    "metrics agree with what was asked, also of workers that are gone, and are valid",
    async () => {
      await inScene(["--metrics-path", "/metrics", "--status-path", "/status"], async (manager, web) => {
        const load = await underLoad({ url: web.url, clients: 4 }, async (running) => {
          await running.more(50);
          expect(await manager.reload()).toMatchObject({ ok: true });
          await running.more(50);
        });
        const asked = load.answered.size;
        const scrape = async (): Promise<ReturnType<typeof readOpenMetrics>> => {
          const { status, type, text } = await visit(`${web.url}/metrics`);
          expect([status, type]).toEqual([200, "application/openmetrics-text; version=1.0.0; charset=utf-8"]);
          return readOpenMetrics(text);
        };
        // Workers tell once a second.
        const families = await waitFor(
          async () => {
            const read = await scrape();
            return (
              read.get("postern_responses")?.samples.some(({ value }) => value === asked) === true && read
            );
          },
          { timeoutMs: 30_000 },
        );
        const found = (family: string, labels: object = {}, name = family): number | undefined =>
          families.get(family)?.samples.find((sample) => {
            const { pool, ...others } = sample.labels;
            return (
              pool === "test" &&
              sample.name.startsWith(name) &&
              JSON.stringify(others) === JSON.stringify(labels)
            );
          })?.value;
        expect(found("postern_responses", { class: "2xx" })).toBe(asked);
        expect(found("postern_responses", { class: "5xx" })).toBe(0);
        const duration = "postern_request_duration_seconds";
        expect(found(duration, {}, `${duration}_count`)).toBe(asked);
        expect(found(duration, {}, `${duration}_sum`)).toBeGreaterThan(0.015);
        expect(found("postern_sent_bytes")).toBeGreaterThan(asked * 20);
        expect(found("postern_processes_started")).toBe(4);
        expect(found("postern_active_requests")).toBe(0);

        const { stdout, code } = await manager.cli("status", "--openmetrics");
        expect(code).toBe(0);
        const all = readOpenMetrics(`${stdout}\n`);
        expect(all.get("postern_reloads")?.samples).toMatchObject([{ value: 1 }]);
        expect([...families.keys()].every((name) => all.has(name))).toBe(true);

        const html = await visit(`${web.url}/status?html&full`);
        expect([html.status, html.type]).toEqual([200, "text/html; charset=utf-8"]);
        expect(html.text).toContain("2 of 2 (static)");
        readOpenMetrics((await visit(`${web.url}/status?openmetrics`)).text);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "the client is whom trustProxy believes: in the access log, the status and the slow log",
    async () => {
      const folder = temporaryFolder("o");
      const [file, slow] = [join(folder, "access.log"), join(folder, "slow.log")];
      const flags = [
        "--access-log",
        file,
        "--access-log-format",
        "json",
        "--slowlog",
        slow,
        "--request-slowlog-timeout",
        "10ms",
      ];
      await inScene([...flags, "--trust-proxy", "loopback"], async (_manager, web) => {
        await new Promise<void>((resolve, reject) => {
          const headers = { "x-forwarded-for": "203.0.113.77", "user-agent": 'a" "b\\\u00ff' };
          get(`${web.url}/load?id=x3&size=1`, { agent: false, headers }, (response) =>
            response.resume().once("end", resolve),
          ).once("error", reject);
        });
        await waitFor(() => linesOf(file).length === 1 && linesOf(slow).length > 0, { timeoutMs: 30_000 });
      });
      expect(linesOf(file).map((line) => JSON.parse(line) as unknown)).toMatchObject([
        { client: "203.0.113.77", url: "/load?id=x3&size=1", status: 200, pool: "test" },
      ]);
      expect(linesOf(slow).join()).toContain("client=203.0.113.77");
    },
    TIMEOUT_MS,
  );
});

describe("observing a pool", () => {
  it("the access log on standard output is the manager's own, beside the output of the application", async () => {
    const managed = await serveApp(
      deploy(),
      "--workers",
      "2",
      "--access-log",
      "-",
      "--access-log-format",
      "%n %m %r %s",
    );
    await managed.get("/print?to=stdout&text=printed");
    await managed.line(/^test GET \/print 200$/);
    const line = managed.process.lines.find(({ text }) => text === "test GET /print 200");
    expect(line).toMatchObject({ stream: "stdout" });
    expect(managed.log()).toContain("printed");
    expect(managed.log()).not.toContain("test GET /print 200");
  });

  it("a format or a file that cannot be used ends the start with 2, and a reload with the old workers", async () => {
    const { app } = deploy();
    const { CLI } = await import("../support/e2e/supervised.ts");
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    for (const [flags, why] of [
      [["--access-log", "-", "--access-log-format", "%C"], /accessLogFormat.*CPU time/],
      [["--access-log", join(temporaryFolder("o"), "none", "a.log")], /the folder .* does not exist/],
    ] as const) {
      const process_ = start(
        process.execPath,
        [
          CLI,
          "serve",
          app,
          "--name",
          "t",
          "--control-socket",
          join(temporaryFolder("c"), "c.sock"),
          "--workers",
          "1",
          "--bind",
          address,
          ...flags,
        ],
        {},
      );
      expect(await process_.exited).toEqual({ code: 2, signal: null });
      expect(process_.output()).toMatch(why);
    }
  });

  it("one process without a manager has an access log too", async () => {
    const file = join(temporaryFolder("o"), "access.log");
    const { CLI, get: ask } = await import("../support/e2e/supervised.ts");
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const process_ = start(
      process.execPath,
      [
        CLI,
        "serve",
        deploy().app,
        "--workers",
        "0",
        "--bind",
        address,
        "--access-log",
        file,
        "--access-log-format",
        "%r %s %n",
      ],
      {},
    );
    await process_.waitForLine(/listening for FastCGI/, { timeoutMs: 30_000 });
    await ask(address, "/one");
    process_.signal("SIGTERM"); // at once: what has collected is written at the end
    expect(await process_.exited).toEqual({ code: 0, signal: null });
    expect(linesOf(file)).toEqual(["/one 200 -"]);
  });
});

/**
 * Nobody notices a reload: of the application, by `postern reload`, and of the web server in front of it, behind every
 * web server with the configuration that `postern config` writes, while clients ask without a pause.
 */
import { describe, expect, it } from "vitest";
import { describe as describeFailure, loadApplication, underLoad } from "../support/e2e/load.ts";
import { type TestManager, withManager } from "../support/e2e/manager.ts";
import "../support/e2e/observed.ts";
import { isSpawnedBy } from "../support/e2e/failing.ts";
import { COLUMNS, type Column, missingFor, SERVERS } from "../support/e2e/sites.ts";
import { notice } from "../support/notice.ts";
import { isThorough } from "../support/thorough.ts";
import { externalAt, startGenerated } from "../support/web-servers/generated.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const TIMEOUT_MS = 180_000;
const CLIENTS = 6;
const RELOADS = 3;

/** Servers that keep connections to the application. Without everything, only those: it is the harder case. */
const KEEPS: ReadonlySet<string> = new Set(["nginx", "apache", "haproxy", "h2o"]);

/** Servers that are not reloaded here, and why. */
const STAYS: Readonly<Record<string, string>> = {
  caddy: "Caddy is reloaded over its admin interface, which the configuration of the tests turns off",
  haproxy: "HAProxy is reloaded by its master process, and the configuration of the tests has none",
  h2o: "h2o is reloaded by a program beside it (start_server)",
};

/**
 * Those that may send a request into a kept connection while it is being closed, and do not repeat it. FastCGI has no
 * word for "the last answer on this connection"; nginx understands one all the same (docs/adr/0012-fairness.md).
 */
const LOSES: ReadonlySet<string> = new Set(["apache", "haproxy", "h2o"]);
/** Each worker that goes closes as many connections as there are clients, at the most. */
const MOST_LOST = RELOADS * 2 * CLIENTS;

// The newest releases only where everything is tested.
for (const column of COLUMNS.filter((name) => isThorough || !name.endsWith("current"))) {
  // mod_fcgid ends the processes that it starts: e2e/spawned-by-servers.test.ts.
  if (isSpawnedBy(column)) continue;
  const [server] = SERVERS[column];
  const ways = KEEPS.has(server) ? (isThorough ? [true, false] : [true]) : [false];
  for (const isKept of ways) {
    const title = `site | ${column} | root unix${isKept ? " keep-alive" : ""}, reload`;
    const missing = missingFor({ column });
    if (missing === undefined) describe(title, () => reloadsOf(column, isKept));
    else if (process.env["CI"]) it(title, () => expect.fail(missing));
    else {
      notice(`skipped "${title}": ${missing}`);
      describe.skip(title, () => reloadsOf(column, isKept));
    }
  }
}

async function inScene(
  column: Column,
  isKept: boolean,
  play: (manager: TestManager, web: WebServer) => Promise<void>,
): Promise<void> {
  const [server, release] = SERVERS[column];
  const program = (): string => loadApplication("first");
  await withManager({ program, flags: ["--workers", "2"] }, async (manager) => {
    const application = externalAt({ unix: manager.socket });
    const web = await startGenerated(server, { application, isKeptAlive: isKept }, release);
    try {
      await play(manager, web);
    } finally {
      await web.stop();
    }
  });
}

function reloadsOf(column: Column, isKept: boolean): void {
  const [server] = SERVERS[column];

  it(
    "reload: the application is reloaded under load, and no request is lost",
    async ({ task }) => {
      await inScene(column, isKept, async (manager, web) => {
        task.meta.version = web.version;
        const ended = await underLoad({ url: web.url, clients: CLIENTS }, async (load) => {
          for (let round = 1; round <= RELOADS; round++) {
            manager.deploy(loadApplication(`v${round}`));
            expect(await manager.reload()).toMatchObject({ ok: true });
            await load.answersFrom(`v${round}`);
          }
          // The workers of before are gone: whatever they could lose is lost.
          await manager.waitForPool(({ workers }) => workers.length === 2, "two workers");
        });
        notice(
          `  ${RELOADS} reloads, ${task.suite?.name}: ${ended.answered.size} answered, ${ended.failed.length} failed`,
        );
        if (isKept && LOSES.has(server)) {
          task.meta.observed = "a few may be";
          task.meta.because = "a request that is sent into a kept connection while the application closes it";
          expect(ended.failed.length, ended.failed.map(describeFailure).join()).toBeLessThanOrEqual(
            MOST_LOST,
          );
          expect(ended.answered.size).toBeGreaterThan(MOST_LOST);
          return;
        }
        expect(ended.failed.map(describeFailure), web.errorLog().slice(-3000)).toEqual([]);
      });
    },
    TIMEOUT_MS,
  );

  const why = STAYS[server];
  if (why !== undefined) {
    it("what is left out has a reason", ({ task }) => {
      task.meta.left = { "reload: the web server is reloaded under load, and no request is lost": why };
      expect(why).not.toBe("");
    });
    return;
  }
  it(
    "reload: the web server is reloaded under load, and no request is lost",
    async ({ task }) => {
      await inScene(column, isKept, async (_manager, web) => {
        task.meta.version = web.version;
        // A connection for each request: one that crosses the close of a kept connection is lost in HTTP.
        const options = { url: web.url, clients: CLIENTS, isKeptAlive: false };
        const ended = await underLoad(options, async (load) => {
          await web.reload();
          await load.more(50);
        });
        notice(
          `  web server reloaded, ${task.suite?.name}: ${ended.answered.size} answered, ${ended.failed.length} failed`,
        );
        expect(ended.failed.map(describeFailure), web.errorLog().slice(-3000)).toEqual([]);
      });
    },
    TIMEOUT_MS,
  );
}

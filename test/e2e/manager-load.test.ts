/**
 * Nobody notices: real web servers under load while the manager reloads, scales, replaces and loses workers. Web
 * servers ask an application only once here, so that nothing hides behind their second try. Every request has an id;
 * what fails is compared with what the log says was lost.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { begunIn, describe, type Load, loadApplication, underLoad } from "../support/e2e/load.ts";
import { type TestManager, withManager } from "../support/e2e/manager.ts";
import { type Site, startSite, titleOf } from "../support/e2e/served.ts";
import { notice } from "../support/notice.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const ONCE = "fastcgi_next_upstream off;";
const PER_REQUEST: Site = { web: "nginx", transport: "unix", mount: "", directives: ONCE };
const KEPT: Site = { ...PER_REQUEST, keepConn: true };
const APACHE: Site = { web: "apache", transport: "unix", mount: "" };
const LIGHTTPD: Site = { web: "lighttpd", transport: "unix", mount: "" };

const TIMEOUT_MS = 180_000;
const CLIENTS = 6;

interface Scene {
  readonly manager: TestManager;
  readonly web: WebServer;
  deploy(version: string): void;
  /** The ids whose handler had begun, and in which process. */
  begun(): Map<string, number>;
}

async function inScene(
  site: Site,
  flags: readonly string[],
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const fileIn = (folder: string): string => join(folder, "begun");
  const program = (folder: string): string => loadApplication("first", fileIn(folder));
  await withManager({ program, flags }, async (manager) => {
    const file = fileIn(manager.folder);
    const web = await startSite(site, { unix: manager.socket });
    const deploy = (version: string): void => manager.deploy(loadApplication(version, file));
    try {
      await play({ manager, web, deploy, begun: () => begunIn(file) });
    } finally {
      await web.stop();
    }
  });
}

function load({ web }: Scene, work: (load: Load) => Promise<void>): Promise<Load> {
  return underLoad({ url: web.url, clients: CLIENTS }, work);
}

function tell(title: string, { answered, failed, versions }: Load): void {
  notice(`  ${title}: ${answered.size} answered by ${versions.size} versions, ${failed.length} failed`);
}

function expectNoFailure({ failed }: Load, { web, manager }: Scene): void {
  expect(failed.map(describe), web.errorLog().slice(-3000)).toEqual([]);
  expect(manager.log()).not.toContain("request lost with its worker");
}

/** What the log says was lost: ids, and the worker each was in. */
function lostIn(log: string): Map<string, number> {
  const lines = log.matchAll(/request lost with its worker: (?:GET|POST) \S*[?&]id=(\w+)\S*.*?\bpid=(\d+)/g);
  return new Map([...lines].map(([, id = "", pid]): [string, number] => [id, Number(pid)]));
}

/**
 * Compares what failed with what the log says. Requests that the kernel had given to a worker and it never read are
 * not known to anybody but the web server: they are counted and told.
 */
async function expectOnlyTheLost(
  title: string,
  { failed, answered }: Load,
  { manager, web, begun: begunIds }: Scene,
  kills: ReadonlyMap<number, number>,
): Promise<void> {
  const begun = begunIds();
  const lost = lostIn(manager.log());
  const failedIds = new Set(failed.map(({ id }) => id));
  const unlogged = failed.filter(({ id }) => begun.has(id) && !lost.has(id));
  expect(unlogged.map(describe), web.errorLog().slice(-3000)).toEqual([]);
  for (const [id, pid] of lost) {
    expect(kills.has(pid), `${id} was lost in ${pid}, which was not killed`).toBe(true);
    expect([pid, undefined]).toContain(begun.get(id));
    // Answered in the very moment of the kill, which nobody can tell from before it; not long ago.
    if (!failedIds.has(id)) expect(answered.get(id)).toBeGreaterThan(kills.get(pid)! - 5000);
  }
  for (const pid of kills.keys()) {
    expect([...lost.values()].filter((one) => one === pid).length).toBeLessThanOrEqual(CLIENTS);
  }
  expect((await manager.pool()).lostRequests).toBe(lost.size);
  const unread = failed.filter(({ id }) => !begun.has(id) && !lost.has(id));
  const answeredToo = [...lost.keys()].filter((id) => !failedIds.has(id));
  notice(
    `  ${title}: ${answered.size} answered, ${failed.length} failed with ${kills.size} workers killed; ` +
      `${lost.size} logged as lost (${answeredToo.length} of them answered at that moment), ` +
      `${unread.length} failed that no worker had read: ${complaintsOf(web)}`,
  );
}

/** What nginx says of requests that failed, and how often. */
function complaintsOf(web: WebServer): string {
  const counts = new Map<string, number>();
  for (const [, why = ""] of web.errorLog().matchAll(/\[error\] .*?\*\d+ (.*?), client:/g)) {
    counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  return [...counts].map(([why, count]) => `${count} times "${why}"`).join(", ");
}

/** Kills a worker that serves, and waits until the manager knows. It may have been told to go meanwhile. */
async function killOne(manager: TestManager, kills: Map<number, number>): Promise<void> {
  for (;;) {
    const { workers } = await manager.waitForPool(isServing, "a worker that serves");
    const ready = workers.filter(({ stage }) => stage === "ready");
    const { pid } = ready[Math.floor(Math.random() * ready.length)]!;
    const from = manager.logLength();
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      continue; // it was faster
    }
    kills.set(pid, Date.now());
    await manager.waitForLog(
      new RegExp(`worker (ended unexpectedly|was ended|ended): .*\\bpid=${pid}\\b`),
      from,
    );
    return;
  }
}

function isServing({ workers }: { workers: readonly { stage: string }[] }): boolean {
  return workers.some(({ stage }) => stage === "ready");
}

function hasExactly(count: number): (pool: { workers: readonly { stage: string }[] }) => boolean {
  return ({ workers }) => workers.length === count && workers.every(({ stage }) => stage === "ready");
}

async function reloadTimes(count: number, site: Site): Promise<void> {
  await inScene(site, ["--workers", "2"], async (scene) => {
    const { manager } = scene;
    const ended = await load(scene, async (running) => {
      for (let round = 1; round <= count; round++) {
        scene.deploy(`v${round}`);
        expect(await manager.reload()).toMatchObject({ ok: true });
        await running.answersFrom(`v${round}`);
      }
    });
    tell(`${count} reloads, ${titleOf(site)}`, ended);
    expectNoFailure(ended, scene);
    expect((await manager.pool()).generation).toBe(count + 1);
    await manager.waitForPool(hasExactly(2), "the old workers to be gone");
  });
}

describeWithServer("nginx", "Reload under load behind nginx", () => {
  it("loses no request in ten reloads, a connection each", () => reloadTimes(10, PER_REQUEST), TIMEOUT_MS);
  it("loses no request in twenty reloads over kept connections", () => reloadTimes(20, KEPT), TIMEOUT_MS);
});

describeWithServer("apache", "Reload under load behind Apache", () => {
  it("loses no request in five reloads", () => reloadTimes(5, APACHE), TIMEOUT_MS);
});

describeWithServer("lighttpd", "Reload under load behind lighttpd", () => {
  it("loses no request in five reloads", () => reloadTimes(5, LIGHTTPD), TIMEOUT_MS);
});

describeWithServer("nginx", "Other changes under load", () => {
  it.each([PER_REQUEST, KEPT])(
    "more and fewer workers, by command and by signal, lose no request ($keepConn)",
    async (site) => {
      await inScene(site, ["--workers", "2"], async (scene) => {
        const { manager } = scene;
        const ended = await load(scene, async (running) => {
          for (const count of [4, 1, 3]) {
            expect(await manager.scale(count)).toMatchObject({ ok: true });
            await manager.waitForPool(hasExactly(count), `${count} workers`);
            await running.more(20);
          }
          manager.running.signal("SIGTTIN");
          await manager.waitForPool(hasExactly(4), "one worker more");
          manager.running.signal("SIGTTOU");
          await manager.waitForPool(hasExactly(3), "one worker less");
        });
        tell(`2, 4, 1, 3, 4, 3 workers, ${titleOf(site)}`, ended);
        expectNoFailure(ended, scene);
      });
    },
    TIMEOUT_MS,
  );

  it.each([PER_REQUEST, KEPT])(
    "workers replaced after some requests lose none ($keepConn)",
    async (site) => {
      await inScene(site, ["--workers", "2", "--max-requests", "150"], async (scene) => {
        const { manager } = scene;
        const ended = await load(scene, async () => {
          await manager.waitForPool(({ workersStarted }) => workersStarted >= 8, "six replacements");
        });
        tell(`replaced after 150 requests, ${titleOf(site)}`, ended);
        expectNoFailure(ended, scene);
        expect(manager.log()).toContain("reason=maxRequests");
        expect((await manager.pool()).workersCrashed).toBe(0);
      });
    },
    TIMEOUT_MS,
  );

  it.each([PER_REQUEST, KEPT])(
    "what was in a killed worker is in the log, and nothing else fails ($keepConn)",
    async (site) => {
      await inScene(site, ["--workers", "3"], async (scene) => {
        const { manager } = scene;
        const kills = new Map<number, number>();
        const ended = await load(scene, async (running) => {
          for (let round = 0; round < 6; round++) {
            await killOne(manager, kills);
            await running.more(40);
          }
          await manager.waitForPool(hasExactly(3), "three workers again");
        });
        await expectOnlyTheLost(`killed at random, ${titleOf(site)}`, ended, scene, kills);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "everything at once loses only what was in killed workers",
    async () => {
      await inScene(KEPT, ["--workers", "2", "--max-requests", "300"], async (scene) => {
        const { manager } = scene;
        const kills = new Map<number, number>();
        const ended = await load(scene, async (running) => {
          for (let round = 1; round <= 4; round++) {
            scene.deploy(`v${round}`);
            const reload = manager.reload();
            await manager.scale(round % 2 === 0 ? "-1" : "+1");
            expect(await reload).toMatchObject({ ok: true });
            await killOne(manager, kills);
            await running.answersFrom(`v${round}`);
          }
        });
        await expectOnlyTheLost("reloads, scaling, replacing and killing", ended, scene, kills);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "with every worker dead requests wait, and the next worker answers them",
    async () => {
      await inScene(PER_REQUEST, ["--workers", "2"], async (scene) => {
        const { manager, web } = scene;
        const kills = new Map<number, number>();
        const ended = await load(scene, async (running) => {
          const from = manager.logLength();
          manager.deploy('throw new Error("the database is away");\n');
          for (const { pid } of await manager.workers("ready")) {
            kills.set(pid, Date.now());
            process.kill(pid, "SIGKILL");
          }
          const crashed = /ended before it was ready/;
          await waitFor(
            () =>
              manager
                .log()
                .split("\n")
                .slice(from)
                .filter((line) => crashed.test(line)).length >= 4,
            { timeoutMs: 60_000, what: "four starts to have failed", evidence: manager.log },
          );
          await manager.waitForPool(
            ({ listenQueue }) => listenQueue === undefined || listenQueue > 0,
            "a queue",
          );
          scene.deploy("mended");
          await running.answersFrom("mended");
        });
        expect(manager.log()).toContain("the database is away");
        await expectOnlyTheLost("every worker dead for a while", ended, scene, kills);
        // All were at work or waited; no more than each client's one can have been inside.
        expect(ended.failed.length, web.errorLog().slice(-3000)).toBeLessThanOrEqual(CLIENTS);
      });
    },
    TIMEOUT_MS,
  );
});

const BROKEN = [
  ["a syntax error", "export default (req, res) => {\n  res.end(;\n};\n", /app\.mjs:2[\s\S]*SyntaxError/],
  ["an exception", 'const a = 1;\n\nthrow new Error("no database");\n', /no database[\s\S]*app\.mjs:3/],
  ["a wait for nothing", "await new Promise(() => {});\nexport default () => {};\n", /never settles/],
  ["no end of its start", "setInterval(() => {}, 9);\nawait new Promise(() => {});\n", /readyTimeout/],
] as const;

describeWithServer("nginx", "A bad deployment under load", () => {
  it(
    "is refused with the place of the fault, while the old workers go on",
    async () => {
      await inScene(KEPT, ["--workers", "2", "--ready-timeout", "8s"], async (scene) => {
        const { manager } = scene;
        const ended = await load(scene, async (running) => {
          for (const [what, source, place] of BROKEN) {
            const before = (await manager.workers("ready")).map(({ pid }) => pid);
            manager.deploy(source);
            const { code, stdout, stderr } = await manager.cli("reload");
            expect({ what, code, told: stdout + stderr }).toEqual({
              what,
              code: 1,
              told: expect.stringMatching(place) as string,
            });
            await running.answersFrom("first");
            expect((await manager.workers("ready")).map(({ pid }) => pid)).toEqual(before);
            expect((await manager.status()).lastReloadError).toMatch(place);
          }
          scene.deploy("good");
          expect((await manager.cli("reload")).code).toBe(0);
          await running.answersFrom("good");
        });
        tell("four bad deployments and a good one", ended);
        expectNoFailure(ended, scene);
        expect((await manager.status()).lastReloadError).toBeUndefined();
      });
    },
    TIMEOUT_MS,
  );
});

/**
 * Programs that a web server or starter ends: by its own stop and reload, because they have been idle or have served their
 * share, and by a signal to one of them. What is under way and what arrives is answered.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { begunIn, describe as describeFailure, type Load, underLoad } from "../support/e2e/load.ts";
import { makeProgram, PATIENT, type Program } from "../support/e2e/spawned-program.ts";
import {
  type SpawnOptions,
  type Started,
  type Starter,
  signal,
  starterNamed,
  supervisorctl,
} from "../support/e2e/spawned-starters.ts";
import { isThorough } from "../support/thorough.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import "../support/e2e/observed.ts";

const LONG = { timeout: patience(180_000) };
/** How often something is ended under load. */
const TIMES = isThorough ? 4 : 2;

function describeWith(starter: Starter, title: string, tests: () => void): void {
  if (starter.isCurrent) describeWithCurrent("lighttpd", title, tests);
  else describeWithServer(starter.needs, title, tests);
}

interface Running {
  readonly program: Program;
  readonly started: Started;
}

/** Runs `test` with a program that serves. */
async function running(
  column: string,
  options: SpawnOptions,
  test: (both: Running) => Promise<void>,
): Promise<void> {
  const program = await makeProgram();
  await using started = await starterNamed(column).start(program, options);
  await waitFor(async () => (await started.ask("/")).status === 200, { ...PATIENT, evidence: started.log });
  await test({ program, started });
}

/** Load on connections of their own: those to a web server that is reloaded are its own business. */
async function nothingLost({ started }: Running, work: (load: Load) => Promise<void>): Promise<Load> {
  const load = await underLoad({ url: started.url, clients: 6, isKeptAlive: false }, work);
  expect(load.failed.map(describeFailure), started.log()).toEqual([]);
  return load;
}

/** A request that is open until `finish`: what becomes of it. */
async function openRequest({ program, started }: Running): Promise<{ finish(): Promise<string> }> {
  const name = `go-${program.started().length}`;
  const answer = started.ask(`/wait?until=${name}`, 60_000).then(
    ({ status, text }) => `${status} ${text.replace(/\d+/, "PID")}`,
    (error: Error) => error.message,
  );
  await program.waiting(name);
  return {
    finish() {
      program.open(name);
      return answer;
    },
  };
}

/** Waits until this process has answered a request. */
async function untilUsed(program: Program, pid: number, evidence: () => string): Promise<void> {
  await waitFor(() => [...begunIn(join(program.folder, "begun.txt")).values()].includes(pid), {
    ...PATIENT,
    what: `a request in process ${pid}`,
    evidence,
  });
}

const RELOADS = [
  // mod_fcgid repeats its TERM after 1.3 s, while requests are still open.
  ["Apache mod_fcgid", "SIGUSR1", /the same signal again: still draining/],
  ["lighttpd", "SIGUSR1", /graceful shutdown started/],
  ["lighttpd current", "SIGUSR1", /graceful shutdown started/],
] as const;
for (const [column, reload, isUnderWay] of RELOADS) {
  describeWith(starterNamed(column), `site | ${column} | spawned unix, load`, () => {
    it("started: a graceful restart of the web server loses no request", LONG, async () => {
      await running(column, { processes: 4 }, async (both) => {
        const { program, started } = both;
        const open = await openRequest(both);
        const before = program.started();
        await nothingLost(both, async (load) => {
          started.starter.signal(reload);
          await started.untilLogged(isUnderWay);
          expect(await open.finish(), started.log()).toBe("200 waited in PID");
          await program.untilGone(before, started.log);
          await program.untilStarted(before.length + 1, started.log);
          await load.more(50);
        });
        for (const pid of before) expect(program.exitCode(pid)).toBe(0);
      });
    });
  });
}

const STOPS = [
  ["Apache mod_fcgid", "SIGWINCH", /shutting down gracefully/],
  ["lighttpd", "SIGINT", /graceful shutdown started/],
  ["lighttpd current", "SIGINT", /graceful shutdown started/],
  ["h2o", "SIGTERM", /gracefully shutting down/],
] as const;
for (const [column, stop, isUnderWay] of STOPS) {
  describeWith(starterNamed(column), `site | ${column} | spawned unix, stop`, () => {
    it("started: a graceful stop of the web server lets the request under way end", LONG, async () => {
      await running(column, {}, async (both) => {
        const { program, started } = both;
        const open = await openRequest(both);
        started.starter.signal(stop);
        await started.untilLogged(isUnderWay);
        expect(await open.finish(), started.log()).toBe("200 waited in PID");
        await started.starter.exited;
        await program.untilGone(program.started(), started.log);
      });
    });
  });
}

const FCGID = [
  [
    "processes that have been idle are ended, and no request is lost",
    "FcgidIdleTimeout 1\nFcgidIdleScanInterval 1\n",
  ],
  [
    "processes that have lived long enough are ended, and no request is lost",
    "FcgidProcessLifeTime 1\nFcgidIdleScanInterval 1\n",
  ],
  [
    "processes that have served their share are ended, and no request is lost",
    "FcgidMaxRequestsPerProcess 20\nFcgidSpawnScoreUpLimit 1000\n",
  ],
] as const;
describeWith(starterNamed("Apache mod_fcgid"), "site | Apache mod_fcgid | spawned unix, ends", () => {
  it.each(FCGID)("started: %s", LONG, async (_, more) => {
    await running("Apache mod_fcgid", { processes: 6, more }, async (both) => {
      const { program, started } = both;
      // Five at once, of which the load needs two.
      const busy = Array.from({ length: 5 }, () => started.ask("/wait?until=five"));
      await program.untilStarted(5, started.log);
      program.open("five");
      await Promise.all(busy);
      const ended = (): number => program.started().filter((pid) => program.exitCode(pid) === 0).length;
      const load = await underLoad({ url: started.url, clients: 2, isKeptAlive: false }, async () => {
        await waitFor(() => ended() >= 2, {
          timeoutMs: 60_000,
          what: "two to be ended",
          evidence: started.log,
        });
      });
      expect(load.failed.map(describeFailure), started.log()).toEqual([]);
    });
  });
});

/** How one of several processes on one socket is ended, and replaced. */
const ENDS: readonly (readonly [
  column: string,
  canReplace: boolean,
  end: (both: Running, pid: number) => Promise<void>,
])[] = [
  ["spawn-fcgi", false, async (_, pid) => signal(pid, "SIGTERM")],
  ["multiwatch", true, async (_, pid) => signal(pid, "SIGTERM")],
  [
    "supervisor",
    true,
    async ({ program, started }, pid) => {
      const lines = await supervisorctl(started, "status");
      const name = new RegExp(`^(\\S+) .*pid ${pid},`, "m").exec(lines)?.[1];
      expect(name, `${lines}\n${program.started().join()}`).toBeDefined();
      await supervisorctl(started, "restart", name ?? "");
    },
  ],
];
for (const [column, canReplace, end] of ENDS) {
  describeWith(starterNamed(column), `site | ${column} | spawned unix, one ends`, () => {
    it("started: one of several processes is told to end, and no request is lost", LONG, async () => {
      await running(column, { processes: canReplace ? 2 : TIMES + 1 }, async (both) => {
        const { program, started } = both;
        await program.untilStarted(canReplace ? 2 : TIMES + 1, started.log);
        await nothingLost(both, async (load) => {
          for (let time = 1; time <= TIMES; time++) {
            const pid = program.alive()[0] ?? 0;
            const count = program.started().length;
            await end(both, pid);
            await program.untilGone([pid], started.log);
            expect(program.exitCode(pid)).toBe(0);
            if (canReplace) {
              await program.untilStarted(count + 1, started.log);
              await untilUsed(program, program.started().at(-1) ?? 0, started.log);
            }
            await load.more(50);
          }
        });
      });
    });
  });
}

/** Whether whoever has started it keeps the socket open until the program has ended. */
const ALONE: readonly (readonly [column: string, isHeld: boolean])[] = [
  ["spawn-fcgi", false],
  ["multiwatch", true],
  ["supervisor", true],
  ["systemd-socket-activate", false],
  ["systemd-socket-activate --inetd", false],
];
for (const [column, isHeld] of ALONE) {
  describeWith(starterNamed(column), `site | ${column} | spawned unix, stop`, () => {
    it("started: a stop lets the request under way end", LONG, async (ctx) => {
      await running(column, { processes: 1 }, async (both) => {
        const { program, started } = both;
        const open = await openRequest(both);
        const [pid = 0] = program.alive();
        // spawn-fcgi has long gone.
        if (column === "spawn-fcgi") signal(pid, "SIGTERM");
        else started.starter.signal("SIGTERM");
        if (isHeld) await untilStopping(started);
        else ctx.task.meta.observed = String(await refused(started));
        expect(await open.finish(), started.log()).toBe("200 waited in PID");
        await program.untilGone([pid], started.log);
        expect(program.exitCode(pid)).toBe(0);
      });
    });
  });
}

async function untilStopping(started: Started): Promise<void> {
  await started.untilLogged(/draining signal=SIG(?:TERM|QUIT) openRequests=1/);
}

/** The socket is closed at once, not when the program ends, so that the web server can turn to another. */
function refused(started: Started): Promise<number> {
  const ask = async (): Promise<number> => {
    const { status } = await started.ask("/after");
    return status === 200 ? 0 : status;
  };
  return waitFor(ask, { ...PATIENT, what: "the socket to be closed", evidence: started.log });
}

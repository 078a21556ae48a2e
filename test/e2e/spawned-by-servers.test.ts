/**
 * One `.fcgi` program, started by everything that starts such programs: that it serves, where its messages go, and what
 * becomes of visitors when it crashes, cannot start, starts slowly, or loses whoever has started it.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeProgram, PATIENT, type Program } from "../support/e2e/spawned-program.ts";
import {
  STARTERS,
  type Started,
  type Starter,
  signal,
  starterNamed,
  startSupervisor,
  writableFolder,
} from "../support/e2e/spawned-starters.ts";
import { descendantsOf, get } from "../support/e2e/supervised.ts";
import { readDocument } from "../support/markdown.ts";
import { start } from "../support/process.ts";
import { isThorough } from "../support/thorough.ts";
import { patience, waitFor, waitForFileLine } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import { serverUser } from "../support/web-servers/web-server.ts";
import "../support/e2e/observed.ts";

const LONG = { timeout: patience(120_000) };

function describeWith(starter: Starter, title: string, tests: () => void): void {
  if (starter.isCurrent) describeWithCurrent("lighttpd", title, tests);
  else describeWithServer(starter.needs, title, tests);
}

/** Those that differ from another in little are for CI. */
const tested = STARTERS.filter(
  ({ column, isCurrent }) => isThorough || !(isCurrent || column.endsWith("--inetd")),
);

for (const starter of tested) {
  describeWith(starter, `site | ${starter.column} | spawned unix`, () => {
    describe("a program that serves", () => {
      let program: Program;
      let started: Started;
      let startsBefore = 0;
      let fds: Readonly<Record<string, string>> = {};

      beforeAll(async () => {
        program = await makeProgram();
        started = await starter.start(program, { processes: 1, timeoutSeconds: 5 });
        if (starter.begins === "at once") await program.untilStarted(1, started.log);
        startsBefore = program.started().length;
      }, LONG.timeout);
      afterAll(() => started[Symbol.asyncDispose]());

      it("started: serves on the socket that it is given, in its own folder", LONG, async (ctx) => {
        ctx.task.meta.version = started.version;
        const answer = await started.ask("/started");
        expect(answer.status, started.log()).toBe(200);
        const { cwd, env, ...rest } = JSON.parse(answer.text) as {
          readonly cwd: string;
          readonly env: Readonly<Record<string, string>>;
          readonly fds: Readonly<Record<string, string>>;
        };
        fds = rest.fds;
        expect(cwd).toBe(program.folder);
        expect(env["NODE_ENV"]).toBe("production");
        // Everything that tests start has this one.
        expect("POSTERN_TEST_RUN" in env).toBe(starter.environment === "the starter's");
        expect(fds["0"]).toMatch(starter.column === "systemd-socket-activate" ? /^\/dev\/null$/ : /^socket:/);
      });

      it("started: with the first request, or before any", (ctx) => {
        ctx.task.meta.observed = startsBefore === 0 ? "with the first request" : "at once";
        expect(ctx.task.meta.observed).toBe(starter.begins);
      });

      it("started: what it tells the web server is in the web server's log", LONG, async () => {
        expect((await started.ask("/say")).text).toMatch(/^said by \d+$/);
        await started.untilLogged(/said to the web server/);
      });

      it("started: what it prints is in a log", LONG, async (ctx) => {
        ctx.task.meta.observed = starter.output;
        if (starter.output === "a log") await started.untilLogged(/said on stderr/);
        else expect(fds["2"]).toBe("/dev/null");
      });

      it(
        "started: a request in which it crashes is answered with an error, and the next one is served",
        LONG,
        async (ctx) => {
          const before = program.started().length;
          const crash = await started.ask("/crash");
          expect([500, 502, 503]).toContain(crash.status);
          await program.untilGone(program.started(), started.log);
          const next = await started.ask("/next");
          if (starter.crash === "started again") {
            ctx.task.meta.observed = "200";
            await waitFor(async () => (await started.ask("/next")).status === 200, {
              ...PATIENT,
              evidence: started.log,
            });
            expect(program.started().length).toBeGreaterThan(before);
          } else {
            ctx.task.meta.observed = String(next.status);
            expect(starter.broken).toContain(next.status);
            expect(program.started().length).toBe(before);
          }
        },
      );
    });

    it(
      "started: one that cannot start is an error for the visitor, and the reason is in a log",
      LONG,
      async (ctx) => {
        const program = await makeProgram();
        program.begin("throws");
        await using started = await starter.start(program, { processes: 1, timeoutSeconds: 2 });
        if (starter.begins === "at once") {
          await program.untilStarted(1, started.log);
          await program.untilGone(program.started().slice(0, 1), started.log);
        }
        const { status } = await started.ask("/");
        ctx.task.meta.observed = String(status);
        expect(starter.broken, started.log()).toContain(status);
        if (starter.output === "a log") await started.untilLogged(/Error: the database is not there/);
      },
    );

    it("started: requests wait for one that starts slowly", LONG, async () => {
      const program = await makeProgram();
      program.begin("waits");
      await using started = await starter.start(program, { processes: 1 });
      if (starter.begins === "at once") await program.untilStarted(1, started.log);
      const answers = [started.ask("/a"), started.ask("/b")];
      await program.untilStarted(1, started.log);
      program.open("go");
      for (const { status, text } of await Promise.all(answers)) {
        expect([status, text.slice(0, 10)], started.log()).toEqual([200, "hello from"]);
      }
    });
  });
}

for (const column of ["Apache mod_fcgid", "lighttpd", "spawn-fcgi", "systemd-socket-activate"]) {
  const starter = starterNamed(column);
  describeWith(starter, `site | ${column} | spawned unix, CommonJS`, () => {
    it("started: the program may be a file of one line with Node above it", LONG, async () => {
      const program = await makeProgram({ form: "node" });
      await using started = await starter.start(program, { processes: 1 });
      if (starter.begins === "at once") await program.untilStarted(1, started.log);
      const answer = await started.ask("/x");
      expect([answer.status, answer.text.slice(-2)], started.log()).toEqual([200, "/x"]);
    });
  });
}

// Those that start no program again can start the manager, which does.
for (const column of ["h2o", "spawn-fcgi"]) {
  const starter = starterNamed(column);
  describeWith(starter, `site | ${column} | spawned unix, manager`, () => {
    it("started: with the manager as the program, a crash is mended", LONG, async () => {
      const program = await makeProgram({ form: "manager" });
      await using started = await starter.start(program, { processes: 1 });
      await program.untilStarted(1, started.log);
      const { ppid: manager } = JSON.parse((await started.ask("/started")).text) as { readonly ppid: number };
      try {
        expect((await started.ask("/crash")).status).toBeGreaterThanOrEqual(500);
        const answer = await started.ask("/next");
        expect([answer.status, answer.text.slice(-5)], started.log()).toEqual([200, "/next"]);
      } finally {
        signal(manager, "SIGTERM");
        await program.untilGone([manager, ...program.alive()], started.log);
      }
    });
  });
}

for (const column of ["lighttpd", "lighttpd current"]) {
  const starter = starterNamed(column);
  describeWith(starter, `site | ${column} | spawned unix, breakagelog`, () => {
    it(
      "started: what it prints is in a file of its own, where the web server is told one",
      LONG,
      async () => {
        const program = await makeProgram();
        const file = join(program.folder, "programs.log");
        writeFileSync(file, "");
        chmodSync(file, 0o666);
        const more = `\nserver.breakagelog = "${file}"\n`;
        await using started = await starter.start(program, { processes: 1, more });
        await started.ask("/say");
        await waitForFileLine(file, /said on stderr/, PATIENT);
      },
    );
  });
}

/** What the page calls /run/yourapplication and so on, and the accounts that only root may change to. */
function moved(text: string, program: Program, run: string): string {
  const here = text
    .replaceAll("/var/www/yourapplication", program.folder)
    .replaceAll("/run/yourapplication", run)
    .replaceAll("/var/log/supervisor", run)
    .replaceAll("/usr/bin/multiwatch", programOf("multiwatch"));
  if (serverUser() !== undefined) return here;
  return here.replaceAll(/-[ug] www-data /g, "").replaceAll(/^(?:socket_owner|user)=.*\n/gm, "");
}

const page = readDocument("docs/starters.md");
for (const block of page.blocks) {
  const column = /starts=(\S+)/.exec(block.info)?.[1];
  if (column === undefined) continue;
  const { needs } = starterNamed(column);
  describeWithServer(needs, `${block.file}:${block.line}`, () => {
    it(`starts a program with ${column}`, LONG, async () => {
      const program = await makeProgram();
      const run = writableFolder();
      const text = moved(block.text, program, run);
      const running = column === "supervisor" ? startSupervisor(text) : start("sh", ["-c", `exec ${text}`]);
      const socket = join(run, "app.sock");
      try {
        const answer = await waitFor(() => get(`unix:${socket}`, "/x").catch(() => undefined), {
          ...PATIENT,
          what: "an answer",
          evidence: running.output,
        });
        expect([answer.status, answer.text.slice(0, 10)]).toEqual([200, "hello from"]);
        // All of them, or one that is still loading is overlooked below.
        const count = Number(/(?:-[Ff] |numprocs=)(\d+)/.exec(text)?.[1] ?? 1);
        await program.untilServing(count, running.output);
      } finally {
        await running.stop({ graceMs: 20_000 });
        for (const pid of program.alive()) signal(pid, "SIGTERM");
        await program.untilGone(program.started(), running.output);
      }
    });
  });
}

// What is left of them is killed as well: of Apache the process that has started the program. Not what h2o has for
// this: a process that ends its programs.
for (const column of ["Apache mod_fcgid", "lighttpd", "h2o", "supervisor", "multiwatch"]) {
  const starter = starterNamed(column);
  describeWith(starter, `site | ${column} | spawned unix, killed`, () => {
    it("started: it finishes its requests and ends when whoever started it is killed", LONG, async () => {
      const program = await makeProgram();
      await using started = await starter.start(program, { processes: 2 });
      await waitFor(async () => (await started.ask("/")).status === 200, PATIENT);
      await program.untilServing(starter.begins === "at once" && column !== "h2o" ? 2 : 1);
      const programs = program.alive();
      const left = column === "h2o" ? [] : descendantsOf(started.starter.pid);
      const others = left.filter((pid) => !programs.includes(pid));
      for (const pid of [started.starter.pid, ...others]) signal(pid, "SIGKILL");
      await program.untilGone(programs, started.log);
      for (const pid of programs) expect(program.exitCode(pid), started.log()).toBe(0);
    });
  });
}

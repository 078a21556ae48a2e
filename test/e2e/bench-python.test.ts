/** The comparison of servers for Python applications: that it measures all of them, or says why not. */
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { pathWith } from "../support/path-with.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

interface Entry {
  readonly work: string;
  readonly candidate: string;
  readonly measured: Readonly<Record<string, number>> | null;
  readonly toPostern: Readonly<Record<string, number>> | null;
  readonly missing?: string;
  readonly version?: string;
  readonly python: string;
  readonly nginx: string;
}

const BENCH = join(repositoryRoot, "bench", "run.mjs");
const SHORT = ["--python", "--json", "--no-install", "--rounds", "1", "--seconds", "0.05"];
const OURS = ["Postern, worker", "Postern, .fcgi file"];
const FLUP = "flup (a model of it)";
const OTHERS = ["uWSGI, FastCGI", "gunicorn sync, HTTP", "gunicorn gthread, HTTP"];
const NEEDED = ["gcc", "libc6-dev", "nginx", "python"] as const;

describeWithServer(
  [...NEEDED, "flask", "gunicorn", "uwsgi", "uwsgi-python"],
  "the comparison of servers for Python",
  () => {
    beforeAll(() => built());

    it("has every figure of every server in every work", { timeout: patience(180_000) }, async () => {
      const { code, stdout, stderr } = await run(process.execPath, [BENCH, ...SHORT], {
        timeoutMs: patience(170_000),
      });
      expect(code, stderr).toBe(0);
      const entries = JSON.parse(stdout) as Entry[];
      const works = [
        "hello",
        "hello in Flask",
        "64 KiB upload, read",
        "1 MiB response, in pieces of 16 KiB",
        "32 at once, each waits 20 ms",
      ];
      const all = works.flatMap((work) =>
        [...OURS, FLUP, ...OTHERS].map((candidate) => `${work}: ${candidate}`),
      );
      expect(entries.map(({ work, candidate }) => `${work}: ${candidate}`)).toEqual(all);
      for (const { candidate, measured, toPostern, missing, version, python, nginx } of entries) {
        expect(missing, stderr).toBeUndefined();
        for (const name of ["perSecond", "cpuUs", "nginxUs", "p50", "p99", "memoryMb", "rssMb"])
          expect(measured?.[name], `${candidate}: ${name}`).toBeGreaterThan(0);
        // Who has a manager that is no part of the application's process.
        const hasManager = candidate === OURS[0] || OTHERS.includes(candidate);
        expect((measured?.["managerMb"] ?? 0) > 1, candidate).toBe(hasManager);
        expect(toPostern?.["cpuUs"]).toBeGreaterThan(0);
        if (candidate === OURS[0]) expect(toPostern).toMatchObject({ cpuUs: 1, perSecond: 1, memoryMb: 1 });
        expect(version === undefined).toBe(!OTHERS.includes(candidate));
        expect(python).toMatch(/^3\.\d+/);
        expect(nginx).toMatch(/^1\.\d+/);
      }
    });
  },
);

describeWithServer(NEEDED, "the comparison of servers for Python, where some are missing", () => {
  beforeAll(() => built());

  it("says which, and measures the others", { timeout: patience(60_000) }, async () => {
    const { code, stdout, stderr } = await run(process.execPath, [BENCH, ...SHORT, "--only", "hello"], {
      env: { ...process.env, PATH: pathWith("gcc", "as", "ld", "taskset", "test", "nginx", "sh") },
      timeoutMs: patience(55_000),
    });
    expect(code, stderr).toBe(0);
    const entries = JSON.parse(stdout) as Entry[];
    expect(entries.filter(({ measured }) => measured !== null).map(({ candidate }) => candidate)).toEqual([
      ...OURS,
      FLUP,
    ]);
    const missing = entries.filter(({ measured }) => measured === null);
    expect(missing.map(({ candidate, toPostern }) => [candidate, toPostern])).toEqual(
      OTHERS.map((name) => [name, null]),
    );
    expect(missing.map(({ missing }) => missing)).toEqual([
      expect.stringMatching(/^uwsgi: .*uwsgi-core/),
      expect.stringMatching(/^gunicorn: .*gunicorn/),
      expect.stringMatching(/^gunicorn: .*gunicorn/),
    ]);
  });

  it("refuses a work that does not exist", async () => {
    const { code, stderr } = await run(process.execPath, [BENCH, "--python", "--only", "hello,other"]);
    expect(code).toBe(1);
    expect(stderr).toContain("there is no work other");
  });
});

/**
 * Months of deployments in a minute: workers come and go by the hundred, and the manager holds at the end what it held
 * at the beginning. `test/soak/manager.mjs` is the long form.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { countsOf, type Holdings, makeProbe, type Probe, tellHoldings } from "../support/e2e/holdings.ts";
import { type TestManager, withManager } from "../support/e2e/manager.ts";
import { notice } from "../support/notice.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";

const isLinux = existsSync("/proc/self/fd");

/** What the heap may grow by in a test, which fragmentation and compiled code account for. */
const HEAP_BYTES = 1_500_000;
const RESIDENT_BYTES = 40_000_000;

/** Looks until nothing moves any more, with so many workers. */
async function settled(manager: TestManager, probe: Probe, workers: number): Promise<Holdings> {
  await manager.waitForPool(
    (pool) => pool.workers.length === workers && pool.workers.every(({ stage }) => stage === "ready"),
    `${workers} workers and none that leaves`,
  );
  let last = await probe.look(manager.pid);
  await waitFor(
    async () => {
      const next = await probe.look(manager.pid);
      const isSame = JSON.stringify(countsOf(next)) === JSON.stringify(countsOf(last));
      last = next;
      return isSame;
    },
    { timeoutMs: 20_000, what: "the manager to hold the same twice" },
  );
  return last;
}

interface Course {
  readonly workers: number;
  readonly warmUp: number;
  readonly reloads: number;
}

async function expectNoGrowth(
  title: string,
  { workers, warmUp, reloads }: Course,
  manager: TestManager,
  probe: Probe,
): Promise<void> {
  for (let n = 0; n < warmUp; n++) expect(await manager.reload()).toMatchObject({ ok: true });
  const before = await settled(manager, probe, workers);
  const { workersStarted: startedBefore } = await manager.pool();
  for (let n = 0; n < reloads; n++) expect(await manager.reload()).toMatchObject({ ok: true });
  const after = await settled(manager, probe, workers);
  const { workersStarted } = await manager.pool();
  notice(`  ${title}, ${workersStarted - startedBefore} workers started and ended`);
  notice(`    before: ${tellHoldings(before)}`);
  notice(`    after:  ${tellHoldings(after)}`);
  expect(workersStarted - startedBefore).toBe(workers * reloads);
  expect(countsOf(after)).toEqual(countsOf(before));
  expect(after.heapBytes - before.heapBytes).toBeLessThan(HEAP_BYTES);
  expect(after.residentBytes - before.residentBytes).toBeLessThan(RESIDENT_BYTES);
}

describe.runIf(isLinux)("A manager that runs for long", () => {
  it(
    "keeps nothing of hundreds of programs in other languages",
    async () => {
      const probe = makeProbe(temporaryFolder("p"));
      const flags = ["--max-children", "20"];
      await withManager({ program: ["/bin/sleep", "1000"], flags, preload: probe.preload }, (manager) =>
        expectNoGrowth("a program", { workers: 20, warmUp: 4, reloads: 15 }, manager, probe),
      );
    },
    patience(120_000),
  );

  it(
    "keeps nothing of many JavaScript workers",
    async () => {
      const probe = makeProbe(temporaryFolder("p"));
      const program = (): string => 'export default (req, res) => res.end("hello");\n';
      const flags = ["--workers", "4"];
      await withManager({ program, flags, preload: probe.preload }, (manager) =>
        expectNoGrowth("JavaScript", { workers: 4, warmUp: 1, reloads: 5 }, manager, probe),
      );
    },
    patience(120_000),
  );

  it(
    "keeps nothing of workers that crash and of reloads that fail",
    async () => {
      const probe = makeProbe(temporaryFolder("p"));
      const good = 'export default (req, res) => res.end("hello");\n';
      await withManager({ program: () => good, preload: probe.preload }, async (manager) => {
        const fail = async (): Promise<void> => {
          manager.deploy('throw new Error("broken");\n');
          expect(await manager.reload()).toMatchObject({ ok: false });
          manager.deploy(good);
          const [worker] = await manager.workers("ready");
          const from = manager.logLength();
          process.kill(worker!.pid, "SIGKILL");
          await manager.waitForLog(/worker ready/, from);
        };
        await fail();
        const before = await settled(manager, probe, 1);
        for (let n = 0; n < 3; n++) await fail();
        const after = await settled(manager, probe, 1);
        notice(
          `  crashes and failed reloads\n    before: ${tellHoldings(before)}\n    after:  ${tellHoldings(after)}`,
        );
        expect(countsOf(after)).toEqual(countsOf(before));
        expect(after.heapBytes - before.heapBytes).toBeLessThan(HEAP_BYTES);
      });
    },
    patience(120_000),
  );
});

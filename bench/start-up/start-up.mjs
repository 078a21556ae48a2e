// `npm run bench -- --start-up [--json]`: how long things take to start and answer once, what that costs, and the memory of
// the idle processes then. On a busy machine believe the CPU time, not the clock.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { memoryMb } from "../usage.mjs";
import { startOnce, starts } from "./starts.mjs";

/** After its first answer, before the memory is looked at. */
const IDLE_MS = 500;

/**
 * @param options `{ node, rounds, say }`
 * @returns `{ name, cache, ms, cpuMs, minMs, minCpuMs, processes: [{ private, pss, rss }], node }`: times are medians,
 *   memory is in MB, parents first; `cache`: with Node's compile cache, filled before
 */
export async function startUp({ node, rounds, say }) {
  const folder = mkdtempSync(join(tmpdir(), "postern-start-"));
  const version = execFileSync(node, ["-p", "process.version"], { encoding: "utf8" }).trim();
  const hasCache = execFileSync(node, ["-p", "typeof require('node:module').enableCompileCache"], {
    encoding: "utf8",
  });
  const candidates = starts(node, folder).flatMap((start) => {
    const plain = { start, cache: false, env: { NODE_DISABLE_COMPILE_CACHE: "1" } };
    if (start.command[0] !== node || !hasCache.startsWith("function")) return [plain];
    return [plain, { start, cache: true, env: { NODE_COMPILE_CACHE: join(folder, "cache") } }];
  });
  const figures = new Map(candidates.map((candidate) => [candidate, []]));
  try {
    for (let round = 0; round <= rounds; round++) {
      say(`round ${round} of ${rounds} …`);
      for (const candidate of candidates) {
        const isLast = round === rounds;
        const figure = await startOnce(candidate.start, candidate.env, async (pids) => {
          if (!isLast) return undefined;
          await wait(IDLE_MS);
          // The guardian of the manager is a shell, that has nothing.
          return pids.map(memoryMb).filter((one) => one.private > 0.15 || one.pss > 2);
        });
        if (round > 0) figures.get(candidate).push(figure); // the first fills caches
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return [...figures].map(([{ start, cache }, list]) => ({
    name: start.name,
    cache,
    ms: median(list.map(({ ms }) => ms)),
    cpuMs: median(list.map(({ cpu }) => cpu)),
    minMs: Math.min(...list.map(({ ms }) => ms)),
    minCpuMs: Math.min(...list.map(({ cpu }) => cpu)),
    processes: list.at(-1).seen,
    node: version,
  }));
}

/** The same for people. */
export function printStartUp(results) {
  console.log(
    `start to the end of the first answer, median (least); memory of the idle processes, private / PSS (node ${results[0].node})\n`,
  );
  for (const { name, cache, ms, cpuMs, minMs, minCpuMs, processes } of results) {
    const memory = processes.map((one) => `${one.private.toFixed(1)} / ${one.pss.toFixed(1)} MB`).join(", ");
    const figures =
      `${ms.toFixed(0)} (${minMs.toFixed(0)}) ms`.padEnd(18) +
      `CPU ${cpuMs.toFixed(0)} (${minCpuMs.toFixed(0)}) ms`.padEnd(22);
    console.log(`${(name + (cache ? " + compile cache" : "")).padEnd(66)} ${figures} ${memory}`);
  }
}

function median(list) {
  return list.toSorted((a, b) => a - b)[list.length >> 1];
}

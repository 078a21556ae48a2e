/**
 * What a manager holds: descriptors, children and memory as the system counts them, and from inside the process its
 * heap and whatever keeps its event loop alive. Linux only.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../wait.ts";
import { childrenOf } from "./manager.ts";
import { residentBytes } from "./memory.ts";

export interface Holdings {
  readonly descriptors: number;
  readonly children: number;
  readonly residentBytes: number;
  /** After a garbage collection. */
  readonly heapBytes: number;
  /** Timers, sockets, processes …: how many of each keep the event loop alive. */
  readonly resources: Readonly<Record<string, number>>;
}

/** What is loaded into the manager: a signal that means nothing to it makes it tell. */
const probeSource = (file: string): string => `
import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");
process.on("SIGWINCH", () => setImmediate(() => {
  gc();
  const resources = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  const text = JSON.stringify({ heapBytes: process.memoryUsage().heapUsed, resources });
  writeFileSync(${JSON.stringify(`${file}.new`)}, text);
  renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
}));
`;

export interface Probe {
  /** For the manager's `preload`. */
  readonly preload: string;
  /** Looks at the process into which it was loaded. */
  look(pid: number): Promise<Holdings>;
}

export function makeProbe(folder: string): Probe {
  const preload = join(folder, "probe.mjs");
  const answer = join(folder, "probe.json");
  writeFileSync(preload, probeSource(answer));
  return {
    preload,
    async look(pid) {
      rmSync(answer, { force: true });
      process.kill(pid, "SIGWINCH");
      const inside = await waitFor(() => readAnswer(answer), {
        timeoutMs: 20_000,
        what: "the manager to tell what it holds",
      });
      return {
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        children: childrenOf(pid).length,
        residentBytes: residentBytes(pid),
        ...inside,
      };
    },
  };
}

function readAnswer(file: string): Pick<Holdings, "heapBytes" | "resources"> | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Pick<Holdings, "heapBytes" | "resources">;
  } catch {
    return undefined; // not yet
  }
}

/** What may not grow at all. */
export function countsOf({ descriptors, children, resources }: Holdings): object {
  return { descriptors, children, resources };
}

/** `12 descriptors, 5 children, …`. */
export function tellHoldings(held: Holdings): string {
  const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
  const resources = Object.entries(held.resources).map(([kind, count]) => `${kind} ${count}`);
  return `${held.descriptors} descriptors, ${held.children} children, ${mega(held.residentBytes)} resident, ${mega(held.heapBytes)} heap; ${resources.join(", ")}`;
}

/** How much memory other processes hold. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  if (process.platform === "linux") {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
  }
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) * 1024;
}

export interface MemoryWatch {
  /** Ends the watch. @returns by how many bytes each process was larger at its largest than at the start */
  stop(): Readonly<Record<string, number>>;
}

/** Watches processes, by name. */
export function watchMemory(pids: Readonly<Record<string, number>>): MemoryWatch {
  const first = measure(pids);
  const most = { ...first };
  const timer = setInterval(() => {
    for (const [name, bytes] of Object.entries(measure(pids))) most[name] = Math.max(most[name] ?? 0, bytes);
  }, 25);
  return {
    stop() {
      clearInterval(timer);
      return Object.fromEntries(
        Object.entries(most).map(([name, bytes]) => [name, bytes - (first[name] ?? 0)]),
      );
    },
  };
}

function measure(pids: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, residentBytes(pid)]));
}

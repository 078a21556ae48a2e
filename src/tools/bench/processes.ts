/** What the processes of a server have used, from Linux's /proc; elsewhere unknown. */
import { readdirSync, readFileSync } from "node:fs";
import type { Address } from "../../base/address.ts";
import { processesListening } from "../../server/socket-holder.ts";

/** Linux counts CPU time in ticks of 10 ms, on every architecture that Node runs on. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;

/** Of a process and all that came from it. */
export interface Usage {
  readonly processes: number;
  /** User and system time so far, of ended children too. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** The process at the top of those that listen on an address: the manager, not one of its workers. */
export function serverOf(address: Address): number | undefined {
  let listening: number[] = [];
  if (address.kind === "unix") listening = processesListening({ path: address.path });
  else if (address.kind === "abstract") listening = processesListening({ path: `@${address.name}` });
  else if (address.kind === "tcp") {
    // Another machine's port may have a namesake here.
    if (!/^(?:localhost|127\.[\d.]+|::1|)$/.test(address.host)) return undefined;
    listening = processesListening({
      host: address.host === "localhost" ? "127.0.0.1" : address.host,
      port: address.port,
    });
  }
  const all = new Set(listening);
  return listening.find((pid) => !all.has(statOf(pid)?.parent ?? 0));
}

/** @returns undefined where it cannot be seen */
export function usageOf(pid: number): Usage | undefined {
  if (statOf(pid) === undefined) return undefined;
  const children = new Map<number, number[]>();
  const stats = new Map<number, Stat>();
  for (const name of readdirSync("/proc")) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat === undefined) continue;
    stats.set(Number(name), stat);
    const siblings = children.get(stat.parent);
    if (siblings === undefined) children.set(stat.parent, [Number(name)]);
    else siblings.push(Number(name));
  }
  let processes = 0;
  let cpuMs = 0;
  let memoryBytes = 0;
  const left = [pid];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const stat = stats.get(one);
    if (stat === undefined) continue;
    processes++;
    cpuMs += stat.ticks * TICK_MS;
    memoryBytes += stat.pages * PAGE_BYTES;
    left.push(...(children.get(one) ?? []));
  }
  return { processes, cpuMs, memoryBytes };
}

interface Stat {
  readonly parent: number;
  readonly ticks: number;
  readonly pages: number;
}

function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined; // gone, or no /proc
  }
  // The name, in parentheses, may hold anything: fields are counted from behind it. The first is the third of proc(5).
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  return { parent: fields[1] ?? 0, ticks: user + system + childUser + childSystem, pages: fields[21] ?? 0 };
}

// What processes have used, from Linux's /proc, as exactly as it tells.
import { readdirSync, readFileSync } from "node:fs";

/** A process and all that came from it and lives. */
export function family(pid) {
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(read(`/proc/${name}/stat`).split(") ").at(-1)?.split(" ")[1]);
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(Number(name));
  }
  const all = [pid];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

/** Processor time of a process with all its threads, ms: from the scheduler, which counts nanoseconds. */
export function cpuMs(pid) {
  let sum = 0;
  for (const thread of list(`/proc/${pid}/task`)) {
    sum += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0] ?? 0) / 1e6;
  }
  return sum;
}

/** MB of a process: `private` is written to by it alone; `pss` is its share of everything; `rss` counts libraries in full. */
export function memoryMb(pid) {
  const text = read(`/proc/${pid}/smaps_rollup`);
  const field = (name) =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) / 1000;
  return { private: field("Private_Dirty"), pss: field("Pss"), rss: field("Rss") };
}

/** MB that processes would take if nothing else ran: what is written to, and each file that they map (programs,
 * libraries, shared memory) once. PSS would give them a share of what others run too, RSS counts for each what they share. */
export function memoryAloneMb(pids) {
  let kb = 0;
  const files = new Map(); // path → kB, the most that one of them has
  for (const pid of pids) {
    kb += Number(/^Pss_Anon: +(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? Number.NaN);
    const mapped = new Map();
    let path = "";
    for (const line of read(`/proc/${pid}/smaps`).split("\n")) {
      const [, start] = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$/.exec(line) ?? [];
      if (start !== undefined) path = start;
      const [, field, value] = /^(Rss|Anonymous): +(\d+) kB/.exec(line) ?? [];
      if (field === undefined || !path.startsWith("/")) continue;
      mapped.set(path, (mapped.get(path) ?? 0) + (field === "Rss" ? Number(value) : -Number(value)));
    }
    for (const [file, size] of mapped) files.set(file, Math.max(files.get(file) ?? 0, size));
  }
  return (kb + [...files.values()].reduce((sum, size) => sum + size, 0)) / 1000;
}

/** How much memory a process has used at most, MB, since {@link forgetPeak}. */
export function peakMb(pid) {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? Number.NaN) / 1000;
}

function read(path) {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // gone meanwhile
  }
}

function list(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

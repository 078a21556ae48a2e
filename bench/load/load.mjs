// Compiles the load generator (load.c says what it can do) and runs it.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Where everything lies that the benchmark builds. */
export const CACHE = new URL("../../node_modules/.cache/postern/bench/", import.meta.url).pathname;

/** Which core runs what: applications on the first, load and web servers on the second. */
export const APPLICATION_CORE = 0;
export const LOAD_CORE = 1;

const pins = canPin();

/** A command line that runs a program on one core, where there are two and taskset to say so. */
export function pinned(core, command) {
  return pins ? ["taskset", "-c", String(core), ...command] : command;
}

/** Compiles a C program once for each content it has had. @returns its path */
export function compiled(source, ...libraries) {
  const text = readFileSync(source);
  const name = source.pathname.replace(/^.*\/|\.c$/g, "");
  const program = `${CACHE}${name}-${createHash("sha256").update(text).digest("hex").slice(0, 12)}`;
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  execFileSync("gcc", ["-O2", "-o", unfinished, source.pathname, ...libraries], { stdio: "inherit" });
  renameSync(unfinished, program); // another run may be compiling it too
  return program;
}

/**
 * One run of the load.
 * @param options the options of load.c without their dashes: `true` for those without a value, arrays for several
 * @param onEvent called with "begin" and "end", when the measuring window begins and has ended
 * @returns what load.c prints; failed answers are counted there and are no exception
 */
export function runLoad(address, options, onEvent = () => {}) {
  const args = Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    if (value === true) return [`--${name}`];
    return [value].flat().flatMap((one) => [`--${name}`, String(one)]);
  });
  const [program, ...rest] = pinned(LOAD_CORE, [
    compiled(new URL("load.c", import.meta.url)),
    ...args,
    address,
  ]);
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
  let unread = "";
  let complaint = "";
  let result;
  child.stdout.on("data", (piece) => {
    unread += piece;
    const lines = unread.split("\n");
    unread = lines.pop();
    for (const line of lines) {
      const said = JSON.parse(line);
      if (said.event === undefined) result = said;
      else onEvent(said.event);
    }
  });
  child.stderr.on("data", (piece) => {
    complaint += piece;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => {
      if (result !== undefined) resolve(result);
      else reject(new Error(complaint.trim() || "the load ended without a result"));
    });
  });
}

function canPin() {
  if (availableParallelism() < 2) return false;
  try {
    execFileSync("taskset", ["-c", String(LOAD_CORE), "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Once per test run: the folder everything temporary goes into, and at the end the search for orphans. */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isOver, statFields } from "./proc.ts";
import { makeRunFolder } from "./temp.ts";
import { waitFor } from "./wait.ts";

export function setup(): () => Promise<void> {
  const folder = makeRunFolder();
  process.env["POSTERN_TEST_RUN"] = folder;
  return async () => {
    try {
      // A server told to stop a moment ago may still be at it, and runit's supervisors outlive who started them a while.
      await waitFor(() => orphans(folder).length === 0, { timeoutMs: 15_000 }).catch(() => {});
      const left = orphans(folder);
      if (left.length > 0) {
        for (const { pid } of left) killIfThere(pid);
        // Vitest prints what a teardown throws, and then ends with the code of the tests.
        process.exitCode = 1;
        throw new Error(`tests left processes running:\n${left.map((one) => one.text).join("\n")}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/**
 * Processes of this run that should be gone: in a session one of our children led, or with the run folder in the
 * environment (programs that make a session of their own) or on the command line, except the test runner itself.
 * Linux only; elsewhere the check after each test file has to do.
 */
function orphans(folder: string): { pid: number; text: string }[] {
  if (!existsSync("/proc/self/stat")) return [];
  const sessions = new Set<number>();
  const list = join(folder, "sessions");
  if (existsSync(list))
    for (const line of readFileSync(list, "utf8").split("\n")) sessions.add(Number.parseInt(line, 10));
  const found: { pid: number; text: string }[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!pid || pid === process.pid) continue;
    try {
      const fields = statFields(pid);
      if (isOver(fields)) continue;
      const [parent, session] = [Number(fields[1]), Number(fields[3])];
      const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      const isOurs = sessions.has(session) || command.includes(folder) || environmentOf(pid).includes(folder);
      // The runner's own workers and their helpers carry the environment too.
      const isRunner = session === ownSession() && (parent === process.pid || isNodeModule(command));
      if (!isOurs || isRunner) continue;
      found.push({ pid, text: `  ${pid} ${command} (in ${readlinkSync(`/proc/${pid}/cwd`)})` });
    } catch {
      // Gone, or not ours to look at.
    }
  }
  return found;
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended on its own meanwhile.
  }
}

function ownSession(): number {
  return Number(statFields("self")[3]);
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return "";
  }
}

function isNodeModule(command: string): boolean {
  return /node_modules\/(vitest|vite|esbuild|@esbuild|rolldown|@rolldown)\//.test(command);
}

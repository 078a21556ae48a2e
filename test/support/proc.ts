/** What Linux says of a process in `/proc`. */
import { readFileSync } from "node:fs";

/** The fields of `/proc/PID/stat` after the name, which may itself hold spaces and parentheses. @throws when it is gone */
export function statFields(pid: number | "self"): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/**
 * Whether it holds nothing any more, which the state alone does not tell: a killed process whose first thread is a zombie
 * listens on its ports until its other threads have ended, too.
 */
export function isOver(fields: readonly string[]): boolean {
  const [state, threads] = [fields[0], fields[17]];
  return state === "Z" && Number(threads) <= 1;
}

/** Whether a process is there and has not ended. */
export function isAlive(pid: number): boolean {
  try {
    return !isOver(statFields(pid));
  } catch {
    return false;
  }
}

/**
 * Starts this program once more, for one CGI request whose standard output cannot be moved (`server/claim-stdout.ts`):
 * in the new process standard output is standard error from the beginning, and the answer has a descriptor of its own.
 */
import { spawn } from "node:child_process";
import { ANSWER_FD, ANSWER_FD_VARIABLE } from "../server/claim-stdout.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"] as const;

/** @returns its exit code, when it has ended */
export function rerunForStdout(): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: [0, 2, 2, 1],
    env: { ...process.env, [ANSWER_FD_VARIABLE]: String(ANSWER_FD) },
  });
  // Web servers end programs that take too long by a signal to the one they know.
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

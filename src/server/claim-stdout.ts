/**
 * Standard output of a CGI program, kept for the answer: whatever else is printed there would be taken for a part of it.
 *
 * Node has no dup2(2). What is done instead: `/dev/fd/1` is opened anew, which gives the same pipe or file another
 * descriptor; then 1 is closed, and what is opened next, standard error, gets that number. So `console.log`, native code
 * and children that inherit all print to standard error. A socket cannot be opened so, nor the pipe of another user
 * (suEXEC): there a program can start itself once more, with its descriptors in other places (`cli/rerun.ts`), or is
 * left with what JavaScript prints by `process.stdout`.
 */
import { closeSync, constants, createWriteStream, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";

/** Where the answer goes. */
export type AnswerOutput = Pick<Writable, "on" | "write">;

/** Tells a program that was started once more under which descriptor the answer goes out. */
export const ANSWER_FD_VARIABLE = "POSTERN_CGI_ANSWER_FD";
export const ANSWER_FD = 3;
const STDOUT_FD = 1;

/** From here on, what is printed goes to standard error; as far as it can be had. @returns where the answer goes */
export function claimStdout(env: NodeJS.ProcessEnv = process.env): AnswerOutput {
  const moved = moveStdout(env);
  const { stdout, stderr } = process;
  const own = moved ?? { on: stdout.on.bind(stdout), write: stdout.write.bind(stdout) };
  stdout.write = stderr.write.bind(stderr) as typeof stdout.write;
  return own as AnswerOutput;
}

/** The same, if nothing at all that is printed can reach the answer then; else undefined, and nothing has changed. */
function moveStdout(env: NodeJS.ProcessEnv): AnswerOutput | undefined {
  if (env[ANSWER_FD_VARIABLE] !== undefined) {
    delete env[ANSWER_FD_VARIABLE];
    return outputOn(ANSWER_FD);
  }
  let fd: number;
  try {
    fd = openSync("/dev/fd/1", constants.O_WRONLY | constants.O_APPEND);
  } catch {
    return undefined;
  }
  closeSync(STDOUT_FD);
  putStderrUnder(STDOUT_FD);
  return outputOn(fd);
}

/** Whether {@link claimStdout} would leave nothing to be desired; nothing has changed after that. */
export function canMoveStdout(env: NodeJS.ProcessEnv): boolean {
  if (env[ANSWER_FD_VARIABLE] !== undefined) return true;
  try {
    for (const fd of ["/dev/fd/1", "/dev/fd/2"]) {
      closeSync(openSync(fd, constants.O_WRONLY | constants.O_APPEND));
    }
    return true;
  } catch {
    return false;
  }
}

/** A descriptor that is opened gets the lowest number that is free. */
function putStderrUnder(fd: number): void {
  for (let got = -1; got < fd; ) got = openStderr(); // 0 is free, too, when it was closed
}

/** The log of a web server may be another user's file, and then it cannot be opened anew. */
function openStderr(): number {
  try {
    return openSync("/dev/fd/2", constants.O_WRONLY | constants.O_APPEND);
  } catch {
    return openSync("/dev/null", constants.O_WRONLY);
  }
}

function outputOn(fd: number): AnswerOutput {
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isSocket()) return new Socket({ fd, readable: false, writable: true });
  return createWriteStream("", { fd, autoClose: false });
}

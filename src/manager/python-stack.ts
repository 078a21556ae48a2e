/**
 * Where a Python worker is stuck: the stacks of its threads, read while it is.
 *
 * On USR1 Python's faulthandler writes them behind the slots of the scoreboard. It is C code that runs inside the signal
 * handler, so it works also while no Python code does: in a long call into a library that keeps the interpreter's lock.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { ScoreboardFile } from "./scoreboard.ts";
import type { Stack, StackOptions } from "./watchdog.ts";

const LOOK_MS = 20;
/** Nothing more has been written for so many looks: it is whole. */
const QUIET_LOOKS = 3;
/** Of ours, and of what Python's threads begin with. */
const OURS = /\/(?:postern_wsgi|threading|selectors|runpy)\.py$|^<frozen /;

/** Reads the stacks. Never rejects; undefined when there are none to be had before the deadline. */
export async function pythonStackOf(
  pid: number,
  scoreboard: ScoreboardFile,
  { deadlineMs = 2000, depth = 20, explain }: StackOptions = {},
): Promise<Stack | undefined> {
  const before = scoreboard.readBehind().length;
  try {
    process.kill(pid, "SIGUSR1");
  } catch {
    explain?.("the worker is gone");
    return undefined;
  }
  const until = performance.now() + deadlineMs;
  let text = "";
  for (let quiet = 0; quiet < QUIET_LOOKS && performance.now() < until; ) {
    await pause(LOOK_MS);
    const now = scoreboard.readBehind().slice(before);
    quiet = now !== "" && now.length === text.length ? quiet + 1 : 0;
    text = now;
  }
  if (text !== "") return { frames: pythonFrames(text, depth), requests: undefined };
  explain?.("it did not answer a signal: it waits for the system, such as a disk that hangs");
  return undefined;
}

/** faulthandler's text → frames, innermost first, of the threads that run the application. */
export function pythonFrames(text: string, depth: number): string[] {
  const threads = text.split(/^(?:Current thread|Thread) 0x.*$/m).slice(1);
  const found = threads
    .map((thread) =>
      [...thread.matchAll(/^ {2}File "(.*)", line (\d+) in (.*)$/gm)]
        .filter(([, file = ""]) => !OURS.test(file))
        .map(([, file = "", line = "", name = ""]) => `${name} (${file}:${line})`),
    )
    .filter((frames) => frames.length > 0);
  return found.flatMap((frames, at) => [
    ...(at > 0 ? ["… another thread"] : []),
    ...frames.slice(0, depth),
    ...(frames.length > depth ? [`… ${frames.length - depth} more`] : []),
  ]);
}

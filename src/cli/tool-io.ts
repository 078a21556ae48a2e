/** What the commands that look from outside take from their process: lines on standard error, Ctrl-C. */
import type { Writable } from "node:stream";
import { ExitCode } from "../manager/exit-codes.ts";
import type { Terminal } from "./terminal.ts";

/** Writes a line at a time. A standard error that is gone is no reason to stop. */
export function linePrinter(stream: Writable): (line: string) => void {
  stream.on("error", () => {});
  return (line) => {
    stream.write(`${line}\n`);
  };
}

/** A signal that aborts at the first SIGINT or SIGTERM; at the second the process ends as it always would. */
export function interruptible(): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    stop();
    controller.abort();
  };
  const stop = (): void => {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return { signal: controller.signal, stop };
}

/** 128 and the number of SIGPIPE, as of a program that was ended by it. */
const UNREAD = 141;

/** Ends the process when nobody reads on what it prints, as behind `| head`, or it cannot be written. */
export function endWhenUnread({ stdout, stderr }: Pick<Terminal, "stdout" | "stderr">): void {
  stdout.on("error", (error) => {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EPIPE") process.exit(UNREAD);
    stderr.write(`postern: standard output cannot be written: ${message}\n`);
    process.exit(ExitCode.Failure);
  });
}

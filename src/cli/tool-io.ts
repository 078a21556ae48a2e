/** What the commands that look from outside (curl, ping) take from their process: lines on standard error, Ctrl-C. */
import type { Writable } from "node:stream";

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

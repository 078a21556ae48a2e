/** What a program owes to the process that started it: the only place of the server that touches `process`. */
import type { Server } from "./server.ts";

/** All of them mean "finish what is open and leave": web servers send TERM, lighttpd also USR1, people INT and QUIT. */
const DRAIN_SIGNALS = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"] as const;

/** How long what the application left running may keep the process alive after the server has closed, ms. */
const EXIT_GRACE_MS = 500;

/** What is drained: a server, or a server and what stands before it. */
export type Drainable = Pick<Server, "options" | "stats" | "closed" | "close">;

/** Drains on the first signal, exits on the second. */
export function drainOnSignals(server: Drainable): void {
  let isDraining = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    const { logger } = server.options;
    if (isDraining) {
      logger.warn({ signal }, "second signal: exiting at once");
      process.exit(1);
    }
    isDraining = true;
    logger.info({ signal, openRequests: server.stats.openRequests }, "draining");
    void server.close();
  };
  for (const signal of DRAIN_SIGNALS) process.on(signal, onSignal);
  void server.closed.then(() => {
    if (isDraining) exitSoon(0);
    else for (const signal of DRAIN_SIGNALS) process.off(signal, onSignal);
  });
}

/** Exits with `code` once the server has closed. */
export function exitWhenDone(server: Server, code: number): void {
  void server.close().then(() => exitSoon(code));
}

/**
 * Web servers start programs with stdout and stderr closed, on a pipe nobody reads, or on the listening socket
 * itself. Printing there must not kill the program.
 */
export function survivePipes(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}

/** Lets the event loop run empty; whatever the application keeps open must not hold a drained process for ever. */
function exitSoon(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
}

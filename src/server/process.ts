/** What a program owes to the process that started it: the only place of the server that touches `process`. */
import type { Server } from "./server.ts";

/** All of them mean "finish what is open and leave": web servers send TERM, lighttpd also USR1, people INT and QUIT. */
const DRAIN_SIGNALS = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"] as const;

/** How long what the application left running may keep the process alive after the server has closed, ms. */
const EXIT_GRACE_MS = 500;

/** A signal that comes again so soon is the same one: sent to the process group, and passed on by a parent, ms. */
const SAME_SIGNAL_MS = 250;

/** What is drained: a server, or several and what stands before them. */
export interface Drainable {
  readonly options: Pick<Server["options"], "logger">;
  readonly stats: Pick<Server["stats"], "openRequests">;
  /** Resolves when everything is over, however that came about. */
  readonly closed: Promise<unknown>;
  close(): unknown;
  /** Takes back, at once, what would outlive the process: socket files. */
  destroy(reason: string): void;
}

/** Drains on the first signal, exits on the second, and leaves no socket file behind however the process ends. */
export function drainOnSignals(server: Drainable): void {
  let drainingSince = 0;
  let first: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const { logger } = server.options;
    if (drainingSince === 0) {
      drainingSince = Date.now();
      first = signal;
      logger.info({ signal, openRequests: server.stats.openRequests }, "draining");
      void server.close();
    } else if (signal !== first || Date.now() - drainingSince > SAME_SIGNAL_MS) {
      logger.warn({ signal }, "second signal: exiting at once");
      process.exit(1);
    }
  };
  const onExit = (): void => server.destroy("the process exits");
  for (const signal of DRAIN_SIGNALS) process.on(signal, onSignal);
  process.on("exit", onExit);
  void server.closed.then(() => {
    process.off("exit", onExit);
    if (drainingSince > 0) exitSoon(0);
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

/** Lets the event loop run empty; whatever the application keeps open must not hold the process for ever. */
export function exitSoon(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
}

/** What a program owes to the process that started it. With this-process.ts, all of the server that touches `process`. */
import { watchParent } from "./parent.ts";
import type { Server } from "./server.ts";

/** All of them mean "finish what is open and leave": web servers send TERM, lighttpd also USR1, people INT and QUIT. */
const DRAIN_SIGNALS = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"] as const;

/** How long what the application left running may keep the process alive after the server has closed, ms. */
const EXIT_GRACE_MS = 500;

/** A signal that comes again so soon is the same one: sent to the process group, and passed on by a parent, ms. */
const SAME_SIGNAL_MS = 250;

/** How a program that is told to end is to take it. */
export interface DrainOptions {
  /**
   * For an application with a handler of its own for the signal: that it is to close the server, and how long that may
   * take before it is done here. 0 does not wait for it. @default 0
   */
  readonly patienceMs?: number;
  /**
   * It was started by a web server or something like it. Those repeat a signal to make sure (mod_fcgid after 1.3 s), and
   * kill what does not end: the same signal again changes nothing. When they are gone, it ends. @default false
   */
  readonly isSpawned?: boolean;
}

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
export function drainOnSignals(server: Drainable, options: DrainOptions = {}): void {
  const { patienceMs = 0, isSpawned = false } = options;
  let drainingSince = 0;
  let first: NodeJS.Signals | undefined;
  let isItsOwn = false; // to drain is up to the application
  let waiting: NodeJS.Timeout | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const { logger } = server.options;
    if (drainingSince === 0) {
      drainingSince = Date.now();
      first = signal;
      const { openRequests } = server.stats;
      if (patienceMs > 0 && process.listenerCount(signal) > 1) {
        logger.info(
          { signal, openRequests },
          "the application has a handler for this signal: it drains by itself",
        );
        isItsOwn = true;
        waiting = setTimeout(() => {
          isItsOwn = false;
          void server.close();
        }, patienceMs).unref();
        return;
      }
      logger.info({ signal, openRequests }, "draining");
      void server.close();
    } else if (signal === first && isSpawned) {
      const { openRequests } = server.stats;
      logger.info({ signal, openRequests }, "the same signal again: still draining");
    } else if (signal !== first || Date.now() - drainingSince > SAME_SIGNAL_MS) {
      logger.warn({ signal }, "second signal: exiting at once");
      process.exit(1);
    }
  };
  const onExit = (): void => server.destroy("the process exits");
  // First, since a handler of the application for one signal only is gone once it has run.
  for (const signal of DRAIN_SIGNALS) process.prependListener(signal, onSignal);
  process.on("exit", onExit);
  const unwatch = isSpawned ? watchParent(server.options.logger, () => exitWhenDone(server, 0)) : undefined;
  void server.closed.then(() => {
    process.off("exit", onExit);
    unwatch?.();
    clearTimeout(waiting);
    // Not when the application closes the server by itself: what it does after that is its own.
    if (drainingSince > 0 && !isItsOwn) exitSoon(0);
    else for (const signal of DRAIN_SIGNALS) process.off(signal, onSignal);
  });
}

/** Exits with `code` once the server has closed. */
export function exitWhenDone(server: Pick<Drainable, "close" | "closed">, code: number): void {
  server.close();
  void server.closed.then(() => exitSoon(code));
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

/**
 * The states of the manager, for all its pools together, and what a signal means to it. Does nothing itself: the
 * manager reports what happened and gets back the one step to take.
 *
 *               ready              reload
 *   starting ───────────▶ running ───────────▶ reloading
 *       │                    │ ◀───────────────    │
 *       │ startFailed        │   reloadEnded       │
 *       │ stop, stopNow      │ stop, stopNow       │ stop, stopNow
 *       │                    ▼                     │
 *       └───────────────▶ stopping ◀───────────────┘
 *                            │ drained
 *                            ▼
 *                         stopped
 *
 * Stopping overrides everything and nothing overrides it. A reload that is asked for while the manager starts or
 * reloads waits: any number of them become one, since that one reads what is on disk then.
 */

export type ManagerState = "starting" | "running" | "reloading" | "stopping" | "stopped";

export type ManagerEvent =
  /** All pools serve for the first time. */
  | "ready"
  /** A pool could not be started. */
  | "startFailed"
  | "reload"
  /** The reload is over, well or not. */
  | "reloadEnded"
  | "stop"
  | "stopNow"
  /** No worker is left. */
  | "drained";

export type ManagerStep =
  | "announceReady"
  | "beginReload"
  | "queueReload"
  | "beginStop"
  | "killAll"
  | "exit"
  | "ignore";

type Cell = readonly [next: ManagerState, step: ManagerStep];

/** What happens at each event in each state. An event that is not named changes nothing. */
const TABLE: Readonly<Record<ManagerState, Partial<Readonly<Record<ManagerEvent, Cell>>>>> = {
  starting: {
    ready: ["running", "announceReady"],
    startFailed: ["stopping", "beginStop"],
    reload: ["starting", "queueReload"],
    stop: ["stopping", "beginStop"],
    stopNow: ["stopping", "killAll"],
  },
  running: {
    reload: ["reloading", "beginReload"],
    stop: ["stopping", "beginStop"],
    stopNow: ["stopping", "killAll"],
  },
  reloading: {
    reload: ["reloading", "queueReload"],
    reloadEnded: ["running", "announceReady"], // or the queued reload, see on()
    stop: ["stopping", "beginStop"],
    stopNow: ["stopping", "killAll"],
  },
  stopping: {
    stop: ["stopping", "killAll"], // whoever asks twice does not want to wait
    stopNow: ["stopping", "killAll"],
    drained: ["stopped", "exit"],
  },
  stopped: {},
};

export class Lifecycle {
  #state: ManagerState = "starting";
  #isReloadQueued = false;

  get state(): ManagerState {
    return this.#state;
  }

  /**
   * Whether a reload waits. One that waited for another reload is begun by `on("reloadEnded")`; one that waited for the
   * start is begun by `on("reload")`, after readiness was announced.
   */
  get isReloadQueued(): boolean {
    return this.#isReloadQueued;
  }

  /** Something happened. @returns the one thing to do about it */
  on(event: ManagerEvent): ManagerStep {
    const [next, step] = this.#cell(event);
    this.#state = next;
    if (step === "queueReload") this.#isReloadQueued = true;
    else if (step === "beginReload" || next === "stopping") this.#isReloadQueued = false;
    return step;
  }

  #cell(event: ManagerEvent): Cell {
    if (this.#state === "reloading" && event === "reloadEnded" && this.#isReloadQueued) {
      return ["reloading", "beginReload"];
    }
    return TABLE[this.#state][event] ?? [this.#state, "ignore"];
  }
}

export type SignalMeaning = "stop" | "reload" | "reopenLogs" | "more" | "less";

/** What a signal asks of the manager; undefined for one it does not handle. */
export function meaningOf(signal: string): SignalMeaning | undefined {
  switch (signal) {
    case "SIGTERM":
    case "SIGINT":
    case "SIGQUIT":
      return "stop";
    case "SIGHUP":
    case "SIGUSR2":
      return "reload";
    case "SIGUSR1":
      return "reopenLogs";
    case "SIGTTIN":
      return "more";
    case "SIGTTOU":
      return "less";
    default:
      return undefined;
  }
}

/** The same stop signal again within this time was sent once and arrived twice. */
const ECHO_MS = 250;

/**
 * Tells a second request to stop from an echo of the first: terminals and supervisors signal the whole process group,
 * and a parent in it (npm, a shell) passes its own copy on.
 */
export class StopSignals {
  #last: string | undefined = undefined;
  #lastAt = 0;

  /** Whether this stop signal is one that was already counted. @param now ms, monotonic */
  isEcho(signal: string, now: number): boolean {
    if (signal === this.#last && now - this.#lastAt < ECHO_MS) return true;
    this.#last = signal;
    this.#lastAt = now;
    return false;
  }
}

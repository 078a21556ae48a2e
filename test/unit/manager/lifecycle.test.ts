import { describe, expect, it } from "vitest";
import {
  Lifecycle,
  type ManagerEvent,
  type ManagerState,
  type ManagerStep,
  meaningOf,
  StopSignals,
} from "../../../src/manager/lifecycle.ts";

const STATES: readonly ManagerState[] = ["starting", "running", "reloading", "stopping", "stopped"];
const EVENTS: readonly ManagerEvent[] = [
  "ready",
  "startFailed",
  "reload",
  "reloadEnded",
  "stop",
  "stopNow",
  "drained",
];

/** How to get into a state, with no reload queued. */
const WAYS: Readonly<Record<ManagerState, readonly ManagerEvent[]>> = {
  starting: [],
  running: ["ready"],
  reloading: ["ready", "reload"],
  stopping: ["ready", "stop"],
  stopped: ["ready", "stop", "drained"],
};

/** The cells that are not [same state, ignore, nothing queued]. */
const CELLS: Readonly<Record<string, readonly [ManagerState, ManagerStep, boolean]>> = {
  "starting ready": ["running", "announceReady", false],
  "starting startFailed": ["stopping", "beginStop", false],
  "starting reload": ["starting", "queueReload", true],
  "starting stop": ["stopping", "beginStop", false],
  "starting stopNow": ["stopping", "killAll", false],
  "running reload": ["reloading", "beginReload", false],
  "running stop": ["stopping", "beginStop", false],
  "running stopNow": ["stopping", "killAll", false],
  "reloading reload": ["reloading", "queueReload", true],
  "reloading reloadEnded": ["running", "announceReady", false],
  "reloading stop": ["stopping", "beginStop", false],
  "reloading stopNow": ["stopping", "killAll", false],
  "stopping stop": ["stopping", "killAll", false],
  "stopping stopNow": ["stopping", "killAll", false],
  "stopping drained": ["stopped", "exit", false],
};

function lifecycleAfter(...events: readonly ManagerEvent[]): Lifecycle {
  const lifecycle = new Lifecycle();
  for (const event of events) lifecycle.on(event);
  return lifecycle;
}

describe("the states of the manager", () => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      const [next, step, isQueued] = CELLS[`${state} ${event}`] ?? [state, "ignore", false];
      it(`${state}, on ${event}: ${step}, then ${next}`, () => {
        const lifecycle = lifecycleAfter(...WAYS[state]);
        expect(lifecycle.state).toBe(state);
        expect(lifecycle.on(event)).toBe(step);
        expect(lifecycle.state).toBe(next);
        expect(lifecycle.isReloadQueued).toBe(isQueued);
      });
    }
  }
});

describe("a reload that waits", () => {
  it("begins when the one before has ended, and many are one", () => {
    const lifecycle = lifecycleAfter("ready", "reload", "reload", "reload");
    expect(lifecycle.on("reloadEnded")).toBe("beginReload");
    expect(lifecycle.state).toBe("reloading");
    expect(lifecycle.isReloadQueued).toBe(false);
    expect(lifecycle.on("reloadEnded")).toBe("announceReady");
    expect(lifecycle.state).toBe("running");
  });

  it("does not keep the manager from announcing that it has started, and begins then", () => {
    const lifecycle = lifecycleAfter("reload");
    expect(lifecycle.on("ready")).toBe("announceReady");
    expect(lifecycle.isReloadQueued).toBe(true);
    expect(lifecycle.on("reload")).toBe("beginReload");
    expect(lifecycle.isReloadQueued).toBe(false);
  });

  it.each<readonly ManagerEvent[]>([
    ["reload", "stop"],
    ["reload", "startFailed"],
    ["ready", "reload", "reload", "stop"],
    ["ready", "reload", "reload", "stopNow"],
  ])("is forgotten when the manager stops (%s, %s …)", (...events) => {
    const lifecycle = lifecycleAfter(...events);
    expect(lifecycle.isReloadQueued).toBe(false);
    expect(lifecycle.on("reloadEnded")).toBe("ignore");
    expect(lifecycle.state).toBe("stopping");
  });
});

describe("what a signal means", () => {
  it.each([
    ["SIGTERM", "stop"],
    ["SIGINT", "stop"],
    ["SIGQUIT", "stop"],
    ["SIGHUP", "reload"],
    ["SIGUSR2", "reload"],
    ["SIGUSR1", "reopenLogs"],
    ["SIGTTIN", "more"],
    ["SIGTTOU", "less"],
    ["SIGWINCH", undefined],
    ["constructor", undefined],
  ])("%s: %s", (signal, meaning) => {
    expect(meaningOf(signal)).toBe(meaning);
  });
});

describe("a stop signal that arrives again", () => {
  it("is an echo when it is the same within 250 ms", () => {
    const signals = new StopSignals();
    expect(signals.isEcho("SIGINT", 0)).toBe(false);
    expect(signals.isEcho("SIGINT", 3)).toBe(true);
    expect(signals.isEcho("SIGINT", 249)).toBe(true);
  });

  it("is a second request later than that, counted from the first", () => {
    const signals = new StopSignals();
    signals.isEcho("SIGTERM", 1000);
    expect(signals.isEcho("SIGTERM", 1200)).toBe(true);
    expect(signals.isEcho("SIGTERM", 1250)).toBe(false);
    expect(signals.isEcho("SIGTERM", 1300)).toBe(true);
  });

  it("is a second request at once when it is another signal", () => {
    const signals = new StopSignals();
    signals.isEcho("SIGINT", 0);
    expect(signals.isEcho("SIGTERM", 1)).toBe(false);
    expect(signals.isEcho("SIGINT", 2)).toBe(false);
  });
});

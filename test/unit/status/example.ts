/** A manager with two pools at one moment, and commands that remember what they were asked. */
import type { Commands, Outcome } from "../../../src/manager/commands.ts";
import type { ManagerSnapshot, PoolSnapshot, WorkerSnapshot } from "../../../src/status/snapshot.ts";

/** 22 November 2026, 13:15:41 UTC. */
export const NOW = 1_795_353_341_000;

export function exampleWorker(change: Partial<WorkerSnapshot> = {}): WorkerSnapshot {
  return {
    id: 1,
    pid: 4251,
    generation: 3,
    stage: "ready",
    isBusy: false,
    startedAt: NOW - 7_380_000,
    requests: 1204,
    concurrency: 2,
    queuedRequests: 0,
    connections: 4,
    loopDelayMs: 12,
    loopUtilisation: 0.34,
    memoryBytes: 92_274_688,
    current: [
      {
        method: "GET",
        url: "/reports/2026?format=pdf",
        client: "203.0.113.9",
        startedAt: NOW - 12_400,
      },
      { method: "POST", url: "/login", client: "2001:db8::7", startedAt: NOW - 250 },
    ],
    ...change,
  };
}

export function examplePool(change: Partial<PoolSnapshot> = {}): PoolSnapshot {
  return {
    name: "web",
    pm: "dynamic",
    program: "/srv/yourapplication/app.js",
    addresses: ["unix:/run/yourapplication/app.sock"],
    generation: 3,
    startedAt: NOW - 273_600_000,
    isReloading: false,
    maxChildren: 8,
    listenQueue: 0,
    maxListenQueue: 0,
    listenBacklog: 511,
    requests: 51_204,
    connections: 812,
    responses: { none: 3, "1xx": 0, "2xx": 50_900, "3xx": 180, "4xx": 110, "5xx": 9 },
    sentBytes: 734_003_200,
    durations: {
      count: 51_202,
      seconds: 1843.25,
      buckets: [
        { upTo: 0.01, count: 40_310 },
        { upTo: 0.1, count: 49_850 },
        { upTo: 1, count: 51_190 },
      ],
    },
    slowRequests: 2,
    lostRequests: 0,
    workersStarted: 9,
    workersCrashed: 0,
    maxChildrenReached: 0,
    nextStartAt: undefined,
    lastFailure: undefined,
    maxActiveWorkers: 0,
    workers: [
      exampleWorker(),
      exampleWorker({
        id: 2,
        pid: 4260,
        requests: 7,
        concurrency: 0,
        isBusy: false,
        current: [],
        startedAt: NOW - 42_000,
      }),
      exampleWorker({
        id: 3,
        pid: 4302,
        stage: "starting",
        requests: undefined,
        concurrency: undefined,
        connections: undefined,
        loopDelayMs: undefined,
        loopUtilisation: undefined,
        memoryBytes: undefined,
        current: [],
        startedAt: NOW - 800,
      }),
    ],
    ...change,
  };
}

export function exampleSnapshot(change: Partial<ManagerSnapshot> = {}): ManagerSnapshot {
  return {
    name: "yourapplication",
    version: "0.2.0",
    pid: 4242,
    state: "running",
    startedAt: NOW - 273_600_000,
    now: NOW,
    memoryBytes: 50_331_648,
    configFile: "/srv/yourapplication/postern.config.js",
    reloads: 2,
    lastReloadError: undefined,
    pools: [
      examplePool(),
      examplePool({
        name: "mail",
        pm: "ondemand",
        program: "/srv/yourapplication/mail.js",
        addresses: ["127.0.0.1:9001"],
        generation: 1,
        maxChildren: 2,
        listenQueue: undefined,
        requests: 0,
        connections: 0,
        slowRequests: 0,
        workers: [],
      }),
    ],
    ...change,
  };
}

/** Commands that answer with what is set, and keep what they were asked. */
export class FakeCommands implements Commands {
  snapshot: ManagerSnapshot = exampleSnapshot();
  outcome: Outcome = { ok: true, message: "done" };
  /** What the next reloads wait for. */
  reloaded: Promise<Outcome> | undefined;
  /** Thrown by the next command. */
  broken: Error | undefined;
  readonly asked: unknown[][] = [];
  onStop: (() => void) | undefined;

  status(): ManagerSnapshot {
    if (this.broken !== undefined) throw this.broken;
    return this.snapshot;
  }

  reload(pool: string | undefined, mode: "all" | "phased" | undefined): Promise<Outcome> {
    this.#note("reload", pool, mode);
    return this.reloaded ?? Promise.resolve(this.outcome);
  }

  stop(how: "graceful" | "now"): Outcome {
    this.#note("stop", how);
    this.onStop?.();
    return this.outcome;
  }

  scale(pool: string | undefined, workers: string): Outcome {
    this.#note("scale", pool, workers);
    return this.outcome;
  }

  replace(worker: number): Outcome {
    this.#note("replace", worker);
    return this.outcome;
  }

  reopenLogs(): Outcome {
    this.#note("reopenLogs");
    return this.outcome;
  }

  #note(...command: unknown[]): void {
    this.asked.push(command);
    if (this.broken !== undefined) throw this.broken;
  }
}

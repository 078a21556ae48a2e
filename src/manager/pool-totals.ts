/** What a pool has done since it was made, and how it stands now: the numbers of its status. */
import { printAddress } from "../base/address.ts";
import { oneLine } from "../base/text.ts";
import type { PoolSettings } from "../config/types.ts";
import { CLASSES, DURATION_BOUNDS, METER_AT, METER_LENGTH } from "../server/meter.ts";
import type { PoolSnapshot, WorkerSnapshot } from "../status/snapshot.ts";
import type { PoolSockets } from "./pool-host.ts";
import { listenQueueOf } from "./process-facts.ts";
import type { KnownWorker, WorkerEnd } from "./worker-sink.ts";

/** How a pool stands at this moment. */
export interface PoolState {
  readonly settings: PoolSettings;
  readonly sockets: PoolSockets;
  readonly workers: readonly (Pick<KnownWorker, "told"> & { snapshot(): WorkerSnapshot | undefined })[];
  readonly generation: number;
  readonly isReloading: boolean;
  /** How many workers there may be. */
  readonly maxChildren: number;
  /** How long the next start is held back. */
  readonly waitMs: number | undefined;
}

export class PoolTotals {
  workersStarted = 0;
  maxChildrenReached = 0;
  slowRequests = 0;
  readonly #startedAt = Date.now();
  #requests = 0; // of workers that are gone
  #connections = 0;
  #lostRequests = 0;
  readonly #meter: number[] = new Array<number>(METER_LENGTH).fill(0); // of workers that are gone
  #workersCrashed = 0;
  #lastFailure: string | undefined = undefined;
  #maxActiveWorkers = 0;
  #maxListenQueue = 0;

  addEnded(worker: KnownWorker, end: WorkerEnd): void {
    this.#requests += worker.told?.requests ?? 0;
    this.#connections += worker.told?.acceptedConnections ?? 0;
    this.slowRequests += worker.told?.slowRequests ?? 0;
    addTo(this.#meter, worker.told?.meter);
    this.#lostRequests += end.lost.length;
    if (end.isExpected || end.code === 0) return;
    this.#workersCrashed++;
    const why = oneLine(end.failure);
    this.#lastFailure = why === "" ? end.how : `${end.how}: ${why}`;
  }

  /** To be called about once a second. */
  look(settings: PoolSettings, workers: readonly Pick<KnownWorker, "told">[]): void {
    const active = workers.filter(({ told }) => (told?.openRequests ?? 0) > 0).length;
    this.#maxActiveWorkers = Math.max(this.#maxActiveWorkers, active);
    this.#maxListenQueue = Math.max(this.#maxListenQueue, queueOf(settings) ?? 0);
  }

  snapshot({
    settings,
    sockets,
    workers,
    generation,
    isReloading,
    maxChildren,
    waitMs,
  }: PoolState): PoolSnapshot {
    const sum = (name: "requests" | "acceptedConnections" | "slowRequests"): number =>
      workers.reduce((all, { told }) => all + (told?.[name] ?? 0), 0);
    const { program, name, pm, listenBacklog } = settings;
    const { fastcgi, http, wsHttp } = sockets;
    const meter = [...this.#meter];
    for (const { told } of workers) addTo(meter, told?.meter);
    return {
      name,
      pm,
      program: program.kind === "app" ? program.file : program.command.join(" "),
      addresses: [
        ...fastcgi.map(({ address }) => address),
        ...(http === undefined ? [] : [`http ${http.address}`]),
        ...(wsHttp === undefined ? [] : [`ws-http ${wsHttp.address}`]),
      ],
      generation,
      startedAt: this.#startedAt,
      isReloading,
      maxChildren,
      listenQueue: queueOf(settings),
      maxListenQueue: this.#maxListenQueue,
      listenBacklog,
      requests: this.#requests + sum("requests"),
      connections: this.#connections + sum("acceptedConnections"),
      slowRequests: this.slowRequests + sum("slowRequests"),
      ...readMeter(meter),
      lostRequests: this.#lostRequests,
      workersStarted: this.workersStarted,
      workersCrashed: this.#workersCrashed,
      maxChildrenReached: this.maxChildrenReached,
      lastFailure: this.#lastFailure,
      maxActiveWorkers: this.#maxActiveWorkers,
      nextStartAt: waitMs === undefined ? undefined : Math.round(Date.now() + waitMs),
      workers: workers.map((worker) => worker.snapshot()).filter((one) => one !== undefined),
    };
  }
}

function addTo(sums: number[], more: readonly number[] = []): void {
  for (const [at, value] of more.entries()) sums[at] = (sums[at] ?? 0) + value;
}

/** The numbers of meters, with names. */
function readMeter(numbers: readonly number[]): Pick<PoolSnapshot, "responses" | "sentBytes" | "durations"> {
  const at = (index: number): number => numbers[index] ?? 0;
  let count = 0;
  const buckets = DURATION_BOUNDS.map((upTo, index) => {
    count += at(METER_AT.buckets + index);
    return { upTo, count };
  });
  return {
    responses: Object.fromEntries(CLASSES.map((name, index) => [name, at(METER_AT.classes + index)])),
    sentBytes: at(METER_AT.sentBytes),
    durations: {
      count: count + at(METER_LENGTH - 1),
      seconds: at(METER_AT.seconds),
      buckets,
    },
  };
}

function queueOf({ bind }: PoolSettings): number | undefined {
  return listenQueueOf(bind.map((address) => printAddress(address)));
}

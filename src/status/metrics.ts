/**
 * What is measured, as families of metrics: one declaration each. Names are those of php-fpm and of its exporters, with
 * `postern_` before them, where they have one. Everything comes from the manager's snapshot: no worker is asked. Pure.
 */
import { boundText, type Family, type Labels, openMetricsText, type Sample } from "./openmetrics.ts";
import type { ManagerSnapshot, PoolSnapshot, WorkerSnapshot } from "./snapshot.ts";

type OfPool = Omit<Family, "samples"> & {
  /** A number, numbers by the value of one more label, or samples; undefined is not known. */
  of(pool: PoolSnapshot): number | undefined | readonly Sample[];
};

const POOL_FAMILIES: readonly OfPool[] = [
  {
    name: "postern_start_time_seconds",
    type: "gauge",
    unit: "seconds",
    help: "When the pool was started, since the epoch.",
    of: ({ startedAt }) => startedAt / 1000,
  },
  {
    name: "postern_requests",
    type: "counter",
    help: "Requests whose parameters arrived whole; pings and refused ones are among them.",
    of: ({ requests }) => requests,
  },
  {
    name: "postern_responses",
    type: "counter",
    help: "Requests that are over, by the class of the status; none: the visitor left before there was an answer.",
    of: ({ responses }) => byLabel("class", responses),
  },
  {
    name: "postern_sent_bytes",
    type: "counter",
    unit: "bytes",
    help: "Bytes of bodies that were sent to the web server.",
    of: ({ sentBytes }) => sentBytes,
  },
  {
    name: "postern_request_duration_seconds",
    type: "histogram",
    unit: "seconds",
    help: "From the last parameter of a request to the end of its answer.",
    of: ({ durations }) => histogram(durations),
  },
  {
    name: "postern_slow_requests",
    type: "counter",
    help: "Requests that took longer than requestSlowlogTimeout.",
    of: ({ slowRequests }) => slowRequests,
  },
  {
    name: "postern_lost_requests",
    type: "counter",
    help: "Requests that were in a worker when it crashed or was killed.",
    of: ({ lostRequests }) => lostRequests,
  },
  {
    name: "postern_active_requests",
    type: "gauge",
    help: "Requests that are worked on.",
    of: ({ workers }) => sumOf(workers, ({ concurrency }) => concurrency),
  },
  {
    name: "postern_queued_requests",
    type: "gauge",
    help: "Requests that wait in workers, because of maxConcurrency.",
    of: ({ workers }) => sumOf(workers, ({ queuedRequests }) => queuedRequests),
  },
  {
    name: "postern_accepted_connections",
    type: "counter",
    help: "Connections of web servers.",
    of: ({ connections }) => connections,
  },
  {
    name: "postern_connections",
    type: "gauge",
    help: "Connections of web servers that are open.",
    of: ({ workers }) => sumOf(workers, ({ connections }) => connections),
  },
  {
    name: "postern_listen_queue",
    type: "gauge",
    help: "Connections that wait to be accepted.",
    of: ({ listenQueue }) => listenQueue,
  },
  {
    name: "postern_max_listen_queue",
    type: "gauge",
    help: "The most that ever waited.",
    of: ({ maxListenQueue }) => maxListenQueue,
  },
  {
    name: "postern_listen_queue_length",
    type: "gauge",
    help: "How many may wait (listenBacklog).",
    of: ({ listenBacklog }) => listenBacklog,
  },
  {
    name: "postern_idle_processes",
    type: "gauge",
    help: "Workers without a request.",
    of: ({ workers }) => workers.length - workers.filter(isActive).length,
  },
  {
    name: "postern_active_processes",
    type: "gauge",
    help: "Workers with a request.",
    of: ({ workers }) => workers.filter(isActive).length,
  },
  {
    name: "postern_total_processes",
    type: "gauge",
    help: "Workers.",
    of: ({ workers }) => workers.length,
  },
  {
    name: "postern_processes",
    type: "gauge",
    help: "Workers by state; busy: ready, and at maxConcurrency or with a busy event loop.",
    of: ({ workers }) => byLabel("state", countStates(workers)),
  },
  {
    name: "postern_max_processes",
    type: "gauge",
    help: "How many workers there may be (maxChildren).",
    of: ({ maxChildren }) => maxChildren,
  },
  {
    name: "postern_max_active_processes",
    type: "gauge",
    help: "The most workers that ever had a request at the same time.",
    of: ({ maxActiveWorkers }) => maxActiveWorkers,
  },
  {
    name: "postern_max_children_reached",
    type: "counter",
    help: "How often all workers there may be were busy.",
    of: ({ maxChildrenReached }) => maxChildrenReached,
  },
  {
    name: "postern_processes_started",
    type: "counter",
    help: "Workers that were started.",
    of: ({ workersStarted }) => workersStarted,
  },
  {
    name: "postern_processes_crashed",
    type: "counter",
    help: "Workers that ended without having been told to.",
    of: ({ workersCrashed }) => workersCrashed,
  },
  {
    name: "postern_generation",
    type: "gauge",
    help: "How often the pool was loaded anew, and once more.",
    of: ({ generation }) => generation,
  },
  {
    name: "postern_resident_memory_bytes",
    type: "gauge",
    unit: "bytes",
    help: "Resident memory of all workers; what they share is counted for each.",
    of: ({ workers }) => sumOf(workers, ({ memoryBytes }) => memoryBytes),
  },
  {
    name: "postern_loop_delay_seconds",
    type: "gauge",
    unit: "seconds",
    help: "How late the event loop of the worst worker lately was.",
    of: ({ workers }) =>
      greatest(
        workers.map(({ loopDelayMs }) => loopDelayMs),
        1000,
      ),
  },
  {
    name: "postern_loop_utilisation",
    type: "gauge",
    help: "The share of time the event loop of the busiest worker was busy, 0 to 1.",
    of: ({ workers }) =>
      greatest(
        workers.map(({ loopUtilisation }) => loopUtilisation),
        1,
      ),
  },
];

type OfManager = Omit<Family, "samples"> & {
  of(manager: ManagerSnapshot): number;
  labels?(manager: ManagerSnapshot): Labels;
};

const MANAGER_FAMILIES: readonly OfManager[] = [
  {
    name: "postern",
    type: "info",
    help: "The manager.",
    of: () => 1,
    labels: ({ name, version }) => ({ name, version }),
  },
  {
    name: "postern_manager_start_time_seconds",
    type: "gauge",
    unit: "seconds",
    help: "When the manager was started, since the epoch.",
    of: ({ startedAt }) => startedAt / 1000,
  },
  {
    name: "postern_manager_resident_memory_bytes",
    type: "gauge",
    unit: "bytes",
    help: "Resident memory of the manager.",
    of: ({ memoryBytes }) => memoryBytes,
  },
  {
    name: "postern_reloads",
    type: "counter",
    help: "Reloads, failed ones included.",
    of: ({ reloads }) => reloads,
  },
  {
    name: "postern_last_reload_failed",
    type: "gauge",
    help: "1 from a reload that failed to one that succeeds.",
    of: ({ lastReloadError }) => (lastReloadError === undefined ? 0 : 1),
  },
];

/** The metrics of these pools, each with its name as the label `pool`. */
export function poolMetrics(pools: readonly PoolSnapshot[]): string {
  return openMetricsText(poolFamilies(pools));
}

/** Everything. */
export function managerMetrics(manager: ManagerSnapshot): string {
  const own = MANAGER_FAMILIES.map(({ of, labels, ...family }) => ({
    ...family,
    samples: [{ labels: labels?.(manager) ?? {}, value: of(manager) }],
  }));
  return openMetricsText([...own, ...poolFamilies(manager.pools)]);
}

function poolFamilies(pools: readonly PoolSnapshot[]): Family[] {
  return POOL_FAMILIES.map(({ of, ...family }) => ({
    ...family,
    samples: pools.flatMap((pool) => {
      const value = of(pool) ?? [];
      const samples = typeof value === "number" ? [{ labels: {}, value }] : value;
      return samples.map((sample) => ({ ...sample, labels: { pool: pool.name, ...sample.labels } }));
    }),
  }));
}

function byLabel(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function histogram({ buckets, count, seconds }: PoolSnapshot["durations"]): Sample[] {
  const bounds = [...buckets, { upTo: Number.POSITIVE_INFINITY, count }];
  return [
    ...bounds.map((bucket) => ({
      suffix: "_bucket" as const,
      labels: { le: boundText(bucket.upTo) },
      value: bucket.count,
    })),
    { suffix: "_count", labels: {}, value: count },
    { suffix: "_sum", labels: {}, value: seconds },
  ];
}

function isActive({ concurrency, isBusy }: WorkerSnapshot): boolean {
  return concurrency === undefined ? isBusy : concurrency > 0;
}

function countStates(workers: readonly WorkerSnapshot[]): Readonly<Record<string, number>> {
  const counts = { starting: 0, ready: 0, busy: 0, draining: 0 };
  for (const { stage, isBusy } of workers) counts[stage === "ready" && isBusy ? "busy" : stage]++;
  return counts;
}

function sumOf(
  workers: readonly WorkerSnapshot[],
  of: (worker: WorkerSnapshot) => number | undefined,
): number {
  return workers.reduce((sum, worker) => sum + (of(worker) ?? 0), 0);
}

function greatest(values: readonly (number | undefined)[], divisor: number): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known) / divisor;
}

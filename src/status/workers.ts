/** The workers of all pools in one list, as `GET /workers` answers and `postern workers` prints. */
import type { ManagerSnapshot, WorkerSnapshot } from "./snapshot.ts";

/** A worker, and the pool it is in. */
export interface ListedWorker extends WorkerSnapshot {
  readonly pool: string;
}

export function listWorkers(snapshot: ManagerSnapshot): ListedWorker[] {
  return snapshot.pools.flatMap((pool) => pool.workers.map((worker) => ({ pool: pool.name, ...worker })));
}

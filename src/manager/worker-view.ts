/**
 * A worker as its pool sees it, and what can be said of several: how many there are of which kind, who goes first.
 * Pure; the handle of a worker makes the view.
 */
import type { Crowd } from "./pool-size.ts";

/** Why a worker goes. The first four are set by its handle, or asked for by an operator; the others by the pool. */
export type RetireReason =
  | "maxRequests"
  | "maxMemory"
  | "stuck"
  | "asked"
  | "reload"
  | "idle"
  | "surplus"
  | "stop";

/** A worker as its handle knows it now. Times are ms on the clock of `decide`. */
export interface WorkerView {
  /** Never used again for another worker of the pool. */
  readonly id: number;
  readonly generation: number;
  readonly stage: "starting" | "ready" | "draining";
  /** It could take no further request. */
  readonly isBusy: boolean;
  /** Since when it has no request at all. */
  readonly idleSince: number | undefined;
  /** Why it is to be replaced. One that is "stuck" serves nobody; its handle kills it. */
  readonly retire: RetireReason | undefined;
  readonly startedAt: number;
}

export function isReady(worker: WorkerView): boolean {
  return worker.stage === "ready";
}

export function isStuck(worker: WorkerView): boolean {
  return worker.retire === "stuck";
}

export function countCrowd(present: readonly WorkerView[]): Crowd {
  const live = present.filter((worker) => !isStuck(worker));
  return {
    idle: live.filter((worker) => isReady(worker) && !worker.isBusy).length,
    starting: live.filter((worker) => !isReady(worker)).length,
    total: live.length,
    stuck: present.length - live.length,
  };
}

export function byAge(one: WorkerView, other: WorkerView): number {
  return one.startedAt - other.startedAt || one.id - other.id;
}

/** Whom a pool misses least comes first: who is not ready, then who was idle for longest, then the oldest. */
export function bySurplus(one: WorkerView, other: WorkerView): number {
  return usefulness(one) - usefulness(other) || idleSince(one) - idleSince(other) || byAge(one, other);
}

function usefulness(worker: WorkerView): number {
  if (!isReady(worker)) return 0;
  return worker.idleSince !== undefined ? 1 : worker.isBusy ? 3 : 2;
}

function idleSince(worker: WorkerView): number {
  return worker.idleSince ?? 0;
}

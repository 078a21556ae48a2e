/** What a load comes to. */
import type { Exchange, FaultKind } from "./exchange.ts";
import { Histogram } from "./histogram.ts";

/** Faults of one kind, with the first as an example. */
export interface FaultCount {
  readonly kind: FaultKind;
  count: number;
  readonly example: string;
}

export class Tally {
  /** From when a request was due to the end of its answer; answers that are wrong do not count. */
  readonly latency: Histogram = new Histogram();
  /** From when it was due to the first byte. */
  readonly firstByte: Histogram = new Histogram();
  /** How late requests were sent. In a closed loop they are due when they are sent. */
  readonly lateness: Histogram = new Histogram();
  readonly statuses: Map<number, number> = new Map();
  readonly faults: Map<FaultKind, FaultCount> = new Map();
  /** Of the bodies of right answers. */
  bytes = 0;
  /** Due, but given up: too many waited. */
  unsent = 0;
  /** Time that the answers took together, from the first request that was due to the last answer. */
  elapsedMs = 0;

  /** Right answers. */
  get answers(): number {
    return this.latency.count;
  }

  get faultCount(): number {
    let count = 0;
    for (const fault of this.faults.values()) count += fault.count;
    return count;
  }

  add(exchange: Exchange): void {
    if (exchange.status !== 0)
      this.statuses.set(exchange.status, (this.statuses.get(exchange.status) ?? 0) + 1);
    const { fault } = exchange;
    if (fault !== undefined) {
      const seen = this.faults.get(fault.kind);
      if (seen === undefined)
        this.faults.set(fault.kind, { kind: fault.kind, count: 1, example: fault.says });
      else seen.count++;
      return;
    }
    this.latency.add(exchange.endedAt - exchange.dueAt);
    this.lateness.add(exchange.sentAt - exchange.dueAt);
    if (exchange.firstByteAt !== 0) this.firstByte.add(exchange.firstByteAt - exchange.dueAt);
    this.bytes += exchange.bytes;
  }

  addAll(other: Tally): void {
    this.latency.addAll(other.latency);
    this.firstByte.addAll(other.firstByte);
    this.lateness.addAll(other.lateness);
    for (const [status, count] of other.statuses) {
      this.statuses.set(status, (this.statuses.get(status) ?? 0) + count);
    }
    for (const fault of other.faults.values()) {
      const seen = this.faults.get(fault.kind);
      if (seen === undefined) this.faults.set(fault.kind, { ...fault });
      else seen.count += fault.count;
    }
    this.bytes += other.bytes;
    this.unsent += other.unsent;
    this.elapsedMs += other.elapsedMs;
  }
}

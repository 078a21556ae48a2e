/**
 * How many workers one pool wants, by its policy. Arithmetic on counts: which workers those are, and how they are
 * replaced, is `pool.ts`.
 *
 *   static    always `maxChildren`
 *   dynamic   `startServers`; then, about once a second, more while fewer than `minSpareServers` are idle (1, 2, 4 … up
 *             to `maxSpawnRate` at a time), and one less while more than `maxSpareServers` are
 *   ondemand  none; one more for each connection that waits while all are busy; a lost or idle one is not wanted back
 *
 * Invariant: the target is at most `maxChildren`, and at least 1 unless the pool is ondemand.
 */
import type { ProcessManagement } from "../config/types.ts";

/** The settings of a pool that decide how many workers it has, resolved. */
export interface PoolPolicy {
  readonly pm: ProcessManagement;
  readonly maxChildren: number;
  readonly startServers: number;
  readonly minSpareServers: number;
  readonly maxSpareServers: number;
  readonly maxSpawnRate: number;
  /** 0 is never. */
  readonly processIdleTimeoutMs: number;
}

/** The workers that count, at one moment. */
export interface Crowd {
  /** Ready, and could take a request. */
  readonly idle: number;
  readonly starting: number;
  /** All that serve or will: idle, starting and busy ones. */
  readonly total: number;
  /** Workers on top of these that hang: they are replaced, and do not serve. */
  readonly stuck: number;
}

/** Idle workers are counted this often. */
const LOOK_EVERY_MS = 1_000;

/** `maxChildren` is reached anew only after some worker was free for this long. */
const CALM_MS = 5_000;

export class PoolSize {
  #policy: PoolPolicy;
  #maxChildren: number; // the policy's, until it is scaled
  #target: number;
  #spawnRate = 1;
  #nextLookAt = Number.NEGATIVE_INFINITY;
  #hasDemand = false; // a connection waits, and nobody is known to take it
  #isFull = false;
  #freeSince: number | undefined = undefined; // within an episode of being full

  constructor(policy: PoolPolicy) {
    this.#policy = policy;
    this.#maxChildren = policy.maxChildren;
    this.#target = startingTarget(policy, this.#maxChildren);
  }

  get policy(): PoolPolicy {
    return this.#policy;
  }

  get maxChildren(): number {
    return this.#maxChildren;
  }

  get target(): number {
    return this.#target;
  }

  /** A connection waits that nobody accepts. */
  demand(): void {
    this.#hasDemand = true;
  }

  /** When the idle ones are counted next; Infinity when nobody counts them. */
  get nextLookAt(): number {
    return this.#policy.pm === "dynamic" ? this.#nextLookAt : Number.POSITIVE_INFINITY;
  }

  /** Changes `maxChildren`, which stays at least 1. @returns what it is now */
  scale(change: number | { to: number }): number {
    this.#maxChildren = Math.max(1, typeof change === "number" ? this.#maxChildren + change : change.to);
    this.#fit();
    return this.#maxChildren;
  }

  /** How many workers a new generation has under a policy: as many as there are wanted now, at least 1. */
  targetUnder(policy: PoolPolicy): number {
    const maxChildren = this.#maxChildrenUnder(policy);
    const isSame = policy.pm === this.#policy.pm && policy.pm !== "static";
    return Math.max(1, isSame ? Math.min(this.#target, maxChildren) : startingTarget(policy, maxChildren));
  }

  /** From now on this policy, beginning with `target` workers. A scaled number stays if the policy's has not changed. */
  apply(policy: PoolPolicy, target: number): void {
    this.#maxChildren = this.#maxChildrenUnder(policy);
    this.#policy = policy;
    this.#target = target;
    this.#fit();
  }

  /** Reconsiders the target. */
  adjust(crowd: Crowd, now: number): void {
    if (this.#policy.pm === "ondemand") this.#adjustToDemand(crowd);
    else if (this.#policy.pm === "dynamic" && now >= this.#nextLookAt) {
      this.#nextLookAt = now + LOOK_EVERY_MS;
      this.#adjustToSpare(crowd);
    }
  }

  /** Whether the pool has just become full: all it may have are there, and busy. True once per episode. */
  becomesFull(crowd: Crowd, now: number): boolean {
    if (this.#freeSince !== undefined && now - this.#freeSince >= CALM_MS) {
      this.#freeSince = undefined;
      this.#isFull = false;
    }
    if (crowd.total < this.#maxChildren || crowd.idle + crowd.starting > 0) {
      if (this.#isFull) this.#freeSince ??= now;
      return false;
    }
    const wasFull = this.#isFull;
    this.#isFull = true;
    this.#freeSince = undefined;
    return !wasFull;
  }

  #adjustToDemand(crowd: Crowd): void {
    const canTake = crowd.idle + crowd.starting > 0 || crowd.total >= this.#maxChildren;
    if (canTake) this.#hasDemand = false;
    const asked = this.#hasDemand ? 1 : 0;
    if (this.#hasDemand) this.#target = crowd.total + 1;
    this.#target = Math.min(this.#target, crowd.total + crowd.stuck + asked);
  }

  #adjustToSpare(crowd: Crowd): void {
    const { minSpareServers, maxSpareServers, maxSpawnRate } = this.#policy;
    const leaving = Math.max(0, crowd.total - this.#target); // as soon as their replacements are ready
    const idle = crowd.idle - leaving;
    const missing = Math.max(1, minSpareServers) - idle - crowd.starting;
    if (idle > Math.max(1, maxSpareServers)) {
      this.#target--;
      this.#spawnRate = 1;
    } else if (missing <= 0) {
      this.#spawnRate = 1;
    } else if (crowd.total >= this.#target) {
      this.#target += Math.min(missing, this.#spawnRate);
      this.#spawnRate = Math.min(this.#spawnRate * 2, Math.max(1, maxSpawnRate));
    }
    this.#fit();
  }

  #fit(): void {
    this.#target =
      this.#policy.pm === "static" ? this.#maxChildren : Math.min(this.#target, this.#maxChildren);
  }

  #maxChildrenUnder(policy: PoolPolicy): number {
    return policy.maxChildren === this.#policy.maxChildren ? this.#maxChildren : policy.maxChildren;
  }
}

function startingTarget(policy: PoolPolicy, maxChildren: number): number {
  switch (policy.pm) {
    case "static":
      return maxChildren;
    case "dynamic":
      return Math.min(Math.max(1, policy.startServers), maxChildren);
    case "ondemand":
      return 0;
  }
}

/**
 * Counts durations: exact to 0.8 %, from a microsecond to a day, in memory that does not grow. Buckets are 128 to each
 * power of two, so that the error is the same share of a small and of a large value, and histograms can be added.
 */

const SUB_BITS = 7;
const SUB_BUCKETS = 2 ** SUB_BITS;
/** 2^37 µs are 38 hours. */
const POWERS = 37 - SUB_BITS;

/** The unit that values are counted in, in ms. */
const UNIT_MS = 0.001;

export class Histogram {
  readonly #counts: Float64Array = new Float64Array((POWERS + 2) * SUB_BUCKETS);
  #count = 0;
  #sum = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;

  get count(): number {
    return this.#count;
  }

  /** All in ms; of nothing they are 0. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  get least(): number {
    return this.#count === 0 ? 0 : this.#least;
  }

  get most(): number {
    return this.#most;
  }

  /** @param ms what is below a microsecond counts as that, what is longer than a day as a day */
  add(ms: number): void {
    this.#counts[indexOf(ms)]!++;
    this.#count++;
    this.#sum += ms;
    if (ms < this.#least) this.#least = ms;
    if (ms > this.#most) this.#most = ms;
  }

  addAll(other: Histogram): void {
    for (let index = 0; index < this.#counts.length; index++) this.#counts[index]! += other.#counts[index]!;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#least = Math.min(this.#least, other.#least);
    this.#most = Math.max(this.#most, other.#most);
  }

  /** The value that `percent` of all values do not exceed, in ms, by nearest rank. */
  percentile(percent: number): number {
    if (this.#count === 0) return 0;
    const rank = Math.max(1, Math.ceil((percent / 100) * this.#count));
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index]!;
      if (seen >= rank) return Math.min(Math.max(middleOf(index), this.#least), this.#most);
    }
    return this.#most;
  }

  /** How many values lie in each of `edges.length + 1` ranges: below the first edge, between two, above the last. */
  between(edges: readonly number[]): number[] {
    const counts = new Array<number>(edges.length + 1).fill(0);
    for (let index = 0; index < this.#counts.length; index++) {
      const count = this.#counts[index]!;
      if (count === 0) continue;
      const ms = middleOf(index);
      const range = edges.findIndex((edge) => ms < edge);
      counts[range < 0 ? edges.length : range]! += count;
    }
    return counts;
  }
}

/** Below 2^SUB_BITS units each unit has a bucket of its own; above, the leading bits choose. */
function indexOf(ms: number): number {
  const units = Math.max(1, Math.min(Math.round(ms / UNIT_MS), 2 ** (POWERS + SUB_BITS) - 1));
  if (units < SUB_BUCKETS) return units;
  const power = Math.floor(Math.log2(units)) - SUB_BITS;
  return (power + 1) * SUB_BUCKETS + Math.floor(units / 2 ** power) - SUB_BUCKETS;
}

/** The middle of a bucket, in ms. */
function middleOf(index: number): number {
  if (index < SUB_BUCKETS) return index * UNIT_MS;
  const power = Math.floor(index / SUB_BUCKETS) - 1;
  const low = ((index % SUB_BUCKETS) + SUB_BUCKETS) * 2 ** power;
  return (low + (2 ** power - 1) / 2) * UNIT_MS;
}

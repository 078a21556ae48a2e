/**
 * Feeds a byte vector in every way a socket might deliver it: whole, byte by byte, at random cuts, and with bytes
 * of something else behind it. The order of bytes is all a protocol may depend on, so the caller expects the same
 * outcome each time.
 */

/** One way of delivering a vector. */
export interface Feeding {
  /** `whole`, `byte by byte`, `random cuts, seed 7`, `with trailing bytes`. */
  readonly name: string;
  /** Each chunk is memory of its own, so that reading past its end finds nothing. */
  readonly chunks: readonly Buffer[];
  /** Bytes behind the vector, 0 unless this is the feeding with trailing bytes. */
  readonly trailingBytes: number;
}

export interface FeedOptions {
  /** Bytes to put behind the vector; without them that feeding is left out. */
  readonly trailing?: Uint8Array;
  /** How many random ways to cut. @default 5 */
  readonly randomRuns?: number;
  /** Repeats a failure. @default the environment's POSTERN_SEED, else a new one */
  readonly seed?: number;
  /** Vectors longer than this are not fed byte by byte. @default 100000 */
  readonly byteByByteLimitBytes?: number;
}

/** A small seeded generator (mulberry32): the same seed, the same numbers, each at least 0 and below 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed of this run: POSTERN_SEED, or a new one each time. */
export function freshSeed(): number {
  const given = process.env["POSTERN_SEED"];
  return given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
}

/** Copies `bytes` into chunks of the given sizes; the last takes the rest. */
export function cutAt(bytes: Uint8Array, sizes: Iterable<number>): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) break;
    chunks.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  if (at < bytes.length) chunks.push(Buffer.from(bytes.subarray(at)));
  return chunks;
}

/** Chunks of random size: mostly small ones, because that is where headers and lengths are cut. */
export function randomCuts(bytes: Uint8Array, random: () => number): Buffer[] {
  // The largest chunk is drawn once per vector, so that some runs are all crumbs and some are a few big pieces.
  const most = Math.max(2, Math.ceil(bytes.length ** random()));
  return cutAt(
    bytes,
    (function* (): Generator<number> {
      for (;;) yield 1 + Math.floor(random() * most);
    })(),
  );
}

/** All the ways to feed `bytes`. */
export function feedings(bytes: Uint8Array, options: FeedOptions = {}): Feeding[] {
  const all: Feeding[] = [{ name: "whole", chunks: [Buffer.from(bytes)], trailingBytes: 0 }];
  if (bytes.length <= (options.byteByByteLimitBytes ?? 100_000)) {
    const ones = Array.from(bytes, (byte) => Buffer.from([byte]));
    all.push({ name: "byte by byte", chunks: ones, trailingBytes: 0 });
  }
  const seed = options.seed ?? freshSeed();
  for (let run = 0; run < (options.randomRuns ?? 5); run++) {
    const name = `random cuts, run ${run}, POSTERN_SEED=${seed}`;
    all.push({ name, chunks: randomCuts(bytes, seededRandom(seed + run)), trailingBytes: 0 });
  }
  if (options.trailing) {
    const chunks = [Buffer.concat([bytes, options.trailing])];
    all.push({ name: "with trailing bytes", chunks, trailingBytes: options.trailing.length });
  }
  return all;
}

function named(error: unknown, feeding: Feeding): Error {
  const failure = error instanceof Error ? error : new Error(String(error));
  // The same error, so that the test runner still shows its diff.
  failure.message = `fed ${feeding.name}: ${failure.message}`;
  return failure;
}

/** Calls `check` for every feeding. A failure says which one, and the seed that repeats it. */
export function feedEveryWay(
  bytes: Uint8Array,
  check: (feeding: Feeding) => void,
  options?: FeedOptions,
): void {
  for (const feeding of feedings(bytes, options)) {
    try {
      check(feeding);
    } catch (error) {
      throw named(error, feeding);
    }
  }
}

/** {@link feedEveryWay} for a `check` that waits, one feeding after the other. */
export async function feedEveryWayAsync(
  bytes: Uint8Array,
  check: (feeding: Feeding) => Promise<void>,
  options?: FeedOptions,
): Promise<void> {
  for (const feeding of feedings(bytes, options)) {
    try {
      await check(feeding);
    } catch (error) {
      throw named(error, feeding);
    }
  }
}

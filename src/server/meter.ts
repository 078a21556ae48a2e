// HOT
/**
 * Counts what requests come to: answers by class of status, how long they took, how much was sent. Only adds; whoever
 * shows the numbers works on a copy, once in a while.
 */
import type { Exchange } from "./exchange.ts";
import type { ServerObserver } from "./hooks.ts";
import { Tally } from "./tally.ts";

/** Upper bounds of the histogram of durations, in seconds: those OpenTelemetry gives for HTTP servers. */
export const DURATION_BOUNDS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];
/** Answers by class: none (the visitor left before there was one), 1xx to 5xx. */
export const CLASSES: readonly string[] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/** Where in the numbers of a meter what stands. */
export const METER_AT = { classes: 0, sentBytes: 6, seconds: 7, buckets: 8 } as const;
/** How many numbers there are; the last bucket has no upper bound. */
export const METER_LENGTH: number = METER_AT.buckets + DURATION_BOUNDS.length + 1;

export class Meter implements ServerObserver {
  readonly #numbers = new Float64Array(METER_LENGTH);

  /** A copy of all numbers, see {@link METER_AT}. */
  read(): number[] {
    return Array.from(this.#numbers);
  }

  onRequestBegin(exchange: Exchange): void {
    Tally.begin(exchange);
  }

  onRequestEnd(exchange: Exchange): void {
    const { head, status, durationMs, sentBytes } = Tally.end(exchange);
    const numbers = this.#numbers;
    const seconds = durationMs / 1000;
    const kind = head === "" ? 0 : Math.min(5, (status / 100) | 0);
    numbers[METER_AT.classes + kind]!++;
    numbers[METER_AT.sentBytes]! += sentBytes;
    numbers[METER_AT.seconds]! += seconds;
    let bucket = 0;
    while (bucket < DURATION_BOUNDS.length && seconds > DURATION_BOUNDS[bucket]!) bucket++;
    numbers[METER_AT.buckets + bucket]!++;
  }
}

/**
 * Two targets side by side. The ratio of each round is taken by itself: within a round both met the same machine. Where
 * the ratios of the rounds lie on both sides of 1, there is no difference that could be told from noise.
 */
import { figures, inMs } from "./draw.ts";
import type { BenchOptions, Result, Round } from "./run.ts";
import type { Tally } from "./tally.ts";

export interface ComparedRow {
  readonly label: string;
  readonly first: string;
  readonly second: string;
  /** Second to first: the median of the rounds, and the least and most of them. */
  readonly ratio?: number;
  readonly least?: number;
  readonly most?: number;
}

export interface Comparison {
  readonly name: string;
  readonly other: string;
  readonly rows: readonly ComparedRow[];
  /** One sentence about the figure that counts: answers a second, or at a fixed rate the 99th percentile. */
  readonly verdict: string;
}

export function requestsPerSecond(tally: Tally): number {
  return tally.elapsedMs === 0 ? 0 : (tally.answers / tally.elapsedMs) * 1000;
}

/** In ms, over all rounds whose processes could be seen. */
export function cpuPerRequest({ rounds }: Result): number | undefined {
  const seen = rounds.filter(({ used, tally }) => used !== undefined && tally.answers > 0);
  const answers = seen.reduce((sum, { tally }) => sum + tally.answers, 0);
  return answers === 0 ? undefined : seen.reduce((sum, { used }) => sum + used!.cpuMs, 0) / answers;
}

interface Figure {
  readonly label: string;
  readonly print: (value: number) => string;
  readonly of: (round: Round) => number | undefined;
}

const PER_SECOND: Figure = {
  label: "requests a second",
  print: figures,
  of: ({ tally }) => requestsPerSecond(tally),
};
const percentile = (percent: number): Figure => ({
  label: `${percent} %`,
  print: inMs,
  of: ({ tally }) => (tally.answers === 0 ? undefined : tally.latency.percentile(percent)),
});
const P99 = percentile(99);
const CPU: Figure = {
  label: "CPU a request",
  print: inMs,
  of: ({ used, tally }) =>
    used === undefined || tally.answers === 0 ? undefined : used.cpuMs / tally.answers,
};

export function compare(first: Result, second: Result, { rate }: Pick<BenchOptions, "rate">): Comparison {
  const name = first.target.name;
  const other = second.target.name;
  const deciding = rate === undefined ? PER_SECOND : P99;
  const rows = [PER_SECOND, percentile(50), P99, CPU].map((figure) => rowOf(figure, first, second));
  return {
    name,
    other,
    rows,
    verdict: verdictOf(rowOf(deciding, first, second), rate === undefined, name, other),
  };
}

function rowOf({ label, print, of }: Figure, first: Result, second: Result): ComparedRow {
  const rounds = Math.min(first.rounds.length, second.rounds.length);
  const pairs = Array.from({ length: rounds }, (_none, index) => [
    of(first.rounds[index]!),
    of(second.rounds[index]!),
  ]);
  const whole = pairs.filter((pair): pair is [number, number] => pair.every((value) => value !== undefined));
  const ratios = whole
    .filter(([one]) => one > 0)
    .map(([one, two]) => two / one)
    .sort((one, two) => one - two);
  const texts = {
    label,
    first: whole.length === 0 ? "-" : print(median(whole.map(([one]) => one))),
    second: whole.length === 0 ? "-" : print(median(whole.map(([, two]) => two))),
  };
  if (ratios.length === 0) return texts;
  return { ...texts, ratio: median(ratios), least: ratios[0]!, most: ratios.at(-1)! };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function verdictOf(
  { label, ratio, least, most }: ComparedRow,
  isMoreBetter: boolean,
  name: string,
  other: string,
): string {
  if (ratio === undefined || least === undefined || most === undefined)
    return "Nothing was measured that could be compared.";
  if (least === most)
    return `${label}: ${other} has ${figures(ratio)} times that of ${name}, in a single round: --rounds shows how much of it is noise.`;
  if (least <= 1 && most >= 1)
    return `${label}: no difference beyond noise (${figures(least)} to ${figures(most)}).`;
  const isBetter = isMoreBetter ? ratio > 1 : ratio < 1;
  return `${label}: ${other} has ${figures(ratio)} times that of ${name} (${figures(least)} to ${figures(most)} over the rounds), which is ${isBetter ? "better" : "worse"}.`;
}

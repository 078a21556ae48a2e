/** What a benchmark says, as text and as JSON. */
import { bytes, counted, pad, printable } from "../../status/text.ts";
import { type Comparison, compare, cpuPerRequest, requestsPerSecond } from "./compare.ts";
import { drawHistogram, figures, inMs } from "./draw.ts";
import type { Histogram } from "./histogram.ts";
import type { BenchOptions, Result } from "./run.ts";

const PERCENTS = [50, 75, 90, 95, 99, 99.9] as const;

export interface ReportStyle {
  readonly columns: number;
  readonly hasBlocks: boolean;
}

export function printResults(results: readonly Result[], options: BenchOptions, style: ReportStyle): string {
  const lines = results.flatMap((result) => [...resultLines(result, options, style), ""]);
  const [first, ...others] = results;
  for (const other of others) lines.push(...comparisonLines(compare(first!, other, options)), "");
  return `${lines.join("\n").trimEnd()}\n`;
}

function resultLines(result: Result, options: BenchOptions, style: ReportStyle): string[] {
  const { target, tally } = result;
  const { method } = target.shot;
  const rows: [string, string][] = [
    ["requests", `${tally.answers}, ${figures(requestsPerSecond(tally))} a second`],
    [
      "bytes",
      `${bytes(tally.bytes)}, ${bytes((tally.bytes / Math.max(tally.elapsedMs, 1)) * 1000)} a second`,
    ],
    ["latency", summary(tally.latency)],
    ["first byte", summary(tally.firstByte)],
    ...PERCENTS.map((percent): [string, string] => [`${percent} %`, inMs(tally.latency.percentile(percent))]),
    [
      "statuses",
      [...tally.statuses]
        .sort()
        .map(([status, count]) => `${status}: ${count}`)
        .join(", ") || "none",
    ],
    ...faultRows(result),
    ...usageRows(result),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return [
    `${printable(target.name)}  ${method} ${printable(target.shot.target)}`,
    ...rows.map(([label, text]) => `  ${pad(label, width, "right")}  ${text}`),
    "",
    ...drawHistogram(tally.latency, style.columns - 2, style.hasBlocks).map((line) => `  ${line}`),
    ...warnings(result, options).map((line) => `  ${line}`),
  ];
}

function summary(histogram: Histogram): string {
  if (histogram.count === 0) return "-";
  return `least ${inMs(histogram.least)}, mean ${inMs(histogram.mean)}, most ${inMs(histogram.most)}`;
}

function faultRows({ tally, comparesBodies }: Result): [string, string][] {
  const faults = [...tally.faults.values()].map(({ kind, count, example }): [string, string] => [
    "wrong",
    `${count} × ${kind}: ${printable(example)}`,
  ]);
  const checked = comparesBodies ? "status, length and body" : "status and length";
  if (faults.length === 0) return [["wrong", `none; ${checked} of every answer were checked`]];
  return faults;
}

function usageRows(result: Result): [string, string][] {
  const rows: [string, string][] = [];
  const used = result.rounds.at(-1)?.used;
  const each = cpuPerRequest(result);
  if (used !== undefined && each !== undefined) {
    const processes = counted(used.processes, "process").replace("processs", "processes");
    rows.push(["server", `${inMs(each)} of CPU a request; ${processes}, ${bytes(used.memoryBytes)}`]);
  }
  const own = result.rounds.reduce((sum, round) => sum + round.ownCpuMs, 0);
  const perAnswer =
    result.tally.answers === 0 ? "" : `${inMs(own / result.tally.answers)} of CPU a request, `;
  rows.push(["generator", `${perAnswer}${Math.round(busyness(result) * 100)} % busy`]);
  return rows;
}

function busyness({ rounds }: Result): number {
  return Math.max(0, ...rounds.map((round) => round.ownBusy));
}

/** What a reader must know before believing the numbers. */
function warnings(result: Result, { rate }: BenchOptions): string[] {
  const { tally } = result;
  const found: string[] = [];
  if (busyness(result) > 0.9) {
    found.push("! The generator was busy nearly all the time: the target may be faster than this.");
  }
  if (!result.comparesBodies) {
    found.push("! Two answers had different bodies, so bodies were not compared; --expect-body does.");
  }
  if (rate === undefined) {
    found.push(
      "Closed loop: while the target stalls it is asked less, so these times are not what visitors would wait; --rate measures that.",
    );
  } else {
    const late = tally.lateness;
    const reached = requestsPerSecond(tally);
    if (reached < rate * 0.95) {
      found.push(`! ${rate} requests a second were due, ${figures(reached)} were answered.`);
    }
    if (tally.unsent > 0)
      found.push(`! The rate could not be kept: ${tally.unsent} requests were due and never sent.`);
    if (late.count > 0 && late.percentile(99) > 5) {
      const waited = `99 % within ${inMs(late.percentile(99))}, at most ${inMs(late.most)}`;
      found.push(`Requests waited for a free connection (${waited}); the times above count that.`);
    }
  }
  return found;
}

function comparisonLines({ name, other, rows, verdict }: Comparison): string[] {
  const table = [
    ["", name, other, "ratio", "over the rounds"],
    ...rows.map(({ label, first, second, ratio, least, most }) => {
      const spread = least === undefined ? "" : `${figures(least)} … ${figures(most!)}`;
      return [label, first, second, ratio === undefined ? "-" : figures(ratio), spread];
    }),
  ].map((row) => row.map(printable));
  const widths = table[0]!.map((_cell, column) => Math.max(...table.map((row) => row[column]!.length)));
  return [
    ...table.map((row) =>
      row
        .map((cell, column) => pad(cell, widths[column]!, "right"))
        .join("  ")
        .trimEnd(),
    ),
    "",
    verdict,
  ];
}

/** Times in ms. */
export function jsonResults(results: readonly Result[], options: BenchOptions): object {
  const [first, ...others] = results;
  return {
    options: {
      connections: options.connections,
      multiplex: options.multiplex,
      keepAlive: options.keepAlive,
      rate: options.rate ?? null,
      warmUpMs: options.warmUpMs,
      rounds: options.rounds,
    },
    targets: results.map((result) => jsonResult(result)),
    comparisons: others.map((other) => compare(first!, other, options)),
  };
}

function jsonResult(result: Result): object {
  const { target, tally, rounds, comparesBodies } = result;
  return {
    target: target.name,
    method: target.shot.method,
    path: target.shot.target,
    requests: tally.answers,
    elapsedMs: tally.elapsedMs,
    requestsPerSecond: requestsPerSecond(tally),
    bytes: tally.bytes,
    latencyMs: jsonHistogram(tally.latency),
    firstByteMs: jsonHistogram(tally.firstByte),
    latenessMs: jsonHistogram(tally.lateness),
    statuses: Object.fromEntries(tally.statuses),
    wrong: [...tally.faults.values()],
    unsent: tally.unsent,
    comparesBodies,
    server:
      target.pid === undefined
        ? null
        : {
            pid: target.pid,
            cpuMsPerRequest: cpuPerRequest(result) ?? null,
            memoryBytes: rounds.at(-1)?.used?.memoryBytes ?? null,
          },
    generator: { cpuMs: rounds.reduce((sum, { ownCpuMs }) => sum + ownCpuMs, 0), busy: busyness(result) },
    rounds: rounds.map((round) => ({
      requests: round.tally.answers,
      requestsPerSecond: requestsPerSecond(round.tally),
      latencyMs: jsonHistogram(round.tally.latency),
      serverCpuMs: round.used?.cpuMs ?? null,
    })),
  };
}

function jsonHistogram(histogram: Histogram): object {
  const percentiles = PERCENTS.map((percent) => [`p${percent}`, histogram.percentile(percent)]);
  return {
    least: histogram.least,
    mean: histogram.mean,
    most: histogram.most,
    ...Object.fromEntries(percentiles),
  };
}

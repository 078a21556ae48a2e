/**
 * Families of metrics → the OpenMetrics 1.0 text format, which Prometheus reads. Pure; what is measured is metrics.ts's.
 */

export type Labels = Readonly<Record<string, string>>;

/** One value; of a histogram, with the end of its name. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  readonly suffix?: "_bucket" | "_count" | "_sum";
}

export interface Family {
  /** Without the `_total` of a counter. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram" | "info";
  /** Then the name ends in it. */
  readonly unit?: "seconds" | "bytes";
  readonly help: string;
  readonly samples: readonly Sample[];
}

export const OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0";

/** What the name of a sample ends in, where it does not say itself. */
const SUFFIX = { counter: "_total", gauge: "", histogram: "", info: "_info" } as const;

/** Families without samples are left out. */
export function openMetricsText(families: readonly Family[]): string {
  const lines = families
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, type, unit, help, samples }) => [
      `# TYPE ${name} ${type}`,
      ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
      `# HELP ${name} ${escaped(help)}`,
      ...samples.map(
        ({ suffix, labels, value }) =>
          `${name}${suffix ?? SUFFIX[type]}${labelsText(labels)} ${numberText(value)}`,
      ),
    ]);
  return `${[...lines, "# EOF"].join("\n")}\n`;
}

/** A bound of a histogram: always with a point, so that it is the same text everywhere. */
export function boundText(bound: number): string {
  if (bound === Number.POSITIVE_INFINITY) return "+Inf";
  return Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
}

function labelsText(labels: Labels): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return all.length === 0 ? "" : `{${all.join(",")}}`;
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

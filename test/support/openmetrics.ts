/**
 * Reads OpenMetrics 1.0 text as strictly as its specification is written: order and uniqueness of families, names of
 * samples by type, labels, escapes, numbers, histograms that add up, the end. Throws at the first thing that is wrong.
 */
export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ReadFamily {
  readonly type: string;
  readonly unit: string | undefined;
  readonly help: string | undefined;
  readonly samples: readonly ReadSample[];
}

interface Open {
  readonly name: string;
  type: string;
  unit: string | undefined;
  help: string | undefined;
  readonly samples: ReadSample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ["_total"],
  gauge: [""],
  histogram: ["_bucket", "_count", "_sum"],
  info: ["_info"],
};

export function readOpenMetrics(text: string): ReadonlyMap<string, ReadFamily> {
  const families = new Map<string, ReadFamily>();
  if (!text.endsWith("# EOF\n")) throw new Error("it does not end in # EOF and a line feed");
  const lines = text.slice(0, -"# EOF\n".length).split("\n");
  if (lines.pop() !== "") throw new Error("# EOF is not on a line of its own");
  let open: Open | undefined;
  const close = (): void => {
    if (open === undefined) return;
    check(open);
    families.set(open.name, open);
    open = undefined;
  };
  for (const line of lines) {
    const [, kind = "", name = "", rest = ""] =
      /^# (TYPE|UNIT|HELP) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line) ?? [];
    if (kind !== "") {
      if (open?.name !== name) {
        close();
        if (families.has(name)) throw new Error(`${name} comes twice`);
        open = { name, type: "unknown", unit: undefined, help: undefined, samples: [] };
      }
      if (open.samples.length > 0) throw new Error(`${line} comes after samples`);
      if (kind === "TYPE") open.type = rest;
      else if (kind === "UNIT") open.unit = rest;
      else open.help = plainText(rest);
    } else {
      const sample = readSample(line);
      if (open === undefined || !namesOf(open).includes(sample.name))
        throw new Error(`${line} is of no family`);
      open.samples.push(sample);
    }
  }
  close();
  return families;
}

function namesOf({ name, type }: Open): string[] {
  return (SUFFIXES[type] ?? []).map((suffix) => name + suffix);
}

function readSample(line: string): ReadSample {
  const [, name = "", all, number = ""] =
    /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"(?:,(?!\})|(?=\})))*)\})? (\S+)$/.exec(
      line,
    ) ?? [];
  if (!/^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?Inf|NaN)$/i.test(number))
    throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = "", value = ""] of (all ?? "").matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    if (label in labels) throw new Error(`the label ${label} comes twice: ${line}`);
    labels[label] = plainText(value);
  }
  return { name, labels, value: Number(number.replace(/Inf$/i, "Infinity")) };
}

function plainText(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => {
    if (!'\\"n'.includes(character)) throw new Error(`no escape: \\${character}`);
    return character === "n" ? "\n" : character;
  });
}

function check({ name, type, unit, samples }: Open): void {
  if (!(type in SUFFIXES)) throw new Error(`${name} has the type ${type}`);
  if (unit !== undefined && !name.endsWith(`_${unit}`))
    throw new Error(`${name} does not end in its unit, ${unit}`);
  if (type === "counter" && name.endsWith("_total")) throw new Error(`${name}: _total is for the samples`);
  const seen = new Set<string>();
  for (const sample of samples) {
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    if (seen.has(key)) throw new Error(`${key} comes twice`);
    seen.add(key);
    if (type !== "gauge" && !(sample.value >= 0)) throw new Error(`${key} is ${sample.value}`);
  }
  if (type === "histogram") checkHistograms(name, samples);
}

function checkHistograms(name: string, samples: readonly ReadSample[]): void {
  const groups = new Map<string, ReadSample[]>();
  for (const sample of samples) {
    const { le: _, ...others } = sample.labels;
    const key = JSON.stringify(others);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => Number((labels["le"] ?? "").replace("Inf", "Infinity")));
    if (bounds.some((bound, at) => !(bound > (bounds[at - 1] ?? -1))))
      throw new Error(`${name}${key}: bounds ${bounds.join()}`);
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name}${key} has no bucket +Inf`);
    if (buckets.some(({ value }, at) => value < (buckets[at - 1]?.value ?? 0)))
      throw new Error(`${name}${key} falls`);
    const count = group.find((sample) => sample.name === `${name}_count`);
    if (count?.value !== buckets.at(-1)?.value)
      throw new Error(`${name}${key}: its count is not its last bucket`);
    if (!group.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name}${key} has no sum`);
  }
}

/**
 * Writes the tables of docs/performance.md from the measurements in docs/performance/*.json, which are what the benchmark
 * printed with --json. Run it after new ones were put there: `node scripts/performance-doc.mjs`; with --print it shows the page and writes nothing.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { root } from "./steps.mjs";

const folder = join(root, "docs", "performance");
const path = join(root, "docs", "performance.md");

const read = (prefix) =>
  readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && name.endsWith(".json"))
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));

const number = (value) =>
  value === null || value === undefined ? "–" : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
const ratio = (value, unit) => (value === null || value === undefined ? "–" : `${number(value)}${unit}`);
const inCell = (text) => String(text).replaceAll("|", "\\|");

function table(head, rows) {
  const line = (cells) => `| ${cells.map(inCell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** One line a comparison, a column a version of Node. */
function goals() {
  const results = read("goals-");
  const nodes = [...new Set(results.map(({ node }) => node))];
  const lines = new Map();
  for (const result of results) {
    const key = [result.row, result.work, result.mode, result.peer].join("\n");
    const line = lines.get(key) ?? { result, cells: new Map() };
    const { measured, minima, unit, verdict } = result;
    const text = `${ratio(measured, unit)} (${ratio(minima, unit)})`;
    const mark = verdict === "missed" ? "missed" : verdict === "missing" ? "no figure" : verdict;
    line.cells.set(result.node, measured === null ? "–" : mark === "-" ? text : `${text} **${mark}**`);
    lines.set(key, line);
  }
  const rows = [...lines.values()].map(({ result, cells }) => [
    result.row,
    result.work.replace(/ \/ .*/, ""),
    result.mode ?? "–",
    result.peer ?? "–",
    result.gate === null ? "–" : `${number(result.gate)} / ${number(result.goal)}`,
    ...nodes.map((node) => cells.get(node) ?? "–"),
  ]);
  return table(["#", "work", "of ours", "peer", "gate / goal", ...nodes.map((node) => `Node ${node}`)], rows);
}

function scaling() {
  const blocks = [];
  for (const { series, unit, points, exponent, verdict } of read("scaling-")) {
    const each = points.map(({ size, cost, perByteNs, kibEach }) => {
      const more = [
        perByteNs === undefined ? undefined : `${perByteNs.toFixed(2)} ns a byte`,
        kibEach === undefined ? undefined : `${kibEach.toFixed(1)} KiB each`,
      ].filter((text) => text !== undefined);
      return `${size.toLocaleString("en")}: ${number(cost)}${more.length > 0 ? ` (${more.join(", ")})` : ""}`;
    });
    blocks.push([series, unit, each.join("; "), `n^${exponent.toFixed(2)}, ${verdict}`]);
  }
  return table(["what there is more of", "unit", "CPU µs per request", "the whole cost grows as"], blocks);
}

function startUp() {
  const results = read("start-up-");
  return table(
    ["Node", "start", "ms until the first answer", "CPU ms", "private memory, MB"],
    results.map(({ node, name, cache, ms, minMs, cpuMs, minCpuMs, processes }) => [
      node,
      cache ? `${name}, compile cache` : name,
      `${ms.toFixed(0)} (${minMs.toFixed(0)})`,
      `${cpuMs.toFixed(0)} (${minCpuMs.toFixed(0)})`,
      processes.map((one) => one.private.toFixed(1)).join(" + "),
    ]),
  );
}

function profiles() {
  const percent = (share) => `${Math.round(100 * share)} %`;
  return table(
    [
      "flame graph",
      "CPU µs per request",
      "of it in the kernel",
      "Postern",
      "application",
      "Node's JavaScript",
      "native",
    ],
    read("profiles-").map(({ file, shares, userUs, systemUs }) => [
      // docs/performance/node20/fetch-hello.svg
      `[${basename(file, ".svg")}, ${basename(dirname(file))}](${file.replace("docs/", "")})`,
      number(userUs + systemUs),
      percent(systemUs / (userUs + systemUs)),
      ...["postern", "application", "node", "native"].map((owner) => percent(shares[owner] ?? 0)),
    ]),
  );
}

/** The page with its tables as they are to be. */
function withTables(page) {
  let whole = page;
  for (const [name, write] of Object.entries({ goals, scaling, startUp, profiles })) {
    const [start, end] = [`<!-- ${name}: scripts/performance-doc.mjs -->`, `<!-- /${name} -->`];
    const from = whole.indexOf(start);
    const to = whole.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/performance.md: the marks of ${name} are missing`);
    whole = `${whole.slice(0, from)}${start}\n\n${write()}\n\n${whole.slice(to)}`;
  }
  return whole;
}

const written = withTables(readFileSync(path, "utf8"));
if (process.argv[2] === "--print") process.stdout.write(written);
else writeFileSync(path, written);

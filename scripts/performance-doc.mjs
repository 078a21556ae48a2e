/**
 * Writes the tables of docs/performance.md and docs/python.md from the measurements in docs/performance/*.json, which are
 * what the benchmark printed with --json. Run it after new ones were put there: `node scripts/performance-doc.mjs`; with
 * `--print docs/performance.md` it shows that page and writes nothing.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { root } from "./steps.mjs";

const folder = join(root, "docs", "performance");
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

/** Every figure of the servers for Python. */
function python() {
  const rows = read("python").map(({ work, candidate, measured, toPostern, missing, version }) => {
    const name = version === undefined ? candidate : `${candidate} (${version})`;
    if (measured === null) return [work, name, `no figure: ${missing}`, "–", "–", "–", "–"];
    const { perSecond, cpuUs, managerUs, nginxUs, memoryMb, managerMb, rssMb } = measured;
    return [
      work,
      name,
      number(perSecond),
      managerUs < 0.05 ? number(cpuUs) : `${number(cpuUs)}, manager ${number(managerUs)}`,
      toPostern === null ? "–" : `${number(toPostern.cpuUs)} (${number(toPostern.minCpuUs)})`,
      number(nginxUs),
      `${number(memoryMb)}${managerMb > 0 ? `, manager ${number(managerMb)}` : ""} (${number(rssMb)})`,
    ];
  });
  return table(
    ["work", "server", "requests/s", "CPU µs", "/ Postern's worker", "nginx's µs", "memory (RSS), MB"],
    rows,
  );
}

/** Processor time of each server for Python in each work, as ratios; and memory. */
function pythonShort() {
  const results = read("python");
  const works = [...new Set(results.map(({ work }) => work))];
  const rows = [...new Set(results.map(({ candidate }) => candidate))].map((candidate) => {
    const cells = works.map((work) => {
      const found = results.find((one) => one.work === work && one.candidate === candidate);
      return number(found?.toPostern?.cpuUs);
    });
    const { measured } = results.find((one) => one.candidate === candidate);
    if (measured === null) return [candidate, ...cells, "–"];
    const { memoryMb, managerMb } = measured;
    const manager = managerMb > 0 ? ` + ${number(managerMb)}` : "";
    return [candidate, ...cells, `${number(memoryMb - managerMb)}${manager}`];
  });
  return table(["server", ...works, "memory, MB"], rows);
}

/** By page, and by the name of the mark in it. */
const PAGES = {
  "docs/performance.md": { goals, scaling, startUp, profiles, python },
  "docs/python.md": { pythonShort },
};

/** The page with its tables as they are to be. */
function withTables(name) {
  let whole = readFileSync(join(root, name), "utf8");
  for (const [mark, write] of Object.entries(PAGES[name])) {
    const [start, end] = [`<!-- ${mark}: scripts/performance-doc.mjs -->`, `<!-- /${mark} -->`];
    const from = whole.indexOf(start);
    const to = whole.indexOf(end);
    if (from < 0 || to < from) throw new Error(`${name}: the marks of ${mark} are missing`);
    whole = `${whole.slice(0, from)}${start}\n\n${write()}\n\n${whole.slice(to)}`;
  }
  return whole;
}

const [flag, page] = process.argv.slice(2);
if (flag === "--print") process.stdout.write(withTables(page));
else for (const name of Object.keys(PAGES)) writeFileSync(join(root, name), withTables(name));

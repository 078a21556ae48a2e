/**
 * What the tests found behind each web server, as a table server × behaviour, from Vitest's JSON report. The outermost
 * title of such a test is `site | COLUMN | SITE`, its own `CHAPTER: SENTENCE`: a row. What a test leaves in its meta is
 * declared in test/support/e2e/observed.ts. `npm test` prints the counts and leaves the report; `node
 * scripts/server-matrix.mjs` then writes the whole table into docs/web-servers.md.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { marked, readReport, writeBetween } from "./report.mjs";
import { root } from "./steps.mjs";

const PAGE = join(root, "docs", "web-servers.md");
const BEGIN = "<!-- matrix: written by scripts/server-matrix.mjs -->";
const END = "<!-- end of matrix -->";

/** Web servers in this order; whoever else starts applications comes after them. */
const COLUMNS = [
  "nginx",
  "nginx current",
  "Apache mod_proxy_fcgi",
  "Apache mod_fcgid",
  "lighttpd",
  "lighttpd current",
  "Caddy",
  "Caddy current",
  "HAProxy",
  "HAProxy current",
  "h2o",
];

/** These come after the chapters about requests, in this order. */
const LAST_CHAPTERS = ["failure", "reload", "started"];

/**
 * @returns `columns`: name → version and sites; `chapters`: chapter → row → column → what was seen on its sites
 */
export function tallySites(report) {
  const columns = new Map();
  const chapters = new Map();
  let isThorough = false;
  for (const { first: name, second: site, test } of marked(report, "site")) {
    const { version, left = {}, thorough } = test.meta ?? {};
    const column = columns.get(name) ?? { versions: new Set(), sites: new Set(), left: new Map() };
    columns.set(name, column);
    if (version !== undefined) column.versions.add(version);
    if (thorough) isThorough = true;
    for (const [row, why] of Object.entries(left)) column.left.set(row, why);
    if (test.status !== "passed" && test.status !== "failed") continue;
    column.sites.add(site);
    const [, chapter, row] = /^([^:]+): (.*)$/s.exec(test.title) ?? [];
    if (row === undefined) continue;
    const rows = getOr(chapters, chapter, () => new Map());
    getOr(
      getOr(rows, row, () => new Map()),
      name,
      () => [],
    ).push(outcome(test));
  }
  const order = [...COLUMNS, ...[...columns.keys()].filter((name) => !COLUMNS.includes(name)).sort()];
  return {
    columns: new Map(order.filter((name) => columns.has(name)).map((name) => [name, columns.get(name)])),
    chapters: new Map([...chapters].sort(([a], [b]) => LAST_CHAPTERS.indexOf(a) - LAST_CHAPTERS.indexOf(b))),
    isThorough,
  };
}

function outcome({ status, meta = {} }) {
  if (status === "failed") return { word: "✗" };
  return { word: meta.observed ?? "✓", because: meta.because };
}

function getOr(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

/** Counts for the terminal: a server in each line, a chapter in each column, `PASSED` or `PASSED/ALL`. */
export function matrixLines({ columns, chapters }) {
  if (columns.size === 0) return [];
  const names = [...chapters.keys()];
  const rows = [["", ...names]];
  for (const [column, { versions, sites }] of columns) {
    const title = `${withVersion(column, versions)} (${sites.size} ${sites.size === 1 ? "site" : "sites"})`;
    rows.push([title, ...names.map((name) => counts(chapters.get(name), column))]);
  }
  const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => row[at].length)));
  return rows.map((row) =>
    row
      .map((cell, at) => pad(cell, widths[at], at))
      .join("  ")
      .trimEnd(),
  );
}

function pad(text, width, at) {
  return at === 0 ? text.padEnd(width) : text.padStart(width);
}

function counts(rows, column) {
  const all = [...rows.values()].flatMap((cells) => cells.get(column) ?? []);
  if (all.length === 0) return "–";
  const passed = all.filter(({ word }) => word !== "✗").length;
  return passed === all.length ? String(passed) : `${passed}/${all.length}`;
}

/** `nginx current` + 1.30.6 → `nginx 1.30.6`. */
function withVersion(column, versions) {
  return versions.size === 0
    ? column
    : `${column.replace(/ current$/, "")} ${[...versions].sort().join(", ")}`;
}

function page({ columns, chapters }) {
  const sites = [...columns].map(
    ([name, { versions, sites }]) => `- ${withVersion(name, versions)}: ${[...sites].join("; ")}`,
  );
  return [
    ...[...chapters].map(([chapter, rows]) => table(chapter, rows, columns)),
    ["### The sites", "", ...sites].join("\n"),
  ].join("\n\n");
}

function table(chapter, rows, columns) {
  const shown = [...columns].filter(([name]) => [...rows.values()].some((cells) => cells.has(name)));
  const notes = [];
  const noteOf = (because) => {
    if (because === undefined) return "";
    if (!notes.includes(because)) notes.push(because);
    return `<sup>${notes.indexOf(because) + 1}</sup>`;
  };
  const lines = [...rows].map(([row, cells]) => {
    const seen = shown.map(([name, { left }]) => {
      const outcomes = cells.get(name);
      return outcomes === undefined ? `–${noteOf(left.get(`${chapter}: ${row}`))}` : cellOf(outcomes, noteOf);
    });
    return `| ${[row, ...seen].map(escaped).join(" | ")} |`;
  });
  const head = shown.map(([name, { versions }]) => escaped(withVersion(name, versions)));
  return [
    `### ${chapter[0].toUpperCase()}${chapter.slice(1)}`,
    "",
    `| | ${head.join(" | ")} |`,
    `| --- |${head.map(() => " --- |").join("")}`,
    ...lines,
    ...(notes.length > 0 ? [""] : []),
    ...notes.map((because, at) => `${at + 1}. ${because}`),
  ].join("\n");
}

/** Every word that was seen, `✓` first; a failure hides the others. */
function cellOf(outcomes, noteOf) {
  const words = new Map();
  for (const { word, because } of outcomes) if (!words.has(word)) words.set(word, because);
  if (words.has("✗")) return "✗";
  const order = [...words].sort(([a], [b]) => Number(b === "✓") - Number(a === "✓"));
  return order.map(([word, because]) => `${word}${noteOf(because)}`).join(" / ");
}

function escaped(text) {
  return text.replaceAll("|", "\\|");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const sites = tallySites(readReport());
  console.log(matrixLines(sites).join("\n"));
  if (sites.isThorough) writeBetween(PAGE, BEGIN, END, page(sites));
  else {
    console.error(
      "docs/web-servers.md is left as it is: not everything was tested (POSTERN_THOROUGH=1 npm test)",
    );
    process.exitCode = 1;
  }
}

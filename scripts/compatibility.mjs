/**
 * Counts what the tests under test/compat found: per suite and target, from Vitest's JSON report. The outermost title
 * of such a test is `compat | SUITE | TARGET`. `npm test` prints the table and leaves the report;
 * `node scripts/compatibility.mjs` then writes it into docs/compatibility.md, with every exclusion and its reason.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { marked, readReport, writeBetween } from "./report.mjs";
import { root } from "./steps.mjs";

const PAGE = join(root, "docs", "compatibility.md");
const BEGIN = "<!-- counts: written by scripts/compatibility.mjs -->";
const END = "<!-- end of counts -->";

/** Suite → target → counts. */
export function tally(report) {
  const suites = new Map();
  for (const { first: suite, second: target, test } of marked(report, "compat")) {
    const targets = suites.get(suite) ?? new Map();
    suites.set(suite, targets);
    const counts = targets.get(target) ?? { passed: 0, failed: 0 };
    targets.set(target, counts);
    if (test.status === "passed") counts.passed++;
    else if (test.status === "failed") counts.failed++;
  }
  return new Map([...suites].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** One line per suite: `Node semantics: node:http 210, gateway 205, nginx 205`. */
export function lines(suites) {
  return [...suites].map(([suite, targets]) => `${suite}: ${[...targets].map(asText).join(", ")}`);
}

function asText([target, { passed, failed }]) {
  return failed === 0 ? `${target} ${passed}` : `${target} ${passed} (${failed} failed)`;
}

/** Every list of test/compat/exclusions: what a target was not asked, and why. */
function exclusions() {
  const folder = join(root, "test", "compat", "exclusions");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
}

function page(suites) {
  const rows = [...suites].flatMap(([suite, targets]) =>
    [...targets].map(([target, { passed, failed }]) => `| ${suite} | ${target} | ${passed} | ${failed} |`),
  );
  const counts = ["| suite | over | passed | failed |", "| --- | --- | ---: | ---: |", ...rows];
  return [...counts, "", "## What is left out, and why", "", ...reasons()].join("\n");
}

/** Grouped by suite, target and reason: one reason often speaks for many tests. */
function reasons() {
  const groups = new Map();
  for (const { suite, target, test, reason } of exclusions()) {
    const over = [target].flat().join(", ");
    const key = JSON.stringify([suite, over, reason]);
    groups.set(key, [...(groups.get(key) ?? []), test]);
  }
  const result = [];
  let last = "";
  for (const [key, tests] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [suite, over, reason] = JSON.parse(key);
    if (suite !== last) result.push(...(last === "" ? [] : [""]), `### ${suite}`, "");
    last = suite;
    const names = tests.map((test) => `\`${test}\``).join(", ");
    result.push(`- ${over}: ${reason} (${tests.length}: ${names})`);
  }
  return result;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const suites = tally(readReport());
  if (suites.size === 0) throw new Error("the report has no test of test/compat");
  writeBetween(PAGE, BEGIN, END, page(suites));
  console.log(lines(suites).join("\n"));
}

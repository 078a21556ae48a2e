/**
 * Vitest's JSON report, as the tables of the documents read it: tests whose outermost title is `MARK | FIRST | SECOND`,
 * and pages of which one part is written by a script.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./steps.mjs";

/** The report of the last `npm test`. */
export const REPORT = join(root, "node_modules", ".cache", "postern", "report.json");

/** What was thrown outside of any test in it, as JSON: an array of strings. */
export const STRAY_ERRORS = join(root, "node_modules", ".cache", "postern", "stray-errors.json");

/** @returns the report of a run: that of the last `npm test`, or the file that is named on the command line */
export function readReport(path = process.argv[2] ?? REPORT) {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Every test of a report with that mark, and the two parts after it. */
export function* marked(report, mark) {
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      const [found, first, second] = (test.ancestorTitles[0] ?? "").split(" | ");
      if (found === mark && second !== undefined) yield { first, second, test };
    }
  }
}

/** Puts `text` in the place of what stands between two marks of a page. */
export function writeBetween(page, begin, end, text) {
  const before = readFileSync(page, "utf8");
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page}: no ${begin} … ${end} to write between`);
  writeFileSync(page, `${before.slice(0, from + begin.length)}\n\n${text}\n\n${before.slice(to)}`);
}

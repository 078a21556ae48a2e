/**
 * The zoo of broken deployments as a table for the terminal, from Vitest's JSON report: what each test of
 * test/e2e/zoo.test.ts leaves in its meta (declared in test/support/zoo/report.ts). `npm test` prints it.
 */
import { pathToFileURL } from "node:url";
import { readReport } from "./report.mjs";

const HEAD = ["breakage", "server", "visitor", "log line", "doctor's first finding", "mended"];
/** Columns wider than this are cut: the whole text is what `postern doctor` prints. */
const WIDEST = [48, 21, 9, 60, 60, 24];

/** @returns a line for each animal, and one that counts them; none when the zoo was not run */
export function zooLines(report) {
  const found = [];
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.meta?.zoo !== undefined) found.push({ ...test.meta.zoo, isGood: test.status === "passed" });
    }
  }
  if (found.length === 0) return [];
  const rows = [
    HEAD,
    ...found.map(({ name, server, saw, line, finding, mended, isGood }) => [
      name,
      server,
      saw,
      line === "" ? "–" : line,
      finding,
      isGood ? mended : "✗",
    ]),
  ].map((row) => row.map((cell, at) => cut(cell, WIDEST[at])));
  const widths = HEAD.map((_, at) => Math.max(...rows.map((row) => row[at].length)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]))
      .join("  ")
      .trimEnd(),
  );
  const good = found.filter(({ isGood }) => isGood);
  const literal = good.filter(({ mended }) => !mended.includes("by hand")).length;
  return [
    ...lines,
    `broken deployments: ${good.length} of ${found.length} named and mended, ${literal} of them by what is printed alone`,
  ];
}

function cut(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(zooLines(readReport()).join("\n"));
}

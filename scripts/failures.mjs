/** What failed in a run, told once more at its end: the tables before it are longer than a terminal. */
import { relative } from "node:path";
import { root } from "./steps.mjs";

/** What Vitest puts in the place of a message when a test takes too long. */
const TOO_LONG = "Error: STACK_TRACE_ERROR";
/** Of a message, as much as says what was expected; the whole of it stands above, where the test ran. */
const LINES = 4;
const WIDEST = 300;

/** @returns some lines for each failed test, and for each file that failed outside of its tests */
export function failureLines(report) {
  return report.testResults
    .filter(({ status }) => status === "failed")
    .flatMap((file) => {
      const failed = file.assertionResults.filter(({ status }) => status === "failed");
      const where = relative(root, file.name);
      if (failed.length === 0) return told(where, file.message);
      return failed.flatMap(({ ancestorTitles, title, failureMessages }) =>
        told([where, ...ancestorTitles, title].join(" > "), failureMessages.join("\n")),
      );
    });
}

/** @returns some lines for each error that belongs to no test, and that may be why another waited in vain */
export function strayLines(errors) {
  return errors.flatMap((error) => told("an error outside of any test", error));
}

function told(name, message) {
  const lines = message
    .replace(TOO_LONG, "the time of the test was over")
    .split("\n")
    .filter((line) => line.trim() !== "");
  return [`failed: ${name}`, ...lines.slice(0, LINES).map((line) => `  ${line.slice(0, WIDEST)}`)];
}

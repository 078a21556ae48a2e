/**
 * `npm test [-- vitest arguments]`: everything, from a fresh clone, with one line per step and the count at the end.
 *
 * With arguments it is the quick way to run some tests: dependencies, build, those tests.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, dependencies, loudly, main, StepError, staticChecks, step, tool } from "./steps.mjs";
import { webServers } from "./web-servers.mjs";

const args = process.argv.slice(2);

await main(async () => {
  await dependencies();
  if (args.length === 0 || args.some((arg) => arg.includes("e2e"))) await webServers();
  await build();
  const failed = [];
  if (args.length === 0) {
    for (const [name, check] of Object.entries(staticChecks)) {
      // Tests are run all the same: whoever waits for CI wants to know everything that is wrong.
      await step(name, check).catch((error) => {
        if (!(error instanceof StepError)) throw error;
        failed.push(name);
      });
    }
  }
  const { code, count } = await vitest();
  if (failed.length > 0) console.log(`failed before the tests: ${failed.join(", ")}`);
  console.log(count);
  return failed.length > 0 ? 1 : code;
});

async function vitest() {
  const folder = mkdtempSync(join(tmpdir(), "postern-report-"));
  const report = join(folder, "report.json");
  try {
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const code = await loudly(process.execPath, [tool("vitest"), "run", ...reporters, ...args]);
    return { code, count: countOf(report) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function countOf(report) {
  let results;
  try {
    results = JSON.parse(readFileSync(report, "utf8"));
  } catch {
    return "0 passed, 1 failed"; // Vitest itself did not get as far as a report, and said why.
  }
  // A file that cannot be loaded, or fails in a hook, has no failed test to count, and is a failure none the less.
  const failedFiles = results.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  ).length;
  const skipped = results.numPendingTests + results.numTodoTests;
  const count = `${results.numPassedTests} passed, ${results.numFailedTests + failedFiles} failed`;
  return skipped > 0 ? `${count}, ${skipped} skipped` : count;
}

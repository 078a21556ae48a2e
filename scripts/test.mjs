/**
 * `npm test [-- vitest arguments]`: everything, from a fresh clone, with one line per step and the count at the end.
 *
 * With arguments it is the quick way to run some tests: dependencies, build, those tests.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { lines, tally } from "./compatibility.mjs";
import { currentServers } from "./current-servers.mjs";
import { failureLines, strayLines } from "./failures.mjs";
import { projects } from "./projects.mjs";
import { publishedTests } from "./published-tests.mjs";
import { REPORT, readReport, STRAY_ERRORS } from "./report.mjs";
import { matrixLines, tallySites } from "./server-matrix.mjs";
import { build, dependencies, loudly, main, root, StepError, staticChecks, step, tool } from "./steps.mjs";
import { webServers } from "./web-servers.mjs";
import { zooLines } from "./zoo.mjs";

const args = process.argv.slice(2);

await main(async () => {
  await dependencies();
  if (args.length === 0 || args.some((arg) => /e2e|compat/.test(arg))) {
    await webServers();
    await currentServers();
  }
  await build();
  // Frameworks build against the package, so it comes first.
  if (args.length === 0 || args.some((arg) => arg.includes("compat"))) {
    await projects();
    await publishedTests();
  }
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
  const { code, count, tables } = await vitest();
  for (const line of tables) console.log(line);
  if (failed.length > 0) console.log(`failed before the tests: ${failed.join(", ")}`);
  console.log(count);
  return failed.length > 0 ? 1 : code;
});

async function vitest() {
  for (const file of [REPORT, STRAY_ERRORS]) rmSync(file, { force: true });
  const own = `--reporter=${join(root, "scripts", "stray-errors.mjs")}`;
  const reporters = ["--reporter=default", own, "--reporter=json", `--outputFile.json=${REPORT}`];
  const code = await loudly(process.execPath, [tool("vitest"), "run", ...reporters, ...args]);
  return { code, ...outcomeOf() };
}

function outcomeOf() {
  let results;
  let stray;
  try {
    results = readReport(REPORT);
    stray = readReport(STRAY_ERRORS);
  } catch {
    return { count: "0 passed, 1 failed", tables: [] }; // Vitest itself did not get as far as a report, and said why.
  }
  return {
    count: countOf(results, stray),
    tables: [
      ...lines(tally(results)),
      ...matrixLines(tallySites(results)),
      ...zooLines(results),
      ...failureLines(results),
      ...strayLines(stray),
    ],
  };
}

function countOf(results, stray) {
  // A file that cannot be loaded, or fails in a hook, has no failed test to count, and is a failure none the less.
  const failedFiles = results.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  ).length;
  const skipped = results.numPendingTests + results.numTodoTests;
  const count = `${results.numPassedTests} passed, ${results.numFailedTests + failedFiles + stray.length} failed`;
  return skipped > 0 ? `${count}, ${skipped} skipped` : count;
}

/**
 * The tests that Node, Express, Fastify and others were published with, run over node:http and with Postern in its
 * place. What passes over node:http with this Node must pass over Postern too, or be in exclusions/published.json with
 * the sentence that says why CGI, or an HTTP server in front, cannot carry it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { type Outcome, runSuite } from "./published/run.ts";
import { type Suite, suites } from "./published/suites.ts";

interface Exclusion {
  readonly suite: string;
  readonly test: string;
  readonly reason: string;
}

const list = join(repositoryRoot, "test", "compat", "exclusions", "published.json");
const exclusions = JSON.parse(readFileSync(list, "utf8")) as readonly Exclusion[];

interface Run {
  readonly suite: Suite;
  readonly overNode: readonly Outcome[];
  readonly overPostern: readonly Outcome[];
}

await built();
// Each becomes a test of its own below, and Vitest wants to know them all before the first is run.
const runs = await Promise.all(suites().map(run));

async function run(suite: Suite): Promise<Run> {
  const excluded = exclusions.filter((exclusion) => exclusion.suite === suite.name);
  const leftOut = new Set(excluded.map(({ test }) => test));
  const [overNode, overPostern] = await Promise.all([
    runSuite(suite, "node:http"),
    runSuite(suite, "Postern", leftOut),
  ]);
  const passed = overNode.filter(({ failure }) => failure === undefined);
  const names = new Set(passed.map(({ test }) => test));
  const counted = overPostern.filter(({ test }) => names.has(test) && !isIn(leftOut, test));
  return { suite, overNode: passed, overPostern: [...counted, ...missing(passed, overPostern, leftOut)] };
}

/** A list names tests, or whole files of them (`file: test`). */
function isIn(list: ReadonlySet<string>, test: string): boolean {
  return list.has(test) || list.has(test.slice(0, test.indexOf(": ")));
}

/** What passed over node:http and was not even reported over Postern. */
function missing(
  passed: readonly Outcome[],
  reported: readonly Outcome[],
  leftOut: ReadonlySet<string>,
): Outcome[] {
  const names = new Set(reported.map(({ test }) => test));
  return passed
    .filter(({ test }) => !names.has(test) && !isIn(leftOut, test))
    .map(({ test }) => ({ test, failure: "was not reported" }));
}

for (const { suite, overNode, overPostern } of runs) {
  describe(`compat | ${suite.name} | node:http`, () => {
    for (const { test } of overNode) it(test, () => {});
  });

  describe(`compat | ${suite.name} | Postern`, () => {
    for (const { test, failure } of overPostern) {
      it(test, () => {
        expect(failure).toBeUndefined();
      });
    }
  });
}

describe("published tests", () => {
  it.each(runs.map((run) => [run.suite.name, run] as const))(
    "%s are there, and most pass over node:http",
    (_name, { suite, overNode }) => {
      expect(overNode.length, "node scripts/published-tests.mjs fetches them").toBeGreaterThanOrEqual(
        suite.atLeast,
      );
    },
  );

  it("nothing is left out that is not in a suite", () => {
    const names = new Set(runs.map(({ suite }) => suite.name));
    expect(exclusions.filter(({ suite }) => !names.has(suite))).toEqual([]);
  });
});

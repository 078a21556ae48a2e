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
import { type Outcome, runSuite, type Target } from "./published/run.ts";
import { type Suite, suites } from "./published/suites.ts";

interface Exclusion {
  readonly suite: string;
  readonly target: Target | readonly Target[];
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
  const overNode = await outcomes(suite, "node:http");
  const overPostern = await outcomes(suite, "Postern");
  const leftOut = excluded(suite, "Postern");
  const passed = overNode.filter(({ failure }) => failure === undefined);
  // What does not pass over node:http here is no yardstick; but what only Postern breaks counts, reported there or not.
  const failedOverNode = new Set(
    overNode.filter(({ failure }) => failure !== undefined).map(({ test }) => test),
  );
  const counted = overPostern.filter(({ test }) => !failedOverNode.has(test));
  const endless = overNode.filter(({ test, failure }) => failure !== undefined && test.endsWith(": ends"));
  return {
    suite,
    overNode: [...passed, ...endless],
    overPostern: [...counted, ...missing(passed, overPostern, leftOut)],
  };
}

/** What a suite finds over one of the two, without what is excluded there. */
async function outcomes(suite: Suite, target: Target): Promise<Outcome[]> {
  const leftOut = excluded(suite, target);
  const found = await runSuite(suite, target, leftOut);
  return found.filter(({ test }) => !isIn(leftOut, test));
}

function excluded(suite: Suite, target: Target): ReadonlySet<string> {
  const here = exclusions.filter((exclusion) => exclusion.suite === suite.name);
  return new Set(
    here.filter((exclusion) => [exclusion.target].flat().includes(target)).map(({ test }) => test),
  );
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
    for (const { test, failure } of overNode) {
      it(test, () => {
        expect(failure).toBeUndefined();
      });
    }
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

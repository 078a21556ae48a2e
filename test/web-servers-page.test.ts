/** docs/web-servers.md holds the table of the behaviours as they are: a row for each, and each difference in it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { DIFFERENCES } from "./support/e2e/behaviours/differences.ts";
import { BEHAVIOURS } from "./support/e2e/behaviours/index.ts";
import { repositoryRoot } from "./support/paths.ts";

const page = readFileSync(join(repositoryRoot, "docs", "web-servers.md"), "utf8");
const rowOf = (name: string): string | undefined => {
  const sentence = name.slice(name.indexOf(": ") + 2);
  return page.split("\n").find((line) => line.startsWith(`| ${sentence} |`));
};

it("the table of web servers has every behaviour, and no failure: POSTERN_THOROUGH=1 npm test, node scripts/server-matrix.mjs", () => {
  expect(BEHAVIOURS.map(({ name }) => name).filter((name) => rowOf(name) === undefined)).toEqual([]);
  expect(page.split("\n").filter((line) => line.startsWith("| ") && line.includes("| ✗"))).toHaveLength(1); // the legend
});

it("the table of web servers has every difference, with its reason", () => {
  const missing = Object.entries(DIFFERENCES).flatMap(([name, differences]) =>
    differences
      .filter(({ seen, because }) => !rowOf(name)?.includes(seen) || !page.includes(`. ${because}`))
      .map(({ seen }) => `${name}: ${seen}`),
  );
  expect(missing).toEqual([]);
});

/** The table of questions in docs/tools/doctor.md is the list of checks. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CHECKS, STAGES } from "../../../../src/tools/doctor/checks.ts";
import { repositoryRoot } from "../../../support/paths.ts";

const all = STAGES.flatMap((stage) => CHECKS[stage].map((check) => ({ stage, check })));

it("has every question in its documentation, in the order in which they are asked", () => {
  const page = readFileSync(join(repositoryRoot, "docs", "tools", "doctor.md"), "utf8");
  const rows = /\| check \| question \|\n\| --- \| --- \|\n(.*?)<!-- \/questions -->/s.exec(page)?.[1];
  expect(rows?.trim().split("\n")).toEqual(all.map(({ check }) => `| \`${check.id}\` | ${check.question} |`));
});

it("gives each check an id of its own that begins with its stage, and a question", () => {
  const ids = all.map(({ check }) => check.id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { stage, check } of all) {
    expect(check.id.startsWith(`${stage}.`), check.id).toBe(true);
    expect(check.question).toMatch(/^[A-Z].*\?$/);
  }
});

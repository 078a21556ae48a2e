/** docs/performance.md shows what was measured, as it was measured. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repositoryRoot } from "./support/paths.ts";

const page = readFileSync(join(repositoryRoot, "docs", "performance.md"), "utf8");

it("the tables of the performance page are those of docs/performance/*.json (else: node scripts/performance-doc.mjs)", () => {
  const script = join(repositoryRoot, "scripts", "performance-doc.mjs");
  expect(execFileSync(process.execPath, [script, "--print"], { encoding: "utf8" })).toBe(page);
});

it("every row that a gate is missed in is explained", () => {
  const missed = [...page.matchAll(/^\| (\d+b?) \|.*\*\*missed\*\*/gm)].map(([, row]) => row!);
  const [, explained = ""] = page.split("### What is missed, and why");
  const named = [...explained.matchAll(/^- \*\*([\d, b]+)\*\*/gm)].flatMap(([, rows]) => rows!.split(", "));
  expect([...new Set(missed)].filter((row) => !named.includes(row))).toEqual([]);
  expect(missed.length).toBeGreaterThan(0);
});

/** docs/performance.md and docs/python.md show what was measured, as it was measured. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repositoryRoot } from "./support/paths.ts";

const page = readFileSync(join(repositoryRoot, "docs", "performance.md"), "utf8");

it.each(["docs/performance.md", "docs/python.md"])(
  "the tables of %s are those of docs/performance/*.json (else: node scripts/performance-doc.mjs)",
  (name) => {
    const script = join(repositoryRoot, "scripts", "performance-doc.mjs");
    const written = execFileSync(process.execPath, [script, "--print", name], { encoding: "utf8" });
    expect(written).toBe(readFileSync(join(repositoryRoot, name), "utf8"));
  },
);

it("no server for Python is without figures in every work", () => {
  const file = join(repositoryRoot, "docs", "performance", "python.json");
  const results = JSON.parse(readFileSync(file, "utf8")) as {
    work: string;
    candidate: string;
    measured: unknown;
  }[];
  const missing = results.filter(({ measured }) => measured === null);
  expect(missing.map(({ work, candidate }) => `${work}: ${candidate}`)).toEqual([]);
});

it("every row that a gate is missed in is explained", () => {
  const missed = [...page.matchAll(/^\| (\d+b?) \|.*\*\*missed\*\*/gm)].map(([, row]) => row!);
  const [, explained = ""] = page.split("### What is missed, and why");
  const named = [...explained.matchAll(/^- \*\*([\d, b]+)\*\*/gm)].flatMap(([, rows]) => rows!.split(", "));
  expect([...new Set(missed)].filter((row) => !named.includes(row))).toEqual([]);
  expect(missed.length).toBeGreaterThan(0);
});

/** The checker checked: a right responder keeps every statement, and for every statement there is one that breaks it. */
import { describe, expect, it } from "vitest";
import type { ConformReport, Result } from "../../../src/tools/conform/model.ts";
import { chosenStatements, conform } from "../../../src/tools/conform/run.ts";
import { STATEMENTS } from "../../../src/tools/conform/statements.ts";
import { type Mutant, serveMutant } from "../../support/conform-mutant.ts";
import { ABSENT, MUTANTS, type MutantOf } from "../../support/conform-mutants.ts";
import { patience } from "../../support/wait.ts";

async function tried(mutant: Mutant, only: readonly string[], deadlineMs: number): Promise<ConformReport> {
  const server = await serveMutant(mutant);
  try {
    return await conform({
      target: { kind: "unix", path: server.path },
      role: 1,
      path: "/",
      uploadPath: "/upload",
      scriptFilename: undefined,
      params: [],
      deadlineMs,
      only,
      skip: [],
    });
  } finally {
    await server.close();
  }
}

function told({ id, outcome, says, evidence }: Result): string {
  return [`${id} ${outcome}: ${says}`, ...evidence].join("\n  ");
}

describe("a responder that is right", () => {
  it("keeps every statement there is", { timeout: patience(60_000) }, async () => {
    const report = await tried({}, [], 5000);
    const odd = report.results.filter(({ outcome }) => outcome === "broken" || outcome === "untestable");
    const unspawned = STATEMENTS.filter(({ needsSpawn }) => needsSpawn === true).map(({ id }) => id);
    expect(odd.filter(({ id }) => !unspawned.includes(id)).map(told)).toEqual([]);
    expect(report.results.map(({ id }) => id)).toEqual(STATEMENTS.map(({ id }) => id));
    expect(report.died).toBeUndefined();
  });
});

describe("a responder that is wrong in one way", () => {
  const rows = (table: Readonly<Record<string, MutantOf>>): [string, MutantOf][] => Object.entries(table);
  // One at a time would be waiting most of the time.
  const DEADLINE_MS = 600;

  it("is there for every statement that can be tried on a socket", () => {
    const wanted = STATEMENTS.filter(({ needsSpawn }) => needsSpawn !== true).map(({ id }) => id);
    expect([...Object.keys(MUTANTS), ...Object.keys(ABSENT)].sort()).toEqual(wanted.sort());
  });

  it.concurrent.each(rows(MUTANTS))(
    "is found to break %s",
    { timeout: patience(30_000) },
    async (id, { make, with: more = [] }) => {
      const report = await tried(make(), [...more, id], DEADLINE_MS);
      const result = report.results.find((one) => one.id === id) ?? report.results.at(-1)!;
      expect(told(result)).toMatch(`${id} broken: `);
      expect(report.mustBroken + report.shouldBroken).toBeGreaterThan(0);
    },
  );

  it.concurrent.each(rows(ABSENT))(
    "is found to do without %s",
    { timeout: patience(30_000) },
    async (id, { make, with: more = [] }) => {
      const report = await tried(make(), [...more, id], DEADLINE_MS);
      expect(told(report.results.find((one) => one.id === id)!)).toMatch(`${id} absent: `);
    },
  );
});

describe("which statements are tried", () => {
  it("is said by ids, and by sections", () => {
    expect(chosenStatements(["3.4"], ["3.4-lengths"]).map(({ id }) => id)).toEqual([
      "3.4-long-lengths",
      "3.4-large-value",
      "3.4-empty-value",
      "3.4-empty-name",
    ]);
    expect(() => chosenStatements(["3.9"], [])).toThrow('no statement is called "3.9"');
  });

  it("no two have the same id, and each is named after its section", () => {
    const ids = STATEMENTS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, section } of STATEMENTS) {
      if (section.startsWith("§")) expect(id.startsWith(`${section.slice(1)}-`), id).toBe(true);
    }
  });
});

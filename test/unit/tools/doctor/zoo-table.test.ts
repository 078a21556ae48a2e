/** The table of docs/tools/doctor.md about the broken deployments is that of the zoo. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repositoryRoot } from "../../../support/paths.ts";
import { ZOO } from "../../../support/zoo/all.ts";
import { zooTable } from "../../../support/zoo/table.ts";

it("the page lists every broken deployment that the doctor is tested on", () => {
  const page = readFileSync(join(repositoryRoot, "docs", "tools", "doctor.md"), "utf8");
  expect(page).toContain(`\n\n${zooTable(ZOO)}\n`);
});

it("no two of them have the same name, and most need nothing done by hand", () => {
  const names = ZOO.map(({ name, server }) => `${name} ${server}`);
  expect(new Set(names).size).toBe(names.length);
  expect(ZOO.length).toBeGreaterThanOrEqual(25);
  expect(ZOO.filter(({ advice }) => advice === undefined).length).toBeGreaterThan(ZOO.length / 2);
});

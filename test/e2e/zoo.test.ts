/**
 * The zoo of broken deployments: each is set up with a real web server, works, and is broken; then `postern doctor` names
 * the cause as its first finding, and the remedy that it prints, applied to the letter, mends it. `npm test` prints the
 * table.
 */
import { describe, expect, it, type TestContext } from "vitest";
import { notice } from "../support/notice.ts";
import { isAvailable, type ServerName } from "../support/web-servers/available.ts";
import { ZOO } from "../support/zoo/all.ts";
import { HEALTHY } from "../support/zoo/healthy.ts";
import { makePlace } from "../support/zoo/place.ts";
import { applyRemedy, consult, tellingLine, untilSeen } from "../support/zoo/treatment.ts";
import "../support/zoo/report.ts";
import { patience } from "../support/wait.ts";

const LONG = { timeout: patience(240_000) };
const isRoot = process.getuid?.() === 0;

/** A test beside others of its kind. What it needs is there in CI; elsewhere it may be left out, with a line. */
function beside(
  needs: readonly ServerName[],
  isRoots: boolean,
  title: string,
  test: (ctx: TestContext) => Promise<void>,
): void {
  const missing = [...needs.filter((name) => !isAvailable(name)), ...(isRoots && !isRoot ? ["root"] : [])];
  if (missing.length === 0) {
    it.concurrent(title, LONG, test);
  } else if (process.env["CI"]) {
    it(title, () => {
      throw new Error(`not here: ${missing.join(", ")}`);
    });
  } else {
    notice(`skipped "${title}": not here: ${missing.join(", ")}`);
    it.skip(title, test);
  }
}

describe("a broken deployment: the doctor names the cause first, and what it prints mends it", () => {
  for (const animal of ZOO) {
    const { name, server, needs, isRoots, sick, cause, advice } = animal;
    beside(needs, isRoots, `${name} (${server})`, async ({ task }) => {
      await using place = await makePlace();
      const patient = await animal.live(place);
      await untilSeen(patient, 200, () => "");
      const said = patient.web.errorLogFromNow();
      await patient.fall();
      await untilSeen(patient, sick, () => "");

      const { code, findings, text } = await consult(place, patient.doctor());
      const [first] = findings;
      const line = tellingLine(server, said(), place.folder);
      const finding =
        first === undefined ? "nothing" : `${first.id}: ${first.says.replaceAll(place.folder, "…")}`;
      const row = { name, server, saw: String(sick), line, finding };
      task.meta.zoo = { ...row, mended: "✗" };
      expect(`${first?.verdict} ${first?.id}`, text).toBe(`bad ${cause}`);
      expect(code, text).toBe(1);

      const { literal, byHand } = await applyRemedy(place, patient, first?.remedy ?? []);
      expect(literal + byHand, text).toBeGreaterThan(0);
      await untilSeen(patient, 200, () => text);
      // Advice is for what only the owner of the application can do.
      expect(byHand > 0, `${byHand} steps by hand\n${text}`).toBe(advice !== undefined);
      task.meta.zoo = { ...row, mended: counted(literal, byHand) };
    });
  }
});

function counted(literal: number, byHand: number): string {
  const parts = literal === 0 ? [] : [`${literal} as printed`];
  return [...parts, ...(byHand === 0 ? [] : [`${byHand} by hand`])].join(", ");
}

describe("a healthy deployment: the doctor finds nothing bad", () => {
  for (const { server, needs, live } of HEALTHY) {
    beside(needs, false, server, async () => {
      await using place = await makePlace();
      const patient = await live(place);
      await untilSeen(patient, 200, () => "");
      const { code, findings, text } = await consult(place, patient.doctor());
      const bad = findings.filter(({ verdict }) => verdict === "bad");
      expect(bad, text).toEqual([]);
      expect(code, text).toBe(0);
      await untilSeen(patient, 200, () => text);
    });
  }
});

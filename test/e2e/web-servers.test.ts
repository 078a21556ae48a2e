/**
 * One suite of behaviours behind every web server, of every version that is here, in each way to attach it, with the
 * configurations that `postern config` writes. The results are the table in docs/web-servers.md.
 */
import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeFiles } from "../support/e2e/behaviours/connections.ts";
import { DIFFERENCES, differenceOf } from "../support/e2e/behaviours/differences.ts";
import { BEHAVIOURS } from "../support/e2e/behaviours/index.ts";
import { type Probe, startProbe } from "../support/e2e/probe.ts";
import { missingFor, SITES, type SuiteSite, startSuiteSite } from "../support/e2e/sites.ts";
import "../support/e2e/observed.ts";
import { notice } from "../support/notice.ts";
import { temporaryFolder } from "../support/temp.ts";
import { isThorough } from "../support/thorough.ts";
import { patience } from "../support/wait.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

it("differences are of rows that there are", () => {
  const names = new Set(BEHAVIOURS.map(({ name }) => name));
  expect(names.size).toBe(BEHAVIOURS.length);
  expect(Object.keys(DIFFERENCES).filter((row) => !names.has(row))).toEqual([]);
});

for (const site of SITES) {
  const title = `site | ${site.column} | ${site.title}`;
  const missing = missingFor(site);
  if (missing === undefined) describe(title, () => suite(site));
  else if (process.env["CI"]) {
    it(title, () => {
      throw new Error(missing);
    });
  } else {
    notice(`skipped "${title}": ${missing}`);
    describe.skip(title, () => suite(site));
  }
}

function suite(site: SuiteSite): void {
  let probe: Probe;
  let web: WebServer;
  beforeAll(async () => {
    const files = temporaryFolder("public");
    mkdirSync(`${files}/www/static`, { recursive: true });
    writeFiles(`${files}/www`);
    probe = await startProbe(site);
    web = await startSuiteSite(site, probe, `${files}/www`);
  });
  afterAll(async () => {
    await web?.stop();
    await probe?.stop();
  });

  const left: Record<string, string> = {};
  for (const behaviour of BEHAVIOURS) {
    const why = behaviour.left?.(site);
    if (why !== undefined) {
      left[behaviour.name] = why;
      continue;
    }
    const difference = differenceOf(behaviour.name, site);
    it(behaviour.name, { timeout: patience(90_000) }, async ({ task }) => {
      task.meta.version = web.version;
      const seen = await behaviour.test({
        site,
        web,
        probe,
        expected: difference?.seen,
      });
      expect(seen).toBe(difference?.seen);
      if (difference === undefined) return;
      task.meta.observed = difference.seen;
      task.meta.because = difference.because;
    });
  }

  it("what is left out has a reason", ({ task }) => {
    task.meta.left = left;
    task.meta.thorough = isThorough;
    for (const [name, why] of Object.entries(left)) expect(why, name).not.toBe("");
  });
}

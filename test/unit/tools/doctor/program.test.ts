/** The doctor's questions about the file of a program, each on a file that has the fault and on one that has not. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { troubleOf } from "../../../../src/tools/doctor/disk-check.ts";
import { identityOf } from "../../../../src/tools/doctor/identity.ts";
import type { Facts, Finding, TrialFact } from "../../../../src/tools/doctor/model.ts";
import { programChecks } from "../../../../src/tools/doctor/program-checks.ts";
import { isOlder } from "../../../../src/tools/doctor/program-interpreter-checks.ts";
import { temporaryFolder } from "../../../support/temp.ts";
import { serverUser } from "../../../support/web-servers/web-server.ts";

const BARE = "/usr/local/bin:/usr/bin:/bin";

/** A program of that text, as somebody named it. */
async function examined(
  text: string | Buffer,
  more: { mode?: number; path?: string; user?: string } = {},
): Promise<Finding[]> {
  const path = join(temporaryFolder("p"), "app.fcgi");
  writeFileSync(path, text);
  chmodSync(path, more.mode ?? 0o755);
  return await ask(path, more);
}

async function ask(
  path: string,
  { path: searchPath = BARE, user }: { path?: string; user?: string } = {},
): Promise<Finding[]> {
  const trial: TrialFact = { command: [path], folder: "/", environment: { PATH: searchPath }, notes: [] };
  const identity = user === undefined ? undefined : await identityOf(user);
  const facts: Facts = {
    application: {
      file: path,
      path,
      folder: "/",
      listens: [],
      ...(identity !== undefined && { user: identity }),
    },
    webServers: [],
    trial,
  };
  const found = await Promise.all(
    programChecks.map((check) => check.examine(facts, AbortSignal.timeout(10_000))),
  );
  return found.flat().filter(({ verdict }) => verdict !== "good");
}

const NODE = `#!${process.execPath}\n`;

describe("the first line", () => {
  it("is fine when it leads to an interpreter", async () => {
    expect(await examined(`${NODE}1;\n`)).toEqual([]);
    expect(await examined("#!/bin/sh\nexit\n")).toEqual([]);
    expect(await examined("#!/usr/bin/env sh\nexit\n")).toEqual([]);
    expect(await examined("#!/usr/bin/env -S sh -e\nexit\n")).toEqual([]);
  });

  it("must end as on Unix", async () => {
    const [finding] = await examined(`#!/usr/bin/env node\r\n1;\r\n`);
    expect(finding).toMatchObject({
      id: "program.crlf",
      remedy: [{ run: expect.stringMatching(/^sed -i 's\/\\r\$\/\/' \//) }],
    });
  });

  it("must not have a byte order mark before it", async () => {
    const [finding] = await examined(Buffer.from(`\ufeff${NODE}1;\n`));
    expect(finding?.id).toBe("program.bom");
  });

  it("must be there", async () => {
    const [finding] = await examined("import 'postern';\n");
    expect(finding).toMatchObject({
      id: "program.no-shebang",
      remedy: [{ run: expect.stringMatching(/^sed -i '1i #!\/\S*node' /) }],
    });
  });

  it("must name something that exists", async () => {
    const [finding] = await examined("#!/opt/no/node\n");
    expect(finding).toMatchObject({
      id: "program.interpreter-missing",
      remedy: [{ line: 1, from: "/opt/no/node" }],
    });
  });

  it("hands env one word, unless -S splits it", async () => {
    const [finding] = await examined("#!/usr/bin/env node --no-warnings\n");
    expect(finding).toMatchObject({
      id: "program.shebang-arguments",
      remedy: [{ line: 1, from: "/usr/bin/env ", to: "/usr/bin/env -S " }],
    });
  });

  it("must lead to a node that is on the PATH of whoever starts it", async () => {
    const [finding] = await examined("#!/usr/bin/env node\n", { path: "/nowhere" });
    expect(finding).toMatchObject({
      id: "program.node-not-on-path",
      remedy: [{ line: 1, from: "/usr/bin/env node" }],
    });
    expect(finding?.evidence).toContain("PATH=/nowhere");
  });

  it("must lead to a node that is new enough, for Postern and for the package", async () => {
    const folder = temporaryFolder("v");
    const old = join(folder, "node");
    writeFileSync(old, "#!/bin/sh\necho v16.20.2\n");
    chmodSync(old, 0o755);
    const [finding] = await examined("#!/usr/bin/env node\n", { path: `${folder}:${BARE}` });
    expect(finding).toMatchObject({
      id: "program.node-too-old",
      remedy: [{ line: 1, from: "/usr/bin/env node" }],
    });
    expect(finding?.says).toContain("16.20.2");
    const app = join(temporaryFolder("e"), "app.fcgi");
    writeFileSync(app, `${NODE}1;\n`);
    chmodSync(app, 0o755);
    writeFileSync(join(app, "..", "package.json"), '{ "engines": { "node": ">=99.1" } }');
    const [wanted] = await ask(app);
    expect(wanted).toMatchObject({ id: "program.node-too-old", says: expect.stringContaining("99.1.0") });
  });

  it("compares versions part by part", () => {
    expect(isOlder("20.9.0", "20.19.0")).toBe(true);
    expect(isOlder("20.19.0", "20.19.0")).toBe(false);
    expect(isOlder("22.1.0", "20.19.0")).toBe(false);
  });
});

describe("the file", () => {
  it("must be there; one of nearly that name is named", async () => {
    const folder = temporaryFolder("n");
    writeFileSync(join(folder, "app.fcgi"), NODE);
    const [finding] = await ask(join(folder, "ap.fcgi"));
    expect(finding).toMatchObject({
      id: "program.missing",
      evidence: [`there is ${join(folder, "app.fcgi")}`],
    });
    expect((await ask(folder))[0]?.id).toBe("program.is-folder");
  });

  it("must have the execute bit", async () => {
    const [finding] = await examined(NODE, { mode: 0o644 });
    expect(finding).toMatchObject({
      id: "program.not-executable",
      remedy: [{ run: expect.stringMatching(/^chmod \+x \//) }],
    });
  });

  it.runIf(serverUser())(
    "must be open to the user who starts it, and so must every folder above",
    async () => {
      const folder = join(temporaryFolder("f"), "home");
      mkdirSync(folder, { mode: 0o700 });
      const path = join(folder, "app.fcgi");
      writeFileSync(path, NODE);
      chmodSync(path, 0o755);
      const [finding] = await ask(path, { user: "www-data" });
      expect(finding).toMatchObject({
        id: "program.no-permission",
        remedy: [{ run: `chmod o+x ${folder}` }],
      });
      expect(finding?.evidence).toContainEqual(expect.stringMatching(/^drwx------ root root \S+\/home$/));
      expect(await ask(path, { user: "root" })).toEqual([]);
    },
  );
});

it("knows a full disk by its bytes, and by its inodes", () => {
  expect(troubleOf({ bytes: 0, files: 10 })).toBe("0 bytes are free");
  expect(troubleOf({ bytes: 1e9, files: 0 })).toContain("inode");
  expect(troubleOf({ bytes: 1e9, files: undefined })).toBeUndefined();
});

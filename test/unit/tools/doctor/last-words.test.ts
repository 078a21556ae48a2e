/** What a program says when it ends → the cause. The texts are those that Node 20 to 26 and Postern print. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Finding } from "../../../../src/tools/doctor/model.ts";
import { causeOfEnd } from "../../../../src/tools/doctor/start-failures.ts";
import type { TrialResult } from "../../../../src/tools/doctor/trial.ts";
import { temporaryFolder } from "../../../support/temp.ts";

const ENDED: TrialResult = {
  exit: { code: 1, signal: null },
  startError: undefined,
  wasReady: false,
  answer: undefined,
  stdout: "",
  stderr: "",
  listens: [],
  isBusy: false,
};

interface Case {
  readonly files?: Readonly<Record<string, string>>;
  readonly name?: string;
  readonly shell?: Readonly<Record<string, string>>;
  readonly exit?: TrialResult["exit"];
}

/** `DIR` in the text is the folder of the program. */
function cause(
  text: string,
  { files = {}, name = "app.js", shell = {}, exit = ENDED.exit }: Case = {},
): Finding | undefined {
  const folder = temporaryFolder("w");
  const path = join(folder, name);
  for (const [file, content] of Object.entries({ [name]: "", "package.json": "{}", ...files }))
    writeFileSync(join(folder, file), content);
  const found = causeOfEnd({
    path,
    trial: { command: [path], folder, environment: { PATH: "/bin" }, notes: [] },
    facts: {
      application: { file: name, path, folder, listens: [] },
      webServers: [],
      options: {
        cwd: folder,
        deadlineMs: 1000,
        postern: ["/usr/bin/node", "/p/cli/main.js"],
        environment: shell,
      },
    },
    result: { ...ENDED, exit },
    text: text.replaceAll("DIR", folder),
  });
  return found === undefined
    ? undefined
    : (JSON.parse(JSON.stringify(found).replaceAll(folder, "DIR")) as Finding);
}

describe("modules", () => {
  it("are missing: ES modules and CommonJS say so differently", () => {
    const esm = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'left-pad' imported from DIR/app.js\n";
    expect(cause(esm)).toMatchObject({
      id: "program.module-missing",
      remedy: [{ run: "cd DIR && npm install left-pad" }],
    });
    const cjs = "Error: Cannot find module '@a/b/c'\nRequire stack:\n- DIR/app.js\n";
    expect(cause(cjs)?.remedy).toEqual([{ run: "cd DIR && npm install @a/b" }]);
    const listed = { files: { "package.json": '{ "dependencies": { "left-pad": "1" } }' } };
    expect(cause(esm, listed)?.remedy).toEqual([{ run: "cd DIR && npm install" }]);
  });

  it("of the application are missing by their ending", () => {
    const text = "Error [ERR_MODULE_NOT_FOUND]: Cannot find module './lib' imported from DIR/app.js";
    expect(cause(text, { files: { "lib.js": "" } })?.remedy).toEqual([
      { file: "DIR/app.js", from: "./lib", to: "./lib.js" },
    ]);
    expect(cause(text)).toMatchObject({
      id: "program.module-missing",
      remedy: [{ advice: expect.stringContaining("DIR/lib") }],
    });
  });

  it("are taken for CommonJS", () => {
    const text =
      "DIR/app.js:1\nimport x from 'y';\n^^^^^^\n\nSyntaxError: Cannot use import statement outside a module";
    expect(cause(text)).toMatchObject({
      id: "program.esm-mismatch",
      remedy: [{ file: "DIR/package.json", from: "{", to: '{ "type": "module"' }],
    });
    expect(cause(text, { files: { "package.json": '{ "type": "commonjs" }' } })?.remedy).toEqual([
      { file: "DIR/package.json", from: '"type": "commonjs"', to: '"type": "module"' },
    ]);
  });

  it("are CommonJS, and taken for ES modules", () => {
    const text =
      "file://DIR/app.js:1\nReferenceError: require is not defined in ES module scope, you can use import instead";
    expect(cause(text, { files: { "package.json": '{"type":"module"}' } })?.remedy).toEqual([
      { file: "DIR/package.json", from: '"type":"module"', to: '"type": "commonjs"' },
    ]);
  });

  it("have an ending that no setting makes right", () => {
    const text = 'TypeError [ERR_UNKNOWN_FILE_EXTENSION]: Unknown file extension ".fcgi" for DIR/app.fcgi';
    expect(cause(text, { name: "app.fcgi" })).toMatchObject({
      id: "program.esm-mismatch",
      remedy: [
        { run: "mv DIR/app.fcgi DIR/app.mjs" },
        { run: expect.stringContaining("exec %s %s") },
        { run: "chmod 755 DIR/app.fcgi" },
      ],
    });
  });
});

describe("the environment", () => {
  const text = "Error: DATABASE_URL is not set\n    at DIR/app.js:1:1";
  it("lacks a variable; a file or this shell has it", () => {
    const files = { "app.js": "process.env.DATABASE_URL", ".env": "DATABASE_URL='x'\n" };
    expect(cause(text, { files, shell: { DATABASE_URL: "y" } })).toMatchObject({
      id: "program.environment-missing",
      evidence: expect.arrayContaining([
        expect.stringContaining("DIR/.env has it"),
        expect.stringContaining("this shell has it"),
      ]),
    });
  });

  it("is given to a program by its first line, when there is a file of variables", () => {
    const files = { "app.fcgi": "#!/usr/bin/env node\nprocess.env.DATABASE_URL", ".env": "DATABASE_URL=x" };
    expect(cause(text, { name: "app.fcgi", files })?.remedy).toEqual([
      {
        file: "DIR/app.fcgi",
        line: 1,
        from: "#!/usr/bin/env node",
        to: "#!/usr/bin/env -S node --env-file=DIR/.env",
      },
    ]);
  });

  it("is not blamed for words in capitals", () => {
    expect(cause("Error: HTTP GET failed: ECONNREFUSED")?.id).toBe("program.throws");
  });
});

describe("other ends", () => {
  it.each([
    ["program.syntax-error", "DIR/app.js:3\n  foo(\n      ^\n\nSyntaxError: missing ) after argument list\n"],
    ["program.syntax-error", "postern: app.js: SyntaxError: missing ) after argument list (app.js:2)"],
    ["program.disk-full", "Error: ENOSPC: no space left on device, write"],
    ["program.address-in-use", "Error: listen EADDRINUSE: address already in use :::80"],
    ["program.no-file-permission", "Error: EACCES: permission denied, open '/etc/shadow'"],
    ["program.bad-export", "postern: app.js: it exports nothing and does not listen; export the application"],
    ["program.never-ready", "Warning: Detected unsettled top-level await at file://DIR/app.js:1"],
    ["program.throws", "DIR/app.js:1\nthrow new Error('x')\n^\n\nError: x\n    at DIR/app.js:1"],
  ])("%s", (id, text) => {
    expect(cause(text)?.id).toBe(id);
  });

  it("memory: by V8's own words, and by how it was killed", () => {
    const first = { files: { "app.js": "#!/usr/bin/env -S node --max-old-space-size=40\n" } };
    expect(
      cause("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", first),
    ).toMatchObject({
      id: "program.out-of-memory",
      remedy: [{ from: "--max-old-space-size=40", to: "--max-old-space-size=256" }],
    });
    expect(cause("", { exit: { code: null, signal: "SIGKILL" } })?.id).toBe("program.out-of-memory");
  });

  it("says nothing of what it does not know", () => {
    expect(cause("goodbye")).toBeUndefined();
  });
});

/** Real configuration files of every kind: read, read again when they changed, and refused when they are broken. */
import { describe, expect, it } from "vitest";
import { evaluateFile } from "../../../src/config/evaluate.ts";
import { configFolder } from "./folder.ts";

/** The file and what it imports, with a number in each. */
const FORMS: readonly (readonly [file: string, text: string, other: string, otherText: string])[] = [
  [
    "postern.config.ts",
    'import { n } from "./n.ts"; const m: number = $M; export default { m, n };',
    "n.ts",
    "export const n: number = $N;",
  ],
  [
    "postern.config.mts",
    'import { n } from "./n.mts"; export default { m: $M, n } satisfies object;',
    "n.mts",
    "export const n = $N as number;",
  ],
  [
    "cts.config.cts",
    'import n from "./n.json"; export default { m: $M as number, n: n.n };',
    "n.json",
    '{ "n": $N }',
  ],
  [
    "postern.config.js",
    'import { n } from "./n.js"; export default { m: $M, n };',
    "n.js",
    "export const n = $N;",
  ],
  ["common.js", 'module.exports = { m: $M, n: require("./n.cjs") };', "n.cjs", "module.exports = $N;"],
  [
    "postern.config.mjs",
    'import n from "./n.cjs"; export default { m: $M, n };',
    "n.cjs",
    "module.exports = $N;",
  ],
  ["other.mjs", 'import { n } from "./n.mjs"; export default { m: $M, n };', "n.mjs", "export const n = $N;"],
  [
    "postern.config.cjs",
    'module.exports = { m: $M, n: require("./n.cjs") };',
    "n.cjs",
    "module.exports = $N;",
  ],
  ["call.mjs", "export default () => ({ m: $M, n: $N });", "x", ""],
  ["promise.ts", "export default (async (): Promise<object> => ({ m: $M, n: $N }))();", "x", ""],
  ["both.cjs", "module.exports = async () => ({ m: $M, n: $N });", "x", ""],
  ["transpiled.cjs", "exports.__esModule = true; exports.default = { m: $M, n: $N };", "x", ""],
  ["await.ts", "const n = await Promise.resolve($N); export default { m: $M, n };", "x", ""],
  ["postern.config.json", '\uFEFF{ "m": $M, "n": $N }', "x", ""],
];

describe("a configuration file", () => {
  for (const type of ["module", "commonjs"]) {
    // The package decides about .js and .ts alone, and require is no more in one that is of modules.
    const forms = FORMS.filter(([file, text]) =>
      type === "module" ? !(file.endsWith(".js") && text.startsWith("module.")) : /\.[jt]s$/.test(file),
    );
    it.each(forms)(
      `%s in a package of type ${type} is read anew each time, and so is what it imports`,
      async (file, text, other, otherText) => {
        const folder = configFolder();
        folder.write("package.json", { type });
        const seen: unknown[] = [];
        for (const [m, n] of [
          ["1", "2"],
          ["3", "4"],
        ] as const) {
          folder.write(file, text.replace("$M", m).replace("$N", n));
          folder.write(other, otherText.replace("$N", n));
          seen.push(await evaluateFile(`${folder.path}/${file}`, {}));
        }
        expect(seen).toEqual([
          { m: 1, n: 2 },
          { m: 3, n: 4 },
        ]);
      },
    );
  }

  it.each([
    ["a.ts", 'import { defineConfig } from "postern"; export default defineConfig({ app: "x.js" });'],
    ["a.js", 'const { defineConfig } = require("postern"); module.exports = defineConfig({ app: "x.js" });'],
  ])("%s has defineConfig also where postern is not installed", async (file, text) => {
    const folder = configFolder();
    folder.write(file, text);
    expect(await evaluateFile(`${folder.path}/${file}`, {})).toEqual({ app: "x.js" });
  });

  it("finds the environment it is given, and cannot change that of its manager", async () => {
    const folder = configFolder();
    folder.write(
      "a.mjs",
      "export default { a: process.env.A, home: process.env.HOME }; process.env.LEFT_BEHIND = '1';",
    );
    expect(await evaluateFile(`${folder.path}/a.mjs`, { A: "x" })).toEqual({ a: "x", home: undefined });
    expect(process.env["LEFT_BEHIND"]).toBeUndefined();
  });

  it("may leave things open that would keep a process alive", async () => {
    const folder = configFolder();
    folder.write("a.mjs", "setInterval(() => {}, 1000); export default { a: 1 };");
    expect(await evaluateFile(`${folder.path}/a.mjs`, {})).toEqual({ a: 1 });
  });

  it.each<[string, string, string | RegExp]>([
    [
      "none.mjs",
      "export const pools = 1;",
      "it exports pools; export the configuration as default (export default { … })",
    ],
    ["empty.mjs", "", "it exports nothing; export the configuration as default (export default { … })"],
    [
      "function.cjs",
      "module.exports = { pools: { a: { env: { X: () => 1 } } } };",
      "pools.a.env.X is a function; a setting is text, a number, true or false, a list or an object",
    ],
    [
      "list.cjs",
      "module.exports = { bind: [Symbol()] };",
      "bind[0] is a symbol; a setting is text, a number, true or false, a list or an object",
    ],
    [
      "circle.cjs",
      "module.exports = { a: {} }; module.exports.a.a = module.exports.a;",
      "a.a.a.a.a.a.a.a.a is nested too deep",
    ],
    [
      "throws.mjs",
      'throw new Error("no database");',
      /^it could not be loaded:\nError: no database\n {4}at file:.*throws\.mjs:1/,
    ],
    [
      "throws.ts",
      'throw new Error("no database");',
      /^it could not be loaded:\nError: no database\n(?:.|\n)*throws\.ts:1/,
    ],
    [
      "late.mjs",
      'setTimeout(() => { throw new Error("late"); }, 1); await new Promise(() => {});',
      /^it could not be loaded:\nError: late\n {4}at .*late\.mjs:1/,
    ],
    ["null.mjs", "throw null;", "it could not be loaded:\nnull"],
    ["syntax.ts", "export default {\n  a: ;\n};", /^it could not be loaded:\n(?:.|\n)*syntax\.ts:2/],
    [
      "syntax.mjs",
      "export default { a: ; };",
      /^it could not be loaded:\nSyntaxError: Unexpected token ';'(?:.|\n)*\nnode --check .*syntax\.mjs shows where$/,
    ],
    ["syntax.json", "{ a: 1 }", /JSON/],
    ["import.mjs", 'import "./gone.mjs";', /^it could not be loaded:\n(?:.|\n)*gone\.mjs/],
    ["exit.mjs", "process.exit(3);", "it ended with process.exit(3)"],
    [
      "quiet.mjs",
      "process.exit();",
      "it ended without a configuration: an await that never settles, or a process.exit()",
    ],
    [
      "never.mjs",
      "await new Promise(() => {});",
      "it ended without a configuration: an await that never settles, or a process.exit()",
    ],
    ["a.yaml", "app: a.js", "it must end in .ts, .mts, .cts, .js, .mjs, .cjs or .json"],
  ])("%s that cannot be used is refused, and says why", async (file, text, reason) => {
    const folder = configFolder();
    folder.write(file, text);
    const path = `${folder.path}/${file}`;
    const error = await evaluateFile(path, {}).catch(
      (thrown: unknown) => thrown as { code: string; message: string },
    );
    expect(error).toMatchObject({ name: "SettingError", code: "ERR_POSTERN_CONFIG_LOAD" });
    const { message } = error as { message: string };
    expect(message.startsWith(`configuration ${path}: `)).toBe(true);
    const rest = message.slice(`configuration ${path}: `.length);
    if (typeof reason === "string") expect(rest).toBe(reason);
    else expect(rest).toMatch(reason);
  });

  it("that runs for ever is given up", async () => {
    const folder = configFolder();
    folder.write("loop.mjs", "for (;;);");
    await expect(evaluateFile(`${folder.path}/loop.mjs`, {}, 200)).rejects.toThrow(
      `configuration ${folder.path}/loop.mjs: it did not end within 0.2 seconds`,
    );
  });

  it("that is not there, or a folder, is refused", async () => {
    const { path } = configFolder();
    await expect(evaluateFile(`${path}/x.ts`, {})).rejects.toThrow(
      `configuration ${path}/x.ts: there is no such file`,
    );
    await expect(evaluateFile(path, {})).rejects.toThrow(
      `configuration ${path}: this is a folder; name the file in it`,
    );
  });
});

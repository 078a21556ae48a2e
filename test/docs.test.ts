/**
 * What the documents say is true: code compiles, commands and flags exist, links lead somewhere, configurations pass
 * the web server's own check, and the lists of errors, options and flags are complete.
 */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import type { Command as Declared } from "commander";
import { beforeAll, describe, expect, it } from "vitest";
import { commandsFor } from "../src/cli/commands/all.ts";
import { resolveOptions } from "../src/server/options.ts";
import { LANGUAGES, lacksModule, makeSite, render } from "./support/deploy-docs.ts";
import {
  type CodeBlock,
  codeOf,
  type Document,
  readDocument,
  readDocuments,
  tableRows,
} from "./support/markdown.ts";
import { repositoryRoot } from "./support/paths.ts";
import { freePort } from "./support/ports.ts";
import { run } from "./support/process.ts";
import { temporaryFolder } from "./support/temp.ts";
import { patience } from "./support/wait.ts";
import { describeWithServer, programOf, type ServerName } from "./support/web-servers/available.ts";
import { serverUser } from "./support/web-servers/web-server.ts";

const documents = readDocuments();
const blocks = documents.flatMap((document) => document.blocks);

function where({ file, line }: CodeBlock): string {
  return `${file}:${line}`;
}

function source(path: string): string {
  return readFileSync(join(repositoryRoot, path), "utf8");
}

const allCommands = await commandsFor(undefined);

describe("code blocks", () => {
  it("are in languages that are checked, or in some that cannot be", () => {
    // The programs in other languages are tried by e2e/spawn.test.ts.
    const others = ["c", "perl", "python"];
    const known = ["js", "ts", "sh", "text", "ini", "json", ...others, ...Object.keys(LANGUAGES)];
    expect(blocks.filter((block) => !known.includes(block.language)).map(where)).toEqual([]);
  });

  describe("of JavaScript and TypeScript", () => {
    const folder = join(repositoryRoot, ".cache", "docs");
    const programs = blocks.filter(({ language }) => language === "js" || language === "ts");
    const nameOf = (block: CodeBlock): string => {
      const ending = block.info.includes("cjs") ? "cjs" : block.language;
      return `${block.file.replace(/\.md$/, "").replaceAll("/", "-")}-line${block.line}.${ending}`;
    };

    beforeAll(() => {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      for (const block of programs) writeFileSync(join(folder, nameOf(block)), block.text);
      writeStubs(folder);
      writeFileSync(join(folder, "applications.ts"), applicationsCheck(programs, nameOf));
    });

    it("compile, and what they export can be served", { timeout: patience(60_000) }, async () => {
      const compiler = join(repositoryRoot, "node_modules", "typescript", "bin", "tsc");
      const { code, stdout } = await run(process.execPath, [compiler, "-p", folder, "--pretty", "false"], {
        cwd: folder,
        timeoutMs: 60_000,
      });
      expect(
        stdout
          .split("\n")
          .filter((line) => line.includes("error"))
          .join("\n"),
      ).toBe("");
      expect(code).toBe(0);
    });

    it("are written in syntax the oldest supported Node reads", { timeout: patience(60_000) }, async () => {
      const scripts = programs.filter(({ language }) => language === "js");
      expect(scripts.length).toBeGreaterThan(10);
      for (let at = 0; at < scripts.length; at += 4) {
        const checks = scripts.slice(at, at + 4).map(async (block) => {
          const { code, stderr } = await run(process.execPath, ["--check", join(folder, nameOf(block))]);
          expect(code, `${where(block)}\n${stderr}`).toBe(0);
        });
        await Promise.all(checks);
      }
    });
  });

  describe("of shell commands, and commands in the text", () => {
    const commands = [
      ...blocks.filter(({ language }) => language === "sh").flatMap(linesOf),
      ...inlineCommands(),
    ];
    const known = new Map(allCommands.map((command) => [command.name(), command]));
    const flagsOf = (command: Declared): (string | undefined)[] => [
      ...command.options.flatMap(({ short, long }) => [short, long]),
      ...command.commands.flatMap(flagsOf),
    ];
    const { scripts } = JSON.parse(source("package.json")) as { scripts: Record<string, string> };

    it("use commands and flags of postern that exist", () => {
      const wrong = commands.flatMap(({ at, words }) => {
        const start = words.indexOf("postern");
        if (start < 0) return [];
        const [command = "", ...rest] = words.slice(start + 1);
        if (/^(--version|--help|-V|-h)$/.test(command)) return [];
        const declared = known.get(command);
        if (declared === undefined) return [`${at} postern ${command}`];
        const flags = new Set(["-h", "--help", ...flagsOf(declared)]);
        const own = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
        const used = own.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ""));
        return used.filter((flag) => !flags.has(flag)).map((flag) => `${at} ${flag}`);
      });
      expect(wrong).toEqual([]);
      expect(commands.filter(({ words }) => words.includes("postern")).length).toBeGreaterThan(10);
    });

    it("use npm scripts that exist", () => {
      const wrong = commands.flatMap(({ at, words }) => {
        if (words[0] !== "npm") return [];
        const script = words[1] === "run" ? words[2] : words[1];
        const own = ["ci", "init", "install", "pack", "pkg", "root"];
        return script !== undefined && (own.includes(script) || scripts[script])
          ? []
          : [`${at} ${words.join(" ")}`];
      });
      expect(wrong).toEqual([]);
    });
  });
});

/** Types for what the snippets import besides Postern and installed packages. */
function writeStubs(folder: string): void {
  const paths = (name: string): string[] => [`../../src/${name}index.ts`];
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: {
      allowJs: true,
      checkJs: true,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      declaration: false,
      isolatedDeclarations: false,
      // People write short programs; the snippets are no library.
      noImplicitAny: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      noPropertyAccessFromIndexSignature: false,
      useUnknownInCatchVariables: false,
      paths: {
        postern: paths(""),
        "postern/client": paths("client/"),
        "postern/gateway": paths("gateway/"),
        "postern/protocol": paths("protocol/"),
      },
    },
    include: ["./*"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  // The last are what frameworks build.
  const built = ["*/build/handler.js", "*/build/server/index.js", "*/server/index.mjs", "*/server/entry.mjs"];
  const others = ["koa", "fastify", "hono", "next", "react-router", "node-fastcgi", ...built].map(
    (name) => `declare module "${name}";\n`,
  );
  // What Passenger adds.
  others.push("declare const PhusionPassenger: { configure(options: object): void };\n");
  writeFileSync(join(folder, "others.d.ts"), others.join(""));
  writeFileSync(
    join(folder, "app.js"),
    '/** @type {import("postern").NodeListener} */\nexport default (req, res) => res.end();\n',
  );
  writeFileSync(join(folder, "handler.js"), "export const handler = (_req, res) => res.end();\n");
  writeFileSync(
    join(folder, "serve.mjs"),
    'import { serve } from "postern";\nimport app from "./app.js";\nawait serve(app);\n',
  );
}

/** A program that gives everything a snippet exports to `serve`. */
function applicationsCheck(programs: readonly CodeBlock[], nameOf: (block: CodeBlock) => string): string {
  const exporting = programs.filter(({ text }) => text.includes("export default"));
  const imports = exporting.map((block, index) => `import app${index} from "./${nameOf(block)}";\n`);
  const list = exporting.map((_, index) => `app${index}`).join(", ");
  return `import type { Application } from "postern";\n${imports.join("")}export const applications: Application[] = [${list}];\n`;
}

interface Command {
  readonly at: string;
  readonly words: readonly string[];
}

function linesOf(block: CodeBlock): Command[] {
  return block.text
    .split("\n")
    .flatMap((line, index) => commandsIn(line, `${block.file}:${block.line + index + 1}`));
}

/** `code` in the text that begins with postern or npm. */
function inlineCommands(): Command[] {
  return documents.flatMap((document) =>
    document.prose
      .split("\n")
      .flatMap((line, index) =>
        [...line.matchAll(/`((?:npx )?(?:postern|npm) [^`]+)`/g)].flatMap(([, code = ""]) =>
          commandsIn(code, `${document.path}:${index + 1}`),
        ),
      ),
  );
}

function commandsIn(line: string, at: string): Command[] {
  return line
    .replace(/(^|\s)#.*$/, "")
    .split("&&")
    .map((command) => ({ at, words: command.trim().split(/\s+/) }))
    .filter(({ words }) => words[0] !== "");
}

describe("links", () => {
  const byPath = new Map(documents.map((document) => [document.path, document]));

  it("lead to files and headings that exist", () => {
    expect(documents.flatMap((document) => brokenLinks(document))).toEqual([]);
  });

  function brokenLinks(document: Document): string[] {
    const prose = document.prose.replace(/`[^`]*`/g, "");
    return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
      if (/^https?:\/\//.test(link)) return [];
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? document.path : posix.join(dirname(document.path), path);
      const isThere = statSync(join(repositoryRoot, target), { throwIfNoEntry: false }) !== undefined;
      if (!isThere) return [`${document.path}: ${link}`];
      if (anchor === undefined) return [];
      const found = byPath.get(target) ?? readDocument(target);
      return found.anchors.has(anchor) ? [] : [`${document.path}: ${link}`];
    });
  }

  it("name no document that nothing leads to", () => {
    const all = documents.map(({ text }) => text).join("\n");
    const lost = documents.filter(({ path }) => path !== "README.md" && !all.includes(`${basename(path)}`));
    expect(lost.map(({ path }) => path)).toEqual([]);
  });
});

for (const [language, server] of Object.entries(LANGUAGES)) {
  describeWithServer(server, `configurations for ${language}`, () => {
    const configurations = blocks.filter((block) => block.language === language);
    it.each(configurations.map((block) => [where(block), block] as const))(
      "%s passes its check",
      async (_, block) => {
        if (lacksModule(block)) return;
        await check(server, block);
      },
    );
  });
}

async function check(server: ServerName, block: CodeBlock): Promise<void> {
  const folder = temporaryFolder("docs");
  const site = join(folder, "site");
  makeSite(site);
  const place = { folder, port: await freePort(), run: folder, site, tcpPort: 9000, user: serverUser() };
  const { files, check: args } = render(block, place);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const { code, stdout, stderr } = await run(programOf(server), args);
  expect(code, `${where(block)}\n${stdout}\n${stderr}`).toBe(0);
}

it("shows the .htaccess of the example", () => {
  const shown = blocks.filter(({ info }) => info.includes("htaccess")).map(({ text }) => text);
  expect(shown).toEqual([source("examples/shared-hosting/.htaccess")]);
});

describe("docs/errors.md", () => {
  it("has an entry for every error code, and none for another", () => {
    const union = /export type ErrorCode =([^;]+);/.exec(source("src/base/errors.ts"))?.[1] ?? "";
    const codes = [...union.matchAll(/"(ERR_POSTERN_\w+)"/g)].map(([, code]) => code).sort();
    const entries = [...source("docs/errors.md").matchAll(/^### (\w+)$/gm)].map(([, code]) => code).sort();
    expect(codes.length).toBeGreaterThan(20);
    expect(entries).toEqual(codes);
  });
});

interface Setting {
  readonly name: string;
  /** The beginning of `@default`, undefined without one. */
  readonly standard: string | undefined;
}

/** The options of an interface, from its source: names, and what TSDoc says is the default. */
function settingsOf(file: string, ...names: string[]): Setting[] {
  const text = source(file);
  return names.flatMap((name) => {
    const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(text)?.[1];
    if (body === undefined) throw new Error(`${file} has no interface ${name}`);
    const members = [...body.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:readonly )?(\w+)\??:/g)];
    const count = [...body.matchAll(/^ {2}(?:readonly )?\w+\??:/gm)].length;
    if (members.length !== count) throw new Error(`${name} in ${file} has members without TSDoc`);
    return members.map(([, comment = "", member = ""]) => ({
      name: member,
      standard: /@default\s+([\s\S]*)/
        .exec(comment)?.[1]
        ?.replace(/\s*\*?\s+/g, " ")
        .trim(),
    }));
  });
}

/** Option tables of a document: name → default column. */
function documented(path: string): Map<string, string>[] {
  const tables: Map<string, string>[] = [];
  for (const [name = "", standard = ""] of tableRows(readDocument(path).prose)) {
    if (name === "option" && standard === "default") tables.push(new Map());
    else if (/^`\w+`$/.test(name)) tables.at(-1)?.set(codeOf(name), standard);
  }
  return tables;
}

/** Numbers, strings and booleans have to be the same; `loopback only` and the like are words. */
function expectSameDefault(name: string, shown: string | undefined, standard: string | undefined): void {
  const literal = /^(?:0o)?\d+\b|^"[^"]*"|^(?:true|false)\b|^\[[^\]]*\]|^`[^`]*`/.exec(standard ?? "")?.[0];
  expect(shown, `${name} is documented`).toBeDefined();
  if (literal !== undefined) expect(codeOf(shown ?? ""), name).toBe(literal.replaceAll("`", ""));
}

describe("options", () => {
  it("of serve and createServer are all in docs/options.md, with their defaults", () => {
    const settings = [
      ...settingsOf("src/server/options.ts", "Limits", "Timeouts", "ServerOptions"),
      ...settingsOf("src/cgi/mount-options.ts", "MountOptions"),
      ...settingsOf("src/serve.ts", "ServeOptions"),
    ];
    const shown = new Map(documented("docs/options.md").flatMap((table) => [...table]));
    expect([...shown.keys()].sort()).toEqual(settings.map(({ name }) => name).sort());
    for (const { name, standard } of settings) expectSameDefault(name, shown.get(name), standard);
    for (const [name, value] of Object.entries(resolveOptions({}, {}))) {
      if (typeof value !== "number") continue;
      const text = name === "mode" ? `0o${value.toString(8)}` : String(value);
      expect(codeOf(shown.get(name) ?? ""), name).toBe(text);
    }
  });

  it.each([
    ["docs/client.md", 0, "src/client/options.ts", "ClientOptions"],
    ["docs/client.md", 1, "src/client/pool.ts", "PoolOptions"],
    ["docs/client.md", 2, "src/client/options.ts", "RequestOptions"],
    ["docs/gateway.md", 0, "src/gateway/options.ts", "GatewayOptions"],
    ["docs/gateway.md", 1, "src/gateway/options.ts", "PhpOptions"],
    ["docs/gateway.md", 2, "src/gateway/static-files.ts", "StaticFilesOptions"],
  ] as const)("%s, table %i, has those of %s %s", (document, table, file, name) => {
    const shown = documented(document)[table] ?? new Map<string, string>();
    const settings = settingsOf(file, name);
    expect([...shown.keys()].sort()).toEqual(settings.map((setting) => setting.name).sort());
    for (const setting of settings)
      expectSameDefault(setting.name, shown.get(setting.name), setting.standard);
  });
});

describe("docs/cli.md", () => {
  it("has every command, and none that does not exist", () => {
    const rows = tableRows(readDocument("docs/cli.md").prose).map(
      ([name = ""]) => /^`postern (\w+)`$/.exec(name)?.[1],
    );
    const shown = rows.filter((name) => name !== undefined);
    expect(shown.sort()).toEqual(allCommands.map((command) => command.name()).sort());
  });
});

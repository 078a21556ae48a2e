/** The table of settings: complete, the same everywhere it is repeated, and the flags that follow from it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, expectTypeOf, it } from "vitest";
import { type ConfigurationInput, defineConfig, type PoolInput } from "../../../src/config/define.ts";
import { settingsReference } from "../../../src/config/reference.ts";
import {
  defaultWords,
  envName,
  flagName,
  flagsOf,
  MANAGER_SETTINGS,
  POOL_SETTINGS,
  SECTIONS,
} from "../../../src/config/settings.ts";
import { repositoryRoot } from "../../support/paths.ts";

const all = { ...MANAGER_SETTINGS, ...POOL_SETTINGS };

describe("the table", () => {
  it("has each setting once, in one section", () => {
    const names = SECTIONS.flatMap(({ settings }) => Object.keys(settings));
    expect(names).toEqual([...new Set(names)]);
    expect(names.sort()).toEqual(Object.keys(all).sort());
  });

  it("has defaults that can be written", () => {
    for (const [name, { kind, standard }] of Object.entries(all)) {
      if (standard === undefined) continue;
      const source = { place: name, folder: "/", isText: false, isJson: true };
      expect(kind.write(kind.read(standard, source) as never), name).toEqual(
        kind.placeholder === "time" || kind.placeholder === "size" ? String(standard) : standard,
      );
    }
  });

  it("is what docs/settings.md says (else: node scripts/settings-doc.mjs)", () => {
    const text = readFileSync(join(repositoryRoot, "docs", "settings.md"), "utf8");
    const [, written] = text.split("<!-- From here on written by scripts/settings-doc.mjs. -->\n\n");
    expect(written).toBe(settingsReference());
  });

  it("is what the types say that people write configurations with", () => {
    const text = readFileSync(join(repositoryRoot, "src", "config", "define.ts"), "utf8");
    const described = new Map<string, string>();
    for (const [, comment = "", name = "", type = ""] of text.matchAll(
      /^ {2}\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {2}(\w+)\?:([^;]*);/gm,
    )) {
      described.set(name, `${comment.replace(/^\s*\* ?/gm, "")} : ${type}`.replace(/\s+/g, " ").trim());
    }
    const expected = Object.entries(all).map(([name, setting]): [string, string] => {
      const type = `${setting.kind.type}${setting.canBeOff ? " | false" : ""} | undefined`;
      return [name, `${setting.doc} @default ${defaultWords(setting)} : ${type}`];
    });
    expect(Object.fromEntries(described)).toEqual(Object.fromEntries(expected));
  });
});

describe("defineConfig", () => {
  it("gives back what it is given", () => {
    const config = { app: "a.js" };
    expect(defineConfig(config)).toBe(config);
  });

  it("knows the names and the kinds of values", () => {
    expectTypeOf<ConfigurationInput["maxChildren"]>().toEqualTypeOf<number | undefined>();
    expectTypeOf<ConfigurationInput["pm"]>().toEqualTypeOf<"static" | "dynamic" | "ondemand" | undefined>();
    expectTypeOf<ConfigurationInput["drainTimeout"]>().toEqualTypeOf<number | string | undefined>();
    expectTypeOf<ConfigurationInput["pingPath"]>().toEqualTypeOf<string | false | undefined>();
    expectTypeOf<keyof PoolInput>().toEqualTypeOf<keyof typeof POOL_SETTINGS>();
    expectTypeOf<keyof ConfigurationInput>().toEqualTypeOf<
      keyof typeof POOL_SETTINGS | keyof typeof MANAGER_SETTINGS
    >();
    // @ts-expect-error a misspelt name
    defineConfig({ maxChildern: 4 });
    // @ts-expect-error a setting of the manager
    defineConfig({ pools: { blog: { logLevel: "info" } } });
    // @ts-expect-error a word that is not one of pm's
    defineConfig({ pm: "dynamc" });
  });
});

describe("flags", () => {
  it.each([
    ["maxChildren", "--max-children", "POSTERN_MAX_CHILDREN"],
    ["pm", "--pm", "POSTERN_PM"],
    ["requestSlowlogTraceDepth", "--request-slowlog-trace-depth", "POSTERN_REQUEST_SLOWLOG_TRACE_DEPTH"],
  ])("of %s: %s and %s", (name, flag, variable) => {
    expect(flagName(name)).toBe(flag);
    expect(envName(name)).toBe(variable);
  });

  it("are there for all settings but those of the file alone", () => {
    const flags = [...flagsOf("manager"), ...flagsOf("pool")];
    const names = new Set(flags.map(({ setting }) => setting));
    expect(
      Object.keys(all)
        .filter((name) => !names.has(name))
        .sort(),
    ).toEqual(["app", "command", "pools"]);
  });

  it("never have the same name twice", () => {
    const words = [...flagsOf("manager"), ...flagsOf("pool")].flatMap(
      ({ flags }) => flags.match(/--?[\w-]+/g) ?? [],
    );
    expect(words).toEqual([...new Set(words)]);
  });

  it.each([
    ["bind", ["-b, --bind <address>"], true],
    ["workers", ["-w, --workers <count>"], false],
    ["maxMemory", ["--max-memory <size>"], false],
    ["env", ["--env <NAME=value>"], true],
    ["pm", ["--pm <static|dynamic|ondemand>"], false],
    ["clearEnv", ["--clear-env", "--no-clear-env"], false],
  ])("of %s in commander's words: %j", (setting, flags, isRepeatable) => {
    const found = flagsOf("pool").filter((flag) => flag.setting === setting);
    expect(found.map((flag) => flag.flags)).toEqual(flags);
    for (const flag of found) expect(flag.isRepeatable).toBe(isRepeatable);
  });

  it("say their default", () => {
    const described = (setting: string): readonly string[] =>
      flagsOf("pool").flatMap((flag) => (flag.setting === setting ? [flag.description] : []));
    expect(described("listenMode")).toEqual(["Permissions of unix sockets. (default: 0660)"]);
    expect(described("phasedReload")[1]).toBe("The opposite of --phased-reload.");
    expect(described("catchWorkersOutput")[0]).toBe("The opposite of --no-catch-workers-output.");
  });
});

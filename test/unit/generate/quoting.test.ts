/** Quoting: what a shell reads is what was meant, and what a target cannot hold is refused in one sentence. */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checked,
  checkedVariable,
  openrcWord,
  shWord,
  supervisorCommand,
  supervisorEnvironment,
  supervisorText,
  systemdAssignment,
  systemdProgram,
  systemdText,
  systemdWord,
} from "../../../src/generate/quoting.ts";

const HOSTILE = [
  "plain",
  "two words",
  "two  spaces",
  " at the ends ",
  "",
  "it's",
  "'",
  '"double"',
  "both ' and \"",
  "100%",
  "%n %% %(here)s",
  `$HOME $\{HOME} $(id) \`id\``,
  "a;b ; c # d &",
  ";",
  "#x",
  "back\\slash\\",
  "*?[a]{b,c}~",
  "~",
  "!<>|()",
  "-x",
  "ünïcödé — 日本",
];

/** What a shell makes of the words of a script. */
function shell(script: string): string[] {
  const output = execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" });
  return output.split("\0").slice(0, -1);
}

const print = "printf '%s\\0'";
const text = fc.string({
  unit: fc.constantFrom(..." '\"\\$%;#&*?[]{}~!<>|()`=abcé".split("")),
  maxLength: 12,
});

describe("a word of a shell", () => {
  it("is read as it was meant", () => {
    expect(shell(`${print} ${HOSTILE.map((word) => shWord("word", word)).join(" ")}`)).toEqual(HOSTILE);
    const words = fc.array(text, { minLength: 1, maxLength: 50 });
    const property = fc.property(words, (list) => {
      expect(shell(`${print} ${list.map((word) => shWord("word", word)).join(" ")}`)).toEqual(list);
    });
    fc.assert(property, { numRuns: 20 });
  });

  it("has no quotes where none are needed", () => {
    expect(shWord("path", "/srv/app-1.2/app.js")).toBe("/srv/app-1.2/app.js");
  });
});

describe("a word for OpenRC", () => {
  /** OpenRC's supervise-daemon.sh: the variable without quotes, given to eval. */
  const evaluated = (words: readonly string[]): string[] => {
    const args = words.map((word) => openrcWord("word", word)).join(" ");
    return shell(
      `command_args=${shWord("words", args)}; eval ${print.replaceAll("'", "\\'").replace("\\0", "\\\\0")} $command_args`,
    );
  };

  it("is read as it was meant after splitting and eval", () => {
    expect(evaluated(HOSTILE)).toEqual(HOSTILE);
    const lists = fc.array(text, { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(lists, (list) => {
        expect(evaluated(list)).toEqual(list);
      }),
      { numRuns: 20 },
    );
  });
});

describe("systemd", () => {
  it.each([
    ["/srv/app/app.js", "/srv/app/app.js"],
    ["two words", '"two words"'],
    ["", '""'],
    ["100%", '"100%%"'],
    ["$HOME", '"$$HOME"'],
    ['a "b" \\', '"a \\"b\\" \\\\"'],
    ["it's", '"it\'s"'],
    [";", '";"'],
  ])("reads the argument %j from %s", (word, written) => {
    expect(systemdWord("argument", word)).toBe(written);
  });

  it("reads a dollar in the program and in an assignment as it stands", () => {
    expect(systemdProgram("node", "/opt/$x/node")).toBe('"/opt/$x/node"');
    expect(systemdAssignment("A", "$x 5%")).toBe('"A=$x 5%%"');
  });

  it("takes a path to the end of the line, with percent signs doubled", () => {
    expect(systemdText("path", '/srv/my "app" 5%')).toBe('/srv/my "app" 5%%');
    expect(() => systemdText("path", "/srv/app\\")).toThrow(/path: .* cannot be used: .*backslash/);
    expect(() => systemdText("path", "/srv/app ")).toThrow(/a space/);
  });
});

describe("supervisor", () => {
  it("gets a percent sign doubled, and no space before a comment sign", () => {
    const words = HOSTILE.map((word) => ["word", word] as const);
    const command = supervisorCommand(words);
    expect(command.replaceAll("%%", "")).not.toContain("%");
    expect(command).not.toMatch(/\s[;#]/);
    expect(command).not.toContain("%(here)s");
    // It splits as a shell does.
    expect(shell(`${print} ${command.replaceAll("%%", "%")}`)).toEqual(HOSTILE);
  });

  it("refuses a path that it would cut at a comment sign", () => {
    expect(supervisorText("path", "/srv/a#b;c 5%")).toBe("/srv/a#b;c 5%%");
    expect(() => supervisorText("path", "/srv/a ;b")).toThrow(
      /path: "\/srv\/a ;b" cannot be used: .*comment/,
    );
    expect(() => supervisorText("path", "/srv/a ")).toThrow(/a space at its end/);
    expect(() => supervisorText("path", "/srv/%(here)s")).toThrow(/supervisor replaces %\(here\)s/);
  });

  it("chooses the quotes that a value does not have", () => {
    expect(supervisorEnvironment({ A: "1", B: 'say "hi" now', C: "it's 5%" })).toBe(
      `A="1",B='say "hi" now',C="it's 5%%"`,
    );
    expect(supervisorEnvironment({ A: " at the ends " })).toBe('A=" at the ends "');
  });

  it.each(["both ' and \" here", '"quoted"', "ends'"])("refuses the value %j", (value) => {
    expect(() => supervisorEnvironment({ A: value })).toThrow(/environment variable A: .*configuration file/);
  });

  it("refuses a value with a comment sign after a space", () => {
    expect(() => supervisorEnvironment({ A: "x # y" })).toThrow(/comment/);
  });
});

describe("everywhere", () => {
  it.each(["two\nlines", "a\rb", "a\0b", "tab\t", "\x1b[2J"])("%j is refused", (value) => {
    const writers: readonly (() => unknown)[] = [
      () => checked("thing", value),
      () => shWord("thing", value),
      () => openrcWord("thing", value),
      () => systemdWord("thing", value),
      () => systemdProgram("thing", value),
      () => systemdText("thing", value),
      () => systemdAssignment("A", value),
      () => supervisorCommand([["thing", value]]),
      () => supervisorText("thing", value),
      () => supervisorEnvironment({ A: value }),
    ];
    for (const write of writers)
      expect(write).toThrow(/(thing|variable A): ".*" cannot be used: it holds a line break/);
  });

  it("a variable must have a name that shells know", () => {
    expect(checkedVariable("NODE_ENV")).toBe("NODE_ENV");
    for (const name of ["", "1A", "A-B", "A=B", "A B", "A\nB"]) {
      expect(() => checkedVariable(name)).toThrow(/environment variable: .* digits and _/);
    }
  });
});

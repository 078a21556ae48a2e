/** Files of environment variables. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseEnvFile, readEnvFile } from "../../../src/manager/env-file.ts";
import { temporaryFolder } from "../../support/temp.ts";

const parse = (text: string): Record<string, string> => parseEnvFile(text, "/etc/app.env");

describe("a value", () => {
  const cases: readonly [line: string, value: string, what: string][] = [
    ["NAME=plain", "plain", "plain"],
    ["NAME=", "", "empty"],
    ["NAME=  two words  ", "two words", "without the spaces around it"],
    ["  NAME = spaced", "spaced", "with spaces around the equals sign"],
    ["export NAME=exported", "exported", "after export"],
    ["NAME=value # comment", "value", "before a comment"],
    ["NAME=a#b", "a#b", "with a number sign in a word"],
    ["NAME=# nothing", "", "that is only a comment"],
    ["NAME=a=b=c", "a=b=c", "with equals signs"],
    ["NAME=$HOME/x", "$HOME/x", "with a dollar, which is text"],
    ["NAME=C:\\new", "C:\\new", "with backslashes"],
    ["NAME='a \\n # $b'", "a \\n # $b", "in single quotes: as it stands"],
    ['NAME="a\\nb\\tc\\\\d\\"e\\$f"', 'a\nb\tc\\d"e$f', "in double quotes: escapes"],
    ['NAME="C:\\dir"', "C:\\dir", "in double quotes: other backslashes stay"],
    ['NAME="a # b" # c', "a # b", "in quotes, with a comment after"],
    ['NAME="it\'s"', "it's", "in double quotes with a single one inside"],
    ["NAME='one\ntwo'", "one\ntwo", "over two lines in single quotes"],
    ['NAME="one\n\n# three"', "one\n\n# three", "over several lines in double quotes"],
    ['NAME="ends with \\\\"', "ends with \\", "whose escaped backslash is no escape of the quote"],
    ["NAME=caf\u00e9 \u{1f600}", "caf\u00e9 \u{1f600}", "in any language"],
    ["\uFEFFNAME=bom", "bom", "after a byte-order mark"],
    ["NAME=first\nNAME=second", "second", "given twice: the later"],
  ];
  it.each(cases)("%j gives %j: %s", (line, value) => {
    expect(parse(line)).toEqual({ NAME: value });
  });

  it("is the same with Windows line ends", () => {
    expect(parse("A=1\r\n\r\nB='2\r\n3'\r\n")).toEqual({ A: "1", B: "2\n3" });
  });

  it("may have a name that objects have too", () => {
    expect(Object.entries(parse("__proto__=1\nconstructor=2"))).toEqual([
      ["__proto__", "1"],
      ["constructor", "2"],
    ]);
  });
});

describe("what is not a value", () => {
  const cases: readonly [text: string, message: RegExp][] = [
    ["A=1\nsecret", /^\/etc\/app\.env, line 2: this is not NAME=value/],
    ["\n\n1A=secret", /line 3: before the = is no name/],
    ["a.b=secret", /line 1: before the = is no name/],
    ["=secret", /line 1: before the = is no name/],
    ["A=1\nB='secret\nmore\nC=2", /line 2: the value of B begins with ' and has no end/],
    ['A="secret\\"', /line 1: the value of A begins with " and has no end/],
    ["A='it's secret'", /line 1: something follows the closing ' of A; .* double quotes/],
    ['A="x" "secret"', /line 1: something follows the closing " of A; write a " inside as \\"/],
    ["A=secret\0", /line 1: the value of A holds a NUL/],
  ];
  it.each(cases)("%j is refused with its line, and not repeated", (text, message) => {
    const attempt = (): unknown => parse(text);
    expect(attempt).toThrow(
      expect.objectContaining({ name: "SettingError", code: "ERR_POSTERN_BAD_SETTING" }),
    );
    expect(attempt).toThrow(message);
    expect(attempt).not.toThrow(/secret/);
  });
});

describe("a file", () => {
  it("is read", () => {
    const file = join(temporaryFolder(), ".env");
    writeFileSync(file, "# settings\nPORT=1\n");
    expect(readEnvFile(file)).toEqual({ PORT: "1" });
  });

  it("that cannot be read is named, with the remedy", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "sub"));
    writeFileSync(join(folder, "latin1"), Buffer.from("A=\xe9", "latin1"));
    writeFileSync(join(folder, "large"), `#${"x".repeat(1024 * 1024)}`);
    expect(() => readEnvFile(join(folder, "none"))).toThrow(
      `${folder}/none: there is no such file; create it`,
    );
    expect(() => readEnvFile(join(folder, "sub"))).toThrow(`${folder}/sub is not a file`);
    expect(() => readEnvFile(join(folder, "latin1"))).toThrow(`${folder}/latin1: it is not UTF-8 text`);
    expect(() => readEnvFile(join(folder, "large"))).toThrow(
      "has 1048577 bytes, a file of variables may have 1048576",
    );
  });
});

/** Every kind of value: what is read, what is refused and in which words, and how it is written again. */
import { describe, expect, it } from "vitest";
import * as kinds from "../../../src/config/kinds.ts";

const source = { place: "postern.config.ts: it", folder: "/srv/blog", isText: false, isJson: false };
const flag = { place: "--it", folder: "/srv/blog", isText: true, isJson: false };

const count = kinds.count(1, 100);
const orAuto = kinds.countOrAuto(100);
const patience = kinds.duration("; or 0 for off");
const always = kinds.duration("");
const size = kinds.size(1024);
const choice = kinds.choice("static", "dynamic", "ondemand");
const text = kinds.text("text", "one line of text", /^[^\n]+$/);

describe("in a file", () => {
  it.each<[string, kinds.Kind, unknown, unknown, unknown?]>([
    ["count", count, 4, 4],
    ["count", count, "4", 4, 4],
    ["count or auto", orAuto, "auto", "auto"],
    ["count or auto", orAuto, 3, 3],
    ["time", patience, 30, 30_000, "30s"],
    ["time", patience, "500ms", 500],
    ["time", patience, 0, 0, "0"],
    ["size", size, "256M", 268_435_456],
    ["size", size, "0", 0, "0"],
    ["permissions", kinds.octal, 0o660, 0o660, "0660"],
    ["yes or no", kinds.yesNo, true, true],
    ["choice", choice, "dynamic", "dynamic"],
    ["text", text, "pong", "pong"],
    ["path", kinds.path, "app.js", "/srv/blog/app.js", "/srv/blog/app.js"],
    ["path", kinds.path, "/app.js", "/app.js"],
    ["late path", kinds.latePath, "tmp/restart.txt", "tmp/restart.txt"],
    ["paths", kinds.paths, ".env", ["/srv/blog/.env"], ["/srv/blog/.env"]],
    ["paths", kinds.paths, ["a,b", "/c"], ["/srv/blog/a,b", "/c"], ["/srv/blog/a,b", "/c"]],
    ["account", kinds.account("user"), "www-data", "www-data"],
    ["account", kinds.account("user"), "33", 33, 33],
    [
      "clients",
      kinds.clients,
      "10.0.0.5, 10.1.0.0/16",
      ["10.0.0.5", "10.1.0.0/16"],
      ["10.0.0.5", "10.1.0.0/16"],
    ],
    [
      "folders",
      kinds.offloadFolders,
      "files=/protected, /srv/x/",
      ["/srv/blog/files=/protected/", "/srv/x"],
      ["/srv/blog/files=/protected/", "/srv/x"],
    ],
    ["words", kinds.words, "--a --b", ["--a", "--b"], ["--a", "--b"]],
    ["words", kinds.words, ["--title=a b"], ["--title=a b"]],
    ["command", kinds.command, ["php-cgi", "-n"], ["php-cgi", "-n"]],
    ["command", kinds.command, ["./serve", "./x"], ["/srv/blog/serve", "./x"], ["/srv/blog/serve", "./x"]],
    ["addresses", kinds.addresses, ":9000", [{ kind: "tcp", host: "", port: 9000 }], [":9000"]],
    [
      "addresses",
      kinds.addresses,
      ["unix:a.sock", "unix:@a"],
      [
        { kind: "unix", path: "/srv/blog/a.sock" },
        { kind: "abstract", name: "a" },
      ],
      ["unix:/srv/blog/a.sock", "unix:@a"],
    ],
    ["address", kinds.address, ":8080", ":8080"],
    [
      "variables",
      kinds.variables,
      { A: 1, B: true, C: "x=y", D: undefined },
      { A: "1", B: "true", C: "x=y" },
      { A: "…", B: "…", C: "…" },
    ],
  ])("a %s is read and written again", (_, kind, written, value, again = written) => {
    expect(kind.read(written, source)).toEqual(value);
    expect(kind.write(value as never)).toEqual(again);
  });

  it.each<[kinds.Kind, unknown, string]>([
    [count, 0, "0 cannot be used, it must be a whole number from 1 to 100"],
    [count, 101, "101 cannot be used, it must be a whole number from 1 to 100"],
    [count, "four", '"four" cannot be used, it must be a whole number from 1 to 100'],
    [count, null, "null cannot be used, it must be a whole number from 1 to 100"],
    [orAuto, 0, '0 cannot be used, it must be a whole number from 1 to 100, or "auto"'],
    [orAuto, "cores", '"cores" cannot be used, it must be a whole number from 1 to 100, or "auto"'],
    [
      patience,
      "5 weeks",
      '"5 weeks" cannot be used, it must be seconds, or a time such as "500ms", "30s", "5m" or "1h"; from "1ms" to "24d"; or 0 for off',
    ],
    [
      always,
      0,
      '0 cannot be used, it must be seconds, or a time such as "500ms", "30s", "5m" or "1h"; from "1ms" to "24d"',
    ],
    [
      patience,
      "25d",
      '"25d" cannot be used, it must be seconds, or a time such as "500ms", "30s", "5m" or "1h"; from "1ms" to "24d"; or 0 for off',
    ],
    [
      patience,
      0.0001,
      '0.0001 cannot be used, it must be seconds, or a time such as "500ms", "30s", "5m" or "1h"; from "1ms" to "24d"; or 0 for off',
    ],
    [
      size,
      256,
      '256 cannot be used, it must be bytes, or a size such as "256M" or "1G"; from "1K", or 0 for no limit',
    ],
    [kinds.octal, 660, '660 cannot be used, it must be octal permissions such as "0660"'],
    [kinds.yesNo, "maybe", '"maybe" cannot be used, it must be true or false'],
    [choice, "dynamc", '"dynamc" cannot be used, it must be static, dynamic or ondemand'],
    [choice, 1, "1 cannot be used, it must be static, dynamic or ondemand"],
    [text, "a\nb", '"a\\nb" cannot be used, it must be one line of text'],
    [kinds.path, "", '"" cannot be used, it must be a path'],
    [kinds.path, "a\0b", '"a\\u0000b" cannot be used, it must be a path'],
    [kinds.paths, [1], "1 cannot be used, it must be a path, or a list of paths"],
    [kinds.account("group"), "a b", '"a b" cannot be used, it must be a group: a name or a number'],
    [kinds.account("user"), 2 ** 32, "4294967296 cannot be used, it must be a user: a name or a number"],
    [
      kinds.clients,
      ["localhost"],
      '"localhost" cannot be used, it must be an IP address, a range such as 10.0.0.0/8, or any',
    ],
    [
      kinds.offloadFolders,
      ["/files=/a b/"],
      '"/files=/a b/" cannot be used, it must be a folder such as /var/files (for lighttpd and Apache), or folder=/internal/location/ such as /var/files=/protected/ (for nginx)',
    ],
    [kinds.words, [""], '"" cannot be used, it must be text, or a list of texts'],
    [
      kinds.command,
      "php-cgi -n",
      '"php-cgi -n" cannot be used, it must be a list: a program and its arguments, such as ["php-cgi", "-n"]',
    ],
    [
      kinds.command,
      [],
      '[] cannot be used, it must be a list: a program and its arguments, such as ["php-cgi", "-n"]',
    ],
    [
      kinds.command,
      ["", "x"],
      '["","x"] cannot be used, it must be a list: a program and its arguments, such as ["php-cgi", "-n"]',
    ],
    [kinds.addresses, 9000, "9000 cannot be used, it must be an address, or a list of addresses"],
    [kinds.address, 8080, "8080 cannot be used, it must be an address such as :8080"],
    [
      kinds.variables,
      ["A=1"],
      '["A=1"] cannot be used, it must be an object of names and values, such as { NODE_ENV: "production" }',
    ],
  ])("%# what cannot be used is named with its place and what is allowed", (kind, written, message) => {
    expect(() => kind.read(written, source)).toThrow(
      expect.objectContaining({
        code: "ERR_POSTERN_BAD_SETTING",
        message: `postern.config.ts: it: ${message}`,
      }),
    );
  });

  it("a wrong address keeps the words of the one reader of addresses", () => {
    expect(() => kinds.addresses.read(["9000"], source)).toThrow(
      expect.objectContaining({
        code: "ERR_POSTERN_ADDRESS",
        message: 'postern.config.ts: it "9000": for TCP write 127.0.0.1:9000 or :9000',
      }),
    );
  });

  it("a wrong environment variable is named", () => {
    expect(() => kinds.variables.read({ A: {} }, source)).toThrow(
      "postern.config.ts: it.A: {} cannot be used, it must be text, a number or true or false",
    );
    expect(() => kinds.variables.read({ "A B": 1 }, source)).toThrow(
      'postern.config.ts: it: "A B" cannot be used, it must be the name of an environment variable: letters, digits and _',
    );
  });

  it("a number is no permissions in JSON, which has no octal numbers", () => {
    const json = { ...source, isJson: true };
    expect(() => kinds.octal.read(0o660, json)).toThrow("432 cannot be used");
    expect(kinds.octal.read("0660", json)).toBe(0o660);
  });
});

describe("in a flag or the environment", () => {
  it.each<[string, kinds.Kind, unknown, unknown]>([
    ["addresses with commas between", kinds.addresses, ":1,:2", [":1", ":2"]],
    ["addresses of a repeated flag", kinds.addresses, [":1", ":2,:3"], [":1", ":2", ":3"]],
    ["flags of node with spaces between", kinds.words, ["--a --b", "--c"], ["--a", "--b", "--c"]],
    ["clients with commas and spaces between", kinds.clients, "::1, any,", ["::1", "any"]],
    [
      "variables of a repeated flag, the later winning",
      kinds.variables,
      ["A=1", "B=x=y", "A="],
      { A: "…", B: "…" },
    ],
    ["one variable", kinds.variables, "A=1", { A: "…" }],
    ["words for off", kinds.yesNo, "no", false],
  ])("there may be %s", (_, kind, given, written) => {
    expect(kind.write(kind.read(given, flag) as never)).toEqual(written);
  });

  it("a variable keeps everything behind its first equals sign", () => {
    expect(kinds.variables.read(["A=x=y", "B="], flag)).toEqual({ A: "x=y", B: "" });
  });

  it("a variable without a value is refused", () => {
    expect(() => kinds.variables.read(["A"], flag)).toThrow(
      '--it: "A" cannot be used, it must be written as NAME=value',
    );
  });
});

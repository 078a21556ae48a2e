/** docs/configure.md has every flag of `postern config`, and every rule of `--check`, and none that does not exist. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { configCommand } from "../../../src/cli/commands/config.ts";
import { WEB_SERVERS, type WebServerName } from "../../../src/sites/index.ts";
import { readDocument } from "../../support/markdown.ts";
import { repositoryRoot } from "../../support/paths.ts";

const { text } = readDocument("docs/configure.md");

/** The part below a heading, up to the next of its level or above. */
function section(heading: RegExp): string {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => heading.test(line));
  if (at < 0) return "";
  const level = /^#+/.exec(lines[at] ?? "")?.[0].length ?? 0;
  const end = lines.findIndex((line, index) => index > at && /^#+ /.test(line) && line.indexOf(" ") <= level);
  return lines.slice(at + 1, end < 0 ? undefined : end).join("\n");
}

/** The first column of the rows of its tables. */
function firstColumn(part: string): string[] {
  return part.split("\n").flatMap((line) => /^\| (`[^|]*) \|/.exec(line)?.[1] ?? []);
}

/** Every word in quotes that a checker's files have in the place of a rule. */
function rulesOf(server: WebServerName): string[] {
  const folder = join(repositoryRoot, "src", "sites");
  const files = readdirSync(folder).filter((name) => name.startsWith(`${server}-check`));
  const source = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const found = [...source.matchAll(/\brule: (?:\w+ \? "([a-z-]+)" : )?"([a-z-]+)"/g)];
  return [...new Set(found.flatMap(([, one, other]) => [one, other]))]
    .filter((rule) => rule !== undefined)
    .sort();
}

describe("docs/configure.md", () => {
  it("has every flag, and none that does not exist", () => {
    const shown = firstColumn(section(/^## Flags/)).flatMap((cell) =>
      [...cell.matchAll(/(?:^|`|\s)(--[a-z-]+)/g)].map(([, flag]) => flag),
    );
    const flags = configCommand()
      .commands.filter((command) => command.name() !== "show")
      .flatMap(({ options }) => options.map(({ long }) => long));
    expect([...new Set(shown)].sort()).toEqual([...new Set(flags)].sort());
  });

  it("names every web server", () => {
    for (const server of WEB_SERVERS) expect(text).toContain(`\`${server}\``);
  });

  it.each(["nginx"] as const)("has every rule for %s, and none that does not exist", (server) => {
    const shown = firstColumn(section(new RegExp(`^### ${server}`, "i"))).map((cell) =>
      cell.replaceAll("`", ""),
    );
    expect(shown.sort()).toEqual(rulesOf(server));
    expect(shown.length).toBeGreaterThan(20);
  });
});

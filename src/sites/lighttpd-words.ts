/**
 * How a text is written in lighttpd's configuration so that it means itself. In quotes `\"` is a quote and everything
 * else is what it is, a backslash too; so that a backslash in front of the closing quote has no spelling.
 */
import { quoted, refused } from "./parts.ts";

/** @param what its name, for the error @throws {SettingError} */
export function lighttpdString(what: string, text: string): string {
  if (text.endsWith("\\")) {
    throw refused(
      `${what} ${quoted(text)}: lighttpd knows no way to write a text that ends with a backslash; give another path, such as a link`,
    );
  }
  return `"${text.replaceAll('"', '\\"')}"`;
}

/** A folder, with a slash at its end. */
export function lighttpdFolder(what: string, folder: string): string {
  return lighttpdString(what, folder.endsWith("/") ? folder : `${folder}/`);
}

/** The program of `bin-path`, which lighttpd splits at blanks and knows no quotes for. @throws {SettingError} */
export function lighttpdProgram(program: string): string {
  if (/\s/.test(program)) {
    throw refused(
      `--spawn ${quoted(program)}: lighttpd splits a command at its spaces and knows no quotes; give a path without spaces, such as a link`,
    );
  }
  return lighttpdString("--spawn", program);
}

/** A text that a regular expression (PCRE) matches as it is, not yet a string. */
export function lighttpdPattern(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

/** `( "a" => "b", … )` on one line. */
export function lighttpdMap(what: string, pairs: readonly (readonly [string, string])[]): string {
  const entries = pairs.map(
    ([name, value]) => `${lighttpdString(what, name)} => ${lighttpdString(what, value)}`,
  );
  return `( ${entries.join(", ")} )`;
}

/** One of the blocks of which lighttpd takes the first that fits. */
export interface Branch {
  readonly condition: string | undefined;
  readonly lines: readonly string[];
}

/** Lines inside of a block. */
export function indented(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `    ${line}`));
}

/**
 * How a text is written in a Caddyfile so that it means itself. Two things look into a word besides its quotes, and
 * neither can be told not to in every release: environment variables `{$NAME}` and placeholders `{name}`. So a brace is
 * refused, except in a regular expression, where it has another spelling.
 */
import { quoted, refused } from "./parts.ts";

const HARMLESS = /^[A-Za-z0-9_./:@%=,+~-]+$/;

/** A word. @param what its name, for the error @throws {SettingError} for a brace */
export function caddyWord(what: string, text: string): string {
  if (/[{}]/.test(text)) {
    throw refused(
      `${what} ${quoted(text)}: Caddy takes what is in braces for a placeholder; give a path without one, such as a link to it`,
    );
  }
  if (HARMLESS.test(text)) return text;
  // Nothing is special between backticks, not even a backslash.
  if (!text.includes("`")) return `\`${text}\``;
  if (!text.includes("\\")) return `"${text.replaceAll('"', '\\"')}"`;
  throw refused(
    `${what} ${quoted(text)}: a Caddyfile cannot hold both a backtick and a backslash in one word; give a path without one of them`,
  );
}

/** A file to import, which is a pattern for names of files. @throws {SettingError} for what could match another */
export function caddyImport(what: string, path: string): string {
  if (!/[*?[\]\\]/.test(path)) return caddyWord(what, path);
  throw refused(
    `${what} ${quoted(path)}: Caddy takes * ? [ ] and \\ in it for a pattern; give a path without them, such as a link to the file`,
  );
}

/** The path of a socket in an address. @throws {SettingError} */
export function caddySocket(path: string): string {
  if (!path.includes("|")) return caddyWord("--bind", `unix/${path}`);
  throw refused(
    `--bind ${quoted(path)}: Caddy takes what follows the | for permissions; give the socket another name`,
  );
}

/** A text that a regular expression matches as it is: a word by itself, since everything unusual is written by number. */
export function caddyPattern(text: string): string {
  return text.replace(
    /[\x21-\x2c.:-@[-^`{-\x7e]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

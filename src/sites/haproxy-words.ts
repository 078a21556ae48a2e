/**
 * How a text is written in HAProxy's configuration so that it means itself. Between single quotes nothing is special;
 * but addresses are searched for variables once more, and regular expressions have a language of their own.
 */
import { quoted, refused } from "./parts.ts";

const HARMLESS = /^[A-Za-z0-9_./:@%=,+-]+$/;

/** A word. */
export function haproxyWord(text: string): string {
  return HARMLESS.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The address of a unix socket. @throws {SettingError} */
export function haproxySocket(path: string): string {
  if (!path.includes("$")) return haproxyWord(`unix@${path}`);
  throw refused(
    `--bind ${quoted(path)}: HAProxy takes what follows the $ for a variable; give the socket another name`,
  );
}

/** A text that a regular expression matches as it is, not yet quoted. */
export function haproxyPattern(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

/**
 * Conditions of which one is true when the path is `path` or below it; below "" everything is. What is compared is the
 * path as the visitor meant it, decoded.
 */
export function haproxyBelow(path: string): string[] {
  if (path === "") return [""];
  return [
    `{ path,url_dec -m str ${haproxyWord(path)} }`,
    `{ path,url_dec -m beg ${haproxyWord(`${path}/`)} }`,
  ];
}

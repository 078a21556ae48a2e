/**
 * How a text is written in h2o's configuration so that it means itself. That is YAML, where a text in double quotes is
 * written as in JSON; some of the texts are command lines or URLs, too.
 */
import { quoted, refused } from "./parts.ts";

/** A text: a key or a value. */
export function h2oText(text: string): string {
  return /^[A-Za-z/][A-Za-z0-9_./-]*$/.test(text) && !/^(?:on|off|yes|no|true|false|null)$/i.test(text)
    ? text
    : JSON.stringify(text);
}

/** A word of a command line for /bin/sh. */
export function h2oShellWord(text: string): string {
  return /^[A-Za-z0-9_./:=@+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The path of a socket in a URL. @throws {SettingError} */
export function h2oSocketUrl(path: string): string {
  if (/^[A-Za-z0-9_./@:+,=~-]+$/.test(path)) return `[unix:${path}]`;
  throw refused(
    `--websocket ${quoted(path)}: h2o reads the socket's path out of a URL; give it a path of letters, digits and ._/-`,
  );
}

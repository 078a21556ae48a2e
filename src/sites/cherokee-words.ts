/**
 * How a text is written in cherokee.conf: a line is `key = value`, with neither quotes nor escapes, and without the
 * spaces at either end of the value.
 */
import { quoted, refused } from "./parts.ts";

/** @param what its name, for the error @throws {SettingError} */
export function cherokeeValue(what: string, text: string): string {
  if (text !== "" && text === text.trim()) return text;
  throw refused(
    `${what} ${quoted(text)}: cherokee.conf has no way to write a text with a space at its beginning or end`,
  );
}

/** The value of an environment variable, in which Cherokee replaces every `$NAME`. @throws {SettingError} */
export function cherokeeEnvironment(name: string, value: string): string {
  if (!value.includes("$")) return cherokeeValue(`--env ${name}`, value);
  throw refused(
    `--env ${name} ${quoted(value)}: Cherokee takes the $ for a variable of its own and knows no way to keep it; set it in the program`,
  );
}

/**
 * The command of an interpreter. A shell reads it, and before that Cherokee looks for a file at its beginning: quotes
 * help with the one and hinder the other. @throws {SettingError}
 */
export function cherokeeProgram(program: string): string {
  if (/^[\p{L}\p{N}_./:@%+,-]+$/u.test(program)) return program;
  throw refused(
    `--spawn ${quoted(program)}: Cherokee hands the command to a shell and knows no quotes; give a path of plain letters, such as a link`,
  );
}

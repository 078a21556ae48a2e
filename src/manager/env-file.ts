/**
 * Files of environment variables (`.env`), a line each:
 *
 *     # a comment
 *     NAME=value            # spaces around the value and a comment after it are not part of it
 *     export NAME='as it stands, over several lines if need be'
 *     NAME="with \n, \r, \t, \", \\ and \$"
 *
 * Nothing is interpolated: a `$` is a `$`. Of two lines for one name the later counts. What cannot be read is refused
 * with file and line, because a password that silently lacks its end is worse than no start. Messages never repeat
 * what is in the file: it may be a part of that password.
 */
import { readFileSync, statSync } from "node:fs";
import { SettingError } from "../base/errors.ts";

/** Larger is not a file of variables; also what the system can pass to a program (ARG_MAX) is of this order. */
const MAX_FILE_BYTES = 1024 * 1024;
/** What shells understand: dash drops other names from the environment of what it starts. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Whether every program can be given a variable of this name. */
export function isVariableName(name: string): boolean {
  return NAME.test(name);
}

/** Reads a file. @throws {SettingError} `ERR_POSTERN_BAD_SETTING`, with file and line */
export function readEnvFile(file: string): Record<string, string> {
  return parseEnvFile(textOf(file), file);
}

/** The variables of a file's text. @throws {SettingError} `ERR_POSTERN_BAD_SETTING`, with file and line */
export function parseEnvFile(text: string, file: string): Record<string, string> {
  const found = new Map<string, string>();
  const reader = new LineReader(text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n"), file);
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const statement = trimmed.replace(/^export\s+/, "");
    const equals = statement.indexOf("=");
    if (equals < 0)
      throw reader.error("this is not NAME=value; begin a comment with #, quote a value of several lines");
    const name = statement.slice(0, equals).trimEnd();
    if (!isVariableName(name)) {
      throw reader.error("before the = is no name; a name has letters, digits and _, and no digit first");
    }
    found.set(name, readValue(statement.slice(equals + 1).trimStart(), name, reader));
  }
  return Object.fromEntries(found);
}

/** The lines of a text, and where we are in it. */
class LineReader {
  readonly #lines: readonly string[];
  readonly #file: string;
  #at = 0;
  constructor(text: string, file: string) {
    this.#lines = text.split("\n");
    this.#file = file;
  }
  /** The number of the line that {@link next} gave last. */
  get line(): number {
    return this.#at;
  }
  next(): string | undefined {
    return this.#lines[this.#at++];
  }
  error(problem: string, line: number = this.#at): SettingError {
    return refusal(`${this.#file}, line ${line}: ${problem}`);
  }
}

/** @param rest of the line, from the first character of the value */
function readValue(rest: string, name: string, reader: LineReader): string {
  const value = rest.startsWith('"') || rest.startsWith("'") ? quoted(rest, name, reader) : plain(rest);
  if (value.includes("\0")) throw reader.error(`the value of ${name} holds a NUL, which no variable can`);
  return value;
}

function plain(rest: string): string {
  if (rest.startsWith("#")) return "";
  return rest.replace(/\s+#.*$/, "").trimEnd();
}

function quoted(rest: string, name: string, reader: LineReader): string {
  const mark = rest.charAt(0);
  const begin = reader.line;
  let text = rest.slice(1);
  for (let from = 0; ; ) {
    const end = endOfQuote(text, mark, from);
    if (end >= 0) {
      const after = text.slice(end + 1).trim();
      if (after !== "" && !after.startsWith("#")) {
        const remedy =
          mark === '"' ? 'write a " inside as \\"' : "write a value with a ' inside in double quotes";
        throw reader.error(`something follows the closing ${mark} of ${name}; ${remedy}`);
      }
      const inside = text.slice(0, end);
      return mark === '"' ? unescaped(inside) : inside;
    }
    from = text.length + 1;
    const next = reader.next();
    if (next === undefined) {
      throw reader.error(`the value of ${name} begins with ${mark} and has no end; close the quote`, begin);
    }
    text += `\n${next}`;
  }
}

/** Where the quote closes; -1 when it does not. In double quotes a backslash takes the next character with it. */
function endOfQuote(text: string, mark: string, from: number): number {
  if (mark === "'") return text.indexOf(mark, from);
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === mark) return at;
  }
  return -1;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", $: "$" };

/** Other backslashes stay: they are in Windows paths and regular expressions. */
function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, (both, character: string) => ESCAPES[character] ?? both);
}

function textOf(file: string): string {
  try {
    const stats = statSync(file);
    if (!stats.isFile()) throw refusal(`${file} is not a file; envFile takes files of NAME=value lines`);
    if (stats.size > MAX_FILE_BYTES) {
      throw refusal(`${file} has ${stats.size} bytes, a file of variables may have ${MAX_FILE_BYTES}`);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof SettingError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy =
      code === "ENOENT"
        ? "there is no such file; create it or take it out of envFile"
        : code === "EACCES"
          ? "this user may not read it; change its owner or mode"
          : code === "ERR_ENCODING_INVALID_ENCODED_DATA"
            ? "it is not UTF-8 text; save it as UTF-8"
            : message;
    throw refusal(`${file}: ${remedy}`, error);
  }
}

function refusal(message: string, cause?: unknown): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message, cause === undefined ? {} : { cause });
}

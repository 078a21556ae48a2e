/**
 * A Caddyfile as a tree: each line is a directive with its words, and what is in braces behind it belongs to it. Nothing
 * is replaced: placeholders, variables and imports stay as they are written.
 */
import { refused } from "./parts.ts";

export interface CaddyDirective {
  readonly name: string;
  readonly words: readonly string[];
  /** From 1. */
  readonly line: number;
  /** Undefined without braces. */
  readonly block: readonly CaddyDirective[] | undefined;
}

interface Token {
  readonly text: string;
  readonly line: number;
  /** Without quotes: only then braces are braces. */
  readonly isBare: boolean;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function parseCaddyfile(text: string): CaddyDirective[] {
  const lines = tokenLines(text);
  const { directives, next } = readBlock(lines, 0, 0);
  const extra = lines[next]?.[0];
  if (extra !== undefined) {
    throw refused(`line ${extra.line}: a } without its {; this is not a Caddyfile`);
  }
  return directives;
}

/** Every directive of a name, however deep. */
export function findAll(
  directives: readonly CaddyDirective[],
  isWanted: (directive: CaddyDirective) => boolean,
): CaddyDirective[] {
  return directives.flatMap((directive) => [
    ...(isWanted(directive) ? [directive] : []),
    ...findAll(directive.block ?? [], isWanted),
  ]);
}

/** @param openedAt the line of the brace that is to be closed; 0 at the top */
function readBlock(
  lines: readonly (readonly Token[])[],
  from: number,
  openedAt: number,
): { directives: CaddyDirective[]; next: number } {
  const directives: CaddyDirective[] = [];
  let at = from;
  for (;;) {
    const tokens = lines[at];
    if (tokens === undefined) {
      if (openedAt > 0) {
        throw refused(`line ${openedAt}: the { is never closed; this is not a whole Caddyfile`);
      }
      return { directives, next: at };
    }
    const [first] = tokens;
    if (first === undefined) throw new Error("a line without words");
    if (isBrace(first, "}")) return { directives, next: openedAt > 0 ? at + 1 : at };
    const opens = isBrace(tokens.at(-1), "{");
    const words = (opens ? tokens.slice(0, -1) : tokens).map((token) => token.text);
    at++;
    let block: CaddyDirective[] | undefined;
    if (opens) ({ directives: block, next: at } = readBlock(lines, at, first.line));
    directives.push({ name: words[0] ?? "", words: words.slice(1), line: first.line, block });
  }
}

function isBrace(token: Token | undefined, brace: string): boolean {
  return token?.isBare === true && token.text === brace;
}

/** Words by line. A line that goes on behind a backslash is one; a `}` is always a line by itself. */
function tokenLines(text: string): Token[][] {
  const lines: Token[][] = [];
  let current: Token[] = [];
  let line = 1;
  let at = 0;
  const endLine = (): void => {
    if (current.length > 0) lines.push(current);
    current = [];
  };
  while (at < text.length) {
    const character = text[at];
    if (character === "\n") {
      endLine();
      line++;
      at++;
    } else if (character === "\\" && /^\\\r?\n/.test(text.slice(at, at + 3))) {
      at = text.indexOf("\n", at) + 1;
      line++;
    } else if (/\s/.test(character ?? "")) {
      at++;
    } else if (character === "#") {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end;
    } else {
      const { token, next } = readToken(text, at, line);
      current.push(token);
      line += text.slice(at, next).split("\n").length - 1;
      at = next;
    }
  }
  endLine();
  return lines;
}

function readToken(text: string, from: number, line: number): { token: Token; next: number } {
  const quote = text[from];
  if (quote === '"' || quote === "`") {
    const found = (quote === '"' ? /"((?:[^"\\]|\\[\s\S])*)"/y : /`([^`]*)`/y).source;
    const pattern = new RegExp(found, "y");
    pattern.lastIndex = from;
    const match = pattern.exec(text);
    if (match === null)
      throw refused(`line ${line}: the ${quote} is never closed; this is not a whole Caddyfile`);
    const inner = match[1] ?? "";
    const value = quote === '"' ? inner.replace(/\\(["\\])/g, "$1") : inner;
    return { token: { text: value, line, isBare: false }, next: pattern.lastIndex };
  }
  const mark = /^<<([A-Za-z0-9_-]+)\r?\n/.exec(text.slice(from, from + 200))?.[1];
  if (mark !== undefined) {
    const end = new RegExp(`\\n[ \\t]*${mark}(?=\\s|$)`, "g");
    end.lastIndex = from;
    const match = end.exec(text);
    if (match === null)
      throw refused(`line ${line}: the <<${mark} is never closed; this is not a whole Caddyfile`);
    const start = text.indexOf("\n", from) + 1;
    return { token: { text: text.slice(start, match.index), line, isBare: false }, next: end.lastIndex };
  }
  let next = from;
  while (next < text.length && !/\s/.test(text[next] ?? "")) next++;
  return { token: { text: text.slice(from, next), line, isBare: true }, next };
}

/**
 * nginx's configuration language → directives with their lines. Reads a file, or what `nginx -T` prints, where each
 * file stands under a comment with its name: there, `include` is replaced by what it includes. Otherwise an `include`
 * stays a directive like any other.
 */
import { quoted, refused } from "./parts.ts";

/** One directive; the entries of `map`, `geo` and `types` are such too. */
export interface Directive {
  readonly name: string;
  /** Without quotes and what they escape. */
  readonly args: readonly string[];
  /** Of the text, from 1. */
  readonly line: number;
  /** What stands in its braces; undefined without. */
  readonly block: readonly Directive[] | undefined;
}

interface Token {
  readonly kind: "word" | ";" | "{" | "}";
  readonly text: string;
  readonly line: number;
}

/** More blocks in each other than anybody writes. */
const MOST_NESTED = 50;
/** `nginx -T` says this before each file. */
const FILE_LINE = /^# configuration file (.+):$/;

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` with the line that cannot be read */
export function parseNginx(text: string): readonly Directive[] {
  const lines = text.split("\n");
  const starts = lines.flatMap((line, at) => {
    const path = FILE_LINE.exec(line.trimEnd())?.[1];
    return path === undefined ? [] : [{ path, at }];
  });
  const [first] = starts;
  if (first === undefined) return new Reader(text, 1).all();
  const files = new Map(
    starts.map(({ path, at }, index) => {
      const part = lines.slice(at + 1, starts[index + 1]?.at);
      return [path, new Reader(part.join("\n"), at + 2).all()];
    }),
  );
  return included(files.get(first.path) ?? [], files, first.path.replace(/[^/]*$/, ""), 0);
}

/** The directives with every include replaced that is in the text. */
function included(
  directives: readonly Directive[],
  files: ReadonlyMap<string, readonly Directive[]>,
  folder: string,
  depth: number,
): Directive[] {
  if (depth > MOST_NESTED) return [];
  return directives.flatMap((directive) => {
    const [pattern] = directive.args;
    if (directive.name === "include" && pattern !== undefined) {
      const wanted = globPattern(pattern.startsWith("/") ? pattern : folder + pattern);
      const found = [...files].filter(([path]) => wanted.test(path));
      if (found.length > 0)
        return found.flatMap(([, content]) => included(content, files, folder, depth + 1));
    }
    const { block } = directive;
    return [
      block === undefined ? directive : { ...directive, block: included(block, files, folder, depth + 1) },
    ];
  });
}

function globPattern(glob: string): RegExp {
  const pattern = glob
    .replace(/[\\^$.|+(){}]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${pattern}$`);
  } catch {
    return /^$(?!)/; // a half-written [ ]
  }
}

class Reader {
  readonly #text: string;
  #at = 0;
  #line: number;

  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
  }

  all(): Directive[] {
    return this.#directives(0, 0);
  }

  /** Up to the end of the block, or of the text. */
  #directives(depth: number, openedAt: number): Directive[] {
    if (depth > MOST_NESTED) throw wrong(this.#line, `more than ${MOST_NESTED} blocks in each other`);
    const found: Directive[] = [];
    let words: Token[] = [];
    for (;;) {
      const token = this.#next();
      if (token === undefined) {
        const [start] = words;
        if (start) throw wrong(start.line, `${quoted(start.text)} is not ended by ; or {`);
        if (depth > 0) throw wrong(openedAt, "this block is not closed; a } is missing");
        return found;
      }
      if (token.kind === "word") {
        words.push(token);
        continue;
      }
      const [name, ...args] = words;
      if (token.kind === "}") {
        if (name) throw wrong(name.line, `${quoted(name.text)} is not ended; a ; is missing`);
        if (depth === 0) throw wrong(token.line, "a } that closes nothing");
        return found;
      }
      if (name === undefined) throw wrong(token.line, `${token.kind} without a directive before it`);
      found.push({
        name: name.text,
        args: args.map(({ text }) => text),
        line: name.line,
        block: token.kind === ";" ? undefined : this.#block(name, depth + 1),
      });
      words = [];
    }
  }

  #block(name: Token, depth: number): Directive[] {
    if (!name.text.endsWith("_by_lua_block")) return this.#directives(depth, name.line);
    // Lua inside: only its end is of interest.
    for (let open = 1; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at];
      if (character === "\n") this.#line++;
      else if (character === "{") open++;
      else if (character === "}") open--;
      if (open > 0) continue;
      this.#at++;
      return [];
    }
    throw wrong(name.line, "this block is not closed; a } is missing");
  }

  #next(): Token | undefined {
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) return undefined;
      if (character === "\n") this.#line++;
      if (/\s|\uFEFF/.test(character)) {
        this.#at++;
      } else if (character === "#") {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#text.length : end;
      } else {
        break;
      }
    }
    const character = this.#text[this.#at] ?? "";
    const line = this.#line;
    if (character === ";" || character === "{" || character === "}") {
      this.#at++;
      return { kind: character, text: character, line };
    }
    const isQuoted = character === '"' || character === "'";
    return { kind: "word", text: isQuoted ? this.#quoted(character) : this.#plain(), line };
  }

  #quoted(quote: string): string {
    const line = this.#line;
    let text = "";
    for (this.#at++; ; this.#at++) {
      const character = this.#text[this.#at];
      if (character === undefined) throw wrong(line, `the text that begins here has no ${quote} at its end`);
      if (character === "\n") this.#line++;
      if (character === quote) break;
      if (character === "\\") text += this.#escape();
      else text += character;
    }
    this.#at++;
    const after = this.#text[this.#at];
    if (after !== undefined && !/[\s;{)]/.test(after)) {
      throw wrong(this.#line, `${JSON.stringify(after)} right after a closing ${quote}`);
    }
    return text;
  }

  #plain(): string {
    let text = "";
    for (; ; this.#at++) {
      const character = this.#text[this.#at];
      if (character === undefined || /[\s;]/.test(character)) return text;
      if (character === "{" && this.#text[this.#at - 1] !== "$") return text;
      if (character === "\\") text += this.#escape();
      else text += character;
    }
  }

  /** A backslash and what follows, as nginx takes it: only some pairs are one character. */
  #escape(): string {
    const next = this.#text[this.#at + 1];
    if (next === undefined) return "\\";
    this.#at++;
    if (next === "\n") this.#line++;
    if (next === "t") return "\t";
    if (next === "r") return "\r";
    if (next === "n") return "\n";
    return /["'\\]/.test(next) ? next : `\\${next}`;
  }
}

function wrong(line: number, what: string): Error {
  return refused(`line ${line}: this is no configuration of nginx: ${what}`);
}

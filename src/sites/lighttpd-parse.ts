/**
 * Reads a configuration of lighttpd: assignments with the conditions around them, and the line of each. Files that it
 * includes are not read, and neither is what a command would print.
 */
import { quoted, refused } from "./parts.ts";

export type Value =
  | { readonly kind: "text"; readonly text: string; readonly line: number }
  | { readonly kind: "list"; readonly entries: readonly Entry[]; readonly line: number }
  /** A variable that is set somewhere else. */
  | { readonly kind: "unknown"; readonly line: number };

export interface Entry {
  /** Of `"key" => value`. */
  readonly key: string | undefined;
  readonly value: Value;
}

/** `$HTTP["url"] =~ "…"`, or an `else` without one of its own. */
export interface Condition {
  /** `HTTP["url"]`; `else` when that is all. */
  readonly what: string;
  readonly operator: string;
  readonly text: string;
  readonly line: number;
}

export interface Assignment {
  readonly name: string;
  /** `=`, `+=` or `:=`. */
  readonly operator: string;
  readonly value: Value;
  readonly line: number;
  /** From the outside in. */
  readonly conditions: readonly Condition[];
}

interface Token {
  readonly kind: "string" | "number" | "word" | "mark" | "end";
  readonly text: string;
  readonly line: number;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: in which line what was not expected */
export function parseLighttpd(text: string): Assignment[] {
  return new Reader(tokensOf(text)).all();
}

/** Quotes know one escape, `\"`; everything else in them is what it is. */
const TOKEN =
  /"((?:[^"\\]|\\"|\\(?!"))*)"|([0-9]+)(?![\w.])|([A-Za-z_][\w.-]*)|(=>|\+=|:=|==|!=|=~|!~|=\^|=\$|[=(){},+$[\]])|#[^\n]*|[ \t\r]+|\n/gy;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let at = 0;
  TOKEN.lastIndex = 0;
  while (at < text.length) {
    const found = TOKEN.exec(text);
    if (found === null) {
      throw refused(`line ${line}: ${quoted(text.slice(at, at + 20))} is not lighttpd's configuration`);
    }
    const [whole, string, number, word, mark] = found;
    if (string !== undefined) tokens.push({ kind: "string", text: string.replaceAll('\\"', '"'), line });
    else if (number !== undefined) tokens.push({ kind: "number", text: number, line });
    else if (word !== undefined) tokens.push({ kind: "word", text: word, line });
    else if (mark !== undefined) tokens.push({ kind: "mark", text: mark, line });
    line += whole.split("\n").length - 1;
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: "end", text: "the end", line });
  return tokens;
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #assignments: Assignment[] = [];
  readonly #variables: Map<string, Value> = new Map();
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  all(): Assignment[] {
    this.#block([], "end");
    return this.#assignments;
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #next(): Token {
    const token = this.#peek();
    if (token.kind !== "end") this.#at++;
    return token;
  }

  #isMark(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead];
    return token?.kind === "mark" && token.text === text;
  }

  #expect(text: string): Token {
    if (!this.#isMark(text)) throw this.#unexpected(text);
    return this.#next();
  }

  #unexpected(wanted: string): Error {
    const { text, line } = this.#peek();
    return refused(`line ${line}: ${quoted(text)} where lighttpd wants ${wanted}`);
  }

  #block(conditions: readonly Condition[], end: "end" | "}"): void {
    while (!(end === "end" ? this.#peek().kind === "end" : this.#isMark("}"))) {
      const { kind, text } = this.#peek();
      if (kind === "mark" && text === "$") this.#condition(conditions);
      else if (kind === "word" && /^(?:else|elseif|elsif)$/.test(text)) this.#else(conditions);
      else if (kind === "word" && text === "if") this.#next();
      // What `lighttpd -p` prints is wrapped in a block of this name.
      else if (kind === "word" && text === "config" && this.#isMark("{", 1)) this.#whole(conditions);
      else if (kind === "word" && /^include(?:_shell)?$/.test(text)) this.#include();
      else if (kind === "word") this.#assignment(conditions);
      else throw this.#unexpected("a setting");
    }
  }

  #whole(conditions: readonly Condition[]): void {
    this.#next();
    this.#expect("{");
    this.#inside(conditions);
  }

  #include(): void {
    this.#next();
    this.#value();
  }

  #else(conditions: readonly Condition[]): void {
    const { line } = this.#next();
    if (this.#peek().text === "if") this.#next();
    if (this.#isMark("$")) {
      this.#condition(conditions);
      return;
    }
    this.#expect("{");
    this.#inside([...conditions, { what: "else", operator: "", text: "", line }]);
  }

  /** `$HTTP["url"] =~ "…" {` and what is inside. */
  #condition(conditions: readonly Condition[]): void {
    const { line } = this.#expect("$");
    const variable = this.#next().text;
    this.#expect("[");
    const of = this.#next().text;
    this.#expect("]");
    const operator = this.#next().text;
    if (!/^(?:==|!=|=~|!~|=\^|=\$)$/.test(operator)) {
      throw refused(`line ${line}: ${quoted(operator)} where lighttpd wants ==, =~ or another comparison`);
    }
    const value = this.#value();
    this.#expect("{");
    const text = value.kind === "text" ? value.text : "";
    this.#inside([...conditions, { what: `${variable}["${of}"]`, operator, text, line }]);
  }

  #inside(conditions: readonly Condition[]): void {
    this.#block(conditions, "}");
    this.#expect("}");
  }

  #assignment(conditions: readonly Condition[]): void {
    const { text: name, line } = this.#next();
    const operator = this.#peek();
    if (operator.kind !== "mark" || !/^(?:=|\+=|:=)$/.test(operator.text)) throw this.#unexpected("=");
    this.#next();
    const value = this.#value();
    if (name.startsWith("var.") || !name.includes("."))
      this.#variables.set(name.replace(/^var\./, ""), value);
    this.#assignments.push({ name, operator: operator.text, value, line, conditions });
  }

  /** Terms with `+` between them. */
  #value(): Value {
    let value = this.#term();
    while (this.#isMark("+")) {
      this.#next();
      value = joined(value, this.#term());
    }
    return value;
  }

  #term(): Value {
    const { kind, text, line } = this.#peek();
    if (kind === "mark" && text === "(") return this.#list();
    if (kind === "end" || kind === "mark") throw this.#unexpected("a value");
    this.#next();
    if (kind === "word") return this.#variables.get(text.replace(/^var\./, "")) ?? { kind: "unknown", line };
    return { kind: "text", text, line };
  }

  #list(): Value {
    const { line } = this.#expect("(");
    const entries: Entry[] = [];
    while (!this.#isMark(")")) {
      const first = this.#value();
      if (this.#isMark("=>")) {
        this.#next();
        entries.push({ key: first.kind === "text" ? first.text : undefined, value: this.#value() });
      } else {
        entries.push({ key: undefined, value: first });
      }
      if (!this.#isMark(",")) break;
      this.#next();
    }
    this.#expect(")");
    return { kind: "list", entries, line };
  }
}

function joined(one: Value, other: Value): Value {
  if (one.kind === "text" && other.kind === "text") return { ...one, text: one.text + other.text };
  if (one.kind === "list" && other.kind === "list") {
    return { ...one, entries: [...one.entries, ...other.entries] };
  }
  return { kind: "unknown", line: one.line };
}

/** A configuration or `.htaccess` of Apache as directives with their lines and the sections around them. Includes stay. */
import { clip } from "../base/text.ts";
import { refused } from "./parts.ts";

/** `<Location "/x">`: its name in lower case. */
export interface Section {
  readonly name: string;
  readonly args: readonly string[];
  readonly line: number;
}

export interface Directive {
  /** In lower case. */
  readonly name: string;
  /** Without their quotes. */
  readonly args: readonly string[];
  readonly line: number;
  /** The sections around it, the outermost first. */
  readonly within: readonly Section[];
}

/** @throws {SettingError} for sections that do not end, or end without having begun */
export function parseApache(text: string): Directive[] {
  const directives: Directive[] = [];
  const open: Section[] = [];
  for (const { line, content } of logicalLines(text)) {
    const section = /^<\s*(\/?)([A-Za-z]\w*)\s*(.*)$/s.exec(content);
    if (section === null) {
      const [name = "", ...args] = words(content);
      directives.push({ name: name.toLowerCase(), args, line, within: [...open] });
      continue;
    }
    const [, slash, title = "", tail = ""] = section;
    const rest = tail.endsWith(">") ? tail.slice(0, -1) : tail;
    const name = title.toLowerCase();
    if (slash === "") {
      open.push({ name, args: words(rest), line });
      continue;
    }
    const last = open.pop();
    if (last?.name === name) continue;
    const wanted = last === undefined ? "nothing is open" : `<${last.name}> of line ${last.line} is open`;
    throw refused(`line ${line}: </${title}> ends a section, but ${wanted}`);
  }
  const last = open.at(-1);
  if (last !== undefined)
    throw refused(`line ${last.line}: the section <${clip(last.name, 40)}> does not end`);
  return directives;
}

/** Lines without comments and empty ones; a backslash at the end takes the next one along. */
function* logicalLines(text: string): Generator<{ line: number; content: string }> {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (let at = 0; at < lines.length; at++) {
    const line = at + 1;
    const pieces = [lines[at] ?? ""];
    while (pieces.at(-1)?.endsWith("\\") === true && at + 1 < lines.length) {
      at++;
      pieces.push(pieces.pop()?.slice(0, -1) ?? "", lines[at] ?? "");
    }
    const content = pieces.join("").trim();
    if (content !== "" && !content.startsWith("#")) yield { line, content };
  }
}

/** Arguments, of which those in quotes may hold spaces. */
function words(content: string): string[] {
  const found = content.matchAll(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+)/g);
  return [...found].map(([, double, single, plain]) => {
    const quoted = double ?? single;
    return quoted === undefined ? (plain ?? "") : quoted.replace(/\\([\\"'])/g, "$1");
  });
}

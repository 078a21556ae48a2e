/** HAProxy's configuration as sections of lines of words, each proxy with the `defaults` that hold for it. */
import { quoted as inQuotes, refused } from "./parts.ts";

export interface HaproxyLine {
  readonly words: readonly string[];
  /** From 1. */
  readonly line: number;
}

export interface HaproxySection {
  /** `frontend`, `backend`, `listen`, `fcgi-app`, `defaults`, `global`, `userlist` and so on. */
  readonly kind: string;
  readonly name: string;
  readonly line: number;
  readonly lines: readonly HaproxyLine[];
  /** Its own lines and, before them, those of its `defaults`. */
  readonly all: readonly HaproxyLine[];
}

const SECTIONS = new Set([
  "backend",
  "cache",
  "crt-store",
  "defaults",
  "dynamic-update",
  "fcgi-app",
  "frontend",
  "global",
  "http-errors",
  "listen",
  "log-forward",
  "log-profile",
  "mailers",
  "peers",
  "program",
  "resolvers",
  "ring",
  "traces",
  "userlist",
]);
const PROXIES = new Set(["frontend", "backend", "listen"]);

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function parseHaproxy(text: string): HaproxySection[] {
  const sections: HaproxySection[] = [];
  let defaults: HaproxySection | undefined;
  let lines: HaproxyLine[] = [];
  for (const { words, line } of linesOf(text)) {
    const [kind = "", name = ""] = words;
    if (!SECTIONS.has(kind)) {
      if (sections.length === 0) {
        throw refused(
          `line ${line}: ${inQuotes(kind)} stands before any section; this is not a configuration of HAProxy`,
        );
      }
      lines.push({ words, line });
      continue;
    }
    lines = [];
    const own = lines;
    const from = words[2] === "from" ? words[3] : undefined;
    const base =
      from === undefined ? defaults : sections.find((one) => one.kind === "defaults" && one.name === from);
    const inherited = PROXIES.has(kind) ? (base?.lines ?? []) : [];
    const section: HaproxySection = {
      kind,
      name,
      line,
      lines: own,
      get all() {
        return [...inherited, ...own];
      },
    };
    sections.push(section);
    if (kind === "defaults") defaults = section;
  }
  return sections;
}

function linesOf(text: string): HaproxyLine[] {
  return text
    .split("\n")
    .map((line, index) => ({ words: wordsOf(line, index + 1), line: index + 1 }))
    .filter(({ words }) => words.length > 0);
}

/** Quotes as in a shell; a `#` begins a comment anywhere outside of them. */
function wordsOf(line: string, number: number): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? "";
    if (character === "#") break;
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "\\") {
      at++;
      word = (word ?? "") + (line[at] ?? "");
    } else if (character === "'" || character === '"') {
      const inside = quoted(line, at + 1, character);
      if (inside === undefined) throw refused(`line ${number}: a ${character} is never closed`);
      word = (word ?? "") + inside.text;
      at = inside.end;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

function quoted(line: string, from: number, quote: string): { text: string; end: number } | undefined {
  let text = "";
  for (let at = from; at < line.length; at++) {
    const character = line[at] ?? "";
    if (character === quote) return { text, end: at };
    if (character === "\\" && quote === '"') text += line[++at] ?? "";
    else text += character;
  }
  return undefined;
}

/** Reads the documents of the repository: code blocks, headings and links, as GitHub understands them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "./paths.ts";

/** A fenced block of code. */
export interface CodeBlock {
  /** Path of the document, relative to the repository. */
  readonly file: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** The first word after the fence, such as `js`. */
  readonly language: string;
  /** What follows it, such as `serves=/`. */
  readonly info: string;
  readonly text: string;
}

export interface Document {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly CodeBlock[];
  /** The text with code blocks blanked out; lines keep their numbers. */
  readonly prose: string;
  /** The anchors of its headings. */
  readonly anchors: ReadonlySet<string>;
}

/** README and its siblings, and everything below docs/. */
export function readDocuments(): Document[] {
  const below = readdirSync(join(repositoryRoot, "docs"), { recursive: true, encoding: "utf8" })
    .map((path) => `docs/${path.replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".md"));
  const top = readdirSync(repositoryRoot).filter((path) => path.endsWith(".md"));
  return [...top, ...below].sort().map(readDocument);
}

export function readDocument(path: string): Document {
  const text = readFileSync(join(repositoryRoot, path), "utf8");
  const blocks: CodeBlock[] = [];
  const prose: string[] = [];
  const anchors = new Set<string>();
  let open: { line: number; language: string; info: string; lines: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^```(\S*)\s*(.*)$/.exec(line);
    if (open !== undefined && fence !== null) {
      const { line: at, language, info, lines } = open;
      blocks.push({ file: path, line: at, language, info, text: `${lines.join("\n")}\n` });
      open = undefined;
      prose.push("");
    } else if (fence !== null) {
      open = { line: index + 1, language: fence[1] ?? "", info: fence[2] ?? "", lines: [] };
      prose.push("");
    } else if (open !== undefined) {
      open.lines.push(line);
      prose.push("");
    } else {
      prose.push(line);
      const heading = /^#{1,6} (.*)$/.exec(line)?.[1];
      if (heading !== undefined) anchors.add(anchorOf(heading, anchors));
    }
  }
  if (open !== undefined) throw new Error(`${path}:${open.line}: the code block does not end`);
  return { path, text, blocks, prose: prose.join("\n"), anchors };
}

/** GitHub's anchor of a heading; the second of a name gets `-1`. */
function anchorOf(heading: string, taken: ReadonlySet<string>): string {
  const anchor = heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");
  if (!taken.has(anchor)) return anchor;
  for (let count = 1; ; count++) if (!taken.has(`${anchor}-${count}`)) return `${anchor}-${count}`;
}

/** The rows of every table, as cells without their Markdown: the code in backticks, else the text. */
export function tableRows(prose: string): string[][] {
  return prose
    .split("\n")
    .filter((line) => /^\|.*\|$/.test(line) && !/^\|[\s|:-]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** The first code in backticks of a cell, or the cell. */
export function codeOf(cell: string): string {
  return /`([^`]+)`/.exec(cell)?.[1] ?? cell;
}

/** What the file of a program says of itself: its first line, and whether it serves itself. Reads; judges nothing. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { extname } from "node:path";

/** `#!interpreter argument`: one argument at most, as the kernel reads it. */
export interface Shebang {
  readonly interpreter: string;
  readonly argument: string;
  /** Without its line end. */
  readonly line: string;
}

export interface ProgramFile {
  readonly text: string;
  readonly mode: number;
  /** The file begins with the bytes of a byte order mark. */
  readonly hasBom: boolean;
  /** The first line ends with CR LF. */
  readonly hasCrLf: boolean;
  readonly shebang: Shebang | undefined;
  readonly isJavaScript: boolean;
  /** It calls `serve` of postern, or starts a server by other means of ours. */
  readonly servesItself: boolean;
  readonly isElf: boolean;
}

const JAVASCRIPT = new Set([".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"]);
/** More than any program of which the beginning matters. */
const MOST_BYTES = 256 * 1024;

/** @throws when it cannot be read */
export function readProgram(path: string): ProgramFile {
  const { mode } = statSync(path);
  const bytes = beginningOf(path);
  const hasBom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const text = bytes.toString("utf8", hasBom ? 3 : 0);
  const [first = ""] = text.split("\n", 1);
  const hasCrLf = first.endsWith("\r");
  const shebang = readShebang(first.replace(/\r$/, ""));
  const isNode = shebang !== undefined && /(?:^|\/|\s)(?:node|nodejs)(?:\s|$)/.test(shebang.line.slice(2));
  return {
    text,
    mode,
    hasBom,
    hasCrLf,
    shebang,
    isJavaScript: JAVASCRIPT.has(extname(path)) || isNode,
    servesItself:
      /\bfrom\s*["']postern["']|require\(\s*["']postern["']\s*\)|import\(\s*["']postern["']\s*\)/.test(
        text,
      ) && /\bserve\s*\(/.test(text),
    isElf: bytes[0] === 0x7f && bytes.toString("latin1", 1, 4) === "ELF",
  };
}

function readShebang(line: string): Shebang | undefined {
  const found = /^#![ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*$/.exec(line);
  return found === null ? undefined : { interpreter: found[1]!, argument: found[2]!, line };
}

function beginningOf(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(MOST_BYTES);
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(file);
  }
}

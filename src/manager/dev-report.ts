/** An error of an application, as a developer wants to see it: what it is, where, the source around that, and the stack. */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { clip } from "../base/text.ts";
import { firstPlace, isOurs } from "./boot-reason.ts";

export interface SourceLine {
  readonly number: number;
  readonly text: string;
  readonly isWrong: boolean;
}

export interface Frame {
  readonly text: string;
  /** The application's own, a package's, or the runtime's and Postern's. */
  readonly of: "app" | "package" | "node";
}

export interface DevReport {
  /** `The application could not be started`. */
  readonly title: string;
  /** `TypeError: no luck`, and what follows it before the stack. */
  readonly message: string;
  /** `app.js:12:3`. */
  readonly where: string | undefined;
  readonly excerpt: readonly SourceLine[];
  /** From 1, in the line that is wrong. */
  readonly column: number | undefined;
  readonly frames: readonly Frame[];
}

/** Lines around the one that is wrong. */
const AROUND = 5;
const MOST_LINE_CHARACTERS = 300;
const MOST_SOURCE_BYTES = 5_000_000;

/**
 * @param text the error as text: message, stack, what Node printed of it
 * @param folder of the application
 */
export function devReport(title: string, text: string, folder: string): DevReport {
  const lines = text.replace(/^application \S+ could not be loaded:\n/, "").split("\n");
  const stack = lines.filter((line) => /^\s+at /.test(line));
  const place = firstPlace(text, folder);
  const column = place?.column ?? caretColumn(lines);
  const short = (path: string): string => path.replaceAll("file://", "").replaceAll(`${folder}/`, "");
  return {
    title,
    message: short(messageOf(lines)),
    where:
      place === undefined
        ? undefined
        : `${short(place.file)}:${place.line}${column === undefined ? "" : `:${column}`}`,
    excerpt: place === undefined ? [] : excerptOf(place.file, place.line),
    column,
    frames: stack.map((line) => ({
      text: short(line.trim().replace(/^at /, "")),
      of: ownerOf(line, folder),
    })),
  };
}

/** The message is told twice when Node has printed the place as well: the second time with its name. */
function messageOf(lines: readonly string[]): string {
  const named = lines.findLastIndex((line) => /^(?:Uncaught )?\w*(?:Error|Exception)\b/.test(line));
  const rest = lines.slice(Math.max(0, named));
  const end = rest.findIndex((line) => /^\s+at |^Node\.js v/.test(line));
  return clip(
    rest
      .slice(0, end < 0 ? undefined : end)
      .join("\n")
      .trim(),
    4000,
  );
}

/** Node marks the place by a line of `^`. */
function caretColumn(lines: readonly string[]): number | undefined {
  const caret = lines.find((line) => /^\s*\^+\s*$/.test(line));
  return caret === undefined ? undefined : caret.indexOf("^") + 1;
}

function ownerOf(line: string, folder: string): Frame["of"] {
  const [path = ""] = /\/[^():\n]+(?=:\d)/.exec(line) ?? [];
  if (/\(?node:/.test(line) || path === "") return "node";
  if (!path.startsWith(`${folder}/`) && isOurs(path)) return "node";
  if (line.includes("/node_modules/")) return "package";
  return line.includes(`${folder}/`) ? "app" : "node";
}

function excerptOf(file: string, line: number): SourceLine[] {
  let source: string;
  try {
    source = readFileSync(file, "utf8");
  } catch {
    return [];
  }
  if (source.length > MOST_SOURCE_BYTES) return [];
  return source
    .split("\n")
    .map((text, at) => ({
      number: at + 1,
      text: clip(text.replaceAll("\t", "    "), MOST_LINE_CHARACTERS),
      isWrong: at + 1 === line,
    }))
    .slice(Math.max(0, line - 1 - AROUND), line + AROUND);
}

/** A path as people in that folder write it. */
export function shortPath(path: string, folder: string): string {
  const short = relative(folder, path);
  return short.startsWith("..") ? path : short;
}

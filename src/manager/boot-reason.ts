/** Why an application did not start, as one line for the log of a web server: what the error is, and where. */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ownFile } from "../base/own-files.ts";
import { clip, escapeControls } from "../base/text.ts";

/** A place in a source file. */
export interface Place {
  /** Absolute. */
  readonly file: string;
  readonly line: number;
  readonly column: number | undefined;
}

/** `/srv/app.js:12:3`, `file:///srv/app.js:12`, `(/srv/my app.js:12:3)`. */
const PLACE = /(?<![\w.~-])(?:file:\/\/)?(\/[^:\n()"'<>]*[^:\s()"'<>]):(\d+)(?::(\d+))?/g;

/** Frames further from the mistake than this are not looked at, nor imports of imports beyond so many files. */
const MOST_FILES = 200;
/** Files that are checked for a mistake of syntax, those that were changed last. */
const MOST_CHECKED = 5;
const CHECK_MS = 5000;

/**
 * @param text what there is: the message of the error, its stack, what Node printed
 * @param file the application
 */
export function bootReason(text: string, file: string): string {
  const folder = dirname(file);
  const name = basename(file);
  const said = text
    .replace(/^application \S+ could not be loaded:\n/, "")
    .replace(/^application \S+: /, "")
    .replace(/^ *File "([^"\n]+)", line (\d+).*$/gm, "$1:$2"); // Python's way
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  const first = lines.find((line) => /^\w*Error\b.*:/.test(line)) ?? lines[0] ?? "it could not be started";
  const place = firstPlace(said, folder);
  const short = (path: string): string =>
    relative(folder, path).startsWith("..") ? path : relative(folder, path);
  const where = place === undefined ? "" : ` (${short(place.file)}:${place.line})`;
  const what = first.trim().replaceAll("file://", "").replaceAll(`${folder}/`, "");
  const isSaid = where !== "" && what.endsWith(where.trim());
  return escapeControls(
    `${what.startsWith(name) ? "" : `${name}: `}${clip(what, 400)}${isSaid ? "" : where}`,
  );
}

/** The first place in a text that is the application's own: below its folder, and in no package; else the first at all. */
export function firstPlace(text: string, folder: string): Place | undefined {
  let other: Place | undefined;
  for (const [whole, path = "", line, column] of text.matchAll(PLACE)) {
    const file = whole.startsWith("file:") ? fromUrl(path) : path;
    const place = { file, line: Number(line), column: column === undefined ? undefined : Number(column) };
    if (file.startsWith(`${folder}/`) && !file.includes("/node_modules/")) return place;
    if (isOurs(file)) continue;
    other ??= place;
  }
  return other;
}

/**
 * Where a mistake of syntax is, in Node's own words: it tells only who runs the file by itself. Those files are looked
 * at that the application imports by a path, the one that was changed last first. Nothing is run.
 */
export function syntaxPlace(file: string): string {
  const files = importsOf(file)
    .map((path) => ({ path, changed: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.changed - a.changed)
    .slice(0, MOST_CHECKED);
  const { spawnSync } = process.getBuiltinModule("node:child_process"); // for failures only
  for (const { path } of files) {
    const { status, stderr } = spawnSync(process.execPath, ["--check", path], {
      timeout: CHECK_MS,
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (status !== 0 && /SyntaxError/.test(stderr ?? "")) return stderr;
  }
  return "";
}

/** The file, and what it imports by relative paths, and so on. */
function importsOf(file: string): string[] {
  const found = new Set([file]);
  for (const path of found) {
    if (found.size > MOST_FILES) break;
    for (const [, specifier = ""] of textOf(path).matchAll(
      /\b(?:from|import|require)\s*\(?\s*["'](\.{1,2}\/[^"'\n]+)["']/g,
    )) {
      const target = resolve(dirname(path), specifier);
      const endings = extname(target) === "" ? [".js", ".mjs", ".cjs"] : [""];
      const there = endings
        .map((ending) => target + ending)
        .find((one) => statSync(one, { throwIfNoEntry: false })?.isFile());
      if (there !== undefined) found.add(there);
    }
  }
  return [...found].filter((path) => /\.[mc]?js$|\/[^.]*$|\.fcgi$/.test(path));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function fromUrl(path: string): string {
  try {
    return fileURLToPath(`file://${path}`);
  } catch {
    return path;
  }
}

/** Postern's own files are never where an application's mistake is. */
export function isOurs(file: string): boolean {
  // Source maps name the files in src, whose folder is beside that of the compiled ones.
  return file.startsWith(ownFile());
}

/**
 * A configuration and all that it includes as one text, of which each line knows where it stands on the disk. Bounded:
 * files that include each other, or all of /usr, do not fill the memory.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { SourceLine } from "../model.ts";

export interface SourceText {
  readonly text: string;
  /** In the order in which they are read. */
  readonly files: readonly string[];
  readonly lines: readonly SourceLine[];
}

/** What a line includes: files, patterns, folders; undefined for a line that is no include. */
export type Includes = (line: string, file: string) => readonly string[] | undefined;

const MOST_FILES = 500;
const MOST_BYTES = 8 * 1024 ** 2;
const DEEPEST = 20;

/** Reads files where a process of another mount namespace sees them. */
export interface Disk {
  /** What paths of files begin with: "", or `/proc/123/root`. */
  readonly root: string;
}

/** Every include replaced by what it includes. Files that cannot be read are left out, except the first. @throws */
export function inlined(mains: readonly string[], disk: Disk, includes: Includes): SourceText {
  const collected = new Collected(disk);
  for (const main of mains) collected.file(main, includes, 0, true);
  return collected.result();
}

/** One file after the other, each below a line with its name, as `nginx -T` prints them. @throws */
export function oneByOne(main: string, disk: Disk, includes: Includes): SourceText {
  const collected = new Collected(disk);
  const seen = new Set<string>();
  const waiting = [main];
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const content = collected.read(path, path === main);
    if (content === undefined) continue;
    collected.add(`# configuration file ${path}:`, path, 0);
    content.forEach((line, at) => {
      collected.add(line, path, at + 1);
      waiting.push(...(includes(line, path) ?? []).flatMap((one) => matching(one, disk)));
    });
  }
  return collected.result();
}

class Collected {
  readonly #disk: Disk;
  readonly #files: string[] = [];
  readonly #text: string[] = [];
  readonly #lines: SourceLine[] = [];
  #bytes = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  file(path: string, includes: Includes, depth: number, isMain: boolean): void {
    const content = this.read(path, isMain);
    content?.forEach((line, at) => {
      const included = depth < DEEPEST ? includes(line, path) : undefined;
      if (included === undefined) {
        this.add(line, path, at + 1);
        return;
      }
      for (const one of included.flatMap((pattern) => matching(pattern, this.#disk))) {
        this.file(one, includes, depth + 1, false);
      }
    });
  }

  read(path: string, isNeeded: boolean): string[] | undefined {
    if (this.#files.length >= MOST_FILES) return undefined;
    try {
      const full = this.#disk.root + path;
      const { size } = statSync(full);
      if (this.#bytes + size > MOST_BYTES) throw new Error(`${path} is too large for a configuration`);
      const text = readFileSync(full, "utf8");
      this.#bytes += text.length;
      this.#files.push(path);
      const lines = text.split("\n");
      if (lines.at(-1) === "") lines.pop();
      return lines;
    } catch (error) {
      if (isNeeded) throw error;
      return undefined;
    }
  }

  add(text: string, file: string, line: number): void {
    this.#text.push(text);
    this.#lines.push({ file, line });
  }

  result(): SourceText {
    return { text: `${this.#text.join("\n")}\n`, files: this.#files, lines: this.#lines };
  }
}

/** The files that a path with `*` and `?` means, in the order of their names; those of a folder for a folder. */
export function matching(pattern: string, disk: Disk): string[] {
  const parts = pattern.split("/").slice(1);
  let found = [""];
  for (const part of parts) {
    found = found.flatMap((folder) => {
      if (!/[*?[]/.test(part)) return [`${folder}/${part}`];
      const wanted = globPattern(part);
      return namesIn(disk.root + (folder || "/"))
        .filter((name) => wanted.test(name) && !(name.startsWith(".") && !part.startsWith(".")))
        .map((name) => `${folder}/${name}`);
    });
    if (found.length > MOST_FILES) found.length = MOST_FILES;
  }
  return found.flatMap((path) => filesAt(path, disk));
}

function filesAt(path: string, disk: Disk): string[] {
  const stat = statSync(disk.root + path, { throwIfNoEntry: false });
  if (stat?.isFile() === true) return [path];
  if (stat?.isDirectory() !== true) return [];
  return namesIn(disk.root + path)
    .map((name) => join(path, name))
    .filter((one) => statSync(disk.root + one, { throwIfNoEntry: false })?.isFile() === true);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // not there, or not ours to read
  }
}

function globPattern(glob: string): RegExp {
  const pattern = glob
    .replace(/[\\^$.|+(){}]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  try {
    return new RegExp(`^${pattern}$`);
  } catch {
    return /^$(?!)/; // a half-written [ ]
  }
}

/** A path of a configuration: as it is, or below a folder. */
export function below(folder: string, path: string): string {
  return path.startsWith("/") ? path : join(folder, path);
}

/** The folder of a file. */
export function folderOf(file: string): string {
  return dirname(file);
}

/** Files that a command makes: printed, or written with `--output` or `--write`, and then what to do with them. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SettingError } from "../base/errors.ts";
import type { GeneratedFile, Step } from "../generate/model.ts";
import { shWord } from "../generate/quoting.ts";

/** What was made. */
export interface Made {
  /** What all paths begin with, without a slash at the end. */
  readonly folder: string;
  readonly files: readonly GeneratedFile[];
  readonly steps: readonly Step[];
}

/** What is to become of it. */
export interface WriteFlags {
  /** Below this folder instead of where they belong. */
  readonly output?: string;
  readonly write?: boolean;
  readonly force?: boolean;
}

/**
 * Prints the texts or, when it was asked for, writes them and prints what was done and is to be done.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a file that is there and differs, or cannot be written
 */
export function printOrWrite(made: Made, flags: WriteFlags): void {
  if (flags.output === undefined && flags.write !== true) {
    process.stdout.write(made.files.map(withHead).join("\n"));
    return;
  }
  const folder = flags.output === undefined ? made.folder : resolve(flags.output);
  const unchanged = write(made, folder, flags.force === true);
  process.stdout.write(report(made, folder, unchanged));
}

/** The text with a line that says where it goes: first, or after the line that a script must begin with. */
function withHead({ path, mode, text }: GeneratedFile): string {
  const head = `# File: ${path} (mode ${mode.toString(8).padStart(4, "0")})\n`;
  const first = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return text.slice(0, first) + head + text.slice(first);
}

/** Where a file goes when all go below `folder`. */
function placeOf(made: Made, { path }: GeneratedFile, folder: string): string {
  return join(folder, path.slice(made.folder.length + 1));
}

/**
 * All files or, when one of them is there already and another, none.
 * @returns the places where the very same file was there already
 */
function write(made: Made, folder: string, isForced: boolean): ReadonlySet<string> {
  const places = made.files.map((file) => [placeOf(made, file, folder), file] as const);
  const unchanged = new Set(places.filter(([place, file]) => isThere(place, file)).map(([place]) => place));
  const wanted = places.filter(([place]) => !unchanged.has(place));
  const taken = wanted.find(([place]) => isTaken(place));
  if (taken !== undefined && !isForced) {
    throw new SettingError("ERR_POSTERN_BAD_SETTING", `${taken[0]} is there already; --force replaces it`);
  }
  writeAll(wanted);
  return unchanged;
}

/** A link counts, also one that leads nowhere: it is not followed to a place that nobody has named. */
function isTaken(place: string): boolean {
  try {
    return lstatSync(place, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw cannotWrite(place, error as NodeJS.ErrnoException);
  }
}

/** Each beside its place, and when all are there, each into it: a file that cannot be written leaves none half done. */
function writeAll(wanted: readonly (readonly [string, GeneratedFile])[]): void {
  const made: [from: string, to: string][] = [];
  let at = "";
  try {
    for (const [place, { mode, text }] of wanted) {
      at = place;
      mkdirSync(dirname(place), { recursive: true });
      // What a link leads to is replaced, and the link stays.
      const to = existsSync(place) ? realpathSync(place) : place;
      if (existsSync(to) && !statSync(to).isFile()) throw new Error("that is no file");
      const from = `${to}.${process.pid}.new`;
      writeFileSync(from, text, { mode, flag: "wx" });
      made.push([from, to]);
      // The mode above is less the umask.
      chmodSync(from, mode);
    }
    for (const [from, to] of made) {
      at = to;
      renameSync(from, to);
    }
  } catch (error) {
    for (const [from] of made) rmSync(from, { force: true });
    throw cannotWrite(at, error as NodeJS.ErrnoException);
  }
}

function isThere(place: string, { mode, text }: GeneratedFile): boolean {
  try {
    return (statSync(place).mode & 0o7777) === mode && readFileSync(place, "utf8") === text;
  } catch {
    return false;
  }
}

function cannotWrite(path: string, error: NodeJS.ErrnoException): SettingError {
  const isForbidden = error.code === "EACCES" || error.code === "EPERM" || error.code === "EROFS";
  const remedy = isForbidden ? "; use sudo, or write into a folder of your own with --output" : "";
  const reason = isForbidden
    ? "permission denied"
    : error.code === "ENOTDIR"
      ? "one of the folders above it is a file"
      : error.message;
  return new SettingError("ERR_POSTERN_BAD_SETTING", `cannot write ${path}: ${reason}${remedy}`, {
    cause: error,
  });
}

/** What was written, and what to do with it. */
function report(made: Made, folder: string, unchanged: ReadonlySet<string>): string {
  const written = made.files.map((file) => {
    const place = placeOf(made, file, folder);
    return unchanged.has(place) ? `unchanged ${place}\n` : `wrote ${place}\n`;
  });
  const copy = folder === made.folder ? [] : [{ what: "copy", command: copyCommand(made, folder) }];
  const steps = [...copy, ...made.steps];
  const width = Math.max(...steps.map(({ what }) => what.length));
  const lines = steps.map(({ what, command }) => `  ${what.padEnd(width)}  ${command}\n`);
  return `${written.join("")}\n${lines.join("")}`;
}

function copyCommand(made: Made, folder: string): string {
  const tops = made.files.map(({ path }) => path.slice(made.folder.length + 1).split("/")[0] ?? "");
  const target = made.folder === "" ? "/" : `${shWord("folder", made.folder)}/`;
  // The folder may be one that its package does not make, such as /etc/caddy/conf.d.
  const prepare = existsSync(made.folder || "/") ? "" : `mkdir -p ${shWord("folder", made.folder)} && `;
  return `${prepare}cp -R ${[...new Set(tops)].map((top) => shWord("folder", join(folder, top))).join(" ")} ${target}`;
}

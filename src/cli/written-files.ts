/** Files that a command makes: printed, or written with `--output` or `--write`, and then what to do with them. */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
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
  const taken = wanted.find(([place]) => statSync(place, { throwIfNoEntry: false }) !== undefined);
  if (taken !== undefined && !isForced) {
    throw new SettingError("ERR_POSTERN_BAD_SETTING", `${taken[0]} is there already; --force replaces it`);
  }
  for (const [place, { mode, text }] of wanted) {
    try {
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, text, { mode });
      // The mode above is less the umask, and not used for a file that is there.
      chmodSync(place, mode);
    } catch (error) {
      throw cannotWrite(place, error as NodeJS.ErrnoException);
    }
  }
  return unchanged;
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
  const reason = isForbidden ? "permission denied" : error.message;
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
  return `cp -R ${[...new Set(tops)].map((top) => shWord("folder", join(folder, top))).join(" ")} ${target}`;
}

/**
 * Where the access log goes: a file, an inherited descriptor, or standard output. Many processes write to the same one,
 * so what is written at once stays together: a file is opened for appending; into anything else go at most as many
 * bytes as POSIX promises not to mix (PIPE_BUF), cut at the end of a line.
 *
 * A file that was moved away (log rotation) is opened anew: by `reopen`, or when that is noticed, within some seconds.
 */
import { closeSync, constants, fstatSync, openSync, statSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SettingError } from "../base/errors.ts";

/** URLs and addresses of visitors are not for the world. */
const FILE_MODE = 0o640;
/** Linux's and every other system's; POSIX promises 512. */
const PIPE_BYTES = 4096;
/** How often to look whether the file was moved away, ms. */
const LOOK_MS = 1000;

const NEWLINE = 0x0a;

export class AccessLogFile {
  readonly #path: string | undefined;
  #fd: number | undefined;
  /** Most bytes of one write; Infinity for a file. */
  #mostBytes: number;
  #isTorn = false; // the last line was written in part, and its rest never will be
  #lookedAt = 0;
  #wasMissing = false;
  /** Whether the path was another file, or none, when it was last looked at. Changed here only. */
  isStale = false;

  /**
   * @param where a path, `fd:N`, or `-` for standard output
   * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
   */
  constructor(where: string) {
    const fd = where === "-" ? "1" : /^fd:(\d{1,9})$/.exec(where)?.[1];
    this.#path = fd === undefined ? resolve(where) : undefined;
    this.#fd = this.#path === undefined ? Number(fd) : open(this.#path);
    this.#mostBytes = mostBytes(this.#fd, where);
  }

  /** Most bytes of a line: more could be torn. */
  get mostLineBytes(): number {
    return this.#mostBytes;
  }

  /**
   * Writes whole lines.
   * @returns how many bytes were taken; fewer when nobody reads them just now
   * @throws {Error} they cannot be written
   */
  write(lines: Buffer): number {
    if (this.#fd === undefined) return lines.length;
    let at = 0;
    try {
      if (this.#isTorn) {
        writeSync(this.#fd, "\n");
        this.#isTorn = false;
      }
      while (at < lines.length) at += writeSync(this.#fd, lines, at, this.#sizeOfPiece(lines, at));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return at;
      this.#isTorn = at > 0 && lines[at - 1] !== NEWLINE;
      throw error;
    }
    return at;
  }

  #sizeOfPiece(lines: Buffer, at: number): number {
    if (lines.length - at <= this.#mostBytes) return lines.length - at;
    const end = lines.lastIndexOf(NEWLINE, at + this.#mostBytes - 1);
    return end > at ? end + 1 - at : this.#mostBytes;
  }

  /** Opens the path again. @throws {SettingError} it cannot be: the old file goes on */
  reopen(): void {
    if (this.#path === undefined || this.#fd === undefined) return;
    const fd = open(this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#isTorn = false;
    this.#wasMissing = false;
    this.isStale = false;
  }

  /**
   * Looks, now and then, whether the path is another file by now. One that is missing may be about to be made by
   * whoever has moved the old one away: it is made here when it still is not there at the next look.
   * @throws {SettingError} as `reopen`
   */
  look(now: number): void {
    if (this.#path === undefined || this.#fd === undefined || now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    const there = statSync(this.#path, { throwIfNoEntry: false });
    const ours = fstatSync(this.#fd);
    this.isStale = there === undefined || there.ino !== ours.ino || there.dev !== ours.dev;
    if (!this.isStale) return;
    const isTime = there !== undefined || this.#wasMissing;
    this.#wasMissing = there === undefined;
    if (isTime) this.reopen();
  }

  close(): void {
    if (this.#fd !== undefined && this.#path !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Not blocking: a named pipe without a reader would stop us here. */
function open(path: string): number {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0);
  try {
    return openSync(path, flags, FILE_MODE);
  } catch (error) {
    throw openError(path, error);
  }
}

function mostBytes(fd: number, where: string): number {
  try {
    return fstatSync(fd).isFile() ? Number.POSITIVE_INFINITY : PIPE_BYTES;
  } catch (error) {
    throw openError(where, error);
  }
}

function openError(path: string, cause: unknown): SettingError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const folder = dirname(path);
  const remedies: Readonly<Record<string, string>> = {
    ENOENT: `the folder ${folder} does not exist; create it: mkdir -p ${folder}`,
    EACCES: "this user may not write it; change its owner or choose another path",
    EPERM: "this user may not write it; change its owner or choose another path",
    EROFS: "the file system is read-only; choose another path",
    EISDIR: "this is a folder; name a file in it",
    ENXIO: "this is a named pipe that nobody reads, or a socket; start its reader first or name a file",
    EBADF: "this descriptor is not open; name a file",
  };
  const why = remedies[code ?? ""] ?? message;
  return new SettingError("ERR_POSTERN_BAD_SETTING", `access log ${path}: ${why}`, { cause });
}

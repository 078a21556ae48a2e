/**
 * Where lines of the log end up: a file, or standard error. Written at once and synchronously, so that the last words
 * before a crash are in it and lines of different times never mix (O_APPEND).
 *
 * Invariants:
 * 1. `write` never throws. Into a non-blocking pipe that nobody reads it does not wait either: at most
 *    {@link MAX_WAITING_BYTES} are kept; beyond it lines are lost, and a line says how many. (A blocking one holds the
 *    manager up until somebody reads, as it does every program.)
 * 2. A file that cannot be written (disk full) is said once on standard error, which takes the lines meanwhile. Each
 *    line tries the file again.
 * 3. `reopen` never leaves us without a log: when the path cannot be opened, the old file goes on.
 */
import { closeSync, constants, fchmodSync, fchownSync, openSync, writeSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { SettingError } from "../base/errors.ts";
import { oneLine } from "../base/text.ts";
import { findUser } from "../server/accounts.ts";

/** Not for the world: URLs and addresses of visitors are in it. */
const FILE_MODE = 0o640;
/** For standard error that is not read: a few seconds of a busy log. */
const MAX_WAITING_BYTES = 256 * 1024;
/** How soon to try again when nobody took what was written, ms. */
const RETRY_MS = 50;

/** Names of standard error, as images for containers use them. Opening them fails when it is a socket. */
const STANDARD_ERROR = /^\/(?:dev\/stderr|(?:dev|proc\/self)\/fd\/2)$/;
const STANDARD_OUTPUT = /^\/(?:dev\/stdout|(?:dev|proc\/self)\/fd\/1)$/;

export interface LogFile {
  /** Writes one line; a newline is added when it has none. */
  readonly write: (line: string) => void;
  /** Opens the path again: for log rotation, which moved the file away. */
  reopen(): void;
  /** Writes what still waits, as far as it can be, and closes. Lines written after it go to standard error. */
  close(): void;
}

/**
 * Opens a log for appending, and makes the file (0640) when there is none.
 * @param path absolute; undefined is standard error
 * @param owner who gets a new file, when we are root
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function openLogFile(path: string | undefined, owner?: string | number): LogFile {
  const standardError = new Descriptor(2);
  if (path === undefined || STANDARD_ERROR.test(path)) return onDescriptor(standardError);
  if (STANDARD_OUTPUT.test(path)) return onDescriptor(new Descriptor(1));
  const uid = owner === undefined || process.geteuid?.() !== 0 ? undefined : findUser(owner);
  return new PathLog(path, uid, open(path, uid), standardError);
}

function onDescriptor(descriptor: Descriptor): LogFile {
  return {
    write: (line) => void descriptor.write(whole(line)),
    reopen() {},
    close: () => descriptor.finish(),
  };
}

class PathLog implements LogFile {
  readonly #path: string;
  readonly #uid: number | undefined;
  readonly #standardError: Descriptor;
  #fd: number | undefined;
  #file: Descriptor;
  /** Whether it has been said that the file cannot be written. */
  #isBroken = false;

  constructor(path: string, uid: number | undefined, fd: number, standardError: Descriptor) {
    this.#path = path;
    this.#uid = uid;
    this.#fd = fd;
    this.#file = new Descriptor(fd);
    this.#standardError = standardError;
  }

  readonly write = (line: string): void => {
    const text = whole(line);
    const error = this.#fd === undefined ? "closed" : this.#file.write(text);
    if (error === undefined) {
      this.#isBroken = false;
      return;
    }
    if (!this.#isBroken && error !== "closed") {
      this.#complain(`cannot write the log ${this.#path}: ${error}; the log goes on here until it can`);
    }
    this.#isBroken = true;
    this.#standardError.write(text);
  };

  reopen(): void {
    if (this.#fd === undefined) return;
    let fd: number;
    try {
      fd = open(this.#path, this.#uid);
    } catch (error) {
      this.write(
        `${stamp()} cannot reopen the log, the old file goes on: ${oneLine((error as Error).message)}`,
      );
      return;
    }
    this.#file.finish();
    closeSync(this.#fd);
    this.#fd = fd;
    this.#file = new Descriptor(fd);
    this.#isBroken = false;
  }

  close(): void {
    if (this.#fd === undefined) return;
    this.#file.finish();
    this.#standardError.finish();
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #complain(message: string): void {
    this.#standardError.write(`${stamp()} ${message}\n`);
  }
}

/**
 * Writes to an open descriptor, which may be a pipe that is full: another process can have made ours non-blocking.
 * What cannot be written now waits, and is tried again soon and with the next line.
 */
class Descriptor {
  readonly #fd: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #lostLines = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The last line was written in part, and its rest never will be. */
  #isTorn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** @returns why it could not be written, and is not kept either */
  write(line: string): string | undefined {
    this.#drain();
    if (this.#waitingBytes > 0) {
      this.#keep(Buffer.from(line));
      return undefined;
    }
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
    const left = this.#put(bytes);
    if (typeof left === "string") return left;
    this.#isTorn = false;
    if (left.length > 0) this.#keep(left);
    return undefined;
  }

  /** One last try for what waits. */
  finish(): void {
    this.#drain();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @returns what could not be written yet, or why it never will be */
  #put(bytes: Buffer): Buffer | string {
    let at = 0;
    try {
      while (at < bytes.length) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return bytes.subarray(at);
      if (at > 0) this.#isTorn = true;
      return oneLine((error as Error).message);
    }
    return bytes.subarray(at);
  }

  #keep(bytes: Buffer): void {
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      this.#lostLines++;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    // Not a reason to stay alive.
    this.#timer ??= setTimeout(() => this.#retry(), RETRY_MS).unref();
  }

  #retry(): void {
    this.#timer = undefined;
    this.#drain();
    if (this.#waitingBytes > 0) this.#timer = setTimeout(() => this.#retry(), RETRY_MS).unref();
  }

  #drain(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const left = this.#put(first);
      this.#waitingBytes -= first.length;
      this.#waiting.shift();
      // An error (nobody will ever read) loses this one; the next has the same fate, or a better one.
      if (typeof left === "string" || left.length === 0) continue;
      this.#waiting.unshift(left);
      this.#waitingBytes += left.length;
      return;
    }
    if (this.#lostLines === 0) return;
    const line = `${stamp()} ${this.#lostLines} lines of the log were lost here: nobody read them in time\n`;
    this.#lostLines = 0;
    const left = this.#put(Buffer.from(line));
    if (typeof left !== "string" && left.length > 0) this.#keep(left);
  }
}

/**
 * Never through a link when it makes the file, and given away only then: a folder may belong to somebody else. Not
 * blocking: a named pipe without a reader would stop us here.
 */
function open(path: string, uid: number | undefined): number {
  if (!isAbsolute(path)) {
    throw logError(path, "the path must be absolute; begin it with /, as in /var/log/postern.log");
  }
  const flags = constants.O_WRONLY | constants.O_APPEND | (constants.O_NONBLOCK ?? 0);
  try {
    const fd = openSync(path, flags | constants.O_CREAT | constants.O_EXCL, FILE_MODE);
    fchmodSync(fd, FILE_MODE);
    if (uid !== undefined) fchownSync(fd, uid, process.getegid?.() ?? 0);
    return fd;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw openError(path, error);
  }
  try {
    return openSync(path, flags);
  } catch (error) {
    throw openError(path, error);
  }
}

function openError(path: string, cause: unknown): SettingError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const folder = dirname(path);
  const remedies: Readonly<Record<string, string>> = {
    ENOENT: `the folder ${folder} does not exist, or the file is a link to nowhere; create it: mkdir -p ${folder}`,
    EACCES: "this user may not write it; change its owner or choose another path",
    EPERM: "this user may not write it; change its owner or choose another path",
    EROFS: "the file system is read-only; choose another path",
    EISDIR: "this is a folder; name a file in it",
    ENOTDIR: `a part of ${folder} is a file, not a folder`,
    ENXIO: "this is a named pipe that nobody reads, or a socket; start its reader first or name a file",
  };
  return logError(path, remedies[code ?? ""] ?? message, cause);
}

function logError(path: string, remedy: string, cause?: unknown): SettingError {
  const options = cause === undefined ? {} : { cause };
  return new SettingError("ERR_POSTERN_BAD_SETTING", `log file ${path}: ${remedy}`, options);
}

/** The beginning of lines that come from here and not from a logger. */
function stamp(): string {
  return `${new Date().toISOString()} warn `;
}

function whole(line: string): string {
  return line.endsWith("\n") ? line : `${line}\n`;
}

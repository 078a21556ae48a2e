/**
 * The file that tells others the manager's pid: init scripts, monit, log rotation.
 *
 * Invariants:
 * 1. Whoever reads it finds a whole pid and a newline, or no file: it is written beside its place and moved there.
 * 2. It never replaces the file of a manager that lives, nor a file that is not a pid file at all.
 * 3. It is removed only while it names us.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { SettingError } from "../base/errors.ts";

export interface PidFile {
  /** Removes the file if it still names this process. Never throws. */
  remove(): void;
}

/**
 * Writes this process's pid, readable for all.
 * @param path absolute
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function writePidFile(path: string): PidFile {
  if (!isAbsolute(path))
    throw pidError(path, "the path must be absolute; begin it with /, as in /run/postern.pid");
  const text = `${process.pid}\n`;
  const temporary = `${path}.${process.pid}`;
  try {
    refuseUnlessFree(path);
    // Left behind by a process that had our number. Not written through: it may be a link.
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, "wx", 0o644);
    try {
      fchmodSync(fd, 0o644); // whatever the umask
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    if (error instanceof SettingError) throw error;
    throw pathError(path, error);
  }
  return {
    remove() {
      try {
        if (readBeginning(path) === text) rmSync(path, { force: true });
      } catch {
        // Somebody else removed it, or its folder.
      }
    },
  };
}

function refuseUnlessFree(path: string): void {
  let text: string;
  try {
    text = readBeginning(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  // Empty: of a machine that lost its power while somebody wrote it less carefully.
  if (!/^\s*\d{0,10}\s*$/.test(text)) {
    throw pidError(
      path,
      "this file holds something else than a pid; nothing was changed, choose another path",
    );
  }
  const pid = Number(text);
  if (pid === 0 || pid === process.pid || !isManager(pid)) return;
  throw pidError(
    path,
    `a manager with pid ${pid} is running; stop it (postern stop), or give this one another pidFile`,
  );
}

/** A live process that may be one of ours. After a restart of the machine its number may be anybody's. */
function isManager(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, as another user's.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1");
    return command === "" || /postern|node|bun/.test(command);
  } catch {
    return true; // no telling: better to ask than to replace
  }
}

/** The first bytes of a regular file. A link is not followed, and a pipe not waited for. */
function readBeginning(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    if (!fstatSync(fd).isFile())
      throw pidError(path, "this is not a file; nothing was changed, choose another path");
    const bytes = Buffer.alloc(32);
    return bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

function pathError(path: string, cause: unknown): SettingError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const folder = dirname(path);
  const remedies: Readonly<Record<string, string>> = {
    ENOENT: `the folder ${folder} does not exist; create it: mkdir -p ${folder}`,
    EACCES: `this user may not write in ${folder}; change its owner or choose another path`,
    EPERM: `this user may not write in ${folder}; change its owner or choose another path`,
    EROFS: "the file system is read-only; choose another path",
    ENOTDIR: `a part of ${folder} is a file, not a folder`,
    ELOOP: "this is a link; nothing was changed, name the file itself",
    ENXIO: "this is not a file; nothing was changed, choose another path",
  };
  return pidError(path, remedies[code ?? ""] ?? message, cause);
}

function pidError(path: string, problem: string, cause?: unknown): SettingError {
  const options = cause === undefined ? {} : { cause };
  return new SettingError("ERR_POSTERN_BAD_SETTING", `setting pidFile: ${path}: ${problem}`, options);
}

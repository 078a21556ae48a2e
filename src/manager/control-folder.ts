/**
 * The folder of a control socket. Whoever may write to it could put a socket of his own in the place of the manager's,
 * and be asked instead of it: so it is made for its owner alone, and refused when it is anybody else's to change.
 */
import { chmodSync, lstatSync, mkdirSync, type Stats, statSync } from "node:fs";
import { SettingError } from "../base/errors.ts";

/** Written by the group or by others. */
const WRITABLE_BY_OTHERS = 0o022;
/** In such a folder only its owner may rename and remove a file, as in /tmp. */
const STICKY = 0o1000;

/**
 * Makes the folder if it is missing, with mode 0700.
 * @param withParents also makes the folders above it
 * @throws {SettingError} `ERR_POSTERN_ADDRESS` when it cannot be made, or others could put a socket there
 */
export function makeControlFolder(folder: string, withParents: boolean): void {
  try {
    // What mkdir gives to the folders it makes is less the umask, whatever that is.
    const made = mkdirSync(folder, { recursive: withParents, mode: 0o700 });
    if (made !== undefined || !withParents) chmodSync(folder, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw cannotMake(folder, error as Error);
  }
  checkControlFolder(folder);
}

/** @throws {SettingError} `ERR_POSTERN_ADDRESS` when others could put a socket there, or it is no folder */
export function checkControlFolder(folder: string): void {
  const { entry, target } = look(folder);
  if (!target.isDirectory()) {
    throw refusal(folder, "it is not a folder", "choose another path for the control socket");
  }
  const uid = process.getuid?.();
  if (uid === undefined) return; // no such owners here
  const stranger = [entry, target].find((stats) => stats.uid !== uid && stats.uid !== 0);
  if (stranger !== undefined) {
    throw refusal(
      folder,
      `it belongs to another user (uid ${stranger.uid}), who could put another socket in its place`,
      "choose another path for the control socket, or change the owner of the folder",
    );
  }
  if ((target.mode & WRITABLE_BY_OTHERS) !== 0 && (target.mode & STICKY) === 0) {
    const mode = (target.mode & 0o7777).toString(8).padStart(4, "0");
    throw refusal(
      folder,
      `other users may write to it (mode ${mode}) and could put another socket in its place`,
      `take that away: chmod go-w ${folder}`,
    );
  }
}

/** The entry itself, which may be a link, and what it leads to: both must be in the right hands. */
function look(folder: string): { entry: Stats; target: Stats } {
  try {
    return { entry: lstatSync(folder), target: statSync(folder) };
  } catch (error) {
    throw cannotMake(folder, error as Error);
  }
}

function cannotMake(folder: string, cause: Error): SettingError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT") {
    return refusal(folder, "it does not exist", `create it: mkdir -m 0700 -p ${folder}`, cause);
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    const remedy = "choose another path for the control socket, or another folder with POSTERN_RUN_DIR";
    return refusal(folder, "this user may not make or enter it", remedy, cause);
  }
  return refusal(folder, cause.message, "choose another path for the control socket", cause);
}

function refusal(folder: string, reason: string, remedy: string, cause?: Error): SettingError {
  const message = `the control socket's folder ${folder} cannot be used: ${reason}; ${remedy}`;
  return new SettingError("ERR_POSTERN_ADDRESS", message, { cause });
}

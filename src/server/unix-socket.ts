/**
 * The file of a unix socket: made without a moment in which the wrong user may connect, never over a live one, never
 * over something that is not a socket, and removed on exit only if it is still ours.
 *
 * The socket is bound under a temporary name beside its place with no permissions at all, given its owner, group
 * and mode, and then moved into place, which replaces a stale file in one step. A lock file keeps two starting
 * servers from replacing each other.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { MAX_UNIX_PATH_BYTES } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { findGroup, findUser } from "./accounts.ts";
import { holderOfUnixSocket } from "./socket-holder.ts";

/** Characters that the temporary name adds. */
const SUFFIX_BYTES = 5;
/** How long to wait for another server that is starting on the same path, ms. */
const LOCK_WAIT_MS = 5000;

export interface UnixSocketOptions {
  readonly mode: number;
  readonly owner: string | number | undefined;
  readonly group: string | number | undefined;
  readonly backlog: number;
}

/**
 * Makes `server` listen on a unix socket file.
 * @param path absolute: it is used again when the server closes
 * @returns what removes the file again, if it is still the one made here
 * @throws {SettingError} ERR_POSTERN_SOCKET_IN_USE, ERR_POSTERN_SOCKET_NOT_A_SOCKET, ERR_POSTERN_SOCKET_OWNER,
 *   ERR_POSTERN_ADDRESS
 */
export function listenOnUnixSocket(
  server: Server,
  path: string,
  options: UnixSocketOptions,
): Promise<() => void> {
  return placeUnixSocket(path, options, {
    bind: (temporary) => listenUnseen(server, temporary, options.backlog),
    unbind: () => void server.close(),
  });
}

/** How the socket comes to be: what `placeUnixSocket` calls under its umask, and what takes it back. */
export interface UnixBinder {
  /** Binds and listens; the file must exist when it returns, before anything is awaited. */
  bind(path: string): Promise<void>;
  unbind(): void;
}

/** As {@link listenOnUnixSocket}, for whatever can bind. */
export async function placeUnixSocket(
  path: string,
  options: UnixSocketOptions,
  binder: UnixBinder,
): Promise<() => void> {
  const longest = MAX_UNIX_PATH_BYTES - SUFFIX_BYTES;
  if (Buffer.byteLength(path) > longest) {
    throw new SettingError(
      "ERR_POSTERN_ADDRESS",
      `unix:${path}: the path has ${Buffer.byteLength(path)} bytes, a socket path may have ${longest}; choose a shorter one, such as one in /run`,
    );
  }
  const uid = options.owner === undefined ? -1 : findUser(options.owner);
  const gid = options.group === undefined ? -1 : findGroup(options.group);
  const unlock = await lock(path);
  try {
    await refuseUnlessFree(path);
    // Nobody needs to be kept from guessing it: what has that name already makes the bind fail.
    const temporary = `${path}.${Math.floor(Math.random() * 0x10000)
      .toString(16)
      .padStart(4, "0")}`;
    await bindUnseen(temporary, binder).catch((error: Error) => {
      throw bindError(path, error);
    });
    try {
      // Not chown: whoever may write to the directory could have put a link to another file there.
      if (uid >= 0 || gid >= 0) lchownSync(temporary, uid, gid);
      chmodSync(temporary, options.mode);
      const made = lstatSync(temporary);
      renameSync(temporary, path);
      return () => removeIfSame(path, made);
    } catch (error) {
      binder.unbind();
      rmSync(temporary, { force: true });
      throw ownerError(path, options, error);
    }
  } finally {
    unlock();
  }
}

/** Binds with all permissions masked off. It is bound before `bind` returns, so no other file can slip in. */
function bindUnseen(path: string, binder: UnixBinder): Promise<void> {
  const umask = process.umask(0o777);
  try {
    return binder.bind(path);
  } finally {
    process.umask(umask);
  }
}

/** `listen` binds before it returns. */
function listenUnseen(server: Server, path: string, backlog: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path, backlog }, resolve);
  });
}

async function refuseUnlessFree(path: string): Promise<void> {
  const before = lstatIfThere(path);
  if (before === undefined) return;
  if (!before.isSocket()) {
    throw new SettingError(
      "ERR_POSTERN_SOCKET_NOT_A_SOCKET",
      `unix:${path}: there is ${before.isDirectory() ? "a directory" : "a file"} at this path that is not a socket; nothing was changed, choose another path or remove it yourself`,
    );
  }
  if (await isLive(path)) {
    throw new SettingError(
      "ERR_POSTERN_SOCKET_IN_USE",
      `unix:${path}: another server is listening there${holderOfUnixSocket(path)}; stop it or choose another path`,
    );
  }
}

/** Whether something accepts on the socket. Connecting is the only way to know: a file alone says nothing. */
function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // EAGAIN is a full backlog, EACCES a socket of somebody else: both are somebody's.
    socket.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}

/** Locks that this process has taken: one with our pid that is not among them was left behind by another. */
const held = new Set<string>();

/** Takes `PATH.lock`; a lock left behind by a dead process is taken over. */
async function lock(path: string): Promise<() => void> {
  const file = `${path}.lock`;
  for (const until = Date.now() + LOCK_WAIT_MS; ; ) {
    try {
      const fd = openSync(file, "wx", 0o600);
      writeSync(fd, String(process.pid));
      closeSync(fd);
      held.add(file);
      return () => {
        held.delete(file);
        rmSync(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw bindError(path, error as Error);
      if (isAbandoned(file)) takeAway(file);
      else if (Date.now() > until) {
        throw new SettingError(
          "ERR_POSTERN_SOCKET_IN_USE",
          `unix:${path}: another server is starting there; if none is, remove ${file}`,
        );
      } else await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Removes an abandoned lock, and not the one that somebody faster has put in its place meanwhile. */
function takeAway(file: string): void {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
    if (!isAbandoned(aside)) linkSync(aside, file);
    rmSync(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw bindError(file, error as Error);
  }
}

function isAbandoned(file: string): boolean {
  try {
    const { text, mtimeMs } = readLock(file);
    const pid = Number(text);
    if (pid === process.pid) return !held.has(file);
    if (pid > 0) process.kill(pid, 0);
    else return Date.now() - mtimeMs > 1000; // not yet written, or never
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** In a directory that others may write to, a lock may be a link, a pipe that never says anything, or endless. */
function readLock(file: string): { text: string; mtimeMs: number } {
  const fd = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd);
    const bytes = Buffer.alloc(20);
    const length = stats.isFile() ? readSync(fd, bytes, 0, bytes.length, 0) : 0;
    return {
      text: bytes.toString("latin1", 0, length),
      mtimeMs: stats.isFile() ? stats.mtimeMs : Date.now(),
    };
  } finally {
    closeSync(fd);
  }
}

function removeIfSame(path: string, made: Stats): void {
  const now = lstatIfThere(path);
  if (now !== undefined && now.dev === made.dev && now.ino === made.ino) rmSync(path, { force: true });
}

function lstatIfThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw bindError(path, error as Error);
  }
}

function bindError(path: string, cause: Error): SettingError {
  const { code } = cause as NodeJS.ErrnoException;
  const directory = dirname(path);
  const remedy =
    code === "ENOENT"
      ? `the directory ${directory} does not exist; create it: mkdir -p ${directory}`
      : code === "EACCES" || code === "EPERM" || code === "EROFS"
        ? `this user may not create a file in ${directory}; choose another path or change its owner`
        : code === "ENOTDIR"
          ? `a part of ${directory} is a file, not a directory`
          : cause.message;
  return new SettingError("ERR_POSTERN_ADDRESS", `unix:${path}: ${remedy}`, { cause });
}

function ownerError(path: string, options: UnixSocketOptions, cause: unknown): SettingError {
  const wanted = `owner ${options.owner ?? "(unchanged)"}, group ${options.group ?? "(unchanged)"}`;
  return new SettingError(
    "ERR_POSTERN_SOCKET_OWNER",
    `unix:${path}: cannot set ${wanted}: ${(cause as Error).message}; only root may give a file away, and only to a group it belongs to may a user`,
    { cause },
  );
}

/**
 * Puts a tap into the place of a unix socket, and the socket back. The web server's configuration stays as it is.
 *
 *     B (the application's)             B.tapped (the application's)
 *                            ──────>    B (the tap's, made as B.tap)
 *
 * There is no moment without a socket at B: the application's gets a second name, then the tap's replaces the first. What
 * the tap may do to the socket of somebody else is decided before anything is changed.
 */
import { linkSync, lstatSync, renameSync, rmSync, type Stats } from "node:fs";
import { connect } from "node:net";
import { resolve } from "node:path";
import { MAX_UNIX_PATH_BYTES, parseAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";

/** Bytes that listening adds to the path for a moment. */
const LISTEN_SUFFIX = ".tap.1234".length;

export interface TakeOver {
  /** Where the application's socket is, and the tap's will be. */
  readonly path: string;
  /** Where the tap is to listen first, and with whose permissions. */
  readonly listen: string;
  readonly mode: number;
  readonly owner: number;
  readonly group: number;
  /** Where the tap is to connect. */
  readonly connect: string;
  /** The tap listens at `listen`: exchanges the sockets. @throws {SettingError} nothing is changed then */
  begin(): void;
  /** Whether the socket at `path` is still the tap's. */
  isInPlace(): boolean;
  /** Puts the application's socket back. @returns what has become of it, if it is not back */
  end(): Promise<string | undefined>;
}

/**
 * Looks whether it can be done.
 * @throws {SettingError} in one sentence, why not
 */
export async function planTakeOver(text: string): Promise<TakeOver> {
  const address = parseAddress(text, "--connect");
  if (address.kind !== "unix") {
    throw refused(
      text,
      "only a unix socket with a file can be taken over; for TCP give --listen, and change the port in the web server's configuration",
    );
  }
  const path = resolve(address.path);
  const tapped = `${path}.tapped`;
  const made = `${path}.tap`;
  const found = lstat(path);
  if (found === undefined) throw refused(path, "there is no such socket; is the application running?");
  const before: Stats = found;
  if (before.isSymbolicLink()) throw refused(path, "that is a symbolic link; name the socket itself");
  if (!before.isSocket()) throw refused(path, "that is not a socket");
  const longest = Math.max(Buffer.byteLength(tapped), Buffer.byteLength(path) + LISTEN_SUFFIX);
  if (longest > MAX_UNIX_PATH_BYTES) {
    throw refused(
      path,
      `the path leaves no room for a longer name beside it (${MAX_UNIX_PATH_BYTES} bytes are the most); give --listen instead`,
    );
  }
  if (lstat(tapped) !== undefined) {
    throw refused(
      path,
      `${tapped} is there already: another tap is in place, or one was killed; if none runs, put the socket back: mv ${tapped} ${path}`,
    );
  }
  if (!(await isLive(path))) throw refused(path, "nobody listens on it, or this user may not connect");
  const { uid, gid } = before;
  const mode = before.mode & 0o777;
  refuseOthers(path, before);
  let ours: Stats | undefined;
  let ending: Promise<string | undefined> | undefined;
  return {
    path,
    listen: `unix:${made}`,
    mode,
    owner: uid,
    group: gid,
    connect: `unix:${tapped}`,
    begin(): void {
      const now = lstat(path);
      if (now === undefined || !isSame(now, before)) {
        throw refused(path, "the application has made it anew in this very moment; try again");
      }
      try {
        // A second name where that is allowed, so that there is a socket at every moment.
        linkSync(path, tapped);
      } catch {
        try {
          renameSync(path, tapped);
        } catch (error) {
          throw refused(path, `it cannot be renamed: ${(error as Error).message}`);
        }
      }
      try {
        renameSync(made, path);
      } catch (error) {
        renameSync(tapped, path);
        throw refused(path, `the tap's socket cannot be put there: ${(error as Error).message}`);
      }
      ours = lstat(path);
    },
    isInPlace(): boolean {
      const now = lstat(path);
      return now !== undefined && ours !== undefined && isSame(now, ours);
    },
    end(): Promise<string | undefined> {
      ending ??= giveBack().catch((error: Error) => {
        return `the socket could not be put back: ${error.message}; do it by hand: mv ${tapped} ${path}`;
      });
      return ending;
    },
  };

  /** Does it before it first waits: a process that exits comes no further. */
  async function giveBack(): Promise<string | undefined> {
    if (ours === undefined) return undefined;
    const now = lstat(path);
    const kept = lstat(tapped);
    if (kept === undefined || !isSame(kept, before)) {
      return `${tapped} is not there any more, so nothing could be put back at ${path}; restart the application`;
    }
    if (now !== undefined && isSame(now, ours)) {
      renameSync(tapped, path);
      return undefined;
    }
    const isAlive = await isLive(tapped);
    if (now === undefined && isAlive) {
      renameSync(tapped, path);
      return undefined;
    }
    if (!isAlive) rmSync(tapped, { force: true });
    // An application that was restarted has made a socket of its own: that one stays.
    return now === undefined
      ? `the application has ended: there is no socket at ${path}`
      : `the socket at ${path} is a new one of the application, and stays`;
  }
}

/** Only root may make a socket for somebody else, which the web server could then use as it uses this one. */
function refuseOthers(path: string, { uid, gid }: Stats): void {
  const me = process.getuid?.();
  if (me === undefined || me === 0) return;
  if (uid === me && (gid === process.getgid?.() || (process.getgroups?.() ?? []).includes(gid))) return;
  throw refused(
    path,
    `it belongs to user ${uid} and group ${gid}, and only root can make another one that does; use sudo`,
  );
}

function isLive(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    // A full queue is somebody's.
    socket.once("error", (error: NodeJS.ErrnoException) => done(error.code === "EAGAIN"));
  });
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

function lstat(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw refused(path, message);
  }
}

function refused(path: string, why: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", `--take-over ${path}: ${why}`);
}

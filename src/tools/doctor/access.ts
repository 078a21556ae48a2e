/**
 * Whether a user may reach and use a file: every folder on the way is looked at, links are followed as the kernel does,
 * and the first one that stops is named. Computed from mode bits; where bits say no and we are root, the system itself
 * is asked as that user, because access lists may say yes.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, lstatSync, readlinkSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { shWord } from "../../generate/quoting.ts";
import { groupName, userName } from "./identity.ts";
import type { Identity, Remedy } from "./model.ts";

const run = promisify(execFile);

/** Read, write, execute (of a folder: enter). */
export type Need = "r" | "w" | "x";

/** What stops a user on the way to a file. */
export interface Obstacle {
  readonly path: string;
  readonly isFolder: boolean;
  readonly need: Need;
  readonly owner: { readonly uid: number; readonly gid: number; readonly mode: number };
}

/** The way to a file. */
export interface Way {
  /** The first that stops; undefined when nothing does. */
  readonly obstacle: Obstacle | undefined;
  /** All that stop, the first one included. */
  readonly obstacles: readonly Obstacle[];
  /** The first part of the way that is not there. */
  readonly missing: string | undefined;
  /** Folders and file with their permissions, as `ls -ld` would show them. */
  readonly steps: readonly string[];
}

/** What the walk asks of the system; tests put something else in its place. */
export interface Disk {
  lstat(path: string): Pick<Stats, "mode" | "uid" | "gid" | "isDirectory" | "isSymbolicLink"> | undefined;
  readlink(path: string): string;
}

const THIS_DISK: Disk = {
  lstat: (path) => lstatSync(path, { throwIfNoEntry: false }),
  readlink: (path) => readlinkSync(path),
};

const BITS: Readonly<Record<Need, number>> = { r: 4, w: 2, x: 1 };
const MOST_LINKS = 40;

/** Walks to `path` as `identity`, who needs `needs` of what is there. */
export function walk(path: string, identity: Identity, needs: readonly Need[], disk: Disk = THIS_DISK): Way {
  const steps: string[] = [];
  let links = 0;
  let at = "/";
  let names = resolve("/", path).split("/").filter(Boolean);
  const obstacles: Obstacle[] = [];
  check("/", names.length > 0 ? ["x"] : needs);
  while (names.length > 0) {
    const [name = "", ...rest] = names;
    const next = join(at, name);
    const stats = disk.lstat(next);
    if (stats === undefined) return { obstacle: obstacles[0], obstacles, missing: next, steps };
    if (stats.isSymbolicLink() && ++links <= MOST_LINKS) {
      const target = resolve(at, disk.readlink(next));
      steps.push(`${next} -> ${target}`);
      names = [...target.split("/").filter(Boolean), ...rest];
      at = "/";
      continue;
    }
    check(next, rest.length > 0 ? ["x"] : needs);
    at = next;
    names = rest;
  }
  return { obstacle: obstacles[0], obstacles, missing: undefined, steps };

  function check(file: string, wanted: readonly Need[]): void {
    const stats = disk.lstat(file);
    if (stats === undefined) return;
    const shown = `${describe(stats)} ${file}`;
    if (steps.includes(shown)) return;
    steps.push(shown);
    const { uid, gid, mode } = stats;
    for (const need of wanted) {
      if (may(identity, stats, need)) continue;
      obstacles.push({ path: file, isFolder: stats.isDirectory(), need, owner: { uid, gid, mode } });
    }
  }
}

/** The same; an obstacle of the bits counts only when the system agrees. */
export async function walkAndAsk(path: string, identity: Identity, needs: readonly Need[]): Promise<Way> {
  const way = walk(path, identity, needs);
  if (way.obstacle === undefined || process.getuid?.() !== 0) return way;
  const real: Obstacle[] = [];
  for (const one of way.obstacles) {
    if (!(await asUser(identity, ["test", `-${one.need}`, one.path]))) real.push(one);
  }
  return { ...way, obstacle: real[0], obstacles: real };
}

/** Whether a command succeeds as somebody else. Only root can ask. */
async function asUser(identity: Identity, command: readonly string[]): Promise<boolean> {
  try {
    await run("setpriv", [...privilegeFlags(identity), "--", ...command], { timeout: 5000 });
    return true;
  } catch {
    return false;
  }
}

/** Flags of `setpriv` that make somebody else of root. */
export function privilegeFlags({ uid, gids }: Identity): string[] {
  const groups = gids.length > 0 ? ["--groups", gids.join(",")] : ["--clear-groups"];
  return ["--reuid", String(uid), "--regid", String(gids[0] ?? uid), ...groups];
}

type Bits = Pick<Stats, "mode" | "uid" | "gid" | "isDirectory">;

/** One class counts, the first that fits: owner, group, others. Root may all but run what nobody may. */
function may(identity: Identity, stats: Bits, need: Need): boolean {
  const { mode } = stats;
  if (identity.uid === 0) return need !== "x" || stats.isDirectory() || (mode & 0o111) !== 0;
  const shift = stats.uid === identity.uid ? 6 : identity.gids.includes(stats.gid) ? 3 : 0;
  return ((mode >> shift) & BITS[need]) !== 0;
}

/** S_IFSOCK, S_IFLNK, S_IFDIR. */
const KINDS = new Map([
  [0o140000, "s"],
  [0o120000, "l"],
  [0o040000, "d"],
]);

/** `drwx------ root root`. */
function describe(stats: Bits): string {
  const kind = KINDS.get(stats.mode & 0o170000) ?? "-";
  const letters = "rwxrwxrwx".split("").map((letter, at) => (stats.mode & (0o400 >> at) ? letter : "-"));
  return `${kind}${letters.join("")} ${userName(stats.uid)} ${groupName(stats.gid)}`;
}

/** `may not enter the folder /srv`: what the obstacle forbids, for a sentence about the user. */
export function forbids({ path, isFolder, need }: Obstacle): string {
  if (isFolder && need === "x") return `may not enter the folder ${path}`;
  const what = { r: "read", w: "write to", x: "execute" }[need];
  return `may not ${what} ${path}`;
}

/** Opens the way for this class of users, no wider than that. */
export function openWay(obstacles: readonly Obstacle[], identity: Identity): Remedy[] {
  return obstacles.map(({ path, need, owner }) => {
    const who = owner.uid === identity.uid ? "u" : identity.gids.includes(owner.gid) ? "g" : "o";
    return { run: `chmod ${who}+${need} ${shWord("path", path)}` };
  });
}

/** The first program of that name on a PATH, that somebody may execute. */
export function findOnPath(name: string, path: string, identity?: Identity): string | undefined {
  for (const folder of path.split(":").filter((one) => one.startsWith("/"))) {
    const file = join(folder, name);
    if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) continue;
    if (identity === undefined ? canExecute(file) : walk(file, identity, ["x"]).obstacle === undefined)
      return file;
  }
  return undefined;
}

function canExecute(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The folder of the nearest `package.json` above a file. */
export function packageFolder(file: string): string | undefined {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (statSync(join(folder, "package.json"), { throwIfNoEntry: false })?.isFile() === true) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

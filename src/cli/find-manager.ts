/**
 * Which manager a command is for: the one at `--control`, the one of that name in the run folder, or the only one that
 * answers there. What cannot be found or reached ends in one sentence that says what to do.
 */
import { lstatSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { SettingError } from "../base/errors.ts";
import { runFolder } from "../config/places.ts";
import { checkControlFolder } from "../manager/control-folder.ts";
import { findAccount } from "../server/accounts.ts";
import type { ManagerSnapshot } from "../status/snapshot.ts";
import { counted, printable } from "../status/text.ts";
import { askControl, type ControlAnswer, type ControlCall, ControlError } from "./control-client.ts";

/** How long a manager may take to say how it is. */
const STATUS_TIMEOUT_MS = 5000;

/** Where to look; of the environment, POSTERN_RUN_DIR, XDG_RUNTIME_DIR and TMPDIR. */
export interface Place {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
}

/** Path of the control socket that a command is for. @throws {SettingError} `ERR_POSTERN_CONNECT` */
export async function findManager(
  place: Place,
  name: string | undefined,
  control: string | undefined,
): Promise<string> {
  if (name !== undefined && control !== undefined) {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `a name (${printable(name)}) and --control both say which manager is meant; give one of them`,
    );
  }
  if (control !== undefined) return resolve(control);
  if (name !== undefined) return ofName(place, name);
  const managers = await running(place);
  if (managers.length === 1) return managers[0]!.file;
  if (managers.length === 0) throw nothingRuns(place);
  throw notFound(`several managers run, say which one by its name: ${managers.map(describe).join("; ")}`);
}

/** Asks a manager how it is. @throws {SettingError} `ERR_POSTERN_CONNECT` */
export async function askStatus(file: string): Promise<ManagerSnapshot> {
  const answer = await ask(file, { path: "/status", timeoutMs: STATUS_TIMEOUT_MS });
  if (answer.status === 200 && isSnapshot(answer.body)) return answer.body;
  throw notFound(`what answers at ${file} is no manager of this version of Postern`);
}

/** {@link askControl}, with what goes wrong as a sentence. @throws {SettingError} `ERR_POSTERN_CONNECT` */
export async function ask(file: string, call: ControlCall): Promise<ControlAnswer> {
  try {
    return await askControl(file, call);
  } catch (error) {
    if (error instanceof ControlError) throw unreachable(file, error);
    throw error;
  }
}

async function ofName(place: Place, name: string): Promise<string> {
  if (name.includes("/")) {
    throw notFound(
      `${printable(name)} is a path, not the name of a manager; write --control ${printable(name)}`,
    );
  }
  const folder = runFolder(place.env, place.uid);
  const file = join(folder, `${name}.sock`);
  if (isThere(file)) {
    checkControlFolder(folder);
    return file;
  }
  const managers = await running(place);
  if (managers.length === 0) throw nothingRuns(place, name);
  throw notFound(
    `no manager named ${printable(name)} runs (there is no ${printable(file)}); there are ${managers.map(describe).join("; ")}`,
  );
}

interface Found {
  readonly file: string;
  readonly snapshot: ManagerSnapshot;
}

/** Every manager of the run folder that answers. What does not was killed, or is no manager. */
async function running(place: Place): Promise<Found[]> {
  const folder = runFolder(place.env, place.uid);
  const files = socketsOf(folder);
  if (files.length > 0) checkControlFolder(folder);
  const asked = files.map(async (file) => {
    try {
      return [{ file, snapshot: await askStatus(file) }];
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      return [];
    }
  });
  return (await Promise.all(asked)).flat();
}

function socketsOf(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith(".sock"));
    return names.sort().map((name) => join(folder, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    if (code === "EACCES") throw unreachable(folder, new ControlError(code, "permission denied"));
    throw error;
  }
}

function describe({ file, snapshot }: Found): string {
  const workers = snapshot.pools.reduce((sum, pool) => sum + pool.workers.length, 0);
  return `${printable(basename(file, ".sock"))} (${printable(snapshot.state)}, pid ${snapshot.pid}, ${counted(workers, "worker")})`;
}

function nothingRuns(place: Place, name?: string): SettingError {
  const folder = runFolder(place.env, place.uid);
  const what = name === undefined ? "no manager runs" : `no manager named ${printable(name)} runs`;
  const start = `start one: postern serve app.js --workers 4${name === undefined ? "" : ` --name ${printable(name)}`}`;
  const others =
    place.uid !== 0 && isThere("/run/postern") && folder !== "/run/postern"
      ? "; if root started it, use sudo"
      : "";
  return notFound(
    `${what} (nothing answers in ${printable(folder)}); ${start}${others}; or say with --control where its socket is`,
  );
}

/** Why a manager cannot be asked. */
function unreachable(file: string, error: ControlError): SettingError {
  const path = printable(file);
  switch (error.code) {
    case "ENOENT":
    case "ENOTDIR":
      return notFound(
        `no manager runs at ${path}: there is no such socket; is the path right, and the manager started?`,
        error,
      );
    case "ECONNREFUSED":
      return notFound(
        `no manager runs at ${path}: the socket is there and nobody listens, so it was killed; start it again`,
        error,
      );
    case "EACCES":
    case "EPERM": {
      const owner = ownerOf(file);
      const remedy =
        owner === undefined
          ? "run this as the user of the manager, or as root"
          : owner === "root"
            ? "the manager runs as root; run this as root: sudo postern …"
            : `the manager runs as ${owner}; run this as ${owner} or root: sudo -u ${owner} postern …`;
      return notFound(`no permission to use ${path}: ${remedy}`, error);
    }
    case "TIMEOUT":
      return notFound(`the manager at ${path} does not answer: ${error.message}; its log may say why`, error);
    case "FOREIGN":
      return notFound(`what answers at ${path} is no manager: ${error.message}`, error);
    default:
      return notFound(
        `the manager at ${path} ended the connection without an answer (${printable(error.message)})`,
        error,
      );
  }
}

/** The user whose the socket is, or else the nearest folder above it that can be seen. */
function ownerOf(file: string): string | undefined {
  for (let path = file; path !== dirname(path); path = dirname(path)) {
    try {
      const { uid } = lstatSync(path);
      return nameOf(uid);
    } catch {
      // Not to be seen from here: its folder tells.
    }
  }
  return undefined;
}

function nameOf(uid: number): string {
  try {
    return findAccount(uid).name ?? `uid ${uid}`;
  } catch {
    return `uid ${uid}`; // no /etc/passwd here
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function notFound(message: string, cause?: unknown): SettingError {
  return new SettingError("ERR_POSTERN_CONNECT", message, { cause });
}

/** As much of a check as printing needs; a manager of another version may have more. */
function isSnapshot(body: unknown): body is ManagerSnapshot {
  const { name, state, pid, pools } = Object(body) as Partial<Record<keyof ManagerSnapshot, unknown>>;
  return (
    typeof name === "string" &&
    typeof state === "string" &&
    typeof pid === "number" &&
    Array.isArray(pools) &&
    pools.every((pool: unknown) => {
      const { addresses, workers } = Object(pool) as { addresses?: unknown; workers?: unknown };
      return Array.isArray(addresses) && Array.isArray(workers) && workers.every(hasCurrent);
    })
  );
}

function hasCurrent(worker: unknown): boolean {
  return Array.isArray((Object(worker) as { current?: unknown }).current);
}

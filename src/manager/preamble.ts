/**
 * What happens between the manager and the first instruction of a worker's program, because Node's spawn cannot do it:
 * umask, limit of open files, and becoming another user with all of that user's groups.
 *
 * The pid stays the same throughout: each step replaces itself by the next one (exec).
 *
 *     /bin/sh -c 'umask 0027 && ulimit -n 4096 && exec "$@"' sh  setpriv --reuid … --  COMMAND ARGS
 *     └─ as the manager's user: root may raise a limit ─────┘    └─ the new user ─┘
 *
 * A step that is not needed is left out. The script holds checked numbers and nothing else; everything that an
 * operator wrote is an argument. Workers of ours are told nothing of `user`: they still have to read their own program
 * as the manager's user, and call {@link dropPrivileges} before they load the application.
 */
import { readFileSync } from "node:fs";
import { SettingError } from "../base/errors.ts";
import { oneLine } from "../base/text.ts";
import type { PoolSettings } from "../config/types.ts";
import { type Account, findAccount, findGroup } from "../server/accounts.ts";
import { findProgram } from "./programs.ts";

/** The part of a pool's settings that is done here. Leave out what the worker does itself. */
export interface LaunchNeeds
  extends Partial<Pick<PoolSettings, "umask" | "rlimitFiles" | "user" | "group">> {}

/** How to call `child_process.spawn`. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly options: { readonly uid?: number; readonly gid?: number };
  /** Sentences for the log: what could not be done as asked. */
  readonly warnings: readonly string[];
}

/** What of the system is used. */
export interface LaunchTools {
  /** The path of util-linux's setpriv; undefined when there is none. */
  readonly setpriv: string | undefined;
}

/**
 * How to start a program so that it has what the settings say.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: the user, group or limit cannot be had
 */
export function planLaunch(command: readonly string[], needs: LaunchNeeds, { setpriv }: LaunchTools): Launch {
  const warnings: string[] = [];
  const identity = changeOf(needs.user, needs.group);
  let words = command;
  let options: Launch["options"] = {};
  const steps = [...stepsFor(needs)];
  if (setpriv !== undefined && identity !== undefined) {
    words = [setpriv, ...setprivFlags(identity), "--", ...words];
  } else if (identity !== undefined) {
    options = { ...(identity.uid === undefined ? {} : { uid: identity.uid }), gid: identity.gid };
    warnings.push(
      `user ${needs.user ?? "(unchanged)"}: started without supplementary groups, because setpriv of util-linux is not installed`,
    );
    if (
      needs.rlimitFiles !== undefined &&
      needs.rlimitFiles > (hardFileLimit() ?? Number.POSITIVE_INFINITY)
    ) {
      throw badSetting(
        `setting rlimitFiles: ${needs.rlimitFiles} is above the system's ${hardFileLimit()} and must be set before the user changes; install setpriv (util-linux)`,
      );
    }
  }
  if (steps.length > 0) words = ["/bin/sh", "-c", `${steps.join(" && ")} && exec "$@"`, "sh", ...words];
  const [program = "", ...args] = words;
  return { command: program, args, options, warnings };
}

/** Looks once for what {@link planLaunch} uses. busybox has a setpriv too, which has not the options. */
export function findLaunchTools(env: NodeJS.ProcessEnv): LaunchTools {
  const setpriv = findProgram("setpriv", env["PATH"]);
  if (setpriv === undefined) return { setpriv };
  // Not imported: every worker loads this file, and has no use for child_process.
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const help = spawnSync(setpriv, ["--help"], { encoding: "utf8", timeout: 5000 });
  const has = (option: string): boolean => `${help.stdout}${help.stderr}`.includes(option);
  const isEnough = ["--init-groups", "--clear-groups", "--reuid", "--inh-caps"].every(has);
  return { setpriv: isEnough ? setpriv : undefined };
}

/**
 * Makes this process the user's for good. Before anything of the application is loaded; what is open stays open.
 * Does nothing when neither is given.
 * @param group by default the user's primary group
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: unknown, not allowed, or it could be undone
 */
export function dropPrivileges(user: string | number | undefined, group?: string | number): void {
  const identity = changeOf(user, group);
  if (identity === undefined) return;
  const { uid, gid, name } = identity;
  const { initgroups } = process as InitGroups;
  try {
    if (name === undefined) process.setgroups?.([gid]);
    else initgroups?.(name, gid);
    process.setgid?.(gid);
    if (uid !== undefined) process.setuid?.(uid);
  } catch (error) {
    throw badSetting(
      `setting user: cannot become user ${user ?? ""} in group ${gid}: ${oneLine(error)}`,
      error,
    );
  }
  const isChanged = process.getgid?.() === gid && (uid === undefined || process.getuid?.() === uid);
  if (isChanged && (uid === undefined || uid === 0 || !canBeRootAgain())) return;
  throw badSetting(
    `setting user: this process did not become user ${user ?? ""} for good; the system does not allow it`,
  );
}

/** What the types of Node 20 leave out. */
interface InitGroups {
  readonly initgroups?: (user: string, extraGroup: number) => void;
}

/** Who to become. */
interface Identity {
  /** Undefined: the user stays. */
  readonly uid: number | undefined;
  readonly gid: number;
  /** Whose supplementary groups; undefined: none. */
  readonly name: string | undefined;
}

/** Undefined when there is nothing to change. */
function changeOf(
  user: string | number | undefined,
  group: string | number | undefined,
): Identity | undefined {
  if (user === undefined && group === undefined) return undefined;
  const account: Account | undefined = user === undefined ? undefined : findAccount(user);
  const gid = group === undefined ? account?.gid : findGroup(group);
  if (gid === undefined) {
    throw badSetting(`setting user: nothing is known about user ${user}, not even its group; set group too`);
  }
  const uid = account?.uid;
  if (process.geteuid?.() === 0) return { uid, gid, name: account?.name };
  // Not root: what is so already can stay so, with the groups that come with it.
  const isUser = uid === undefined || uid === process.geteuid?.();
  if (isUser && (group === undefined || gid === process.getegid?.())) return undefined;
  throw badSetting(
    `setting ${user === undefined ? "group" : "user"}: only root can become ${user === undefined ? `group ${group}` : `user ${user}`}; start the manager as root, or start it as that user and leave the setting out`,
  );
}

function setprivFlags({ uid, gid, name }: Identity): string[] {
  return [
    ...(uid === undefined ? [] : ["--reuid", String(uid)]),
    "--regid",
    String(gid),
    // --init-groups asks the system, which also knows users from elsewhere, for the groups of --reuid.
    name === undefined ? "--clear-groups" : "--init-groups",
    "--inh-caps=-all",
  ];
}

/** What sh has to do. Numbers only. */
function* stepsFor({ umask, rlimitFiles, user }: LaunchNeeds): Iterable<string> {
  if (umask !== undefined) {
    if (!Number.isInteger(umask) || umask < 0 || umask > 0o777) {
      throw badSetting(`setting umask: ${umask} cannot be used, it must be an octal number from 0 to 0777`);
    }
    yield `umask ${umask.toString(8).padStart(4, "0")}`;
  }
  if (rlimitFiles === undefined) return;
  if (!Number.isSafeInteger(rlimitFiles) || rlimitFiles < 1) {
    throw badSetting(`setting rlimitFiles: ${rlimitFiles} cannot be used, it must be a whole number above 0`);
  }
  const most = hardFileLimit();
  if (process.geteuid?.() !== 0 && most !== undefined && rlimitFiles > most) {
    const remedy = user === undefined ? "start as root or raise" : "raise";
    throw badSetting(
      `setting rlimitFiles: ${rlimitFiles} is more than the ${most} this user may have; ${remedy} the limit of whoever starts the manager (LimitNOFILE= in a systemd unit)`,
    );
  }
  yield `ulimit -n ${rlimitFiles}`;
}

/** How many open files the system lets this process ask for; undefined when there is no telling. */
function hardFileLimit(): number | undefined {
  try {
    const [, , hard] =
      /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return hard === undefined || hard === "unlimited" ? undefined : Number(hard);
  } catch {
    return undefined;
  }
}

function canBeRootAgain(): boolean {
  try {
    process.setuid?.(0);
    return true;
  } catch {
    return false;
  }
}

function badSetting(message: string, cause?: unknown): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message, cause === undefined ? {} : { cause });
}

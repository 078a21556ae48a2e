/** User and group names to ids, from /etc/passwd and /etc/group: Node has no getpwnam. */
import { readFileSync } from "node:fs";
import { SettingError } from "../base/errors.ts";

/** A user as /etc/passwd has it. A number without an entry is a user too, of whom only the number is known. */
export interface Account {
  readonly uid: number;
  readonly name: string | undefined;
  /** The primary group. */
  readonly gid: number | undefined;
  readonly home: string | undefined;
  readonly shell: string | undefined;
}

/** The id of a user. @throws {SettingError} ERR_POSTERN_BAD_SETTING */
export function findUser(user: string | number): number {
  return find("/etc/passwd", "user", user);
}

/** The id of a group. @throws {SettingError} ERR_POSTERN_BAD_SETTING */
export function findGroup(group: string | number): number {
  return find("/etc/group", "group", group);
}

/** What is known about a user. @throws {SettingError} ERR_POSTERN_BAD_SETTING */
export function findAccount(user: string | number): Account {
  const uid = findUser(user);
  const byName = (fields: readonly string[]): boolean => fields[0] === user;
  const byId = (fields: readonly string[]): boolean => Number(fields[2]) === uid;
  // Two names may share one id: the name that was asked for comes first.
  const entries = entriesOf("/etc/passwd");
  const [name, , , gid, , home, shell] = entries.find(byName) ?? entries.find(byId) ?? [];
  return {
    uid,
    name,
    gid: gid === undefined ? undefined : Number(gid),
    home: home || undefined,
    shell: shell || undefined,
  };
}

function find(file: string, kind: string, wanted: string | number): number {
  if (typeof wanted === "number" || /^\d+$/.test(wanted)) return Number(wanted);
  for (const [name, , id] of entriesOf(file)) {
    if (name === wanted && id !== undefined) return Number(id);
  }
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `there is no ${kind} named ${JSON.stringify(wanted)} in ${file}; give an existing name or a number`,
  );
}

/** The lines of passwd or group, split. Shorter lines are comments, or of NIS. */
function entriesOf(file: string): string[][] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.map((line) => line.split(":")).filter((fields) => fields.length > 3);
}

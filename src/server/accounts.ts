/** User and group names to ids, from /etc/passwd and /etc/group: Node has no getpwnam. */
import { readFileSync } from "node:fs";
import { SettingError } from "../base/errors.ts";

/** The id of a user. @throws {SettingError} ERR_POSTERN_BAD_SETTING */
export function findUser(user: string | number): number {
  return find("/etc/passwd", "user", user);
}

/** The id of a group. @throws {SettingError} ERR_POSTERN_BAD_SETTING */
export function findGroup(group: string | number): number {
  return find("/etc/group", "group", group);
}

function find(file: string, kind: string, wanted: string | number): number {
  if (typeof wanted === "number" || /^\d+$/.test(wanted)) return Number(wanted);
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [name, , id] = line.split(":");
    if (name === wanted && id !== undefined) return Number(id);
  }
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `there is no ${kind} named ${JSON.stringify(wanted)} in ${file}; give an existing name or a number`,
  );
}

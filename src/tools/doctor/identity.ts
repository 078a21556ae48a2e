/** Users of this machine with all their groups, from /etc/passwd and /etc/group, or from `id` for those of a directory. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { findAccount } from "../../server/accounts.ts";
import type { Identity } from "./model.ts";

const run = promisify(execFile);

/** A user by name or number. @throws when there is none */
export async function identityOf(user: string | number): Promise<Identity> {
  let account: ReturnType<typeof findAccount>;
  try {
    account = findAccount(user);
  } catch (error) {
    return await identityOfDirectory(String(user)).catch(() => {
      throw error;
    });
  }
  const name = account.name ?? String(account.uid);
  const primary = account.gid === undefined ? [] : [account.gid];
  const more = groupsOf(name).filter((gid) => gid !== account.gid);
  return { name, uid: account.uid, gids: [...primary, ...more] };
}

/** Who asks. */
export async function ownIdentity(): Promise<Identity> {
  const uid = process.getuid?.() ?? 0;
  const own = [process.getgid?.() ?? 0, ...(process.getgroups?.() ?? [])];
  const name = await identityOf(uid).then(
    (known) => known.name,
    () => String(uid),
  );
  return { name, uid, gids: [...new Set(own)] };
}

/** The name of a group, or its number. */
export function groupName(gid: number): string {
  return entries("/etc/group").find(([, , id]) => Number(id) === gid)?.[0] ?? String(gid);
}

/** The name of a user, or the number. */
export function userName(uid: number): string {
  return entries("/etc/passwd").find(([, , id]) => Number(id) === uid)?.[0] ?? String(uid);
}

function groupsOf(name: string): number[] {
  return entries("/etc/group").flatMap(([, , gid, members = ""]) =>
    members.split(",").includes(name) ? [Number(gid)] : [],
  );
}

/** NSS knows more users than the files: LDAP, systemd's dynamic ones. */
async function identityOfDirectory(user: string): Promise<Identity> {
  const ask = async (flag: string): Promise<string> =>
    (await run("id", [flag, "--", user], { timeout: 5000 })).stdout.trim();
  const [uid, gids, name] = await Promise.all([ask("-u"), ask("-G"), ask("-un")]);
  return { name, uid: Number(uid), gids: gids.split(" ").map(Number) };
}

function entries(file: string): string[][] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}

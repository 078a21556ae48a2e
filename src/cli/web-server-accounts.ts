/** The user and the group that web servers run as on this system: systems call them by different names. */
import { findAccount, findGroup } from "../server/accounts.ts";

const NAMES = ["www-data", "nginx", "apache", "http", "www"] as const;

export function webServerUser(): string | undefined {
  return NAMES.find((name) => isThere(() => findAccount(name)));
}

export function webServerGroup(): string | undefined {
  return NAMES.find((name) => isGroup(name));
}

export function isGroup(name: string): boolean {
  return isThere(() => findGroup(name));
}

function isThere(look: () => unknown): boolean {
  try {
    look();
    return true;
  } catch {
    return false;
  }
}

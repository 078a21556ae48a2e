/**
 * Contradictions between settings that are each allowed: an error, with the remedy. And settings that mean nothing
 * where they are: a note, because a shared configuration file may well hold them.
 */
import { MAX_UNIX_PATH_BYTES, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { resolveMountOptions } from "../cgi/mount-options.ts";
import { isOwn, type Origins } from "./resolve.ts";
import { POOL_SETTINGS } from "./settings.ts";
import type { Given, Layer, Problems } from "./sources.ts";
import type { Configuration, PoolSettings } from "./types.ts";

/** Settings of which one excludes the other, and what to do. */
const RIVALS: readonly (readonly [string, string, string])[] = [
  ["app", "command", "a pool runs one of the two: leave the other out, or make it a pool of its own"],
  ["workers", "maxChildren", "workers is short for maxChildren: leave one of the two out"],
  ["base", "scriptName", "both say where the mount is: leave one of the two out"],
];

/** Of rivals from different places the stronger stays. Two from the same place are a contradiction. */
export function settleRivals(given: Map<string, Given>, where: string, problems: Problems): void {
  for (const [one, other, remedy] of RIVALS) {
    const first = given.get(one);
    const second = given.get(other);
    if (first === undefined || second === undefined) continue;
    if (first.rank === second.rank)
      problems.add(`${where}: ${one} and ${other} contradict each other: ${remedy}`);
    given.delete(first.rank < second.rank ? one : other);
  }
}

/** What one pool's settings say against each other. */
export function checkPool(
  pool: PoolSettings,
  origins: Origins,
  where: string,
  account: { readonly uid: number; readonly userName?: string | undefined },
  problems: Problems,
): void {
  const wrong = (message: string): void => problems.add(`${where}: ${message}`);
  const said = (name: string, value: unknown): string => `${name} ${String(value)} (${origins[name]})`;
  checkSpares(pool, said, wrong);
  if (pool.program.kind === "command") {
    if (pool.http !== undefined) {
      wrong(
        `${said("http", pool.http)} is for JavaScript applications: put postern gateway or a web server before a command`,
      );
    }
    if (pool.bind.length > 1) {
      wrong(
        `a command gets one socket, and bind names ${pool.bind.length}: ${listBind(pool)}; name one, or make a pool for each`,
      );
    }
  } else if (pool.program.language === "python") {
    checkPython(pool, said, wrong);
  } else if (pool.static !== undefined && pool.http === undefined) {
    wrong(`${said("static", pool.static)} needs http: behind a web server, let that serve the files`);
  }
  const [firstArg] = pool.nodeArgs;
  if (firstArg !== undefined && !firstArg.startsWith("-")) {
    wrong(`${said("nodeArgs", firstArg)} is no flag: node would run it instead of the application`);
  }
  const probes = ["pingPath", "statusPath", "metricsPath"] as const;
  for (const [at, name] of probes.entries()) {
    const other = probes.slice(at + 1).find((one) => pool[name] !== undefined && pool[one] === pool[name]);
    if (other !== undefined)
      wrong(`${name} and ${other} are both ${pool[name]}: choose another path for one of them`);
  }
  for (const name of ["user", "group"] as const) {
    const value = pool[name];
    if (value === undefined || account.uid === 0) continue;
    if (name === "user" && (value === account.uid || value === account.userName)) continue;
    wrong(
      `${said(name, value)} needs root, and this is user ${account.userName ?? account.uid}: start as root, or leave ${name} out`,
    );
  }
  for (const name of ["base", "scriptName"] as const) {
    const value = pool[name];
    if (value === undefined) continue;
    try {
      resolveMountOptions({ [name]: value });
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      wrong(error.message);
    }
  }
}

/** What only JavaScript workers can do, and somebody would rely on. */
function checkPython(
  pool: PoolSettings,
  said: (name: string, value: unknown) => string,
  wrong: (message: string) => void,
): void {
  const remedies = {
    http: "put a web server or postern/gateway before an application in Python",
    wsHttp: "WSGI has no WebSockets",
  } as const;
  for (const [name, remedy] of Object.entries(remedies)) {
    const value = pool[name as keyof typeof remedies];
    if (value !== undefined) wrong(`${said(name, value)} is for JavaScript applications: ${remedy}`);
  }
}

function checkSpares(
  pool: PoolSettings,
  said: (name: string, value: unknown) => string,
  wrong: (message: string) => void,
): void {
  if (pool.pm !== "dynamic") return;
  const { minSpareServers, maxSpareServers, startServers, maxChildren } = pool;
  const least = said("minSpareServers", minSpareServers);
  const most = said("maxSpareServers", maxSpareServers);
  const children = said("maxChildren", maxChildren);
  const start = said("startServers", startServers);
  if (minSpareServers > maxChildren) {
    wrong(`${least} exceeds ${children}: lower the one or raise the other`);
  } else if (minSpareServers > maxSpareServers) {
    wrong(`${least} exceeds ${most}: lower the one or raise the other`);
  } else if (maxSpareServers > maxChildren) {
    wrong(`${most} exceeds ${children}: lower the one or raise the other`);
  } else if (startServers < minSpareServers || startServers > maxSpareServers) {
    wrong(
      `${start} is not between ${least} and ${most}: choose one from ${minSpareServers} to ${maxSpareServers}, or leave startServers out`,
    );
  }
}

function listBind(pool: PoolSettings): string {
  return pool.bind.map(printAddress).join(", ");
}

/** What the whole configuration says against itself. */
export function checkAll({ manager, pools }: Configuration, where: string, problems: Problems): void {
  if (Buffer.byteLength(manager.controlSocket) > MAX_UNIX_PATH_BYTES) {
    problems.add(
      `${where}: controlSocket ${manager.controlSocket} is longer than the ${MAX_UNIX_PATH_BYTES} bytes a unix socket can have: choose a shorter name or path`,
    );
  }
  const taken = new Map<string, string>();
  for (const pool of pools) {
    for (const address of addressesOf(pool)) {
      const owner = taken.get(address);
      if (owner === undefined) taken.set(address, pool.name);
      else if (owner === pool.name)
        problems.add(`${where}: pool ${owner} names ${address} twice: leave one out`);
      else problems.add(`${where}: pools ${owner} and ${pool.name} both have ${address}: give each its own`);
    }
  }
}

/** What only one pool can have. Port 0 is another one each time. */
function addressesOf(pool: PoolSettings): readonly string[] {
  const all = pool.bind.map((address) => `bind ${printAddress(address)}`);
  if (pool.bind.length === 0 && pool.http === undefined) all.push("no bind, which is the inherited socket");
  if (pool.http !== undefined) all.push(`http ${pool.http}`);
  if (pool.wsHttp !== undefined) all.push(`wsHttp ${pool.wsHttp}`);
  return all.filter((address) => !address.endsWith(":0"));
}

/** What has no effect where it stands, or is probably not meant so. */
export function notesOn(pool: PoolSettings, given: Layer, uid: number): string[] {
  const notes: string[] = [];
  const isPython = pool.program.kind === "app" && pool.program.language === "python";
  for (const [name, setting] of Object.entries(POOL_SETTINGS)) {
    const { pm, isForApps, kind } = setting;
    const from = given.get(name);
    if (kind.placeholder === "time" && isLikeMs(from?.written)) {
      notes.push(
        `pool ${pool.name}: ${name} ${String(from?.written)} (${from?.origin}) is in seconds, as in php-fpm; for milliseconds write "${String(from?.written)}ms"`,
      );
    }
    if (from === undefined || !isOwn(from) || from.value === undefined) continue;
    if (pm !== undefined && pm !== pool.pm) {
      notes.push(
        `pool ${pool.name}: ${name} (${from.origin}) has no effect with pm ${pool.pm}, only with ${pm}`,
      );
    }
    if (isForApps && pool.program.kind === "command" && name !== "http" && name !== "static") {
      notes.push(`pool ${pool.name}: ${name} (${from.origin}) has no effect on a command`);
    }
    if (isPython && isForApps && !setting.isForPython && !["http", "wsHttp"].includes(name)) {
      notes.push(`pool ${pool.name}: ${name} (${from.origin}) has no effect on an application in Python`);
    }
    if (!isPython && setting.isPythonOnly) {
      notes.push(`pool ${pool.name}: ${name} (${from.origin}) has no effect but on an application in Python`);
    }
  }
  const { requestTerminateTimeoutMs: most, requestSlowlogTimeoutMs: slow } = pool;
  if (most > 0 && slow >= most) {
    notes.push(
      `pool ${pool.name}: no request is ever logged as slow, because requestTerminateTimeout comes before requestSlowlogTimeout`,
    );
  }
  if (uid === 0 && pool.user === undefined) {
    notes.push(`pool ${pool.name}: its workers run as root; set user, unless they must`);
  }
  return notes;
}

/** 30000 is what somebody writes who thinks in milliseconds; who means eight hours writes 28800. */
function isLikeMs(written: unknown): boolean {
  const number = typeof written === "number" ? written : /^\d+$/.test(String(written)) ? Number(written) : 0;
  return number >= 5000 && number % 500 === 0;
}

/** Notes on the whole. */
export function notesOnAll({ manager, pools }: Configuration): string[] {
  const wanted = pools.reduce((sum, pool) => sum + (pool.pm === "static" ? pool.maxChildren : 0), 0);
  if (manager.processMax === 0 || wanted <= manager.processMax) return [];
  return [
    `processMax is ${manager.processMax}, and the static pools want ${wanted} workers: some will not start`,
  ];
}

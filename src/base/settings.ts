/**
 * Checks that all objects of options share: no name that does not exist, nothing of the wrong type. Every message names
 * the option, its value and the remedy, in one sentence.
 */
import { SettingError } from "./errors.ts";
import { clip } from "./text.ts";

/** What an address is called elsewhere. */
const ADDRESS_WORDS = /^(?:address|bind|connect|host|hostname|listen|path|port|server|socket|url)$/;

/**
 * Refuses what is not an object, and names that do not exist. A name whose value is `undefined` is as good as absent.
 * @param what the place, such as "serve options"
 * @param known its keys are the names
 * @param address the option that takes an address, for the remedy
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function checkKeys(what: string, options: unknown, known: object, address?: "bind" | "connect"): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    const example = address === undefined ? "" : `; write { ${address}: ${addressLike(options)} }`;
    const without = address === "bind" ? ", or leave the options out" : "";
    throw badSetting(`${what}: ${show(options)} is not an object of options${example}${without}`);
  }
  const given = options as Readonly<Record<string, unknown>>;
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(known, key)) continue;
    const isAddress = address !== undefined && given[address] === undefined && ADDRESS_WORDS.test(key);
    const nearest = nearestName(key, Object.keys(known));
    const remedy = isAddress
      ? `write ${address}: ${addressLike(key === "path" ? { path: value } : value)}`
      : nearest !== undefined
        ? `did you mean ${nearest}?`
        : `there are ${Object.keys(known).sort().join(", ")}`;
    throw badSetting(`${what}: there is no option ${show(key)}; ${remedy}`);
  }
}

/** The value of an option that takes an address as text. @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function addressText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined) {
    throw badSetting(`option ${name}, the address, is missing; write ${name}: ${addressLike(value)}`);
  }
  throw badOption(name, value, `an address as text; write ${name}: ${addressLike(value)}`);
}

/** The value of an option that is on or off. @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function yesOrNo(name: string, value: unknown, standard: boolean): boolean {
  if (value === undefined) return standard;
  if (typeof value === "boolean") return value;
  throw badOption(name, value, "true or false");
}

/** Refuses a logger that lacks a method: its silence would be noticed when it is needed. */
export function checkLogger(logger: object | undefined): void {
  const methods = logger as Readonly<Record<string, unknown>> | null | undefined;
  if (methods === undefined) return;
  if (["debug", "info", "warn", "error"].every((level) => typeof methods?.[level] === "function")) return;
  throw badOption("logger", logger, "an object with debug, info, warn and error, such as silentLogger");
}

/** The error for a value that an option cannot have. */
export function badOption(name: string, value: unknown, allowed: string): SettingError {
  return badSetting(`option ${name}: ${show(value)} cannot be used, it must be ${allowed}`);
}

function badSetting(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

/** A value as its author would recognise it, in one short line. */
export function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  try {
    return clip(JSON.stringify(value) ?? String(value), 100);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** The address, quoted, that somebody probably meant; else an example. */
function addressLike(value: unknown): string {
  if (typeof value === "string" && /[:/]/.test(value)) return show(value);
  const isText = typeof value === "string" || typeof value === "number";
  if (isText && /^\d{1,5}$/.test(String(value))) return show(`127.0.0.1:${value}`);
  const { path, port, host } = Object(value) as Readonly<Record<string, unknown>>;
  if (typeof path === "string") return show(`unix:${path}`);
  if (typeof port === "number") {
    const name = typeof host === "string" ? host : "127.0.0.1";
    return show(`${name.includes(":") ? `[${name}]` : name}:${port}`);
  }
  return '"127.0.0.1:9000"';
}

/** The name that was probably meant: its beginning, or at most a third of it misspelt. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const wanted = given.toLowerCase();
  let nearest: string | undefined;
  const most = Math.max(1, Math.floor(wanted.length / 3));
  let least = most + 1;
  for (const name of names) {
    const other = name.toLowerCase();
    const isBeginning = wanted.length > 2 && other.startsWith(wanted);
    const far = Math.min(distance(wanted, other), isBeginning ? most : least);
    if (far < least) {
      least = far;
      nearest = name;
    }
  }
  return nearest;
}

/** Letters to add, drop or replace (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const replaced = row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[other.length]!;
}

/**
 * Settings as they were given, read and checked one by one: by a file, the environment and flags. What is given in
 * several places is decided by rank. Defaults and contradictions come later (resolve.ts, check.ts).
 */
import { SettingError } from "../base/errors.ts";
import { nearestName } from "../base/settings.ts";
import type { ValueSource } from "./kinds.ts";
import type { Setting } from "./setting.ts";
import { envName, flagName, MANAGER_SETTINGS, POOL_SETTINGS } from "./settings.ts";

/** Later beats earlier. */
export const Rank = { Default: 0, SharedFile: 1, File: 2, Environment: 3, Flag: 4, Argument: 5 } as const;
export type Rank = (typeof Rank)[keyof typeof Rank];

/** A value that somebody gave. `undefined` means that it was turned off. */
export interface Given {
  readonly value: unknown;
  /** The value as it was written. */
  readonly written: unknown;
  /** Where it came from: `postern.config.ts`, `POSTERN_WORKERS`, `--workers`. */
  readonly origin: string;
  readonly rank: Rank;
}

/** Values by the name of the setting. */
export type Layer = ReadonlyMap<string, Given>;

/** What is wrong with a configuration: all of it, because one mistake at a time is tedious. */
export class Problems {
  readonly #messages: string[] = [];

  add(message: string): void {
    if (!this.#messages.includes(message)) this.#messages.push(message);
  }

  /** Runs `work`; a SettingError out of it is one problem more. */
  collect<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      this.add(error.message);
      return undefined;
    }
  }

  /** @throws {SettingError} `ERR_POSTERN_BAD_SETTING`, if there are any */
  throwIfAny(): void {
    const [first, ...more] = this.#messages;
    if (first === undefined) return;
    const message =
      more.length === 0
        ? first
        : `${more.length + 1} settings are wrong:\n${this.#messages.map((one) => `  ${one}`).join("\n")}`;
    throw new SettingError("ERR_POSTERN_BAD_SETTING", message);
  }
}

const ALL: Readonly<Record<string, Setting>> = { ...MANAGER_SETTINGS, ...POOL_SETTINGS };

/** Where an object of settings stands in a file. */
export interface FilePlace {
  /** The file, for messages. */
  readonly label: string;
  /** Its folder. */
  readonly folder: string;
  readonly isJson: boolean;
  /** The pool whose settings these are; undefined at the top. */
  readonly pool: string | undefined;
  readonly rank: Rank;
}

/** The settings of an object in a file. Without `pools`, which hold objects of their own. */
export function readFileLayer(
  settings: Readonly<Record<string, unknown>>,
  file: FilePlace,
  problems: Problems,
): Layer {
  const layer = new Map<string, Given>();
  const known: Readonly<Record<string, Setting>> = file.pool === undefined ? ALL : POOL_SETTINGS;
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || name === "pools" || name === "$schema") continue;
    const place = `${file.label}: ${file.pool === undefined ? "" : `pools.${file.pool}.`}${name}`;
    const setting = Object.hasOwn(known, name) ? known[name] : undefined;
    if (setting === undefined) {
      problems.add(`${place}: ${unknownName(name, known)}`);
      continue;
    }
    const source = { place, folder: file.folder, isText: false, isJson: file.isJson };
    put(layer, name, setting, value, source, { origin: file.label, rank: file.rank }, problems);
  }
  return layer;
}

function unknownName(name: string, known: Readonly<Record<string, Setting>>): string {
  if (Object.hasOwn(MANAGER_SETTINGS, name)) {
    return "this is a setting of the manager; write it outside of pools";
  }
  const same = Object.keys(known).find((one) => fpmNames(known[one]?.fpm).includes(name));
  const nearest = same ?? nearestName(name.replaceAll(/[-_.]/g, ""), Object.keys(known));
  if (nearest === undefined) return `there is no such setting; there are ${Object.keys(known).join(", ")}`;
  const allowed = known[nearest]!.kind.allowed;
  return same === undefined
    ? `there is no such setting; did you mean ${nearest} (${allowed})?`
    : `this is called ${nearest} here (${allowed})`;
}

/** `pm.max_children` also without its first word. */
function fpmNames(fpm: string | undefined): readonly string[] {
  return fpm === undefined ? [] : [fpm, fpm.replace(/^pm\./, ""), fpm.replace(/\[.*/, "")];
}

/** The settings in the environment. An empty variable is as good as none. */
export function readEnvLayer(env: Readonly<NodeJS.ProcessEnv>, cwd: string, problems: Problems): Layer {
  const layer = new Map<string, Given>();
  for (const [name, setting] of Object.entries(ALL)) {
    const place = envName(name);
    const value = env[place];
    if (setting.isFileOnly || setting.hasNoEnv || value === undefined || value === "") continue;
    const source = { place, folder: cwd, isText: true, isJson: false };
    put(layer, name, setting, value, source, { origin: place, rank: Rank.Environment }, problems);
  }
  return layer;
}

/** Variables that were probably meant as settings, and are none. */
export function strayVariables(env: Readonly<NodeJS.ProcessEnv>): string[] {
  const names = Object.entries(ALL).flatMap(([name, { isFileOnly, hasNoEnv }]) =>
    isFileOnly || hasNoEnv ? [] : [envName(name).slice(8)],
  );
  return Object.keys(env).flatMap((variable) => {
    if (!variable.startsWith("POSTERN_") || variable === "POSTERN_RUN_DIR") return [];
    const name = variable.slice(8);
    const nearest = names.includes(name) ? undefined : nearestName(name, names);
    return nearest === undefined ? [] : [`${variable} is no setting; did you mean POSTERN_${nearest}?`];
  });
}

/** The settings among the flags; flags of other names are the command's own. */
export function readFlagLayer(
  flags: Readonly<Record<string, unknown>>,
  cwd: string,
  problems: Problems,
): Layer {
  const layer = new Map<string, Given>();
  for (const [name, value] of Object.entries(flags)) {
    const setting = Object.hasOwn(ALL, name) ? ALL[name] : undefined;
    if (setting === undefined || setting.isFileOnly || value === undefined) continue;
    const isNo = setting.kind.placeholder === "" && value === false;
    const place = isNo ? flagName(name).replace("--", "--no-") : flagName(name);
    const source = { place, folder: cwd, isText: true, isJson: false };
    put(layer, name, setting, value, source, { origin: place, rank: Rank.Flag }, problems);
  }
  return layer;
}

function put(
  layer: Map<string, Given>,
  name: string,
  setting: Setting,
  value: unknown,
  source: ValueSource,
  from: Pick<Given, "origin" | "rank">,
  problems: Problems,
): void {
  const isOff = setting.canBeOff && (value === false || value === "");
  problems.collect(() => {
    const read = isOff ? undefined : setting.kind.read(value, source);
    layer.set(name, { ...from, written: value, value: read });
  });
}

/** One layer of several, the strongest value of each setting. Environment variables are added up. */
export function overlay(...layers: readonly Layer[]): Map<string, Given> {
  const all = new Map<string, Given>();
  for (const layer of layers) {
    for (const [name, given] of layer) {
      const below = all.get(name);
      all.set(name, name === "env" && below !== undefined ? bothVariables(below, given) : given);
    }
  }
  return all;
}

function bothVariables(below: Given, above: Given): Given {
  return {
    value: { ...Object(below.value), ...Object(above.value) },
    written: above.written,
    origin: below.origin === above.origin ? above.origin : `${below.origin}, ${above.origin}`,
    rank: above.rank,
  };
}

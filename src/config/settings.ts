/**
 * The table of all settings, and what follows from a setting's name: its flag and its environment variable. The
 * declarations are grouped as the reference prints them; `define.ts` has the same names as TypeScript types, and the
 * compiler compares the two.
 */
import type { ManagerInput, PoolInput } from "./define.ts";
import type { Section, Setting } from "./setting.ts";
import { MANAGER_TABLE } from "./table-manager.ts";
import { LISTENING_TABLE, PROGRAM_TABLE, REQUESTS_TABLE, URLS_TABLE } from "./table-serving.ts";
import { LIFETIME_TABLE, OUTPUT_TABLE, PROCESS_TABLE, PYTHON_TABLE, WORKERS_TABLE } from "./table-workers.ts";

export type Scope = "manager" | "pool";

export const MANAGER_SETTINGS: Readonly<Record<keyof ManagerInput, Setting>> = MANAGER_TABLE;

export const POOL_SETTINGS: Readonly<Record<keyof PoolInput, Setting>> = {
  ...PROGRAM_TABLE,
  ...LISTENING_TABLE,
  ...WORKERS_TABLE,
  ...LIFETIME_TABLE,
  ...REQUESTS_TABLE,
  ...URLS_TABLE,
  ...PROCESS_TABLE,
  ...PYTHON_TABLE,
  ...OUTPUT_TABLE,
};

/** The same in the order of the reference. */
export const SECTIONS: readonly Section[] = [
  { title: "The manager", settings: MANAGER_TABLE },
  { title: "What runs", settings: PROGRAM_TABLE, intro: "A pool has one of the two." },
  { title: "Listening", settings: LISTENING_TABLE },
  { title: "How many workers", settings: WORKERS_TABLE },
  { title: "How long a worker lives", settings: LIFETIME_TABLE },
  { title: "Requests", settings: REQUESTS_TABLE },
  { title: "URLs and errors", settings: URLS_TABLE },
  { title: "The process", settings: PROCESS_TABLE },
  { title: "Python", settings: PYTHON_TABLE, intro: "For applications in Python: [python.md](python.md)." },
  { title: "Output", settings: OUTPUT_TABLE },
];

/** The settings of the manager or of a pool, by name. */
export function settingsOf(scope: Scope): Readonly<Record<string, Setting>> {
  return scope === "manager" ? MANAGER_SETTINGS : POOL_SETTINGS;
}

/** `maxChildren` → `--max-children`. */
export function flagName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `maxChildren` → `POSTERN_MAX_CHILDREN`. */
export function envName(name: string): string {
  return `POSTERN_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** One option of the command line, in commander's words. */
export interface FlagDeclaration {
  /** The setting it sets, which is also commander's name for its value. */
  readonly setting: string;
  /** Such as `-b, --bind <address>`, `--clear-env` or `--no-clear-env`. */
  readonly flags: string;
  readonly description: string;
  /** May be given several times: collect the values in an array. */
  readonly isRepeatable: boolean;
}

/** The flags of all settings of a scope, in the order of the reference. */
export function flagsOf(scope: Scope): readonly FlagDeclaration[] {
  return Object.entries(settingsOf(scope)).flatMap(([setting, declaration]) => {
    if (declaration.isFileOnly) return [];
    const { kind, short } = declaration;
    const long = flagName(setting);
    const description = flagDescription(declaration);
    if (kind.placeholder === "") {
      const isOn = declaration.standard === true;
      const no = long.replace("--", "--no-");
      return [
        {
          setting,
          flags: long,
          description: isOn ? `The opposite of ${no}.` : description,
          isRepeatable: false,
        },
        {
          setting,
          flags: no,
          description: isOn ? `Not: ${description}` : `The opposite of ${long}.`,
          isRepeatable: false,
        },
      ];
    }
    const flags = `${short === undefined ? "" : `${short}, `}${long} <${kind.placeholder}>`;
    return [{ setting, flags, description, isRepeatable: kind.isList }];
  });
}

function flagDescription(setting: Setting): string {
  const words = defaultWords(setting).replaceAll("`", "");
  const text = setting.doc.replaceAll("`", "");
  return setting.kind.placeholder === "" ? text : `${text} (default: ${words})`;
}

/** The default in words: `1`, `"30s"`, or how it is worked out. */
export function defaultWords({ standard, computed }: Setting): string {
  if (computed !== undefined) return computed;
  return standard === undefined ? "none" : `\`${String(standard)}\``;
}

/** What a declaration of one setting consists of. The declarations are in settings.ts and the tables it joins. */
import type { Kind } from "./kinds.ts";

/** One setting, declared once: reading, flag, environment variable, help and reference are derived from this. */
export interface Setting {
  readonly kind: Kind;
  /** What it does, in a sentence or two. */
  readonly doc: string;
  /** The default as one would write it; absent when it is nothing, or worked out. */
  readonly standard?: unknown;
  /** The default in words, when it is worked out. */
  readonly computed?: string;
  /** The directive of php-fpm that means the same. */
  readonly fpm?: string;
  /** The short flag, such as `-b`. */
  readonly short?: string;
  /** Not a flag and not an environment variable: an argument of the command line, or for the file alone. */
  readonly isFileOnly?: true;
  /** Not an environment variable. */
  readonly hasNoEnv?: true;
  /** `false`, or empty text, turns it off. */
  readonly canBeOff?: true;
  /** Means nothing for a pool whose workers are a foreign program. */
  readonly isForApps?: true;
  /** One of those that also means something for an application in Python. */
  readonly isForPython?: true;
  /** Means nothing but for an application in Python. */
  readonly isPythonOnly?: true;
  /** The ways of `pm` it means something for; all when absent. */
  readonly pm?: "dynamic" | "ondemand";
}

/** A part of the table, with its heading in the reference. */
export interface Section {
  readonly title: string;
  readonly intro?: string;
  readonly settings: Readonly<Record<string, Setting>>;
}

/**
 * The kinds of value a setting can have: what is allowed, how it is read from a file, a flag or the environment, and
 * how it is written again. Names, defaults and meanings are in the tables; contradictions between settings are in
 * check.ts.
 */
import { type Address, parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { OFFLOAD_FOLDERS, parseOffloadFolder, printOffloadFolder } from "../base/offload-folder.ts";
import { show } from "../base/settings.ts";
import { absolute, absoluteAddress, isAllowedClient, isTrustedHop } from "./places.ts";
import {
  MOST_MS,
  printDuration,
  printOctal,
  printSize,
  readCount,
  readDuration,
  readOctal,
  readSize,
  readYesNo,
} from "./values.ts";

/** Where a value stands. */
export interface ValueSource {
  /** What to call it in an error: `postern.config.ts: pools.blog.bind`, `--bind` or `POSTERN_BIND`. */
  readonly place: string;
  /** Relative paths are relative to this folder. */
  readonly folder: string;
  /** A flag or the environment: everything is text, lists too. */
  readonly isText: boolean;
  /** JSON has no octal numbers. */
  readonly isJson: boolean;
}

/** One kind of value. */
export interface Kind {
  /** What stands behind a flag, such as `count` for `<count>`; "" for a flag that takes nothing. */
  readonly placeholder: string;
  /** What is allowed, as the end of "it must be …". */
  readonly allowed: string;
  /** The TypeScript type of the value in a configuration file. */
  readonly type: string;
  /** Whether the flag may be given several times. */
  readonly isList: boolean;
  /** The value as the manager wants it. @throws {SettingError} */
  read(value: unknown, source: ValueSource): unknown;
  /** That value as one would write it in a configuration file. */
  write(value: never): unknown;
}

type Reader = (value: unknown, source: ValueSource) => unknown;

/** A kind of one value, whose reader gives `undefined` for what is not allowed. */
function single(
  placeholder: string,
  type: string,
  allowed: string,
  read: Reader,
  write: (value: never) => unknown = same,
): Kind {
  return {
    placeholder,
    allowed,
    type,
    isList: false,
    read(value, source) {
      const result = read(value, source);
      if (result === undefined) throw refused(value, allowed, source);
      return result;
    },
    write,
  };
}

/** A kind of several values; text holds them with a separator between. */
function list(
  placeholder: string,
  allowed: string,
  separator: RegExp,
  read: Reader,
  write?: Kind["write"],
): Kind {
  return {
    placeholder,
    allowed,
    type: "string | readonly string[]",
    isList: true,
    read(value, source) {
      const split = (text: unknown): unknown[] =>
        typeof text === "string" ? text.split(separator).filter((part) => part !== "") : [text];
      const given: readonly unknown[] = Array.isArray(value)
        ? source.isText
          ? value.flatMap(split)
          : value
        : split(value);
      return given.map((one) => {
        const result = read(typeof one === "string" ? one.trim() : one, source);
        if (result === undefined) throw refused(one, allowed, source);
        return result;
      });
    },
    write: write ?? same,
  };
}

/** Any text. @param allowed what it must be, when not every text will do */
export function text(placeholder: string, allowed = "text", pattern: RegExp = /^[^\0\r\n]*$/): Kind {
  return single(placeholder, "string", allowed, (value) =>
    typeof value === "string" && pattern.test(value) ? value : undefined,
  );
}

/** A path, made absolute. */
export const path: Kind = single("path", "string", "a path", (value, { folder }) =>
  isPath(value) ? absolute(value, folder) : undefined,
);

/** A program: a path, made absolute, or a name that is looked up in PATH. */
export const program: Kind = single(
  "program",
  "string",
  "a path, or the name of a program",
  (value, { folder }) => {
    if (!isPath(value)) return undefined;
    return value.includes("/") ? absolute(value, folder) : value;
  },
);

/** A path, made absolute, or `-`: standard output. */
export const pathOrOutput: Kind = single(
  "path",
  "string",
  "a path, or - for standard output",
  (value, { folder }) => {
    if (!isPath(value)) return undefined;
    return /^(?:-|\/dev\/stdout|(?:\/dev|\/proc\/self)\/fd\/1)$/.test(value) ? "-" : absolute(value, folder);
  },
);

/** A path that is made absolute later, because it is relative to another setting. */
export const latePath: Kind = single("path", "string", "a path", (value) =>
  isPath(value) ? value : undefined,
);

export const paths: Kind = list("path", "a path, or a list of paths", /,/, (value, { folder }) =>
  isPath(value) ? absolute(value, folder) : undefined,
);

export function count(least: number, most: number): Kind {
  return single("count", "number", `a whole number from ${least} to ${most}`, (value) => {
    const number = readCount(value);
    return number !== undefined && number >= least && number <= most ? number : undefined;
  });
}

/** A number of workers, or as many as there are cores. */
export function countOrAuto(most: number): Kind {
  return single("count", 'number | "auto"', `a whole number from 1 to ${most}, or "auto"`, (value) => {
    const number = value === "auto" ? value : readCount(value);
    return typeof number === "number" && (number < 1 || number > most) ? undefined : number;
  });
}

/** @param least shortest time but off, in ms */
export function duration(off: string, least = 1): Kind {
  const allowed = `seconds, or a time such as "500ms", "30s", "5m" or "1h"; from "${printDuration(least)}" to "${printDuration(MOST_MS)}"${off}`;
  return single(
    "time",
    "number | string",
    allowed,
    (value) => {
      const ms = readDuration(value);
      if (ms === 0 && off !== "" && isZero(value)) return ms;
      return ms !== undefined && ms >= least && ms <= MOST_MS ? ms : undefined;
    },
    printDuration,
  );
}

/** @param least smallest size but off, in bytes */
export function size(least: number): Kind {
  const allowed = `bytes, or a size such as "256M" or "1G"; from "${printSize(least)}", or 0 for no limit`;
  return single(
    "size",
    "number | string",
    allowed,
    (value) => {
      const bytes = readSize(value);
      return bytes !== undefined && (bytes >= least || isZero(value)) ? bytes : undefined;
    },
    printSize,
  );
}

export const octal: Kind = single(
  "octal",
  "string | number",
  'octal permissions such as "0660"',
  (value, { isJson }) => (isJson && typeof value === "number" ? undefined : readOctal(value)),
  printOctal,
);

export const yesNo: Kind = single("", "boolean", "true or false", readYesNo);

export function choice(...words: readonly string[]): Kind {
  const type = words.map((word) => JSON.stringify(word)).join(" | ");
  return single(words.join("|"), type, words.join(", ").replace(/, ([^,]*)$/, " or $1"), (value) =>
    typeof value === "string" && words.includes(value) ? value : undefined,
  );
}

/** A user or group: name or number. */
export function account(placeholder: "user" | "group"): Kind {
  return single(placeholder, "string | number", `a ${placeholder}: a name or a number`, (value) => {
    const id = readCount(value);
    if (id !== undefined) return id <= 0xffff_fffe ? id : undefined;
    return typeof value === "string" && /^[^\s:,\0-\x1f]+$/.test(value) ? value : undefined;
  });
}

export const addresses: Kind = list(
  "address",
  "an address, or a list of addresses",
  /,/,
  (value, { place, folder }) =>
    typeof value === "string" ? absoluteAddress(parseAddress(value, place), folder) : undefined,
  (value: readonly Address[]) => value.map(printAddress),
);

/** An address as text, checked. */
export const address: Kind = single("address", "string", "an address such as :8080", (value, source) =>
  typeof value === "string"
    ? printAddress(absoluteAddress(parseAddress(value, source.place), source.folder))
    : undefined,
);

export const clients: Kind = list(
  "list",
  "an IP address, a range such as 10.0.0.0/8, or any",
  /,/,
  (value) => (typeof value === "string" && isAllowedClient(value) ? value : undefined),
);

export const hops: Kind = list(
  "list",
  "an IP address, a range such as 10.0.0.0/8, loopback, private or unix",
  /,/,
  (value) => (typeof value === "string" && isTrustedHop(value) ? value : undefined),
);

export const offloadFolders: Kind = list("folder", OFFLOAD_FOLDERS, /,/, (value, source) => {
  const parsed = typeof value === "string" ? parseOffloadFolder(value) : undefined;
  return parsed && printOffloadFolder({ ...parsed, folder: absolute(parsed.folder, source.folder) });
});

export const words: Kind = list("flag", "text, or a list of texts", /\s+/, (value) =>
  typeof value === "string" && value !== "" && !value.includes("\0") ? value : undefined,
);

/** A program and its arguments. A program with a slash is a path; another one is looked up in PATH. */
export const command: Kind = {
  ...single(
    "command",
    "readonly string[]",
    'a list: a program and its arguments, such as ["php-cgi", "-n"]',
    (value, { folder }) => {
      if (!Array.isArray(value) || value.length === 0) return undefined;
      if (!value.every((word) => typeof word === "string" && !word.includes("\0"))) return undefined;
      const [program, ...args] = value as readonly string[];
      if (program === undefined || program === "") return undefined;
      return [program.includes("/") ? absolute(program, folder) : program, ...args];
    },
  ),
  isList: true,
};

const MAP = 'an object of names and values, such as { NODE_ENV: "production" }';

/** Environment variables. */
export const variables: Kind = {
  placeholder: "NAME=value",
  allowed: MAP,
  type: "Readonly<Record<string, string | number | boolean>>",
  isList: true,
  read(value, source) {
    const given = source.isText ? pairs(value, source) : value;
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw refused(given, MAP, source);
    }
    const map: Record<string, string> = {};
    for (const [name, one] of Object.entries(given)) {
      if (one === undefined) continue;
      if (!["string", "number", "boolean"].includes(typeof one) || String(one).includes("\0")) {
        throw refused(one, "text, a number or true or false", {
          ...source,
          place: `${source.place}.${name}`,
        });
      }
      if (!/^[A-Za-z_]\w*$/.test(name)) {
        throw refused(name, "the name of an environment variable: letters, digits and _", source);
      }
      map[name] = String(one);
    }
    return map;
  },
  // Values are often secrets, and what is printed is pasted into reports.
  write: (value: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.keys(value).map((name) => [name, "…"])),
};

function pairs(value: unknown, source: ValueSource): Record<string, string> {
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  return Object.fromEntries(
    texts.map((one) => {
      const at = typeof one === "string" ? one.indexOf("=") : -1;
      if (typeof one !== "string" || at < 1) throw refused(one, "written as NAME=value", source);
      return [one.slice(0, at), one.slice(at + 1)];
    }),
  );
}

/** The pools themselves are read by load.ts. */
export const pools: Kind = single(
  "",
  "Readonly<Record<string, PoolInput>>",
  "an object of pools by name",
  same,
);

function refused(value: unknown, allowed: string, { place }: ValueSource): SettingError {
  return new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `${place}: ${show(value)} cannot be used, it must be ${allowed}`,
  );
}

/** Zero as such: `0.0001s` is no wish to turn something off. */
function isZero(value: unknown): boolean {
  return value === 0 || (typeof value === "string" && /^0+[a-z]*$/i.test(value.trim()));
}

function isPath(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !value.includes("\0");
}

function same(value: unknown): unknown {
  return value;
}

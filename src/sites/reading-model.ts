/** What an existing configuration says that somebody who looks for a failure wants to know. Values only. */
import type { Address } from "../base/address.ts";

/** Lines are of the text that was read, from 1; 0 for what holds without being said. */
export interface Reading {
  readonly backends: readonly SaidBackend[];
  readonly listens: readonly SaidListen[];
  /** As written: relative paths are the server's. What is no file (`stderr`, `syslog:…`) is not among them. */
  readonly errorLogs: readonly { readonly path: string; readonly line: number }[];
  /** Who its workers become, as written. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** The folder that it lives in. */
  readonly chroot: string | undefined;
}

/** What visitors ask for to reach a site; empty: anything. */
export interface SaidSite {
  /** Host names, without patterns. */
  readonly names: readonly string[];
  readonly ports: readonly number[];
  /** Host names with an asterisk, as regular expressions. */
  readonly patterns?: readonly string[];
  /** Those that are regular expressions: the others go before. */
  readonly expressions?: readonly string[];
  /** The ports at which it takes what no other site does, as far as that is known. */
  readonly otherwiseAt?: readonly number[];
}

/** Where requests go by FastCGI. */
export interface SaidBackend {
  /** Undefined: the web server starts `program` and hands it a socket. */
  readonly address: Address | undefined;
  /** As written, without its arguments. */
  readonly program: string | undefined;
  /** What the program gets beside what the server gives to all. */
  readonly environment: Readonly<Record<string, string>>;
  /** The variables of the server's own that the program gets; undefined: all that this server passes on. */
  readonly copied?: readonly string[] | undefined;
  readonly line: number;
  /** Seconds that the server waits for an answer. */
  readonly timeout: number | undefined;
  /** Bytes of a body that it lets through; undefined: no limit. */
  readonly bodyLimit: number | undefined;
  /** Where visitors find it, as far as the configuration says: a URL path. */
  readonly url: string | undefined;
  /** A regular expression of the URL paths that it is for, where the configuration has one in place of a path. */
  readonly pattern?: string | undefined;
  /** The first and the last line of the place that leads to it, as far as they are known. */
  readonly block?: readonly [from: number, to: number] | undefined;
  /** The site that it belongs to; undefined: the configuration does not say. */
  readonly site?: SaidSite | undefined;
}

export interface SaidListen {
  /** Empty: every address. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Host names, without patterns. */
  readonly names: readonly string[];
  readonly line: number;
}

/** `*.example.com`, `www.*`, as a regular expression. */
export function patternOf(name: string): string {
  return `^${name.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*")}$`;
}

/**
 * Of sites with their listens, in their order, the ports at which each takes what no other does: the first, or the one
 * that says so. Ports where some listen to one address only are not among them.
 */
export function otherwiseAt<T>(
  sites: readonly {
    readonly site: T;
    readonly listens: readonly {
      readonly host: string;
      readonly port: number;
      readonly isDefault?: boolean;
    }[];
  }[],
): Map<T, number[]> {
  const first = new Map<number, { site: T; isDefault: boolean }>();
  const unsure = new Set<number>();
  for (const { site, listens } of sites) {
    for (const { host, port, isDefault = false } of listens) {
      if (host !== "") unsure.add(port);
      if (!first.has(port) || (isDefault && first.get(port)?.isDefault === false)) {
        first.set(port, { site, isDefault });
      }
    }
  }
  const found = new Map<T, number[]>();
  for (const [port, { site }] of first) {
    if (!unsure.has(port)) found.set(site, [...(found.get(site) ?? []), port]);
  }
  return found;
}

/** The site of what listens there. */
export function siteOf(listens: readonly SaidListen[]): SaidSite {
  return {
    names: [...new Set(listens.flatMap(({ names }) => names))],
    ports: [...new Set(listens.map(({ port }) => port))],
  };
}

export const NOTHING_SAID: Reading = {
  backends: [],
  listens: [],
  errorLogs: [],
  user: undefined,
  group: undefined,
  chroot: undefined,
};

/** `host:port`, `[::1]:80`, `80`, `*:80`: undefined for what names no port. */
export function listenOf(text: string): { host: string; port: number } | undefined {
  const [, six, host = "", port] = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text.trim()) ?? [];
  if (port === undefined) return undefined;
  const said = six ?? host;
  return { host: /^(?:\*|0\.0\.0\.0|::|_default_)$/.test(said) ? "" : said, port: Number(port) };
}

/** A unix path, or `host:port`. Undefined for what holds variables, or cannot be read. */
export function addressOf(text: string): Address | undefined {
  const plain = text.replace(/^(?:unix[:@/](?=\/)|unix\/(?=\/))/, "");
  if (/[${}]/.test(plain)) return undefined;
  if (plain.startsWith("/")) return { kind: "unix", path: plain.replace(/(?<=.):$/, "") };
  const unix = /^unix:(?!@)([^:]+)/.exec(text)?.[1];
  if (unix !== undefined) return { kind: "unix", path: unix };
  const [, six, host = "", port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(plain) ?? [];
  return port === undefined ? undefined : { kind: "tcp", host: six ?? host, port: Number(port) };
}

const UNITS: Readonly<Record<string, number>> = {
  us: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
};

/** `60`, `1m30s`, `500ms`. @param unit of a number alone */
export function secondsOf(text: string | undefined, unit = "s"): number | undefined {
  const parts = [...(text ?? "").matchAll(/(\d+(?:\.\d+)?)\s*(us|ms|min|[smhd])?/g)];
  if (parts.length === 0) return undefined;
  return parts.reduce((sum, [, digits, own]) => sum + Number(digits) * (UNITS[own ?? unit] ?? 1), 0);
}

/** `1m`, `10MiB`, `1000`, as powers of 1024; of 1000 with `isDecimal` unless an i is in it. 0 is no limit. */
export function limitOf(text: string | undefined, isDecimal = false): number | undefined {
  const [, number, unit = "", binary] = /^(\d+(?:\.\d+)?)([kmgt]?)(i?)b?$/i.exec(text ?? "") ?? [];
  if (number === undefined) return undefined;
  const power = ["", "k", "m", "g", "t"].indexOf(unit.toLowerCase());
  const bytes = Math.floor(Number(number) * (isDecimal && !binary ? 1000 : 1024) ** power);
  return bytes === 0 || bytes >= Number.MAX_SAFE_INTEGER ? undefined : bytes;
}

/** A line for a shell: variables in front, `exec`, the program. */
export function commandOf(text: string): {
  program: string | undefined;
  environment: Record<string, string>;
} {
  const words = [...text.matchAll(/(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+/gs)].map(([word]) =>
    word.replace(
      /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/gs,
      (_, single, double, plain) => single ?? double ?? plain ?? "",
    ),
  );
  const environment: Record<string, string> = {};
  for (const word of words) {
    const [, name, value = ""] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? [];
    if (name !== undefined) environment[name] = value;
    else if (!/^(?:exec|(?:\/usr\/bin\/)?env)$/.test(word)) return { program: word, environment };
  }
  return { program: undefined, environment };
}

/**
 * How Apache reads a text. Between double quotes `\\` is a backslash and `\"` a quote; before that, everywhere, `${NAME}`
 * is replaced, and nothing escapes it. Some places read further: wildcards in `<Directory>`, `<Location>` and `<Files>`,
 * expressions in ProxyFCGISetEnvIf, regular expressions in mod_rewrite, which knows no escapes.
 */
import type { Address } from "../base/address.ts";
import { hostAndPort, quoted, refused } from "./parts.ts";

/** An argument of a directive. @param what its name, for the error @throws {SettingError} */
export function word(what: string, text: string): string {
  return `"${withoutVariables(what, text).replace(/[\\"]/g, "\\$&")}"`;
}

/** What stands in `<Directory>`, `<Location>` or `<Files>`, for which `*`, `?` and `[` are wildcards. @throws {SettingError} */
export function place(what: string, text: string): string {
  if (/[*?[\]\\]/.test(text)) {
    throw refused(
      `${what}: Apache takes * ? [ ] and the backslash in ${quoted(text)} for wildcards; use a name without them`,
    );
  }
  return word(what, text);
}

/** The value of a ProxyFCGISetEnvIf, where `%{…}` and `$1` mean something. @throws {SettingError} */
export function value(what: string, text: string): string {
  return word(what, text.replace(/[\\$%"']/g, "\\$&"));
}

/** Text in a regular expression. */
export function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** A regular expression of mod_rewrite, which ends at the first quote whatever is before it. @throws {SettingError} */
export function pattern(what: string, text: string): string {
  return `"${withoutVariables(what, text).replaceAll('"', "\\x22")}"`;
}

/** What a ProxyPass or BalancerMember names: `unix:/path|fcgi://name`. @throws {SettingError} */
export function target(address: Address, scheme: "fcgi" | "http", name: string, rest: string): string {
  if (address.kind === "tcp") return word("--bind", `${scheme}://${hostAndPort(address)}${rest}`);
  if (address.kind !== "unix") throw refused(`--bind: Apache cannot reach ${quoted(address.kind)}`);
  if (/[|?#%]/.test(address.path)) {
    throw refused(
      `--bind unix:${quoted(address.path)}: Apache's ProxyPass ends the path of a socket at | ? #, and decodes %; use a path without them`,
    );
  }
  return word("--bind", `unix:${address.path}|${scheme}://${name}${rest}`);
}

/** The same in a RewriteRule, with the path that was asked for behind it. @throws {SettingError} */
export function substitution(address: Address, name: string): string {
  if (address.kind === "unix" && /["\\]/.test(address.path)) {
    throw refused(
      `--ws-http unix:${quoted(address.path)}: mod_rewrite has no way to write a quote or a backslash in it; use another path`,
    );
  }
  const text = target(address, "http", name, "").slice(1, -1);
  return `"${text.replaceAll("$", "\\$")}%{REQUEST_URI}"`;
}

function withoutVariables(what: string, text: string): string {
  if (!text.includes("${")) return text;
  throw refused(
    `${what}: Apache replaces \${…} in ${quoted(text)} by a variable wherever it stands; use a name without it`,
  );
}

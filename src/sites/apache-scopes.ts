/** What the checks of an Apache configuration look at: one virtual host with what is outside of all, and its FastCGI. */
import { type Address, parseAddress } from "../base/address.ts";
import type { Directive, Section } from "./apache-parse.ts";
import type { Expected, Finding } from "./model.ts";

/** One virtual host; or the whole text, when it has none. */
export interface Scope {
  readonly directives: readonly Directive[];
  /** A ProxyPass or the like whose target speaks FastCGI, or could. */
  readonly passes: readonly Pass[];
  readonly expected: Expected;
}

/** What is passed on, and to where. */
export interface Pass {
  readonly directive: Directive;
  /** The URL path, `!` as target included; undefined where it has none. */
  readonly path: string | undefined;
  readonly scheme: "fcgi" | "http" | "none" | "other";
  /** Undefined for a balancer, and what cannot be read. */
  readonly address: Address | undefined;
  /** The path of the target's URL. */
  readonly rest: string;
  readonly parameters: readonly string[];
}

export function scopesOf(directives: readonly Directive[], expected: Expected): Scope[] {
  const hosts = new Set(
    directives.flatMap(({ within }) => within.filter(({ name }) => name === "virtualhost")),
  );
  const outside = directives.filter(({ within }) => !within.some(({ name }) => name === "virtualhost"));
  const groups =
    hosts.size === 0
      ? [outside]
      : [...hosts].map((host) =>
          directives.filter((one) => outside.includes(one) || one.within.includes(host)),
        );
  return groups.map((group) => ({ directives: group, passes: group.flatMap(passOf), expected }));
}

/** Directives of a name, in lower case. */
export function named(scope: Pick<Scope, "directives">, ...names: readonly string[]): Directive[] {
  return scope.directives.filter(({ name }) => names.includes(name));
}

/** The innermost section of one of these names. */
export function sectionOf(directive: Directive, ...names: readonly string[]): Section | undefined {
  return directive.within.findLast(({ name }) => names.includes(name));
}

/** A program that Apache starts: a handler for it, or a directive of the module. */
export function spawning(scope: Scope, module: "fcgid" | "fastcgi"): Directive[] {
  const handler = `${module}-script`;
  return scope.directives.filter(
    ({ name, args }) =>
      ((name === "sethandler" || name === "addhandler") && args[0]?.toLowerCase() === handler) ||
      (module === "fcgid" ? name === "fcgidwrapper" : /^fastcgi(?:external)?server$/.test(name)),
  );
}

/** Whether anything in it speaks FastCGI. */
export function hasFastCgi(scope: Scope): boolean {
  return (
    scope.passes.some(({ scheme }) => scheme === "fcgi") ||
    spawning(scope, "fcgid").length > 0 ||
    spawning(scope, "fastcgi").length > 0
  );
}

function passOf(directive: Directive): Pass[] {
  const { name, args } = directive;
  switch (name) {
    case "proxypass":
    case "proxypassmatch": {
      const location = sectionOf(directive, "location", "locationmatch")?.args[0];
      const [path, url = "", ...parameters] = location === undefined ? args : [location, ...args];
      return [{ directive, path, ...targetOf(url), parameters }];
    }
    case "balancermember":
      return [{ directive, path: undefined, ...targetOf(args[0] ?? ""), parameters: args.slice(1) }];
    case "sethandler":
      if (!args[0]?.startsWith("proxy:")) return [];
      return [{ directive, path: undefined, ...targetOf(args[0].slice("proxy:".length)), parameters: [] }];
    case "rewriterule":
      if (!/(?:\[|,)P(?:\]|,)/.test(args[2] ?? "")) return [];
      return [{ directive, path: undefined, ...targetOf(args[1] ?? ""), parameters: [] }];
    default:
      return [];
  }
}

function targetOf(url: string): Pick<Pass, "scheme" | "address" | "rest"> {
  if (url === "!") return { scheme: "none", address: undefined, rest: "" };
  const [, path, scheme = "", authority = "", rest = ""] =
    /^(?:unix:([^|]*)\|)?(\w+):\/\/([^/]*)(.*)$/s.exec(url) ?? [];
  const address =
    path !== undefined
      ? ({ kind: "unix", path } as const)
      : scheme === "balancer"
        ? undefined
        : tcpOf(authority);
  if (scheme === "fcgi" || scheme === "http") return { scheme, address, rest };
  // What a balancer's members speak is said where they are.
  return { scheme: "other", address, rest };
}

/** `127.0.0.1:9000`; 8000 is what Apache takes when there is no port. */
export function tcpOf(authority: string): Address | undefined {
  try {
    return parseAddress(/:\d+$/.test(authority) ? authority : `${authority}:8000`, "--bind");
  } catch {
    return undefined;
  }
}

export function finding(
  rule: string,
  severity: Finding["severity"],
  line: number,
  what: string,
  remedy: string,
): Finding {
  return { rule, severity, line, what, remedy };
}

/** Whether some directive hands Authorization on, by whatever name. */
export function passesAuthorization(directives: readonly Directive[]): boolean {
  return directives.some(({ name, args }) => {
    const text = args.join(" ").toLowerCase();
    switch (name) {
      case "cgipassauth":
        return text === "on";
      case "fcgidpassheader":
        return text === "authorization";
      case "fastcgiserver":
      case "fastcgiexternalserver":
      case "fastcgiconfig":
        return text.includes("-pass-header authorization");
      case "setenvif":
      case "setenvifnocase":
        return args[0]?.toLowerCase() === "authorization";
      case "rewriterule":
        return /\be=(?:x-)?http_authorization:/.test(text);
      default:
        return false;
    }
  });
}

/** What follows an option of FastCgiServer and its kin. */
export function optionOf(args: readonly string[], option: string): string | undefined {
  const at = args.indexOf(option);
  return at < 0 ? undefined : args[at + 1];
}

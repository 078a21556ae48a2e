/** What a configuration of Apache says of its FastCGI, by every module; judged in apache-check.ts. */
import type { Address } from "../base/address.ts";
import { type Directive, parseApache, type Section } from "./apache-parse.ts";
import {
  named,
  optionOf,
  type Pass,
  type Scope,
  scopesOf,
  sectionOf,
  spawning,
  tcpOf,
} from "./apache-scopes.ts";
import {
  limitOf,
  listenOf,
  otherwiseAt,
  patternOf,
  type Reading,
  type SaidBackend,
  type SaidListen,
  type SaidSite,
  secondsOf,
} from "./reading-model.ts";

/** What the modules do where nothing is said. */
const PROXY_SECONDS = 60;
const FCGID_SECONDS = 40;
const FCGID_BODY_BYTES = 131_072;
const FASTCGI_SECONDS = 30;

const NOTHING_EXPECTED = {
  addresses: undefined,
  mount: undefined,
  maxBodyBytes: undefined,
  sendFile: undefined,
} as const;

export function readApache(text: string): Reading {
  const directives = parseApache(text);
  const scopes = scopesOf(directives, NOTHING_EXPECTED);
  const all = scopes.flatMap((scope) => [
    ...scope.passes.flatMap((pass) => proxied(pass, scope)),
    ...started(scope),
    ...byFastcgi(scope),
  ]);
  const logs = directives.filter(({ name }) => name === "errorlog");
  // What is outside of all virtual hosts is met with each of them.
  const each = new Map(all.map((one) => [`${one.line} ${one.program ?? ""} ${one.url ?? ""}`, one]));
  const siteOf = sitesOf(directives);
  const sites = new Map(directives.map((one) => [one.line, siteOf(one)]));
  return {
    backends: [...each.values()].map((one) => ({ ...one, site: sites.get(one.line) })),
    listens: listensOf(directives),
    errorLogs: logs.flatMap(({ args, line }) => {
      const [path = ""] = args;
      return path === "" || /^(?:\||syslog|journald|\/dev\/)/.test(path) ? [] : [{ path, line }];
    }),
    user: last(directives, "user"),
    group: last(directives, "group"),
    chroot: last(directives, "chrootdir"),
  };
}

/** Which virtual host a directive is in; undefined outside of all. */
export function sitesOf(directives: readonly Directive[]): (directive: Directive) => SaidSite | undefined {
  const inside = new Map<Section, Directive[]>();
  for (const one of directives) {
    const host = sectionOf(one, "virtualhost");
    if (host === undefined) continue;
    const others = inside.get(host);
    if (others === undefined) inside.set(host, [one]);
    else others.push(one);
  }
  const sites = new Map<Section | undefined, SaidSite>();
  const listens = (host: Section): { host: string; port: number }[] =>
    host.args.flatMap((arg) => listenOf(arg) ?? []);
  const otherwise = otherwiseAt([...inside.keys()].map((site) => ({ site, listens: listens(site) })));
  for (const [host, own] of inside) {
    const aliases = own.filter(({ name }) => name === "serveralias").flatMap(({ args }) => args);
    sites.set(host, {
      names: namesOf(own),
      ports: listens(host).map(({ port }) => port),
      patterns: aliases.filter((one) => /[*?]/.test(one)).map(patternOf),
      otherwiseAt: otherwise.get(host) ?? [],
    });
  }
  return (directive) => sites.get(sectionOf(directive, "virtualhost"));
}

/** Host names, without patterns. */
function namesOf(directives: readonly Directive[]): string[] {
  return directives
    .filter(({ name }) => name === "servername" || name === "serveralias")
    .flatMap(({ args }) => args)
    .map((one) => one.replace(/:\d+$/, ""))
    .filter((one) => /^[\w.-]+$/.test(one));
}

function last(directives: readonly Directive[], wanted: string): string | undefined {
  return directives.findLast(({ name }) => name === wanted)?.args[0];
}

function proxied({ directive, path, scheme, address, parameters }: Pass, scope: Scope): SaidBackend[] {
  if (scheme !== "fcgi" || address === undefined) return [];
  const own = parameters.map((parameter) => /^timeout=(\d+)$/i.exec(parameter)?.[1]).find(Boolean);
  const general = named(scope, "proxytimeout").at(-1) ?? named(scope, "timeout").at(-1);
  return [
    {
      address,
      program: undefined,
      environment: {},
      line: directive.line,
      timeout: secondsOf(own ?? general?.args[0]) ?? PROXY_SECONDS,
      bodyLimit: undefined,
      url: path?.startsWith("/") === true ? path : sectionOf(directive, "location")?.args[0],
      pattern: expressionOf(directive),
    },
  ];
}

/** `\.php$` of a FilesMatch. */
function expressionOf(directive: Directive): string | undefined {
  const pattern = sectionOf(directive, "filesmatch")?.args[0];
  // One with a start is of the file's name alone.
  return pattern === undefined || pattern.includes("^") ? undefined : pattern;
}

/** The programs of mod_fcgid: those of wrappers, and those that a ScriptAlias or Alias names. */
function started(scope: Scope): SaidBackend[] {
  if (spawning(scope, "fcgid").length === 0) return [];
  const shared = byFcgid(scope);
  const wrappers = named(scope, "fcgidwrapper").map(({ args, line, within }) => ({
    ...shared,
    program: args[0]?.split(" ")[0],
    line,
    url: within.findLast(({ name }) => name === "location")?.args[0],
  }));
  const aliases = named(scope, "scriptalias", "alias").flatMap(({ args, line }) => {
    const [url = "", path = ""] = args;
    const program = path.replace(/\/$/, "");
    return /\.[a-z]?cgi$/i.test(program) ? [{ ...shared, program, line, url }] : [];
  });
  return [...wrappers, ...aliases];
}

/** What is the same for all programs that mod_fcgid starts. */
export function byFcgid(
  scope: Pick<Scope, "directives">,
): Pick<SaidBackend, "address" | "environment" | "timeout" | "bodyLimit"> {
  const limit = named(scope, "fcgidmaxrequestlen", "maxrequestlen").at(-1);
  return {
    address: undefined,
    environment: variables(named(scope, "fcgidinitialenv", "defaultinitenv")),
    timeout: secondsOf(named(scope, "fcgidiotimeout", "ipccommtimeout").at(-1)?.args[0]) ?? FCGID_SECONDS,
    bodyLimit: limit === undefined ? FCGID_BODY_BYTES : limitOf(limit.args[0]),
  };
}

function byFastcgi(scope: Scope): SaidBackend[] {
  const shared = { bodyLimit: undefined, url: undefined };
  return named(scope, "fastcgiserver", "fastcgiexternalserver").flatMap(
    ({ name, args, line }): SaidBackend[] => {
      const timeout = secondsOf(optionOf(args, "-idle-timeout")) ?? FASTCGI_SECONDS;
      const pairs = args.flatMap((word, at) => (args[at - 1] === "-initial-env" ? [word] : []));
      const environment = Object.fromEntries(pairs.map(splitPair));
      const common = { ...shared, line, timeout, environment };
      if (name === "fastcgiserver") return [{ ...common, address: undefined, program: args[0] }];
      const address = externalAddress(args);
      return address === undefined ? [] : [{ ...common, address, program: undefined }];
    },
  );
}

function externalAddress(args: readonly string[]): Address | undefined {
  const socket = optionOf(args, "-socket");
  if (socket?.startsWith("/")) return { kind: "unix", path: socket };
  const host = optionOf(args, "-host");
  return host === undefined ? undefined : tcpOf(host);
}

function variables(directives: readonly Directive[]): Record<string, string> {
  return Object.fromEntries(directives.map(({ args }) => [args[0] ?? "", args[1] ?? ""]));
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
}

function listensOf(directives: readonly Directive[]): SaidListen[] {
  return directives
    .filter(({ name }) => name === "listen")
    .flatMap(({ args, line }) => {
      const listen = listenOf(args[0] ?? "");
      if (listen === undefined) return [];
      const isOfHost = ({ within }: Directive): boolean =>
        within.every(
          (section) =>
            section.name !== "virtualhost" || section.args.some((arg) => arg.endsWith(`:${listen.port}`)),
        );
      const own = directives.filter(isOfHost);
      const inHosts = own.filter((one) => sectionOf(one, "virtualhost") !== undefined);
      // The name of the whole server is that of no virtual host: an unknown one is the first's.
      const names = namesOf(inHosts.length > 0 ? inHosts : own);
      const isTls =
        args[1]?.toLowerCase() === "https" ||
        own.some(
          (one) => one.name === "sslengine" && one.args[0]?.toLowerCase() === "on" && one.within.length > 0,
        );
      return [{ ...listen, isTls, names, line }];
    });
}

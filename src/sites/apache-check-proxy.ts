/** What configurations of mod_proxy_fcgi get wrong. */
import { type Address, printAddress } from "../base/address.ts";
import type { Directive } from "./apache-parse.ts";
import { finding, named, type Pass, type Scope, sectionOf } from "./apache-scopes.ts";
import type { Finding } from "./model.ts";

export function checkProxy(scope: Scope): Finding[] {
  const passes = scope.passes.filter(({ scheme }) => scheme === "fcgi");
  if (passes.length === 0) return [];
  return [
    ...passes.flatMap((pass) => [
      ...elsewhere(pass.address, pass.directive, scope.expected.addresses),
      ...slashes(pass),
      ...heldBack(pass),
      ...handlers(pass, scope),
    ]),
    ...byHttp(scope),
    ...shadowed(scope),
    ...mounts(scope),
    ...backendType(scope),
  ];
}

/** The configuration names an address where the application is not. */
export function elsewhere(
  address: Address | undefined,
  directive: Directive,
  expected: readonly Address[] | undefined,
): Finding[] {
  if (address === undefined || expected === undefined || expected.length === 0) return [];
  const here = comparable(address);
  if (expected.some((one) => comparable(one) === here)) return [];
  const near = expected.find((one) => isNear(one, address)) ?? expected[0];
  return [
    finding(
      "address-differs",
      "error",
      directive.line,
      `requests go to ${here}, but the application listens at ${expected.map(comparable).join(", ")}: 503 for each`,
      near?.kind === "unix" && address.kind === "unix" && isNear(near, address)
        ? `the file has the right name in another folder: write ${near.path}`
        : `write ${near === undefined ? "the application's address" : comparable(near)}`,
    ),
  ];
}

function comparable(address: Address): string {
  if (address.kind !== "tcp") return printAddress(address);
  return printAddress({
    ...address,
    host: /^(?:|localhost)$/.test(address.host) ? "127.0.0.1" : address.host,
  });
}

function isNear(one: Address, other: Address): boolean {
  return (
    one.kind === "unix" &&
    other.kind === "unix" &&
    one.path.split("/").at(-1) === other.path.split("/").at(-1)
  );
}

/** `/x` of `ProxyPass "/" "fcgi://host:9000"` becomes part of the port. */
function slashes({ directive, path, rest }: Pass): Finding[] {
  if (path === undefined || directive.name === "proxypassmatch") return [];
  if (path.endsWith("/") && !rest.endsWith("/")) {
    return [
      finding(
        "trailing-slash-missing",
        "error",
        directive.line,
        `ProxyPass puts what follows ${path} right behind a target without a slash at its end: no request arrives`,
        "a slash at the end of the target, such as fcgi://127.0.0.1:9000/",
      ),
    ];
  }
  const mount = path.replace(/\/+$/, "");
  if (mount === "" || rest.replace(/\/+$/, "") !== mount) return [];
  return [
    finding(
      "mount-doubled",
      "warning",
      directive.line,
      `the target repeats ${mount}, which only belongs into SCRIPT_NAME: SCRIPT_FILENAME and PATH_TRANSLATED have it twice`,
      "a target that ends with the slash behind the host",
    ),
  ];
}

function heldBack({ directive, parameters }: Pass): Finding[] {
  if (directive.name === "sethandler" || directive.name === "rewriterule") return [];
  if (parameters.some((parameter) => /^flushpackets=(?:on|auto)$/i.test(parameter))) return [];
  return [
    finding(
      "pieces-held-back",
      "warning",
      directive.line,
      "small pieces of an answer, such as events of an event stream, are held back until there are more",
      "flushpackets=on, behind the target",
    ),
  ];
}

/** SetHandler "proxy:…" looks for files, and ends SCRIPT_NAME at the first name that is none. */
function handlers({ directive }: Pass, scope: Scope): Finding[] {
  if (directive.name !== "sethandler" || setEnv(scope, "SCRIPT_NAME").length > 0) return [];
  return [
    finding(
      "path-cut-by-handler",
      "error",
      directive.line,
      "SetHandler cuts the path at the first name that is no file: SCRIPT_NAME and PATH_INFO come out wrong",
      "ProxyPass in its place; or tell the application where it is mounted: postern serve … --base /path",
    ),
  ];
}

function byHttp(scope: Scope): Finding[] {
  return scope.passes.flatMap(({ scheme, address, directive }) =>
    scheme === "http" &&
    address !== undefined &&
    scope.expected.addresses?.some((one) => comparable(one) === comparable(address))
      ? [
          finding(
            "http-to-fastcgi",
            "error",
            directive.line,
            "requests are passed on by HTTP to the address where the application speaks FastCGI: every one fails",
            "write fcgi:// in place of http://",
          ),
        ]
      : [],
  );
}

/** The first ProxyPass that fits is taken, exceptions too. Those in a Location come after. */
function shadowed(scope: Scope): Finding[] {
  const plain = scope.passes.filter(
    ({ directive }) =>
      directive.name === "proxypass" && sectionOf(directive, "location", "locationmatch") === undefined,
  );
  return plain.flatMap((pass, at) => {
    const earlier = plain.slice(0, at).find((one) => covers(one.path, pass.path));
    if (earlier === undefined || earlier.path === pass.path) return [];
    return [
      finding(
        "pass-too-late",
        "error",
        pass.directive.line,
        `ProxyPass ${pass.path ?? ""} is never looked at: that of line ${earlier.directive.line} fits first`,
        `write it above line ${earlier.directive.line}`,
      ),
    ];
  });
}

function covers(path: string | undefined, other: string | undefined): boolean {
  if (path === undefined || other === undefined) return false;
  return `${other}/`.startsWith(path.endsWith("/") ? path : `${path}/`);
}

/** What a ProxyFCGISetEnvIf sets. */
function setEnv(scope: Scope, variable: string): Directive[] {
  return named(scope, "proxyfcgisetenvif").filter(({ args }) => args[1] === variable);
}

function mounts(scope: Scope): Finding[] {
  const told = setEnv(scope, "SCRIPT_NAME");
  const passes = scope.passes.filter(
    ({ scheme, path, directive }) =>
      path !== undefined && directive.name === "proxypass" && (scheme === "fcgi" || scheme === "other"),
  );
  const found: Finding[] = [];
  for (const { path = "", directive } of passes) {
    const mount = path.replace(/\/+$/, "");
    const own = told.filter((one) => locationOf(one) === undefined || locationOf(one) === mount);
    if (own.length > 0 || mount === "") continue;
    found.push(
      finding(
        "mount-not-told",
        "warning",
        directive.line,
        `nothing says that ${mount} is the mount: SCRIPT_NAME is the whole path`,
        `ProxyFCGISetEnvIf "true" SCRIPT_NAME "${mount}", and one for PATH_INFO; or postern serve … --base ${mount}`,
      ),
    );
  }
  for (const one of told) {
    const name = (one.args[2] ?? "").replace(/\\(.)/g, "$1");
    const place = locationOf(one) ?? scope.expected.mount;
    if (place === undefined || place === name || /[$%]/.test(name)) continue;
    found.push(
      finding(
        "mount-differs",
        "error",
        one.line,
        `SCRIPT_NAME is set to "${name}" at ${place === "" ? "the root" : place}: links of the application lead elsewhere`,
        `ProxyFCGISetEnvIf "true" SCRIPT_NAME "${place}"`,
      ),
    );
  }
  const { mount } = scope.expected;
  const first = passes[0];
  if (mount === undefined || first === undefined || found.length > 0) return found;
  if (passes.some(({ path = "" }) => path.replace(/\/+$/, "") === mount)) return found;
  return [
    finding(
      "mount-differs",
      "error",
      first.directive.line,
      `the application is at ${first.path ?? ""} here, and not at ${mount === "" ? "the root" : mount}`,
      `ProxyPass "${mount === "" ? "/" : mount}" …`,
    ),
  ];
}

/** The path of the Location around it, without a slash at the end. */
function locationOf(directive: Directive): string | undefined {
  const args = sectionOf(directive, "location")?.args;
  return args?.length === 1 ? args[0]?.replace(/\/+$/, "") : undefined;
}

function backendType(scope: Scope): Finding[] {
  const last = named(scope, "proxyfcgibackendtype").at(-1);
  if (last?.args[0]?.toUpperCase() === "GENERIC") return [];
  return [
    finding(
      "backend-type-fpm",
      "warning",
      last?.line ?? 0,
      'for php-fpm, and by default, SCRIPT_FILENAME begins with "proxy:fcgi://"',
      "ProxyFCGIBackendType GENERIC",
    ),
  ];
}

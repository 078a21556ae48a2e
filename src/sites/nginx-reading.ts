/** What a configuration of nginx says of its FastCGI; judged in nginx-check.ts. */
import { type Directive, parseNginx } from "./nginx-parse.ts";
import {
  around,
  entriesOf,
  inForce,
  locationName,
  type Pass,
  type Place,
  passesOf,
  placesOf,
} from "./nginx-places.ts";
import {
  addressOf,
  limitOf,
  listenOf,
  otherwiseAt,
  patternOf,
  type Reading,
  type SaidBackend,
  type SaidListen,
  secondsOf,
  siteOf,
} from "./reading-model.ts";

/** nginx's own, where nothing is said. */
const DEFAULT_SECONDS = 60;
const DEFAULT_BODY_BYTES = 1024 ** 2;

export function readNginx(text: string): Reading {
  const places = placesOf(parseNginx(text));
  const [top] = places;
  const servers = places.filter(
    ({ directive }) => directive.name === "server" && directive.args.length === 0,
  );
  const otherwise = otherwiseAt(
    servers.map((one) => ({
      site: one,
      listens: listensOf(one).map((listen) => ({ ...listen, isDefault: isDefault(one, listen) })),
    })),
  );
  const user = top?.block.find(({ name }) => name === "user")?.args ?? [];
  return {
    backends: passesOf(places).flatMap((pass) => backendsOf(pass, places, otherwise)),
    listens: servers.flatMap(listensOf),
    errorLogs: places.flatMap(({ block }) => block.filter(({ name }) => name === "error_log").flatMap(logOf)),
    user: user[0],
    group: user[1],
    chroot: undefined,
  };
}

function backendsOf(
  pass: Pass,
  places: readonly Place[],
  otherwise: ReadonlyMap<Place, number[]>,
): SaidBackend[] {
  const { place, line, target, upstream } = pass;
  const limit = inForce(place, "client_max_body_size");
  const entry = entriesOf(places, pass)[0];
  const name = entry === undefined ? undefined : locationName(entry);
  const server = around(place, "server");
  const names = server?.block.filter((one) => one.name === "server_name").flatMap(({ args }) => args) ?? [];
  const isPattern = name?.modifier === "~" || name?.modifier === "~*";
  const shared = {
    program: undefined,
    environment: {},
    timeout: secondsOf(inForce(place, "fastcgi_read_timeout")?.args[0]) ?? DEFAULT_SECONDS,
    bodyLimit: limit === undefined ? DEFAULT_BODY_BYTES : limitOf(limit.args[0]),
    url: isPattern ? undefined : name?.text.startsWith("/") === true ? name.text : undefined,
    pattern: isPattern ? name.text : undefined,
    block: [place.directive.line, lastLine(place.directive)] as const,
    site:
      server === undefined
        ? undefined
        : {
            ...siteOf(listensOf(server)),
            patterns: patternsOf(names),
            expressions: names.filter((one) => one.startsWith("~")).map((one) => one.slice(1)),
            otherwiseAt: otherwise.get(server) ?? [],
          },
  };
  const written =
    upstream === undefined
      ? [{ text: target, line }]
      : upstream.block
          .filter((one) => one.name === "server")
          .map((one) => ({ text: one.args[0] ?? "", line: one.line }));
  return written.flatMap(({ text, line: at }) => {
    // A server of an upstream may do without a port.
    const address = addressOf(text) ?? (/^[\w.-]+$/.test(text) ? addressOf(`${text}:80`) : undefined);
    return address === undefined ? [] : [{ ...shared, address, line: at }];
  });
}

function isDefault({ block }: Place, { line }: SaidListen): boolean {
  const own = block.find((one) => one.name === "listen" && one.line === line);
  return (own?.args ?? []).some((word) => /^default(?:_server)?$/.test(word));
}

/** `*.example.com`, `.example.com`. */
function patternsOf(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    if (name.startsWith(".")) return [patternOf(name.slice(1)), patternOf(`*${name}`)];
    return !name.startsWith("~") && name.includes("*") ? [patternOf(name)] : [];
  });
}

/** Of all that is in it. */
function lastLine({ line, block = [] }: Directive): number {
  return block.reduce((last, one) => Math.max(last, lastLine(one)), line);
}

function listensOf(place: Place): SaidListen[] {
  if (around(place, "http") === undefined && around(place, "stream") !== undefined) return [];
  const names = place.block
    .filter(({ name }) => name === "server_name")
    .flatMap(({ args }) => args)
    .filter((name) => /^[\w.-]+$/.test(name) && name !== "_");
  const said = place.block.filter(({ name }) => name === "listen");
  if (said.length === 0) {
    return [{ host: "", port: 80, isTls: false, names, line: place.directive.line }];
  }
  return said.flatMap(({ args, line }) => {
    const [text = "", ...options] = args;
    if (text.startsWith("unix:")) return [];
    const listen = listenOf(text) ?? listenOf(`${text}:80`);
    return listen === undefined ? [] : [{ ...listen, isTls: options.includes("ssl"), names, line }];
  });
}

function logOf({ args, line }: Directive): { path: string; line: number }[] {
  const [path = ""] = args;
  return path === "" || /^(?:stderr|syslog:|memory:|\/dev\/)/.test(path) ? [] : [{ path, line }];
}

/**
 * Where things stand in a configuration of nginx and what is in force there: blocks with those around them, the places
 * that pass requests on over FastCGI, and the parameters they send.
 */
import type { Directive } from "./nginx-parse.ts";

/** A block and those around it. */
export interface Place {
  readonly directive: Directive;
  readonly block: readonly Directive[];
  readonly parent: Place | undefined;
}

/** A `fastcgi_pass`. */
export interface Pass {
  readonly place: Place;
  readonly line: number;
  /** As written. */
  readonly target: string;
  /** The addresses behind it: those of the upstream, or the target. */
  readonly addresses: readonly string[];
  readonly upstream: Place | undefined;
}

export interface Parameter {
  readonly name: string;
  readonly value: string;
  readonly line: number;
  /** Of one of nginx's own files, which are known without being read. */
  readonly isIncluded: boolean;
}

export interface Parameters {
  /** In their order; of two with one name the last counts. */
  readonly all: readonly Parameter[];
  /** Whether nothing else can be among them. */
  readonly isKnown: boolean;
}

/** Every block of a configuration, the outer ones first. */
export function placesOf(directives: readonly Directive[]): Place[] {
  const top: Place = {
    directive: { name: "", args: [], line: 0, block: directives },
    block: directives,
    parent: undefined,
  };
  return [top, ...below(top)];
}

function below(parent: Place): Place[] {
  return parent.block.flatMap((directive) => {
    if (directive.block === undefined) return [];
    const place = { directive, block: directive.block, parent };
    return [place, ...below(place)];
  });
}

export function passesOf(places: readonly Place[]): Pass[] {
  return places.flatMap((place) =>
    place.block
      .filter(({ name }) => name === "fastcgi_pass")
      .map(({ args, line }) => {
        const target = args[0] ?? "";
        const upstream = upstreamOf(places, target);
        return { place, line, target, addresses: upstream ? serversOf(upstream) : [target], upstream };
      }),
  );
}

export function upstreamOf(places: readonly Place[], name: string): Place | undefined {
  return places.find(
    ({ directive }) =>
      directive.name === "upstream" && directive.args[0]?.toLowerCase() === name.toLowerCase(),
  );
}

export function serversOf(upstream: Place): string[] {
  return upstream.block.filter(({ name }) => name === "server").map(({ args }) => args[0] ?? "");
}

/** The directive of this name that is in force: the nearest one going outwards. */
export function inForce(place: Place | undefined, name: string): Directive | undefined {
  for (let at = place; at !== undefined; at = at.parent) {
    const found = at.block.findLast((one) => one.name === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The nearest block of this kind around, or the place itself. */
export function around(place: Place, name: string): Place | undefined {
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    if (at.directive.name === name) return at;
  }
  return undefined;
}

/** What a `location` is for. */
export interface LocationName {
  /** Empty for a prefix. */
  readonly modifier: "" | "=" | "~" | "~*" | "^~" | "@";
  readonly text: string;
}

export function locationName({ directive }: Place): LocationName | undefined {
  if (directive.name !== "location") return undefined;
  const [, modifier = "", text = ""] = /^(=|~\*|~|\^~|@)? ?(.*)$/s.exec(directive.args.join(" ")) ?? [];
  return { modifier: modifier as LocationName["modifier"], text };
}

/** The locations through which requests come to this place: itself, or those that name it. */
export function entriesOf(places: readonly Place[], { place }: Pass): Place[] {
  const location = around(place, "location");
  if (location === undefined) return [];
  const name = locationName(location);
  if (name?.modifier !== "@") return [location];
  const server = around(location, "server");
  return places.filter(
    (one) =>
      one.directive.name === "location" &&
      around(one, "server") === server &&
      one.block.some((directive) => leadsTo(directive, `@${name.text}`)),
  );
}

function leadsTo({ name, args }: Directive, target: string): boolean {
  return (name === "try_files" || name === "error_page") && args.at(-1) === target;
}

/** What nginx's fastcgi_params and fastcgi.conf have had for long. Debian's also have HTTP_HOST. */
const ORDINARY: Readonly<Record<string, string>> = {
  QUERY_STRING: "$query_string",
  REQUEST_METHOD: "$request_method",
  CONTENT_TYPE: "$content_type",
  CONTENT_LENGTH: "$content_length",
  SCRIPT_NAME: "$fastcgi_script_name",
  REQUEST_URI: "$request_uri",
  DOCUMENT_URI: "$document_uri",
  DOCUMENT_ROOT: "$document_root",
  SERVER_PROTOCOL: "$server_protocol",
  REQUEST_SCHEME: "$scheme",
  HTTPS: "$https",
  GATEWAY_INTERFACE: "CGI/1.1",
  SERVER_SOFTWARE: "nginx/$nginx_version",
  REMOTE_ADDR: "$remote_addr",
  REMOTE_PORT: "$remote_port",
  REMOTE_USER: "$remote_user",
  SERVER_ADDR: "$server_addr",
  SERVER_PORT: "$server_port",
  SERVER_NAME: "$server_name",
};

/** The parameters of a place: those of the nearest block that has any; others around it are not inherited then. */
export function parametersOf(place: Place): Parameters {
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    const own = at.block.filter(
      (one) => one.name === "fastcgi_param" || (one.name === "include" && !isElsewhere(one)),
    );
    if (own.length === 0) continue;
    return {
      all: own.flatMap(parametersIn),
      isKnown: own.every((one) => one.name === "fastcgi_param" || isOrdinary(one)),
    };
  }
  return { all: [], isKnown: true };
}

function parametersIn(directive: Directive): Parameter[] {
  const { name, args, line } = directive;
  if (name === "fastcgi_param") {
    return [{ name: args[0] ?? "", value: args[1] ?? "", line, isIncluded: false }];
  }
  if (!isOrdinary(directive)) return [];
  return Object.entries(ORDINARY).map(([key, value]) => ({ name: key, value, line, isIncluded: true }));
}

function isOrdinary({ args }: Directive): boolean {
  return /(?:^|\/)fastcgi(?:_params|\.conf)$/.test(args[0] ?? "");
}

/** Files in which nobody writes parameters. */
function isElsewhere({ args }: Directive): boolean {
  return /mime\.types$|\/(?:conf\.d|sites-enabled|modules-enabled)\//.test(args[0] ?? "");
}

/** The parameter that counts. */
export function parameter({ all }: Parameters, name: string): Parameter | undefined {
  return all.findLast((one) => one.name === name);
}

/** Where a server listens. */
export function listensOf(server: Place): { readonly port: string; readonly isTls: boolean }[] {
  const listens = server.block.filter(({ name }) => name === "listen");
  if (listens.length === 0) return [{ port: "80", isTls: false }];
  return listens.map(({ args }) => {
    const [address = "", ...options] = args;
    const port = /^unix:/.test(address) ? "" : (/(?:^|:)(\d+)$/.exec(address)?.[1] ?? "80");
    return { port, isTls: options.includes("ssl") };
  });
}

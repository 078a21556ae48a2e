/**
 * How the values that an application sees were chosen: each with its rule, the parameters it was made of, and what was
 * passed over. The values are not worked out here: they come from the code that serves requests (cgi/), and a test holds
 * what is said of them against it.
 */
import {
  announcedLength,
  announcesUpgrade,
  authority,
  isAuthority,
  type KnownParams,
  method,
  type ParamSource,
  rawHeaders,
  scheme,
} from "../../cgi/environ.ts";
import { type HopTrust, throughHops } from "../../cgi/forwarded.ts";
import { type GatewayFacts, gatewayFacts } from "../../cgi/gateway-facts.ts";
import { absoluteUrl, resolveTarget, type Target } from "../../cgi/mount.ts";
import type { MountRule } from "../../cgi/mount-options.ts";
import { MOUNT_RULES } from "./mount-rules.ts";

/** One thing that was decided. */
export interface Decision {
  readonly what: "mount" | "scheme" | "host" | "client" | "user" | "body" | "authorization";
  readonly value: string;
  /** Stable name of the rule. */
  readonly rule: string;
  /** What the rule saw, one sentence without its full stop. */
  readonly because: string;
  /** The parameters it looked at, in order; the first is where the value came from, where it came from one. */
  readonly from: readonly string[];
}

/** What the application is handed. */
export interface Seen {
  readonly method: string;
  readonly target: Target;
  /** The absolute URL of fetch applications. */
  readonly requestUrl: string;
  /** Names in lower case and values in turn. */
  readonly headers: readonly string[];
  readonly facts: GatewayFacts;
}

/** The settings of the application that decide. */
export interface Rules {
  readonly mount: MountRule;
  readonly trust: HopTrust | undefined;
}

/** @throws {RemoteProtocolError} what the server would answer 400 for */
export function seenBy(params: ParamSource & KnownParams, rules: Rules): Seen {
  const client = rules.trust === undefined ? params : throughHops(params, rules.trust);
  const target = resolveTarget(params, rules.mount);
  return {
    method: method(params),
    target,
    requestUrl: absoluteUrl(client, target),
    headers: rawHeaders(params),
    facts: gatewayFacts(client, params),
  };
}

export function decide(params: ParamSource, rules: Rules, seen: Seen): Decision[] {
  return [
    mountDecision(seen.target),
    schemeDecision(params, seen),
    hostDecision(params, seen),
    clientDecision(params, rules, seen),
    userDecision(params, seen),
    bodyDecision(params),
    authorizationDecision(params, seen),
  ];
}

function mountDecision({ base, path, rule }: Target): Decision {
  const where = base === "" ? "the root" : base;
  return {
    what: "mount",
    value: `${where}, path ${path}`,
    rule,
    because: MOUNT_RULES[rule] ?? rule,
    from: ["REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "SCRIPT_FILENAME"],
  };
}

function schemeDecision(params: ParamSource, { facts }: Seen): Decision {
  const what = "scheme" as const;
  const value = facts.scheme;
  if (facts.forwardedBy !== undefined && value !== scheme(params)) {
    const because = `the proxy at ${facts.forwardedBy} says so, and trustProxy names it`;
    return {
      what,
      value,
      rule: "trusted-proxy",
      because,
      from: ["HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED"],
    };
  }
  if (params.get("HTTPS")) {
    return { what, value, rule: "https", because: `HTTPS is "${params.get("HTTPS")}"`, from: ["HTTPS"] };
  }
  if (params.get("REQUEST_SCHEME")) {
    const because = "HTTPS says nothing, REQUEST_SCHEME does";
    return { what, value, rule: "request-scheme", because, from: ["REQUEST_SCHEME", "HTTPS"] };
  }
  const because = "neither HTTPS nor REQUEST_SCHEME says anything; X-Forwarded-Proto is the client's word";
  return { what, value, rule: "assumed", because, from: ["HTTPS", "REQUEST_SCHEME"] };
}

function hostDecision(params: ParamSource, { facts }: Seen): Decision {
  const what = "host" as const;
  const value = facts.host;
  if (value !== authority(params)) {
    const because = "a proxy that trustProxy names says so";
    return { what, value, rule: "trusted-proxy", because, from: ["HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED"] };
  }
  const host = params.get("HTTP_HOST");
  if (host !== undefined && isAuthority(host)) {
    return {
      what,
      value,
      rule: "host-header",
      because: "the client's Host header is one",
      from: ["HTTP_HOST"],
    };
  }
  const why = host === undefined || host === "" ? "there is no Host header" : "the Host header is none";
  // Which of the others it was, the code that chose tells when it is asked without them.
  for (const { name, rule, says } of HOST_SOURCES) {
    const alone = authority(
      hiding(params, ["HTTP_HOST", ...HOST_SOURCES.map((one) => one.name).filter((one) => one !== name)]),
    );
    if (
      params.get(name) &&
      value === alone &&
      (alone !== "localhost" || params.get(name)!.startsWith("localhost"))
    ) {
      return { what, value, rule, because: why + says, from: [name, "SERVER_PORT", "HTTP_HOST"] };
    }
  }
  const because = `${why}, and neither SERVER_NAME nor SERVER_ADDR is a host`;
  return { what, value, rule: "localhost", because, from: ["HTTP_HOST", "SERVER_NAME", "SERVER_ADDR"] };
}

const HOST_SOURCES = [
  { name: "SERVER_NAME", rule: "server-name", says: "" },
  { name: "SERVER_ADDR", rule: "server-address", says: ", and SERVER_NAME is no host" },
] as const;

/** The parameters as if these were not there. */
function hiding(params: ParamSource, names: readonly string[]): ParamSource {
  return {
    get: (name) => (names.includes(name) ? undefined : params.get(name)),
    each: (prefix, visit) =>
      params.each(prefix, (name, value) => {
        if (!names.includes(name)) visit(name, value);
      }),
  };
}

function clientDecision(params: ParamSource, { trust }: Rules, { facts }: Seen): Decision {
  const what = "client" as const;
  const value = facts.remoteAddress ?? "(unknown)";
  if (facts.forwardedBy !== undefined) {
    const because = `the web server was asked by ${facts.forwardedBy}, which trustProxy names`;
    return {
      what,
      value,
      rule: "trusted-proxy",
      because,
      from: ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "REMOTE_ADDR"],
    };
  }
  const rule = params.get("REMOTE_ADDR") ? "remote-addr" : "unknown";
  const isForwarded =
    params.get("HTTP_X_FORWARDED_FOR") !== undefined || params.get("HTTP_FORWARDED") !== undefined;
  const passedOver = trust === undefined ? "trustProxy is not set" : "trustProxy does not name that address";
  const because = isForwarded
    ? `REMOTE_ADDR; what X-Forwarded-For says is not believed: ${passedOver}`
    : rule === "unknown"
      ? "there is no REMOTE_ADDR"
      : "REMOTE_ADDR is where the web server was asked from";
  return { what, value, rule, because, from: ["REMOTE_ADDR"] };
}

function userDecision(params: ParamSource, { facts }: Seen): Decision {
  const what = "user" as const;
  const from = ["REMOTE_USER", "AUTH_TYPE"];
  const { remoteUser } = facts;
  if (remoteUser === undefined) {
    return { what, value: "(nobody)", rule: "nobody", because: "there is no REMOTE_USER", from };
  }
  const how = params.get("AUTH_TYPE");
  const because = `REMOTE_USER, which only the web server can set${how ? ` (AUTH_TYPE ${how})` : ""}`;
  return { what, value: remoteUser, rule: "remote-user", because, from };
}

function bodyDecision(params: ParamSource): Decision {
  const what = "body" as const;
  const from = ["CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"];
  if (announcesUpgrade(params)) {
    const because = "the client asks to leave HTTP and announces no body";
    return { what, value: "none", rule: "upgrade", because, from: ["HTTP_UPGRADE", ...from] };
  }
  const length = announcedLength(params);
  if (length !== undefined) {
    const because = "CONTENT_LENGTH; the body ends where STDIN does, and a difference is an error";
    return { what, value: `${length} bytes`, rule: "announced", because, from };
  }
  const text = params.get("CONTENT_LENGTH");
  const why =
    text === undefined || text === "" ? "no CONTENT_LENGTH" : `CONTENT_LENGTH "${text}" is no length`;
  if (text === "-1" || /chunked$/i.test(params.get("HTTP_TRANSFER_ENCODING") ?? "")) {
    return {
      what,
      value: "of unknown length",
      rule: "unknown",
      because: `${why}: it ends where STDIN does`,
      from,
    };
  }
  return { what, value: "none announced", rule: "none", because: why, from };
}

function authorizationDecision(params: ParamSource, { headers }: Seen): Decision {
  const what = "authorization" as const;
  const at = headers.findIndex((text, index) => index % 2 === 0 && text === "authorization");
  if (at < 0) {
    const because = "no parameter carries it";
    return { what, value: "(none)", rule: "none", because, from: ["HTTP_AUTHORIZATION"] };
  }
  const value = headers[at + 1]!;
  const shown = `${value.split(" ", 1)[0]} …`;
  if (params.get("HTTP_AUTHORIZATION")) {
    return {
      what,
      value: shown,
      rule: "header",
      because: "the client's header",
      from: ["HTTP_AUTHORIZATION"],
    };
  }
  const found: string[] = [];
  for (const prefix of ["REDIRECT_", "Authorization", "X"]) {
    params.each(prefix, (name, text) => {
      if (text === value && /authorization$/i.test(name)) found.push(name);
    });
  }
  const because = "not under its own name: a rewrite or FcgidPassHeader has left it there";
  return { what, value: shown, rule: "stray", because, from: [found[0] ?? "HTTP_AUTHORIZATION"] };
}

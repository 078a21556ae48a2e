// HOT
/**
 * What the CGI variables mean (RFC 3875 §4.1): method, headers, scheme, host, addresses.
 *
 * The trust rule: everything in `HTTP_*` was said by the client; everything else was said by the web server. Only
 * `HTTP_HOST` is used to build something (the URL), and only after a check; X-Forwarded-* never is here, see forwarded.ts.
 *
 * What becomes a method, a URL or a header is refused when it holds bytes HTTP forbids there. Other variables may
 * hold anything: SSL_CLIENT_CERT has newlines, and h2o passes a NUL in PATH_INFO.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import { asPropertyName, clip, escapeControls } from "../base/text.ts";
import { ParamNames } from "./param-names.ts";

/** Anything that holds parameters: the last value wins for `get`, `each` visits pairs in wire order, duplicates included. All latin1. */
export interface ParamSource {
  get(name: string): string | undefined;
  each(prefix: string, visit: (name: string, value: string) => void): void;
}

/** Parameters of which many are looked at in one pass: those that mean something to `names`, as `each` visits them. */
export interface KnownParams {
  eachKnown<T>(names: ParamNames<T>, visit: (meaning: T, value: string) => void): void;
}

/**
 * The request method; `GET` when none was sent. RFC 3875 §4.1.12.
 * @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID`, scope request: not a token
 */
export function method(params: ParamSource): string {
  const value = params.get("REQUEST_METHOD");
  switch (value) {
    case undefined:
    case "":
    case "GET":
      return "GET";
    case "HEAD":
    case "POST":
    case "PUT":
    case "DELETE":
    case "OPTIONS":
    case "PATCH":
      return value;
    default:
      if (!isToken(value)) throw invalid("REQUEST_METHOD", value);
      return value;
  }
}

/** `1.1`, `2.0`, … from SERVER_PROTOCOL, as `IncomingMessage.httpVersion` has it. RFC 3875 §4.1.16. */
export function httpVersion(params: ParamSource): string {
  const value = params.get("SERVER_PROTOCOL");
  if (value === "HTTP/1.1" || value === undefined) return "1.1";
  const found = /^HTTP\/(\d)(?:\.(\d))?$/.exec(value);
  return found === null ? "1.1" : `${found[1]}.${found[2] ?? "0"}`;
}

/** The body length in bytes that the web server announced, if it announced one. The body itself ends where STDIN does. */
export function announcedLength(params: ParamSource): number | undefined {
  const value = params.get("CONTENT_LENGTH");
  return value === undefined || !isLength(value) ? undefined : Number(value);
}

/**
 * Whether the client asks to leave HTTP and sends no body first. lighttpd does not end the STDIN of such a request,
 * so nothing may wait for that. HTTP_CONNECTION proves nothing: lighttpd sends it even when it will not tunnel.
 */
export function announcesUpgrade(params: ParamSource): boolean {
  const upgrade = params.get("HTTP_UPGRADE");
  if (upgrade === undefined || upgrade === "") return false;
  if (params.get("HTTP_TRANSFER_ENCODING") !== undefined) return false;
  const length = params.get("CONTENT_LENGTH");
  if (length === "0") return true;
  if (length !== undefined && length !== "") return false;
  // Without a length only GET is known to have no body: a POST may come with one that was not measured.
  const asked = params.get("REQUEST_METHOD");
  return asked === undefined || asked === "GET";
}

// What a parameter has to do with the headers of a request.
const HEADER = 0;
const HOST = 1;
const AUTHORIZATION = 2;
const CHUNKING = 3; // of the client's request, which the web server has taken apart
const TYPE = 4;
const LENGTH = 5;
const STRAY = 6; // Authorization under another name; of several this kind counts first, then the next two
const STRAY_PLAIN = 7;
const STRAY_X = 8;

interface HeaderParam {
  readonly param: string;
  /** Of the header; "" when the kind says what comes of the parameter. */
  readonly name: string;
  readonly kind: number;
}

const headerParams = new ParamNames<HeaderParam>(
  ["HTTP_", "CONTENT_", "REDIRECT_", "Authorization", "X"],
  readHeaderParam,
);

/**
 * The request headers as Node's `rawHeaders`: name, value, name, value. Names are lower case. A header sent twice is
 * there twice (IncomingMessage joins them), but of two HTTP_HOST the last counts: nginx sends its own and then the
 * operator's. RFC 3875 §4.1.18.
 * @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID`, scope request: a value with NUL, CR or LF
 */
export function rawHeaders(params: KnownParams): string[] {
  const headers: string[] = [];
  let hostAt = -1;
  let hasAuthorization = false;
  let stray = "";
  let strayKind = STRAY_X + 1;
  let type = "";
  let length = "";
  let chunking = "";
  params.eachKnown(headerParams, (known, value) => {
    const { kind } = known;
    switch (kind) {
      case TYPE:
        type = value;
        return;
      case LENGTH:
        length = value;
        return;
      case STRAY:
      case STRAY_PLAIN:
      case STRAY_X:
        if (kind >= strayKind || value === "") return;
        strayKind = kind;
        stray = value;
        return;
      case CHUNKING:
        chunking = value;
        return;
      case AUTHORIZATION:
        if (value === "") return; // a RewriteRule with [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}] and nothing to pass
        hasAuthorization = true;
        break;
      case HOST:
        if (hostAt < 0) {
          hostAt = headers.length + 1;
          break;
        }
        if (!isHeaderValue(value)) throw invalid(known.param, value);
        headers[hostAt] = value;
        return;
    }
    if (!isHeaderValue(value)) throw invalid(known.param, value);
    headers.push(known.name, value);
  });
  if (!hasAuthorization && stray !== "") pushChecked(headers, "authorization", stray);
  if (type !== "") pushChecked(headers, "content-type", type);
  if (isLength(length)) headers.push("content-length", length);
  else if (hasUnknownLength(length, chunking)) headers.push("transfer-encoding", "chunked");
  return headers;
}

/**
 * Whether a body comes whose length the web server does not know. It has taken the chunks apart, but only this header
 * tells an application that there is a body: body-parser and its kin skip a request that has neither.
 */
function hasUnknownLength(length: string, chunking: string): boolean {
  if (length === "-1") return true; // Caddy before 2.11
  return chunking !== "" && chunking.toLowerCase().endsWith("chunked");
}

function pushChecked(headers: string[], name: string, value: string): void {
  if (!isHeaderValue(value)) throw invalid(name, value);
  headers.push(name, value);
}

/** Authorization under its own name, as mod_fcgid's FcgidPassHeader gives it, and as rewrite rules spell it. */
const STRAY_NAME = /^(?:REDIRECT_)*(?:(?:X[-_])?HTTP_AUTHORIZATION|Authorization)$/;

/** Undefined for one that must not be believed, cannot be a header, or is none. */
function readHeaderParam(param: string, isKept: boolean): HeaderParam | undefined {
  if (!param.startsWith("HTTP_")) {
    if (param === "CONTENT_TYPE") return { param, name: "", kind: TYPE };
    if (param === "CONTENT_LENGTH") return { param, name: "", kind: LENGTH };
    if (!STRAY_NAME.test(param)) return undefined;
    // Apache's rewrites leave it with one REDIRECT_ per internal redirect, or under another name.
    const kind = param.startsWith("REDIRECT_") ? STRAY : param === "Authorization" ? STRAY_PLAIN : STRAY_X;
    return { param, name: "", kind };
  }
  const lower = param.slice("HTTP_".length).toLowerCase().replaceAll("_", "-");
  // To make it takes longer than to use the other, once.
  const name = isKept ? asPropertyName(lower) : lower;
  switch (name) {
    case "proxy": // httpoxy: an HTTP_PROXY in the environment of anything the application starts would be obeyed
    case "content-type": // nginx and Caddy send these beside CONTENT_*, where the web server's own word is
    case "content-length":
      return undefined;
    case "transfer-encoding": // nginx passes "chunked" after it has taken the chunks apart
      return { param, name: "", kind: CHUNKING };
    case "host":
      return { param, name, kind: HOST };
    case "authorization":
      return { param, name, kind: AUTHORIZATION };
    default:
      return isToken(name) ? { param, name, kind: HEADER } : undefined;
  }
}

/** `https` when the web server says so: HTTPS, else REQUEST_SCHEME. Never by X-Forwarded-Proto. */
export function scheme(params: ParamSource): "http" | "https" {
  const https = params.get("HTTPS");
  if (https !== undefined && https !== "") {
    return https === "on" || https === "1" || https.toLowerCase() === "on" ? "https" : "http";
  }
  return params.get("REQUEST_SCHEME")?.toLowerCase() === "https" ? "https" : "http";
}

/** Most hosts remembered, and the longest one, in characters. */
const MAX_CACHED_HOSTS = 256;
const MAX_CACHED_HOST = 64;
const goodHosts = new Set<string>();

/**
 * `host` or `host:port` for a URL: HTTP_HOST when it is one, else SERVER_NAME and a port that is not the scheme's own,
 * else SERVER_ADDR, else `localhost`. The result is always accepted by `new URL`. RFC 3875 §4.1.14.
 */
export function authority(params: ParamSource): string {
  const host = params.get("HTTP_HOST");
  if (host !== undefined && isAuthority(host)) return host;
  const port = portSuffix(params);
  return (
    withPort(params.get("SERVER_NAME"), port) ?? withPort(params.get("SERVER_ADDR"), port) ?? "localhost"
  );
}

function portSuffix(params: ParamSource): string {
  const port = params.get("SERVER_PORT") ?? "";
  if (portNumber(port) === undefined) return "";
  return port === (scheme(params) === "https" ? "443" : "80") ? "" : `:${port}`;
}

function withPort(name: string | undefined, port: string): string | undefined {
  if (name === undefined || name === "" || name === "_") return undefined; // "_" is nginx's name for no name
  const colon = name.indexOf(":");
  // HAProxy's SERVER_NAME is the whole Host header, port included; an IPv6 address has more than one colon.
  if (colon > 0 && colon === name.lastIndexOf(":")) return isAuthority(name) ? name : undefined;
  const isBareIpv6 = colon >= 0 && !name.startsWith("[");
  const full = `${isBareIpv6 ? `[${name}]` : name}${name.includes("]:") ? "" : port}`;
  return isAuthority(full) ? full : undefined;
}

/**
 * Whether `new URL` takes it as host and port and nothing else.
 * @internal
 */
export function isAuthority(text: string): boolean {
  if (goodHosts.has(text)) return true;
  if (!/^(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text)) return false;
  if (!URL.canParse(`http://${text}/`)) return false;
  if (goodHosts.size < MAX_CACHED_HOSTS && text.length <= MAX_CACHED_HOST) {
    goodHosts.add(Buffer.from(text, "latin1").toString("latin1")); // a copy: a slice would keep the whole request
  }
  return true;
}

/** Both ends of the client's connection to the web server, as a socket names them. Empty or absent values are undefined. */
export interface Addresses {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly encrypted: boolean;
}

/** The addresses the web server vouches for. RFC 3875 §4.1.8. */
export function addresses(params: ParamSource): Addresses {
  return {
    remoteAddress: params.get("REMOTE_ADDR") || undefined,
    remotePort: portNumber(params.get("REMOTE_PORT")),
    localAddress: params.get("SERVER_ADDR") || undefined,
    localPort: portNumber(params.get("SERVER_PORT")),
    encrypted: scheme(params) === "https",
  };
}

/**
 * Whether `text` is an HTTP token: a method or a header name. RFC 9110 §5.6.2.
 * @internal
 */
export function isToken(text: string): boolean {
  if (text === "") return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    // Letters, digits and - are nearly all there ever is.
    if ((code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x2d) continue;
    if (code >= 0x30 && code <= 0x39) continue;
    if (!"!#$%&'*+.^_`|~".includes(text[at]!)) return false;
  }
  return true;
}

/** A request header may hold anything but what ends a line or a C string. */
function isHeaderValue(value: string): boolean {
  return !value.includes("\n") && !value.includes("\r") && !value.includes("\0");
}

/** 1*DIGIT that a number can hold exactly: not "", not Caddy's "-1". */
function isLength(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

function portNumber(text: string | undefined): number | undefined {
  if (text === undefined || !isLength(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

/** The refusal of a method, URL or header; the server answers it with 400.
 * @internal */
export function invalid(what: string, value: string): RemoteProtocolError {
  const shown = escapeControls(clip(value, 60));
  return new RemoteProtocolError(
    "ERR_POSTERN_HEADER_INVALID",
    `${what} holds bytes HTTP forbids: "${shown}"`,
    "request",
  );
}

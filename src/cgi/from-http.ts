/**
 * An HTTP request as CGI parameters (RFC 3875 §4): what a web server does before it speaks FastCGI.
 * All text is latin1: one character is one byte, exactly as Node's `rawHeaders` and `url` hold it.
 *
 * What it refuses instead of guessing (the caller answers 400): a path with bad percent-encoding, with NUL, CR or LF,
 * or that climbs above the root; a missing, repeated or malformed Host.
 *
 * What it drops: `Proxy` (httpoxy, CVE-2016-5385), hop-by-hop fields, and every field whose name is not made of
 * letters, digits and hyphens: `X_Forwarded_For` would become the same variable as `X-Forwarded-For`.
 */

/** One parameter. */
export type Pair = readonly [name: string, value: string];

/** What the HTTP server knows about a request. */
export interface HttpRequest {
  readonly method: string;
  /** The request target as received, percent-encoding untouched. */
  readonly target: string;
  /** `1.1`, `1.0`. */
  readonly httpVersion: string;
  /** Names and values in turn, as received, duplicates included. */
  readonly rawHeaders: readonly string[];
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly isEncrypted?: boolean | undefined;
}

/** A request target, taken apart. */
export interface Target {
  /** The target without scheme and authority, raw, query included: REQUEST_URI. */
  readonly uri: string;
  /** Percent-decoded, dot segments resolved, slashes merged, as nginx does; `*` for `OPTIONS *`. */
  readonly path: string;
  /** Raw, without `?`. */
  readonly query: string;
  /** The authority of an absolute-form target; it replaces Host (RFC 9112 §3.2.2). */
  readonly authority: string | undefined;
}

/** Which program answers a path. */
export interface Script {
  readonly scriptName: string;
  readonly pathInfo: string;
  /** The file, for applications that load one per request, as php-fpm does. */
  readonly scriptFilename?: string | undefined;
}

/** How requests are presented to the application. */
export interface HttpMapping {
  /** SERVER_SOFTWARE, such as `Postern/1.0`. */
  readonly software: string;
  readonly script: Script;
  readonly documentRoot?: string | undefined;
  /** SERVER_NAME when the client names no host. @default the local address */
  readonly serverName?: string | undefined;
  /** Pass header names with underscores, which can shadow others. @default false */
  readonly underscoreHeaders?: boolean | undefined;
  /** Length of the body when the caller has collected it; the headers say otherwise then. */
  readonly contentLength?: number | undefined;
  /** Set last: they replace what the request gave. */
  readonly extra?: Iterable<Pair> | undefined;
}

/** A request that cannot be passed on, and why; the answer is 400. */
export interface Refusal {
  readonly refusal: string;
}

/** Fields that concern one connection, not the request; fixed, because `Connection` may name any field. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "CONNECTION",
  "EXPECT",
  "KEEP-ALIVE",
  "PROXY-AUTHENTICATE",
  "PROXY-AUTHORIZATION",
  "PROXY-CONNECTION",
  "TE",
  "TRAILER",
  "TRANSFER-ENCODING",
  "UPGRADE",
]);

/** Never passed as HTTP_*: they have variables of their own, or none. */
const OWN_VARIABLE: ReadonlySet<string> = new Set(["CONTENT-TYPE", "CONTENT-LENGTH", "HOST", "PROXY"]);

/** Takes a request target apart: origin-form, absolute-form, or `*`. RFC 9112 §3.2. */
export function parseTarget(target: string): Target | Refusal {
  if (target === "*") return { uri: "*", path: "*", query: "", authority: undefined };
  if (/[\x00-\x20\x7f#]/.test(target))
    return { refusal: "the request target holds a character that must be encoded" };
  let uri = target;
  let authority: string | undefined;
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
  if (absolute !== null) {
    authority = absolute[1]!;
    if (authority.includes("@")) return { refusal: "the request target holds credentials" };
    uri = absolute[2]!.startsWith("/") ? absolute[2]! : `/${absolute[2]!}`;
  }
  if (!uri.startsWith("/")) return { refusal: "the request target is not a path" };
  const mark = uri.indexOf("?");
  const decoded = decodePath(mark < 0 ? uri : uri.slice(0, mark));
  if (typeof decoded !== "string") return decoded;
  return { uri, path: decoded, query: mark < 0 ? "" : uri.slice(mark + 1), authority };
}

/**
 * A raw path, decoded and normalised in that order, so that `%2e%2e%2f` climbs no further than `../` does.
 * The decoded bytes are latin1 characters. A trailing slash is kept.
 */
export function decodePath(raw: string): string | Refusal {
  let path = raw;
  if (path.includes("%")) {
    if (/%(?![0-9a-fA-F]{2})/.test(path)) return { refusal: "the path holds a % that is not an encoding" };
    path = path.replace(/%([0-9a-fA-F]{2})/g, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  if (/[\0\r\n]/.test(path)) return { refusal: "the path holds an encoded NUL or line break" };
  if (!/\/(?:\/|\.\.?(?:\/|$))/.test(path)) return path;
  const kept: string[] = [];
  const segments = path.split("/");
  const last = segments.length - 1;
  for (let index = 1; index <= last; index++) {
    const segment = segments[index]!;
    if (segment === "..") {
      if (kept.pop() === undefined) return { refusal: "the path climbs above the root" };
    } else if (segment !== "" && segment !== ".") {
      kept.push(segment);
    }
  }
  const tail = segments[last]!;
  const endsWithSlash = kept.length > 0 && (tail === "" || tail === "." || tail === "..");
  return `/${kept.join("/")}${endsWithSlash ? "/" : ""}`;
}

/**
 * The mount taken off a path: `/app` matches `/app` and `/app/…`, never `/apple`.
 * @param mount `""` or `/…` without a trailing slash
 * @returns undefined when the path is outside the mount
 */
export function splitMount(path: string, mount: string): Script | undefined {
  if (mount === "" || path === "*") return { scriptName: "", pathInfo: path === "*" ? "" : path };
  if (path === mount) return { scriptName: mount, pathInfo: "" };
  if (path.startsWith(`${mount}/`)) return { scriptName: mount, pathInfo: path.slice(mount.length) };
  return undefined;
}

/** How paths name script files. */
export interface ScriptRules {
  /** Endings of script files, exact in case. @default [".php"] */
  readonly extensions?: readonly string[];
  /** The script of a path that ends in a slash. @default "index.php" */
  readonly index?: string;
  /** The script of every path that names none, such as `/index.php`; without it such a path has no script. */
  readonly frontController?: string | undefined;
  /** Whether a script exists; the first segment that does is taken. Without it the first that is named like one. */
  readonly exists?: ((scriptName: string) => boolean) | undefined;
}

/**
 * Finds the script in a path, segment by segment: `/blog/index.php/2024/x` is `/blog/index.php` with the path info
 * `/2024/x`. Never by searching the text for `.php`: `/photo.jpg/x.php` names the script `/photo.jpg/x.php`, which
 * does not exist, and php-fpm must not be given the choice to run `/photo.jpg` (`cgi.fix_pathinfo`).
 */
export function splitScript(path: string, documentRoot: string, rules: ScriptRules = {}): Script | undefined {
  const { extensions = [".php"], index = "index.php", frontController, exists = (): boolean => true } = rules;
  const isScript = (name: string): boolean =>
    extensions.some((extension) => name.endsWith(extension)) && exists(name);
  const script = (scriptName: string, pathInfo: string): Script => {
    return { scriptName, pathInfo, scriptFilename: documentRoot + scriptName };
  };
  for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1)) {
    if (isScript(path.slice(0, at))) return script(path.slice(0, at), path.slice(at));
  }
  if (path.endsWith("/")) {
    if (isScript(path + index)) return script(path + index, "");
  } else if (isScript(path)) {
    return script(path, "");
  }
  return frontController !== undefined ? script(frontController, path) : undefined;
}

/** The parameters of a request, in the order web servers send them. */
export function paramsFromHttp(request: HttpRequest, target: Target, mapping: HttpMapping): Pair[] | Refusal {
  const fields = readFields(request.rawHeaders, mapping.underscoreHeaders ?? false);
  const host = readHost(request, target, fields.hosts);
  if (typeof host !== "string") return host;
  const { script, documentRoot } = mapping;
  const isSecure = request.isEncrypted ?? false;
  const pairs = new Map<string, string>();
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) pairs.set(name, String(value));
  };
  set("GATEWAY_INTERFACE", "CGI/1.1");
  set("SERVER_SOFTWARE", mapping.software);
  set("SERVER_PROTOCOL", `HTTP/${request.httpVersion}`);
  set("REQUEST_METHOD", request.method);
  set("REQUEST_SCHEME", isSecure ? "https" : "http");
  if (isSecure) set("HTTPS", "on");
  set("REQUEST_URI", target.uri);
  set("QUERY_STRING", target.query);
  set("SCRIPT_NAME", script.scriptName);
  set("PATH_INFO", script.pathInfo);
  if (script.scriptFilename !== undefined) {
    set("SCRIPT_FILENAME", script.scriptFilename);
    set("REDIRECT_STATUS", "200"); // php-cgi refuses to run without it
  }
  set("DOCUMENT_ROOT", documentRoot);
  if (documentRoot !== undefined && script.pathInfo !== "")
    set("PATH_TRANSLATED", documentRoot + script.pathInfo);
  set("SERVER_NAME", hostName(host) || mapping.serverName || request.localAddress || "localhost");
  set("SERVER_ADDR", plainAddress(request.localAddress));
  set("SERVER_PORT", request.localPort ?? hostPort(host) ?? (isSecure ? 443 : 80));
  set("REMOTE_ADDR", plainAddress(request.remoteAddress));
  set("REMOTE_PORT", request.remotePort);
  set("CONTENT_TYPE", fields.contentType);
  set("CONTENT_LENGTH", mapping.contentLength ?? fields.contentLength);
  // As nginx and Apache do for a body without a known length: the application cannot tell that there is one otherwise.
  if (fields.isChunked && !pairs.has("CONTENT_LENGTH")) set("HTTP_TRANSFER_ENCODING", "chunked");
  if (host !== "") set("HTTP_HOST", host);
  for (const [name, value] of fields.others) pairs.set(name, value);
  for (const [name, value] of mapping.extra ?? []) pairs.set(name, value);
  return [...pairs];
}

interface Fields {
  readonly hosts: string[];
  contentType: string | undefined;
  contentLength: string | undefined;
  isChunked: boolean;
  readonly others: Map<string, string>;
}

function readFields(rawHeaders: readonly string[], underscores: boolean): Fields {
  const allowed = underscores ? /^[A-Z0-9_-]+$/ : /^[A-Z0-9-]+$/;
  const fields: Fields = {
    hosts: [],
    contentType: undefined,
    contentLength: undefined,
    isChunked: false,
    others: new Map(),
  };
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toUpperCase();
    const value = rawHeaders[index + 1]!;
    if (name === "HOST") fields.hosts.push(value);
    else if (name === "CONTENT-TYPE") fields.contentType ??= value;
    else if (name === "CONTENT-LENGTH") fields.contentLength ??= value;
    else if (name === "TRANSFER-ENCODING") fields.isChunked = true;
    if (HOP_BY_HOP.has(name) || OWN_VARIABLE.has(name) || !allowed.test(name)) continue;
    const variable = `HTTP_${name.replaceAll("-", "_")}`;
    if (isOwnVariable(variable)) continue;
    const before = fields.others.get(variable);
    const separator = name === "COOKIE" ? "; " : ", ";
    fields.others.set(variable, before === undefined ? value : before + separator + value);
  }
  return fields;
}

/** Whether a name with underscores folds onto one that is dropped or set elsewhere. */
function isOwnVariable(variable: string): boolean {
  const name = variable.slice(5).replaceAll("_", "-");
  return OWN_VARIABLE.has(name) || HOP_BY_HOP.has(name);
}

const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=\x80-\xff]*)(?::\d{0,5})?$/;

/** The host the client asked for, with its port; empty when HTTP/1.0 names none. RFC 9112 §3.2. */
function readHost(request: HttpRequest, target: Target, hosts: readonly string[]): string | Refusal {
  if (hosts.length > 1) return { refusal: "more than one Host field" };
  if (hosts.length === 0 && request.httpVersion === "1.1") return { refusal: "the Host field is missing" };
  const host = target.authority ?? hosts[0] ?? "";
  if (!HOST.test(host)) return { refusal: "the Host field cannot be read" };
  return host;
}

function hostName(host: string): string {
  return host.replace(/:\d*$/, "");
}

function hostPort(host: string): string | undefined {
  return /:(\d+)$/.exec(host)?.[1];
}

/** An IPv4 client on an IPv6 socket is an IPv4 client, as every web server reports it. */
function plainAddress(address: string | undefined): string | undefined {
  return address?.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}

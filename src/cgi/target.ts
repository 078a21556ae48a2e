/**
 * The two ends of resolving a target: the request as the parameters have it, and the result. The rules in between
 * are in mount-rules.ts.
 */
import { invalid, type ParamSource } from "./environ.ts";
import { encodePath, isSamePath, SLASH } from "./paths.ts";

/** The target of one request, cut at the mount. Everything is raw: percent-encoded as the client sent it. */
export interface Target {
  /** The mount: "" or "/x", never with a slash at its end. Links of the application start with it. */
  readonly base: string;
  /** Path inside the mount; begins with a slash ("*" for `OPTIONS *`). "/" when the mount itself was asked for without one. */
  readonly path: string;
  /** Query without its question mark; "" when there is none. */
  readonly query: string;
  /** `path` plus `?query`: a Node listener's `req.url`. */
  readonly url: string;
  /** What the client asked for, query included: `base` + `url` wherever REQUEST_URI spells it so. */
  readonly originalUrl: string;
  /** Stable name of the rule that was applied. */
  readonly rule: string;
  /** Set when the parameters contradict each other in a way an option mends. Log it once per `rule`: it has the URL. */
  readonly warning?: string;
}

/** A request on its way to a Target: what the client asked for, and what the web server made of it. */
export interface TargetRequest {
  /** Raw path, never empty. */
  readonly raw: string;
  /** "?query", "?" or "". */
  readonly search: string;
  /** Decoded; "" or "/x" without a slash at its end unless it is the whole path. */
  readonly scriptName: string;
  /** Decoded; "" when absent. */
  readonly pathInfo: string;
  /** Whether `raw` is what the client sent, rather than built from the other two. */
  readonly isRaw: boolean;
  /** Why not, as a rule name; "" when it is. */
  readonly builtBy: string;
}

/** Reads the parameters that say what was asked for.
 * @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID`: control characters in what becomes the URL */
export function readRequest(params: ParamSource, uri: string | undefined): TargetRequest {
  let scriptName = params.get("SCRIPT_NAME") ?? "";
  let pathInfo = params.get("PATH_INFO") ?? "";
  if (scriptName !== "" && scriptName.charCodeAt(0) !== SLASH) scriptName = `/${scriptName}`;
  if (pathInfo !== "" && scriptName.endsWith("/")) {
    scriptName = scriptName.slice(0, -1);
    if (pathInfo.charCodeAt(0) !== SLASH) pathInfo = `/${pathInfo}`;
  }
  const builtBy = unusable(params, uri);
  if (builtBy !== "") {
    const query = params.get("QUERY_STRING") ?? "";
    checkNoControls("QUERY_STRING", query);
    const raw = encodePath(scriptName + pathInfo);
    const search = query === "" ? "" : `?${query}`;
    return {
      raw: raw.startsWith("/") ? raw : `/${raw}`,
      search,
      scriptName,
      pathInfo,
      isRaw: false,
      builtBy,
    };
  }
  const text = uri!;
  checkNoControls("REQUEST_URI", text);
  const question = text.indexOf("?");
  const end = question < 0 ? text.length : question;
  const pathAt = pathStart(text);
  // h2o takes an absolute-form target for a path: PATH_INFO is "/http://host/x".
  if (pathAt > 0 && isSamePath(`/${text.slice(0, end)}`, pathInfo)) pathInfo = "";
  const raw = text.slice(Math.min(pathAt, end), end);
  return { raw: raw === "" ? "/" : raw, search: text.slice(end), scriptName, pathInfo, isRaw: true, builtBy };
}

/** The rule by which REQUEST_URI is not used, or "" when it is. */
function unusable(params: ParamSource, uri: string | undefined): string {
  if (uri === undefined || pathStart(uri) < 0) return "no-request-uri";
  return params.get("SERVER_SOFTWARE")?.startsWith("Cherokee") ? "request-uri-decoded" : "";
}

/** Where the path begins: 0, or behind the authority of an absolute-form target; -1 when there is none. RFC 9112 §3.2. */
function pathStart(uri: string): number {
  if (uri.charCodeAt(0) === SLASH || uri === "*") return 0;
  const found = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i.exec(uri);
  return found === null ? -1 : found[0].length;
}

/** @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID` */
export function checkNoControls(what: string, text: string): void {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) throw invalid(what, text);
  }
}

/**
 * Assembles the result: the client asked for base + path, unless it is known to have spelt that differently.
 * The base never begins with "//" or "/\\": an application that redirects to `base + "/login"` would send its visitor
 * to another host.
 */
export function makeTarget(
  request: TargetRequest,
  base: string,
  path: string,
  rule: string,
  warning?: string,
  originalPath?: string,
): Target {
  const mount = trimSlashes(base).replaceAll("\\", "%5C");
  const inside = path.startsWith("/") ? path : `/${path}`;
  const asked = originalPath ?? (path === "" && base !== "" && mount === base ? mount : mount + inside);
  const { search } = request;
  const query = search.slice(1);
  const result = {
    base: mount,
    path: inside,
    query,
    url: inside + search,
    originalUrl: asked + search,
    rule,
  };
  return warning === undefined ? result : { ...result, warning };
}

/** The request cut at a mount that its raw path is known to begin with. */
export function cutAt(request: TargetRequest, end: number, rule: string): Target {
  const { raw } = request;
  return makeTarget(request, raw.slice(0, end), raw.slice(end), rule, undefined, raw);
}

/** One slash at the beginning, none at the end. Not a regexp: those are quadratic on a long run of slashes. */
function trimSlashes(path: string): string {
  let start = 0;
  let end = path.length;
  while (path.charCodeAt(start + 1) === SLASH) start++;
  while (end > start && path.charCodeAt(end - 1) === SLASH) end--;
  return path.slice(start, end);
}

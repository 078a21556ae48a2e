/**
 * The rules of mount.ts for every request its fast path does not take.
 *
 * `rule` names what was done, for `postern explain`. The rules of "auto" (the options have their own, below):
 *
 * | rule              | SCRIPT_NAME, PATH_INFO for GET /m/a/b             | seen from                         |
 * | ----------------- | ------------------------------------------------- | --------------------------------- |
 * | root              | "" or absent, "/m/a/b" or nothing                 | nginx, Caddy, HAProxy, h2o        |
 * | mounted           | "/m", "/a/b"                                      | everyone                          |
 * | prefix-clash      | "/m", "x/y" for GET /mx/y                         | nginx `location /m` without slash |
 * | set-handler       | "/m/a", "/b"; SCRIPT_FILENAME proxy:fcgi://       | Apache SetHandler in a Location   |
 * | whole-path        | "/m/a/b", nothing                                 | Apache, HAProxy, lighttpd "/"     |
 * | proxied           | "/m/a/b", nothing; SCRIPT_FILENAME .../a/b        | Apache ProxyPass /m/ to a root    |
 * | script            | "/m/app.fcgi" and REQUEST_URI has it too          | mod_fastcgi dynamic               |
 * | mounted-tidied    | agrees only after merging slashes, resolving dots | anyone, for /./m/a                |
 * | script-hidden     | "/m/app.fcgi", "/a/b"                             | .htaccess rewrite, Caddy split    |
 * | front-controller  | "/m/app.fcgi", nothing                            | nginx try_files ... /m/app.fcgi   |
 * | prefix-added      | "/outer", "/m/a/b"                                | a proxy in front took /outer off  |
 * | rewritten         | anything else                                     | internal rewrites                 |
 * | request-uri-decoded | the same, but REQUEST_URI is decoded            | Cherokee                          |
 * | no-request-uri    | the same, but REQUEST_URI is absent or no path    | minimal FastCGI clients           |
 * | asterisk          | REQUEST_URI is "*"                                | OPTIONS *                         |
 *
 * What cannot be known: h2o's mount (SCRIPT_NAME is always empty), the mount of a ProxyPass without SetEnvIf or of a
 * SetHandler, a lighttpd "/" without fix-root-scriptname but for GET / itself, and whether HAProxy's or lighttpd's
 * "/m" alone is a mount or a path. `base` states it.
 */

import { clip } from "../base/text.ts";
import type { ParamSource } from "./environ.ts";
import type { MountRule } from "./mount-options.ts";
import { decodePath, encodePath, endsWithPath, isSamePath, prefixEnd, SLASH } from "./paths.ts";
import {
  checkNoControls,
  cutAt,
  makeTarget,
  readRequest,
  type Target,
  type TargetRequest,
} from "./target.ts";

/** Apache's mod_proxy_fcgi before any ProxyFCGISetEnvIf. */
export function isProxyForm(params: ParamSource): boolean {
  return params.get("SCRIPT_FILENAME")?.startsWith(PROXY_FORM) ?? false;
}

const PROXY_FORM = "proxy:fcgi://";

/** Apache's SetHandler, which names a file below the document root; ProxyPass names the path behind its own prefix. */
function isSetHandler(params: ParamSource, scriptName: string): boolean {
  const file = params.get("SCRIPT_FILENAME") ?? "";
  return file.startsWith(PROXY_FORM) && file.endsWith((params.get("DOCUMENT_ROOT") ?? "") + scriptName);
}

/** Files that are programs, by name: in SCRIPT_NAME they are no part of the public URL unless REQUEST_URI has them. */
const SCRIPT_NAME_ENDING = /\.(?:fcgi|fcg|cgi|[cm]?[jt]s|php|pl|py|rb)$/i;
/** The ones that are not also names of ordinary files an application may deliver. */
const PROGRAM_ENDING = /\.(?:fcgi|fcg|cgi)$/i;

/** Applies the rule to a request of any shape. */
export function resolveOdd(params: ParamSource, mount: MountRule, uri: string | undefined): Target {
  const request = readRequest(params, uri);
  if (request.raw === "*")
    return { base: "", path: "*", query: "", url: "*", originalUrl: "*", rule: "asterisk" };
  switch (mount.kind) {
    case "auto":
      return resolveAuto(params, request);
    case "keep":
      return resolveKeep(request);
    case "base":
      return resolveBase(params, request, mount.base);
    case "root-fix":
      return makeTarget(
        request,
        "",
        locate(request, request.scriptName + request.pathInfo),
        "LighttpdCGIRootFix",
      );
    case "strip":
      return resolveStrip(request);
  }
}

function resolveAuto(params: ParamSource, request: TargetRequest): Target {
  const { raw, scriptName, pathInfo } = request;
  if (!request.isRaw)
    return makeTarget(request, encodePath(scriptName), encodePath(pathInfo), request.builtBy);
  if (scriptName === "") {
    if (pathInfo === "" || isSamePath(raw, pathInfo)) return makeTarget(request, "", raw, "root");
    return resolveRewritten(params, request);
  }
  if (
    pathInfo !== "" &&
    pathInfo.charCodeAt(0) !== SLASH &&
    prefixEnd(raw, scriptName + pathInfo) === raw.length
  ) {
    return makeTarget(request, "", raw, "prefix-clash", clashWarning(scriptName, raw));
  }
  if (pathInfo === "") return resolveWithoutPathInfo(params, request);
  const whole = scriptName + pathInfo;
  const end = prefixEnd(raw, scriptName);
  const isCut = end >= 0 && isSamePath(raw.slice(end) || "/", pathInfo);
  if (isCut || isSamePath(raw, whole)) {
    if (isSetHandler(params, scriptName) && !PROGRAM_ENDING.test(scriptName)) {
      return makeTarget(request, "", raw, "set-handler", setHandlerWarning(scriptName, pathInfo));
    }
    if (isCut) return cutAt(request, end, "mounted");
    return makeTarget(
      request,
      encodePath(scriptName),
      encodePath(pathInfo),
      "mounted-tidied",
      undefined,
      raw,
    );
  }
  if (SCRIPT_NAME_ENDING.test(scriptName)) {
    const folder = scriptName.slice(0, scriptName.lastIndexOf("/"));
    const folderEnd = prefixEnd(raw, folder);
    if (folderEnd >= 0 && isSamePath(raw.slice(folderEnd), pathInfo))
      return cutAt(request, folderEnd, "script-hidden");
    if (isSamePath(raw, folder + pathInfo)) {
      return makeTarget(request, encodePath(folder), encodePath(pathInfo), "script-hidden", undefined, raw);
    }
    // /x -> /cgi-bin/app.fcgi/x. Caddy's rewrite takes an escaped question mark for the query's and drops the rest.
    if (isSamePath(raw, pathInfo) || isSamePath(raw.replace(/%3f.*$/is, ""), pathInfo)) {
      return makeTarget(request, "", raw, "script-hidden");
    }
  } else if (isSamePath(raw, pathInfo)) {
    // mod_fastcgi's authorizer has the whole path in both.
    if (isSamePath(raw, scriptName)) return makeTarget(request, "", raw, "whole-path");
    return makeTarget(request, encodePath(scriptName), raw, "prefix-added");
  }
  return resolveRewritten(params, request);
}

/** SCRIPT_NAME alone: a mount asked for without its slash, or the whole path. SCRIPT_FILENAME tells most of them apart. */
function resolveWithoutPathInfo(params: ParamSource, request: TargetRequest): Target {
  const { raw, scriptName } = request;
  const end = prefixEnd(raw, scriptName);
  if (end >= 0 && end < raw.length) return cutAt(request, end, "mounted"); // PATH_INFO is simply not configured
  if (end < 0 && !isSamePath(raw, scriptName)) {
    if (!SCRIPT_NAME_ENDING.test(scriptName)) return resolveRewritten(params, request);
    const folderEnd = prefixEnd(raw, scriptName.slice(0, scriptName.lastIndexOf("/")));
    return cutAt(request, Math.max(folderEnd, 0), "front-controller");
  }
  if (scriptName === "/") return makeTarget(request, "", raw, "whole-path", rootWarning(params));
  if (PROGRAM_ENDING.test(scriptName))
    return makeTarget(request, encodePath(scriptName), "", "script", undefined, raw);
  const file = params.get("SCRIPT_FILENAME") ?? "";
  if (file === "" || endsWithPath(file, scriptName)) return makeTarget(request, "", raw, "whole-path");
  // Apache's `ProxyPass /m/ fcgi://host/`: proxy:fcgi://host/a/b, or /a/b alone with ProxyFCGIBackendType GENERIC.
  const inside = file.startsWith(PROXY_FORM) ? file.slice(file.indexOf("/", PROXY_FORM.length)) : file;
  const tail = decodePath(inside);
  if (tail.length > 1 && tail.charCodeAt(0) === SLASH && scriptName.endsWith(tail)) {
    const mountEnd = prefixEnd(raw, scriptName.slice(0, -tail.length));
    if (mountEnd >= 0) return cutAt(request, mountEnd, "proxied");
  }
  if (file.startsWith(PROXY_FORM)) return makeTarget(request, "", raw, "whole-path");
  return makeTarget(request, encodePath(scriptName), "", "mounted", undefined, raw);
}

/** REQUEST_URI and the parameters name different places: the web server rewrote the request; what it made of it counts. */
function resolveRewritten(params: ParamSource, request: TargetRequest): Target {
  const { raw, scriptName, pathInfo } = request;
  const query = params.get("QUERY_STRING");
  if (query !== undefined) checkNoControls("QUERY_STRING", query);
  const rewritten: TargetRequest =
    query === undefined ? request : { ...request, search: query === "" ? "" : `?${query}` };
  const isScript = SCRIPT_NAME_ENDING.test(scriptName) && prefixEnd(raw, scriptName) < 0;
  const base = isScript ? scriptName.slice(0, scriptName.lastIndexOf("/")) : scriptName;
  const warning =
    `REQUEST_URI "${show(raw)}" is not SCRIPT_NAME "${show(scriptName)}" + PATH_INFO "${show(pathInfo)}"; taking it for an internal ` +
    `rewrite. If it is none, state the mount: base: "/..." (or "" for the root)`;
  if (pathInfo === "") return makeTarget(rewritten, "", encodePath(scriptName), "rewritten", warning);
  return makeTarget(rewritten, encodePath(base), encodePath(pathInfo), "rewritten", warning);
}

/** `base` or a forced `scriptName`: the path is cut there, whatever the parameters say about the mount. */
function resolveBase(params: ParamSource, request: TargetRequest, base: string): Target {
  const { raw } = request;
  const rewritten = resolveAuto(params, request);
  if (rewritten.rule === "rewritten") {
    const path = rewritten.base + rewritten.path;
    const isInside = path.startsWith(base) && path.charCodeAt(base.length) === SLASH;
    const { query, url, originalUrl } = rewritten;
    if (!isInside)
      return { base, path: rewritten.path, query, url, originalUrl: base + url, rule: "rewritten" };
    return {
      base,
      path: path.slice(base.length),
      query,
      url: originalUrl.slice(base.length),
      originalUrl,
      rule: "rewritten",
    };
  }
  const end = prefixEnd(raw, decodePath(base));
  if (end >= 0) return makeTarget(request, base, raw.slice(end), "base", undefined, raw);
  // Not spelt so. Either it is /./m/x, tidied in the parameters, or a proxy in front took the base off.
  const whole = request.scriptName + request.pathInfo;
  const tidied = encodePath(whole);
  if (prefixEnd(tidied, decodePath(base)) >= 0 && isSamePath(raw, whole)) {
    return makeTarget(request, base, tidied.slice(base.length), "base", undefined, raw);
  }
  const warning =
    `REQUEST_URI "${show(raw)}" does not begin with base "${base}"; taking it for a path inside. If no proxy in front ` +
    `takes "${base}" off, mend the base`;
  return makeTarget(request, base, raw, "base-added", warning);
}

/** `scriptName: "keep"`: the parameters as they are, in the client's spelling where REQUEST_URI agrees with them. */
function resolveKeep(request: TargetRequest): Target {
  const { raw, scriptName, pathInfo, isRaw } = request;
  const end = prefixEnd(raw, scriptName);
  if (isRaw && end >= 0 && isSamePath(raw.slice(end) || "/", pathInfo || "/"))
    return cutAt(request, end, "keep");
  const asked = isRaw && isSamePath(raw, scriptName + pathInfo) ? raw : undefined;
  return makeTarget(request, encodePath(scriptName), encodePath(pathInfo), "keep", undefined, asked);
}

/** flup's ScriptNameStripper: SCRIPT_NAME is no part of any URL. */
function resolveStrip(request: TargetRequest): Target {
  const { raw, scriptName, pathInfo, isRaw } = request;
  const end = prefixEnd(raw, scriptName);
  if (isRaw && end >= 0 && isSamePath(raw.slice(end) || "/", pathInfo)) {
    return makeTarget(request, "", raw.slice(end), "ScriptNameStripper", undefined, raw);
  }
  return makeTarget(request, "", locate(request, pathInfo || "/"), "ScriptNameStripper");
}

/** A client can make a path as long as it likes; the log line stays short. */
function show(text: string): string {
  return clip(text, 100);
}

function clashWarning(scriptName: string, raw: string): string {
  return (
    `the web server sends "${show(raw)}" to the application mounted at "${show(scriptName)}": its location matches more than ` +
    `that path; write it with a slash at the end`
  );
}

function setHandlerWarning(scriptName: string, pathInfo: string): string {
  return (
    `Apache's SetHandler in a Location cut the path at SCRIPT_NAME "${show(scriptName)}", PATH_INFO "${show(pathInfo)}", which ` +
    `is not the mount; state it: base: "/..." (or "" for the root), or use ProxyPass`
  );
}

/** lighttpd with `"/" => ...` and no fix-root-scriptname: certain only here, for "/a/b" looks like a mount "/a". */
function rootWarning(params: ParamSource): string | undefined {
  if (!params.get("SERVER_SOFTWARE")?.startsWith("lighttpd")) return undefined;
  return (
    `lighttpd sends SCRIPT_NAME "/" and no PATH_INFO: it will take the first segment of longer paths for the mount. ` +
    `Set "fix-root-scriptname" => "enable" there, or LighttpdCGIRootFix: true (or base: "") here`
  );
}

/** A decoded path in the client's spelling, if the client named that place; else encoded again. */
function locate(request: TargetRequest, decoded: string): string {
  if (request.isRaw && isSamePath(request.raw, decoded)) return request.raw;
  return encodePath(decoded);
}

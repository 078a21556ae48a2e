// HOT
/**
 * Where the application is mounted, and which path inside the mount was asked for.
 *
 * CGI (RFC 3875 §4.1.5, §4.1.13) says SCRIPT_NAME + PATH_INFO is the path, decoded. Web servers disagree about where
 * one ends and the other begins, and decoding cannot be undone. REQUEST_URI has the bytes the client sent, but knows
 * no mount. So: the parameters say *where* REQUEST_URI is cut, REQUEST_URI says *what* the pieces are. Only when the
 * two name different places (an internal rewrite) is PATH_INFO encoded again.
 *
 * The fast path is here: parameters that agree letter by letter. Everything else is in mount-rules.ts.
 */
import { authority, type ParamSource, scheme } from "./environ.ts";
import { AUTO, type MountRule } from "./mount-options.ts";
import { isProxyForm, resolveOdd } from "./mount-rules.ts";
import { SLASH } from "./paths.ts";
import type { Target } from "./target.ts";

export type { Target } from "./target.ts";

/**
 * Works out the mount, path and query of a request.
 * @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID`, scope request: control characters in the URL
 */
export function resolveTarget(params: ParamSource, mount: MountRule = AUTO): Target {
  const uri = params.get("REQUEST_URI");
  if (uri !== undefined && (mount.kind === "auto" || mount.kind === "base")) {
    const end = plainPathEnd(uri);
    const scriptName = params.get("SCRIPT_NAME") ?? "";
    const pathInfo = params.get("PATH_INFO") ?? "";
    if (
      end > 0 &&
      scriptName.length + pathInfo.length === end &&
      pathInfo.charCodeAt(0) === SLASH &&
      uri.startsWith(pathInfo, scriptName.length) &&
      uri.startsWith(scriptName)
    ) {
      const base = mount.kind === "base" ? mount.base : scriptName;
      const cut = base.length;
      if (cut === 0) return cutPlain(uri, 0, end, "", mount.kind === "base" ? "base" : "root");
      if (mount.kind === "base") {
        if (uri.startsWith(base) && uri.charCodeAt(cut) === SLASH)
          return cutPlain(uri, cut, end, base, "base");
      } else if (!isProxyForm(params)) {
        return cutPlain(uri, cut, end, base, "mounted");
      }
    }
  }
  return resolveOdd(params, mount, uri);
}

function cutPlain(uri: string, cut: number, end: number, base: string, rule: string): Target {
  const query = end < uri.length ? uri.slice(end + 1) : "";
  return { base, path: uri.slice(cut, end), query, url: uri.slice(cut), originalUrl: uri, rule };
}

const QUESTION = 0x3f;

/**
 * End of the path in a REQUEST_URI that means exactly what it says: begins with one slash, holds no percent sign,
 * no backslash, no doubled slash, nothing outside printable ASCII. Else -1.
 */
function plainPathEnd(uri: string): number {
  let end = -1;
  let before = 0;
  for (let at = 0; at < uri.length; at++) {
    const code = uri.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f) return -1;
    if (end >= 0) continue;
    if (code === 0x25 || code === 0x5c || (code === SLASH && before === SLASH)) return -1;
    if (code === QUESTION) end = at;
    before = code;
  }
  if (uri.charCodeAt(0) !== SLASH) return -1;
  return end < 0 ? uri.length : end;
}

/**
 * The absolute URL the client asked for, percent-encoded throughout; always accepted by `new URL`.
 * The host is checked, see {@link authority}.
 */
export function absoluteUrl(params: ParamSource, resolved: Target): string {
  const origin = `${scheme(params)}://${authority(params)}`;
  // `OPTIONS *` has an empty path. RFC 9110 §7.1.
  return resolved.originalUrl === "*" ? `${origin}/` : origin + encodeRest(resolved.originalUrl);
}

/** Encodes what `new URL` would understand otherwise: bytes above ASCII (it would take them for Unicode), `#`, `\`, space. */
function encodeRest(url: string): string {
  let encoded = "";
  let from = 0;
  for (let at = 0; at < url.length; at++) {
    const code = url.charCodeAt(at);
    if (code > 0x20 && code < 0x7f && code !== 0x23 && code !== 0x5c) continue;
    encoded += `${url.slice(from, at)}%${code.toString(16).toUpperCase().padStart(2, "0")}`;
    from = at + 1;
  }
  return from === 0 ? url : encoded + url.slice(from);
}

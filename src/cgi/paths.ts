/**
 * URL paths as bytes: decoding, re-encoding, and whether two spellings mean the same place.
 *
 * All strings are latin1, one character per byte. Every function takes time linear in its input: paths come
 * from strangers.
 */

const HEX = "0123456789ABCDEF";
const PERCENT = 0x25;
const DOT = 0x2e;
/** The character code of "/". */
export const SLASH = 0x2f;

/** By byte, 1 for pchar of RFC 3986 §3.3 and the slash: what a path may hold unencoded. */
const PATH_BYTES: Uint8Array = new Uint8Array(256);
for (const byte of Buffer.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/",
)) {
  PATH_BYTES[byte] = 1;
}

/** Percent-encodes decoded bytes for use as a path. The inverse of {@link decodePath}. */
export function encodePath(decoded: string): string {
  let encoded = "";
  let from = 0;
  for (let at = 0; at < decoded.length; at++) {
    const byte = decoded.charCodeAt(at);
    if (PATH_BYTES[byte] === 1) continue;
    encoded += `${decoded.slice(from, at)}%${HEX[byte >> 4]}${HEX[byte & 15]}`;
    from = at + 1;
  }
  return encoded + decoded.slice(from);
}

/** Decodes every `%XX`; what is not hexadecimal stays as it is, as lighttpd, h2o and Cherokee leave `/bad%zz`. */
export function decodePath(raw: string, keepsSlash = false): string {
  let at = raw.indexOf("%");
  if (at < 0) return raw;
  // Bytes, not pieces of string: a rope of a thousand escapes is slow to straighten.
  const bytes = Buffer.from(raw, "latin1");
  let end = at;
  for (; at < raw.length; at++) {
    const code = bytes[at]!;
    const byte = code === PERCENT ? escapedByte(raw, at) : -1;
    if (byte < 0 || (keepsSlash && byte === SLASH)) {
      bytes[end++] = code;
    } else {
      bytes[end++] = byte;
      at += 2;
    }
  }
  return bytes.toString("latin1", 0, end);
}

/** The byte that `%XX` at `at` stands for, or -1. */
function escapedByte(raw: string, at: number): number {
  const high = hexDigit(raw.charCodeAt(at + 1));
  const low = hexDigit(raw.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** Value of a hexadecimal digit, or -1; NaN (beyond the end) gives -1. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Merges slashes and resolves dot segments, as nginx, Apache, lighttpd and Cherokee do to PATH_INFO. */
function normalizePath(decoded: string): string {
  if (!decoded.includes("//") && !decoded.includes("/.")) return decoded;
  // In place: behind its slash, what is kept never gets ahead of what is read.
  const bytes = Buffer.from(decoded.startsWith("/") ? decoded : `/${decoded}`, "latin1");
  let kept = 0;
  let isFolder = false;
  for (let at = 0; at < bytes.length; ) {
    const start = at + 1;
    at = bytes.indexOf(SLASH, start);
    isFolder = at < 0 && start === bytes.length;
    if (at < 0) at = bytes.length;
    const length = at - start;
    if (length === 0) continue;
    if (length <= 2 && bytes[start] === DOT && bytes[at - 1] === DOT) {
      isFolder = true;
      if (length === 2) kept = Math.max(bytes.subarray(0, kept).lastIndexOf(SLASH), 0);
      continue;
    }
    bytes.copyWithin(kept, start - 1, at);
    kept += length + 1;
  }
  return bytes.toString("latin1", 0, kept) + (isFolder || kept === 0 ? "/" : "");
}

/**
 * Whether a raw path and a decoded one name the same place, however much the web server tidied the latter.
 * Apache with `AllowEncodedSlashes NoDecode` decodes everything but `%2F`.
 */
export function isSamePath(raw: string, decoded: string): boolean {
  if (raw === decoded) return true;
  const wanted = normalizePath(decoded);
  if (normalizePath(decodePath(raw)) === wanted) return true;
  return /%2f/i.test(raw) && normalizePath(decodePath(raw, true)) === wanted;
}

/** Where in `raw` the decoded prefix ends, when it does so at the end of a segment; else -1. */
export function prefixEnd(raw: string, decoded: string): number {
  let at = 0;
  for (let index = 0; index < decoded.length; index++) {
    const wanted = decoded.charCodeAt(index);
    // The literal character first: a decoded "%" may stand before two hexadecimal digits.
    if (raw.charCodeAt(at) === wanted && !(wanted === PERCENT && escapedByte(raw, at) === PERCENT)) at += 1;
    else if (raw.charCodeAt(at) === PERCENT && escapedByte(raw, at) === wanted) at += 3;
    else return -1;
  }
  return at === raw.length || raw.charCodeAt(at) === SLASH ? at : -1;
}

/** Whether the file part of `path` ends with `tail`, whichever of them is still encoded. */
export function endsWithPath(path: string, tail: string): boolean {
  return path.endsWith(tail) || normalizePath(decodePath(path)).endsWith(normalizePath(tail));
}

/** URLs as curl takes them: with or without a scheme, or only a path. Latin1: one character, one byte. */
import { CurlExit, CurlFailure } from "./exit.ts";
import { latin1 } from "./options.ts";

export interface CurlUrl {
  readonly isHttps: boolean;
  /** `host`, `host:port`, `[::1]:port`. */
  readonly authority: string;
  /** Path and query, as sent. */
  readonly uri: string;
  /** `user:password` of the URL, decoded. */
  readonly user: string | undefined;
}

/** The host of a bare path. */
const DEFAULT_HOST = "localhost";

/** @throws {CurlFailure} 1 and 3, as curl */
export function parseUrl(text: string, isPathAsIs = false): CurlUrl {
  return parseBytes(latin1(text), text, isPathAsIs);
}

function parseBytes(raw: string, text = raw, isPathAsIs = false): CurlUrl {
  if (raw === "") throw malformed(text, "it is empty");
  if (/[\x00-\x20\x7f]/.test(raw))
    throw malformed(text, "a blank or a control character in it must be written as %20 and the like");
  const whole = raw.startsWith("/") ? `http://${DEFAULT_HOST}${raw}` : raw;
  const { scheme = "http", rest } = /^(?:(?<scheme>[A-Za-z][A-Za-z0-9+.-]*):\/\/)?(?<rest>.*)$/s.exec(whole)!
    .groups as { scheme?: string; rest: string };
  if (!/^https?$/i.test(scheme)) {
    throw new CurlFailure(
      CurlExit.UnsupportedScheme,
      `${text}: only http and https URLs can be asked for, not ${scheme}`,
    );
  }
  const [, credentials, authority = "", afterwards = ""] = /^(?:([^/?#]*)@)?([^/?#]*)(.*)$/s.exec(rest) ?? [];
  if (!/^(?:\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::\d{0,5})?$/.test(authority)) {
    throw malformed(text, authority === "" ? "the host is missing" : "the host cannot be read");
  }
  const tail = afterwards.replace(/#.*$/s, "");
  const uri = encodedPath(tail.startsWith("/") ? tail : `/${tail}`);
  return {
    isHttps: scheme.toLowerCase() === "https",
    authority: authority.replace(/:$/, ""),
    uri: isPathAsIs ? uri : withoutDots(uri),
    user: credentials === undefined ? undefined : decoded(credentials),
  };
}

/** A Location, as seen from the URL that sent it. */
export function resolveUrl(base: CurlUrl, location: string): CurlUrl {
  const text = location.replace(/#.*$/s, "").replaceAll(" ", "%20");
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(text)) return parseBytes(text);
  const scheme = base.isHttps ? "https" : "http";
  if (text.startsWith("//")) return parseBytes(`${scheme}:${text}`);
  const [path = "/"] = base.uri.split("?", 1);
  const here =
    text === ""
      ? base.uri
      : text.startsWith("?")
        ? path + text
        : path.slice(0, path.lastIndexOf("/") + 1) + text;
  return { ...base, uri: withoutDots(text.startsWith("/") ? text : here), user: undefined };
}

/** The URL for messages and for `%{url_effective}`. */
export function printUrl({ isHttps, authority, uri }: CurlUrl): string {
  return `${isHttps ? "https" : "http"}://${authority}${uri}`;
}

/** Host names of two URLs; a port is not compared: behind a web server the application often learns another one. */
export function isSameHost(one: CurlUrl, other: CurlUrl): boolean {
  const name = (url: CurlUrl): string => url.authority.replace(/:\d*$/, "").toLowerCase();
  return name(one) === name(other);
}

/** Bytes above ASCII are no part of a path; in a query curl leaves them. */
function encodedPath(uri: string): string {
  const mark = uri.indexOf("?");
  const path = mark < 0 ? uri : uri.slice(0, mark);
  const encoded = path.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  return encoded + uri.slice(path.length);
}

/** Dot segments of the path removed, as curl does before it sends. RFC 3986 §5.2.4. */
function withoutDots(uri: string): string {
  const mark = uri.indexOf("?");
  const path = mark < 0 ? uri : uri.slice(0, mark);
  if (!/\/\.\.?(?:\/|$)/.test(path)) return uri;
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  segments.forEach((segment, index) => {
    const isLast = index === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (isLast) kept.push("");
  });
  return `/${kept.join("/")}${mark < 0 ? "" : uri.slice(mark)}`;
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function malformed(text: string, why: string): CurlFailure {
  return new CurlFailure(CurlExit.Url, `the URL ${JSON.stringify(text)} is malformed: ${why}`);
}

// HOT
/** The head of a node:http response as a CGI header block: from its headers, or from the head that node:http wrote. */
import { AppError } from "../base/errors.ts";
import { isHopByHop, MAX_HEAD_BYTES } from "../cgi/response-head.ts";
import type { ResponseInternals } from "./http-internals.ts";
import { isHeaderText, lowerName, type SetHeaders } from "./response-headers.ts";

/** What `writeHead` takes, when it takes an object. */
export type GivenHeaders = Readonly<Record<string, unknown>>;

/** What of a response its head depends on. */
export interface HeadSource extends ResponseInternals {
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly sendDate: boolean;
}

const STATUS_AT = "HTTP/1.1 ".length;
const EVENTS = /^text\/event-stream\b/i;
/** RFC 9110 §8.6; node:http lets an application's length pass. h2o waits for such a body. */
const HAS_NO_LENGTH = /^Status: (?:1\d\d|204)\b/;
/** Heads that hold one of these need a closer look; most hold none. */
const SPECIAL =
  /\r\n(?:connection|keep-alive|proxy-connection|transfer-encoding|te|trailer|upgrade|status|location|content-type: text\/event-stream)\b/i;

/**
 * `HTTP/1.1 404 Not Found` + headers + empty line → `Status: 404 Not Found` + the headers that mean something to
 * a web server. Node has checked names and values.
 * @throws {AppError} ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE
 */
export function headFromHttp(http: string): string {
  const lineEnd = http.indexOf("\r\n");
  let head = `Status: ${http.slice(STATUS_AT, lineEnd).trimEnd()}${http.slice(lineEnd)}`;
  if (HAS_NO_LENGTH.test(head) || SPECIAL.test(head)) head = rewrite(head);
  if (head.length > MAX_HEAD_BYTES) {
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE",
      `the response head has ${head.length} bytes, one FastCGI record carries ${MAX_HEAD_BYTES}; web servers accept 4 to 64 KiB`,
    );
  }
  return head;
}

/**
 * The block of an ordinary response, as node:http would make its own: with Date, and the length of a body that is
 * known. Undefined for one that needs a closer look, or is to be refused: `headFromHttp` is for those.
 * @param headers as they were set one by one, or as `writeHead` was given them
 * @param areChecked whether `setHeader` has checked them
 */
export function headFromHeaders(
  response: HeadSource,
  headers: GivenHeaders | Readonly<SetHeaders> | null | undefined,
  areChecked: boolean,
): string | undefined {
  const { statusCode, statusMessage } = response;
  // Of these node:http changes more than the head.
  if (statusCode === 204 || statusCode === 304 || statusCode < 200 || statusMessage === "") return undefined;
  let head = `Status: ${statusCode} ${statusMessage}\r\n`;
  let hasDate = false;
  let length: unknown;
  for (const key in headers) {
    let name = key;
    let lower = key;
    let value = headers[key];
    if (areChecked) {
      name = (value as SetHeaders[string])[0];
      value = (value as SetHeaders[string])[1];
    } else if (!Object.hasOwn(headers, key)) {
      continue;
    } else {
      lower = lowerName(key);
      if (lower === "" || (typeof value === "string" && !isHeaderText(value))) return undefined;
    }
    if (typeof value !== "string" && typeof value !== "number") return undefined;
    switch (lower) {
      case "connection":
      case "keep-alive":
      case "proxy-connection":
      case "transfer-encoding":
      case "te":
      case "trailer":
      case "upgrade":
      case "status":
      case "location":
      case "expect":
      case "cookie":
      case "content-disposition":
        return undefined;
      case "content-type":
        if (EVENTS.test(value as string)) return undefined;
        break;
      case "content-length":
        length = value;
        break;
      case "date":
        hasDate = true;
        break;
    }
    head += `${name}: ${value}\r\n`;
  }
  if (response.sendDate && !hasDate) head += dateLine();
  if (length !== undefined) {
    response._contentLength = Number(length);
    response._removedContLen = false;
  } else if (response._hasBody && response.useChunkedEncodingByDefault && !response._removedContLen) {
    const known = response._contentLength;
    if (typeof known === "number") head += `Content-Length: ${known}\r\n`;
  }
  return head.length + 2 > MAX_HEAD_BYTES ? undefined : `${head}\r\n`;
}

const later = setTimeout; // whatever a test of an application puts into its place
let date = "";

/** Made once a second, and only while there are responses: to ask for the time costs more than to forget it. */
function dateLine(): string {
  if (date === "") {
    const now = new Date();
    date = `Date: ${now.toUTCString()}\r\n`;
    later(forgetDate, 1000 - now.getMilliseconds()).unref();
  }
  return date;
}

function forgetDate(): void {
  date = "";
}

function rewrite(head: string): string {
  const [status = "", ...lines] = head.slice(0, -4).split("\r\n");
  const hasNoLength = HAS_NO_LENGTH.test(status);
  let kept = "";
  let isEventStream = false;
  let saysBuffering = false;
  let hasLocation = false;
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase();
    if (isHopByHop(name) || name === "status") continue; // a second Status is not ours
    if (name === "content-length" && hasNoLength) continue;
    if (name === "location") hasLocation = true;
    if (name === "content-type" && /:\s*text\/event-stream\b/i.test(line)) isEventStream = true;
    if (name === "x-accel-buffering") saysBuffering = true;
    kept += `${line}\r\n`;
  }
  // nginx would hold the events back until the end.
  if (isEventStream && !saysBuffering) kept += "X-Accel-Buffering: no\r\n";
  // HAProxy 2.6 takes what it meets last: every Location after Status is a 302 to it.
  return hasLocation ? `${kept}${status}\r\n\r\n` : `${status}\r\n${kept}\r\n`;
}

/** The bytes of UTF-8, a character each, as heads are sent. */
export function asUtf8(head: string, isAlone: boolean): string {
  if (Buffer.byteLength(head) === head.length) return head;
  // Without a length node:http sends the size of the first chunk with the head, and that as latin1.
  return isAlone || /\r\ncontent-length:/i.test(head) ? Buffer.from(head).toString("latin1") : head;
}

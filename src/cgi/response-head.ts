// HOT: serializeHead runs for every response.
/**
 * The header block of a CGI response (RFC 3875 §6.2, §6.3): written for the web server, read for the client.
 *
 * Written: `Status` always (web servers disagree about `Location` without it, and some refuse an empty block), first,
 * but last where there is a `Location` (HAProxy 2.6 makes a 302 of every status that stands before one); nothing
 * hop-by-hop, nothing that could be taken for a second header. Everything is checked before the first byte leaves.
 * Read: strictly, within limits, because the program behind the socket may be anybody's.
 */
import { AppError, RemoteProtocolError } from "../base/errors.ts";
import { clip, escapeControls } from "../base/text.ts";
import { isToken } from "./environ.ts";

/** Most bytes of a header block: it travels in one STDOUT record, without padding. HAProxy needs that. */
export const MAX_HEAD_BYTES = 65528;

// What a header name means to us.
const PLAIN = 0;
const DROPPED = 1; // hop-by-hop, RFC 9110 §7.6.1, and Status, which is ours to write
const UPGRADE = 2; // hop-by-hop except with 101
const CONTENT_TYPE = 3;
const ACCEL_BUFFERING = 4;
const LOCATION = 5;
const CONTENT_LENGTH = 6;
const INVALID = 7;

const KNOWN_NAMES: ReadonlyMap<string, number> = new Map([
  ["connection", DROPPED],
  ["keep-alive", DROPPED],
  ["proxy-connection", DROPPED],
  ["te", DROPPED],
  ["trailer", DROPPED],
  ["transfer-encoding", DROPPED],
  ["status", DROPPED],
  ["upgrade", UPGRADE],
  ["content-type", CONTENT_TYPE],
  ["content-length", CONTENT_LENGTH],
  ["location", LOCATION],
  ["x-accel-buffering", ACCEL_BUFFERING],
]);

const MAX_CACHED_NAMES = 512;
const nameKinds = new Map<string, number>();

function learnName(name: string): number {
  const kind = isToken(name) ? (KNOWN_NAMES.get(name.toLowerCase()) ?? PLAIN) : INVALID;
  if (nameKinds.size < MAX_CACHED_NAMES && name.length <= 64) nameKinds.set(name, kind);
  return kind;
}

/** Whether a header concerns one connection only and must not be passed on; `name` in lower case. RFC 9110 §7.6.1. */
export function isHopByHop(name: string): boolean {
  const kind = KNOWN_NAMES.get(name);
  return name !== "status" && (kind === DROPPED || kind === UPGRADE);
}

/** Whether such a response ends with its header block whatever the headers say. RFC 9110 §6.4.1. */
export function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304 || (status >= 100 && status < 200);
}

/**
 * The header block as latin1 text, blank line included.
 * @param reason may be empty; web servers put in their own
 * @param headers name, value, name, value; duplicates are kept
 * @throws {AppError} `ERR_POSTERN_RESPONSE_HEAD` for what HTTP forbids, `ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE`
 *   beyond {@link MAX_HEAD_BYTES}
 */
export function serializeHead(
  status: number,
  reason: string,
  headers: readonly string[],
  isStatusFirst = false,
): string {
  if (!Number.isInteger(status) || status < 100 || status > 999) {
    throw new AppError("ERR_POSTERN_RESPONSE_HEAD", `status ${status} is not a number from 100 to 999`);
  }
  if (!isFieldValue(reason)) throw forbidden("the reason phrase", reason);
  const statusLine = reason === "" ? `Status: ${status}\r\n` : `Status: ${status} ${reason}\r\n`;
  let head = statusLine;
  let isEventStream = false;
  let hasBuffering = false;
  let hasLocation = false;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]!;
    const value = headers[at + 1]!;
    const kind = nameKinds.get(name) ?? learnName(name);
    if (kind === INVALID) throw forbidden("a header name", name);
    if (!isFieldValue(value)) throw forbidden(`header "${name}"`, value);
    if (kind !== PLAIN) {
      if (kind === DROPPED || (kind === UPGRADE && status !== 101)) continue;
      // RFC 9110 §8.6. h2o waits for such a body, and closes the client's connection.
      if (kind === CONTENT_LENGTH && (status === 204 || status < 200)) continue;
      if (kind === CONTENT_TYPE) isEventStream = value.slice(0, 17).toLowerCase() === "text/event-stream";
      else if (kind === ACCEL_BUFFERING) hasBuffering = true;
      else if (kind === LOCATION) hasLocation = true;
    }
    head += `${name}: ${value}\r\n`;
  }
  // nginx holds a response back until its buffers are full; events must go out one by one.
  if (isEventStream && !hasBuffering) head += "X-Accel-Buffering: no\r\n";
  // lighttpd drops what an authorizer says before a Status that is not 200.
  head = hasLocation && !isStatusFirst ? `${head.slice(statusLine.length)}${statusLine}\r\n` : `${head}\r\n`;
  if (head.length > MAX_HEAD_BYTES) {
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE",
      `response header block of ${head.length} bytes, the limit is ${MAX_HEAD_BYTES}`,
    );
  }
  return head;
}

function forbidden(what: string, text: string): AppError {
  return new AppError("ERR_POSTERN_RESPONSE_HEAD", `${what} holds characters HTTP forbids: "${quote(text)}"`);
}

/** Whether `name` may be the name of a header. RFC 9110 §5.1. */
export function isFieldName(name: string): boolean {
  return (nameKinds.get(name) ?? learnName(name)) !== INVALID;
}

/** Tab, printable ASCII and bytes above it. Characters above U+00FF would lose their upper half on the wire: U+010A is "\n". */
export function isFieldValue(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false;
  }
  return true;
}

function quote(text: string): string {
  return escapeControls(clip(text, 80));
}

/** A header block as parsed. */
export interface ResponseHead {
  /** From `Status`; 302 for `Location` alone; else 200. RFC 3875 §6.3.3. */
  readonly status: number;
  /** Reason phrase of `Status`; "" when there is none. */
  readonly reason: string;
  /** Name, value, name, value, as sent, `Status` left out. */
  readonly headers: readonly string[];
  /** The path, when the program asks for an internal redirect: `Location: /path` without `Status`. RFC 3875 §6.2.2. */
  readonly localRedirect: string | undefined;
}

/** Bounds of one header block. */
export interface ResponseHeadLimits {
  /** Bytes, line ends included; those of interim blocks count too. @default 131072 */
  readonly maxHeadBytes?: number;
  /** Headers. @default 1000 */
  readonly maxHeaders?: number;
}

const LF = 0x0a;

/**
 * Reads one header block from pieces of STDOUT, cut anywhere. An interim block (`Status: 103`) is a head like any
 * other: whoever wants the final one calls {@link reset} and goes on with the rest.
 */
export class ResponseHeadParser {
  readonly #maxBytes: number;
  readonly #maxHeaders: number;
  #line = ""; // the incomplete line
  #bytes = 0;
  #interimBytes = 0; // of the blocks before this one: together they are bounded like one
  #headers: string[] = [];
  #status: string | undefined = undefined;
  #location: string | undefined = undefined;
  #hasLength = false;
  #head: ResponseHead | undefined = undefined;

  constructor(limits: ResponseHeadLimits = {}) {
    this.#maxBytes = limits.maxHeadBytes ?? 131072;
    this.#maxHeaders = limits.maxHeaders ?? 1000;
  }

  /** The header block, once {@link push} has seen its end. */
  get head(): ResponseHead | undefined {
    return this.#head;
  }

  /**
   * Takes bytes of STDOUT.
   * @returns where the body begins in `chunk` (it may be `end`), or -1 while the block is incomplete
   * @throws {RemoteProtocolError} `ERR_POSTERN_RESPONSE_MALFORMED`, scope request
   */
  push(chunk: Buffer, start = 0, end: number = chunk.length): number {
    if (this.#head !== undefined) return start;
    let at = start;
    while (at < end) {
      const found = chunk.indexOf(LF, at);
      const isWhole = found >= 0 && found < end;
      const next = isWhole ? found + 1 : end;
      this.#bytes += next - at;
      if (this.#bytes + this.#interimBytes > this.#maxBytes) {
        throw malformed(`its header block exceeds ${this.#maxBytes} bytes`);
      }
      this.#line += chunk.toString("latin1", at, isWhole ? found : end);
      at = next;
      if (!isWhole) break;
      const line = this.#line.endsWith("\r") ? this.#line.slice(0, -1) : this.#line;
      this.#line = "";
      if (line === "") {
        this.#head = this.#finish();
        return at;
      }
      this.#addLine(line);
    }
    return -1;
  }

  /** STDOUT has ended. @throws {RemoteProtocolError} `ERR_POSTERN_RESPONSE_MALFORMED`: inside the header block */
  end(): void {
    if (this.#head !== undefined) return;
    if (this.#bytes === 0) throw malformed("it ended without a header block");
    throw malformed(
      `it ended inside the header block, after "${quote(this.#line || (this.#headers.at(-1) ?? ""))}"`,
    );
  }

  /** Forgets the block that was read, for the one after an interim response. */
  reset(): void {
    this.#line = "";
    this.#interimBytes += this.#bytes;
    this.#bytes = 0;
    this.#headers = [];
    this.#status = undefined;
    this.#location = undefined;
    this.#hasLength = false;
    this.#head = undefined;
  }

  #addLine(line: string): void {
    const isFirst = this.#headers.length === 0 && this.#status === undefined;
    if (isFirst && /^HTTP\/\d/.test(line)) {
      throw malformed(
        `it begins with "${quote(line)}": that is HTTP (an nph program), CGI begins with headers`,
      );
    }
    if (line.startsWith(" ") || line.startsWith("\t")) {
      throw malformed(`folded header line "${quote(line)}"; RFC 9112 §5.2 forbids it`);
    }
    const colon = line.indexOf(":");
    if (colon < 0) throw malformed(`header line without a colon: "${quote(line)}"`);
    const name = line.slice(0, colon);
    if (!isToken(name)) throw malformed(`header name that is not a token: "${quote(line)}"`);
    const value = trimSpace(line, colon + 1);
    if (!isFieldValue(value)) throw malformed(`control character in header line "${quote(line)}"`);
    switch (name.toLowerCase()) {
      case "status":
        if (this.#status !== undefined) throw malformed(`second Status: "${quote(line)}"`);
        this.#status = value;
        return;
      case "location":
        this.#location ??= value;
        break;
      case "content-length":
        // Two lengths, or one that is no number, let a client and a proxy see different responses.
        if (this.#hasLength || !/^\d{1,15}$/.test(value)) throw malformed(`bad or second "${quote(line)}"`);
        this.#hasLength = true;
        break;
    }
    if (this.#headers.length >= 2 * this.#maxHeaders)
      throw malformed(`more than ${this.#maxHeaders} headers`);
    this.#headers.push(name, value);
  }

  #finish(): ResponseHead {
    const headers = this.#headers;
    const status = this.#status;
    if (status !== undefined) {
      const found = /^([1-9]\d\d)(?:[ \t]+(.*))?$/.exec(status);
      if (found === null) throw malformed(`Status is not a three-digit number: "${quote(status)}"`);
      return { status: Number(found[1]), reason: found[2] ?? "", headers, localRedirect: undefined };
    }
    if (headers.length === 0) throw malformed("its header block is empty");
    const location = this.#location;
    if (location === undefined) return { status: 200, reason: "", headers, localRedirect: undefined };
    // "//host/path" is a reference to another host, not a path of this one.
    const isLocal = location.startsWith("/") && !location.startsWith("//");
    return { status: 302, reason: "", headers, localRedirect: isLocal ? location : undefined };
  }
}

/** The rest of `line` from `from` without spaces and tabs around it. */
function trimSpace(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isSpace(line.charCodeAt(start))) start++;
  while (end > start && isSpace(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function malformed(message: string): RemoteProtocolError {
  return new RemoteProtocolError(
    "ERR_POSTERN_RESPONSE_MALFORMED",
    `malformed response from the application: ${message}`,
    "request",
  );
}

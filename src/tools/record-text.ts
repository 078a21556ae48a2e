/**
 * Records in words, for people: one line for the record, and below it, indented, what it carries. Every text comes from
 * strangers and is escaped. What a record means to a web server is not judged here, nor is anything read from a socket.
 */
import { Params } from "../protocol/params.ts";
import { KEEP_CONN, RecordType, recordTypeName, roleName } from "../protocol/records.ts";
import { cut, printable } from "../status/text.ts";

/** A record that went by. */
export interface SeenRecord {
  readonly towards: "application" | "web server";
  readonly type: number;
  readonly requestId: number;
  readonly contentLength: number;
  readonly paddingLength: number;
  /** The content, or its beginning: shorter than `contentLength` when not all of it was kept. */
  readonly content: Buffer;
  /** ms since the start of the connection. */
  readonly at: number;
}

/** How records are shown. */
export interface RecordTextOptions {
  /** Content as a hex dump: all that was kept, or at most so many bytes. Else as text, its first lines. */
  readonly hex: boolean | number;
  /** Columns of a line; what is longer is cut. Hex dumps need 50 at least. */
  readonly width: number;
  /** Put the time of each record before it. @default false */
  readonly time?: boolean;
}

/** Lines of text shown of one record. */
const TEXT_LINES = 12;
const INDENT = "    ";

/** One record: what it is, and its content. Of PARAMS the content is left to {@link ParamsView}, unless as hex. */
export function recordLines(record: SeenRecord, options: RecordTextOptions): string[] {
  const { type, requestId, content, contentLength, paddingLength, towards, at } = record;
  const time = options.time === true ? `${at.toFixed(1).padStart(8)} ms ` : "";
  const arrow = towards === "application" ? "→" : "←";
  const padding = paddingLength > 0 ? `, ${paddingLength} of padding` : "";
  const head = `${time}${arrow} ${recordTypeName(type)} id ${requestId}  ${factsOf(record)}${padding}`;
  const lines = [cut(head, options.width)];
  if (options.hex !== false) {
    const most = options.hex === true ? content.length : Math.min(options.hex, content.length);
    lines.push(...hexLines(content.subarray(0, most), options.width));
    if (most < contentLength) lines.push(moreBytes(contentLength - most));
  } else if (isText(type)) {
    lines.push(...textLines(content, contentLength, options.width));
  } else if (isManagement(type)) {
    lines.push(...valueLines(record, options.width));
  }
  return lines;
}

/** The pairs of PARAMS streams, which are cut into records anywhere: shown with the record that completes them. */
export class ParamsView {
  /** Unfinished pairs by request id; undefined when the rest of the stream cannot be told apart. */
  readonly #rests = new Map<number, Buffer | undefined>();

  /** Takes every record of one direction; lines for the pairs that this one has completed. */
  lines(record: SeenRecord, width: number): string[] {
    const { type, requestId, content, contentLength } = record;
    if (type === RecordType.BeginRequest) this.#rests.delete(requestId);
    if (type !== RecordType.Params) return [];
    if (contentLength === 0) return this.#end(requestId);
    if (!this.#rests.has(requestId) && this.#rests.size >= MOST_STREAMS) this.#rests.clear();
    const before = this.#rests.get(requestId);
    if (this.#rests.has(requestId) && before === undefined) return [];
    if (content.length < contentLength) {
      this.#rests.set(requestId, undefined);
      return [`${INDENT}(not kept whole: the rest of these parameters is not shown)`];
    }
    const bytes = before === undefined ? content : Buffer.concat([before, content]);
    const { pairs, rest } = completePairs(bytes);
    const isTooMuch = rest.length > MOST_REST_BYTES;
    this.#rests.set(requestId, isTooMuch ? undefined : Buffer.from(rest));
    const lines = pairLines(pairs, width);
    if (isTooMuch) lines.push(`${INDENT}(a parameter of more than ${MOST_REST_BYTES} bytes: not shown)`);
    return lines;
  }

  #end(requestId: number): string[] {
    const rest = this.#rests.get(requestId);
    this.#rests.delete(requestId);
    if (rest === undefined || rest.length === 0) return [];
    return [`${INDENT}(malformed: the stream ends inside a parameter, ${rest.length} bytes are left over)`];
  }
}

const MOST_STREAMS = 1024;
const MOST_REST_BYTES = 1024 * 1024;

/** Bytes that are no records, or the end of a connection inside one. */
export interface NotRecords {
  readonly towards: SeenRecord["towards"];
  /** `garbage`: nothing can be read from there on. `cut`: the connection ended inside a record. */
  readonly reason: "garbage" | "cut";
  /** One sentence without its full stop. */
  readonly says: string;
  /** What speaks there, as `sniff` names it, when it is recognised from the first bytes of the connection. */
  readonly speaks: string | undefined;
  /** Bytes of this direction before it. */
  readonly offset: number;
  /** The first bytes of it. */
  readonly bytes: Buffer;
  readonly at: number;
}

/** The same for bytes that are no records. */
export function notRecordsLines(seen: NotRecords, options: RecordTextOptions): string[] {
  const time = options.time === true ? `${seen.at.toFixed(1).padStart(8)} ms ` : "";
  const arrow = seen.towards === "application" ? "→" : "←";
  const lines = [
    cut(`${time}${arrow} ${seen.reason === "cut" ? "cut" : "not a record"}: ${seen.says}`, options.width),
  ];
  if (seen.reason === "cut") return lines;
  if (options.hex === false) lines.push(...textLines(seen.bytes, seen.bytes.length, options.width));
  else lines.push(...hexLines(seen.bytes, options.width));
  return lines;
}

/** Offset, bytes and ASCII, sixteen bytes to a line, or eight where these do not fit. */
function hexLines(bytes: Uint8Array, width: number, indent: string = INDENT): string[] {
  const perLine = width >= indent.length + 8 + 16 * 4 ? 16 : 8;
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += perLine) {
    const row = Buffer.from(bytes.subarray(at, at + perLine));
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = row.toString("latin1").replace(/[^\x20-\x7e]/g, ".");
    lines.push(`${indent}${at.toString(16).padStart(4, "0")}  ${hex.padEnd(perLine * 3)} ${ascii}`);
  }
  return lines;
}

/** Bytes as one printable text: UTF-8 when they are that, else every byte above ASCII is escaped. */
export function printableBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = buffer.toString("utf8");
  // A character cut at either end is no reason to give up on the others.
  if (!text.replace(/^\ufffd{1,3}|\ufffd$/g, "").includes("\ufffd")) return printable(text);
  return buffer.toString("latin1").replace(/[^\x20-\x7e]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** What `protocolStatus` of END_REQUEST is called. FastCGI 1.0 §5.5. */
export function protocolStatusName(status: number): string {
  const names = ["FCGI_REQUEST_COMPLETE", "FCGI_CANT_MPX_CONN", "FCGI_OVERLOADED", "FCGI_UNKNOWN_ROLE"];
  return names[status] ?? `protocol status ${status}, which does not exist`;
}

/** What stands on the line of the record itself. */
function factsOf({ type, content, contentLength }: SeenRecord): string {
  const isWhole = content.length === 8;
  switch (type) {
    case RecordType.BeginRequest:
      if (contentLength !== 8 || !isWhole) return wrongLength(contentLength);
      return `${roleName(content.readUInt16BE(0))}, ${keepText(content[2]!)}`;
    case RecordType.EndRequest:
      if (contentLength !== 8 || !isWhole) return wrongLength(contentLength);
      return `app status ${content.readUInt32BE(0)}, ${protocolStatusName(content[4]!)}`;
    case RecordType.UnknownType:
      if (contentLength !== 8 || !isWhole) return wrongLength(contentLength);
      return `the application does not know ${recordTypeName(content[0]!)}`;
    case RecordType.AbortRequest:
      return contentLength === 0 ? "the web server gives the request up" : byteCount(contentLength);
    case RecordType.Params:
    case RecordType.Stdin:
    case RecordType.Stdout:
    case RecordType.Stderr:
    case RecordType.Data:
      return contentLength === 0 ? "end of the stream" : byteCount(contentLength);
    default:
      return byteCount(contentLength);
  }
}

function keepText(flags: number): string {
  const keep = (flags & KEEP_CONN) === KEEP_CONN ? "keep the connection" : "close the connection afterwards";
  return flags > KEEP_CONN ? `${keep}, flags ${flags}` : keep;
}

function wrongLength(contentLength: number): string {
  return `${byteCount(contentLength)} of content instead of 8`;
}

function byteCount(count: number): string {
  return `${count} byte${count === 1 ? "" : "s"}`;
}

function isText(type: number): boolean {
  return (
    type === RecordType.Stdin ||
    type === RecordType.Stdout ||
    type === RecordType.Stderr ||
    type === RecordType.Data ||
    type > RecordType.UnknownType ||
    type === 0
  );
}

function isManagement(type: number): boolean {
  return type === RecordType.GetValues || type === RecordType.GetValuesResult;
}

function moreBytes(count: number): string {
  return `${INDENT}… (${count} more byte${count === 1 ? "" : "s"})`;
}

/** The first lines of a text, or a hex dump of its beginning when it is none. */
function textLines(content: Buffer, contentLength: number, width: number): string[] {
  if (content.length === 0) return contentLength > 0 ? [moreBytes(contentLength)] : [];
  if (looksBinary(content)) {
    const shown = content.subarray(0, 64);
    const lines = hexLines(shown, width);
    if (shown.length < contentLength) lines.push(moreBytes(contentLength - shown.length));
    return lines;
  }
  const lines: string[] = [];
  let at = 0;
  while (at < content.length && lines.length < TEXT_LINES) {
    const feed = content.indexOf(0x0a, at);
    const end = feed < 0 ? content.length : feed + 1;
    lines.push(
      cut(
        `${INDENT}${printableBytes(content.subarray(at, end)).replace(/\\x0d\\x0a$|\\x0a$/, "")}`.trimEnd(),
        width,
      ),
    );
    at = end;
  }
  if (at < contentLength) lines.push(moreBytes(contentLength - at));
  return lines;
}

/** NUL, or more control characters than text has. */
function looksBinary(content: Buffer): boolean {
  const sample = content.subarray(0, 512);
  let controls = 0;
  for (const byte of sample) {
    if (byte === 0) return true;
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d && byte !== 0x1b) controls++;
  }
  return controls * 10 > sample.length;
}

/** The pairs of GET_VALUES and its answer, which are one record each. */
function valueLines({ content, contentLength }: SeenRecord, width: number): string[] {
  if (content.length < contentLength) return [moreBytes(contentLength)];
  const { pairs, rest } = completePairs(content);
  const lines = pairLines(pairs, width);
  if (rest.length > 0) lines.push(`${INDENT}(malformed: ${rest.length} bytes are left over)`);
  return lines;
}

/** Parameters, one to a line: names in a column, values escaped and cut. */
function pairLines(pairs: Iterable<readonly [string, string]>, width: number): string[] {
  const list = [...pairs];
  const column = Math.min(
    24,
    list.reduce((most, [name]) => Math.max(most, name.length), 0),
  );
  return list.map(([name, value]) => {
    const shownName = printableBytes(Buffer.from(name, "latin1"));
    const shownValue = printableBytes(Buffer.from(value, "latin1"));
    return cut(`${INDENT}${shownName.padEnd(column)}  ${shownValue}`.trimEnd(), width);
  });
}

/** Cuts a stream of name-value pairs behind its last complete one. FastCGI 1.0 §3.4. */
function completePairs(bytes: Buffer): { pairs: Params; rest: Buffer } {
  let at = 0;
  for (;;) {
    const name = lengthAt(bytes, at);
    const value = name && lengthAt(bytes, name.next);
    if (value === undefined || name === undefined) break;
    const end = value.next + name.length + value.length;
    if (end > bytes.length) break;
    at = end;
  }
  const pairs = Params.decode(bytes.toString("latin1", 0, at), Number.POSITIVE_INFINITY);
  return { pairs, rest: bytes.subarray(at) };
}

function lengthAt(bytes: Buffer, at: number): { length: number; next: number } | undefined {
  if (at >= bytes.length) return undefined;
  if (bytes[at]! < 0x80) return { length: bytes[at]!, next: at + 1 };
  if (at + 4 > bytes.length) return undefined;
  return { length: bytes.readUInt32BE(at) & 0x7fffffff, next: at + 4 };
}

/** The body of a request: curl's data flags, `-T`, and files. Forms with files are in multipart.ts. */
import { createReadStream, type Stats, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { RequestInput } from "../../client/options.ts";
import { CurlExit, CurlFailure } from "./exit.ts";
import { type DataFlag, latin1 } from "./options.ts";

/** What is sent. */
export interface Body {
  /** Bytes; undefined when nobody knows before the end. */
  readonly length: number | undefined;
  /** The Content-Type when `-H` gives none. */
  readonly contentType: string | undefined;
  /** Whether {@link open} may be called again, for a redirect that repeats the request. */
  readonly isReplayable: boolean;
  open(): RequestInput;
}

/** Standard input, opened by who asks first. */
export type OpenStdin = () => Readable;

/** Most bytes of a body that is collected before it is sent. */
const MOST_BYTES = 512 * 1024 * 1024;

/** The data flags, joined as curl joins them. @throws {CurlFailure} 26 */
export async function dataOf(flags: readonly DataFlag[], stdin: OpenStdin): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const [index, flag] of flags.entries()) {
    if (index > 0 && flag.kind !== "json") pieces.push(Buffer.from("&"));
    pieces.push(await pieceOf(flag, stdin));
  }
  return Buffer.concat(pieces);
}

/** The body that the data flags make. A single file is not read before it is sent. */
export async function dataBody(flags: readonly DataFlag[], stdin: OpenStdin): Promise<Body> {
  const isJson = flags.some(({ kind }) => kind === "json");
  const contentType = isJson ? "application/json" : "application/x-www-form-urlencoded";
  const [only, ...more] = flags;
  const isFile = only !== undefined && /^(?:binary|json)$/.test(only.kind) && /^@[^-]/.test(only.text);
  if (isFile && more.length === 0) return { ...fileBody(only.text.slice(1)), contentType };
  return wholeBody(await dataOf(flags, stdin), contentType);
}

/** Bytes in memory as a body. */
function wholeBody(bytes: Buffer, contentType: string | undefined): Body {
  return { length: bytes.length, contentType, isReplayable: true, open: () => bytes };
}

/** `-T`: a file, or standard input as it comes. */
export function uploadBody(file: string, stdin: OpenStdin): Body {
  if (file !== "-" && file !== ".") return fileBody(file);
  return { length: undefined, contentType: undefined, isReplayable: false, open: stdin };
}

/** A file as a body. What is no regular file (a FIFO) has no length, and is there only once. @throws {CurlFailure} 26 */
export function fileBody(file: string): Body {
  const stats = statsOf(file);
  const isReplayable = stats.isFile();
  const length = isReplayable ? stats.size : undefined;
  return { length, contentType: undefined, isReplayable, open: () => fileStream(file, length) };
}

/** The bytes of a file, `length` of them: not one more and not one less than was announced. */
export async function* fileStream(file: string, length: number | undefined): AsyncGenerator<Buffer> {
  let sent = 0;
  try {
    for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
      const most = length === undefined ? piece.length : length - sent;
      sent += Math.min(piece.length, most);
      if (most > 0) yield piece.length > most ? piece.subarray(0, most) : piece;
      if (length !== undefined && sent === length) return;
    }
  } catch (error) {
    throw unreadable(file, error);
  }
  if (length !== undefined && sent < length) {
    throw new CurlFailure(
      CurlExit.Read,
      `${file} has become shorter while it was sent: ${sent} of ${length} bytes`,
    );
  }
}

/** @throws {CurlFailure} 26: not there, not readable, a directory */
export function statsOf(file: string): Stats {
  let stats: Stats;
  try {
    stats = statSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
  if (stats.isDirectory()) throw new CurlFailure(CurlExit.Read, `${file} is a directory, not a file to send`);
  return stats;
}

/** All of a file, or of standard input for `-`. */
export async function readWhole(file: string, stdin: OpenStdin): Promise<Buffer> {
  if (file !== "-") {
    if (statsOf(file).size > MOST_BYTES) throw tooLarge(file);
    try {
      return await readFile(file);
    } catch (error) {
      throw unreadable(file, error);
    }
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stdin() as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > MOST_BYTES) throw tooLarge("standard input");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function tooLarge(what: string): CurlFailure {
  const message = `${what} has more than the ${MOST_BYTES} bytes that are kept in memory; send it with -T`;
  return new CurlFailure(CurlExit.Read, message);
}

async function pieceOf({ kind, text }: DataFlag, stdin: OpenStdin): Promise<Buffer> {
  switch (kind) {
    case "raw":
      return Buffer.from(text);
    case "urlencode":
      return urlencoded(text, stdin);
    default: {
      if (!text.startsWith("@")) return Buffer.from(text);
      const bytes = await readWhole(text.slice(1), stdin);
      if (kind !== "data") return bytes;
      // As curl: -d is for form fields in a file, however its lines are broken.
      return Buffer.from(bytes.toString("latin1").replace(/[\r\n\0]/g, ""), "latin1");
    }
  }
}

/** `content`, `=content`, `name=content`, `@file`, `name@file`: the name is taken as it is. */
async function urlencoded(text: string, stdin: OpenStdin): Promise<Buffer> {
  const [, name = "", sign = "", rest = text] = /^([^=@]*)([=@])(.*)$/s.exec(text) ?? [];
  const bytes = sign === "@" ? await readWhole(rest, stdin) : Buffer.from(rest);
  const value = encoded(bytes).replaceAll("%20", "+");
  return Buffer.from(name === "" ? value : `${name}=${value}`);
}

function encoded(bytes: Buffer): string {
  return bytes
    .toString("latin1")
    .replace(
      /[^A-Za-z0-9\-._~]/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
    );
}

/** The data of `-G` as the end of a URL. */
export function queryOf(data: Buffer): string {
  return latin1(data.toString("utf8")).replace(/[\x00-\x20\x7f]/g, (byte) => encoded(Buffer.from(byte)));
}

export function unreadable(file: string, error: unknown): CurlFailure {
  if (error instanceof CurlFailure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const why = { ENOENT: "there is no such file", EACCES: "permission denied" }[code ?? ""] ?? message;
  return new CurlFailure(CurlExit.Read, `${file} cannot be read: ${why}`, { cause: error });
}

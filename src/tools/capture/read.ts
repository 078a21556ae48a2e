/**
 * Reads recorded connections: a sidecar with its files, the bytes alone, or hex as it was copied from somewhere. What is
 * in the bytes is left to decode.ts.
 */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { SettingError } from "../../base/errors.ts";
import { RecordType } from "../../protocol/records.ts";
import { printable } from "../../status/text.ts";
import type { Side } from "./conversation.ts";

/** So many bytes from this side, at that time. */
export interface Step {
  readonly side: Side;
  readonly bytes: number;
  /** From the start of the connection, ms. */
  readonly atMs: number;
}

/** One connection, or a part of it, as it was recorded. */
export interface RecordedConnection {
  readonly name: string;
  /** What the web server sent; undefined when only the other direction is there. */
  readonly webServer: Buffer | undefined;
  readonly application: Buffer | undefined;
  /** In which order the bytes went by; empty when that was not written down. */
  readonly steps: readonly Step[];
  /** Secrets are x's. */
  readonly isRedacted: boolean;
  /** Who ended the connection, when that was written down; a request without an answer ended so. */
  readonly endedBy: Side | undefined;
  /** Why it ends before the connection did. */
  readonly cut: string | undefined;
  /** What its sidecar says of it. */
  readonly connection: Readonly<Record<string, unknown>> | undefined;
}

export interface ReadOptions {
  /** @default by the first record */
  readonly from?: Side | undefined;
  readonly isHex?: boolean | undefined;
  /** For `-`. */
  readonly stdin: Readable;
}

const MOST_BYTES = 1024 ** 3;
/** Of hex, which is read as text. */
const MOST_HEX_BYTES = 64 * 1024 ** 2;

/**
 * The connections of a file, a folder or standard input (`-`).
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: not there, not readable, too big, not what its name says
 */
export async function readRecordings(path: string, options: ReadOptions): Promise<RecordedConnection[]> {
  if (path === "-")
    return [single("standard input", await bytesOf(options.stdin, path, options), options.from)];
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw unusable(
      path,
      "there is no such file; name a .bin, .bin.gz or .json of a recording, or - for standard input",
    );
  }
  if (stats.isDirectory()) return folder(path);
  if (/\.json$/.test(path)) return sidecar(path);
  const bytes = await bytesOf(createReadStream(path), path, options);
  if (options.isHex === true) return [single(basename(path), bytes, options.from)];
  const beside = besideOf(path);
  if (beside !== undefined && options.from === undefined) {
    const all = sidecar(beside);
    const file = basename(path).replace(/\.gz$/, "");
    const one = all.find(({ connection }) => fileName(connection?.["file"]) === file);
    if (one !== undefined) return [one];
  }
  return [single(basename(path), bytes, options.from, outOf(path))];
}

/** Which side sent bytes, by their first record; the web server when that says nothing. */
export function sideOf(bytes: Buffer): Side {
  const type = bytes[0] === 1 ? (bytes[1] ?? 0) : 0;
  const isAnswer =
    type === RecordType.EndRequest ||
    type === RecordType.Stdout ||
    type === RecordType.Stderr ||
    type === RecordType.GetValuesResult ||
    type === RecordType.UnknownType;
  return isAnswer ? "application" : "web server";
}

function single(name: string, bytes: Buffer, from?: Side, answer?: Buffer): RecordedConnection {
  const side = from ?? sideOf(bytes);
  return {
    name,
    webServer: side === "web server" ? bytes : undefined,
    application: side === "application" ? bytes : answer,
    steps: [],
    isRedacted: false,
    endedBy: undefined,
    cut: undefined,
    connection: undefined,
  };
}

function folder(path: string): RecordedConnection[] {
  const names = readdirSync(path).sort();
  const found = names.flatMap((name) => {
    const file = join(path, name);
    if (/\.json$/.test(name)) return isSidecar(file) ? sidecar(file) : [];
    // A recording that was cut short by a kill has no sidecar.
    const isAlone = /\.bin(\.gz)?$/.test(name) && !/\.out\.bin/.test(name) && besideOf(file) === undefined;
    return isAlone ? [single(name, load(file), "web server", outOf(file))] : [];
  });
  if (found.length === 0) {
    throw unusable(path, "there is no recording in it; postern inspect --record makes them");
  }
  return found;
}

/** `X.bin`, `X.c2.bin`, `X.out.bin` and the same with `.gz` → `X.json`, if it is there. */
function besideOf(path: string): string | undefined {
  const file = path.replace(/(\.c\d+)?(\.out)?\.bin(\.gz)?$/, ".json");
  return file !== path && existsSync(file) && isSidecar(file) ? file : undefined;
}

function outOf(path: string): Buffer | undefined {
  const file = path.replace(/(?<!\.out)\.bin$/, ".out.bin");
  return file !== path && existsSync(file) ? load(file) : undefined;
}

function isSidecar(path: string): boolean {
  try {
    return Array.isArray(Object(JSON.parse(readFileSync(path, "utf8"))).fcgi_connections);
  } catch {
    return false;
  }
}

function sidecar(path: string): RecordedConnection[] {
  const content = readJson(path);
  const list: unknown = content["fcgi_connections"];
  if (!Array.isArray(list))
    throw unusable(path, "it has no fcgi_connections: it is not the sidecar of a recording");
  return list.map((entry: unknown) => {
    const connection = Object(entry) as Readonly<Record<string, unknown>>;
    const name = fileName(connection["file"]);
    if (name === "") throw unusable(path, "a connection in it has no file");
    const file = join(dirname(path), name);
    const out = fileName(connection["out_file"]);
    return {
      name: name.replace(/\.bin$/, ""),
      webServer: load(file),
      application: out === "" ? undefined : load(join(dirname(path), out)),
      steps: stepsOf(connection["timeline"]),
      isRedacted: content["redacted"] === true,
      endedBy: endedBy(connection["timeline"]),
      cut: typeof connection["cut"] === "string" ? connection["cut"] : undefined,
      connection,
    };
  });
}

function stepsOf(timeline: unknown): Step[] {
  if (!Array.isArray(timeline)) return [];
  return timeline.flatMap((entry: unknown) => {
    const { ev, n, t } = Object(entry) as Readonly<Record<string, unknown>>;
    if ((ev !== "in" && ev !== "out") || typeof n !== "number" || typeof t !== "number") return [];
    if (!Number.isSafeInteger(n) || n < 0 || !Number.isFinite(t)) return [];
    return [{ side: ev === "in" ? "web server" : "application", bytes: n, atMs: t }] satisfies Step[];
  });
}

function endedBy(timeline: unknown): Side | undefined {
  if (!Array.isArray(timeline)) return undefined;
  for (const entry of timeline as unknown[]) {
    const { ev } = Object(entry) as Readonly<Record<string, unknown>>;
    if (ev === "app-eof" || ev === "app-reset") return "application";
    if (ev === "peer-eof" || ev === "peer-reset") return "web server";
  }
  return undefined;
}

/** A file beside the sidecar, whatever path stands there. */
function fileName(value: unknown): string {
  return typeof value === "string" ? basename(value).replace(/\.gz$/, "") : "";
}

function load(file: string): Buffer {
  const packed = `${file}.gz`;
  const path = existsSync(file) || !existsSync(packed) ? file : packed;
  try {
    const stats = statSync(path);
    // A sidecar may name anything: a pipe would be waited for.
    if (!stats.isFile()) throw unusable(path, "it is no file, so it cannot be part of a recording");
    if (stats.size > MOST_BYTES) throw tooBig(path);
    const bytes = readFileSync(path);
    return path.endsWith(".gz") ? gunzipSync(bytes, { maxOutputLength: MOST_BYTES }) : bytes;
  } catch (error) {
    throw unreadable(path, error);
  }
}

function readJson(path: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw unusable(path, `it cannot be read as JSON: ${(error as Error).message}`);
  }
}

async function bytesOf(input: Readable, path: string, { isHex }: ReadOptions): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of input as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > MOST_BYTES) throw tooBig(path);
      if (isHex === true && size > MOST_HEX_BYTES) {
        throw unusable(
          path,
          `it has more than the ${MOST_HEX_BYTES} bytes of hex that are read at most; make bytes of it first, with xxd -r -p`,
        );
      }
      pieces.push(piece);
    }
    const bytes = Buffer.concat(pieces);
    if (isHex === true) return fromHex(bytes.toString("latin1"), path);
    const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return isPacked ? gunzipSync(bytes, { maxOutputLength: MOST_BYTES }) : bytes;
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Digits with anything blank between them, or the lines of `xxd` and `hexdump -C`. */
function fromHex(text: string, path: string): Buffer {
  const digits = text
    .split(/\r?\n/)
    .map((line) => {
      const dump =
        /^([0-9a-f]{7,8}):?\s+((?:[0-9a-f]{2,4}[ ]{1,2})*[0-9a-f]{2,4})(?:\s{2,}\S.*|\s+\|.*\|)?\s*$/i.exec(
          line,
        );
      if (dump !== null) return dump[2]!;
      return /^[0-9a-f]{7,8}:?\s*$/i.test(line) && /:|^0{3}/.test(line) ? "" : line.replace(/0x/gi, "");
    })
    .join("")
    .replace(/[\s:,]/g, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null)
    throw unusable(path, `"${wrong[0]}" is no hex digit; leave --hex out for the bytes themselves`);
  if (digits.length % 2 !== 0)
    throw unusable(path, `${digits.length} hex digits are no whole number of bytes`);
  return Buffer.from(digits, "hex");
}

function unreadable(path: string, error: unknown): SettingError {
  if (error instanceof SettingError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ERR_BUFFER_TOO_LARGE" ? tooBig(path) : unusable(path, `it cannot be read: ${message}`);
}

function tooBig(path: string): SettingError {
  return unusable(path, `it has more than the ${MOST_BYTES} bytes that are read at most`);
}

function unusable(path: string, why: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", `${printable(path)}: ${why}`);
}

// HOT
/**
 * Name-value pairs (FastCGI 1.0 §3.4): decoding, looking up, encoding.
 *
 * PARAMS is one stream, however many records carry it. It is kept as a single latin1 string (one character is
 * one byte, so nothing is lost) and pairs are cut out only when somebody asks: a request has some thirty of
 * them and an application looks at four.
 */
import { RemoteProtocolError } from "../base/errors.ts";

/** How a length is written: one byte below 128, else four with the top bit set. FastCGI 1.0 §3.4. */
const LONG_LENGTH = 0x80;

/** Marks kept per pair: where its name begins, where its value begins, where it ends. */
const MARKS = 3;
/**
 * Where decode() puts marks before it knows how many there are; what it holds between calls means nothing.
 * An ordinary array: a slice of it takes a sixth of the time of an Int32Array's (160 and 970 ns for 26 pairs).
 */
const scratch: number[] = [];

/** Something that knows what names mean: `find` is given a text and where in it a name is. */
export interface KnownNames<T> {
  find(text: string, start: number, end: number): T | undefined;
}

/** The decoded pairs of one request. Immutable; duplicates are kept in wire order. */
export class Params implements Iterable<[name: string, value: string]> {
  readonly #text: string;
  readonly #marks: readonly number[];
  /** Number of pairs, duplicates included. */
  readonly size: number;

  private constructor(text: string, marks: readonly number[]) {
    this.#text = text;
    this.#marks = marks;
    this.size = marks.length / MARKS;
  }

  /**
   * Checks the whole stream once: every length must be covered by bytes that are really there.
   * @param text the stream as latin1
   * @param maxCount most pairs allowed
   * @throws {RemoteProtocolError} `ERR_POSTERN_PARAMS_MALFORMED` or `ERR_POSTERN_PARAMS_TOO_MANY`, scope request
   */
  static decode(text: string, maxCount: number): Params {
    const length = text.length;
    let marked = 0;
    let at = 0;
    while (at < length) {
      let nameLength = text.charCodeAt(at++);
      if (nameLength >= LONG_LENGTH) {
        nameLength = longLength(text, at - 1);
        at += 3;
      }
      // Beyond the end charCodeAt gives NaN: every comparison below is then false, and the last check catches it.
      let valueLength = text.charCodeAt(at++);
      if (valueLength >= LONG_LENGTH) {
        valueLength = longLength(text, at - 1);
        at += 3;
      }
      const end = at + nameLength + valueLength;
      if (!(end <= length)) {
        throw new RemoteProtocolError(
          "ERR_POSTERN_PARAMS_MALFORMED",
          `parameter ${marked / MARKS + 1} claims more bytes than the ${length} of the whole stream`,
          "request",
        );
      }
      if (marked === maxCount * MARKS) {
        throw new RemoteProtocolError(
          "ERR_POSTERN_PARAMS_TOO_MANY",
          `more than ${maxCount} parameters`,
          "request",
        );
      }
      scratch[marked] = at;
      scratch[marked + 1] = at + nameLength;
      scratch[marked + 2] = end;
      marked += MARKS;
      at = end;
    }
    return new Params(text, scratch.slice(0, marked));
  }

  /** Params from pairs in memory, as tests, plain CGI and the gateway have them. Characters above U+00FF are refused. */
  static from(pairs: Iterable<readonly [string, string]>): Params {
    return Params.decode(encodeParams(pairs).toString("latin1"), Number.POSITIVE_INFINITY);
  }

  /** The value of `name` as latin1, the last one when it was sent more than once; undefined when it was not sent. */
  get(name: string): string | undefined {
    const text = this.#text;
    const marks = this.#marks;
    const wanted = name.length;
    // Names of one length are many (REQUEST_URI, SCRIPT_NAME, SERVER_NAME): two characters tell most apart.
    const last = name.charCodeAt(wanted - 1);
    const middle = name.charCodeAt(wanted >> 1);
    for (let mark = marks.length - MARKS; mark >= 0; mark -= MARKS) {
      const nameAt = marks[mark]!;
      const valueAt = marks[mark + 1]!;
      if (
        valueAt - nameAt === wanted &&
        (wanted === 0 ||
          (text.charCodeAt(valueAt - 1) === last &&
            text.charCodeAt(nameAt + (wanted >> 1)) === middle &&
            text.startsWith(name, nameAt)))
      ) {
        return text.substring(valueAt, marks[mark + 2]!);
      }
    }
    return undefined;
  }

  /** Whether `name` was sent, even with an empty value. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Calls `visit` for each pair whose name starts with `prefix`, in wire order, duplicates included. */
  each(prefix: string, visit: (name: string, value: string) => void): void {
    const text = this.#text;
    const marks = this.#marks;
    const first = prefix === "" ? -1 : prefix.charCodeAt(0);
    for (let mark = 0; mark < marks.length; mark += MARKS) {
      const nameAt = marks[mark]!;
      const valueAt = marks[mark + 1]!;
      if (first >= 0 && text.charCodeAt(nameAt) !== first) continue; // most names are told apart by one character
      if (text.startsWith(prefix, nameAt) && valueAt - nameAt >= prefix.length) {
        visit(text.substring(nameAt, valueAt), text.substring(valueAt, marks[mark + 2]!));
      }
    }
  }

  /**
   * Calls `visit` for each pair whose name means something to `names`, in wire order, duplicates included.
   * @internal
   */
  eachKnown<T>(names: KnownNames<T>, visit: (meaning: T, value: string) => void): void {
    const text = this.#text;
    const marks = this.#marks;
    for (let mark = 0; mark < marks.length; mark += MARKS) {
      const valueAt = marks[mark + 1]!;
      const meaning = names.find(text, marks[mark]!, valueAt);
      if (meaning !== undefined) visit(meaning, text.substring(valueAt, marks[mark + 2]!));
    }
  }

  /** Pairs in wire order, duplicates included. */
  [Symbol.iterator](): Iterator<[name: string, value: string]> {
    const pairs: [string, string][] = [];
    this.each("", (name, value) => pairs.push([name, value]));
    return pairs.values();
  }

  /** A null-prototype object, the last value of each name. */
  toObject(): Record<string, string> {
    const object: Record<string, string> = Object.create(null);
    this.each("", (name, value) => {
      object[name] = value;
    });
    return object;
  }
}

/** The four-byte length at `at`, as an unsigned 31-bit number; NaN when the text ends inside it. */
function longLength(text: string, at: number): number {
  return (
    (text.charCodeAt(at) & 0x7f) * 0x1000000 +
    text.charCodeAt(at + 1) * 0x10000 +
    text.charCodeAt(at + 2) * 0x100 +
    text.charCodeAt(at + 3)
  );
}

/**
 * Encodes pairs as one PARAMS (or GET_VALUES) stream. Names and values are latin1: one character, one byte.
 * @throws {RangeError} a character above U+00FF: encode the text as UTF-8 bytes first
 */
export function encodeParams(pairs: Iterable<readonly [name: string, value: string]>): Buffer {
  let size = 0;
  const list: (readonly [string, string])[] = [];
  for (const pair of pairs) {
    list.push(pair);
    size += lengthBytes(pair[0].length) + lengthBytes(pair[1].length) + pair[0].length + pair[1].length;
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [name, value] of list) {
    at = writeLength(bytes, name.length, at);
    at = writeLength(bytes, value.length, at);
    at += writeLatin1(bytes, name, at);
    at += writeLatin1(bytes, value, at);
  }
  return bytes;
}

function lengthBytes(length: number): number {
  return length < LONG_LENGTH ? 1 : 4;
}

function writeLength(bytes: Buffer, length: number, at: number): number {
  if (length < LONG_LENGTH) return bytes.writeUInt8(length, at);
  return bytes.writeUInt32BE(0x80000000 + length, at);
}

function writeLatin1(bytes: Buffer, text: string, at: number): number {
  if (/[^\x00-\xff]/.test(text)) {
    throw new RangeError(`"${text}" holds a character above U+00FF; parameters are bytes, encode it first`);
  }
  return bytes.write(text, at, "latin1");
}

/**
 * FastCGI records for tests, written from the specification and not from src/protocol: a test that built its
 * input with the code under test would agree with any mistake in it.
 *
 * The builders make what a web server sends; the decoder reads what an application answers. Both work on whole
 * byte arrays. For cutting them into chunks see feed.ts.
 */

/** Record types by the names of FastCGI 1.0 §8. */
export const TYPE: Readonly<Record<TypeName, number>> = {
  BEGIN_REQUEST: 1,
  ABORT_REQUEST: 2,
  END_REQUEST: 3,
  PARAMS: 4,
  STDIN: 5,
  STDOUT: 6,
  STDERR: 7,
  DATA: 8,
  GET_VALUES: 9,
  GET_VALUES_RESULT: 10,
  UNKNOWN_TYPE: 11,
};
export type TypeName =
  | "BEGIN_REQUEST"
  | "ABORT_REQUEST"
  | "END_REQUEST"
  | "PARAMS"
  | "STDIN"
  | "STDOUT"
  | "STDERR"
  | "DATA"
  | "GET_VALUES"
  | "GET_VALUES_RESULT"
  | "UNKNOWN_TYPE";

/** Text is latin1: one character, one byte. */
export type Bytes = Uint8Array | string;
export type Pairs = Readonly<Record<string, string>> | readonly (readonly [string, string])[];

export function bytesOf(data: Bytes): Buffer {
  return typeof data === "string" ? Buffer.from(data, "latin1") : Buffer.from(data);
}

/** One record exactly as asked for, however wrong. `padding` bytes are 0xAA, so that none is taken for content. */
export function rawRecord(type: number, id: number, content: Bytes = "", padding = 0, version = 1): Buffer {
  const body = bytesOf(content);
  if (body.length > 0xffff) throw new RangeError(`a record holds 65535 bytes, not ${body.length}`);
  const header = Buffer.from([
    version,
    type,
    id >> 8,
    id & 255,
    body.length >> 8,
    body.length & 255,
    padding,
    0,
  ]);
  return Buffer.concat([header, body, Buffer.alloc(padding, 0xaa)]);
}

export interface BeginOptions {
  /** 1 responder (the default), 2 authorizer, 3 filter. */
  readonly role?: number;
  readonly keepConn?: boolean;
  /** The whole flags byte, when more than keep-conn matters. */
  readonly flags?: number;
  readonly padding?: number;
}

/** FCGI_BEGIN_REQUEST. FastCGI 1.0 §5.1. */
export function beginRecord(id = 1, options: BeginOptions = {}): Buffer {
  const role = options.role ?? 1;
  const flags = options.flags ?? (options.keepConn ? 1 : 0);
  return rawRecord(
    TYPE.BEGIN_REQUEST,
    id,
    Buffer.from([role >> 8, role & 255, flags, 0, 0, 0, 0, 0]),
    options.padding,
  );
}

/** FCGI_ABORT_REQUEST. FastCGI 1.0 §5.4. */
export function abortRecord(id = 1): Buffer {
  return rawRecord(TYPE.ABORT_REQUEST, id);
}

/** One length of a name-value pair: one byte below 128, else four with the top bit set. FastCGI 1.0 §3.4. */
export function lengthBytes(length: number, long: boolean = length > 127): Buffer {
  if (!long) return Buffer.from([length]);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE((length | 0x80000000) >>> 0);
  return bytes;
}

/** Name-value pairs as they stand on the wire. `long` writes every length in the four-byte form. */
export function encodePairs(pairs: Pairs, long?: boolean): Buffer {
  const list = Array.isArray(pairs)
    ? (pairs as readonly (readonly [string, string])[])
    : Object.entries(pairs);
  return Buffer.concat(
    list.map(([name, value]) => {
      const [nameBytes, valueBytes] = [bytesOf(name), bytesOf(value)];
      const lengths = [lengthBytes(nameBytes.length, long), lengthBytes(valueBytes.length, long)];
      return Buffer.concat([...lengths, nameBytes, valueBytes]);
    }),
  );
}

export interface StreamOptions {
  /** Content bytes per record, in order; what is left over goes into full records. */
  readonly cuts?: readonly number[];
  /** Padding per record, repeated from the start when there are more records. */
  readonly padding?: number | readonly number[];
  /** Leave the empty record that ends the stream away. */
  readonly open?: boolean;
}

/** The records of one stream (PARAMS, STDIN, DATA), the empty one that ends it included. FastCGI 1.0 §3.3. */
export function streamRecords(type: number, id: number, content: Bytes, options: StreamOptions = {}): Buffer {
  const bytes = bytesOf(content);
  const paddings = typeof options.padding === "number" ? [options.padding] : (options.padding ?? [0]);
  const records: Buffer[] = [];
  const add = (piece: Uint8Array): void => {
    records.push(rawRecord(type, id, piece, paddings[records.length % paddings.length] ?? 0));
  };
  const cuts = [...(options.cuts ?? [])];
  for (let at = 0; at < bytes.length; ) {
    const size = cuts.shift() ?? 0xffff;
    // An empty record would end the stream, so a cut of zero is a mistake in the test.
    if (size < 1 || size > 0xffff) throw new RangeError(`cannot cut ${size} bytes`);
    add(bytes.subarray(at, at + size));
    at += size;
  }
  if (!options.open) add(new Uint8Array(0));
  return Buffer.concat(records);
}

/** The PARAMS stream. `cuts` are bytes per record and may fall inside a pair, even inside a length. */
export function paramsRecords(id: number, pairs: Pairs, options: StreamOptions = {}): Buffer {
  return streamRecords(TYPE.PARAMS, id, encodePairs(pairs), options);
}

/** The STDIN stream. */
export function stdinRecords(id: number, body: Bytes = "", options: StreamOptions = {}): Buffer {
  return streamRecords(TYPE.STDIN, id, body, options);
}

/** The DATA stream of a filter. */
export function dataRecords(id: number, file: Bytes = "", options: StreamOptions = {}): Buffer {
  return streamRecords(TYPE.DATA, id, file, options);
}

/** FCGI_GET_VALUES for these names. FastCGI 1.0 §4.1. */
export function getValuesRecord(names: readonly string[]): Buffer {
  return rawRecord(TYPE.GET_VALUES, 0, encodePairs(names.map((name) => [name, ""] as const)));
}

export interface RequestOptions extends BeginOptions {
  readonly id?: number;
  /** Set over {@link PLAIN_GET}; a value of `undefined` takes the parameter away. */
  readonly params?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: Bytes;
  readonly data?: Bytes;
}

/** The parameters of a plain `GET /` as nginx sends them, mounted at the root. */
export const PLAIN_GET: Readonly<Record<string, string>> = {
  GATEWAY_INTERFACE: "CGI/1.1",
  SERVER_SOFTWARE: "test/1",
  SERVER_PROTOCOL: "HTTP/1.1",
  REQUEST_METHOD: "GET",
  REQUEST_SCHEME: "http",
  REQUEST_URI: "/",
  QUERY_STRING: "",
  SCRIPT_NAME: "",
  PATH_INFO: "/",
  SERVER_NAME: "example.com",
  SERVER_ADDR: "127.0.0.1",
  SERVER_PORT: "80",
  REMOTE_ADDR: "127.0.0.1",
  REMOTE_PORT: "40000",
  HTTP_HOST: "example.com",
};

/** A whole request in one piece: BEGIN, PARAMS, STDIN and, for a filter, DATA. */
export function requestRecords(options: RequestOptions = {}): Buffer {
  const id = options.id ?? 1;
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...PLAIN_GET, ...options.params })) {
    if (value !== undefined) params[name] = value;
  }
  const parts = [beginRecord(id, options), paramsRecords(id, params)];
  if (options.role !== 2) parts.push(stdinRecords(id, options.stdin ?? ""));
  if (options.role === 3) parts.push(dataRecords(id, options.data ?? ""));
  return Buffer.concat(parts);
}

/** One decoded record. */
export interface TestRecord {
  readonly version: number;
  readonly type: number;
  /** The specification's name, or `TYPE_n`. */
  readonly name: string;
  readonly id: number;
  readonly content: Buffer;
  readonly padding: number;
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(TYPE).map(([name, type]) => [type, name]));

/** Reads as many whole records as there are; `rest` is what does not make one. */
export function decodeRecords(data: Uint8Array): { records: TestRecord[]; rest: Buffer } {
  const bytes = Buffer.from(data);
  const records: TestRecord[] = [];
  let at = 0;
  while (bytes.length - at >= 8) {
    const length = bytes.readUInt16BE(at + 4);
    const padding = bytes.readUInt8(at + 6);
    if (bytes.length - at < 8 + length + padding) break;
    const type = bytes.readUInt8(at + 1);
    records.push({
      version: bytes.readUInt8(at),
      type,
      name: NAMES.get(type) ?? `TYPE_${type}`,
      id: bytes.readUInt16BE(at + 2),
      content: bytes.subarray(at + 8, at + 8 + length),
      padding,
    });
    at += 8 + length + padding;
  }
  return { records, rest: bytes.subarray(at) };
}

/** Reads the pairs of a complete PARAMS, GET_VALUES or GET_VALUES_RESULT content. */
export function decodePairs(data: Uint8Array): [string, string][] {
  const bytes = Buffer.from(data);
  const pairs: [string, string][] = [];
  let at = 0;
  const length = (): number => {
    if (bytes.readUInt8(at) < 128) return bytes.readUInt8(at++);
    at += 4;
    return bytes.readUInt32BE(at - 4) & 0x7fffffff;
  };
  const text = (size: number): string => {
    if (at + size > bytes.length)
      throw new RangeError(`a pair ends ${at + size - bytes.length} bytes after its data`);
    at += size;
    return bytes.toString("latin1", at - size, at);
  };
  while (at < bytes.length) {
    const [nameBytes, valueBytes] = [length(), length()];
    pairs.push([text(nameBytes), text(valueBytes)]);
  }
  return pairs;
}

/** What an application answered to one request. */
export interface TestAnswer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Whether the empty STDOUT record came. */
  readonly stdoutEnded: boolean;
  /** The END_REQUEST body; undefined while it has not come. */
  readonly end: { readonly appStatus: number; readonly protocolStatus: number } | undefined;
  /** `stdout` cut at the first blank line, as latin1 text; all of it when there is none. */
  readonly head: string;
  readonly body: Buffer;
  /** Every record of the request in order, END_REQUEST included. */
  readonly records: readonly TestRecord[];
}

/**
 * Collects the answer to request `id`.
 * @throws when a record breaks the protocol: a wrong version, anything after END_REQUEST, STDOUT after its end.
 */
export function answerOf(data: Uint8Array, id = 1): TestAnswer {
  const records = decodeRecords(data).records.filter((record) => record.id === id);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let stdoutEnded = false;
  let end: TestAnswer["end"];
  for (const { version, type, name, content } of records) {
    if (version !== 1) throw new Error(`${name} of version ${version}`);
    if (end) throw new Error(`${name} after END_REQUEST`);
    if (type === TYPE.STDOUT) {
      if (stdoutEnded) throw new Error("STDOUT after its end");
      stdout.push(content);
      stdoutEnded = content.length === 0;
    } else if (type === TYPE.STDERR) stderr.push(content);
    else if (type === TYPE.END_REQUEST) {
      if (content.length !== 8) throw new Error(`END_REQUEST with ${content.length} bytes`);
      end = { appStatus: content.readUInt32BE(0), protocolStatus: content.readUInt8(4) };
    } else throw new Error(`${name} is nothing an application sends for a request`);
  }
  const out = Buffer.concat(stdout);
  const blank = /\r?\n\r?\n/.exec(out.toString("latin1"));
  const headEnd = blank ? blank.index : out.length;
  return {
    stdout: out,
    stderr: Buffer.concat(stderr),
    stdoutEnded,
    end,
    head: out.toString("latin1", 0, headEnd),
    body: blank ? out.subarray(headEnd + blank[0].length) : Buffer.alloc(0),
    records,
  };
}

/** One line per record, `STDOUT 1 (12)`: short enough to compare whole conversations in an assertion. */
export function summary(data: Uint8Array): string[] {
  const { records, rest } = decodeRecords(data);
  const lines = records.map((record) => `${record.name} ${record.id} (${record.content.length})`);
  return rest.length > 0 ? [...lines, `+${rest.length} bytes`] : lines;
}

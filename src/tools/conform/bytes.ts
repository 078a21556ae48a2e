/**
 * Records as a web server sends them, and as one never should: built here and not by src/protocol, because a run that
 * asked with the code under test would agree with any mistake in it. Pure.
 */
import { RecordType, Role } from "../../protocol/records.ts";

export type Pair = readonly [name: string, value: string];

export interface RecordShape {
  readonly padding?: number;
  readonly reserved?: number;
  readonly version?: number;
}

/** Bytes of a BEGIN_REQUEST without padding. */
export const BEGIN_BYTES = 16;

const NOTHING: Buffer = Buffer.alloc(0);

/** One record exactly as asked for. Padding is of bytes that would be wrong anywhere. */
export function record(
  type: number,
  id: number,
  content: Uint8Array = NOTHING,
  shape: RecordShape = {},
): Buffer {
  const padding = shape.padding ?? 0;
  const bytes = Buffer.alloc(8 + content.length + padding, 0xaa);
  bytes[0] = shape.version ?? 1;
  bytes[1] = type;
  bytes.writeUInt16BE(id, 2);
  bytes.writeUInt16BE(content.length, 4);
  bytes[6] = padding;
  bytes[7] = shape.reserved ?? 0;
  bytes.set(content, 8);
  return bytes;
}

/** FastCGI 1.0 §5.1. */
export function beginRecord(
  id: number,
  role: number,
  flags: number,
  shape: RecordShape & { readonly bodyReserved?: number } = {},
): Buffer {
  const body = Buffer.alloc(8, shape.bodyReserved ?? 0);
  body.writeUInt16BE(role, 0);
  body[2] = flags;
  return record(RecordType.BeginRequest, id, body, shape);
}

/** Name-value pairs on the wire; `long` writes every length in four bytes. FastCGI 1.0 §3.4. */
export function pairBytes(pairs: readonly Pair[], long = false): Buffer {
  return Buffer.concat(
    pairs.flatMap(([name, value]) => {
      const bytes = [Buffer.from(name, "latin1"), Buffer.from(value, "latin1")] as const;
      return [lengthBytes(bytes[0].length, long), lengthBytes(bytes[1].length, long), ...bytes];
    }),
  );
}

function lengthBytes(length: number, long: boolean): Buffer {
  if (length < 128 && !long) return Buffer.from([length]);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE((length | 0x80000000) >>> 0);
  return bytes;
}

/** Pairs as an application sent them; undefined when they are malformed. */
export function readPairs(bytes: Buffer): Pair[] | undefined {
  const pairs: Pair[] = [];
  let at = 0;
  const length = (): number => {
    const first = bytes[at] ?? 0x100;
    if (first < 128) {
      at++;
      return first;
    }
    if (at + 4 > bytes.length) return Number.NaN;
    at += 4;
    return bytes.readUInt32BE(at - 4) & 0x7fffffff;
  };
  while (at < bytes.length) {
    const name = length();
    const value = length();
    if (!(at + name + value <= bytes.length)) return undefined;
    pairs.push([
      bytes.toString("latin1", at, at + name),
      bytes.toString("latin1", at + name, at + name + value),
    ]);
    at += name + value;
  }
  return pairs;
}

export interface StreamShape extends RecordShape {
  /** Of the empty record at the end; `padding` is that of the others. */
  readonly endPadding?: number;
  /** Most content bytes of one record. @default 65535 */
  readonly recordBytes?: number;
}

/** A whole stream: its records, and the empty one that ends it. FastCGI 1.0 §3.3. */
function streamRecords(type: number, id: number, content: Buffer, shape: StreamShape = {}): Buffer {
  const size = shape.recordBytes ?? 65535;
  const records: Buffer[] = [];
  for (let at = 0; at < content.length; at += size) {
    records.push(record(type, id, content.subarray(at, at + size), shape));
  }
  records.push(record(type, id, NOTHING, { ...shape, padding: shape.endPadding ?? 0 }));
  return Buffer.concat(records);
}

export interface RequestShape extends StreamShape {
  readonly id: number;
  readonly role: number;
  readonly flags: number;
  readonly pairs: readonly Pair[];
  readonly body: Buffer;
  readonly data: Buffer;
  readonly long?: boolean;
  /** Of STDIN alone; `recordBytes` is that of all streams. */
  readonly stdinBytes?: number;
  /** Of BEGIN_REQUEST; `padding` is that of the streams. */
  readonly beginPadding?: number;
  readonly bodyReserved?: number;
}

/** A whole request in the order of its role (§6): parameters, then STDIN, then DATA. */
export function requestBytes(shape: RequestShape): Buffer {
  const { id, role } = shape;
  const parts = [
    beginRecord(id, role, shape.flags, { ...shape, padding: shape.beginPadding ?? 0 }),
    streamRecords(RecordType.Params, id, pairBytes(shape.pairs, shape.long), shape),
  ];
  if (role !== Role.Authorizer) {
    const recordBytes = shape.stdinBytes ?? shape.recordBytes ?? 65535;
    parts.push(streamRecords(RecordType.Stdin, id, shape.body, { ...shape, recordBytes }));
  }
  if (role === Role.Filter) parts.push(streamRecords(RecordType.Data, id, shape.data, shape));
  return Buffer.concat(parts);
}

/** A record as it stands on the wire. */
export interface RawRecord {
  readonly version: number;
  readonly type: number;
  readonly requestId: number;
  readonly content: Buffer;
  readonly padding: number;
  readonly reserved: number;
}

/** Bytes of one direction → records, of whatever version the caller then judges. Holds the unfinished one. */
export class RecordCutter {
  #pieces: Buffer[] = [];
  #have = 0;
  #want = 8;

  /** Whether a record has begun and is not complete. */
  get isPartial(): boolean {
    return this.#have > 0;
  }

  push(chunk: Buffer, found: (record: RawRecord) => void): void {
    this.#pieces.push(chunk);
    this.#have += chunk.length;
    // Joined only when enough is there: a large record comes in many chunks.
    while (this.#have >= this.#want) {
      const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
      const size = bytes.length < 8 ? 8 : 8 + bytes.readUInt16BE(4) + bytes[6]!;
      if (bytes.length < size) {
        this.#pieces = [bytes];
        this.#want = size;
        return;
      }
      this.#pieces = [bytes.subarray(size)];
      this.#have = bytes.length - size;
      this.#want = 8;
      const length = bytes.readUInt16BE(4);
      found({
        version: bytes[0]!,
        type: bytes[1]!,
        requestId: bytes.readUInt16BE(2),
        content: Buffer.from(bytes.subarray(8, 8 + length)),
        padding: bytes[6]!,
        reserved: bytes[7]!,
      });
    }
  }
}

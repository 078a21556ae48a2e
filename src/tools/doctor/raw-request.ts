/** One GET as bytes, and what came on STDOUT as it came: for answers that our client refuses to read. Pure. */
import { encodeParams } from "../../protocol/params.ts";

const BEGIN = 1;
const PARAMS = 4;
const STDIN = 5;
const STDOUT = 6;

/** A whole responder request with an empty body, not keeping the connection. */
export function beginRequest(params: Readonly<Record<string, string>>): Buffer {
  const encoded = encodeParams(Object.entries(params));
  return Buffer.concat([
    record(BEGIN, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0])),
    record(PARAMS, encoded),
    record(PARAMS, Buffer.alloc(0)),
    record(STDIN, Buffer.alloc(0)),
  ]);
}

/** The content of the STDOUT records; of a cut stream what is there. */
export function stdoutOf(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length && bytes[at] === 1; ) {
    const length = bytes.readUInt16BE(at + 4);
    if (bytes[at + 1] === STDOUT) pieces.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length + bytes[at + 6]!;
  }
  return Buffer.concat(pieces);
}

function record(type: number, content: Uint8Array): Buffer {
  const head = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 0xff, 0, 0]);
  return Buffer.concat([head, content]);
}

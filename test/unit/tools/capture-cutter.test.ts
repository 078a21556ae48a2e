/** Records cut out of a stream with their places, and where a broken one breaks. */
import { describe, expect, it } from "vitest";
import { type CutRecord, RecordCutter } from "../../../src/tools/capture/cutter.ts";
import { paramsRecords, rawRecord, requestRecords, stdinRecords } from "../../support/records.ts";

interface Cut {
  readonly cutter: RecordCutter;
  readonly records: CutRecord[];
  readonly content: string;
  readonly blanks: number[];
}

function cut(pieces: readonly Buffer[]): Cut {
  const records: CutRecord[] = [];
  const blanks: number[] = [];
  let content = "";
  const cutter = new RecordCutter({
    onRecord: (record) => void records.push(record),
    onContent: (chunk, start, end) => {
      content += chunk.toString("latin1", start, end);
    },
    onRecordEnd: () => {
      content += "|";
    },
    onBlank: (offset) => void blanks.push(offset),
  });
  for (const piece of pieces) cutter.push(piece);
  return { cutter, records, content, blanks };
}

describe("a cutter", () => {
  const bytes = Buffer.concat([
    rawRecord(1, 7, "\0\x01\0\0\0\0\0\0", 3),
    paramsRecords(7, { NAME: "value" }),
    Buffer.alloc(8),
    stdinRecords(7, "body"),
  ]);

  it("knows number, offset and padding of every record, however the bytes are cut", () => {
    const whole = cut([bytes]);
    expect(
      whole.records.map(({ number, offset, type, paddingLength }) => [number, offset, type, paddingLength]),
    ).toEqual([
      [1, 0, 1, 3],
      [2, 19, 4, 0],
      [3, 38, 4, 0],
      [4, 54, 5, 0],
      [5, 66, 5, 0],
    ]);
    expect(whole.blanks).toEqual([46]);
    expect(whole.cutter.missing()).toBeUndefined();
    const single = cut([...bytes].map((byte) => Buffer.from([byte])));
    expect(single.records).toEqual(whole.records);
    expect(single.content).toBe(whole.content);
    expect(single.cutter.bytes).toBe(bytes.length);
  });

  it.each([
    [bytes.subarray(0, 4), /end at 4, inside the header of record 1: 4 of its 8 bytes/],
    [bytes.subarray(0, 12), /end at 12, inside the content of record 1: 4 of its 8 bytes/],
    [bytes.subarray(0, 18), /end at 18, inside the padding of record 1: 2 of its 3 bytes/],
    [bytes.subarray(0, 60), /inside the header of record 4|inside the header of record 5|inside the content/],
    [Buffer.concat([bytes, Buffer.from("GET / HTTP/1.1")]), /record 6, at offset 74, begins with byte 71/],
    [Buffer.from("GET / HTTP/1.1\r\n"), /^this is not FastCGI but HTTP$/],
    [
      Buffer.from([0, 1, 0, 1, 0, 0, 0, 0]),
      /record 1, at offset 0, begins with byte 0|something that starts with byte 0/,
    ],
  ])("says where bytes break: %#", (broken, says) => {
    for (const pieces of [[broken], [...broken].map((byte) => Buffer.from([byte]))]) {
      const where = cut(pieces).cutter.missing()?.says;
      // One byte alone does not tell HTTP from anything else.
      if (pieces.length === 1) expect(where).toMatch(says);
      else expect(where).toBeDefined();
    }
  });

  it("takes what follows garbage for bytes and no more", () => {
    const { cutter, records } = cut([Buffer.from("xx"), requestRecords()]);
    expect(records).toEqual([]);
    expect(cutter.bytes).toBe(2 + requestRecords().length);
  });
});

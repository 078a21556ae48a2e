import { describe, expect, it } from "vitest";
import { RecordReader } from "../../../src/protocol/record-reader.ts";
import { feedEveryWay } from "../../support/feed.ts";
import { rawRecord } from "../../support/records.ts";

/** A reader that writes down its calls; the pieces of one record are joined. */
class Log {
  readonly lines: string[] = [];
  readonly reader: RecordReader;
  #content = "";

  constructor() {
    this.reader = new RecordReader({
      onRecord: (type, id, length) => {
        this.lines.push(`record ${type} ${id} ${length}`);
        this.#content = "";
      },
      onContent: (chunk, start, end) => {
        if (end <= start) throw new Error("an empty piece");
        this.#content += chunk.toString("latin1", start, end);
      },
      onRecordEnd: () => {
        this.lines.push(`end ${this.#content.length > 20 ? this.#content.length : this.#content}`);
      },
    });
  }

  push(chunks: Iterable<Buffer>): string[] {
    for (const chunk of chunks) {
      this.reader.push(chunk);
      chunk.fill(0xee);
    }
    return this.lines;
  }
}

function cut(records: Uint8Array, expected: readonly string[]): void {
  feedEveryWay(records, ({ chunks }) => expect(new Log().push(chunks)).toEqual(expected));
}

describe("RecordReader", () => {
  it("reports type, id and length of a header, then the content, then the end", () => {
    cut(rawRecord(5, 0x1234, "hello"), ["record 5 4660 5", "end hello"]);
  });

  it("reports the end of an empty record without any content", () => {
    cut(Buffer.concat([rawRecord(4, 1), rawRecord(5, 1)]), ["record 4 1 0", "end ", "record 5 1 0", "end "]);
  });

  it("skips padding of every size, behind content and behind none", () => {
    for (let padding = 0; padding <= 255; padding += padding < 9 ? 1 : 41) {
      const records = Buffer.concat([
        rawRecord(5, 1, "a", padding),
        rawRecord(5, 1, "", padding),
        rawRecord(2, 3),
      ]);
      cut(records, ["record 5 1 1", "end a", "record 5 1 0", "end ", "record 2 3 0", "end "]);
    }
  });

  it("reads the largest record there is", () => {
    const bytes = Buffer.concat([rawRecord(5, 65535, "x".repeat(65535), 255), rawRecord(5, 65535, "y")]);
    cut(bytes, ["record 5 65535 65535", "end 65535", "record 5 65535 1", "end y"]);
  });

  it("passes types and ids on that mean nothing: meaning is not its business", () => {
    cut(Buffer.concat([rawRecord(0, 0), rawRecord(255, 0)]), [
      "record 0 0 0",
      "end ",
      "record 255 0 0",
      "end ",
    ]);
  });

  it("ignores the reserved byte", () => {
    cut(Buffer.from([1, 5, 0, 1, 0, 1, 0, 0xff, 0x61]), ["record 5 1 1", "end a"]);
  });

  it("hands content on as it comes, in the caller's own memory, with nothing held back", () => {
    const pieces: [Buffer, number, number][] = [];
    const reader = new RecordReader({
      onRecord() {},
      onContent: (chunk, start, end) => pieces.push([chunk, start, end]),
      onRecordEnd() {},
    });
    const first = Buffer.concat([rawRecord(5, 1, "abcdef").subarray(0, 10)]);
    const second = Buffer.from("cdef", "latin1");
    reader.push(first);
    reader.push(Buffer.alloc(0));
    reader.push(second);
    expect(pieces).toEqual([
      [first, 8, 10],
      [second, 0, 4],
    ]);
    expect(pieces[0]![0]).toBe(first);
  });

  it("says whether the peer owes bytes: never on a record boundary, always inside", () => {
    const record = rawRecord(5, 1, "ab", 3);
    const { reader } = new Log();
    expect(reader.isPartial).toBe(false);
    record.forEach((byte, at) => {
      reader.push(Buffer.from([byte]));
      expect(reader.isPartial).toBe(at < record.length - 1);
    });
  });

  it.each([2, 22, 72, 128, 255])("refuses version %i as soon as the byte is there", (version) => {
    const bad = rawRecord(5, 1, "x", 0, version);
    const expected = expect.objectContaining({ code: "ERR_POSTERN_RECORD_VERSION", scope: "connection" });
    for (const before of [Buffer.alloc(0), rawRecord(5, 1, "ok", 2)]) {
      for (const length of [1, 7, 8, 9]) {
        const { reader, lines } = new Log();
        let thrown: unknown;
        try {
          reader.push(Buffer.concat([before, bad.subarray(0, length)]));
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toEqual(expected);
        expect(lines).toEqual(before.length === 0 ? [] : ["record 5 1 2", "end ok"]);
      }
    }
  });

  it("refuses version 0 when the header is complete, because eight zero bytes are to be skipped (Cherokee)", () => {
    const blank = Buffer.alloc(8);
    cut(Buffer.concat([rawRecord(5, 1, "a", 1), blank, blank, rawRecord(5, 1, "b")]), [
      "record 5 1 1",
      "end a",
      "record 5 1 1",
      "end b",
    ]);
    for (let at = 1; at < 8; at++) {
      const bytes = Buffer.alloc(8);
      bytes[at] = 1;
      feedEveryWay(bytes, ({ chunks }) => expect(() => new Log().push(chunks)).toThrow(/version 0/));
      new Log().push([bytes.subarray(0, 7)]);
    }
  });

  it("lets what its sink throws out unchanged, without reading on", () => {
    const thrown = new Error("stop");
    for (const method of ["onRecord", "onContent", "onRecordEnd"] as const) {
      let calls = 0;
      const quiet = { onRecord() {}, onContent() {}, onRecordEnd() {} };
      const reader = new RecordReader({
        ...quiet,
        [method]: () => {
          calls++;
          throw thrown;
        },
      });
      expect(() => reader.push(Buffer.concat([rawRecord(5, 1, "a"), rawRecord(5, 1, "b")]))).toThrow(thrown);
      expect(calls).toBe(1);
    }
  });
});

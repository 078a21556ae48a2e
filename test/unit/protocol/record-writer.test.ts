import { describe, expect, it } from "vitest";
import { REFERENCE_FROM_BYTES, RecordWriter, SlabPool } from "../../../src/protocol/record-writer.ts";
import { answerOf, decodeRecords, summary, TYPE } from "../../support/records.ts";

function written(write: (writer: RecordWriter) => void): Buffer {
  const writer = new RecordWriter(new SlabPool());
  write(writer);
  const { pendingBytes } = writer;
  const bytes = Buffer.concat(writer.take());
  expect(pendingBytes).toBe(bytes.length);
  expect(writer.pendingBytes).toBe(0);
  return bytes;
}

describe("RecordWriter", () => {
  it("writes nothing when nothing was written", () => {
    const writer = new RecordWriter(new SlabPool());
    expect([writer.pendingBytes, writer.take(), writer.take()]).toEqual([0, [], []]);
    writer.recycle(true);
    expect(writer.take()).toEqual([]);
  });

  it("puts a head, a small body and the end into one piece, head and body into one record", () => {
    const writer = new RecordWriter(new SlabPool());
    writer.writeWhole(TYPE.STDOUT, 1, "Status: 200\r\n\r\n");
    writer.writeText(TYPE.STDOUT, 1, "hello", "utf8");
    writer.endStream(TYPE.STDOUT, 1);
    writer.endRequest(1, 0, 0);
    const pieces = writer.take();
    expect(pieces).toHaveLength(1);
    expect(summary(pieces[0]!)).toEqual(["STDOUT 1 (20)", "STDOUT 1 (0)", "END_REQUEST 1 (8)"]);
  });

  it("writes headers without padding, reserved byte zero", () => {
    const bytes = written((writer) => writer.writeText(TYPE.STDERR, 0xabcd, "x", "latin1"));
    expect([...bytes]).toEqual([1, 7, 0xab, 0xcd, 0, 1, 0, 0, 0x78]);
  });

  it("zeroes what a slab held before", () => {
    const pool = new SlabPool();
    const slab = pool.take().fill(0xff);
    pool.give(slab);
    const writer = new RecordWriter(pool);
    writer.endStream(TYPE.STDOUT, 1);
    writer.endRequest(258, 0, 0);
    const bytes = Buffer.concat(writer.take());
    expect(bytes.buffer).not.toBe(slab.buffer);
    expect([...bytes]).toEqual([1, 6, 0, 1, 0, 0, 0, 0, 1, 3, 1, 2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it.each([
    [0, 0],
    [1, 3],
    [938, 0],
    [0xffffffff, 1],
    [-1, 2],
    [0x80000000, 0],
  ])("writes app status %i and protocol status %i", (appStatus, protocolStatus) => {
    const bytes = written((writer) => writer.endRequest(7, appStatus, protocolStatus));
    expect(answerOf(bytes, 7).end).toEqual({ appStatus: appStatus >>> 0, protocolStatus });
  });

  it("does not join what belongs to different streams or requests", () => {
    const bytes = written((writer) => {
      writer.writeText(TYPE.STDOUT, 1, "a", "utf8");
      writer.writeText(TYPE.STDOUT, 2, "b", "utf8");
      writer.writeText(TYPE.STDERR, 2, "c", "utf8");
      writer.writeText(TYPE.STDERR, 2, "d", "latin1");
      writer.writeBytes(TYPE.STDERR, 2, Buffer.from("e"));
      writer.writeText(TYPE.STDOUT, 1, "f", "utf8");
    });
    expect(decodeRecords(bytes).records.map(({ name, id, content }) => `${name} ${id} ${content}`)).toEqual([
      "STDOUT 1 a",
      "STDOUT 2 b",
      "STDERR 2 cde",
      "STDOUT 1 f",
    ]);
  });

  it("does not join a record that is part of no stream, not even an empty one", () => {
    const bytes = written((writer) => {
      writer.writeRecord(TYPE.GET_VALUES_RESULT, 0, Buffer.from("a"));
      writer.writeRecord(TYPE.GET_VALUES_RESULT, 0, Buffer.from("b"));
      writer.writeRecord(TYPE.GET_VALUES_RESULT, 0, Buffer.alloc(0));
      writer.writeRecord(TYPE.GET_VALUES_RESULT, 0, Buffer.alloc(65528));
    });
    const lengths = [1, 1, 0, 65528];
    expect(summary(bytes)).toEqual(lengths.map((length) => `GET_VALUES_RESULT 0 (${length})`));
  });

  it("ends no stream by writing nothing to it", () => {
    const bytes = written((writer) => {
      writer.writeWhole(TYPE.STDOUT, 1, "");
      writer.writeText(TYPE.STDOUT, 1, "", "utf8");
      writer.writeText(TYPE.STDOUT, 1, "", "base64");
      writer.writeText(TYPE.STDOUT, 1, "=", "base64");
      writer.writeText(TYPE.STDOUT, 1, "zz", "hex");
      writer.writeBytes(TYPE.STDOUT, 1, new Uint8Array(0));
    });
    expect(bytes).toHaveLength(0);
  });

  it("does not add to a stream's last record once its end is written", () => {
    const bytes = written((writer) => {
      writer.writeText(TYPE.STDERR, 1, "a", "utf8");
      writer.endStream(TYPE.STDERR, 1);
      writer.writeText(TYPE.STDERR, 1, "b", "utf8");
    });
    expect(summary(bytes)).toEqual(["STDERR 1 (1)", "STDERR 1 (0)", "STDERR 1 (1)"]);
  });

  it.each([1, 100, 32760, 32761, 40000, 65527, 65528])(
    "writes %i characters whole in one record",
    (length) => {
      const text = `${"h".repeat(length - 1)}!`;
      const bytes = written((writer) => {
        writer.writeText(TYPE.STDERR, 1, "before", "utf8");
        writer.writeWhole(TYPE.STDOUT, 1, text);
        writer.writeText(TYPE.STDERR, 1, "after", "utf8");
      });
      expect(summary(bytes)).toEqual(["STDERR 1 (6)", `STDOUT 1 (${length})`, "STDERR 1 (5)"]);
      expect(answerOf(bytes).stdout.toString("latin1")).toBe(text);
    },
  );

  it("never lets the second of two whole texts begin in a record it does not fit into", () => {
    const bytes = written((writer) => {
      writer.writeWhole(TYPE.STDOUT, 1, "a".repeat(65500));
      writer.writeWhole(TYPE.STDOUT, 1, "b".repeat(29));
    });
    expect(summary(bytes)).toEqual(["STDOUT 1 (65500)", "STDOUT 1 (29)"]);
  });

  it("refuses whole content that fits in no record", () => {
    const writer = new RecordWriter(new SlabPool());
    expect(() => writer.writeWhole(TYPE.STDOUT, 1, "x".repeat(65529))).toThrow(RangeError);
    expect(() => writer.writeRecord(TYPE.GET_VALUES_RESULT, 0, Buffer.alloc(65529))).toThrow(RangeError);
    expect(writer.pendingBytes).toBe(0);
  });

  it.each([1, 16383, 16384, 65527, 65528, 65529, 65535, 131056, 131057, 200000])(
    "writes %i bytes",
    (length) => {
      const content = Buffer.from(Array.from({ length }, (_, at) => (at * 7) & 255));
      const bytes = written((writer) => writer.writeBytes(TYPE.STDOUT, 1, content));
      const { records } = decodeRecords(bytes);
      expect(records.every((record) => record.content.length <= 65528 && record.padding === 0)).toBe(true);
      expect(records).toHaveLength(Math.ceil(length / 65528));
      expect(answerOf(bytes).stdout.equals(content)).toBe(true);
    },
  );

  it("refers to large content and copies small content", () => {
    const large = Buffer.alloc(REFERENCE_FROM_BYTES, "a");
    const small = Buffer.alloc(REFERENCE_FROM_BYTES - 1, "a");
    const writer = new RecordWriter(new SlabPool());
    writer.writeBytes(TYPE.STDOUT, 1, large);
    expect(writer.take()).toContain(large);
    writer.recycle(true);
    writer.writeBytes(TYPE.STDOUT, 1, small);
    const pieces = writer.take();
    small.fill("b");
    expect(Buffer.concat(pieces).includes("b")).toBe(false);
  });

  it("writes the part of a larger memory that it is given", () => {
    const memory = new Uint8Array(40000).fill(1);
    memory.fill(2, 100, 20100);
    const bytes = written((writer) => {
      writer.writeBytes(TYPE.STDOUT, 1, memory.subarray(100, 20100));
      writer.writeBytes(TYPE.STDOUT, 1, memory.subarray(100, 110));
    });
    expect(answerOf(bytes).stdout.equals(Buffer.alloc(20010, 2))).toBe(true);
  });

  const TEXTS = [
    "ascii",
    "é\xff\x00",
    "€uro",
    "\u{1f600}",
    "lone \ud800 surrogate \udc00",
    "x".repeat(5461),
    "€".repeat(5461),
    "€".repeat(5462),
    "\u{1f600}".repeat(30000),
    "0123456789abcdef",
    "eHl6",
  ];
  it.each([
    "utf8",
    "utf-8",
    "latin1",
    "binary",
    "ascii",
    "utf16le",
    "ucs2",
    "base64",
    "base64url",
    "hex",
  ] as const)("encodes %s as Buffer does", (encoding) => {
    for (const text of TEXTS) {
      const bytes = written((writer) => {
        writer.writeText(TYPE.STDOUT, 1, "[", "utf8");
        writer.writeText(TYPE.STDOUT, 1, text, encoding);
        writer.writeText(TYPE.STDOUT, 1, "]", "utf8");
      });
      const expected = Buffer.concat([Buffer.from("["), Buffer.from(text, encoding), Buffer.from("]")]);
      expect(answerOf(bytes).stdout.equals(expected)).toBe(true);
    }
  });

  it("fills slabs to the last byte without writing past them", () => {
    // Header 8, content 32760: exactly one slab; then every number of bytes too few for a header.
    for (let room = 0; room <= 16; room++) {
      const bytes = written((writer) => {
        writer.writeWhole(TYPE.STDOUT, 1, "a".repeat(32760 - room));
        writer.writeText(TYPE.STDOUT, 2, "b", "utf8");
        writer.writeText(TYPE.STDOUT, 2, "c".repeat(20), "latin1");
        writer.endRequest(2, 0, 0);
      });
      const { records, rest } = decodeRecords(bytes);
      expect(rest).toHaveLength(0);
      expect(records.map((record) => record.content.length).reduce((a, b) => a + b)).toBe(
        32760 - room + 21 + 8,
      );
    }
  });

  it("keeps a message that was shortened by its encoding growing in place", () => {
    const bytes = written((writer) => {
      for (let i = 0; i < 3000; i++) writer.writeText(TYPE.STDOUT, 1, `${i},`, "utf8");
    });
    expect(answerOf(bytes).stdout.toString()).toBe(Array.from({ length: 3000 }, (_, i) => `${i},`).join(""));
    expect(decodeRecords(bytes).records).toHaveLength(1);
  });
});

describe("one piece", () => {
  function answer(writer: RecordWriter, body: Uint8Array): void {
    writer.writeWhole(TYPE.STDOUT, 1, "Status: 200\r\n\r\n");
    writer.writeBytes(TYPE.STDOUT, 1, body);
    writer.endStream(TYPE.STDOUT, 1);
    writer.endRequest(1, 0, 0);
  }

  it("is taken without a list, and the writer goes on as after any other", () => {
    const pool = new SlabPool();
    const [plain, other] = [new RecordWriter(pool), new RecordWriter(new SlabPool())];
    for (const isRecycled of [false, true, false]) {
      answer(plain, Buffer.from("hello"));
      answer(other, Buffer.from("hello"));
      const one = plain.takeOne();
      expect(plain.pendingBytes).toBe(0);
      expect(Buffer.concat([one!])).toEqual(Buffer.concat(other.take()));
      expect([plain.takeOne(), plain.take()]).toEqual([undefined, []]);
      if (isRecycled) plain.recycle(true);
    }
  });

  it("grows no more once it is taken", () => {
    const writer = new RecordWriter(new SlabPool());
    writer.writeText(TYPE.STDOUT, 1, "one", "latin1");
    const first = Buffer.from(writer.takeOne()!);
    writer.writeText(TYPE.STDOUT, 1, "two", "latin1");
    expect([summary(first), summary(writer.takeOne()!)]).toEqual([["STDOUT 1 (3)"], ["STDOUT 1 (3)"]]);
  });

  it("is not taken when there is nothing, or more", () => {
    const writer = new RecordWriter(new SlabPool());
    expect(writer.takeOne()).toBeUndefined();
    answer(writer, Buffer.alloc(REFERENCE_FROM_BYTES));
    const { pendingBytes } = writer;
    expect([writer.takeOne(), writer.pendingBytes]).toEqual([undefined, pendingBytes]);
    expect(writer.take()).toHaveLength(3);
    for (let n = 0; n < 3; n++) answer(writer, Buffer.alloc(REFERENCE_FROM_BYTES - 1)); // more than one slab
    expect(writer.takeOne()).toBeUndefined();
    expect(
      answerOf(Buffer.concat(writer.take()).subarray(0, REFERENCE_FROM_BYTES + 62), 1).end,
    ).toBeDefined();
  });

  it("gives its slab back with the others", () => {
    const pool = new SlabPool();
    const slab = pool.take();
    pool.give(slab);
    const writer = new RecordWriter(pool);
    answer(writer, Buffer.from("hello"));
    expect(writer.takeOne()!.buffer).toBe(slab.buffer);
    writer.recycle(true);
    expect(pool.take()).toBe(slab);
  });
});

describe("slabs", () => {
  it("are not written again while the kernel does not have their pieces", () => {
    const writer = new RecordWriter(new SlabPool());
    const held: [Uint8Array[], string][] = [];
    for (let i = 0; i < 200; i++) {
      writer.writeText(TYPE.STDOUT, 1, `answer ${i};`.repeat(50), "utf8");
      held.push([writer.take(), `answer ${i};`.repeat(50)]);
      writer.recycle(false);
    }
    for (const [pieces, text] of held) expect(answerOf(Buffer.concat(pieces)).stdout.toString()).toBe(text);
  });

  it("are written again once the kernel has their pieces", () => {
    const pool = new SlabPool();
    const slab = pool.take();
    pool.give(slab);
    const writer = new RecordWriter(pool);
    for (let i = 0; i < 3; i++) {
      writer.endStream(TYPE.STDOUT, 1);
      expect(writer.take()[0]!.buffer).toBe(slab.buffer);
      writer.recycle(true);
    }
    expect(pool.take()).toBe(slab);
  });

  it("are shared by connections, one after the other", () => {
    const pool = new SlabPool();
    const [a, b] = [new RecordWriter(pool), new RecordWriter(pool)];
    a.endStream(TYPE.STDOUT, 1);
    const [piece] = a.take();
    a.recycle(true);
    b.endStream(TYPE.STDOUT, 1);
    expect(b.take()[0]!.buffer).toBe(piece!.buffer);
  });

  it("survive a take without recycle: writing goes on behind the pieces taken", () => {
    const writer = new RecordWriter(new SlabPool());
    writer.writeText(TYPE.STDOUT, 1, "one", "utf8");
    const first = writer.take();
    writer.writeText(TYPE.STDOUT, 1, "two", "utf8");
    const second = writer.take();
    writer.recycle(true);
    expect(answerOf(Buffer.concat([...first, ...second])).stdout.toString()).toBe("onetwo");
  });

  it.each([true, false])("lose nothing that was written between take and recycle(%s)", (isWritten) => {
    const pool = new SlabPool();
    const writer = new RecordWriter(pool);
    writer.writeText(TYPE.STDOUT, 1, "one", "utf8");
    const pieces = writer.take();
    writer.writeText(TYPE.STDOUT, 1, "two", "utf8");
    writer.writeBytes(TYPE.STDOUT, 1, Buffer.alloc(20000, "-"));
    writer.writeText(TYPE.STDOUT, 1, "three", "utf8");
    writer.recycle(isWritten);
    const pending = writer.pendingBytes;
    writer.writeText(TYPE.STDOUT, 1, "four", "utf8");
    expect(writer.pendingBytes).toBe(pending + 12);
    // Whoever takes a slab now must not get one of those.
    for (let i = 0; i < 4; i++) pool.take().fill(0xff);
    pieces.push(...writer.take());
    expect(answerOf(Buffer.concat(pieces)).stdout.toString()).toBe(`onetwo${"-".repeat(20000)}threefour`);
  });

  it("are kept in a bounded number, and only those of the usual size", () => {
    const pool = new SlabPool();
    const slabs = Array.from({ length: 100 }, () => pool.take());
    for (const slab of slabs) pool.give(slab);
    const again = Array.from({ length: 100 }, () => pool.take());
    expect(again.filter((slab) => slabs.includes(slab))).toHaveLength(32);
    expect(new Set(again).size).toBe(100);
    pool.give(Buffer.alloc(65536));
    expect(pool.take()).toHaveLength(slabs[0]!.length);
  });

  it("all go back to the pool when one turn filled several", () => {
    const pool = new SlabPool();
    const slabs = Array.from({ length: 3 }, () => pool.take());
    for (const slab of slabs) pool.give(slab);
    const writer = new RecordWriter(pool);
    for (let i = 0; i < 3; i++) writer.writeText(TYPE.STDOUT, i, "x".repeat(5000), "utf8");
    for (let i = 0; i < 3; i++) writer.writeBytes(TYPE.STDOUT, i, Buffer.alloc(16000));
    writer.take();
    writer.recycle(true);
    expect(new Set(Array.from({ length: 3 }, () => pool.take()))).toEqual(new Set(slabs));
  });
});

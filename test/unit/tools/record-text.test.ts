/** Records as people read them, and how the bytes of a connection become records. */
import { describe, expect, it } from "vitest";
import { encodeParams } from "../../../src/protocol/params.ts";
import { RecordFeed } from "../../../src/tools/record-feed.ts";
import {
  type NotRecords,
  notRecordsLines,
  ParamsView,
  recordLines,
  type SeenRecord,
} from "../../../src/tools/record-text.ts";
import { rawRecord, TYPE } from "../../support/records.ts";

const PLAIN = { hex: false, width: 100 } as const;

/** What a feed makes of bytes, cut into pieces of `size`. */
function feed(bytes: Buffer, size = bytes.length, keptBytes?: number) {
  const records: SeenRecord[] = [];
  const strange: NotRecords[] = [];
  const reader = new RecordFeed(
    { onRecord: (record) => records.push(record), onNotRecords: (seen) => strange.push(seen) },
    { towards: "application", now: () => 7, ...(keptBytes !== undefined && { keptBytes }) },
  );
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  reader.end();
  return { records, strange };
}

function seen(type: number, content: string | Buffer = "", more: Partial<SeenRecord> = {}): SeenRecord {
  const bytes = Buffer.from(content as string, "latin1");
  return {
    towards: "application",
    type,
    requestId: 1,
    contentLength: bytes.length,
    paddingLength: 0,
    content: bytes,
    at: 1.25,
    ...more,
  };
}

describe("what is no record", () => {
  it.each([1, 3, 1000])("is found at its offset behind Cherokee's blank records, in pieces of %i", (size) => {
    const record = rawRecord(TYPE.STDIN, 1, Buffer.from("abc"));
    const bytes = Buffer.concat([record, Buffer.alloc(8), record, Buffer.from("garbage!")]);
    const { records, strange } = feed(bytes, size);
    expect(records).toHaveLength(2);
    expect(strange).toMatchObject([{ reason: "garbage", offset: bytes.length - 8 }]);
    expect(strange[0]!.bytes[0]).toBe("g".charCodeAt(0));
  });
});

describe("one record", () => {
  it("says who speaks to whom, what it is and what its numbers mean", () => {
    const back = { towards: "web server" } as const;
    expect(recordLines(seen(TYPE.BEGIN_REQUEST, "\0\x01\x01\0\0\0\0\0"), PLAIN)).toEqual([
      "→ BEGIN_REQUEST id 1  responder, keep the connection",
    ]);
    expect(recordLines(seen(TYPE.BEGIN_REQUEST, "\0\x09\x02\0\0\0\0\0"), PLAIN)).toEqual([
      "→ BEGIN_REQUEST id 1  role 9, close the connection afterwards, flags 2",
    ]);
    expect(recordLines(seen(TYPE.END_REQUEST, "\0\0\x01\0\x02\0\0\0", back), PLAIN)).toEqual([
      "← END_REQUEST id 1  app status 256, FCGI_OVERLOADED",
    ]);
    expect(recordLines(seen(TYPE.END_REQUEST, "\0\0\0\0\x07\0\0\0", back), PLAIN)[0]).toContain(
      "protocol status 7, which does not exist",
    );
    expect(
      recordLines(seen(TYPE.UNKNOWN_TYPE, "\x09\0\0\0\0\0\0\0", { ...back, requestId: 0 }), PLAIN),
    ).toEqual(["← UNKNOWN_TYPE id 0  the application does not know GET_VALUES"]);
    expect(recordLines(seen(TYPE.ABORT_REQUEST), PLAIN)).toEqual([
      "→ ABORT_REQUEST id 1  the web server gives the request up",
    ]);
    expect(recordLines(seen(TYPE.STDIN, "", { paddingLength: 8 }), PLAIN)).toEqual([
      "→ STDIN id 1  end of the stream, 8 of padding",
    ]);
    expect(recordLines(seen(42, "?"), PLAIN)[0]).toBe("→ type 42 id 1  1 byte");
  });

  it("says when a fixed body has another length", () => {
    expect(recordLines(seen(TYPE.END_REQUEST, "abc"), PLAIN)).toEqual([
      "→ END_REQUEST id 1  3 bytes of content instead of 8",
    ]);
  });

  it("puts the time before it when asked", () => {
    expect(recordLines(seen(TYPE.STDIN), { ...PLAIN, time: true })[0]).toBe(
      "     1.3 ms → STDIN id 1  end of the stream",
    );
  });

  it("shows text line by line, with nothing that could steer a terminal", () => {
    const text = "Status: 200\r\n\r\n\x1b]0;gotcha\x07 caf\u00c3\u00a9 \u00e2\u0080\u00ae\n";
    expect(recordLines(seen(TYPE.STDOUT, text), PLAIN)).toEqual([
      "→ STDOUT id 1  37 bytes",
      "    Status: 200",
      "",
      "    \\x1b]0;gotcha\\x07 café \\u{202e}",
    ]);
  });

  it("escapes bytes that are no UTF-8, and cuts long lines", () => {
    expect(recordLines(seen(TYPE.STDERR, "caf\xe9\n"), PLAIN)[1]).toBe("    caf\\xe9");
    const [, line = ""] = recordLines(seen(TYPE.STDERR, "x".repeat(500)), { hex: false, width: 40 });
    expect(line).toHaveLength(40);
    expect(line.endsWith("…")).toBe(true);
  });

  it("says how much of a long text, or of one that was not kept, is missing", () => {
    const many = recordLines(seen(TYPE.STDOUT, "line\n".repeat(20)), PLAIN);
    expect(many).toHaveLength(14);
    expect(many.at(-1)).toBe("    … (40 more bytes)");
    const cut = recordLines(seen(TYPE.STDOUT, "ab", { contentLength: 9000 }), PLAIN);
    expect(cut).toEqual(["→ STDOUT id 1  9000 bytes", "    ab", "    … (8998 more bytes)"]);
  });

  it("shows a hex dump on demand, and of what is no text", () => {
    const lines = [
      "→ STDOUT id 1  18 bytes",
      "    0000  50 4b 03 04 00 00 00 00 61 62 63 64 65 66 67 68  PK......abcdefgh",
      "    0010  69 6a                                            ij",
    ];
    const zip = seen(TYPE.STDOUT, "PK\x03\x04\0\0\0\0abcdefghij");
    expect(recordLines(zip, PLAIN)).toEqual(lines);
    expect(recordLines(zip, { hex: true, width: 100 })).toEqual(lines);
    expect(recordLines(zip, { hex: 4, width: 60 })).toEqual([
      lines[0],
      "    0000  50 4b 03 04              PK..",
      "    … (14 more bytes)",
    ]);
  });

  it("shows the values of GET_VALUES and its answer", () => {
    const content = encodeParams([["FCGI_MPXS_CONNS", "1"]]);
    expect(recordLines(seen(TYPE.GET_VALUES_RESULT, content, { requestId: 0 }), PLAIN)).toEqual([
      "→ GET_VALUES_RESULT id 0  18 bytes",
      "    FCGI_MPXS_CONNS  1",
    ]);
    expect(recordLines(seen(TYPE.GET_VALUES, "\x05"), PLAIN)[1]).toBe(
      "    (malformed: 1 bytes are left over)",
    );
  });
});

describe("parameters", () => {
  const stream = encodeParams([
    ["REQUEST_URI", "/a?b=\u001b[31m"],
    ["LONG", "y".repeat(300)],
    ["LAST", ""],
  ]);
  const expected = ["    REQUEST_URI  /a?b=\\x1b[31m", `    LONG  ${"y".repeat(300)}`, "    LAST"];

  it("are shown with the record that completes them, wherever the stream is cut", () => {
    for (let cut = 1; cut < stream.length; cut++) {
      const view = new ParamsView();
      const lines = [stream.subarray(0, cut), stream.subarray(cut), Buffer.alloc(0)].flatMap((piece) =>
        view.lines(seen(TYPE.PARAMS, piece), 1000),
      );
      expect(lines.map((line) => line.replace(/ {2,}/g, "  ").replace(/^ +/, "    "))).toEqual(expected);
    }
  });

  it("of two requests are kept apart", () => {
    const view = new ParamsView();
    view.lines(seen(TYPE.PARAMS, "\x01\x02A", { requestId: 1 }), 80);
    expect(view.lines(seen(TYPE.PARAMS, "\x01\x01Bx", { requestId: 2 }), 80)).toEqual(["    B  x"]);
    expect(view.lines(seen(TYPE.PARAMS, "yz", { requestId: 1 }), 80)).toEqual(["    A  yz"]);
  });

  it("that end inside a pair, or were not kept, say so", () => {
    const view = new ParamsView();
    expect(view.lines(seen(TYPE.PARAMS, "\x05\x05abc"), 80)).toEqual([]);
    expect(view.lines(seen(TYPE.PARAMS), 80)).toEqual([
      "    (malformed: the stream ends inside a parameter, 5 bytes are left over)",
    ]);
    expect(view.lines(seen(TYPE.PARAMS, "", { contentLength: 9 }), 80)[0]).toMatch(/not kept whole/);
    expect(view.lines(seen(TYPE.PARAMS, "\x01\x01Bx"), 80)).toEqual([]);
    view.lines(seen(TYPE.BEGIN_REQUEST), 80);
    expect(view.lines(seen(TYPE.PARAMS, "\x01\x01Bx"), 80)).toEqual(["    B  x"]);
  });
});

describe("the bytes of a direction", () => {
  const bytes = Buffer.concat([
    rawRecord(TYPE.STDOUT, 3, "hello", 3),
    rawRecord(TYPE.STDOUT, 3, ""),
    rawRecord(99, 258, "x".repeat(300)),
  ]);

  it("become the same records however they are cut", () => {
    const whole = feed(bytes);
    expect(whole.strange).toEqual([]);
    expect(
      whole.records.map(({ type, requestId, contentLength, paddingLength }) => [
        type,
        requestId,
        contentLength,
        paddingLength,
      ]),
    ).toEqual([
      [6, 3, 5, 3],
      [6, 3, 0, 0],
      [99, 258, 300, 0],
    ]);
    expect(whole.records[0]?.content.toString()).toBe("hello");
    for (const size of [1, 2, 7, 8, 9, 64]) expect(feed(bytes, size)).toEqual(whole);
  });

  it("are kept up to the bound", () => {
    const { records } = feed(bytes, 100, 4);
    expect(records.map(({ content, contentLength }) => [content.length, contentLength])).toEqual([
      [4, 5],
      [0, 0],
      [4, 300],
    ]);
  });

  it("name who speaks when they are no records", () => {
    const { strange } = feed(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(strange).toMatchObject([
      {
        reason: "garbage",
        offset: 0,
        speaks: "an HTTP server's answer",
        says: "this is not FastCGI but an HTTP server's answer",
      },
    ]);
    expect(notRecordsLines(strange[0]!, PLAIN)).toEqual([
      "→ not a record: this is not FastCGI but an HTTP server's answer",
      "    HTTP/1.1 400 Bad Request",
      "",
    ]);
  });

  it("tell garbage behind records once, with its place, and nothing after it", () => {
    for (const size of [1, 5, 1000]) {
      const { records, strange } = feed(Buffer.concat([bytes, Buffer.from("oops, and more")]), size);
      expect(records).toHaveLength(3);
      expect(strange).toHaveLength(1);
      expect(strange[0]).toMatchObject({ reason: "garbage", offset: bytes.length, speaks: undefined });
      expect(strange[0]!.bytes[0]).toBe("o".charCodeAt(0));
      expect(strange[0]!.says).toContain(
        `byte 111, its version, and only 1 exists after ${bytes.length} bytes of records`,
      );
    }
  });

  it("tell an end inside a record", () => {
    const { records, strange } = feed(rawRecord(TYPE.STDOUT, 1, "hello").subarray(0, 10));
    expect(records).toEqual([]);
    expect(strange).toMatchObject([
      {
        reason: "cut",
        offset: 10,
        says: "the connection ended inside a STDOUT record: 2 of its 5 bytes came",
      },
    ]);
    expect(feed(Buffer.from([1, 6])).strange).toMatchObject([{ reason: "cut" }]);
  });
});

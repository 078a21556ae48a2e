/** Text for terminals: widths, numbers, and what strangers sent. */
import { describe, expect, it } from "vitest";
import {
  ascii,
  bytes,
  counted,
  cut,
  duration,
  pad,
  printable,
  printableLines,
  widthOf,
} from "../../../src/status/text.ts";

describe("text", () => {
  it("of strangers keeps printable ASCII only", () => {
    expect(ascii("/a b?c=%20~")).toBe("/a b?c=%20~");
    expect(ascii("ä\n\x00\u{1f600}")).toBe("\\xe4\\x0a\\x00\\u{1f600}");
  });

  it("of the operator keeps letters, and escapes what hides, reorders or commands", () => {
    expect(printable("Büro 日本")).toBe("Büro 日本");
    expect(printable("a\u202eb\u200bc\x1b[1m")).toBe("a\\u{202e}b\\u{200b}c\\x1b[1m");
  });

  it("of failures keeps its lines", () => {
    expect(printableLines("a\r\n\tb\x1b\nc")).toBe("a\n  b\\x1b\nc");
  });

  it("is cut to columns, of which wide characters take two and accents none", () => {
    expect(widthOf("a日e\u0301")).toBe(4);
    expect(cut("abcdef", 6)).toBe("abcdef");
    expect(cut("abcdefg", 6)).toBe("abcde…");
    expect(cut("日本語", 4)).toBe("日…");
    expect(cut("abc", 1)).toBe("…");
    expect(cut("abc", 0)).toBe("");
    expect(pad("日", 4, "left")).toBe("  日");
    expect(pad("ab", 4, "right")).toBe("ab  ");
  });
});

describe("numbers", () => {
  it.each([
    [-5, "0 ms"],
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [1000, "1.0 s"],
    [9999, "9.9 s"],
    [10_000, "10 s"],
    [59_999, "59 s"],
    [60_000, "1m 0s"],
    [3_599_999, "59m 59s"],
    [3_600_000, "1h 0m"],
    [86_400_000, "1d 0h"],
    [Number.NaN, "-"],
  ])("%d ms is %s", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it("of bytes and things have their unit", () => {
    expect([bytes(512), bytes(1024 * 640), bytes(1024 ** 2 * 88), bytes(1024 ** 3 * 1.44)]).toEqual([
      "1 KB",
      "640 KB",
      "88 MB",
      "1.4 GB",
    ]);
    expect([counted(0, "worker"), counted(1, "worker"), counted(2, "worker")]).toEqual([
      "0 workers",
      "1 worker",
      "2 workers",
    ]);
  });
});

/** Durations, sizes, permissions and words as people write them. */
import { describe, expect, it } from "vitest";
import {
  printDuration,
  printOctal,
  printSize,
  readCount,
  readDuration,
  readOctal,
  readSize,
  readYesNo,
} from "../../../src/config/values.ts";

describe("a duration", () => {
  it.each<[unknown, number, string]>([
    [30, 30_000, "30s"],
    [0.5, 500, "500ms"],
    ["30", 30_000, "30s"],
    ["500ms", 500, "500ms"],
    ["1500ms", 1500, "1500ms"],
    ["30s", 30_000, "30s"],
    ["90s", 90_000, "90s"],
    ["5m", 300_000, "5m"],
    ["1.5h", 5_400_000, "90m"],
    ["2 h", 7_200_000, "2h"],
    ["1d", 86_400_000, "1d"],
    [0, 0, "0"],
    ["0s", 0, "0"],
  ])("%j is %d ms, printed as %s, which reads the same", (written, ms, printed) => {
    expect(readDuration(written)).toBe(ms);
    expect(printDuration(ms)).toBe(printed);
    expect(readDuration(printDuration(ms))).toBe(ms);
  });

  it.each([
    -1,
    "",
    "s",
    "5 weeks",
    "1h30m",
    "-5s",
    "5S",
    Number.NaN,
    1e21,
    Number.POSITIVE_INFINITY,
    true,
    null,
    [],
  ])("%j is none", (written) => {
    expect(readDuration(written)).toBeUndefined();
  });
});

describe("a size", () => {
  it.each<[unknown, number, string]>([
    [1000, 1000, "1000"],
    ["1000", 1000, "1000"],
    [1_048_576, 1_048_576, "1M"],
    ["512K", 524_288, "512K"],
    ["256M", 268_435_456, "256M"],
    ["256mb", 268_435_456, "256M"],
    ["1.5GiB", 1_610_612_736, "1536M"],
    ["1G", 1_073_741_824, "1G"],
    [0, 0, "0"],
  ])("%j is %d bytes, printed as %s, which reads the same", (written, bytes, printed) => {
    expect(readSize(written)).toBe(bytes);
    expect(printSize(bytes)).toBe(printed);
    expect(readSize(printSize(bytes))).toBe(bytes);
  });

  it.each([-1, "", "M", "256 apples", "99999999999G", "0x10", Number.NaN, false, null])(
    "%j is none",
    (written) => {
      expect(readSize(written)).toBeUndefined();
    },
  );
});

describe("permissions", () => {
  it.each<[unknown, number, string]>([
    ["0660", 0o660, "0660"],
    ["660", 0o660, "0660"],
    ["0o600", 0o600, "0600"],
    [0o777, 0o777, "0777"],
    ["0", 0, "0000"],
    ["27", 0o27, "0027"],
  ])("%j is read, and printed as %3$s", (written, bits, printed) => {
    expect(readOctal(written)).toBe(bits);
    expect(printOctal(bits)).toBe(printed);
  });

  it.each(["0888", "rw-", "", 660, 0o1777, "1777", "77777", -1, 1.5, null])("%j is none", (written) => {
    expect(readOctal(written)).toBeUndefined();
  });
});

describe("a count", () => {
  it.each([
    [0, 0],
    [12, 12],
    ["12", 12],
    [" 7 ", 7],
  ])("%j is %d", (written, number) => {
    expect(readCount(written)).toBe(number);
  });

  it.each([-1, 1.5, "1.5", "0x10", "1e3", "", "four", Number.NaN, null, true])("%j is none", (written) => {
    expect(readCount(written)).toBeUndefined();
  });
});

describe("on or off", () => {
  it.each([true, "1", "true", "yes", "on", "YES"])("%j is on", (written) => {
    expect(readYesNo(written)).toBe(true);
  });

  it.each([false, "0", "false", "no", "off", "Off"])("%j is off", (written) => {
    expect(readYesNo(written)).toBe(false);
  });

  it.each(["", "maybe", "toString", 2, 1, null])("%j is neither", (written) => {
    expect(readYesNo(written)).toBeUndefined();
  });
});

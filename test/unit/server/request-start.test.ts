/** REQUEST_START: how long a request waited before we saw it. */
import { describe, expect, it } from "vitest";
import { Params } from "../../../src/protocol/params.ts";
import { waitedMs } from "../../../src/server/request-start.ts";

const NOW = 1_763_817_300_500;
const waited = (text: string, name = "REQUEST_START"): number => waitedMs(Params.from([[name, text]]), NOW);

describe("REQUEST_START", () => {
  it.each([
    ["seconds with a fraction, as nginx's $msec", "1763817299.250", 1250],
    ["whole seconds, which may mean the end of that second", "1763817298", 1500],
    ["milliseconds", "1763817300100", 400],
    ["milliseconds with a fraction", "1763817300100.5", 399.5],
    ["microseconds, as Apache's %t", "1763817300100000", 400],
    ["with t= in front", "t=1763817300100000", 400],
    ["with t= and seconds", "t=1763817299.250", 1250],
    ["now", "1763817300.500", 0],
    ["an hour ago", "1763813700.500", 3600000],
  ])("is understood: %s", (_what, text, expected) => {
    expect(waited(text)).toBeCloseTo(expected, 1);
  });

  it.each([
    ["the future", "1763817301.500"],
    ["the current second", "1763817300"],
    ["more than an hour ago", "1763813700.499"],
    ["1970", "0000000000"],
    ["empty", ""],
    ["words", "yesterday"],
    ["too few digits", "176381729"],
    ["too many digits", "17638172992500000"],
    ["between two units", "17638172992"],
    ["negative", "-1763817299.250"],
    ["an exponent", "1763817299e0"],
    ["an endless fraction", `1763817299.${"1".repeat(5000)}`],
    ["something behind it", "1763817299.250 or so"],
    ["a line break behind it", "1763817299.250\n"],
    ["two prefixes", "t=t=1763817299.250"],
  ])("is ignored: %s", (_what, text) => {
    expect(waited(text)).toBe(0);
  });

  it("is only that parameter: a client can send a header of the name", () => {
    expect(waited("1763817299.250", "HTTP_X_REQUEST_START")).toBe(0);
    expect(waited("1763817299.250", "HTTP_REQUEST_START")).toBe(0);
    expect(waitedMs(Params.from([]), NOW)).toBe(0);
  });
});

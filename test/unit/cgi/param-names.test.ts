import { describe, expect, it } from "vitest";
import { ParamNames } from "../../../src/cgi/param-names.ts";
import { Params } from "../../../src/protocol/params.ts";

/** Meanings that are the names themselves, and what was read. */
function upperNames(...prefixes: readonly string[]): { names: ParamNames<string>; read: string[] } {
  const read: string[] = [];
  const names = new ParamNames<string>(prefixes.length === 0 ? ["A", "B", "C"] : prefixes, (name) => {
    read.push(name);
    return /^[A-Z\d]+$/.test(name) ? name : undefined;
  });
  return { names, read };
}

function find(names: ParamNames<string>, name: string): string | undefined {
  const text = `before${name}after`;
  return names.find(text, "before".length, "before".length + name.length);
}

describe("what names of parameters mean", () => {
  it("is read once for each name, meaning or none", () => {
    const { names, read } = upperNames();
    for (let round = 0; round < 3; round++) {
      expect(find(names, "ABC")).toBe("ABC");
      expect(find(names, "Abc")).toBeUndefined();
      expect(find(names, "A")).toBe("A");
    }
    expect(read).toEqual(["ABC", "Abc", "A"]);
  });

  it("is nothing for names that begin otherwise, and for the empty one; they are not read", () => {
    const { names, read } = upperNames();
    for (const name of ["DEF", "", "\xff", "1"]) expect(find(names, name)).toBeUndefined();
    expect(read).toEqual([]);
  });

  it("is nothing for names whose third character differs from the prefix's", () => {
    const { names, read } = upperNames("ABC", "XY", "Z");
    for (const name of ["ABC", "ABCD", "AXC", "XY", "XYZ", "X", "Z", "ZA", "ZABC"])
      expect(find(names, name)).toBe(name);
    read.length = 0;
    for (const name of ["A", "AB", "ABX", "CAB", "abc"]) expect(find(names, name)).toBeUndefined();
    expect(read).toEqual([]);
  });

  it("is each name's own, however alike they are", () => {
    const { names } = upperNames();
    const alike: string[] = [];
    // The same length, and the same characters where a name's place is made of.
    for (let index = 0; index < 100; index++) alike.push(`A${String(index).padStart(2, "0")}XXXXXXXXX`);
    for (let round = 0; round < 2; round++) {
      for (const name of alike) expect(find(names, name)).toBe(name);
    }
  });

  it("is read once for names that are counted", () => {
    const { names, read } = upperNames();
    const counted = Array.from({ length: 400 }, (_, index) => `BXFILL${index}`);
    for (let round = 0; round < 3; round++) {
      for (const name of counted) expect(find(names, name)).toBe(name);
    }
    expect(read).toEqual(counted);
  });

  it("is known whether or not there is room to remember it", () => {
    const { names, read } = upperNames();
    const many = Array.from({ length: 2000 }, (_, index) => `B${index}`);
    many.push(`C${"X".repeat(100)}`);
    for (let round = 0; round < 2; round++) {
      for (const name of many) expect(find(names, name)).toBe(name);
    }
    // Some were remembered, and only some.
    expect(read.length).toBeLessThanOrEqual(2 * many.length - 400);
    expect(read.length).toBeGreaterThanOrEqual(2 * many.length - 512);
  });
});

it("pairs whose names mean something are visited in the order they came, each time they came", () => {
  const pairs: [string, string][] = [
    ["AA", "1"],
    ["Aa", "2"],
    ["D", "3"],
    ["BB", ""],
    ["AA", "4"],
    ["", "5"],
  ];
  const seen: string[] = [];
  Params.from(pairs).eachKnown(upperNames().names, (meaning, value) => seen.push(`${meaning}=${value}`));
  expect(seen).toEqual(["AA=1", "BB=", "AA=4"]);
});

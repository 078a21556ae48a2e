import { describe, expect, it } from "vitest";
import { encodeParams, Params } from "../../../src/protocol/params.ts";
import { decodePairs, encodePairs } from "../../support/records.ts";

const PAIRS = [
  ["REQUEST_METHOD", "GET"],
  ["HTTP_COOKIE", "a=1"],
  ["", "nameless"],
  ["HTTP_X", ""],
  ["HTTP_COOKIE", "b=2"],
  ["__proto__", "polluted"],
  ["N".repeat(128), "v".repeat(300)],
] as const;

function decode(bytes: Uint8Array | readonly number[], maxCount = 1000): Params {
  return Params.decode(Buffer.from(bytes).toString("latin1"), maxCount);
}

function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return { code: (error as { code?: string }).code, scope: (error as { scope?: string }).scope };
  }
  return "nothing thrown";
}

describe("Params", () => {
  const params = decode(encodePairs(PAIRS));

  it("keeps the pairs in order, duplicates included, in either form of lengths", () => {
    expect([...params]).toEqual(PAIRS);
    expect([...decode(encodePairs(PAIRS, true))]).toEqual(PAIRS);
    expect(params.size).toBe(PAIRS.length);
  });

  it("can be iterated more than once, and by two at a time", () => {
    const [a, b] = [params[Symbol.iterator](), params[Symbol.iterator]()];
    expect([a.next().value, b.next().value, a.next().value]).toEqual([PAIRS[0], PAIRS[0], PAIRS[1]]);
  });

  it("finds a value by its exact name, the last one of duplicates", () => {
    expect(params.get("REQUEST_METHOD")).toBe("GET");
    expect(params.get("HTTP_COOKIE")).toBe("b=2");
    expect(params.get("")).toBe("nameless");
    expect(params.get("N".repeat(128))).toBe("v".repeat(300));
    for (const name of [
      "request_method",
      "REQUEST_METHO",
      "REQUEST_METHODS",
      "GET",
      "HTTP_",
      "N".repeat(127),
    ]) {
      expect(params.get(name)).toBeUndefined();
    }
  });

  it("tells a parameter that was sent empty from one that was not sent", () => {
    expect(params.get("HTTP_X")).toBe("");
    expect([params.has("HTTP_X"), params.has("HTTP_Y"), params.has("")]).toEqual([true, false, true]);
  });

  it("does not find a name that only stands inside a value or across two pairs", () => {
    const tricky = decode(
      encodePairs([
        ["A", "\x01\x01BC"],
        ["D", "E"],
      ]),
    );
    expect([tricky.get("B"), tricky.get("DE"), tricky.get("BC"), tricky.get("D")]).toEqual([
      undefined,
      undefined,
      undefined,
      "E",
    ]);
  });

  it("visits the pairs whose names start with a prefix, in order", () => {
    const seen: string[] = [];
    params.each("HTTP_", (name, value) => seen.push(`${name}=${value}`));
    expect(seen).toEqual(["HTTP_COOKIE=a=1", "HTTP_X=", "HTTP_COOKIE=b=2"]);
    params.each("NOTHING", () => expect.unreachable());
  });

  it("takes a prefix from the name alone, even when the value goes on with it", () => {
    decode(encodePairs([["HTTP", "_X"]])).each("HTTP_", () => expect.unreachable());
  });

  it("makes an object without a prototype, the last value of each name", () => {
    const object = params.toObject();
    expect(Object.getPrototypeOf(object)).toBeNull();
    expect(Object.entries(object)).toContainEqual(["__proto__", "polluted"]);
    expect(object["HTTP_COOKIE"]).toBe("b=2");
    expect(Object.keys(object)).toHaveLength(PAIRS.length - 1);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("is empty without any bytes", () => {
    const none = decode([]);
    expect([none.size, [...none], none.get(""), none.toObject()]).toEqual([
      0,
      [],
      undefined,
      Object.create(null),
    ]);
  });

  it("counts up to its limit and no further", () => {
    expect(decode(encodePairs(PAIRS), PAIRS.length).size).toBe(PAIRS.length);
    expect(codeOf(() => decode(encodePairs(PAIRS), PAIRS.length - 1))).toEqual({
      code: "ERR_POSTERN_PARAMS_TOO_MANY",
      scope: "request",
    });
    expect(codeOf(() => decode([0, 0], 0))).toEqual({
      code: "ERR_POSTERN_PARAMS_TOO_MANY",
      scope: "request",
    });
  });

  it.each<[string, readonly number[]]>([
    ["a lone length", [1]],
    ["a lone length of zero", [0]],
    ["lengths without content", [1, 1]],
    ["a name without its value", [1, 1, 65]],
    ["a good pair and a lone byte", [1, 0, 65, 0]],
    ["one byte of a long length", [0x80]],
    ["two bytes of a long length", [0x80, 0]],
    ["three bytes of a long length", [0x80, 0, 0]],
    ["a long name length without a value length", [0x80, 0, 0, 0]],
    ["one byte of a long value length", [0, 0x80]],
    ["three bytes of a long value length", [0, 0x80, 0, 0]],
    ["the largest lengths twice", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 65, 66]],
    ["lengths whose 32-bit sum is zero", [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]],
    [
      "lengths that would wrap round to the start",
      [0xff, 0xff, 0xff, 0xf8, 0xff, 0xff, 0xff, 0xf8, 1, 1, 65, 66],
    ],
    ["a length with the 31st bit", [0xc0, 0, 0, 0, 0]],
    ["a value one byte short", [1, 0x80, 0, 0, 2, 65, 66]],
  ])("refuses %s", (_, bytes) => {
    expect(codeOf(() => decode(bytes))).toEqual({ code: "ERR_POSTERN_PARAMS_MALFORMED", scope: "request" });
  });

  it("refuses every proper beginning of a stream that does not end between pairs", () => {
    const bytes = encodePairs(PAIRS);
    const ends = new Set([0]);
    for (let count = 1; count <= PAIRS.length; count++) ends.add(encodePairs(PAIRS.slice(0, count)).length);
    for (let length = 0; length <= bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      if (ends.has(length)) expect([...decode(cut)]).toEqual(decodePairs(cut));
      else expect(codeOf(() => decode(cut))).toMatchObject({ code: "ERR_POSTERN_PARAMS_MALFORMED" });
    }
  });

  it("reads a stream that came in very many pieces, one character each", () => {
    let text = "";
    for (const byte of encodePairs([["N", "v".repeat(200_000)]])) text += String.fromCharCode(byte);
    expect(Params.decode(text, 1).get("N")).toHaveLength(200_000);
  });

  it("can be made from pairs in memory", () => {
    expect([...Params.from(PAIRS)]).toEqual(PAIRS);
    expect([...Params.from(new Map([["A", "b"]]))]).toEqual([["A", "b"]]);
    expect(() => Params.from([["A", "€"]])).toThrow(RangeError);
  });
});

describe("encodeParams", () => {
  it("writes what an independent encoder writes", () => {
    for (const length of [0, 1, 126, 127, 128, 129, 255, 256, 65535, 65536]) {
      for (const pair of [["n".repeat(length), "v"] as const, ["n", "v".repeat(length)] as const]) {
        expect(encodeParams([pair]).equals(encodePairs([pair]))).toBe(true);
      }
    }
  });

  it("takes any iterable once", () => {
    function* pairs(): Generator<[string, string]> {
      yield ["A", "b"];
      yield ["C", "\xff\x00"];
    }
    expect(decodePairs(encodeParams(pairs()))).toEqual([
      ["A", "b"],
      ["C", "\xff\x00"],
    ]);
    expect(encodeParams([])).toHaveLength(0);
  });

  it("refuses characters that are no byte, in name and value", () => {
    expect(() => encodeParams([["Ā", ""]])).toThrow(/U\+00FF/);
    expect(() => encodeParams([["", "x\u{1f600}"]])).toThrow(RangeError);
  });
});

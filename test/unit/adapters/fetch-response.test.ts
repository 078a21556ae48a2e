import { describe, expect, it } from "vitest";
import { lightParts, makeLight } from "../../../src/adapters/fetch-response.ts";

const Native = globalThis.Response;
const Light = makeLight(Native);
type Arguments = ConstructorParameters<typeof Response>;

/** Everything one can see of a response, or the kind of error its making throws. */
async function observe(make: () => Response): Promise<unknown> {
  let response: Response;
  try {
    response = make();
  } catch (error) {
    return (error as Error).constructor.name;
  }
  const { status, statusText, ok, type, url, redirected, bodyUsed } = response;
  const headers = [...response.headers];
  const copy = response.clone();
  const hasBody = response.body !== null;
  const text = await response.text();
  const again = await response.text().catch((error: Error) => error.constructor.name);
  return {
    ...{ status, statusText, ok, type, url, redirected, bodyUsed, headers, hasBody, text, again },
    usedAfter: response.bodyUsed,
    copyText: await copy.text(),
    isResponse: response instanceof Native && response instanceof Light,
    tag: Object.prototype.toString.call(response),
  };
}

const BODIES: readonly [string, () => Arguments[0]][] = [
  ["none", () => undefined],
  ["null", () => null],
  ["empty text", () => ""],
  ["text", () => "grüße ✓"],
  ["bytes", () => new Uint8Array([104, 105])],
  ["a Buffer", () => Buffer.from("hi")],
  ["an ArrayBuffer", () => new Uint8Array([104, 105]).buffer],
  ["a Blob", () => new Blob(["hi"], { type: "text/x" })],
  ["parameters", () => new URLSearchParams({ a: "1" })],
  ["a stream", () => new Blob(["hi"]).stream() as Arguments[0]],
  ["an object", () => ({}) as unknown as Arguments[0]],
];

const INITS: readonly [string, Arguments[1]][] = [
  ["nothing", undefined],
  ["an empty object", {}],
  ["a status", { status: 404, statusText: "Not Here" }],
  ["a null-body status", { status: 204 }],
  ["304", { status: 304 }],
  ["a status out of range", { status: 99 }],
  ["a fractional status", { status: 200.5 }],
  ["a bad reason", { statusText: "a\nb" }],
  ["headers", { headers: { "X-One": "1", "content-TYPE": "text/html" } }],
  [
    "header pairs, one twice",
    {
      headers: [
        ["set-cookie", "a=1"],
        ["Set-Cookie", "b=2"],
      ],
    },
  ],
  ["a Headers object", { headers: new Headers({ a: "b" }) }],
  ["a value with space around it", { headers: { a: "  b  " } }],
  ["a bad name", { headers: { "a b": "c" } }],
  ["a bad value", { headers: { a: "b\r\nc: d" } }],
  ["a value beyond latin1", { headers: { a: "✓" } }],
  ["a number for a value", { headers: { a: 1 } as unknown as Record<string, string> }],
];

describe("a light Response", () => {
  for (const [bodyName, body] of BODIES) {
    it(`of ${bodyName} is what the native one is, whatever the init`, async () => {
      for (const [initName, init] of INITS) {
        const light = await observe(() => new Light(body(), init));
        const native = await observe(() => new Native(body(), init));
        expect(light, initName).toEqual(native);
      }
    });
  }

  it("has the native statics", async () => {
    const pairs: [string, (of: typeof Response) => Response][] = [
      ["json", (of) => of.json({ a: [1] })],
      [
        "json with init",
        (of) => of.json("x", { status: 201, headers: { "Content-Type": "application/vnd.x" } }),
      ],
      ["redirect", (of) => of.redirect("http://a/b", 303)],
      ["a bad redirect", (of) => of.redirect("http://a/b", 200 as 302)],
      ["error", (of) => of.error()],
      ["json of nothing", (of) => of.json(undefined)],
    ];
    for (const [name, make] of pairs) {
      expect(await observe(() => make(Light)), name).toEqual(await observe(() => make(Native)));
    }
  });

  it("keeps what was changed in its headers, before and after the body was read", async () => {
    const response = new Light("x", { headers: { a: "1" } });
    response.headers.set("a", "2");
    expect(lightParts(response)?.headers).toEqual([
      "a",
      "2",
      "content-type",
      "text/plain;charset=UTF-8",
      "content-length",
      "1",
    ]);
    await response.text();
    response.headers.append("b", "3");
    expect([...response.headers].flat()).toEqual([
      "a",
      "2",
      "b",
      "3",
      "content-type",
      "text/plain;charset=UTF-8",
    ]);
  });

  it("is sent as it was given until something needs the native one, and announces its length", () => {
    expect(lightParts(new Light("é"))?.headers.slice(-2)).toEqual(["content-length", "2"]);
    expect(lightParts(new Light("x", { headers: { "Content-Length": "9" } }))?.headers).toEqual([
      ...["Content-Length", "9", "content-type", "text/plain;charset=UTF-8"],
    ]);
    expect(lightParts(new Light(null))).toEqual({ body: null, headers: [], isSpare: false });
    const used = new Light("x");
    expect(used.body).not.toBeNull();
    expect(lightParts(used)).toBeUndefined();
    expect(lightParts(new Native("x"))).toBeUndefined();
    expect(lightParts(new Light(new Blob(["x"])))).toBeUndefined();
  });

  it("does not change when the bytes it was made of do", async () => {
    const bytes = Buffer.from("hi");
    const response = new Light(bytes);
    const copy = new Light(bytes);
    bytes.fill("x");
    expect(lightParts(copy)?.body).toEqual(new Uint8Array([104, 105]));
    expect(await response.text()).toBe("hi");
  });

  it.each([2, 100_000])("of %i bytes was used once they were sent, as a native one", async (size) => {
    const response = new Light(Buffer.alloc(size, "x"), { status: 201, headers: { a: "b" } });
    const { body, isSpare } = lightParts(response)!;
    expect([body?.length, isSpare]).toEqual([size, size > 2]);
    expect(lightParts(response)).toBeUndefined();
    expect([response.bodyUsed, response.body?.locked, response.status, response.headers.get("a")]).toEqual([
      ...[true, true, 201, "b"],
    ]);
    await expect(response.text()).rejects.toThrow(TypeError);
    expect(() => response.clone()).toThrow(TypeError);
  });

  it("can be copied from, and derived from", async () => {
    const copy = new Light("new", new Light("old", { status: 418, headers: { a: "b" } }));
    expect([copy.status, copy.headers.get("a"), await copy.text()]).toEqual([418, "b", "new"]);
    class Mine extends Light {
      extra = 1;
    }
    const mine = new Mine("x");
    expect([mine.extra, mine.status, mine instanceof Light, await mine.text()]).toEqual([1, 200, true, "x"]);
  });
});

/** The body of a fetch request beside the one of the runtime's own Request: whatever is done to both, the same is seen. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { beginRecord, paramsRecords, rawRecord, TYPE } from "../../support/records.ts";
import { startServer } from "../../support/wire.ts";

const Native = globalThis.Request;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const bodies: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  text: Buffer.from("grüße ✓"),
  JSON: Buffer.from('{"a":[1,"é"]}'),
  "text with a byte-order mark": Buffer.from("\ufefftext"),
  "a byte-order mark alone": Buffer.from("\ufeff"),
  "what is no UTF-8": Buffer.from([
    0x61, 0xff, 0xc3, 0xe2, 0x82, 0xf0, 0x9f, 0x98, 0x62, 0xed, 0xa0, 0x80, 0xc0, 0xaf,
  ]),
  "more than one read of a socket": Buffer.from("0123456789é☃".repeat(120_000)),
};

type Step = (request: Request) => unknown;

const steps: Record<string, Step> = {
  text: (request) => request.text(),
  json: (request) => request.json(),
  arrayBuffer: async (request) => sha256(Buffer.from(await request.arrayBuffer())),
  blob: async (request) => {
    const blob = await request.blob();
    return [blob.type, blob.size, await blob.text()];
  },
  formData: (request) => request.formData().then(() => "a form"),
  clone: (request) => request.clone().text(),
  wrap: (request) => new Request(request).text(),
  look(request) {
    const { body } = request;
    return [body?.constructor.name, request.body === body];
  },
  lock: (request) => request.body?.getReader() instanceof ReadableStreamDefaultReader,
  lockAndRelease: (request) => request.body?.getReader().releaseLock(),
  readOne: async (request) => {
    const reader = request.body!.getReader();
    const { done } = await reader.read();
    reader.releaseLock();
    return done;
  },
  readAll: async (request) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of request.body!) pieces.push(piece);
    return sha256(Buffer.concat(pieces));
  },
  cancel: (request) => request.body!.cancel("enough"),
  facts: (request) => [request.cache, request.redirect, request.mode],
  both: (request) => Promise.all([request.text(), request.text()]),
};

/** What the steps give, one after the other, and what is seen of the body meanwhile. */
async function walk(request: Request, names: readonly string[]): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (const name of names) {
    let result: unknown;
    try {
      const running = steps[name]!(request);
      // Both are true at once, not only when the reading is over.
      const during = [request.bodyUsed, request.body?.locked];
      result = [await running, during];
    } catch (error) {
      result = (error as Error).name;
    }
    seen.push([name, result, request.bodyUsed, request.body?.locked]);
  }
  return seen;
}

const walks = [
  ["text"],
  ["json"],
  ["arrayBuffer"],
  ["blob"],
  ["readAll"],
  ["text", "text"],
  ["text", "json", "arrayBuffer", "blob", "formData"],
  ["text", "clone", "wrap", "look", "facts"],
  ["text", "lock"],
  ["both"],
  ["clone", "text", "clone"],
  ["wrap", "text", "wrap"],
  ["look", "text", "look", "text"],
  ["look", "clone", "text"],
  ["look", "wrap", "text"],
  ["lock", "text", "clone", "wrap", "facts", "look"],
  ["lockAndRelease", "text"],
  ["lockAndRelease", "clone"],
  ["readOne", "text", "clone", "wrap", "facts"],
  ["readOne", "facts", "look"],
  ["readAll", "text"],
  ["cancel", "text", "look"],
  ["facts", "look", "text", "clone"],
  ["formData", "text"],
] as const;

const OTHER_HEADERS = { CONTENT_TYPE: "Text/X-Own; Charset=UTF-8", HTTP_HOST: "a", REQUEST_URI: "/" };

describe.each(Object.entries(bodies))("a request body of %s", (_, stdin) => {
  it.each(walks.map((names) => [names.join(", then "), names] as const))(
    "answers %s as the native one",
    async (_, names) => {
      let seen: unknown;
      await using server = await startServer({
        async fetch(request) {
          seen = await walk(request, names);
          return new Response("");
        },
      });
      const { body } = await server.ask({
        params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: `${stdin.length}`, ...OTHER_HEADERS },
        stdin,
      });
      expect(body.toString()).toBe("");
      const headers = { "Content-Type": OTHER_HEADERS.CONTENT_TYPE };
      const stream = new Blob([stdin]).stream();
      const native = new Native("http://a/", { method: "POST", body: stream, duplex: "half", headers });
      const wanted = await walk(native, names);
      expect(seen).toEqual(wanted);
    },
  );

  it("gives bytes in memory of their own, whatever length was announced", async () => {
    const seen: (Uint8Array | ArrayBuffer)[] = [];
    await using server = await startServer({
      async fetch(request) {
        const how = new URL(request.url).pathname.slice(1) as "bytes" | "arrayBuffer";
        seen.push(await (request as Request & { bytes(): Promise<Uint8Array> })[how]());
        return new Response("");
      },
    });
    for (const CONTENT_LENGTH of [`${stdin.length}`, ""]) {
      for (const how of ["bytes", "arrayBuffer"]) {
        const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH, ...OTHER_HEADERS, REQUEST_URI: `/${how}` };
        await server.ask({ params: { ...params, PATH_INFO: `/${how}` }, stdin });
      }
    }
    expect(seen.map((given) => given.constructor)).toEqual([
      Uint8Array,
      ArrayBuffer,
      Uint8Array,
      ArrayBuffer,
    ]);
    for (const given of seen) {
      const bytes = given instanceof ArrayBuffer ? new Uint8Array(given) : given;
      expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, stdin.length]);
      expect(Buffer.compare(bytes, stdin)).toBe(0);
    }
  });
});

describe("the body of a fetch request", () => {
  // Node's own takes two off, where the Encoding Standard's "UTF-8 decode" takes one.
  it("loses one byte-order mark as text, and no other", async () => {
    await using server = await startServer({
      fetch: async (request) => new Response((await request.text()).replaceAll("\ufeff", "mark ")),
    });
    const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: "10", ...OTHER_HEADERS };
    const { body } = await server.ask({ params, stdin: Buffer.from("\ufeff\ufefftext") });
    expect(body.toString()).toBe("mark text");
  });

  it.each(["text", "arrayBuffer", "json", "blob"] as const)(
    "fails as aborted when the client goes during %s()",
    async (how) => {
      let resolve = (_: unknown): void => {};
      const promise = new Promise<unknown>((done) => {
        resolve = done;
      });
      let reading = (): void => {};
      const begun = new Promise<void>((done) => {
        reading = done;
      });
      await using server = await startServer({
        async fetch(request) {
          request[how]().catch((error: unknown) => resolve(error));
          reading();
          await promise;
          return new Response("");
        },
      });
      const wire = await server.connect();
      const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: "1000", ...OTHER_HEADERS };
      wire.send(beginRecord(1), paramsRecords(1, params), rawRecord(TYPE.STDIN, 1, "only a part"));
      await begun;
      wire.destroy();
      expect(await promise).toMatchObject({ name: "AbortError" });
    },
  );
});

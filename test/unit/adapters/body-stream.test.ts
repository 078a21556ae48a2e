/** `request.body` beside the body of the runtime's own Request: whatever is done to both streams, the same is seen. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import { beginRecord, paramsRecords, rawRecord, TYPE } from "../../support/records.ts";
import { startServer } from "../../support/wire.ts";

type Body = ReadableStream<Uint8Array>;
const Native = globalThis.Request;
const POST = { REQUEST_METHOD: "POST", HTTP_HOST: "a", REQUEST_URI: "/" };
const BYTES = Buffer.from("0123456789é☃".repeat(20_000));

async function hashOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

function stateOf(body: Body): unknown[] {
  return [body.locked, Readable.isDisturbed(body as never)];
}

/** What it gives, or the name of what it throws. */
async function outcome(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    return (error as Error).name;
  }
}

/** All that a stream refuses while it is locked, and allows when it is not. */
async function everything(body: Body): Promise<unknown[]> {
  return [
    stateOf(body),
    await outcome(() => body.getReader().releaseLock()),
    await outcome(() => body.tee().length),
    await outcome(() => body.values().return?.()),
    await outcome(() => body.pipeTo(new WritableStream())),
    await outcome(() => body.cancel()),
    await outcome(() => new Response(body).text()),
    stateOf(body),
  ];
}

const uses: Record<string, (body: Body, request: Request) => unknown> = {
  "iterated over": async (body) => [await hashOf(body), stateOf(body)],
  "iterated over by values()": async (body) => [await hashOf(body.values()), stateOf(body)],
  "iterated over twice": async (body) => [await hashOf(body), await hashOf(body)],
  "left in the middle": async (body) => {
    for await (const piece of body) if (piece.length > 0) break;
    return [stateOf(body), await hashOf(body)];
  },
  "left in the middle, but not given up": async (body) => {
    for await (const piece of body.values({ preventCancel: true })) if (piece.length > 0) break;
    return stateOf(body);
  },
  "left by a throw": async (body) => [
    await outcome(async () => {
      for await (const _ of body) throw new RangeError("enough");
    }),
    stateOf(body),
  ],
  "asked for a piece before the last one came": async (body) => {
    const iterator = body.values();
    const hash = createHash("sha256");
    for (let isDone = false; !isDone; ) {
      const steps = await Promise.all([iterator.next(), iterator.next(), iterator.next()]);
      for (const { value } of steps) if (value !== undefined) hash.update(value);
      isDone = steps[2].done === true;
      if (steps[0].done && !steps[2].done) return "in the wrong order";
    }
    return [hash.digest("hex"), await iterator.next(), stateOf(body)];
  },
  "given up while a piece is awaited": async (body) => {
    const iterator = body.values();
    const [first, left] = await Promise.all([
      iterator.next(),
      iterator.return?.("bye" as never),
      iterator.next(),
    ]);
    return [first.done, left, await iterator.next(), stateOf(body)];
  },
  "given up before the first piece": async (body) => {
    const iterator = body.values();
    return [stateOf(body), await iterator.return?.("bye" as never), await iterator.next(), stateOf(body)];
  },
  "looked at before it is iterated over": async (body) => [stateOf(body), await hashOf(body)],
  "looked at with an iterator made": async (body) => {
    body.values();
    return await everything(body);
  },
  "looked at while it is iterated over": async (body) => {
    const seen: unknown[] = [];
    for await (const _ of body) {
      if (seen.length === 0) seen.push(await everything(body));
    }
    return [seen, stateOf(body)];
  },
  "looked at when it was iterated over": async (body) => {
    await hashOf(body);
    return await everything(body);
  },
  "looked at when it was left": async (body) => {
    for await (const _ of body) break;
    return await everything(body);
  },
  "read by a reader": async (body) => {
    const reader = body.getReader();
    const hash = createHash("sha256");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      hash.update(value);
    }
    reader.releaseLock();
    return [hash.digest("hex"), stateOf(body)];
  },
  "read by a reader that was made of it": async (body) => {
    const { done } = await new ReadableStreamDefaultReader(body).read();
    return [done, stateOf(body)];
  },
  "begun by a reader and then iterated over": async (body) => {
    const reader = body.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    const hash = createHash("sha256").update(value!);
    for await (const piece of body) hash.update(piece);
    return hash.digest("hex");
  },
  "made a stream of Node": async (body) => [await hashOf(Readable.fromWeb(body as never)), stateOf(body)],
  "made a Response": async (body) => [(await new Response(body).text()).length, stateOf(body)],
  "made a Request": async (body) => {
    const request = new Native("http://a/", { method: "POST", body, duplex: "half" });
    return [(await request.text()).length, stateOf(body)];
  },
  "split in two": async (body) => {
    const [left, right] = body.tee();
    return [...(await Promise.all([hashOf(left), hashOf(right)])), stateOf(body)];
  },
  piped: async (body) => [await hashOf(body.pipeThrough(new TransformStream())), stateOf(body)],
  "told apart": (body) => [
    body instanceof ReadableStream,
    body.constructor === ReadableStream,
    Object.prototype.toString.call(body),
    body.values === body[Symbol.asyncIterator],
    Object.getPrototypeOf(Object.getPrototypeOf(Object.getPrototypeOf(body.values()))) === Object.prototype,
  ],
};

describe("the stream of a request's body", () => {
  it.each(Object.keys(uses))("is as the native one when %s", async (use) => {
    let seen: unknown;
    await using server = await startServer({
      async fetch(request) {
        seen = await outcome(() => uses[use]!(request.body!, request));
        return new Response("");
      },
    });
    const params = { ...POST, CONTENT_LENGTH: `${BYTES.length}` };
    const { body } = await server.ask({ params, stdin: BYTES });
    expect(body.toString()).toBe("");
    const stream = new Blob([BYTES]).stream();
    const native = new Native("http://a/", { method: "POST", body: stream, duplex: "half" });
    const wanted = await outcome(() => uses[use]!(native.body!, native));
    expect(isDeepStrictEqual(seen, wanted), JSON.stringify([seen, wanted])).toBe(true);
  });

  it("fails in a loop when the body ends too early, once", async () => {
    const seen: unknown[] = [];
    await using server = await startServer({
      async fetch(request) {
        const iterator = request.body!.values();
        const failed = hashOf(iterator).catch((error: Error & { code?: string }) => error.code);
        seen.push(await failed, await iterator.next(), request.body!.locked);
        return new Response("");
      },
    });
    await server.ask({ params: { ...POST, CONTENT_LENGTH: "1000" }, stdin: Buffer.from("a part") });
    expect(seen).toEqual(["ERR_POSTERN_BODY_SHORT", { done: true, value: undefined }, false]);
  });

  it.each(["before", "after"])(
    "fails in a loop as aborted when the client goes %s the first piece",
    async (when) => {
      let resolve = (_: unknown): void => {};
      const failed = new Promise<unknown>((done) => {
        resolve = done;
      });
      let reading = (): void => {};
      const begun = new Promise<void>((done) => {
        reading = done;
      });
      await using server = await startServer({
        async fetch(request) {
          try {
            if (when === "before") queueMicrotask(reading);
            for await (const _ of request.body!) reading();
          } catch (error) {
            resolve(error);
            throw error;
          }
          return new Response("");
        },
      });
      const wire = await server.connect();
      const params = { ...POST, CONTENT_LENGTH: "1000" };
      wire.send(beginRecord(1), paramsRecords(1, params));
      if (when === "after") wire.send(rawRecord(TYPE.STDIN, 1, "only a part"));
      await begun;
      wire.destroy();
      expect(await failed).toMatchObject({ name: "AbortError" });
    },
  );

  it("gives every byte to a loop that takes its time", async () => {
    const bytes = Buffer.from("0123456789é☃".repeat(300_000));
    let seen = "";
    await using server = await startServer({
      async fetch(request) {
        const hash = createHash("sha256");
        for await (const piece of request.body!) {
          await new Promise((done) => setImmediate(done));
          hash.update(piece);
        }
        seen = hash.digest("hex");
        return new Response("");
      },
    });
    await server.ask({ params: { ...POST, CONTENT_LENGTH: `${bytes.length}` }, stdin: bytes });
    expect(seen).toBe(createHash("sha256").update(bytes).digest("hex"));
  });
});

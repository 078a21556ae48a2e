/** The headers of a fetch request beside the runtime's own Headers: whatever is done to both, the same is seen. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { beginRecord, paramsRecords, stdinRecords } from "../../support/records.ts";
import { startServer } from "../../support/wire.ts";

const NativeRequest = globalThis.Request;
const NativeResponse = globalThis.Response;

const PARAMS: readonly [string, string][] = [
  ["REQUEST_METHOD", "POST"],
  ["REQUEST_URI", "/"],
  ["CONTENT_LENGTH", "0"],
  ["CONTENT_TYPE", "text/plain; charset=utf-8"],
  ["HTTP_HOST", "a"],
  ["HTTP_USER_AGENT", " \t spaces around \t"],
  ["HTTP_ACCEPT", "text/html"],
  ["HTTP_ACCEPT", "*/*"],
  ["HTTP_COOKIE", "a=1"],
  ["HTTP_COOKIE", "b=2"],
  ["HTTP_SET_COOKIE", "c=3"],
  ["HTTP_SET_COOKIE", "d=4"],
  ["HTTP_X_EMPTY", ""],
  ["HTTP_X_LATIN", "gr\u00fc\u00dfe"],
];
const NAMES = ["host", "Host", "USER-AGENT", "accept", "cookie", "set-cookie", "x-empty", "x-latin", "none"];
const NO_NAMES = ["", "a b", "a\n", "ü"];

function natives(): Headers {
  return new Headers([
    ["host", "a"],
    ["user-agent", "spaces around"],
    ["accept", "text/html"],
    ["accept", "*/*"],
    ["cookie", "a=1"],
    ["cookie", "b=2"],
    ["set-cookie", "c=3"],
    ["set-cookie", "d=4"],
    ["x-empty", ""],
    ["x-latin", "gr\u00fc\u00dfe"],
    ["content-type", "text/plain; charset=utf-8"],
    ["content-length", "0"],
  ]);
}

function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return (error as Error).name;
  }
}

function visits(headers: Headers): unknown[] {
  const seen: unknown[] = [];
  headers.forEach(function (this: unknown, value, name, given) {
    seen.push([value, name, given === headers, this]);
  }, "self");
  return seen;
}

const uses: Record<string, (headers: Headers) => unknown> = {
  "asked for values": (headers) => NAMES.map((name) => headers.get(name)),
  "asked whether they are there": (headers) => NAMES.map((name) => headers.has(name)),
  "asked for what is no name": (headers) =>
    [...NO_NAMES, undefined, null, 7, Symbol("a")].map((name) => [
      outcome(() => headers.get(name as string)),
      outcome(() => headers.has(name as string)),
    ]),
  "iterated over": (headers) => [
    [...headers],
    [...headers.keys()],
    [...headers.values()],
    [...headers.entries()],
  ],
  visited: visits,
  "visited by nobody": (headers) => outcome(() => headers.forEach(undefined as never)),
  "asked for cookies that are set": (headers) => headers.getSetCookie(),
  changed: (headers) => {
    const before = headers.get("accept");
    headers.append("Accept", "image/png");
    headers.set("X-New", "1");
    headers.delete("host");
    return [before, headers.get("accept"), headers.get("x-new"), headers.has("host"), [...headers]];
  },
  copied: (headers) => [
    [...new Headers(headers)],
    Object.fromEntries(headers),
    structuredClone([...headers]),
  ],
  "given to a Request": (headers) => [...new NativeRequest("http://a/", { headers }).headers],
  "given to a Response": (headers) => [
    [...new NativeResponse("", { headers }).headers],
    [...new Response("", { headers }).headers],
  ],
  printed: (headers) => [
    inspect(headers),
    inspect({ headers }, { depth: 0 }),
    String(headers),
    JSON.stringify(headers),
  ],
  "told apart": (headers) => [
    headers instanceof Headers,
    headers.constructor === Headers,
    Object.prototype.toString.call(headers),
    Object.keys(headers),
  ],
};

/** Sends a request with {@link PARAMS}, some of them twice, to an application that looks at it. */
async function ask(look: (request: Request) => void): Promise<void> {
  await using server = await startServer({
    fetch(request) {
      look(request);
      return new Response("seen");
    },
  });
  const wire = await server.connect();
  wire.send(beginRecord(1), paramsRecords(1, PARAMS), stdinRecords(1));
  expect((await wire.answer()).body.toString()).toBe("seen");
}

describe("the headers of a fetch request", () => {
  it.each(Object.keys(uses))("are as native ones when %s", async (use) => {
    let seen: unknown;
    await ask((request) => {
      seen = uses[use]!(request.headers);
    });
    expect(seen).toEqual(uses[use]!(natives()));
  });

  it("are the same object each time, and those of copies are others", async () => {
    const seen: unknown[] = [];
    await ask((request) => {
      const { headers } = request;
      headers.get("host");
      const clone = request.clone();
      clone.headers.set("x-clone", "1");
      headers.set("x-own", "1");
      const copy = new Request(request);
      seen.push(headers === request.headers, headers.has("x-clone"), clone.headers.has("x-own"));
      seen.push(copy.headers.get("x-own"), copy.headers.get("host"), copy.headers.has("x-clone"));
    });
    expect(seen).toEqual([true, false, false, "1", "a", false]);
  });
});

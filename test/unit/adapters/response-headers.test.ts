/** `response.setHeader` has a shorter way; nobody may be able to tell. */
import { IncomingMessage, OutgoingMessage, ServerResponse } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import { isSetHeaderKnown, outHeaders, ownSymbol } from "../../../src/adapters/http-internals.ts";
import { lowerName, ownSetHeader, setHeader } from "../../../src/adapters/response-headers.ts";
import { startServer } from "../../support/wire.ts";

function nodeResponse(): ServerResponse {
  return new ServerResponse(new IncomingMessage(null as never));
}

function ownResponse(): ServerResponse {
  return Object.assign(nodeResponse(), { setHeader: ownSetHeader });
}

type Step = (response: ServerResponse) => unknown;

/** What each step returns or throws, and what is set after it. */
function seen(response: ServerResponse, steps: readonly Step[]): unknown[] {
  return steps.map((step) => {
    let outcome: unknown;
    try {
      const returned = step(response);
      outcome = returned === response ? "itself" : returned;
    } catch (error) {
      const { name, message, code } = error as Error & { code?: string };
      outcome = { name, message, code };
    }
    const names = response.getHeaderNames();
    const raw = (response as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames();
    return [outcome, names, Object.entries(response.getHeaders()), raw];
  });
}

/** Anything may be given, types or not. */
function set(name: unknown, value: unknown): Step {
  return (response) => response.setHeader(name as string, value as string);
}

it("this runtime's setHeader is one that we know", () => {
  expect(isSetHeaderKnown).toBe(true);
  expect(outHeaders).toBe(ownSymbol(nodeResponse(), "kOutHeaders"));
});

describe("headers are set as node:http sets them", () => {
  it.each<[string, Step[]]>([
    ["in their order", [set("X-B", "1"), set("x-a", "2"), set("12", "3"), set("X-B", "4"), set("1", "5")]],
    ["in any spelling", [set("Content-Type", "a/b"), set("CONTENT-TYPE", "c/d"), set("content-type", "e/f")]],
    [
      "of any type",
      [set("X-N", 7), set("X-L", ["a", "b"]), set("X-T", true), set("X-0", null), set("X-E", "")],
    ],
    ["under names that objects have", [set("__proto__", "1"), set("constructor", "2"), set("toString", "3")]],
    [
      "beside what is appended and removed",
      [
        set("X-A", "1"),
        (response) => response.appendHeader("x-a", "2"),
        set("X-B", "3"),
        (response) => response.removeHeader("x-A"),
        set("X-A", "4"),
        (response) => response.hasHeader("X-a"),
        (response) => response.getHeader("X-A"),
        (response) => response.setHeaders(new Map([["X-M", "5"]])),
        (response) => response.removeHeader("X-M"),
      ],
    ],
    [
      "with node:http's errors",
      [
        ...["", "a b", "é", "x:", "(", undefined, null, 7, {}, Symbol.iterator].map((name) => set(name, "1")),
        ...[undefined, "\n", "a\r", "\0", "\x7f", "€", ["a", "\n"], Symbol("x")].map((value) =>
          set("X-A", value),
        ),
        set("X-A", "good"),
        ...[undefined, "\n", "€"].map((value) => set("X-A", value)),
        set(undefined, undefined),
      ],
    ],
    [
      "until the head is made",
      [
        set("X-A", "1"),
        (response) => response.writeHead(200, { "X-A": "2", "x-b": "3" }),
        set("X-A", "4"),
        set("", undefined),
      ],
    ],
  ])("%s", (_name, steps) => {
    const expected = seen(nodeResponse(), steps);
    expect(seen(ownResponse(), steps)).toEqual(expected);
    // The names are known now.
    expect(seen(ownResponse(), steps)).toEqual(expected);
  });
});

describe("who changes how headers are set", () => {
  it("on one response is heard, and reaches the way underneath", () => {
    const response = ownResponse();
    const heard: string[] = [];
    const before = response.setHeader;
    response.setHeader = function (this: ServerResponse, name: string, value: string): never {
      heard.push(name);
      return before.call(this, name, value) as never;
    };
    response.setHeader("X-A", "1");
    response.appendHeader("X-B", "2");
    response.writeHead(200, { "X-C": "3" });
    expect(heard).toEqual(["X-A", "X-B", "X-C"]);
    expect(response.getHeaders()).toEqual({ "x-a": "1", "x-b": "2", "x-c": "3" });
  });

  it("on the prototype of responses is heard", () => {
    const heard: string[] = [];
    const prototype = ServerResponse.prototype as unknown as Record<string, unknown>;
    const response = ownResponse();
    response.setHeader("X-A", "1"); // known from here
    prototype["setHeader"] = function (this: ServerResponse, name: string, value: string): unknown {
      heard.push(name);
      return OutgoingMessage.prototype.setHeader.call(this, name, `${value}!`);
    };
    onTestFinished(() => {
      delete prototype["setHeader"];
    });
    response.setHeader("X-A", "2");
    expect(heard).toEqual(["X-A"]);
    expect(response.getHeader("x-a")).toBe("2!");
  });

  it("on a prototype put under a response is heard", () => {
    const response = ownResponse();
    response.setHeader("X-A", "1");
    const prototype = Object.create(ServerResponse.prototype, {
      setHeader: { value: () => "replaced" },
    });
    Object.setPrototypeOf(response, prototype);
    expect(response.setHeader("X-A", "2")).toBe("replaced");
  });

  it("takes an object made of a response for one", () => {
    const response = Object.create(Object.create(ownResponse())) as ServerResponse;
    response.setHeader("X-A", "1").setHeader("X-A", "2");
    expect(response.getHeader("x-a")).toBe("2");
  });
});

it("served, a response has the shorter way, and its headers arrive", async () => {
  let isOwn = false;
  await using server = await startServer((_request, response) => {
    isOwn = Object.hasOwn(response, "setHeader") && response.setHeader === (setHeader as unknown);
    response.setHeader("X-One", "1").setHeader("x-two", 2).setHeader("X-List", ["a", "b"]);
    response.end();
  });
  const { head } = await server.ask();
  expect(isOwn).toBe(true);
  expect(head).toMatch(/^X-One: 1\r?$/m);
  expect(head).toMatch(/^x-two: 2\r?$/m);
  expect(head).toMatch(/^X-List: a\r?\nX-List: b\r?$/m);
});

describe("the lower-case form of a name", () => {
  it("is known whether or not there is room to remember it", () => {
    expect(lowerName("X-Some-Name")).toBe("x-some-name");
    expect(lowerName("X-Some-Name")).toBe("x-some-name");
    expect(lowerName(`X-${"Long-".repeat(20)}`)).toBe(`x-${"long-".repeat(20)}`);
    for (let index = 0; index < 600; index++) expect(lowerName(`X-Fill-${index}`)).toBe(`x-fill-${index}`);
    const response = ownResponse();
    response.setHeader("X-Fill-599", "1").setHeader("x-fill-599", "2");
    expect(response.getHeaders()).toEqual({ "x-fill-599": "2" });
  });

  it("is empty for what is no name", () => {
    for (const name of ["", "a b", "é", "a:"]) expect(lowerName(name)).toBe("");
  });
});

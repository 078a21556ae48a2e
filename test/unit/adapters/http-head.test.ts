import { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  type GivenHeaders,
  type HeadSource,
  headFromHeaders,
  headFromHttp,
} from "../../../src/adapters/http-head.ts";
import { outHeaders, type ResponseInternals } from "../../../src/adapters/http-internals.ts";

it("a head of node:http begins with Status, and loses what concerns one connection", () => {
  expect(headFromHttp("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n")).toBe(
    "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\n",
  );
  expect(headFromHttp("HTTP/1.1 200 OK\r\nConnection: close\r\nStatus: 500\r\nX-A: 1\r\n\r\n")).toBe(
    "Status: 200 OK\r\nX-A: 1\r\n\r\n",
  );
});

it("a head with a Location ends with Status: HAProxy 2.6 makes a 302 of every other order", () => {
  expect(headFromHttp("HTTP/1.1 301 Moved Permanently\r\nlocation: /x\r\nVary: Cookie\r\n\r\n")).toBe(
    "location: /x\r\nVary: Cookie\r\nStatus: 301 Moved Permanently\r\n\r\n",
  );
});

describe("a head made of headers", () => {
  type Change = (response: ServerResponse & ResponseInternals) => void;

  function responseWith(change: Change): ServerResponse & HeadSource {
    const response = new ServerResponse(new IncomingMessage(null as never)) as ServerResponse & HeadSource;
    (response as unknown as { _removedConnection: boolean })._removedConnection = true;
    response.sendDate = false;
    change(response);
    return response;
  }

  /** The head out of what node:http writes, and the one made of the headers; undefined for one that is left to node:http. */
  function heads(status: number, change: Change, given?: object): [string, string | undefined] {
    const plain = responseWith(change);
    plain.writeHead(status, given as never);
    let made: string | undefined;
    const own = responseWith(change);
    own._storeHeader = function (this: HeadSource, _firstLine, headers) {
      const areSet = headers === (this as unknown as Record<symbol, unknown>)[outHeaders!];
      made = headFromHeaders(this, headers as GivenHeaders, areSet);
      this._header = "made";
    };
    own.writeHead(status, given as never);
    return [headFromHttp(plain._header!), made];
  }

  it.each<[string, number, Change, object?]>([
    ["no headers", 200, () => {}],
    [
      "headers that were set, in their order and as they were spelt",
      404,
      (response) => {
        response.setHeader("X-B", "2").setHeader("content-type", "text/plain").setHeader("X-a", 1);
      },
    ],
    ["headers given to writeHead", 200, () => {}, { "Content-Type": "text/plain", "x-number": 7 }],
    ["both", 500, (response) => response.setHeader("X-A", "set"), { "X-A": "given", "X-B": "é" }],
    [
      "a reason of its own",
      200,
      (response) => {
        response.statusMessage = "Fine";
      },
    ],
    [
      "a length that is known",
      200,
      (response) => {
        response._contentLength = 12;
      },
    ],
    [
      "a length that was set",
      200,
      (response) => {
        response._contentLength = 12;
        response.setHeader("Content-Length", "13");
      },
    ],
    [
      "a length that was removed",
      200,
      (response) => {
        response._contentLength = 12;
        response.setHeader("Content-Length", "12");
        response.removeHeader("Content-Length");
      },
    ],
    [
      "the answer to HEAD",
      200,
      (response) => {
        response._contentLength = 12;
        response._hasBody = false;
      },
    ],
    [
      "a Date that was set",
      200,
      (response) => {
        response.sendDate = true;
        response.setHeader("Date", "then");
      },
    ],
  ])("is the one that node:http writes: %s", (_what, status, change, given) => {
    const [http, made] = heads(status, change, given);
    expect(made).toBe(http);
  });

  it("has the Date of this second", () => {
    const made = heads(200, (response) => {
      response.sendDate = true;
    })[1];
    const date = /^Status: 200 OK\r\nDate: (.*)\r\n\r\n$/.exec(made ?? "")?.[1] ?? "";
    expect(new Date(date).toUTCString()).toBe(date);
    expect(Math.abs(Date.parse(date) - Date.now())).toBeLessThan(60_000);
  });

  it("has the Date of the next second when that has come, on the dot", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "Date"], now: Date.UTC(2026, 10, 23, 7, 0, 0, 400) });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    vi.resetModules();
    const fresh = await import("../../../src/adapters/http-head.ts");
    const dateNow = (): string | undefined => {
      const response = responseWith((given) => {
        given.sendDate = true;
        given.statusMessage = "OK";
      });
      return /^Date: (.*)\r$/m.exec(fresh.headFromHeaders(response, null, true) ?? "")?.[1];
    };
    expect(dateNow()).toBe("Mon, 23 Nov 2026 07:00:00 GMT");
    vi.advanceTimersByTime(599);
    expect(dateNow()).toBe("Mon, 23 Nov 2026 07:00:00 GMT");
    vi.advanceTimersByTime(1);
    expect(dateNow()).toBe("Mon, 23 Nov 2026 07:00:01 GMT");
    vi.advanceTimersByTime(5000); // nobody asked meanwhile, and nothing ran
    expect(vi.getTimerCount()).toBe(0);
    expect(dateNow()).toBe("Mon, 23 Nov 2026 07:00:06 GMT");
  });

  it.each<[string, number, Change, object?]>([
    ["a status without a body", 304, () => {}],
    ["a Location", 302, () => {}, { LOCATION: "/x" }],
    ["a list", 200, (response) => response.setHeader("Set-Cookie", ["a=1", "b=2"])],
    ["what concerns one connection", 200, (response) => response.setHeader("Connection", "close")],
    ["a second Status", 200, () => {}, { status: "500" }],
    ["events", 200, (response) => response.setHeader("Content-Type", "text/event-stream; charset=utf-8")],
    ["the name of a file", 200, (response) => response.setHeader("Content-Disposition", "attachment")],
  ])("is left to node:http with %s", (_what, status, change, given) => {
    expect(heads(status, change, given)[1]).toBeUndefined();
  });

  it("is left to node:http without a reason, and when it is too long for one record", () => {
    const response = responseWith(() => {});
    response.statusMessage = "";
    expect(headFromHeaders(response, undefined, false)).toBeUndefined();
    response.statusMessage = "OK";
    expect(headFromHeaders(response, { "X-A": "x".repeat(65_528) }, false)).toBeUndefined();
  });

  it.each([{ "X A": "name" }, { "X-A": "a\r\nX-B: b" }, { "X-A": undefined }, { "": "empty" }])(
    "is refused by node:http: %j",
    (given) => {
      const response = responseWith(() => {});
      response.statusMessage = "OK";
      expect(headFromHeaders(response, given, false)).toBeUndefined();
      expect(() => response.writeHead(200, given as never)).toThrow(TypeError);
    },
  );
});

/** Which functions are middleware, and what becomes of a request that one passes on. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { isMiddleware } from "../../../src/adapters/middleware.ts";
import { startServer } from "../../support/wire.ts";

type Next = (error?: unknown) => void;
const wrong = new Error("no luck");
const holder = {
  method(_request: IncomingMessage, _response: ServerResponse, next: Next) {
    next();
  },
};

describe("middleware", () => {
  it.each<readonly [string, (request: IncomingMessage, response: ServerResponse, next: Next) => unknown]>([
    ["an arrow function", (_request, _response, next) => next()],
    ["an async one", async (_request, _response, next) => next()],
    [
      "a function",
      function app(_request, _response, next) {
        next();
      },
    ],
    ["a method", holder.method],
  ])("is %s whose third parameter is next, and what it passes on is not found", async (_name, middleware) => {
    expect(isMiddleware(middleware)).toBe(true);
    await using server = await startServer(middleware);
    const answer = await server.ask();
    expect(answer.head).toMatch(/^Status: 404 Not Found\r\n/);
    expect(answer.head).toContain("Content-Type: text/html");
    expect(server.log.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  it.each<readonly [string, (...parameters: never[]) => unknown]>([
    ["a listener", (_request: unknown, _response: unknown) => {}],
    ["one that takes something else", (_request: unknown, _response: unknown, _parsedUrl: unknown) => {}],
    ["one whose third is only called alike", (_a: unknown, _b: unknown, nextUrl: unknown) => nextUrl],
    [
      "an application that can listen",
      Object.assign((_a: unknown, _b: unknown, next: Next) => next(), { listen() {} }),
    ],
  ])("is not %s", (_name, listener) => {
    expect(isMiddleware(listener)).toBe(false);
  });

  it.each<readonly [string, (request: IncomingMessage, response: ServerResponse, next: Next) => unknown]>([
    ["passes on an error", (_request, _response, next) => next(wrong)],
    [
      "throws",
      (_request, _response, next) => {
        if (next !== undefined) throw wrong;
      },
    ],
    [
      "rejects",
      async (_request, _response, next) => {
        if (next !== undefined) throw wrong;
      },
    ],
  ])("that %s is answered 500, and the log has the error", async (_name, middleware) => {
    await using server = await startServer(middleware);
    const answer = await server.ask();
    expect(answer.head).toMatch(/^Status: 500 /);
    const errors = server.log.lines.filter(({ level }) => level === "error");
    expect(errors.map(({ fields }) => fields["error"])).toEqual([wrong]);
  });

  it("that answers keeps its answer", async () => {
    await using server = await startServer(
      (_request: IncomingMessage, response: ServerResponse, next: Next) => {
        response.end("mine");
        next();
      },
    );
    expect(String((await server.ask()).body)).toBe("mine");
  });
});

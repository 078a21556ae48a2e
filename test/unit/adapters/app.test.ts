/** What is taken for an application, and what is said about the rest. */
import { createServer } from "node:http";
import { describe, expect, it } from "vitest";
import { handlerFor } from "../../../src/adapters/app.ts";

class Controller {
  handle(): void {}
}

describe("an application", () => {
  it.each<readonly [string, unknown]>([
    ["a listener", () => {}],
    ["an async listener", async () => {}],
    ["a function made the old way, which might be a class", function Old() {}],
    ["fetch", { fetch: () => new Response() }],
    ["a function with fetch", Object.assign(() => {}, { fetch: () => new Response() })],
    ["a class with fetch", Object.assign(class {}, { fetch: () => new Response() })],
    ["an http.Server", createServer(() => {})],
    ["raw", { raw: () => {} }],
    ["roles", { responder: () => {}, authorizer: () => {} }],
  ])("may be %s", (_name, application) => {
    expect(handlerFor(application)).toBeTypeOf("function");
  });

  it.each<readonly [string, unknown, string]>([
    [
      "nothing",
      undefined,
      "the application is undefined; nothing was exported, or under another name; serve takes (req",
    ],
    ["null", null, "the application is null; serve takes (req, res) => …, { fetch }"],
    ["a text", "app.js", "the application is a string; serve takes"],
    ["an object", { a: 1 }, "the application is an object with a; serve takes"],
    ["a Koa instance", { middleware: [], callback: () => () => {} }, "a Koa instance; export app.callback()"],
    [
      "a Fastify instance",
      { routing: () => {}, ready: () => Promise.resolve() },
      "a Fastify instance; await app.ready() and export app.routing",
    ],
    ["a class", Controller, "the class Controller; make an instance of it"],
    ["a class without a name", class {}, "a class; make an instance of it"],
    ["a promise", Promise.resolve(() => {}), "a promise; await it first"],
  ])("is not %s, with a remedy", (_name, application, message) => {
    for (const given of [application, { responder: application, authorizer: () => {} }]) {
      if (application === undefined && given !== undefined) continue; // no responder at all
      expect(() => handlerFor(given)).toThrow(
        expect.objectContaining({ code: "ERR_POSTERN_BAD_APP", message: expect.stringContaining(message) }),
      );
    }
  });

  it("has functions for its roles", () => {
    expect(() => handlerFor({ authorizer: "no" })).toThrow(/authorizer is a string, it must be a function/);
  });
});

/** What is taken for an application, and what is said about the rest. */
import { createServer, Server } from "node:http";
import { describe, expect, it } from "vitest";
import { handlerFor, prepareApplication } from "../../../src/adapters/app.ts";

class Controller {
  handle(): void {}
}

/** A proxy as itty-router makes one. */
function everyName(own: object): object {
  const proxy = new Proxy({}, { get: () => () => {} });
  return Object.assign(Object.create(proxy) as object, own);
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
    ["a promise of one", Promise.resolve(() => {})],
    ["a Koa application", { middleware: [], callback: () => () => {} }],
    [
      "a router of itty-router, which has a function for every name",
      everyName({ fetch: () => new Response() }),
    ],
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
    [
      "an h3 1 app",
      { stack: [], handler: () => {}, use: () => {} },
      "an h3 1 app; export toNodeListener(app)",
    ],
    ["a class", Controller, "the class Controller; make an instance of it"],
    ["a class without a name", class {}, "a class; make an instance of it"],
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

describe("prepareApplication", () => {
  const listener = (): void => {};
  const httpServer = createServer(listener);

  it.each<readonly [string, unknown]>([
    ["a listener", listener],
    ["an http.Server", httpServer],
    ["a fetch application", { fetch: listener, handler: () => {}, server: httpServer }],
    ["a raw program", { raw: listener, handler: () => {} }],
    ["roles", { responder: listener }],
  ])("leaves %s as it is, at once", (_name, application) => {
    expect(prepareApplication(application)).toBe(application);
  });

  it.each<readonly [string, object, unknown]>([
    ["a Fastify instance", { ready: async () => {}, routing: () => {}, server: httpServer }, httpServer],
    [
      "one that made a server of its own kind",
      { ready: async () => {}, routing: listener, server: {} },
      listener,
    ],
    ["hapi's server", { initialize: async () => {}, listener: httpServer }, httpServer],
    ["Next.js", { prepare: async () => {}, getRequestHandler: () => listener }, listener],
    [
      "an Elysia application",
      { handle() {}, modules: Promise.resolve(), fetch: listener },
      { fetch: listener },
    ],
    ["what holds an http.Server", { server: httpServer, name: "restify" }, httpServer],
    [
      "NestJS on Express",
      {
        init: async () => {},
        getHttpAdapter: () => ({ getInstance: () => () => {} }),
        getHttpServer: () => httpServer,
      },
      httpServer,
    ],
    [
      "NestJS on Fastify without an http.Server",
      {
        init: async () => {},
        getHttpAdapter: () => ({
          getInstance: () => ({ ready: async () => {}, routing: listener, server: undefined }),
        }),
        getHttpServer: () => ({}),
      },
      listener,
    ],
    ["a promise of Koa", Promise.resolve({ middleware: [], callback: () => listener }), listener],
  ])("makes what serves of %s", async (_name, application, expected) => {
    expect(await prepareApplication(application)).toEqual(expected);
    const roles = { responder: application, authorizer: listener, filter: undefined };
    expect(await prepareApplication(roles)).toEqual({ ...roles, responder: expected });
  });

  it.each(["handler", "listener", "middleware", "handle"])("finds %s, and calls it on its object", (name) => {
    let self: unknown;
    const holder = {
      [name](this: unknown) {
        self = this;
      },
    };
    const found = prepareApplication(holder) as () => void;
    found();
    expect(self).toBe(holder);
  });

  it("waits for the application before its framework is asked for a listener", async () => {
    const order: string[] = [];
    const app = {
      async ready() {
        await Promise.resolve();
        order.push("ready");
      },
      routing: listener,
      get server() {
        order.push("server");
        return new Server();
      },
    };
    await prepareApplication(app);
    expect(order[0]).toBe("ready");
  });

  it("says which framework could not be started, and why", async () => {
    const app = {
      ready: () => Promise.reject(new Error("no database")),
      routing: listener,
    };
    await expect(prepareApplication(app)).rejects.toMatchObject({
      code: "ERR_POSTERN_APP_LOAD",
      message: expect.stringMatching(
        /^Fastify could not be started: app\.ready\(\) failed\nError: no database\n/,
      ),
      cause: { message: "no database" },
    });
  });

  it("passes on what a promise of an application was rejected with", async () => {
    const reason = new Error("no configuration");
    await expect(prepareApplication(Promise.reject(reason))).rejects.toBe(reason);
  });
});

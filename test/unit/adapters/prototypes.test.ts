/** Requests and responses of an application that has prototypes for them are made on these. */
import { createServer, IncomingMessage, ServerResponse } from "node:http";
import express from "express";
import { expect, it, onTestFinished } from "vitest";
import { onPrototypesOf } from "../../../src/adapters/prototypes.ts";
import { type ServerTraits, traitsOf } from "../../../src/adapters/server-traits.ts";
import { startServer } from "../../support/wire.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** A listener with two objects, as Express's applications have them, and what prototypes it was called with. */
function likeExpress(): Listener & { request: object; response: object; seen: unknown[] } {
  const listener: Listener = (request, response) => {
    seen.push(Object.getPrototypeOf(request), Object.getPrototypeOf(response));
    response.setHeader(
      "X-Kind",
      `${request instanceof IncomingMessage} ${response instanceof ServerResponse}`,
    );
    response.end("whole");
  };
  const seen: unknown[] = [];
  const request = Object.create(IncomingMessage.prototype, { app: { value: listener } });
  const response = Object.create(ServerResponse.prototype, { app: { value: listener } });
  return Object.assign(listener, { request, response, seen });
}

function isLeft(listener: unknown, traits: ServerTraits = traitsOf(createServer())): boolean {
  return onPrototypesOf(listener, traits) === traits;
}

it("they are, for a listener and for a server that has no other", async () => {
  for (const isServer of [false, true]) {
    const listener = likeExpress();
    await using server = await startServer(isServer ? createServer(listener) : listener);
    const { head, body } = await server.ask();
    expect(listener.seen).toEqual([listener.request, listener.response]);
    expect(head).toMatch(/^X-Kind: true true\r?$/m);
    expect(head).toMatch(/^Content-Length: 5\r?$/m);
    expect(String(body)).toBe("whole");
  }
});

it("they are node:http's own for a server that others listen to as well", async () => {
  const listener = likeExpress();
  await using server = await startServer(createServer(listener).on("request", () => {}));
  await server.ask();
  expect(listener.seen).toEqual([IncomingMessage.prototype, ServerResponse.prototype]);
});

it("Express finds its prototypes there, and changes none", async () => {
  const app = express();
  app.get("/{*path}", (request, response) => {
    response.type("text/plain").send(`${request.hostname} ${request.originalUrl}`);
  });
  const changed: unknown[] = [];
  const { setPrototypeOf } = Object;
  onTestFinished(() => {
    Object.setPrototypeOf = setPrototypeOf;
  });
  await using server = await startServer(app);
  Object.setPrototypeOf = (object: never, prototype: object | null) => {
    if (Object.getPrototypeOf(object) !== prototype) changed.push(object);
    return setPrototypeOf(object, prototype);
  };
  const { head, body } = await server.ask();
  expect(head).toMatch(/^Status: 200 OK\r?$/m);
  expect(head).toMatch(/^X-Powered-By: Express\r?$/m);
  expect(String(body)).toMatch(/^\S+ \//);
  expect(changed).toEqual([]);
});

it("what is no such application is left alone", () => {
  expect(isLeft(likeExpress())).toBe(false);
  expect(isLeft(undefined)).toBe(true);
  expect(isLeft(() => {})).toBe(true);
  const { request, response } = likeExpress();
  for (const other of [{}, null, "text", IncomingMessage.prototype]) {
    expect(isLeft(Object.assign(() => {}, { request: other, response }))).toBe(true);
    expect(isLeft(Object.assign(() => {}, { request, response: other }))).toBe(true);
  }
});

it("a server with classes of its own keeps them", () => {
  class Request extends IncomingMessage {}
  class Response extends ServerResponse {}
  expect(isLeft(likeExpress(), traitsOf(createServer({ IncomingMessage: Request })))).toBe(true);
  expect(isLeft(likeExpress(), traitsOf(createServer({ ServerResponse: Response })))).toBe(true);
});

it("prototypes that stand in the way of what each object has of its own are put under it by the application", () => {
  for (const name of ["url", "baseUrl", "socket", "hostname"]) {
    const listener = likeExpress();
    Object.defineProperty(listener.request, name, { get: () => "its own" });
    expect([name, isLeft(listener)]).toEqual([name, name !== "hostname"]);
  }
  for (const name of ["req", "end", "setHeader"]) {
    const listener = likeExpress();
    Object.defineProperty(listener.response, name, { value: () => "fixed" });
    expect([name, isLeft(listener)]).toEqual([name, true]);
    const changing = likeExpress();
    Object.assign(changing.response, { [name]: () => "changed" });
    expect([name, isLeft(changing)]).toEqual([name, false]);
  }
});

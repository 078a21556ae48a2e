/** Applications that take a while to prepare: what becomes of the requests meanwhile, and when it fails. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createServer, serve } from "../../../src/index.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { connectWire, startServer, TestLog } from "../../support/wire.ts";

interface Slow {
  readonly server: undefined;
  readonly routing: (request: IncomingMessage, response: ServerResponse) => void;
  ready(): Promise<void>;
  open(): void;
  fail(error: Error): void;
}

/** Something like Fastify, ready when it is told to be. */
function slowApplication(): Slow {
  let open!: () => void;
  let fail!: (error: Error) => void;
  const ready = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  const routing: Slow["routing"] = (request, response) => response.end(`at ${request.url}`);
  return { server: undefined, routing, ready: () => ready, open, fail };
}

describe("an application that is not ready yet", () => {
  it("gets the requests that came meanwhile once it is", async () => {
    const app = slowApplication();
    await using server = await startServer(app);
    const first = await server.connect();
    const second = await server.connect();
    first.request({ params: { REQUEST_METHOD: "GET", REQUEST_URI: "/1", SCRIPT_NAME: "", PATH_INFO: "/1" } });
    second.request({
      params: { REQUEST_METHOD: "GET", REQUEST_URI: "/2", SCRIPT_NAME: "", PATH_INFO: "/2" },
    });
    await waitFor(() => server.server.stats.openRequests === 2, { what: "both requests" });
    app.open();
    expect([String((await first.answer()).body), String((await second.answer()).body)]).toEqual([
      "at /1",
      "at /2",
    ]);
    expect((await server.ask()).head).toMatch(/^Status: 200 /);
  });

  it("does not get a request whose client has left", async () => {
    const urls: (string | undefined)[] = [];
    const app = { ...slowApplication(), routing: (request: IncomingMessage) => void urls.push(request.url) };
    await using server = await startServer(app);
    const wire = await server.connect();
    wire.request();
    await waitFor(() => server.server.stats.openRequests === 1, { what: "the request" });
    wire.destroy();
    await waitFor(() => server.server.stats.openRequests === 0, { what: "the end of the request" });
    app.open();
    await app.ready();
    expect(urls).toEqual([]);
  });

  it("answers 500 when it never will be, and says so once", async () => {
    const app = slowApplication();
    const log = new TestLog();
    const path = join(temporaryFolder("h"), "s.sock");
    const server = createServer(app, { bind: path, logger: log });
    await server.listen();
    const wire = await connectWire({ path });
    wire.request();
    await waitFor(() => server.stats.openRequests === 1, { what: "the request" });
    app.fail(new Error("no database"));
    expect((await wire.answer()).head).toMatch(/^Status: 500 /);
    wire.destroy();
    const again = await connectWire({ path });
    const answer = await again.request().answer();
    expect(answer.head).toMatch(/^Status: 500 /);
    expect(answer.body.toString()).not.toContain("database");
    again.destroy();
    const errors = log.lines.filter(({ level }) => level === "error");
    expect(errors).toEqual([
      {
        level: "error",
        message: "no request will be served: the application could not be started",
        fields: { error: expect.objectContaining({ message: expect.stringContaining("no database") }) },
      },
    ]);
    await server.close();
  });

  it("keeps serve() from listening when it never will be", async () => {
    const app = slowApplication();
    const bind = join(temporaryFolder("h"), "s.sock");
    const serving = serve(app, { bind, signals: false });
    app.fail(new Error("no database"));
    await expect(serving).rejects.toMatchObject({ code: "ERR_POSTERN_APP_LOAD" });
    await expect(connectWire({ path: bind })).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("is told to serve() when a promise brings something else", async () => {
    const bind = join(temporaryFolder("h"), "s.sock");
    const serving = serve(Promise.resolve(3) as never, { bind, signals: false });
    await expect(serving).rejects.toMatchObject({ code: "ERR_POSTERN_BAD_APP" });
  });
});

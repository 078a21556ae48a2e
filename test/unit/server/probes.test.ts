/** pingPath, the status page's hook, and the time between "I am leaving" and leaving. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { Exchange } from "../../../src/server/exchange.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer } from "../../support/wire.ts";

const path = (request: IncomingMessage, response: ServerResponse): void =>
  void response.end(`app ${request.url}`);
/** As a probe asks that speaks FastCGI itself: no URL, only a script. */
const BARE = {
  REQUEST_URI: undefined,
  PATH_INFO: undefined,
  REQUEST_SCHEME: undefined,
  HTTP_HOST: undefined,
};

describe("pingPath", () => {
  it.each([
    ["the path", { REQUEST_URI: "/ping", PATH_INFO: "/ping" }],
    ["with a query", { REQUEST_URI: "/ping?from=here", PATH_INFO: "/ping" }],
    ["as nginx has it without a mount", { REQUEST_URI: "/ping", SCRIPT_NAME: "/ping", PATH_INFO: "" }],
    ["as php-fpm's probes ask", { ...BARE, SCRIPT_NAME: "/ping", SCRIPT_FILENAME: "/ping" }],
    ["with nothing but the file", { ...BARE, SCRIPT_NAME: undefined, SCRIPT_FILENAME: "/ping" }],
    ["with a mount and no URL", { ...BARE, SCRIPT_NAME: "/pi", PATH_INFO: "ng" }],
  ])("is answered before the application: %s", async (_what, params) => {
    await using server = await startServer(path, { pingPath: "/ping" });
    const answer = await server.ask({ params });
    expect(answer.head).toMatch(/^Status: 200 OK\r\n/);
    expect(answer.head).toContain("Content-Type: text/plain; charset=utf-8");
    expect(answer.head).toContain("Content-Length: 4");
    expect(answer.head).toContain("Cache-Control: no-store");
    expect(answer.body.toString()).toBe("pong");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
  });

  it.each([
    ["a longer path", { REQUEST_URI: "/ping/more", PATH_INFO: "/ping/more" }, "/ping/more"],
    ["another that begins so", { REQUEST_URI: "/pings", PATH_INFO: "/pings" }, "/pings"],
    [
      "the path inside a mount",
      { REQUEST_URI: "/app/ping", SCRIPT_NAME: "/app", PATH_INFO: "/ping" },
      "/ping",
    ],
    ["a query that has it", { REQUEST_URI: "/?/ping", PATH_INFO: "/" }, "/?/ping"],
  ])("is the whole path, nothing else: %s", async (_what, params, seen) => {
    await using server = await startServer(path, { pingPath: "/ping" });
    expect((await server.ask({ params })).body.toString()).toBe(`app ${seen}`);
  });

  it("may be inside the mount when it is named whole", async () => {
    await using server = await startServer(path, { pingPath: "/app/ping" });
    const params = { REQUEST_URI: "/app/ping", SCRIPT_NAME: "/app", PATH_INFO: "/ping" };
    expect((await server.ask({ params })).body.toString()).toBe("pong");
  });

  it("is the application's when it is not set, and for an authorizer", async () => {
    const params = { REQUEST_URI: "/ping", PATH_INFO: "/ping" };
    await using without = await startServer(path);
    expect((await without.ask({ params })).body.toString()).toBe("app /ping");
    await using server = await startServer(
      { authorizer: (_request, response) => response.deny(403) },
      { pingPath: "/ping" },
    );
    expect((await server.ask({ role: 2, params })).head).toContain("Status: 403");
  });

  it("answers with pingResponse, in bytes, and HEAD without it", async () => {
    await using server = await startServer(path, { pingPath: "/ping", pingResponse: "völlig gut" });
    const params = { REQUEST_URI: "/ping", PATH_INFO: "/ping" };
    const answer = await server.ask({ params });
    expect(answer.head).toContain("Content-Length: 11");
    expect(answer.body.toString()).toBe("völlig gut");
    const head = await server.ask({ params: { ...params, REQUEST_METHOD: "HEAD" } });
    expect(head.head).toContain("Content-Length: 11");
    expect(head.body.length).toBe(0);
  });

  it("is answered while the application has as many requests as it may", async () => {
    const held: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void held.push(response), {
      maxConcurrency: 1,
      pingPath: "/ping",
    });
    const busy = await server.connect();
    busy.request();
    await waitFor(() => held.length === 1);
    const params = { REQUEST_URI: "/ping", PATH_INFO: "/ping" };
    expect((await server.ask({ params })).body.toString()).toBe("pong");
    expect(server.server.load).toMatchObject({ openRequests: 1, queuedRequests: 0 });
  });

  it("is answered on a kept connection, which is kept", async () => {
    await using server = await startServer(path, { pingPath: "/ping" });
    const wire = await server.connect();
    wire.request({ keepConn: true, params: { REQUEST_URI: "/ping" } });
    expect((await wire.answer()).body.toString()).toBe("pong");
    wire.request({ id: 2, keepConn: true });
    expect((await wire.answer(2)).body.toString()).toBe("app /");
  });
});

describe("drainSoon()", () => {
  it("lets ping fail while everything else is served, then closes", async () => {
    await using server = await startServer(path, { pingPath: "/ping" });
    const params = { REQUEST_URI: "/ping", PATH_INFO: "/ping" };
    let isClosed = false;
    const closed = server.server.drainSoon(3_600_000).then(() => {
      isClosed = true;
    });
    const answer = await server.ask({ params });
    expect(answer.head).toContain("Status: 503 Service Unavailable");
    expect(answer.body.toString()).toBe("this process is about to end\n");
    const wire = await server.connect();
    wire.request({ keepConn: true });
    expect((await wire.answer()).body.toString()).toBe("app /");
    expect(wire.ended).toBe(false);
    expect(isClosed).toBe(false);
    await Promise.all([server.server.close(), closed]); // who is in a hurry does not wait
    expect(isClosed).toBe(true);
  });

  it("closes by itself after the delay, at once without one, and without delay when it is called again", async () => {
    for (const delays of [[20], [0], [-1], [Number.NaN], [3_600_000, 0], [1e12, 1e12]]) {
      await using server = await startServer(path);
      const all = delays.map((delayMs) => server.server.drainSoon(delayMs));
      await Promise.all(all);
      await expect(server.connect()).rejects.toMatchObject({ code: "ENOENT" });
    }
  });

  it("does not keep a server waiting that was destroyed", async () => {
    await using server = await startServer(path);
    const closed = server.server.drainSoon(3_600_000);
    server.server.destroy();
    await closed;
  });
});

describe("the hook for the status page", () => {
  it("answers in the application's place, without counting and without waiting", async () => {
    const begun: Exchange[] = [];
    const held: ServerResponse[] = [];
    const observer = { onRequestBegin: (one: Exchange) => void begun.push(one), onRequestEnd: () => {} };
    await using server = await startServer(
      (_request, response) => void held.push(response),
      { maxConcurrency: 1 },
      {
        observer,
        statusPath: "/status",
        onStatus: (exchange) => exchange.respond("Status: 200 OK\r\n\r\n", exchange.target.query),
      },
    );
    const busy = await server.connect();
    busy.request();
    await waitFor(() => held.length === 1);
    const answer = await server.ask({ params: { REQUEST_URI: "/status?full", PATH_INFO: "/status" } });
    expect(answer.body.toString()).toBe("full");
    const bare = { ...BARE, SCRIPT_NAME: "/status", QUERY_STRING: "json" };
    expect((await server.ask({ params: bare })).body.toString()).toBe("json");
    expect(begun.length).toBe(1);
    expect(server.server.load).toMatchObject({ openRequests: 1, queuedRequests: 0 });
  });

  it("that throws is a failed request", async () => {
    await using server = await startServer(
      path,
      {},
      {
        statusPath: "/status",
        onStatus: () => {
          throw new Error("no status");
        },
      },
    );
    const answer = await server.ask({ params: { REQUEST_URI: "/status", PATH_INFO: "/status" } });
    expect(answer.head).toContain("500");
    expect(server.log.text).toEqual(["error the application failed"]);
  });
});

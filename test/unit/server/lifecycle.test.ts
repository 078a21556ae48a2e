/** A server's life: closing gracefully, being told to by a signal, counting what it does, refusing what is too much. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { createServer } from "../../../src/serve.ts";
import {
  beginRecord,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  requestRecords,
  stdinRecords,
} from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { connectWire, startServer } from "../../support/wire.ts";

/** An application whose answers the test lets go one by one. */
function heldApplication(): {
  app: (request: IncomingMessage, response: ServerResponse) => void;
  held: ServerResponse[];
} {
  const held: ServerResponse[] = [];
  return { held, app: (_request, response) => void held.push(response) };
}
const ok = (_request: IncomingMessage, response: ServerResponse): void => void response.end("ok");

describe("close()", () => {
  it("closes idle connections at once and lets open requests finish", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app);
    const idle = await server.connect();
    idle.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    held.pop()!.end("first");
    await idle.answer();

    const busy = await server.connect();
    busy.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    let isClosed = false;
    const closing = server.server.close().then(() => {
      isClosed = true;
    });
    await idle.end();
    expect(busy.ended).toBe(false);
    expect(isClosed).toBe(false);
    await expect(connectWire({ path: server.path })).rejects.toMatchObject({ code: "ENOENT" });

    held.pop()!.end("second");
    expect((await busy.answer()).body.toString()).toBe("second");
    await busy.end(); // although the web server had asked to keep it
    await closing;
    expect(server.server.stats).toMatchObject({ connections: 0, openRequests: 0 });
    expect(server.log.lines).toEqual([]);
  });

  it("takes no new request on a connection that is finishing", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app);
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    const closing = server.server.close();
    held[0]!.end();
    await wire.answer();
    wire.request({ id: 2, keepConn: true });
    await closing;
    expect(held.length).toBe(1);
  });

  it("still answers a web server that has just connected and is about to ask", async () => {
    await using server = await startServer(ok);
    const fresh = await server.connect();
    const halfAsked = await server.connect();
    halfAsked.send(requestRecords({ keepConn: true }).subarray(0, 5));
    await waitFor(() => server.server.stats.connections === 2);
    const closing = server.server.close();
    fresh.request({ keepConn: true });
    halfAsked.send(requestRecords({ keepConn: true }).subarray(5));
    expect((await fresh.answer()).body.toString()).toBe("ok");
    expect((await halfAsked.answer()).body.toString()).toBe("ok");
    await closing;
  });

  it("does not wait long for one that never asks", async () => {
    await using server = await startServer(ok, { recordTimeoutMs: 20_000 });
    const silent = await server.connect();
    await server.gone(1);
    await server.server.close();
    await silent.end();
  });

  it("cuts what is not finished within drainTimeoutMs, with one line in the log", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { drainTimeoutMs: 30 });
    const wire = await server.connect();
    wire.request();
    await waitFor(() => held.length === 1);
    await server.server.close();
    await wire.end();
    expect(wire.received.length).toBe(0);
    expect(server.log.lines).toHaveLength(1);
    expect(server.log.lines[0]).toMatchObject({
      level: "warn",
      fields: { openRequests: 1, reason: "not finished within 30 ms" },
    });
  });

  it("may be called again, before listen() and after the end", async () => {
    const server = createServer(ok, { bind: "127.0.0.1:0" });
    const first = server.close();
    await Promise.all([first, server.close()]);
    await expect(server.listen()).rejects.toMatchObject({ code: "ERR_POSTERN_BAD_SETTING" });
    const other = await createServer(ok, { bind: "127.0.0.1:0" }).listen();
    await other.close();
    await other.close();
    await expect(other.listen()).rejects.toThrow(/listen\(\) works once/);
  });

  it("comes with an AbortSignal, also one that is aborted before or while listening", async () => {
    const controller = new AbortController();
    const server = await createServer(ok, { bind: "127.0.0.1:0", signal: controller.signal }).listen();
    controller.abort();
    await server.closed;
    expect(server.addresses).toEqual([]);

    const early = createServer(ok, { bind: "127.0.0.1:0", signal: AbortSignal.abort() });
    await early.closed;

    const during = new AbortController();
    const opening = createServer(ok, { bind: "127.0.0.1:0", signal: during.signal });
    const listening = opening.listen();
    during.abort();
    await listening;
    await opening.closed;
    expect(opening.addresses).toEqual([]);
  });

  it("comes at the end of an `await using` block", async () => {
    let seen: ReturnType<typeof createServer>;
    {
      await using server = await createServer(ok, { bind: "127.0.0.1:0" }).listen();
      seen = server;
      expect(server.addresses[0]).toMatch(/^127\.0\.0\.1:\d+$/);
    }
    expect(seen.addresses).toEqual([]);
  });

  it("destroy() cuts everything now and says how much that was", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app);
    const wire = await server.connect();
    wire.request();
    await waitFor(() => held.length === 1);
    server.server.destroy("the test said so");
    await server.server.closed;
    await wire.end();
    expect(server.log.lines[0]).toMatchObject({ fields: { openRequests: 1, reason: "the test said so" } });
  });
});

describe("stats", () => {
  it("count connections and requests, open and since the start", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app);
    expect(server.server.stats).toEqual({
      connections: 0,
      acceptedConnections: 0,
      openRequests: 0,
      openTunnels: 0,
      acceptedRequests: 0,
    });
    const wire = await server.connect();
    wire.request({ id: 1, keepConn: true }).request({ id: 2, keepConn: true });
    await waitFor(() => held.length === 2);
    expect(server.server.stats).toEqual({
      connections: 1,
      acceptedConnections: 1,
      openRequests: 2,
      openTunnels: 0,
      acceptedRequests: 2,
    });
    held[0]!.end();
    await waitFor(() => server.server.stats.openRequests === 1);
    held[1]!.end();
    await wire.answer(1);
    await wire.answer(2);
    wire.destroy();
    await server.gone();
    expect(server.server.stats).toEqual({
      connections: 0,
      acceptedConnections: 1,
      openRequests: 0,
      openTunnels: 0,
      acceptedRequests: 2,
    });
  });
});

describe("maxConnections", () => {
  it("makes room by closing the kept connection that has been idle longest", async () => {
    await using server = await startServer(ok, { maxConnections: 2 });
    const [first, second] = [await server.connect(), await server.connect()];
    for (const wire of [first, second]) {
      wire.request({ keepConn: true });
      await wire.answer();
    }
    const third = await server.connect();
    third.request({ keepConn: true });
    expect((await third.answer()).body.toString()).toBe("ok");
    await first.end();
    expect(second.ended).toBe(false);
    expect(server.log.lines).toEqual([]);
  });

  it("answers 503 with FCGI_OVERLOADED when none is idle, then closes", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { maxConnections: 1 });
    const busy = await server.connect();
    busy.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    const refused = await server.connect();
    refused.request({ keepConn: true });
    const answer = await refused.answer();
    expect(answer.head).toMatch(/^Status: 503 Service Unavailable\r\n/);
    expect(answer.body.toString()).toContain("503 Service Unavailable");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 2 });
    await refused.end();
    expect(server.log.text).toEqual(["warn request refused with 503: more than 1 connections"]);
    held[0]!.end("busy");
    expect((await busy.answer()).body.toString()).toBe("busy");
    expect(busy.ended).toBe(false);
  });

  it("does not close a connection that has not asked yet to make room", async () => {
    await using server = await startServer(ok, { maxConnections: 1 });
    const [first, second] = [await server.connect(), await server.connect()];
    first.request();
    second.request();
    expect((await first.answer()).body.toString()).toBe("ok");
    expect((await second.answer()).end?.protocolStatus).toBe(2);
  });

  it("closes without an answer beyond twice the limit", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { maxConnections: 1 });
    const wires = [await server.connect(), await server.connect()];
    wires[0]!.request();
    await waitFor(() => held.length === 1);
    await server.gone(2);
    const third = await server.connect();
    await third.end();
    expect(server.log.lines.map((line) => line.fields["code"])).toEqual(["ERR_POSTERN_TOO_MANY_CONNECTIONS"]);
  });
});

describe("limits on a request", () => {
  it("more bytes of params than maxParamsBytes, in one pair or in many: 431, and the connection goes on", async () => {
    await using server = await startServer(ok, { maxParamsBytes: 2000 });
    const wire = await server.connect();
    wire.request({ keepConn: true, params: { HTTP_X: "v".repeat(3000) } });
    const answer = await wire.answer();
    expect(answer.head).toMatch(/^Status: 431 Request Header Fields Too Large\r\n/);
    expect(answer.body.toString()).toContain("431");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    expect(server.log.text).toEqual([
      "warn request refused with 431: parameters of request 1 exceed 2000 bytes",
    ]);
    wire.request({ id: 2, keepConn: true });
    expect((await wire.answer(2)).body.toString()).toBe("ok");
  });

  it("more params than maxParams: 431", async () => {
    await using server = await startServer(ok, { maxParams: Object.keys(PLAIN_GET).length });
    expect((await server.ask()).body.toString()).toBe("ok");
    const answer = await server.ask({ params: { HTTP_ONE_MORE: "1" } });
    expect(answer.head).toMatch(/^Status: 431 /);
    expect(server.log.lines.map((line) => line.fields["code"])).toEqual(["ERR_POSTERN_PARAMS_TOO_MANY"]);
  });

  it("params that are malformed, or a method, URL or header HTTP forbids: 400", async () => {
    await using server = await startServer({
      fetch: (request) => new Response(request.url + request.headers.get("x")),
    });
    const wire = await server.connect();
    wire.send(
      beginRecord(1, { keepConn: true }),
      rawRecord(4, 1, "\x05\x05abc"),
      rawRecord(4, 1),
      stdinRecords(1),
    );
    expect((await wire.answer()).head).toMatch(/^Status: 400 Bad Request\r\n/);
    const node = await startServer((request, response) => response.end(request.url));
    for (const params of [
      { REQUEST_METHOD: "G T" },
      { REQUEST_URI: "/a\nb", PATH_INFO: "/a\nb" },
      { HTTP_X: "a\r\nb: c" },
    ]) {
      const answer = await node.ask({ params });
      expect(answer.head, JSON.stringify(params)).toMatch(/^Status: 400 Bad Request\r\n/);
    }
    expect(node.log.lines.map((line) => line.fields["code"])).toEqual(
      Array(3).fill("ERR_POSTERN_HEADER_INVALID"),
    );
    await node[Symbol.asyncDispose]();
  });

  it("logs about a request whose URL is forbidden do not fail themselves", async () => {
    await using server = await startServer({
      raw() {
        throw new Error("before it looked at the URL");
      },
    });
    const wire = await server.connect();
    const params = { REQUEST_URI: "/a\nb", PATH_INFO: "/a\nb", REQUEST_METHOD: "POST", CONTENT_LENGTH: "9" };
    wire.request({ keepConn: true, params, stdin: "short" });
    expect((await wire.answer()).head).toMatch(/^Status: 500 /);
    expect((await wire.answer()).stderr.toString()).toContain(" POST /a: Error: before it looked");
    wire.request({ id: 2, keepConn: true });
    expect((await wire.answer(2)).head).toMatch(/^Status: 500 /);
  });

  it("more open requests on one connection than maxRequestsPerConnection: 503 with FCGI_OVERLOADED, siblings go on", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { maxRequestsPerConnection: 2 });
    const wire = await server.connect();
    for (const id of [1, 3, 5]) wire.request({ id, keepConn: true });
    const refused = await wire.answer(5);
    expect(refused.head).toMatch(/^Status: 503 /);
    expect(refused.end).toEqual({ appStatus: 0, protocolStatus: 2 });
    await waitFor(() => held.length === 2);
    for (const response of held) response.end("served");
    expect((await wire.answer(1)).body.toString()).toBe("served");
    expect((await wire.answer(3)).body.toString()).toBe("served");
    expect(server.log.text).toEqual([
      "warn request refused with 503: 3 requests open on one connection, the limit is 2",
    ]);
  });

  it("an unknown role gets END_REQUEST with FCGI_UNKNOWN_ROLE and nothing else", async () => {
    await using server = await startServer(ok);
    const wire = await server.connect();
    wire.send(beginRecord(1, { role: 9, keepConn: true }), paramsRecords(1, PLAIN_GET), stdinRecords(1));
    const answer = await wire.answer();
    expect(answer.records.map((record) => record.name)).toEqual(["END_REQUEST"]);
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 3 });
  });

  it("a role the application does not play is answered 500, never let pass", async () => {
    await using server = await startServer(ok);
    for (const role of [2, 3]) {
      const answer = await server.ask({ role });
      expect(answer.head).toMatch(/^Status: 500 /);
      expect(answer.stderr.toString()).toMatch(/has no (authorizer|filter) handler/);
    }
  });
});

describe("deadlines", () => {
  it("a request whose parameters never end: 408 and the connection is closed", async () => {
    await using server = await startServer(ok, { recordTimeoutMs: 40 });
    const wire = await server.connect();
    wire.send(beginRecord(1, { keepConn: true }), paramsRecords(1, PLAIN_GET, { open: true }));
    const answer = await wire.answer();
    expect(answer.head).toMatch(/^Status: 408 Request Timeout\r\n/);
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    await wire.end();
    expect(server.log.lines.map((line) => line.fields["code"])).toEqual(["ERR_POSTERN_RECORD_TIMEOUT"]);
    await server.gone();
  });

  it("a record that never ends: 408 for the request that waits for it", async () => {
    await using server = await startServer(
      (request, response) => {
        request.on("error", () => {});
        request.on("end", () => response.end());
        request.resume();
      },
      { recordTimeoutMs: 40 },
    );
    const wire = await server.connect();
    wire.send(
      beginRecord(1),
      paramsRecords(1, { ...PLAIN_GET, REQUEST_METHOD: "POST" }),
      Buffer.from([1, 5, 0, 1, 0, 9, 0, 0, 65]),
    );
    expect((await wire.answer()).head).toMatch(/^Status: 408 /);
    await wire.end();
  });

  it("an application that takes its time is not hurried, nor is an idle connection, unless idleTimeoutMs says so", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { recordTimeoutMs: 40, idleTimeoutMs: 120 });
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    const silent = await server.connect();
    await silent.end();
    held[0]!.end("late");
    expect((await wire.answer()).body.toString()).toBe("late");
    await wire.end(); // by idleTimeoutMs
    expect(server.log.lines).toEqual([]);
  });

  it("the rest of a body that does not come within lingerTimeoutMs is not waited for", async () => {
    await using server = await startServer(ok, { lingerTimeoutMs: 40 });
    const wire = await server.connect();
    wire.send(
      beginRecord(1),
      paramsRecords(1, { ...PLAIN_GET, REQUEST_METHOD: "POST", CONTENT_LENGTH: "9" }),
    );
    await wire.answer();
    await server.gone();
  });

  it("the end of STDIN that comes after the answer is taken, also of an upgrade that was not one", async () => {
    // Apache writes it on its own: it answers 503 when it cannot, though the whole answer is there.
    for (const upgrade of [{}, { HTTP_UPGRADE: "foo/2" }]) {
      await using server = await startServer(ok);
      const wire = await server.connect();
      wire.send(beginRecord(1), paramsRecords(1, { ...PLAIN_GET, ...upgrade }));
      expect((await wire.answer()).body.toString()).toBe("ok");
      await wire.end();
      wire.socket.on("error", () => {});
      const failed = await new Promise((done) => wire.socket.write(stdinRecords(1), done));
      expect(failed ?? undefined).toBeUndefined(); // no EPIPE
      await server.gone();
    }
  });

  it("no more than maxDrainBytes of a body nobody reads are taken after the answer", async () => {
    await using server = await startServer(ok, { maxDrainBytes: 100_000 });
    const wire = await server.connect();
    wire.send(beginRecord(1), paramsRecords(1, { ...PLAIN_GET, REQUEST_METHOD: "POST" }));
    await wire.answer();
    wire.socket.on("error", () => {});
    wire.send(stdinRecords(1, Buffer.alloc(3_000_000)));
    await server.gone();
  });
});

describe("a process that stood still", () => {
  it("reads what came meanwhile before it judges anybody for being late", async () => {
    await using server = await startServer(ok, { recordTimeoutMs: 60 });
    const wire = await server.connect();
    wire.send(requestRecords({ keepConn: true }).subarray(0, 30));
    await waitFor(() => server.server.stats.openRequests === 1);
    wire.send(requestRecords({ keepConn: true }).subarray(30));
    for (const until = performance.now() + 200; performance.now() < until; );
    expect((await wire.answer()).body.toString()).toBe("ok");
    expect(server.log.lines).toEqual([]);
  });
});

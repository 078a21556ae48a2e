/** requestTimeoutMs and slowRequestMs: what takes too long is ended, what takes long is told. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import { startServer } from "../../support/wire.ts";

describe("requestTimeoutMs", () => {
  it("answers 504 before the header block, tells the application, and keeps the connection", async () => {
    const reasons: unknown[] = [];
    await using server = await startServer(
      {
        async fetch(request) {
          if (request.url.endsWith("/quick")) return new Response("quick");
          await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
          reasons.push(request.signal.reason);
          return new Response("too late");
        },
      },
      { requestTimeoutMs: 60 },
    );
    const wire = await server.connect();
    wire.request({
      keepConn: true,
      params: { REQUEST_URI: "/slow?q", PATH_INFO: "/slow", REMOTE_ADDR: "192.0.2.7" },
    });
    const answer = await wire.answer();
    expect(answer.head).toContain("Status: 504 Gateway Timeout");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    expect(reasons).toEqual([
      expect.objectContaining({
        name: "TimeoutError",
        cause: expect.objectContaining({ code: "ERR_POSTERN_REQUEST_TIMEOUT" }) as unknown,
      }),
    ]);
    expect(server.log.text).toEqual(["warn the request was not answered within 60 ms: answered 504"]);
    expect(server.log.lines[0]!.fields).toMatchObject({
      code: "ERR_POSTERN_REQUEST_TIMEOUT",
      method: "GET",
      url: "/slow?q",
      client: "192.0.2.7",
      durationMs: expect.any(Number),
    });
    expect(server.server.load.openRequests).toBe(0);
    wire.request({ id: 2, keepConn: true, params: { REQUEST_URI: "/quick", PATH_INFO: "/quick" } });
    expect((await wire.answer(2)).body.toString()).toBe("quick");
  });

  it("cuts the connection behind the header block, so that nobody takes the part for the whole", async () => {
    let wasClosed = false;
    await using server = await startServer(
      (_request, response) => {
        response.on("close", () => {
          wasClosed = true;
        });
        response.write("part");
      },
      { requestTimeoutMs: 60 },
    );
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await wire.head();
    await wire.end();
    const answer = await wire.answer();
    expect(answer.body.toString()).toBe("part");
    expect(answer.end).toBeUndefined();
    await waitFor(() => wasClosed);
    expect(server.log.text).toContain("warn the request was not answered within 60 ms: connection cut");
    await server.gone();
  });

  it("does not disturb an application that answers after all, or reads the body meanwhile", async () => {
    const seen: { request: IncomingMessage; response: ServerResponse }[] = [];
    await using server = await startServer((request, response) => void seen.push({ request, response }), {
      requestTimeoutMs: 60,
    });
    const wire = await server.connect();
    wire.request({ keepConn: true, params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" }, stdin: "hello" });
    expect((await wire.answer()).head).toContain("504");
    const { request, response } = seen[0]!;
    response.on("error", () => {});
    response.writeHead(200).end("late");
    await expect(request.toArray()).rejects.toBeDefined();
    wire.request({ id: 2, keepConn: true });
    await waitFor(() => seen.length === 2);
    seen[1]!.response.end("second");
    expect((await wire.answer(2)).body.toString()).toBe("second");
    expect(wire.records.filter(({ id }) => id === 1).at(-1)?.name).toBe("END_REQUEST");
  });

  it("begins when the application does: waiting for a turn does not count", async () => {
    const held: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void held.push(response), {
      maxConcurrency: 1,
      requestTimeoutMs: 100,
    });
    const [first, second] = [await server.connect(), await server.connect()];
    first.request({ keepConn: true });
    await waitFor(() => held.length === 1);
    second.request({ keepConn: true });
    expect((await first.answer()).head).toContain("504");
    await waitFor(() => held.length === 2);
    held[1]!.end("in time");
    expect((await second.answer()).body.toString()).toBe("in time");
  });

  it("is off by default", async () => {
    const held: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void held.push(response), {
      recordTimeoutMs: 20,
    });
    const wire = await server.connect();
    wire.request({ keepConn: true });
    const idle = await server.connect();
    await idle.end(); // the sweep has run
    held[0]!.end("after all");
    expect((await wire.answer()).body.toString()).toBe("after all");
  });
});

describe("slowRequestMs", () => {
  it("logs a request that passes it, once, while it runs", async () => {
    const held: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void held.push(response), {
      slowRequestMs: 30,
    });
    const wire = await server.connect();
    wire.request({ params: { REQUEST_URI: "/report", PATH_INFO: "/report", REMOTE_ADDR: "192.0.2.7" } });
    await waitFor(() => server.log.lines.length > 0);
    expect(server.log.text).toEqual(["warn slow request: it takes longer than 30 ms"]);
    expect(server.log.lines[0]!.fields).toMatchObject({
      method: "GET",
      url: "/report",
      client: "192.0.2.7",
      durationMs: expect.any(Number),
    });
    expect(server.server.load.slowRequests).toBe(1);
    held[0]!.end();
    await wire.answer();
    expect(server.log.lines.length).toBe(1);
    expect(server.server.load.slowRequests).toBe(1);
  });

  it("logs one that kept the event loop to itself, when it ends; and none that was quick", async () => {
    await using server = await startServer(
      (request, response) => {
        const until = performance.now() + (request.url === "/slow" ? 40 : 0);
        while (performance.now() < until);
        response.end();
      },
      { slowRequestMs: 35 },
    );
    await server.ask({ params: { REQUEST_URI: "/slow", PATH_INFO: "/slow" } });
    expect(server.log.text).toEqual(["warn slow request: it takes longer than 35 ms"]);
    expect(Number(server.log.lines[0]!.fields["durationMs"])).toBeGreaterThanOrEqual(35);
    expect(server.server.load.slowRequests).toBe(1);
  });
});

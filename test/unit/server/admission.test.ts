/** When a request reaches the application: maxConcurrency, the queue, what waited too long, what nobody waits for. */
import { execFileSync } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { abortRecord, beginRecord, PLAIN_GET, paramsRecords, stdinRecords } from "../../support/records.ts";
import { type SharedSocket, shareSocket, startSibling } from "../../support/shared-socket.ts";
import { waitFor } from "../../support/wait.ts";
import { connectWire, startServer, type TestServer, type Wire } from "../../support/wire.ts";

interface Held {
  readonly url: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** An application whose answers the test lets go one by one. */
function heldApplication(): {
  app: (request: IncomingMessage, response: ServerResponse) => void;
  held: Held[];
  seen: string[];
} {
  const held: Held[] = [];
  const seen: string[] = [];
  return {
    held,
    seen,
    app(request, response) {
      const url = request.url ?? "";
      seen.push(url);
      held.push({ url, request, response });
    },
  };
}

const at = (url: string): { REQUEST_URI: string; PATH_INFO: string } => ({
  REQUEST_URI: url,
  PATH_INFO: url,
});

/** Sends a request for `url` on a connection of its own, and waits until the server has it. */
async function ask(server: TestServer, url: string, more: Record<string, string> = {}): Promise<Wire> {
  const before = server.server.stats.acceptedRequests;
  const wire = await server.connect();
  wire.request({ keepConn: true, params: { ...at(url), ...more } });
  await waitFor(() => server.server.stats.acceptedRequests > before, { what: `the request for ${url}` });
  return wire;
}

describe("maxConcurrency", () => {
  it("is the number of requests the application works on; others wait and start first come, first served", async () => {
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 2 });
    const wires = [];
    for (const url of ["/1", "/2", "/3", "/4"]) wires.push(await ask(server, url));
    expect(seen).toEqual(["/1", "/2"]);
    expect(server.server.load).toMatchObject({ openRequests: 2, queuedRequests: 2, connections: 4 });
    expect(server.server.isBusy).toBe(true);

    held[1]!.response.end("two");
    expect((await wires[1]!.answer()).body.toString()).toBe("two");
    await waitFor(() => seen.length === 3);
    expect(seen).toEqual(["/1", "/2", "/3"]);
    held[0]!.response.end("one");
    await waitFor(() => seen.length === 4);
    expect(seen).toEqual(["/1", "/2", "/3", "/4"]);
    for (const { response } of held) response.end("rest");
    for (const wire of wires) expect((await wire.answer()).end).toEqual({ appStatus: 0, protocolStatus: 0 });
    expect(server.server.load).toMatchObject({ openRequests: 0, queuedRequests: 0 });
    expect(server.server.isBusy).toBe(false);
    expect(server.log.lines).toEqual([]);
  });

  it("holds for requests that share a connection, and a hundred that wait do not start inside one another", async () => {
    const { app, held } = heldApplication();
    let depth = 0;
    let deepest = 0;
    const answered: string[] = [];
    await using server = await startServer(
      (request, response) => {
        if (request.url === "/held") {
          app(request, response);
          return;
        }
        deepest = Math.max(deepest, ++depth);
        answered.push(request.url ?? "");
        response.end(request.url);
        depth--;
      },
      { maxConcurrency: 1 },
    );
    const wire = await server.connect();
    wire.request({ id: 1, keepConn: true, params: at("/held") });
    const ids = Array.from({ length: 98 }, (_, index) => index + 2);
    for (const id of ids) wire.request({ id, keepConn: true, params: at(`/${id}`) });
    await waitFor(() => server.server.load.queuedRequests === ids.length);
    expect(answered).toEqual([]);
    held[0]!.response.end();
    for (const id of ids) expect((await wire.answer(id)).body.toString()).toBe(`/${id}`);
    expect(answered).toEqual(ids.map((id) => `/${id}`));
    expect(deepest).toBe(1);
  });

  it("does not let an answer wait for the request that takes its place", async () => {
    const { app, held } = heldApplication();
    let isWritten = false;
    let wasWritten = false;
    await using server = await startServer(
      (request, response) => {
        if (request.url === "/first") {
          app(request, response);
          return;
        }
        wasWritten = isWritten;
        response.end();
      },
      { maxConcurrency: 1 },
    );
    await ask(server, "/first");
    const second = await ask(server, "/second");
    held[0]!.response.end("done", () => {
      isWritten = true;
    });
    await second.answer();
    expect(wasWritten).toBe(true);
  });

  it("is no limit when it is 0", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app);
    for (let count = 1; count <= 20; count++) await ask(server, `/${count}`);
    expect(held.length).toBe(20);
    expect(server.server.isBusy).toBe(false);
    expect(server.server.load).toMatchObject({ openRequests: 20, queuedRequests: 0 });
  });

  it("holds the body of what waits back, and hands it on whole", async () => {
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 1 });
    const first = await ask(server, "/first");
    const body = Buffer.alloc(3_000_000, "body");
    const upload = await server.connect();
    upload.request({ params: { ...at("/upload"), CONTENT_LENGTH: String(body.length) }, stdin: body });
    await waitFor(() => server.server.load.queuedRequests === 1);
    await waitFor(() => upload.socket.bytesWritten > 0 && upload.socket.writableLength > 0);
    held[0]!.response.end();
    await first.answer();
    await waitFor(() => seen.length === 2);
    let bytes = 0;
    for await (const piece of held[1]!.request) bytes += (piece as Buffer).length;
    expect(bytes).toBe(body.length);
    held[1]!.response.end("got it");
    expect((await upload.answer()).body.toString()).toBe("got it");
  });

  it("never gives the application what was aborted, or whose connection was lost, while it waited", async () => {
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 1 });
    await ask(server, "/held");
    const aborted = await ask(server, "/aborted");
    const lost = await ask(server, "/lost");
    const kept = await ask(server, "/kept");
    aborted.send(abortRecord());
    expect((await aborted.answer()).end).toMatchObject({ protocolStatus: 0 });
    lost.destroy();
    await waitFor(() => server.server.load.queuedRequests === 1);
    held[0]!.response.end();
    await waitFor(() => seen.length === 2);
    held[1]!.response.end("kept");
    expect((await kept.answer()).body.toString()).toBe("kept");
    expect(seen).toEqual(["/held", "/kept"]);
    expect(server.server.load).toMatchObject({ openRequests: 0, queuedRequests: 0 });
  });

  it("is freed by an application that throws and by a web server that gives up", async () => {
    const { app, seen } = heldApplication();
    await using server = await startServer(
      (request, response) => {
        app(request, response);
        if (request.url === "/throws") throw new Error("broken");
      },
      { maxConcurrency: 1 },
    );
    expect((await server.ask({ params: at("/throws") })).head).toContain("500");
    const wire = await ask(server, "/given-up");
    await ask(server, "/next");
    wire.send(abortRecord());
    await waitFor(() => seen.length === 3);
    expect(seen).toEqual(["/throws", "/given-up", "/next"]);
  });

  it("lets close() wait for those that wait", async () => {
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 1 });
    const one = await ask(server, "/one");
    const two = await ask(server, "/two");
    const closed = server.server.close();
    held[0]!.response.end("one");
    expect((await one.answer()).body.toString()).toBe("one");
    await waitFor(() => seen.length === 2);
    held[1]!.response.end("two");
    expect((await two.answer()).body.toString()).toBe("two");
    await closed;
  });
});

/** Connects to a shared socket; the wires of a test are destroyed when it ends. */
const wires: Wire[] = [];
async function connectTo(shared: SharedSocket): Promise<Wire> {
  const wire = await connectWire(shared.where);
  wires.push(wire);
  return wire;
}
afterEach(() => {
  for (const wire of wires.splice(0)) wire.destroy();
});

describe.each(["unix", "tcp"] as const)("a server at maxConcurrency on an inherited %s socket", (kind) => {
  it("does not accept: another process takes the connection that waits", async () => {
    const shared = shareSocket(kind);
    const { app, held } = heldApplication();
    await using server = await startServer(app, { bind: `fd:${shared.fd}`, maxConcurrency: 1 });
    const first = await connectTo(shared);
    first.request({ keepConn: true, params: at("/first") });
    await waitFor(() => held.length === 1);

    const second = await connectTo(shared); // by the kernel; nobody accepts it
    second.request({ params: at("/second") });
    await using _sibling = await startSibling(shared, "sibling");
    await second.end();
    expect(second.received.toString()).toBe("sibling");
    expect(server.server.stats).toMatchObject({ acceptedConnections: 1, acceptedRequests: 1 });
  });

  it("accepts again when it has room, everything that waited, in order", async () => {
    const shared = shareSocket(kind);
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { bind: `fd:${shared.fd}`, maxConcurrency: 1 });
    const asked = [];
    for (const url of ["/1", "/2", "/3"]) {
      const wire = await connectTo(shared);
      wire.request({ params: at(url) });
      asked.push(wire);
      if (url === "/1") await waitFor(() => held.length === 1);
    }
    expect(server.server.stats.acceptedConnections).toBe(1);
    for (const [index, wire] of asked.entries()) {
      await waitFor(() => held.length === index + 1);
      held[index]!.response.end(held[index]!.url);
      expect((await wire.answer()).body.toString()).toBe(`/${index + 1}`);
    }
    expect(seen).toEqual(["/1", "/2", "/3"]);
    await server.gone();
  });

  it("does not begin what the web server gave up while nobody accepted", async () => {
    const shared = shareSocket(kind);
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, { bind: `fd:${shared.fd}`, maxConcurrency: 1 });
    const first = await connectTo(shared);
    first.request({ params: at("/first") });
    await waitFor(() => held.length === 1);
    const left = await connectTo(shared);
    await new Promise<void>((resolve) => {
      left.request({ params: at("/left") }).socket.end(resolve);
    });
    const stays = await connectTo(shared);
    stays.request({ params: at("/stays") });
    held[0]!.response.end();
    await first.answer();
    await waitFor(() => held.length === 2);
    held[1]!.response.end("here");
    expect((await stays.answer()).body.toString()).toBe("here");
    expect(server.server.stats.acceptedConnections).toBe(3);
    expect(seen).toEqual(["/first", "/stays"]);
  });
});

describe("a socket that the server has opened itself", () => {
  it("is accepted from at maxConcurrency too, and what comes waits in the server", async () => {
    const { app, held } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 1 });
    await ask(server, "/1");
    await ask(server, "/2");
    expect(held.length).toBe(1);
    expect(server.server.load).toMatchObject({ connections: 2, queuedRequests: 1 });
  });
});

describe("an event loop that stood still", () => {
  it("does not begin what the web server has given up meanwhile", async () => {
    const seen: string[] = [];
    // The client is a program of its own: nothing in here can act while the event loop stands still.
    const client = `
      const socket = require("node:net").connect(process.argv[1]);
      socket.end(Buffer.from(process.argv[2], "hex"), () => socket.destroy());
    `;
    await using server = await startServer(
      (request, response) => {
        seen.push(request.url ?? "");
        if (request.url === "/blocks") {
          const records = [
            beginRecord(),
            paramsRecords(1, { ...PLAIN_GET, ...at("/left") }),
            stdinRecords(1),
          ];
          execFileSync(process.execPath, ["-e", client, server.path, Buffer.concat(records).toString("hex")]);
          compute(60);
        }
        response.end(request.url);
      },
      {},
      { isShared: true },
    );
    const wire = await server.connect();
    wire.request({ params: at("/blocks") });
    await wire.answer();
    await waitFor(() => server.server.stats.acceptedRequests === 2);
    expect((await server.ask({ params: at("/after") })).body.toString()).toBe("/after");
    expect(seen).toEqual(["/blocks", "/after"]);
  });
});

/** Uses so much time of a processor, in ms. */
function compute(ms: number): void {
  const { user, system } = process.cpuUsage();
  for (let spent = 0; spent < ms * 1000; ) {
    const now = process.cpuUsage();
    spent = now.user + now.system - user - system;
  }
}

describe("queueTimeoutMs", () => {
  const limits = { maxConcurrency: 1, queueTimeoutMs: 80 };

  it("answers 503 to what has waited longer, with one line in the log, and the application never sees it", async () => {
    const { app, held, seen } = heldApplication();
    await using server = await startServer(app, limits);
    const first = await ask(server, "/first");
    const second = await ask(server, "/second");
    const answer = await second.answer();
    expect(answer.head).toContain("Status: 503 Service Unavailable");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 2 });
    expect(server.log.text).toEqual(["warn the request waited for more than 80 ms: answered 503"]);
    expect(server.log.lines[0]!.fields).toMatchObject({
      code: "ERR_POSTERN_QUEUE_TIMEOUT",
      method: "GET",
      url: "/second",
    });
    held[0]!.response.end("first");
    expect((await first.answer()).body.toString()).toBe("first");
    // The connection goes on.
    second.request({ id: 2, keepConn: true, params: at("/third") });
    await waitFor(() => seen.length === 2);
    held[1]!.response.end("third");
    expect((await second.answer(2)).body.toString()).toBe("third");
    expect(seen).toEqual(["/first", "/third"]);
  });

  it("counts the time before the server saw the request, if the web server tells when it came", async () => {
    const { app, seen } = heldApplication();
    await using server = await startServer(app, { queueTimeoutMs: 60_000 });
    const wire = await server.connect();
    wire.request({ params: { REQUEST_START: ((Date.now() - 61_000) / 1000).toFixed(3) } });
    expect((await wire.answer()).head).toContain("503");
    expect(seen).toEqual([]);
    await ask(server, "/fresh", { REQUEST_START: ((Date.now() - 50_000) / 1000).toFixed(3) });
    await ask(server, "/forged", { HTTP_X_REQUEST_START: ((Date.now() - 70_000) / 1000).toFixed(3) });
    expect(seen).toEqual(["/fresh", "/forged"]);
  });

  it("is off by default: what the web server says then does not matter", async () => {
    const { app, seen } = heldApplication();
    await using server = await startServer(app, { maxConcurrency: 1 });
    await ask(server, "/old", { REQUEST_START: ((Date.now() - 600_000) / 1000).toFixed(3) });
    expect(seen).toEqual(["/old"]);
  });
});

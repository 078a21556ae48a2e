/** What the process manager's worker hears of requests, and what it can ask at any moment. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { Exchange } from "../../../src/server/exchange.ts";
import type { ServerObserver } from "../../../src/server/hooks.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import { abortRecord, requestRecords } from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer, type TestServer, type Wire } from "../../support/wire.ts";

/** Writes down what it hears, by the URLs of the requests. */
class Notes implements ServerObserver {
  readonly lines: string[] = [];
  onRequestBegin(exchange: Exchange): void {
    this.lines.push(`begin ${exchange.params.get("REQUEST_URI")}`);
  }
  onRequestEnd(exchange: Exchange): void {
    this.lines.push(`end ${exchange.params.get("REQUEST_URI")}`);
  }
  /** How often each was heard to begin and to end. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const line of this.lines) counts[line] = (counts[line] ?? 0) + 1;
    return counts;
  }
}

const at = (url: string): { REQUEST_URI: string; PATH_INFO: string } => ({
  REQUEST_URI: url,
  PATH_INFO: url,
});

/** An application that does what the URL says. */
async function start(
  options: ServerOptions = {},
): Promise<TestServer & { notes: Notes; held: ServerResponse[] }> {
  const notes = new Notes();
  const held: ServerResponse[] = [];
  const server = await startServer(
    (request, response) => {
      if (request.url === "/throws") throw new Error("broken");
      if (request.url?.startsWith("/hold") === true) held.push(response);
      else if (request.url === "/cut") {
        response.write("part");
        response.destroy(new Error("broken"));
      } else response.end("ok");
    },
    options,
    { observer: notes },
  );
  return Object.assign(server, { notes, held });
}

const once = (url: string): Record<string, number> => ({ [`begin ${url}`]: 1, [`end ${url}`]: 1 });

describe("an observer hears of each request's beginning and end exactly once", () => {
  it("when it is answered", async () => {
    await using server = await start();
    await server.ask({ params: at("/x") });
    expect(server.notes.lines).toEqual(["begin /x", "end /x"]);
  });

  it("when the application throws, and when its answer is cut", async () => {
    await using server = await start();
    await server.ask({ params: at("/throws") });
    const wire = await server.connect();
    wire.request({ keepConn: true, params: at("/cut") });
    await wire.end();
    wire.destroy();
    await server.gone();
    expect(server.notes.counts).toEqual({ ...once("/throws"), ...once("/cut") });
  });

  it("when the web server gives up, and when its connection is lost", async () => {
    await using server = await start();
    const [one, two] = [await server.connect(), await server.connect()];
    one.request({ keepConn: true, params: at("/hold/1") });
    two.request({ keepConn: true, params: at("/hold/2") });
    await waitFor(() => server.held.length === 2);
    one.send(abortRecord());
    await one.answer();
    two.destroy();
    await waitFor(() => server.notes.lines.length === 4);
    one.destroy();
    await server.gone();
    for (const response of server.held) response.end("late");
    expect(server.notes.counts).toEqual({ ...once("/hold/1"), ...once("/hold/2") });
  });

  it("when the method cannot be, which is a 400", async () => {
    await using server = await start();
    const answer = await server.ask({ params: { ...at("/x"), REQUEST_METHOD: "NO METHOD" } });
    expect(answer.head).toContain("400");
    expect(server.notes.counts).toEqual(once("/x"));
  });

  it("when it has to wait: it begins as it comes, and ends also when it is refused or lost", async () => {
    await using server = await start({ maxConcurrency: 1, queueTimeoutMs: 80 });
    const wires: Wire[] = [];
    for (const url of ["/hold", "/refused", "/lost", "/aborted"]) {
      const wire = await server.connect();
      wire.request({ keepConn: true, params: at(url) });
      await waitFor(() => server.notes.lines.includes(`begin ${url}`));
      wires.push(wire);
    }
    wires[2]!.destroy();
    wires[3]!.send(abortRecord());
    expect((await wires[1]!.answer()).head).toContain("503");
    await waitFor(() => server.notes.lines.includes("end /lost"));
    server.held[0]!.end();
    await wires[0]!.answer();
    const all = ["/hold", "/refused", "/lost", "/aborted"].map(once);
    expect(server.notes.counts).toEqual(Object.assign({}, ...all));
  });

  it("when it takes too long", async () => {
    await using server = await start({ requestTimeoutMs: 40 });
    expect((await server.ask({ params: at("/hold") })).head).toContain("504");
    server.held[0]!.end("late");
    expect(server.notes.counts).toEqual(once("/hold"));
  });

  it("when the server is destroyed", async () => {
    await using server = await start();
    const wire = await server.connect();
    wire.request({ params: at("/hold") });
    await waitFor(() => server.held.length === 1);
    server.server.destroy();
    await server.server.closed;
    expect(server.notes.counts).toEqual(once("/hold"));
  });

  it("hears of an end when the answer is complete, though its body is still read", async () => {
    await using server = await start();
    const wire = await server.connect();
    const whole = requestRecords({ params: { ...at("/x"), CONTENT_LENGTH: "5" }, stdin: "hello" });
    wire.send(whole.subarray(0, -8)); // all but the end of STDIN
    await wire.answer();
    expect(server.notes.lines).toEqual(["begin /x", "end /x"]);
    wire.send(whole.subarray(-8));
    await wire.end();
    expect(server.notes.lines).toEqual(["begin /x", "end /x"]);
  });
});

describe("the load of a server", () => {
  it("counts connections that have sent nothing yet, until they do or are gone", async () => {
    await using server = await start();
    const wires = [await server.connect(), await server.connect(), await server.connect()];
    await waitFor(() => server.server.load.connections === 3);
    expect(server.server.load).toMatchObject({
      freshConnections: 3,
      acceptedConnections: 3,
      openRequests: 0,
    });
    wires[0]!.request({ keepConn: true, params: at("/hold") });
    await waitFor(() => server.server.load.openRequests === 1);
    expect(server.server.load.freshConnections).toBe(2);
    wires[1]!.destroy();
    await server.gone(2);
    expect(server.server.load.freshConnections).toBe(1);
    wires[0]!.destroy();
    wires[2]!.destroy();
    await server.gone();
    expect(server.server.load).toEqual({
      openRequests: 0,
      openTunnels: 0,
      queuedRequests: 0,
      connections: 0,
      freshConnections: 0,
      acceptedConnections: 3,
      acceptedRequests: 1,
      slowRequests: 0,
    });
  });

  it("is known without any hook, too", async () => {
    const held: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void held.push(response));
    const wire = await server.connect();
    wire.request();
    await waitFor(() => held.length === 1);
    expect(server.server.load).toMatchObject({ openRequests: 1, queuedRequests: 0, freshConnections: 0 });
    expect(server.server.isBusy).toBe(false);
  });

  it("tells when the server becomes busy and when it ceases to be", async () => {
    const heard: boolean[] = [];
    const held: ServerResponse[] = [];
    const server: TestServer = await startServer(
      (_request, response) => void held.push(response),
      { maxConcurrency: 1 },
      { onBusy: () => void heard.push(server.server.isBusy) },
    );
    await using _server = server;
    const wire = await server.connect();
    wire.request();
    await waitFor(() => heard.length === 1);
    held[0]!.end();
    await waitFor(() => heard.length === 2);
    expect(heard).toEqual([true, false]);
  });
});

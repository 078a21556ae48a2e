/** A kept connection of a server that drains: closed when it is silent, and not over a request that is there. */
import { describe, expect, it } from "vitest";
import { getValuesRecord, requestRecords } from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { isQuestion, startServer, type TestServer, type Wire } from "../../support/wire.ts";

/** A sweep every 50 ms. */
const OPTIONS = { lingerTimeoutMs: 200 };

/** Has one request answered, and knows what the server's clock said when it came. */
async function asked(server: TestServer, wire: Wire): Promise<number> {
  for (let id = 1; ; id++) {
    const before = server.server.now;
    await wire.request({ id, keepConn: true }).answer(id);
    if (server.server.now === before) return before;
  }
}

describe("A kept connection while draining", () => {
  it("is closed after a second without a request, and not before", async () => {
    await using server = await startServer((_req, res) => res.end("hello"), OPTIONS);
    const wire = await server.connect();
    const at = await asked(server, wire);
    const closed = server.server.close();
    await wire.end();
    await closed;
    expect(server.server.now - at).toBeGreaterThan(1000);
  });

  it("is not closed over a request that came while the process did something else", async () => {
    await using server = await startServer((_req, res) => res.end("hello"), OPTIONS);
    const wire = await server.connect();
    const at = await asked(server, wire);
    const closed = server.server.close();
    await waitFor(() => server.server.now - at > 900);
    wire.request({ id: 100, keepConn: true });
    // The next sweep finds the second over, and comes before anything is read.
    for (const since = performance.now(); performance.now() - since < 200; );
    const answer = await wire.answer(100);
    expect(answer.body.toString()).toBe("hello");
    await closed;
  });
});

async function kept(server: TestServer, software: string): Promise<Wire> {
  const wire = await server.connect();
  await wire.request({ keepConn: true, params: { SERVER_SOFTWARE: software } }).answer();
  expect(wire.records.some(isQuestion)).toBe(false);
  return wire;
}

describe("A connection that nginx keeps", () => {
  const start = (options = {}): Promise<TestServer> =>
    startServer((_req, res) => res.end("hello"), { ...OPTIONS, ...options });

  it("is asked to leave when the server drains, and a request that crosses the question is answered", async () => {
    await using server = await start();
    const wire = await kept(server, "nginx/1.30.6");
    const closed = server.server.close();
    await wire.until(() => wire.records.some(isQuestion), "the question");
    expect(wire.ended).toBe(false);
    const answer = await wire.request({ id: 2, keepConn: true }).answer(2);
    expect(answer.body.toString()).toBe("hello");
    await wire.end();
    await closed;
    expect(wire.records.filter(isQuestion)).toHaveLength(1);
  });

  it("is asked when it is idle for too long, and closed when it stays", async () => {
    await using server = await start({ idleTimeoutMs: 200 });
    const wire = await kept(server, "nginx/1.30.6");
    await wire.end();
    expect(wire.records.filter(isQuestion)).toHaveLength(1);
  });

  it("is not asked while a request is on its way", async () => {
    await using server = await start();
    const wire = await kept(server, "nginx/1.30.6");
    const bytes = requestRecords({ id: 2, keepConn: true });
    wire.send(getValuesRecord(["FCGI_MPXS_CONNS"]), bytes.subarray(0, 20));
    await wire.until(() => wire.records.some(({ id }) => id === 0), "an answer to what stands before it");
    const closed = server.server.close();
    wire.send(bytes.subarray(20));
    expect((await wire.answer(2)).body.toString()).toBe("hello");
    await wire.end();
    await closed;
    expect(wire.records.some(isQuestion)).toBe(false);
  });

  it("is not asked when another server keeps it, which would not know what that is", async () => {
    await using server = await start();
    const wire = await kept(server, "Apache/2.4.71");
    const closed = server.server.close();
    await wire.end();
    await closed;
    expect(wire.records.some(isQuestion)).toBe(false);
  });
});

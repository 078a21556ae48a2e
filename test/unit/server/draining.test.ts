/** A kept connection of a server that drains: closed when it is silent, and not over a request that is there. */
import { describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import { startServer, type TestServer, type Wire } from "../../support/wire.ts";

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

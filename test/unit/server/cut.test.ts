/** Where a body breaks off: what goes out last, and what becomes of the rest. See docs/adr and test/e2e/cut-body. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { BROKEN_RECORD } from "../../../src/protocol/records.ts";
import {
  beginRecord,
  decodeRecords,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  TYPE,
} from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer } from "../../support/wire.ts";

/** Answers a part; the rest is up to the test. */
function partial(): {
  application: (request: unknown, response: ServerResponse) => void;
  response(): ServerResponse;
} {
  let kept: ServerResponse | undefined;
  return {
    application: (_request, response) => {
      kept = response;
      response.write("a part");
    },
    response: () => kept!,
  };
}

describe("a body that breaks off", () => {
  it("ends in something that no web server takes for a record, and in no END_REQUEST", async () => {
    const part = partial();
    await using server = await startServer(part.application);
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await waitFor(() => wire.received.includes("a part"));
    part.response().destroy();
    await wire.end();
    expect(wire.received.subarray(-BROKEN_RECORD.length)).toEqual(Buffer.from(BROKEN_RECORD));
    expect(wire.received.includes(Buffer.from([1, TYPE.END_REQUEST]))).toBe(false);
    await server.gone();
  });

  it("behind HAProxy ends with STDERR ended and the connection, as other records are a whole answer or its death", async () => {
    const part = partial();
    await using server = await startServer(part.application);
    const wire = await server.connect();
    wire.request({ keepConn: true, params: { ...PLAIN_GET, SERVER_SOFTWARE: "HAProxy 2.6.12" } });
    await waitFor(() => wire.received.includes("a part"));
    part.response().destroy(new Error("the database went away"));
    await wire.end();
    const { records, rest } = decodeRecords(wire.received);
    expect(records.slice(-2).map(({ type, content }) => [type, content.length > 0])).toEqual([
      [TYPE.STDERR, true],
      [TYPE.STDERR, false],
    ]);
    expect(rest.length).toBe(0);
    await server.gone();
  });

  it("also when the server is destroyed, or the peer breaks the protocol, but not before the header block", async () => {
    for (const isBegun of [true, false]) {
      for (const how of ["destroy", "break"] as const) {
        const part = partial();
        await using server = await startServer(isBegun ? part.application : () => {});
        const wire = await server.connect();
        wire.request({ keepConn: true });
        await waitFor(
          () => server.server.stats.openRequests === 1 && (!isBegun || wire.received.includes("a part")),
        );
        if (how === "destroy") server.server.destroy("the test wants it");
        else wire.send(rawRecord(TYPE.STDIN, 1, "", 0, 9));
        await wire.end();
        expect(wire.received.subarray(-8).equals(BROKEN_RECORD), `${how}, begun: ${isBegun}`).toBe(isBegun);
      }
    }
  });

  it("waits for what was written before it, and drops the input that still comes", async () => {
    const size = 4_000_000;
    await using server = await startServer((_request, response: ServerResponse) => {
      response.write(Buffer.alloc(size));
      response.destroy();
    });
    const wire = await server.connect();
    wire.socket.pause();
    wire.send(beginRecord(1), paramsRecords(1, { ...PLAIN_GET, REQUEST_METHOD: "POST" }));
    for (let n = 0; n < 20; n++) wire.send(rawRecord(TYPE.STDIN, 1, "x".repeat(60_000)));
    wire.socket.resume();
    await wire.end();
    expect(wire.received.length).toBeGreaterThan(size);
    expect(wire.received.subarray(-8).equals(BROKEN_RECORD)).toBe(true);
    wire.socket.end();
    await server.gone();
  });
});

it("a listener that writes as long as write() says yes hears no, even when the web server takes everything", async () => {
  let written = 0;
  await using server = await startServer((_request, response: ServerResponse) => {
    const more = (): void => {
      while (written < 50_000_000) {
        written += 10_000;
        if (!response.write(Buffer.alloc(10_000))) {
          response.once("drain", more);
          return;
        }
      }
      response.end();
    };
    more();
    // Less than the kernel's buffers take: only we can have said no.
    expect(written).toBeLessThan(200_000);
  });
  const wire = await server.connect();
  wire.request();
  await wire.end();
  expect(wire.received.length).toBeGreaterThan(50_000_000);
});

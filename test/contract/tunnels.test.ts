/**
 * Every recorded request of a web server that passed on an upgrade, replayed to an application with an 'upgrade'
 * listener: a tunnel where lighttpd kept STDIN open for one, with the bytes the recorder noted, and nowhere else.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeCaptures, listCaptures } from "../support/captures.ts";
import { TYPE } from "../support/records.ts";
import { waitFor } from "../support/wait.ts";
import { startServer, type TestServer } from "../support/wire.ts";

/** What an application saw of a tunnel. */
interface Seen {
  bytes: number;
  readonly hash: ReturnType<typeof createHash>;
  readonly events: string[];
}

describeCaptures("recorded upgrades", () => {
  let server: TestServer;
  let seen: Seen[] = [];

  beforeAll(async () => {
    const application = createServer((request, response) => {
      request.resume();
      request.on("end", () => response.end("ordinary"));
    });
    application.on("upgrade", (request, socket: Duplex) => {
      const one: Seen = { bytes: 0, hash: createHash("sha256"), events: [] };
      seen.push(one);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.upgrade}\r\n\r\nfirst`);
      socket.on("data", (piece: Buffer) => {
        one.bytes += piece.length;
        one.hash.update(piece);
      });
      for (const event of ["end", "error", "close"]) socket.on(event, () => one.events.push(event));
    });
    server = await startServer(application);
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const upgrades = listCaptures(/--.*(ws|upgrade|websocket|header-hop|plain)/).flatMap((capture) =>
    capture.sidecar().fcgi_connections.flatMap((connection) =>
      connection.requests.length === 1 && connection.requests[0]!.role === "RESPONDER"
        ? [
            {
              name: `${capture.name} ${connection.file}`,
              capture,
              connection,
              request: connection.requests[0]!,
            },
          ]
        : [],
    ),
  );

  it("are many, with and without a tunnel", () => {
    const tunnels = upgrades.filter(({ request }) => !request.stdin_eof);
    expect(tunnels.length).toBeGreaterThan(40);
    expect(upgrades.length - tunnels.length).toBeGreaterThan(10);
  });

  it.each(upgrades)("$name", async ({ capture, connection, request }) => {
    seen = [];
    server.log.clear();
    const params = new Map(request.params);
    const bytes = capture.bytes(connection);
    const wire = await server.connect();
    const open = endOfParams(bytes);
    // lighttpd holds back what the client says before the 101; the others have ended STDIN in the same write.
    wire.send(request.stdin_eof ? bytes : bytes.subarray(0, open));
    const head = await wire.head();
    if (request.stdin_eof) {
      await wire.answer(request.id);
      expect(head).toMatch(params.get("HTTP_UPGRADE") === "websocket" ? /^Status: 501 / : /^Status: 200 /);
      expect(seen).toEqual([]);
    } else {
      expect(head).toBe(`Status: 101 Switching Protocols\r\nUpgrade: ${params.get("HTTP_UPGRADE")}`);
      for (let at = open; at < bytes.length; at += 1000) wire.send(bytes.subarray(at, at + 1000));
      await waitFor(() => seen[0]?.bytes === request.stdin_len);
      wire.socket.end();
      await waitFor(() => seen[0]?.events.includes("close"));
      expect(seen[0]?.events).toEqual(["end", "close"]);
      if (request.stdin_sha256 !== null) expect(seen[0]?.hash.digest("hex")).toBe(request.stdin_sha256);
      expect(server.log.text.filter((line) => !line.startsWith("debug"))).toEqual([]);
    }
    wire.destroy();
    await server.gone();
  });
});

/** Where the empty PARAMS record ends. */
function endOfParams(bytes: Buffer): number {
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 4);
    const next = at + 8 + length + bytes.readUInt8(at + 6);
    if (bytes.readUInt8(at + 1) === TYPE.PARAMS && length === 0) return next;
    at = next;
  }
  throw new Error("PARAMS do not end");
}

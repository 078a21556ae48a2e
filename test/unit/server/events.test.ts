/** The events for tracing: who subscribes gets both ends of every request, and others pay nothing. */
import diagnostics from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import type { RequestEvent } from "../../../src/server/events.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import { abortRecord } from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer } from "../../support/wire.ts";

const subscribed: (() => void)[] = [];
afterEach(() => {
  for (const end of subscribed.splice(0)) end();
});

interface Heard {
  readonly what: "start" | "end";
  readonly event: RequestEvent;
  /** As they were at that moment. */
  readonly attributes: Readonly<Record<string, string | number>>;
}

function listen(): Heard[] {
  const heard: Heard[] = [];
  for (const what of ["start", "end"] as const) {
    const onMessage = (message: unknown): void => {
      const event = message as RequestEvent;
      heard.push({ what, event, attributes: { ...event.attributes } });
    };
    diagnostics.subscribe(`postern:request:${what}`, onMessage);
    subscribed.push(() => diagnostics.unsubscribe(`postern:request:${what}`, onMessage));
  }
  return heard;
}

const PARAMS = {
  REQUEST_METHOD: "GET",
  REQUEST_URI: "/cart?n=1",
  SERVER_NAME: "shop.example",
  SERVER_PORT: "8443",
  SERVER_PROTOCOL: "HTTP/1.1",
  HTTPS: "on",
  REMOTE_ADDR: "10.0.0.2",
  REMOTE_PORT: "4711",
  HTTP_USER_AGENT: "Browser",
  HTTP_X_FORWARDED_FOR: "203.0.113.9",
};

// A server without options, and one whose requests are admitted.
const ways: readonly (readonly [string, ServerOptions])[] = [
  ["a plain server", {}],
  ["a server with a queue", { maxConcurrency: 1 }],
];

describe.each(ways)("events of %s", (_, options) => {
  it("tell of a request in OpenTelemetry's words", async () => {
    const heard = listen();
    await using server = await startServer(
      (_request, response) => void response.writeHead(503).end("sorry"),
      {
        ...options,
        trustProxy: "10.0.0.0/8",
      },
    );
    await server.ask({ params: PARAMS });
    await waitFor(() => heard.length === 2);
    const start = {
      "http.request.method": "GET",
      "url.path": "/cart",
      "url.query": "n=1",
      "url.scheme": "https",
      "client.address": "203.0.113.9",
      "server.address": "shop.example",
      "server.port": 8443,
      "user_agent.original": "Browser",
      "network.protocol.version": "1.1",
      "network.transport": "tcp",
    };
    expect(heard.map(({ what }) => what)).toEqual(["start", "end"]);
    expect(heard[0]?.attributes).toEqual(start);
    expect(heard[1]?.attributes).toEqual({
      ...start,
      "http.response.status_code": 503,
      "http.response.body.size": 5,
      "error.type": "503",
    });
    expect(heard[1]?.event).toBe(heard[0]?.event);
    expect(heard[1]?.event.durationMs).toBeGreaterThanOrEqual(0);
    expect(heard[0]?.event.id).toMatch(/^\d+-1$/);
  });

  it("tell of a visitor who has left", async () => {
    const heard = listen();
    await using server = await startServer(() => {}, options);
    const wire = await server.connect();
    wire.request({ params: PARAMS, keepConn: true });
    await waitFor(() => heard.length === 1);
    wire.send(abortRecord(1));
    await waitFor(() => heard.length === 2);
    expect(heard[1]?.attributes).toMatchObject({ "error.type": "aborted" });
    expect(heard[1]?.attributes).not.toHaveProperty(["http.response.status_code"]);
  });

  it("have no end for a request that began before somebody subscribed", async () => {
    const held: (() => void)[] = [];
    await using server = await startServer(
      (_request, response) => void held.push(() => response.end("ok")),
      options,
    );
    const wire = await server.connect();
    wire.request({ params: PARAMS });
    await waitFor(() => held.length === 1);
    const heard = listen();
    held[0]?.();
    await wire.answer();
    expect(heard).toEqual([]);
  });
});

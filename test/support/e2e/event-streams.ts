/** Applications that send events when a test says so, in each way of writing them, and the web servers they stream through. */
import { createRequire } from "node:module";
import { join } from "node:path";
import express from "express";
import { createGateway } from "../../../src/gateway/index.ts";
import type { Application } from "../../../src/index.ts";
import { repositoryRoot } from "../paths.ts";
import { waitFor } from "../wait.ts";
import { startApache } from "../web-servers/apache.ts";
import { startCaddy, startHaproxy } from "../web-servers/balancers.ts";
import { startLighttpd } from "../web-servers/lighttpd.ts";
import { startNginx } from "../web-servers/nginx.ts";
import type { FastCgiAddress } from "../web-servers/web-server.ts";

/** One open event stream, as the application has it. */
export interface EventSource {
  readonly lastEventId: string | undefined;
  send(id: number): void;
  end(): void;
  readonly isAborted: boolean;
}

/** The streams that are open, by the path that was asked for. */
export class Streams {
  readonly #open = new Map<string, EventSource>();
  add(path: string, source: EventSource): void {
    this.#open.set(path, source);
  }
  opened(path: string): Promise<EventSource> {
    return waitFor(() => this.#open.get(path), { what: `a stream at ${path}`, timeoutMs: 10_000 });
  }
  get all(): readonly EventSource[] {
    return [...this.#open.values()];
  }
}

export const FORMS: Readonly<Record<string, (streams: Streams) => Application>> = {
  listener: (streams) => (req, res) => {
    let isAborted = false;
    res.on("close", () => {
      isAborted = !res.writableFinished;
    });
    res.writeHead(200, ["CONTENT-type", "text/event-stream;charset=utf-8", "Cache-Control", "no-store"]);
    res.flushHeaders();
    streams.add(req.url ?? "", {
      lastEventId: req.headers["last-event-id"]?.toString(),
      send: (id) => void res.write(`id: ${id}\ndata: event ${id}\n\n`),
      end: () => void res.end(),
      get isAborted() {
        return isAborted;
      },
    });
  },
  fetch: (streams) => ({
    fetch(request: Request): Response {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const encoder = new TextEncoder();
          streams.add(new URL(request.url).pathname, {
            lastEventId: request.headers.get("last-event-id") ?? undefined,
            send: (id) => {
              if (!request.signal.aborted) {
                controller.enqueue(encoder.encode(`id: ${id}\ndata: event ${id}\n\n`));
              }
            },
            end: () => controller.close(),
            get isAborted() {
              return request.signal.aborted;
            },
          });
        },
      });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    },
  }),
  express: (streams) => {
    const app = express();
    app.get("/*path", (req, res) => {
      let isAborted = false;
      req.on("close", () => {
        isAborted = !res.writableEnded;
      });
      res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" }).flushHeaders();
      streams.add(req.url, {
        lastEventId: req.get("Last-Event-ID"),
        send: (id) => void res.write(`id: ${id}\ndata: event ${id}\n\n`),
        end: () => void res.end(),
        get isAborted() {
          return isAborted;
        },
      });
    });
    return app;
  },
  hono: (streams) => {
    const load = createRequire(join(repositoryRoot, "examples", "hono", "package.json"));
    const { Hono } = load("hono") as { Hono: new () => HonoApp };
    const { streamSSE } = load("hono/streaming") as {
      streamSSE(context: HonoContext, run: (stream: HonoStream) => Promise<void>): Response;
    };
    const app = new Hono();
    app.get("*", (context) =>
      streamSSE(
        context,
        (stream) =>
          new Promise((resolve) => {
            let isAborted = false;
            stream.onAbort(() => {
              isAborted = true;
              resolve();
            });
            streams.add(context.req.path, {
              lastEventId: context.req.header("last-event-id"),
              send: (id) => void stream.writeSSE({ id: String(id), data: `event ${id}` }),
              end: resolve,
              get isAborted() {
                return isAborted;
              },
            });
          }),
      ),
    );
    return app;
  },
};

interface HonoContext {
  readonly req: { readonly path: string; header(name: string): string | undefined };
}
interface HonoStream {
  onAbort(listener: () => void): void;
  writeSSE(event: { id: string; data: string }): Promise<void>;
}
interface HonoApp {
  get(path: string, handler: (context: HonoContext) => Response): void;
  fetch(request: Request): Response | Promise<Response>;
}

export type FrontName =
  | "nginx"
  | "nginx with kept connections"
  | "nginx that compresses"
  | "apache"
  | "lighttpd"
  | "gateway"
  | "current nginx"
  | "current lighttpd"
  | "current haproxy"
  | "current caddy";

/** What stands in front. */
export interface Front {
  readonly origin: string;
  stop(): Promise<unknown>;
}

async function gateway(application: FastCgiAddress): Promise<Front> {
  const connect =
    "unix" in application ? `unix:${application.unix}` : `${application.host}:${application.port}`;
  const front = createGateway({ connect });
  await front.listen("127.0.0.1:0");
  return {
    origin: front.url!.replace(/\/$/, "").replace("localhost", "127.0.0.1"),
    stop: () => front.close(),
  };
}

const GZIP = "gzip on; gzip_types text/event-stream text/plain; gzip_min_length 0;";

/** Web servers with the settings under which they pass events on, and nothing that is not needed for it. */
export const FRONTS: Readonly<Record<FrontName, (application: FastCgiAddress) => Promise<Front>>> = {
  nginx: (application) => startNginx({ application }),
  "nginx with kept connections": (application) => startNginx({ application, keepConn: true }),
  "nginx that compresses": (application) => startNginx({ application, directives: GZIP }),
  apache: (application) => startApache({ application, streaming: true }),
  lighttpd: (application) =>
    startLighttpd({ application, globalDirectives: "server.stream-response-body = 1" }),
  gateway,
  "current nginx": (application) => startNginx({ application, isCurrent: true }),
  "current lighttpd": (application) =>
    startLighttpd({ application, isCurrent: true, globalDirectives: "server.stream-response-body = 1" }),
  "current haproxy": startHaproxy,
  "current caddy": startCaddy,
};

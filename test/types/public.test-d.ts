/**
 * The types that applications are written against, pinned: the compiler reads this file with all others (`types` among
 * the steps of a check), and nothing runs it.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Readable, Writable } from "node:stream";
import {
  AppError,
  type Application,
  type CgiParams,
  type ClientCertificate,
  createServer,
  defineConfig,
  type ErrorCode,
  type FastCGISide,
  type FetchContext,
  fastcgi,
  type GatewayFacts,
  type Logger,
  lineLogger,
  PosternError,
  RemoteProtocolError,
  type ServerOptions,
  type ServerRequest,
  type ServerStats,
  SettingError,
  serve,
  silentLogger,
  UsageError,
} from "postern";
import { type ClientResponse, FastCGIClient } from "postern/client";
import { createGateway, type Gateway } from "postern/gateway";
import { expectTypeOf } from "vitest";

// serve and createServer

expectTypeOf(serve).returns.resolves.toHaveProperty("close");
expectTypeOf(serve).parameter(0).toEqualTypeOf<Application>();
const server = createServer((_req, res) => res.end());
expectTypeOf(server.listen).returns.resolves.toEqualTypeOf<typeof server>();
expectTypeOf(server.addresses).toEqualTypeOf<readonly string[]>();
expectTypeOf(server.stats).toEqualTypeOf<ServerStats>();
expectTypeOf(server.close()).toEqualTypeOf<Promise<void>>();
expectTypeOf(server.closed).toEqualTypeOf<Promise<void>>();
expectTypeOf(server).toExtend<AsyncDisposable>();

// What can be served: parameters have their types without being told

createServer((req, res) => {
  expectTypeOf(req).toEqualTypeOf<IncomingMessage>();
  expectTypeOf(res).toEqualTypeOf<ServerResponse>();
});
createServer(async (_req: IncomingMessage, res: ServerResponse) => void res.end());
createServer({
  fetch(request, context) {
    expectTypeOf(request).toExtend<Request>();
    expectTypeOf(context).toEqualTypeOf<FetchContext>();
    return new Response(request.url);
  },
});
createServer({ fetch: async () => new Response() });
createServer({ fetch: (request: Request) => new Response(request.url) });
createServer({ fetch: (request: ServerRequest) => new Response(request.ip ?? "nobody") });
createServer(createHttpServer());
createServer({
  raw(request, response) {
    expectTypeOf(request.params).toEqualTypeOf<CgiParams>();
    expectTypeOf(request.stdin).toEqualTypeOf<Readable>();
    expectTypeOf(response.stdout).toEqualTypeOf<Writable>();
    response.writeHead(200, { "Content-Type": "text/plain" }).end("x");
  },
});
createServer({
  responder: (_req: IncomingMessage, res: ServerResponse) => res.end(),
  authorizer(_request, response) {
    response.allow({ NAME: "value" });
    response.deny(403);
  },
  filter: (request) => expectTypeOf(request.data).toEqualTypeOf<Readable | undefined>(),
});

// Frameworks, by their shape: an Express application, Koa, Fastify, Hono
declare const express: ((req: IncomingMessage, res: ServerResponse) => unknown) & { use(): void };
declare const koa: {
  callback(): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  readonly middleware: unknown[];
};
declare const hono: { fetch(request: Request, env?: object, context?: object): Response | Promise<Response> };
expectTypeOf(express).toExtend<Application>();
expectTypeOf(koa).toExtend<Application>();
expectTypeOf(hono).toExtend<Application>();

// @ts-expect-error: a number is no application
createServer(42);
// @ts-expect-error: fetch gives a Response
createServer({ fetch: () => "text" });
// @ts-expect-error: not an object with nothing to serve
createServer({ unknown: true });

// Options

expectTypeOf<ServerOptions["bind"]>().toEqualTypeOf<string | readonly string[] | undefined>();
expectTypeOf<ServerOptions["trustProxy"]>().toEqualTypeOf<string | readonly string[] | undefined>();
expectTypeOf<ServerOptions["sendFile"]>().toEqualTypeOf<string | readonly string[] | undefined>();
expectTypeOf<ServerOptions["logger"]>().toEqualTypeOf<Logger | undefined>();
expectTypeOf<ServerOptions["drainTimeoutMs"]>().toEqualTypeOf<number | undefined>();
createServer(express, { trustProxy: ["10.0.0.0/8"], logger: silentLogger });
// @ts-expect-error: there is no such option
createServer(express, { trustProxies: true });
// @ts-expect-error: proxies are named
createServer(express, { trustProxy: true });
expectTypeOf(lineLogger(() => {})).toEqualTypeOf<Logger>();

// The FastCGI side

const side = fastcgi({} as IncomingMessage);
expectTypeOf(side).toEqualTypeOf<FastCGISide>();
expectTypeOf<FetchContext>().toExtend<FastCGISide>();
expectTypeOf(side.params["REMOTE_USER"]).toEqualTypeOf<string | undefined>();
// @ts-expect-error: what the web server said cannot be changed
side.params["REMOTE_USER"] = "root";
expectTypeOf(side.rawParams).toEqualTypeOf<readonly string[]>();
expectTypeOf(side.role).toEqualTypeOf<"responder" | "authorizer" | "filter">();
expectTypeOf(side.signal).toEqualTypeOf<AbortSignal>();
expectTypeOf(side.stderr).toEqualTypeOf<Writable>();
expectTypeOf(side.base).toBeString();
expectTypeOf(side.gateway).toEqualTypeOf<GatewayFacts>();
expectTypeOf<GatewayFacts["remoteUser"]>().toEqualTypeOf<string | undefined>();
expectTypeOf<GatewayFacts["serverPort"]>().toEqualTypeOf<number | undefined>();
expectTypeOf<GatewayFacts["scheme"]>().toEqualTypeOf<"http" | "https">();
expectTypeOf<GatewayFacts["clientCertificate"]>().toEqualTypeOf<ClientCertificate | undefined>();
expectTypeOf<ClientCertificate["isVerified"]>().toBeBoolean();
// @ts-expect-error: facts cannot be changed
side.gateway.remoteUser = "root";
// @ts-expect-error: there is no such fact
side.gateway.forwardedFor;
expectTypeOf<FetchContext["waitUntil"]>().parameter(0).toEqualTypeOf<PromiseLike<unknown>>();
expectTypeOf<NonNullable<ServerRequest["runtime"]>["fastcgi"]>().toEqualTypeOf<FetchContext>();

// Errors

for (const error of [SettingError, UsageError, AppError, RemoteProtocolError]) {
  expectTypeOf(error.prototype).toExtend<PosternError>();
}
expectTypeOf(PosternError.prototype.code).toEqualTypeOf<ErrorCode>();
expectTypeOf<"ERR_POSTERN_BAD_SETTING">().toExtend<ErrorCode>();
expectTypeOf<"ERR_POSTERN_OF_NO_KIND">().not.toExtend<ErrorCode>();

// Configuration

defineConfig({ app: "app.js", workers: "auto", trustProxy: "loopback", drainTimeout: "10s" });
// @ts-expect-error: there is no such setting
defineConfig({ app: "app.js", worker: 4 });

// postern/client

const client = new FastCGIClient({ connect: "unix:/run/app.sock" });
expectTypeOf(client.request({ params: {} })).toEqualTypeOf<Promise<ClientResponse>>();
expectTypeOf<ClientResponse["status"]>().toBeNumber();
expectTypeOf<ClientResponse["headers"]>().toEqualTypeOf<readonly string[]>();
expectTypeOf<ClientResponse["body"]>().toEqualTypeOf<Readable>();

// postern/gateway

const gateway = createGateway({ connect: "unix:/run/app.sock" });
expectTypeOf(gateway).toEqualTypeOf<Gateway>();
expectTypeOf(gateway.listen).toBeCallableWith("127.0.0.1:0");
// @ts-expect-error: the address is called connect
createGateway({ bind: "unix:/run/app.sock" });

// postern/register is imported for what it does
expectTypeOf(import("postern/register")).resolves.toBeObject();

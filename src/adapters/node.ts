// HOT
/**
 * Node listeners, `(req, res) => void`: every framework that speaks node:http.
 *
 * Request and response are node:http's own classes, so whatever a framework does to them works: replacing
 * prototypes, wrapping methods, poking at internals. Only the bottom is ours: an ExchangeSocket instead of a TCP
 * socket, and a `_storeHeader` that turns the HTTP head into a CGI header block.
 */
import { type Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import { AppError } from "../base/errors.ts";
import { httpVersion, method, rawHeaders } from "../cgi/environ.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { connectionReset, ExchangeSocket } from "./exchange-socket.ts";
import { headFromHttp } from "./http-head.ts";
import {
  checkInternals,
  emitClose,
  type RequestInternals,
  type ResponseInternals,
  storeHttpHead,
} from "./http-internals.ts";
import { remember } from "./side.ts";

/** What Express, connect, Koa's `callback()` and Fastify take. A returned promise that rejects is a failure. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown;

const ZERO = "0".charCodeAt(0);

/** Serves a Node listener. @throws {UsageError} ERR_POSTERN_BAD_APP: this runtime's node:http is not one we know */
export function nodeHandler(listener: NodeListener, httpServer?: HttpServer): Handler {
  checkInternals();
  return (exchange: Exchange): void => {
    const socket = new ExchangeSocket(exchange, httpServer);
    const request = makeRequest(exchange, socket);
    const response = makeResponse(request, socket);
    exchange.stdin.attach(socket);
    exchange.whenAborted((cause) => {
      request.destroy(connectionReset(cause));
      socket.destroy();
    });
    try {
      const result = listener(request, response);
      if (isThenable(result)) result.then(undefined, (error: unknown) => fail(exchange, socket, error));
    } catch (error) {
      fail(exchange, socket, error);
    }
  };
}

/** The handler of an `http.Server` that was made with its application and does not listen itself. */
export function httpServerHandler(server: HttpServer): Handler {
  return nodeHandler((request, response) => server.emit("request", request, response), server);
}

function makeRequest(exchange: Exchange, socket: ExchangeSocket): IncomingMessage {
  const { params, target } = exchange;
  const request = new IncomingMessage(socket as never) as IncomingMessage & {
    baseUrl: string;
    originalUrl: string;
  };
  socket.request = request;
  request.method = method(params);
  request.url = target.url;
  const version = httpVersion(params);
  request.httpVersion = version;
  request.httpVersionMajor = version.charCodeAt(0) - ZERO;
  request.httpVersionMinor = version.length > 2 ? version.charCodeAt(2) - ZERO : 0;
  const headers = rawHeaders(params);
  (request as unknown as RequestInternals)._addHeaderLines(headers, headers.length);
  // The names that Express and connect use for the mount; they keep what is set.
  request.baseUrl = target.base;
  request.originalUrl = target.originalUrl;
  remember(request, exchange);
  return request;
}

function makeResponse(request: IncomingMessage, socket: ExchangeSocket): ServerResponse {
  const response = new ServerResponse(request);
  const internals = response as unknown as ResponseInternals;
  internals._removedConnection = true; // the Connection header is the web server's
  internals._storeHeader = storeCgiHead;
  response.on("prefinish", onPrefinish);
  response.on("finish", onFinish);
  response.assignSocket(socket as never);
  return response;
}

/** Stands in for ServerResponse#_storeHeader: lets node:http check and write the head, then turns it into CGI. */
function storeCgiHead(this: ServerResponse & ResponseInternals, firstLine: string, headers: unknown): void {
  storeHttpHead.call(this, firstLine, headers);
  if (this.statusCode === 101) {
    this._header = null;
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD",
      "the application answered 101 Switching Protocols, which cannot be carried here: no tunnel was asked for or the web server has none",
    );
  }
  // FastCGI frames the body; chunk sizes in it would reach the browser as text.
  this.chunkedEncoding = false;
  this._header = headFromHttp(this._header as string);
}

/** `end()` was called and everything is with the socket: END_REQUEST leaves in the same write. */
function onPrefinish(this: ServerResponse): void {
  (this.socket as unknown as ExchangeSocket | null)?.finish();
}

/** What node:http's server does after each response. */
function onFinish(this: ServerResponse): void {
  const socket = this.socket as unknown as ExchangeSocket | null;
  if (socket === null) return;
  const request = this.req as IncomingMessage & RequestInternals;
  if (!request._consuming) {
    if (!request.complete) {
      request.complete = true; // nobody reads the body: it ends here
      request.push(null);
    }
    request._dump();
  }
  this.detachSocket(socket as never);
  process.nextTick(emitClose, this);
}

function fail(exchange: Exchange, socket: ExchangeSocket, error: unknown): void {
  exchange.fail(error);
  socket.destroy();
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined | null)?.then === "function";
}

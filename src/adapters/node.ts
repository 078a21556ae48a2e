// HOT
/**
 * Node listeners, `(req, res) => void`: every framework that speaks node:http.
 *
 * Request and response are node:http's own classes, so whatever a framework does to them works: replacing
 * prototypes, wrapping methods, poking at internals. Only the bottom is ours: an ExchangeSocket instead of a TCP
 * socket, and a `_storeHeader` that turns the HTTP head into a CGI header block.
 */
import diagnostics from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import { AppError } from "../base/errors.ts";
import {
  createServer,
  type HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "../base/node-http.ts";
import { httpVersion, method, rawHeaders } from "../cgi/environ.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { ExchangeSocket } from "./exchange-socket.ts";
import { type GivenHeaders, type HeadSource, headFromHeaders, headFromHttp } from "./http-head.ts";
import {
  checkInternals,
  isEndKnown,
  outHeaders,
  type RequestInternals,
  type ResponseInternals,
  storeHttpHead,
} from "./http-internals.ts";
import { mendResponse } from "./mend-response.ts";
import { offloadFiles } from "./offload.ts";
import { onPrototypesOf } from "./prototypes.ts";
import { endResponse, finishResponse } from "./response-end.ts";
import { ownSetHeader } from "./response-headers.ts";
import { type ServerTraits, traitsOf } from "./server-traits.ts";
import { remember } from "./side.ts";
import type { TunnelSocket } from "./tunnel-socket.ts";
import { withUpgrades } from "./upgrade.ts";

/** What Express, connect, Koa's `callback()` and Fastify take. A returned promise that rejects is a failure. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown;

const ZERO = "0".charCodeAt(0);

// What node:http's server publishes, for who traces and measures: OpenTelemetry and its kin.
const startChannel = diagnostics.channel("http.server.request.start");

/** Calls the application; what it returns may be a promise. */
type Call = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * Serves a Node listener. It belongs to an http.Server that never listens: what `request.socket.server` is, and where
 * instrumentation that wraps `Server#emit` sees requests.
 * @throws {UsageError} ERR_POSTERN_BAD_APP: this runtime's node:http is not one we know
 */
export function nodeHandler(listener: NodeListener): Handler {
  const server = createServer();
  let result: unknown;
  server.on("request", (request, response) => {
    result = listener.call(server, request, response);
  });
  return handlerOf(onPrototypesOf(listener, traitsOf(server)), (request, response) => {
    // Nobody wraps it, as a rule; and what emit costs is a twentieth of a small request.
    if (server.emit === EventEmitter.prototype.emit) return listener.call(server, request, response);
    server.emit("request", request, response);
    const returned = result;
    result = undefined;
    return returned;
  });
}

/** The handler of an `http.Server` that was made with its application and does not listen itself. */
export function httpServerHandler(server: HttpServer): Handler {
  const traits = traitsOf(server);
  const listeners = server.listeners("request");
  const own = listeners.length === 1 ? onPrototypesOf(listeners[0], traits) : traits;
  const ordinary = handlerOf(own, (request, response) => {
    server.emit("request", request, response);
  });
  return withUpgrades(ordinary, server, (exchange, socket) => makeRequest(exchange, socket, traits));
}

function handlerOf(traits: ServerTraits, call: Call): Handler {
  checkInternals();
  const { server } = traits;
  return (exchange: Exchange): void => {
    const socket = new ExchangeSocket(exchange, traits);
    const request = makeRequest(exchange, socket, traits);
    const response = makeResponse(request, socket, traits);
    if (exchange.options.sendFile !== undefined) offloadFiles(exchange, request, response);
    exchange.stdin.attach(socket);
    exchange.whenAborted((cause) => socket.abort(cause));
    if (server.timeout > 0) socket.setTimeout(server.timeout);
    if (startChannel.hasSubscribers) startChannel.publish({ request, response, socket, server });
    try {
      const isExpecting = exchange.params.get("HTTP_EXPECT") !== undefined;
      const result = isExpecting ? callExpecting(server, call, request, response) : call(request, response);
      if (isThenable(result)) result.then(undefined, (error: unknown) => fail(exchange, socket, error));
    } catch (error) {
      fail(exchange, socket, error);
    }
  };
}

/** A request with an Expect header, as node:http has it. The web server has said 100 Continue long ago. */
function callExpecting(
  server: HttpServer,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
): unknown {
  const { expect } = request.headers;
  if (expect === undefined || request.httpVersion !== "1.1") return call(request, response);
  if (/(?:^|\W)100-continue(?:$|\W)/i.test(expect)) {
    (response as unknown as ResponseInternals)._expect_continue = true;
    if (server.emit("checkContinue", request, response)) return undefined;
    response.writeContinue();
    return call(request, response);
  }
  if (!server.emit("checkExpectation", request, response)) response.writeHead(417).end();
  return undefined;
}

function makeRequest(
  exchange: Exchange,
  socket: ExchangeSocket | TunnelSocket,
  traits: ServerTraits,
): IncomingMessage {
  const { params, target } = exchange;
  const request = new traits.Request(socket as never) as IncomingMessage & RequestInternals & MountNames;
  socket.request = request;
  request.method = method(params);
  request.url = target.url;
  const version = httpVersion(params);
  request.httpVersion = version;
  request.httpVersionMajor = version.charCodeAt(0) - ZERO;
  request.httpVersionMinor = version.length > 2 ? version.charCodeAt(2) - ZERO : 0;
  const headers = rawHeaders(params);
  if (traits.joinsDuplicateHeaders) request.joinDuplicateHeaders = true;
  request._addHeaderLines(headers, headers.length);
  request.baseUrl = target.base;
  request.originalUrl = target.originalUrl;
  remember(request, exchange);
  return request;
}

/** The names that Express and connect use for the mount; they keep what is set. */
interface MountNames {
  baseUrl: string;
  originalUrl: string;
}

function makeResponse(
  request: IncomingMessage,
  socket: ExchangeSocket,
  traits: ServerTraits,
): ServerResponse {
  const response = new traits.Response(request, traits.responseOptions);
  if (mendResponse !== undefined) mendResponse(response);
  const internals = response as unknown as ResponseInternals;
  internals._removedConnection = true; // the Connection header is the web server's
  internals._storeHeader = storeCgiHead;
  const { unique } = traits;
  if (unique !== undefined) (response as unknown as Record<symbol, unknown>)[unique.symbol] = unique.headers;
  internals._finish = finishResponse as never;
  if (traits.isPlainResponse && isEndKnown) {
    if (!traits.responseOptions.rejectNonStandardBodyWrites) response.end = endResponse as never;
    if (ownSetHeader !== undefined) response.setHeader = ownSetHeader as never;
    // As `assignSocket` does, without its listener: when this socket closes, it tells the response itself.
    socket._httpMessage = response;
    (response as { socket: unknown }).socket = socket;
  } else {
    response.assignSocket(socket as never);
  }
  return response;
}

/**
 * Stands in for ServerResponse#_storeHeader. What is not ordinary node:http checks and writes, and then it is turned
 * into CGI.
 */
function storeCgiHead(this: ServerResponse & HeadSource, firstLine: string, headers: unknown): void {
  if (outHeaders !== undefined && !Array.isArray(headers)) {
    const areSet = headers === (this as unknown as Record<symbol, unknown>)[outHeaders];
    const head = headFromHeaders(this, headers as GivenHeaders | undefined, areSet);
    if (head !== undefined) {
      this.chunkedEncoding = false;
      this._header = head;
      this._headerSent = false;
      return;
    }
  }
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

function fail(exchange: Exchange, socket: ExchangeSocket, error: unknown): void {
  exchange.fail(error);
  socket.destroy();
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined | null)?.then === "function";
}

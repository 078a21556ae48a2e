// HOT
/**
 * How a response ends. `response.end(body)` when nothing was sent before, as most responses are: head, body and
 * END_REQUEST go to the exchange at once, without the steps by which node:http gets them into one packet; what can be
 * seen of the response is the same. Everything else, and whatever somebody has changed underneath, goes node:http's
 * own way. And what node:http's server does after each response.
 */
import diagnostics from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import { type IncomingMessage, OutgoingMessage, type ServerResponse } from "../base/node-http.ts";
import { ExchangeSocket } from "./exchange-socket.ts";
import {
  detachAbortSignal,
  emitClose,
  markFinished,
  type RequestInternals,
  type ResponseInternals,
} from "./http-internals.ts";

type End = (this: Response, chunk?: unknown, encoding?: unknown, callback?: unknown) => Response;

type Response = Omit<ServerResponse, "end" | "socket"> &
  ResponseInternals & { end: End; socket: unknown; _send: unknown; readonly _eventsCount: number };

const finishChannel = diagnostics.channel("http.server.response.finish");

const plain = OutgoingMessage.prototype as unknown as Response;
const { end: plainEnd, _send: plainSend } = plain;
const { write: plainWrite } = ExchangeSocket.prototype;
const { emit: plainEmit } = EventEmitter.prototype;

/** Stands in for ServerResponse#end, as an own property: frameworks replace the prototypes of responses. */
export function endResponse(
  this: Response,
  chunk?: unknown,
  encoding?: unknown,
  callback?: unknown,
): Response {
  const inherited = (Object.getPrototypeOf(this) as Response).end;
  const { socket } = this;
  if (
    this._headerSent ||
    (callback !== undefined && callback !== null) ||
    !isBody(chunk) ||
    !isPlainEncoding(encoding) ||
    inherited !== plainEnd ||
    this._send !== plainSend ||
    this.finished ||
    this.destroyed ||
    this.strictContentLength ||
    this.outputData.length > 0 ||
    !isPlainSocket(socket, this)
  ) {
    return inherited.call(this, chunk, encoding, callback);
  }
  const body = chunk ?? "";
  const written = encoding === "latin1" ? "latin1" : "utf8";
  if (this._header === null) {
    this._contentLength = typeof body === "string" ? Buffer.byteLength(body, written) : body.byteLength;
    this._implicitHeader();
    // A `writeHead` that somebody put there may have done anything.
    if (this._header === null || this._headerSent || this.finished) {
      return inherited.call(this, chunk, encoding, callback);
    }
  }
  socket.sendWhole(this, this._hasBody ? body : "", written);
  this.finished = true;
  this._finish();
  socket.afterFlush((error) => onFlushed(this, socket, error));
  return this;
}

function isBody(chunk: unknown): chunk is string | Uint8Array | null | undefined {
  return typeof chunk === "string" || chunk === undefined || chunk === null || chunk instanceof Uint8Array;
}

function isPlainEncoding(encoding: unknown): boolean {
  return encoding === undefined || encoding === null || encoding === "utf8" || encoding === "latin1";
}

/** Whether what is written goes to our socket, and nobody looks at what does. */
function isPlainSocket(socket: unknown, response: Response): socket is ExchangeSocket {
  const own = socket as ExchangeSocket | null;
  return own?.write === plainWrite && (own._httpMessage as unknown) === response && !own.destroyed;
}

/** Stands in for OutgoingMessage#_finish: `end()` was called, and everything is with the socket. */
export function finishResponse(this: Response): void {
  (Object.getPrototypeOf(this) as Response)._finish.call(this);
  const socket = this.socket as ExchangeSocket | null;
  if (socket === null) return;
  // Before all who listen: they see a response that is done with its socket.
  if (!socket.isWhole) (this as unknown as ServerResponse).prependListener("finish", onFinish);
  socket.finish();
}

function onFlushed(response: Response, socket: ExchangeSocket, error: Error | null | undefined): void {
  const isSent = error === undefined || error === null;
  markFinished(response as unknown as ServerResponse, error);
  if (response.socket === socket) afterFinish(response, socket);
  if (isSent && (response._eventsCount > 0 || (response.emit as unknown) !== plainEmit))
    response.emit("finish");
}

function onFinish(this: ServerResponse): void {
  const response = this as unknown as Response;
  const socket = response.socket as ExchangeSocket | null;
  if (socket !== null) afterFinish(response, socket);
}

/** What node:http's server does after each response. */
function afterFinish(response: Response, socket: ExchangeSocket): void {
  const request = socket.request as IncomingMessage & RequestInternals;
  if (finishChannel.hasSubscribers) {
    finishChannel.publish({ request: response.req, response, socket, server: socket.server });
  }
  socket.release();
  if (!request._consuming) {
    if (!request.complete) {
      request.complete = true; // nobody reads the body: it ends here
      request.push(null);
    }
    if (request._eventsCount > 0) dump(request, socket);
  }
  if (socket.listenerCount("close") > 0)
    (response as unknown as ServerResponse).detachSocket(socket as never);
  socket._httpMessage = null;
  response.socket = null;
  process.nextTick(closeResponse, response, socket);
}

/** The client's connection is the web server's: to whoever listens it ends with the response. */
function closeResponse(response: Response, socket: ExchangeSocket): void {
  emitClose(response as unknown as ServerResponse);
  const request = socket.request as IncomingMessage & RequestInternals;
  if (!request._consuming && !request._dumped) {
    if (request._eventsCount > 0) dump(request, socket);
    else endQuietly(request);
  }
  if (socket.listenerCount("close") === 0 || !request.complete) return;
  detachAbortSignal(request);
  socket.destroy();
}

function dump(request: RequestInternals, socket: ExchangeSocket): void {
  socket.settle(); // Node 26 reads once, and expects to find the end
  request._dump();
}

/** As `_dump` leaves a request, whose events nobody would hear. */
function endQuietly(request: RequestInternals): void {
  request._dumped = true;
  const state = request._readableState;
  state.ended = true;
  state.endEmitted = true;
  state.destroyed = true;
  state.closed = true;
  state.closeEmitted = true;
}

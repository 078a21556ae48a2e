/**
 * What the Node adapter uses of node:http beyond its documentation, in one place: names that exist unchanged in Node
 * 20, 22, 24 and 26, checked when a Node listener is first served.
 */

import { UsageError } from "../base/errors.ts";
import { IncomingMessage, OutgoingMessage, ServerResponse } from "../base/node-http.ts";

/** The undocumented members of ServerResponse. */
export interface ResponseInternals {
  /** The finished head, or null before it is made. */
  _header: string | null;
  /** Whether `_header` has been handed to the socket. */
  _headerSent: boolean;
  _removedConnection: boolean;
  /** Whether the client waits for 100 Continue. */
  _expect_continue: boolean;
  chunkedEncoding: boolean;
  /** Bytes of a body that is known when the head is made. */
  _contentLength: number | null;
  /** Not for HEAD, 204, 304. */
  _hasBody: boolean;
  /** Whether `end()` was called. */
  finished: boolean;
  /** What waits for a socket. */
  readonly outputData: readonly unknown[];
  strictContentLength: boolean;
  /** Whether the application removed the header of this name. */
  _removedContLen: boolean;
  readonly useChunkedEncodingByDefault: boolean;
  _closed: boolean;
  _implicitHeader(): void;
  _finish(): void;
  _storeHeader(firstLine: string, headers: unknown): void;
}

/** The part of a stream's state that node:http itself sets. */
export interface WritableInternals {
  readonly _writableState: { corked: number };
}

/** The part of a stream's state that says it is over. */
export interface ReadableFlags {
  ended: boolean;
  endEmitted: boolean;
  destroyed: boolean;
  closed: boolean;
  closeEmitted: boolean;
}

/** The undocumented members of IncomingMessage. */
export interface RequestInternals {
  /** Whether somebody reads the body. */
  _consuming?: boolean;
  /** As the server's option of this name. */
  joinDuplicateHeaders: boolean;
  _dumped: boolean;
  readonly _readableState: ReadableFlags;
  readonly _eventsCount: number;
  _addHeaderLines(headers: string[], count: number): void;
  _dump(): void;
}

const responseInternals = ServerResponse.prototype as unknown as ResponseInternals;
const requestInternals = IncomingMessage.prototype as unknown as RequestInternals;

/** node:http's own, which checks and writes the head. */
export const storeHttpHead: ResponseInternals["_storeHeader"] = responseInternals._storeHeader;

/** A symbol that an object has of its own, by its description; node:http exports none of its symbols. */
export function ownSymbol(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

const aResponse = new ServerResponse(new IncomingMessage(undefined as never));

/** The flag behind `writableNeedDrain`. */
const needsDrain: symbol | undefined = ownSymbol(aResponse, "kNeedDrain");

/** Whether requests tell their socket when somebody begins to read. */
export const readsItsSocket: boolean = tellsSocket();

function tellsSocket(): boolean {
  let isTold = false;
  const socket = { readable: true, resume: () => (isTold = true) };
  const request = new IncomingMessage(socket as never) as IncomingMessage & RequestInternals;
  if (request._consuming !== false) return false;
  request._read(0);
  return isTold && (request._consuming as boolean) === true;
}

/** Under which symbol a response keeps the headers that were set: lower-case name → name as given, and value. */
export const outHeaders: symbol | undefined = ownSymbol(aResponse, "kOutHeaders");

/**
 * Whether `setHeader` is node:http's own and does what we know: not one that an instrumentation has wrapped before us,
 * nor one of another runtime.
 */
export const isSetHeaderKnown: boolean =
  outHeaders !== undefined &&
  String(OutgoingMessage.prototype.setHeader).includes("headers[name.toLowerCase()] = [name, value]");

/** Who waits for the end of a response, and how it was; undefined where `finished` alone says it (Node 20 and 22). */
const finishedMark: symbol | undefined = ownSymbol(aResponse, "kWritableFinished");
const endCallbacks: symbol | undefined = ownSymbol(aResponse, "kEndCallbacks");
const flushError: symbol | undefined = ownSymbol(aResponse, "kFlushError");

/**
 * Whether what this runtime's `end()` does is known, so that it can be done in fewer steps: Bun's and Deno's responses
 * are of their own kind.
 */
export const isEndKnown: boolean = knowsEnd();

function knowsEnd(): boolean {
  const { bun, deno } = process.versions;
  const { _contentLength, _hasBody, _closed, finished, outputData, strictContentLength, _finish } =
    aResponse as unknown as ResponseInternals;
  const hasMarks = [finishedMark, endCallbacks, flushError].filter((mark) => mark !== undefined).length;
  return (
    (bun ?? deno) === undefined &&
    (hasMarks === 0 || hasMarks === 3) &&
    _contentLength === null &&
    _hasBody === true &&
    _closed === false &&
    finished === false &&
    strictContentLength === false &&
    Array.isArray(outputData) &&
    typeof _finish === "function" &&
    isCallable(IncomingMessage) &&
    isCallable(ServerResponse)
  );
}

/** Whether it can be called on an object that there is already, as only constructors of the old kind can. */
function isCallable(maker: unknown): boolean {
  return !/^class\b/.test(String(maker));
}

/** Where requests have a `signal` (Node 24): takes it off the socket, whose end is no abort any more. */
const detachSignal: symbol | undefined = ownSymbol(IncomingMessage.prototype, "kDetachAbortSignal");

/** @throws {UsageError} ERR_POSTERN_BAD_APP: this runtime's node:http is not one we know */
export function checkInternals(): void {
  const known =
    typeof responseInternals._storeHeader === "function" &&
    typeof requestInternals._addHeaderLines === "function" &&
    typeof requestInternals._dump === "function" &&
    needsDrain !== undefined;
  if (known) return;
  throw new UsageError(
    "ERR_POSTERN_BAD_APP",
    `node:http of ${runtimeName()} lacks what the Node adapter builds on: use a supported Node (20.19, 22, 24, 26), Bun (1.4) or Deno (2.9), or serve a { fetch } application`,
  );
}

/** `Bun 1.4.5`, `Deno 2.9.5`, `Node 20.20.2`; the others have a `process.version` too, of the Node they imitate. */
function runtimeName(): string {
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return `Bun ${bun}`;
  return deno === undefined ? `Node ${node}` : `Deno ${deno}`;
}

/** Tells a response that its socket takes more, as node:http's server does. */
export function emitDrain(response: ServerResponse): void {
  const flags = response as unknown as Record<symbol, boolean>;
  if (response.writableEnded || flags[needsDrain!] !== true) return;
  flags[needsDrain!] = false;
  response.emit("drain");
}

/** The response is complete: the end of the socket is no abort of the request. */
export function detachAbortSignal(request: IncomingMessage): void {
  if (detachSignal !== undefined) (request as unknown as Record<symbol, () => void>)[detachSignal]!();
}

/** Everything of a response is with the kernel, or never will be. */
export function markFinished(response: ServerResponse, error: Error | null | undefined): void {
  if (finishedMark === undefined) return;
  const members = response as unknown as Record<symbol, unknown>;
  const isSent = error === undefined || error === null;
  if (isSent) members[finishedMark] = true;
  else members[flushError!] = error;
  const waiting = members[endCallbacks!] as ((error: Error | null) => void)[] | null;
  if (waiting === null) return;
  members[endCallbacks!] = null;
  for (const callback of waiting) callback(error ?? null);
}

/** Tells a response that it is over, as node:http's server does. */
export function emitClose(response: ServerResponse): void {
  const state = response as unknown as { destroyed: boolean; _closed: boolean };
  if (state._closed) return;
  state.destroyed = true;
  state._closed = true;
  response.emit("close");
}

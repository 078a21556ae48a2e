/**
 * What an `http.Server` was made with, as far as its requests and responses show it: read once for each server.
 * Where a runtime keeps these things elsewhere, the defaults hold.
 */

import { getDefaultHighWaterMark } from "node:stream";
import { type HttpServer, IncomingMessage, ServerResponse } from "../base/node-http.ts";
import { ownSymbol } from "./http-internals.ts";

/** Options of the socket of a request, as stream.Duplex takes them. */
export interface SocketOptions {
  readonly allowHalfOpen: boolean;
  readonly autoDestroy: boolean;
  readonly emitClose: boolean;
  readonly highWaterMark: number;
}

/** The traits of one server. */
export interface ServerTraits {
  readonly server: HttpServer;
  /** The class of requests: its option `IncomingMessage`. */
  readonly Request: typeof IncomingMessage;
  /** The class of responses: its option `ServerResponse`. */
  readonly Response: new (
    request: IncomingMessage,
    options: ResponseOptions,
  ) => ServerResponse;
  /** Whether that is node:http's own. */
  readonly isPlainResponse: boolean;
  readonly responseOptions: ResponseOptions;
  readonly socketOptions: SocketOptions;
  readonly joinsDuplicateHeaders: boolean;
  /** Headers that are sent once: what node:http puts on each response, and under which symbol; undefined for none. */
  readonly unique: { readonly symbol: symbol; readonly headers: unknown } | undefined;
}

/** What node:http tells a response about its server. */
export interface ResponseOptions {
  readonly highWaterMark: number;
  readonly rejectNonStandardBodyWrites: boolean;
}

/** Reads the traits of a server. */
export function traitsOf(server: HttpServer): ServerTraits {
  const given = server as HttpServer & {
    readonly highWaterMark?: number;
    readonly rejectNonStandardBodyWrites?: boolean;
    readonly joinDuplicateHeaders?: boolean;
  };
  const members = server as unknown as Readonly<Record<symbol, unknown>>;
  const hidden = (name: string): unknown => {
    const symbol = ownSymbol(server, name);
    return symbol === undefined ? undefined : members[symbol];
  };
  const symbol = ownSymbol(server, "kUniqueHeaders");
  const headers = symbol === undefined ? undefined : members[symbol];
  const highWaterMark = given.highWaterMark ?? getDefaultHighWaterMark(false);
  const Response = (hidden("ServerResponse") ?? ServerResponse) as ServerTraits["Response"];
  return {
    server,
    Request: (hidden("IncomingMessage") ?? IncomingMessage) as ServerTraits["Request"],
    Response,
    isPlainResponse: Response === ServerResponse,
    responseOptions: {
      highWaterMark,
      rejectNonStandardBodyWrites: given.rejectNonStandardBodyWrites === true,
    },
    // The socket must outlive the end of either direction, and says itself when it is closed.
    socketOptions: { allowHalfOpen: true, autoDestroy: false, emitClose: false, highWaterMark },
    joinsDuplicateHeaders: given.joinDuplicateHeaders === true,
    unique: symbol === undefined || !headers ? undefined : { symbol, headers },
  };
}

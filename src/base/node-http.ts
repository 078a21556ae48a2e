/**
 * node:http, without what an `import` of it brings along: that reads every name the module exports, and three of them
 * are getters (`WebSocket`, `CloseEvent`, `MessageEvent`) that load all of undici. From Node 22 on this is 60 ms of
 * processor time and 12 MB, in every process, for names that nobody here uses.
 */
import type * as types from "node:http";

const http: typeof types = process.getBuiltinModule("node:http");

export const IncomingMessage: typeof types.IncomingMessage = http.IncomingMessage;
export type IncomingMessage = types.IncomingMessage;
export const OutgoingMessage: typeof types.OutgoingMessage = http.OutgoingMessage;
export const ServerResponse: typeof types.ServerResponse = http.ServerResponse;
export type ServerResponse = types.ServerResponse;
export const HttpServer: typeof types.Server = http.Server;
export type HttpServer = types.Server;
export const STATUS_CODES: typeof types.STATUS_CODES = http.STATUS_CODES;
export const createServer: typeof types.createServer = http.createServer;
export const request: typeof types.request = http.request;

/**
 * What tracing and monitoring can subscribe to, by node:diagnostics_channel: `postern:request:start` and
 * `postern:request:end`, which get the same object for one request, with OpenTelemetry's names of attributes; and in
 * workers of the process manager `postern:worker:ready` and `postern:worker:draining`.
 *
 * Nobody pays for it who does not subscribe, but for the question whether somebody has.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import { scheme } from "../cgi/environ.ts";
import type { Exchange, ExchangeWatcher } from "./exchange.ts";
import { Tally } from "./tally.ts";

/** What subscribers of `postern:request:start` and `postern:request:end` get. */
export interface RequestEvent {
  /** As in the log: unique on this machine while the process lives. */
  readonly id: string;
  /** ms since the epoch. */
  readonly startTime: number;
  /** By OpenTelemetry's semantic conventions for HTTP servers. Subscribers may add their own. */
  readonly attributes: Record<string, string | number>;
  /** At the end. */
  durationMs: number | undefined;
}

export const requestStart: Channel = channel("postern:request:start");
export const requestEnd: Channel = channel("postern:request:end");
/** The worker serves from now on. */
export const workerReady: Channel = channel("postern:worker:ready");
/** It takes no more, finishes what it has, and ends. */
export const workerDraining: Channel = channel("postern:worker:draining");

/** What subscribers of `postern:worker:ready` and `postern:worker:draining` get. */
export interface WorkerEvent {
  readonly pool: string;
  /** The number of the worker. */
  readonly id: number;
  readonly generation: number;
}

export function workerEvent({ pool, id, generation }: WorkerEvent): WorkerEvent {
  return { pool, id, generation };
}

/** A request begins. Ask `requestStart.hasSubscribers` first. */
export function publishStart(exchange: Exchange): void {
  const event: RequestEvent = {
    id: exchange.id,
    startTime: Date.now(),
    attributes: attributesOf(exchange),
    durationMs: undefined,
  };
  Tally.begin(exchange).event = event;
  requestStart.publish(event);
}

/** It is over. One that began before anybody subscribed has no event. */
export function publishEnd(exchange: Exchange): void {
  const event = exchange.tally?.event as RequestEvent | undefined;
  if (event === undefined) return;
  const { head, status, durationMs, sentBytes } = Tally.end(exchange);
  event.durationMs = durationMs;
  if (head === "") event.attributes["error.type"] = "aborted";
  else {
    event.attributes["http.response.status_code"] = status;
    event.attributes["http.response.body.size"] = sentBytes;
    if (status >= 500) event.attributes["error.type"] = String(status);
  }
  requestEnd.publish(event);
}

/** What admission.ts does for those who look on, of a server that has no other use for one. */
export function watch(exchange: Exchange): void {
  exchange.watcher = WATCHER;
  Tally.begin(exchange);
  if (requestStart.hasSubscribers) publishStart(exchange);
}

const WATCHER: ExchangeWatcher = {
  onEnded(exchange: Exchange): boolean {
    exchange.watcher = undefined;
    exchange.options.accessLog?.onRequestEnd(exchange);
    if (requestEnd.hasSubscribers) publishEnd(exchange);
    return false;
  },
};

function attributesOf({ params, client }: Exchange): Record<string, string | number> {
  const attributes: Record<string, string | number> = {
    "http.request.method": params.get("REQUEST_METHOD") ?? "_OTHER",
  };
  const add = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "") attributes[name] = value;
  };
  const uri = params.get("REQUEST_URI");
  const query = uri?.indexOf("?") ?? -1;
  if (uri === undefined)
    add("url.path", `${params.get("SCRIPT_NAME") ?? ""}${params.get("PATH_INFO") ?? ""}`);
  else add("url.path", query < 0 ? uri : uri.slice(0, query));
  add("url.query", uri === undefined || query < 0 ? params.get("QUERY_STRING") : uri.slice(query + 1));
  add("url.scheme", scheme(client));
  add("client.address", client.get("REMOTE_ADDR"));
  add("client.port", numberOf(client.get("REMOTE_PORT")));
  add("server.address", client.get("SERVER_NAME"));
  add("server.port", numberOf(client.get("SERVER_PORT")));
  add("user_agent.original", params.get("HTTP_USER_AGENT"));
  add("network.protocol.version", /^HTTP\/(\d(?:\.\d)?)$/.exec(params.get("SERVER_PROTOCOL") ?? "")?.[1]);
  // Of the client's connection, which is with the web server.
  const isUnix = params.get("SERVER_ADDR")?.startsWith("unix:") === true;
  add("network.transport", isUnix ? "unix" : params.get("SERVER_PROTOCOL") === "HTTP/3.0" ? "udp" : "tcp");
  return attributes;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

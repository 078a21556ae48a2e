/**
 * Requests that want to leave HTTP, such as WebSockets: to an application that is an http.Server with an 'upgrade'
 * listener they come as Node has it, with a socket to answer on. Which web server can carry that is known by its name
 * (or stated by the option `upgrade`): all but lighttpd end STDIN and would make a broken connection of a 101, so
 * behind those the answer is 501 and the log says what to do.
 */
import { HttpServer, type IncomingMessage } from "../base/node-http.ts";
import { errorPage } from "../cgi/error-page.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { startExchange } from "../server/refusals.ts";
import { TunnelSocket } from "./tunnel-socket.ts";

/** The first lighttpd that tunnels, if it is told to. */
const LIGHTTPD = [1, 4, 74] as const;

const REMEDY =
  'use lighttpd 1.4.74 or newer with "upgrade" => "enable", or let the web server pass these requests by HTTP to a side listener: postern serve --ws-http';

const NOTHING = Buffer.alloc(0);

/** Makes a request whose socket is a {@link TunnelSocket}. */
export type MakeRequest = (exchange: Exchange, socket: TunnelSocket) => IncomingMessage;

/** A handler for upgrades, and for everything else `ordinary`. */
export function withUpgrades(ordinary: Handler, server: HttpServer, makeRequest: MakeRequest): Handler {
  let isTold = false;
  const serveWithout = (exchange: Exchange): void => {
    if (!isWebSocket(exchange)) {
      // Another protocol was only offered (h2c): the request is to be served.
      startExchange(exchange, ordinary);
      return;
    }
    if (!isTold) tellRemedy(exchange);
    isTold = true;
    const page = errorPage(501, "Not Implemented", `WebSocket cannot be carried here: ${REMEDY}.`);
    exchange.respond(page.head, page.body);
  };
  const upgrade = (exchange: Exchange): void => {
    // What ends STDIN follows the parameters: mostly in the same write, so it is looked for a moment later.
    setImmediate(() => {
      if (exchange.isEnded) return;
      if (exchange.canTunnel) emitUpgrade(exchange, server, makeRequest);
      else serveWithout(exchange);
    });
  };
  return (exchange: Exchange): void => {
    if (!exchange.isUpgrade || server.listenerCount("upgrade") === 0) ordinary(exchange);
    else if (canTunnel(exchange)) upgrade(exchange);
    else serveWithout(exchange);
  };
}

function emitUpgrade(exchange: Exchange, server: HttpServer, makeRequest: MakeRequest): void {
  startExchange(exchange, () => {
    const socket = new TunnelSocket(exchange, server);
    const request = makeRequest(exchange, socket);
    request.complete = true; // there is no body
    request.push(null);
    (request as { upgrade?: boolean }).upgrade = true;
    server.emit("upgrade", request, socket, NOTHING);
  });
}

function tellRemedy({ options, params }: Exchange): void {
  const by = params.get("SERVER_SOFTWARE") ?? "";
  const why =
    options.upgrade === false
      ? "WebSocket is turned off (upgrade: false)"
      : `the web server${by === "" ? "" : ` (${by})`} does not carry WebSocket over FastCGI`;
  options.logger.warn({}, `${why}: answered 501; ${REMEDY}`);
}

function isWebSocket({ params }: Exchange): boolean {
  const protocols = params.get("HTTP_UPGRADE")?.toLowerCase().split(",") ?? [];
  return protocols.some((protocol) => protocol.trim() === "websocket");
}

/** Whether the web server that sent this says it can. Whether it is told to shows in what it sends. */
function canTunnel({ options, params }: Exchange): boolean {
  if (options.upgrade !== undefined) return options.upgrade;
  const found = /^lighttpd\/(\d+)\.(\d+)\.(\d+)/.exec(params.get("SERVER_SOFTWARE") ?? "");
  if (found === null) return false;
  for (const [at, least] of LIGHTTPD.entries()) {
    const part = Number(found[at + 1]);
    if (part !== least) return part > least;
  }
  return true;
}

/** The http.Server whose 'upgrade' listeners are those of a prepared application; undefined when it is none. */
export function upgradeServerOf(application: unknown): HttpServer | undefined {
  if (application instanceof HttpServer) return application;
  const { responder } = Object(application) as { responder?: unknown };
  return responder instanceof HttpServer ? responder : undefined;
}

/**
 * `listen` interception: the first `http.Server` that is asked to listen is adopted. It opens no port; whoever installed
 * the interception serves it over FastCGI instead. Every other server listens as it was asked to.
 *
 * 1. With PORT in the environment, the adopted one is the first that asks for that port (or path), or for `passenger`,
 *    the word by which applications for Phusion Passenger name the one that is to be served.
 * 2. A server with the same request listener and port as the adopted one is the same application on another address, as
 *    Fastify makes for `localhost`: it opens nothing either.
 * 3. What is no HTTP server is passed through. So are https and http2 servers, of which the host is told.
 */

import net from "node:net";
import { HttpServer } from "../base/node-http.ts";
import { isOwn } from "../base/own-server.ts";
import { type Asked, describeAsked, readListenArguments } from "./listen-arguments.ts";
import { checkStandIn, StandIn, type Substitute } from "./stand-in.ts";

/** Who serves what is adopted. */
export interface ListenHost extends Substitute {
  /** A server was adopted, or an adopted one listens again. Serve it, then `announce()`. */
  onAdopted(standIn: StandIn): void;
  /** An https or http2 server listens, by itself. @param what `an https server` */
  onTls(what: string): void;
  /** For the log: something listens that the operator may not expect. */
  warn(message: string): void;
}

export interface Interception {
  /** The server that Postern serves, once there is one. */
  readonly adopted: HttpServer | undefined;
  /** Servers listen as without us. What was adopted stays so. */
  restore(): void;
}

// Not imported by its name: a bundle would call the class in server/server.ts something else then.
const NetServer: typeof net.Server = net.Server;
type NetServer = net.Server;
type Listen = (this: NetServer, ...args: unknown[]) => NetServer;

/** @throws {UsageError} ERR_POSTERN_BAD_APP: this runtime's node:net is not one we know */
export function interceptListen(host: ListenHost, env: NodeJS.ProcessEnv): Interception {
  checkStandIn();
  const listen = NetServer.prototype.listen as Listen;
  const wanted = env["PORT"] || undefined;
  let adopted: StandIn | undefined;

  const listenHttp: Listen = function (this: NetServer, ...args) {
    const server = this as HttpServer;
    const asked = server.listening || isOwn(server) ? undefined : readListenArguments(args);
    if (asked === undefined) return listen.apply(server, args); // or throws what Node throws
    if (adopted === undefined && wanted !== undefined && !isWanted(asked, wanted)) {
      host.warn(otherListens(describeAsked(asked), wanted));
    } else if (adopted === undefined || adopted.server === server) {
      adopted = new StandIn(server, asked, host);
      host.onAdopted(adopted);
      return server;
    } else if (isTwin(server, asked, adopted)) {
      new StandIn(server, asked, NOTHING).announce();
      return server;
    }
    return listen.apply(server, args);
  };

  const listenOther: Listen = function (this: NetServer, ...args) {
    if (this instanceof HttpServer) return listenHttp.apply(this, args); // net.Server.prototype.listen.call(server)
    const what = speaksTls(this);
    if (what !== undefined && !this.listening) {
      host.warn(tlsListens(what));
      host.onTls(what);
    }
    return listen.apply(this, args);
  };

  // http.Server inherits its listen from net.Server: it gets one of its own.
  HttpServer.prototype.listen = listenHttp as HttpServer["listen"];
  NetServer.prototype.listen = listenOther as NetServer["listen"];
  return {
    get adopted() {
      return adopted?.server;
    },
    restore(): void {
      Reflect.deleteProperty(HttpServer.prototype, "listen");
      NetServer.prototype.listen = listen as NetServer["listen"];
    },
  };
}

function otherListens(where: string, wanted: string): string {
  return `the application listens on ${where} itself, which the web server does not guard, because PORT is ${wanted}: if that is what is to be served, set PORT to it or take PORT away`;
}

function tlsListens(what: string): string {
  return `the application listens with ${what}, which the web server does not guard: TLS and HTTP/2 are the web server's, so use http.createServer(app).listen(port) here`;
}

/** The reason to give up when there is no other server. */
export function tlsOnly(what: string): string {
  return `it listens with ${what} only, but TLS and HTTP/2 are the web server's: use http.createServer(app).listen(port)`;
}

function isWanted({ port, path }: Asked, wanted: string): boolean {
  const isNamed = path === wanted || path === "passenger" || path === "/passenger";
  return isNamed || (port !== undefined && port === Number(wanted));
}

const NOTHING: Substitute = {
  close: () => Promise.resolve(),
  cut: () => {},
  openRequests: () => 0,
};

function isTwin(server: HttpServer, asked: Asked, adopted: StandIn): boolean {
  if (asked.port === undefined || asked.port !== adopted.asked.port) return false;
  const known = new Set(adopted.server.listeners("request"));
  return server.listeners("request").some((listener) => known.has(listener));
}

/**
 * Recognised by what they are, not by their classes: loading those costs each start more than all of Postern.
 * https.Server has http.Server's time-outs without being one.
 */
function speaksTls(server: NetServer): string | undefined {
  const { name } = server.constructor;
  if (/^Http2(?:Secure)?Server$/.test(name)) return "an http2 server";
  return "headersTimeout" in server && "setSecureContext" in server ? "an https server" : undefined;
}

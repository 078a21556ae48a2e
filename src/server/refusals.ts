/** What is said to those who cannot be served: which status stands for which broken limit, and a word in HTTP. */
import { RemoteProtocolError } from "../base/errors.ts";
import { errorPage } from "../cgi/error-page.ts";
import type { AppConnection } from "../protocol/app-connection.ts";
import type { AppRequest } from "../protocol/app-request.ts";
import { ProtocolStatus } from "../protocol/records.ts";
import { requestStart, watch } from "./events.ts";
import type { Exchange, Handler } from "./exchange.ts";
import type { Output } from "./output.ts";

/** An answer for people who open a FastCGI port in a browser. */
export const HTTP_ANSWER: Buffer = Buffer.from(
  [
    "HTTP/1.1 400 Bad Request",
    "Content-Type: text/plain; charset=utf-8",
    "Connection: close",
    "",
    "This port speaks FastCGI, not HTTP. Put a web server in front of it, for example nginx with fastcgi_pass.\n",
  ].join("\r\n"),
);

/** Answers a request that the application never hears of. */
export function answerPage(
  app: AppConnection,
  request: AppRequest,
  status: number,
  title: string,
  protocolStatus: ProtocolStatus = ProtocolStatus.RequestComplete,
): void {
  const page = errorPage(status, title);
  app.writeHead(request, page.head);
  app.writeText(request, page.body, "utf8");
  app.end(request, 0, protocolStatus);
}

/**
 * Makes the end of a connection an error that its web server does not overlook. Returns whether there was still time.
 *
 * HAProxy is told by the end of the connection alone. 2.6 takes a record of another version for the end of a whole
 * answer; and it dies with SIGSEGV, taking every visitor with it, when the connection ends after STDERR has begun.
 */
export function breakOff(app: AppConnection, output: Output): boolean {
  const isHaproxy = app.requests.param("SERVER_SOFTWARE")?.startsWith("HAProxy") === true;
  if (isHaproxy) app.requests.endStderr(output.writer);
  return output.breakOff(!isHaproxy);
}

/** Hands a request that nobody else looks at to its application. */
export function startAtOnce(exchange: Exchange, handler: Handler): void {
  if (exchange.options.accessLog !== undefined || requestStart.hasSubscribers) watch(exchange);
  startExchange(exchange, handler);
}

/** Hands a request to its application; what that throws at once is answered. */
export function startExchange(exchange: Exchange, handler: Handler): void {
  try {
    handler(exchange);
  } catch (error) {
    if (error instanceof RemoteProtocolError) {
      exchange.log("warn", `request refused with 400: ${error.message}`, { code: error.code });
      exchange.refuse(400, "Bad Request", error);
    } else {
      exchange.fail(error);
    }
  }
}

/** The error of a request that came over one connection too many. */
export function tooManyConnections(): RemoteProtocolError {
  return new RemoteProtocolError("ERR_POSTERN_TOO_MANY_CONNECTIONS", "too many connections", "request");
}

/** The HTTP status and protocol status that answer a broken limit. */
export function refusalStatus(error: RemoteProtocolError): [number, string, ProtocolStatus] {
  switch (error.code) {
    case "ERR_POSTERN_PARAMS_TOO_LARGE":
    case "ERR_POSTERN_PARAMS_TOO_MANY":
      return [431, "Request Header Fields Too Large", ProtocolStatus.RequestComplete];
    case "ERR_POSTERN_TOO_MANY_REQUESTS":
      return [503, "Service Unavailable", ProtocolStatus.Overloaded];
    default:
      return [400, "Bad Request", ProtocolStatus.RequestComplete];
  }
}

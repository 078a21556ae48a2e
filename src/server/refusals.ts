/** What is said to those who cannot be served: which status stands for which broken limit, and a word in HTTP. */
import { RemoteProtocolError } from "../base/errors.ts";
import { ProtocolStatus } from "../protocol/records.ts";

/** An answer for people who open a FastCGI port in a browser. */
export const HTTP_ANSWER: string = [
  "HTTP/1.1 400 Bad Request",
  "Content-Type: text/plain; charset=utf-8",
  "Connection: close",
  "",
  "This port speaks FastCGI, not HTTP. Put a web server in front of it, for example nginx with fastcgi_pass.\n",
].join("\r\n");

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

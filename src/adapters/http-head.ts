// HOT
/** node:http's response head as a CGI header block. */
import { AppError } from "../base/errors.ts";
import { isHopByHop, MAX_HEAD_BYTES } from "../cgi/response-head.ts";

const STATUS_AT = "HTTP/1.1 ".length;
/** Heads that hold one of these need a closer look; most hold none. */
const SPECIAL =
  /\r\n(?:connection|keep-alive|proxy-connection|transfer-encoding|te|trailer|upgrade|status|location|content-type: text\/event-stream)\b/i;

/**
 * `HTTP/1.1 404 Not Found` + headers + empty line → `Status: 404 Not Found` + the headers that mean something to
 * a web server. Node has checked names and values.
 * @throws {AppError} ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE
 */
export function headFromHttp(http: string): string {
  const lineEnd = http.indexOf("\r\n");
  let head = `Status: ${http.slice(STATUS_AT, lineEnd).trimEnd()}${http.slice(lineEnd)}`;
  if (SPECIAL.test(head)) head = rewrite(head);
  if (head.length > MAX_HEAD_BYTES) {
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE",
      `the response head has ${head.length} bytes, one FastCGI record carries ${MAX_HEAD_BYTES}; web servers accept 4 to 64 KiB`,
    );
  }
  return head;
}

function rewrite(head: string): string {
  const [status = "", ...lines] = head.slice(0, -4).split("\r\n");
  let kept = "";
  let isEventStream = false;
  let saysBuffering = false;
  let hasLocation = false;
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase();
    if (isHopByHop(name) || name === "status") continue; // a second Status is not ours
    if (name === "location") hasLocation = true;
    if (name === "content-type" && /:\s*text\/event-stream\b/i.test(line)) isEventStream = true;
    if (name === "x-accel-buffering") saysBuffering = true;
    kept += `${line}\r\n`;
  }
  // nginx would hold the events back until the end.
  if (isEventStream && !saysBuffering) kept += "X-Accel-Buffering: no\r\n";
  // HAProxy 2.6 takes what it meets last: every Location after Status is a 302 to it.
  return hasLocation ? `${kept}${status}\r\n\r\n` : `${status}\r\n${kept}\r\n`;
}

/**
 * An answer when there is no application: a program that a web server has started, and that cannot start its
 * application, tells every visitor who waits that it failed, and the web server's log why. Then it ends, as it would
 * have without that.
 *
 * Nobody learns more than that from the page, unless in development and on this machine.
 */
import { isLoopback } from "../base/address.ts";
import { silentLogger } from "../base/log.ts";
import { oneLine } from "../base/text.ts";
import { serializeHead } from "../cgi/response-head.ts";
import type { AnswerOutput } from "./claim-stdout.ts";
import type { Exchange, Handler } from "./exchange.ts";
import { isCgiProgram, isListeningSocket, LISTEN_FD } from "./inherited.ts";
import { CgiConnection } from "./plain-cgi.ts";
import { Server } from "./server.ts";

/** A program serves its failure until nobody has asked any more for so long, ms … */
const QUIET_MS = 1000;
/** … and no longer than this, also when nobody asks: the web server is to start it anew, after a pause of its own. */
const LONGEST_MS = 5000;
/** For those who are slow to take the answer. */
const DRAIN_MS = 2000;

export interface BootFailure {
  /** 500: what is started next may well fail in the same way. 503: it is being tried again. */
  readonly status: 500 | 503;
  /** For the web server's log: `app.js: SyntaxError: Unexpected token '}' (app.js:12)`. */
  readonly reason: string;
  /** For developers: the whole error. */
  readonly detail: string;
  readonly isDevelopment: boolean;
  /** When to ask again, seconds. */
  readonly retryAfter?: number;
}

/** Answers every request with the failure. */
export function failureHandler(failure: BootFailure): Handler {
  return (exchange) => {
    exchange.sendStderr(`postern: ${oneLine(failure.reason)}\n`);
    const { head, body } = failurePage(failure, mayKnow(failure, exchange));
    exchange.respond(head, body, 1);
  };
}

/** What a program that was started by a web server still answers, when it cannot start its application. */
export async function answerFailure(failure: BootFailure, stdout: AnswerOutput | undefined): Promise<void> {
  if (isListeningSocket(LISTEN_FD, process.env)) await answerQueue(failureHandler(failure));
  else if (isCgiProgram(process.env)) await answerCgi(failureHandler(failure), stdout ?? process.stdout);
}

/** Those who wait in the queue of the socket, and those who come soon. */
async function answerQueue(handler: Handler): Promise<void> {
  let isEnough = (): void => {};
  const enough = new Promise<void>((resolve) => {
    isEnough = resolve;
  });
  const longest = setTimeout(isEnough, LONGEST_MS);
  let quiet: NodeJS.Timeout | undefined;
  const counting: Handler = (exchange) => {
    clearTimeout(quiet);
    quiet = setTimeout(isEnough, QUIET_MS);
    handler(exchange);
  };
  const server = new Server(counting, { logger: silentLogger, drainTimeoutMs: DRAIN_MS });
  await server.listen();
  await enough;
  clearTimeout(quiet);
  clearTimeout(longest);
  await server.close();
}

async function answerCgi(handler: Handler, stdout: AnswerOutput): Promise<void> {
  const { stdin, stderr } = process;
  const connection = new CgiConnection(process.env, { stdin, stdout, stderr });
  const server = new Server(handler, { logger: silentLogger, drainTimeoutMs: DRAIN_MS });
  const closed = new Promise<void>((resolve) => connection.once("close", () => resolve()));
  server.serveSocket(connection, "cgi");
  await closed;
  await server.close();
}

function mayKnow({ isDevelopment }: BootFailure, { client, params }: Exchange): boolean {
  return isDevelopment && isDeveloper((name) => client.get(name) ?? params.get(name));
}

/**
 * Whether a request is made by somebody on this machine, as far as can be known: not passed on by a proxy (a tunnel to
 * the outside, such as ngrok), and not by a page whose name was made to lead here.
 */
export function isDeveloper(param: (name: string) => string | undefined): boolean {
  if (!isLoopback(param("REMOTE_ADDR") ?? "?")) return false;
  // Caddy names the client there, too: this machine's own address is no stranger's.
  const hops = (param("HTTP_X_FORWARDED_FOR") ?? "").split(",").map((hop) => hop.trim());
  if (!hops.every((hop) => hop === "" || isLoopback(hop)) || param("HTTP_FORWARDED") !== undefined)
    return false;
  const host = (param("HTTP_HOST") ?? "localhost").toLowerCase().replace(/:\d+$/, "");
  return /^(?:localhost|[^/]+\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(host);
}

function failurePage(failure: BootFailure, isToldWhy: boolean): { head: string; body: string } {
  const { status, retryAfter } = failure;
  const sentence =
    status === 500
      ? "The application could not be started. The error log of the web server says why."
      : "The application cannot be started at the moment. Try again later.";
  const body = `${sentence}\n${isToldWhy ? `\n${failure.detail.trimEnd()}\n` : ""}`;
  const head = serializeHead(status, status === 500 ? "Internal Server Error" : "Service Unavailable", [
    "Content-Type",
    "text/plain; charset=utf-8",
    "Content-Length",
    String(Buffer.byteLength(body)),
    "Cache-Control",
    "no-store",
    "X-Content-Type-Options",
    "nosniff",
    ...(retryAfter === undefined ? [] : ["Retry-After", String(retryAfter)]),
  ]);
  return { head, body };
}

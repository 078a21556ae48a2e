// HOT
/**
 * Fetch applications, `{ fetch(request, context) }`: Hono, h3, Elysia-style, any module written for Workers, Bun or
 * Deno. The request is made lazily (see fetch-request.ts); the response is any standard Response, streamed both ways.
 */
import { STATUS_CODES } from "node:http";
import { AppError } from "../base/errors.ts";
import { method } from "../cgi/environ.ts";
import { hasNoBody, serializeHead } from "../cgi/response-head.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { FetchContext } from "./fetch-context.ts";
import { teachGlobals } from "./fetch-globals.ts";
import { makeFetchRequest } from "./fetch-request.ts";
import { lightParts } from "./fetch-response.ts";

export type FetchFunction = (request: Request, context: FetchContext) => Response | Promise<Response>;

/** A module or object with a fetch function. */
export interface FetchApplication {
  fetch: FetchFunction;
}

/** Serves a fetch application. */
export function fetchHandler(application: FetchApplication): Handler {
  teachGlobals();
  return (exchange: Exchange): void => {
    const context = new FetchContext(exchange);
    const request = makeFetchRequest(exchange, context);
    let result: Response | Promise<Response>;
    try {
      result = application.fetch(request, context);
    } catch (thrown) {
      // A thrown Response is an answer, as routers use it.
      if (!(thrown instanceof Response)) throw thrown;
      result = thrown;
    }
    if (result instanceof Response) send(exchange, result);
    else {
      Promise.resolve(result).then(
        (response) => send(exchange, response),
        (reason: unknown) => (reason instanceof Response ? send(exchange, reason) : exchange.fail(reason)),
      );
    }
  };
}

function send(exchange: Exchange, response: Response): void {
  if (exchange.isEnded) {
    // The web server gave up meanwhile: whatever feeds the body may stop.
    response.body?.cancel().catch(() => {});
    return;
  }
  try {
    const light = lightParts(response);
    const head = headOf(response, light?.headers);
    const { body } = light ?? response;
    if (typeof body === "string" || body instanceof Uint8Array) {
      exchange.respond(head, body);
    } else if (body === null) {
      exchange.sendHead(head);
      exchange.end();
    } else if (hasNoBody(method(exchange.params), response.status)) {
      body.cancel().catch(() => {});
      exchange.sendHead(head);
      exchange.end();
    } else {
      stream(exchange, head, body).catch((error: unknown) => exchange.fail(error));
    }
  } catch (error) {
    exchange.fail(error);
  }
}

/** @param known the headers, if they are at hand as a list */
function headOf(response: Response, known: readonly string[] | undefined): string {
  if (known === undefined && !isResponse(response)) {
    throw new AppError("ERR_POSTERN_BAD_APP", `fetch() returned ${describe(response)} instead of a Response`);
  }
  const { status } = response;
  if (status < 200) {
    const what = status === 0 ? "Response.error()" : `status ${status}`;
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD",
      `${what} cannot be sent: an answer has a status from 200`,
    );
  }
  return serializeHead(
    status,
    response.statusText || (STATUS_CODES[status] ?? ""),
    known ?? [...response.headers].flat(),
  );
}

async function stream(exchange: Exchange, head: string, body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  exchange.whenAborted((error) => {
    reader.cancel(error).catch(() => {}); // the source may fail on the way down: nobody is left to hear it
  });
  // A body that is there at once leaves together with the head; a slow one must not hold the head back.
  queueMicrotask(() => process.nextTick(() => exchange.sendHead(head)));
  for (;;) {
    const { done, value } = await reader.read();
    exchange.sendHead(head);
    if (done || exchange.isEnded) break;
    if (!(value instanceof Uint8Array)) {
      throw new AppError(
        "ERR_POSTERN_BAD_APP",
        `the body stream gave ${describe(value)} instead of a Uint8Array`,
      );
    }
    if (!exchange.sendBytes(value)) await flushed(exchange);
  }
  exchange.end();
}

function flushed(exchange: Exchange): Promise<void> {
  return new Promise((resolve) => exchange.afterFlush(() => resolve()));
}

/** Also a Response of another realm or copy of undici. */
function isResponse(value: unknown): value is Response {
  const response = value as Response | undefined | null;
  return typeof response?.status === "number" && typeof response.headers?.forEach === "function";
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === "object"
    ? `a ${value.constructor?.name ?? "null-prototype object"}`
    : `a ${typeof value}`;
}

// HOT
/**
 * Fetch applications, `{ fetch(request, context) }`: Hono, h3, Elysia-style, any module written for Workers, Bun or
 * Deno. The request is made lazily (see fetch-request.ts); the response is any standard Response, streamed both ways.
 */

import { AppError } from "../base/errors.ts";
import { STATUS_CODES } from "../base/node-http.ts";
import { method } from "../cgi/environ.ts";
import { hasNoBody, serializeHead } from "../cgi/response-head.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { FetchContext } from "./fetch-context.ts";
import { teachGlobals } from "./fetch-globals.ts";
import { makeFetchRequest } from "./fetch-request.ts";
import { Light, lightParts } from "./fetch-response.ts";
import { giveMemoryBack } from "./spare-memory.ts";
import { asAbortError } from "./streams.ts";

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
      if (!isResponse(thrown)) throw thrown;
      result = thrown;
    }
    if (result?.constructor === Light || result instanceof Response) send(exchange, result);
    else {
      Promise.resolve(result).then(
        (response) => send(exchange, response),
        (reason: unknown) => (isResponse(reason) ? send(exchange, reason) : exchange.fail(reason)),
      );
    }
  };
}

function send(exchange: Exchange, response: Response): void {
  if (exchange.isEnded) {
    // The web server gave up meanwhile: whatever feeds the body may stop.
    if (isResponse(response)) giveUp(response.body, exchange.abortError);
    return;
  }
  try {
    const light = lightParts(response);
    const head = headOf(response, light?.headers);
    const { body } = light ?? response;
    if (light === undefined && body !== null && isUsed(response)) throw new TypeError(USED);
    if (typeof body === "string" || body instanceof Uint8Array) {
      exchange.respond(head, body);
      if (light?.isSpare === true)
        exchange.afterFlush((error) => error ?? giveMemoryBack(body as Uint8Array));
    } else if (body === null) {
      exchange.sendHead(head);
      exchange.end();
    } else if (hasNoBody(method(exchange.params), response.status)) {
      giveUp(body, undefined);
      exchange.sendHead(head);
      exchange.end();
    } else {
      const source = toStream(body);
      const reader = source.getReader();
      stream(exchange, head, reader).catch((error: unknown) => {
        reader.cancel(error).catch(ignore); // of a source that failed itself nothing is left to cancel
        exchange.fail(error);
      });
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

async function stream(
  exchange: Exchange,
  head: string,
  reader: ReadableStreamDefaultReader<Uint8Array | string>,
): Promise<void> {
  exchange.whenAborted((error) => {
    reader.cancel(asAbortError(error)).catch(ignore); // the source may fail on the way down: nobody is left to hear it
  });
  // A body that is there at once leaves together with the head; a slow one must not hold the head back.
  queueMicrotask(() => process.nextTick(() => exchange.sendHead(head)));
  for (;;) {
    const { done, value } = await reader.read();
    exchange.sendHead(head);
    if (done || exchange.isEnded) break;
    // The standard has bytes only; Bun and srvx take text as well, and Elysia's generators give it.
    if (typeof value === "string") {
      if (!exchange.sendText(value, "utf8")) await flushed(exchange);
      continue;
    }
    if (!(value instanceof Uint8Array)) {
      throw new TypeError(`the body stream gave ${describe(value)} instead of a Uint8Array`);
    }
    if (!exchange.sendBytes(value)) await flushed(exchange);
  }
  exchange.end();
}

function flushed(exchange: Exchange): Promise<void> {
  return new Promise((resolve) => exchange.afterFlush(() => resolve()));
}

const USED = "the body of the Response was used already: clone() it before it is read, and return the clone";

/** Whether somebody has read the body, or is about to: what would be sent is not what was meant. */
function isUsed({ bodyUsed, body }: Response): boolean {
  return bodyUsed || body?.locked === true;
}

/** The body of a Response of another make (node-fetch) is a Node stream, which can be iterated over. */
function toStream(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array | string> {
  return typeof body.getReader === "function" ? body : ReadableStream.from(body as AsyncIterable<Uint8Array>);
}

/** Nobody wants the body. */
function giveUp(body: Response["body"], error: Error | undefined): void {
  if (body === null || body === undefined) return;
  const reason = error === undefined ? undefined : asAbortError(error);
  // One that is locked cannot be cancelled, and is somebody else's to end.
  if (typeof body.cancel === "function") body.cancel(reason).catch(ignore);
  else (body as { destroy?: (error?: Error) => void }).destroy?.(error);
}

function ignore(): void {}

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

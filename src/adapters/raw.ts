/**
 * Protocol-level programs and the roles that HTTP does not have: `{ raw }`, `{ authorizer }`, `{ filter }`.
 * They see a request as FastCGI has it; their response still keeps every promise to the web servers.
 */

import { type Readable, Writable } from "node:stream";
import { AppError } from "../base/errors.ts";
import { STATUS_CODES } from "../base/node-http.ts";
import { method, rawHeaders } from "../cgi/environ.ts";
import { hasNoBody, ResponseHeadParser, serializeHead } from "../cgi/response-head.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { FastCGISide } from "./side.ts";
import { inputStream } from "./streams.ts";

/** Serves one request at protocol level. A returned promise that rejects is a failure; end the response yourself. */
export type RawHandler = (request: FastCGIRequest, response: FastCGIResponse) => unknown;

/** Headers as an object (several values: an array) or as a flat list: name, value, name, value. */
export type RawHeaders = Readonly<Record<string, string | number | readonly string[]>> | readonly string[];

/** A request as FastCGI has it. */
export class FastCGIRequest extends FastCGISide {
  readonly #exchange: Exchange;
  #stdin: Readable | undefined = undefined;

  /** @internal */
  constructor(exchange: Exchange) {
    super(exchange);
    this.#exchange = exchange;
  }

  /** REQUEST_METHOD. */
  get method(): string {
    return method(this.#exchange.params);
  }
  /** Path inside the mount, and query, as the client sent them. */
  get url(): string {
    return this.#exchange.target.url;
  }
  /** The whole path and query, as the client sent them. */
  get originalUrl(): string {
    return this.#exchange.target.originalUrl;
  }
  /** Header names in lower case and values: name, value, name, value. */
  get headers(): readonly string[] {
    return rawHeaders(this.#exchange.params);
  }
  /** The request body. */
  get stdin(): Readable {
    this.#stdin ??= inputStream(this.#exchange.stdin);
    return this.#stdin;
  }
}

/** The answer to a {@link FastCGIRequest}. */
export class FastCGIResponse {
  readonly #exchange: Exchange;
  readonly #request: FastCGIRequest;
  #status = 0;
  #parser: ResponseHeadParser | undefined = undefined;
  /**
   * STDOUT with back-pressure. After {@link writeHead} it takes the body. Without it, it takes what a CGI program
   * prints: headers, an empty line, the body; the headers are checked and sent in one record.
   */
  readonly stdout: Writable;

  /** @internal */
  constructor(exchange: Exchange, request: FastCGIRequest) {
    this.#exchange = exchange;
    this.#request = request;
    this.stdout = new Writable({
      write: (chunk: Buffer, _encoding, callback) => this.#write(chunk, callback),
      final: (callback) => {
        exchange.end();
        callback();
      },
      destroy: (error, callback) => {
        if (!exchange.isEnded)
          exchange.fail(error ?? new AppError("ERR_POSTERN_RESPONSE_STATE", "stdout was destroyed"));
        callback(null);
      },
    });
  }

  /** The web server's error log. */
  get stderr(): Writable {
    return this.#request.stderr;
  }
  /** Whether the header block is out. */
  get headersSent(): boolean {
    return this.#exchange.isHeadSent;
  }

  /**
   * Sends the header block.
   * @throws {AppError} ERR_POSTERN_RESPONSE_STATE (sent already), ERR_POSTERN_RESPONSE_HEAD, ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE
   */
  writeHead(status: number, headers: RawHeaders = []): this {
    return this.#sendHead(status, STATUS_CODES[status] ?? "", flatten(headers));
  }

  /** Sends the last piece of the body, or none, and ends the request. */
  end(body?: string | Uint8Array): void {
    if (body === undefined) this.stdout.end();
    else this.stdout.end(body);
  }

  /**
   * Authorizer: lets the request pass. FastCGI 1.0 §6.3.
   * @param variables become parameters of the request that is let pass; the web server takes them from `Variable-NAME`
   */
  allow(variables: Readonly<Record<string, string>> = {}): void {
    const headers = Object.entries(variables).flatMap(([name, value]) => [`Variable-${name}`, value]);
    this.writeHead(200, headers).end();
  }

  /** Authorizer: refuses, with a page. @param status what the client gets; web servers may make 401 of it */
  deny(status = 403, headers: RawHeaders = [], body: string = STATUS_CODES[status] ?? "Refused"): void {
    this.writeHead(status, ["Content-Type", "text/plain; charset=utf-8", ...flatten(headers)]).end(
      `${body}\n`,
    );
  }

  #sendHead(status: number, reason: string, headers: readonly string[]): this {
    if (this.#exchange.abortError !== undefined) return this; // nobody is left to hear it
    if (this.#exchange.isHeadSent) {
      throw new AppError("ERR_POSTERN_RESPONSE_STATE", "the header block was sent already");
    }
    if (status < 200) {
      throw new AppError(
        "ERR_POSTERN_RESPONSE_HEAD",
        `status ${status} cannot be carried: an answer has 200 to 999`,
      );
    }
    const isAuthorizer = this.#request.role === "authorizer";
    this.#exchange.sendHead(serializeHead(status, reason, headers, isAuthorizer));
    this.#status = status;
    return this;
  }

  #write(chunk: Buffer, callback: (error?: Error | null) => void): void {
    const exchange = this.#exchange;
    let body = chunk;
    if (!exchange.isHeadSent) {
      try {
        const start = this.#readHead(chunk);
        body = start < 0 ? chunk.subarray(0, 0) : chunk.subarray(start);
      } catch (error) {
        callback(error as Error);
        return;
      }
    }
    if (body.length > 0 && !hasNoBody(this.#request.method, this.#status)) exchange.sendBytes(body);
    if (exchange.isCongested) exchange.afterFlush((error) => callback(error));
    else callback();
  }

  #readHead(chunk: Buffer): number {
    this.#parser ??= new ResponseHeadParser();
    const start = this.#parser.push(chunk);
    const { head } = this.#parser;
    if (head !== undefined)
      this.#sendHead(head.status, head.reason || (STATUS_CODES[head.status] ?? ""), head.headers);
    return start;
  }
}

/** Serves a raw handler, in any role. */
export function rawHandler(handler: RawHandler): Handler {
  return (exchange: Exchange): void => {
    const request = new FastCGIRequest(exchange);
    const response = new FastCGIResponse(exchange, request);
    const result = handler(request, response);
    if (typeof (result as PromiseLike<unknown> | null | undefined)?.then === "function") {
      (result as PromiseLike<unknown>).then(undefined, (error: unknown) => exchange.fail(error));
    }
  };
}

function flatten(headers: RawHeaders): readonly string[] {
  if (Array.isArray(headers)) return headers as readonly string[];
  return Object.entries(headers as Record<string, string | number | readonly string[]>).flatMap(
    ([name, value]) =>
      typeof value === "object" ? value.flatMap((one) => [name, one]) : [name, String(value)],
  );
}

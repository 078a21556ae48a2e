/**
 * One HTTP request passed to the application, and its answer passed back.
 *
 *     request ──> target, mount ──> file? ──> script ──> parameters ──> pool.request ──> head ──> body
 *        each step may end it with a page; after the head only hanging up is left
 *
 * Invariants: 1. nothing of an answer is sent that has not been checked; 2. an answer that is not whole never looks
 * whole: the client's connection is cut; 3. a client that leaves is an abort at the application.
 */

import { isLoopback } from "../base/address.ts";
import { PosternError } from "../base/errors.ts";
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "../base/node-http.ts";
import { escapeControls, oneLine } from "../base/text.ts";
import { errorPage } from "../cgi/error-page.ts";
import {
  type Pair,
  paramsFromHttp,
  parseTarget,
  type Refusal,
  type Script,
  splitMount,
  splitScript,
  type Target,
} from "../cgi/from-http.ts";
import { hasNoBody, isHopByHop } from "../cgi/response-head.ts";
import { type ClientResponse, fieldValues } from "../client/response.ts";
import type { AccessEntry, ResolvedGateway } from "./options.ts";
import { collectBody, drainRequest, hasBody, limitBody } from "./request-body.ts";

/** Internal redirects followed for one request; more are a loop. RFC 3875 §6.2.2. */
const MAX_LOCAL_REDIRECTS = 5;
/** Characters of one line of STDERR that are logged. */
const MAX_LOGGED_LINE = 2000;
/** Lines of STDERR logged per request; a program in a loop must not fill the disk. */
const MAX_LOGGED_LINES = 200;

/** An end of a request that is not the application's answer. */
class Stop extends Error {
  readonly status: number;
  /** @param message what the client may read */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class Forward {
  readonly #gateway: ResolvedGateway;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #abort = new AbortController();
  readonly #startedAt: number = performance.now();
  #bodyBytes = 0;
  #stderrLine = "";
  #stderrLines = 0;
  #error: Error | undefined = undefined;

  constructor(gateway: ResolvedGateway, req: IncomingMessage, res: ServerResponse) {
    this.#gateway = gateway;
    this.#req = req;
    this.#res = res;
    res.on("close", () => this.#onClose());
    res.on("error", () => {}); // 'close' follows
    req.on("error", () => {});
  }

  /** Answers the request. Never rejects. */
  async run(): Promise<void> {
    try {
      await this.#answer();
    } catch (error) {
      this.#refuse(error);
    }
    drainRequest(this.#req, this.#res);
  }

  async #answer(): Promise<void> {
    const target = accepted(parseTarget(this.#req.url ?? ""));
    const { script, isFile } = await this.#locate(target);
    if (isFile) return;
    const length = Number(this.#req.headers["content-length"] ?? 0);
    const { maxBodyBytes, maxCollectedBytes } = this.#gateway;
    if (maxBodyBytes > 0 && length > maxBodyBytes) throw this.#bodyTooLarge();
    let stdin: IncomingMessage | Buffer | undefined = hasBody(this.#req) ? this.#req : undefined;
    let contentLength: number | undefined;
    if (stdin !== undefined && this.#req.headers["content-length"] === undefined && maxCollectedBytes > 0) {
      stdin = await collectBody(this.#req, maxCollectedBytes);
      if (stdin === undefined) throw new Stop(411, "Send the length of the body (Content-Length).");
      contentLength = stdin.length;
    } else if (stdin !== undefined && maxBodyBytes > 0) {
      limitBody(this.#req, maxBodyBytes, () => this.#abort.abort(this.#bodyTooLarge()));
    }
    const response = await this.#ask(this.#req.method ?? "GET", target, script, stdin, contentLength);
    await this.#send(response);
  }

  /** The script of a path, or a file that was sent at once. */
  async #locate(target: Target): Promise<{ script: Script; isFile: boolean }> {
    const gateway = this.#gateway;
    const mounted = splitMount(target.path, gateway.mount);
    if (mounted === undefined) throw new Stop(404, `Nothing is served outside ${gateway.mount}.`);
    const { files, php } = gateway;
    const script = this.#script(mounted);
    // A file goes before the application, but never before the script of its own name.
    const isScript = php !== undefined && script !== undefined && script.pathInfo !== mounted.pathInfo;
    if (
      files !== undefined &&
      !isScript &&
      (await files.serve(this.#req, this.#res, mounted.pathInfo, target.path))
    ) {
      return { script: mounted, isFile: true };
    }
    if (script === undefined) throw new Stop(404, "There is no such page.");
    return { script, isFile: false };
  }

  #script(mounted: Script): Script | undefined {
    const { documentRoot = "", php } = this.#gateway;
    if (php === undefined) return mounted;
    const found = splitScript(mounted.pathInfo || "/", documentRoot, php);
    return found && { ...found, scriptName: mounted.scriptName + found.scriptName };
  }

  /** Asks the application, following internal redirects. */
  async #ask(
    method: string,
    first: Target,
    script: Script,
    stdin: IncomingMessage | Buffer | undefined,
    contentLength: number | undefined,
  ): Promise<ClientResponse> {
    let response = await this.#request(this.#params(method, first, script, contentLength), stdin);
    for (let hops = 0; response.localRedirect !== undefined; hops++) {
      const path = response.localRedirect;
      response.body.destroy();
      if (hops === MAX_LOCAL_REDIRECTS)
        throw new Stop(502, `The application redirects in a circle (${path}).`);
      const target = accepted(parseTarget(path), 502);
      const mounted = splitMount(target.path, this.#gateway.mount);
      const next = mounted && this.#script(mounted);
      if (next === undefined) throw new Stop(404, "There is no such page.");
      // As if the client had asked for it: a GET without the body, which the first program has had.
      const params = this.#params(method === "HEAD" ? "HEAD" : "GET", target, next, 0);
      response = await this.#request(params, undefined);
    }
    return response;
  }

  #params(method: string, target: Target, script: Script, contentLength: number | undefined): Pair[] {
    const { socket, httpVersion, rawHeaders } = this.#req;
    const { software, documentRoot, underscoreHeaders, params } = this.#gateway;
    const request = {
      method,
      target: target.uri,
      httpVersion,
      rawHeaders,
      remoteAddress: socket.remoteAddress,
      remotePort: socket.remotePort,
      localAddress: socket.localAddress,
      localPort: socket.localPort,
      isEncrypted: "encrypted" in socket,
    };
    const extra = params(this.#req);
    const mapping = { software, script, documentRoot, underscoreHeaders, contentLength, extra };
    const pairs = paramsFromHttp(request, target, mapping);
    if ("refusal" in pairs) throw new Stop(400, sentence(pairs.refusal));
    return pairs;
  }

  #request(params: Pair[], stdin: IncomingMessage | Buffer | undefined): Promise<ClientResponse> {
    return this.#gateway.pool.request({
      params,
      stdin,
      signal: this.#abort.signal,
      onStderr: (chunk) => this.#logStderr(chunk),
      onInterim: (status, headers) => this.#sendHints(status, headers),
    });
  }

  async #send(response: ClientResponse): Promise<void> {
    const res = this.#res;
    const { status } = response;
    if (status === 101) {
      response.body.destroy();
      throw new Stop(502, "The application answered with a tunnel, which this gateway cannot pass on.");
    }
    const isEmpty = hasNoBody(this.#req.method ?? "GET", status);
    const headers = responseHeaders(response.headers, status);
    res.writeHead(status, response.statusText || (STATUS_CODES[status] ?? ""), headers);
    // The head goes with the first of the body, unless that keeps us waiting.
    const flush = setImmediate(() => {
      if (this.#bodyBytes === 0 && !res.destroyed) res.flushHeaders();
    });
    try {
      await this.#copy(response, isEmpty);
    } finally {
      clearImmediate(flush);
    }
  }

  /** Passes the body on at the client's pace, and ends the response only if it is whole. */
  async #copy(response: ClientResponse, isEmpty: boolean): Promise<void> {
    const res = this.#res;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      this.#bodyBytes += chunk.length;
      if (!res.write(chunk) && !res.destroyed) await drained(res, this.#gateway.sendTimeoutMs);
    }
    const { appStatus } = await response.ended.catch(() => ({ appStatus: 0 })); // the body was whole without it
    if (appStatus !== 0 && !isEmpty && response.header("content-length") === undefined) {
      // Nothing but the app status says whether the program finished its answer.
      throw new Error(
        `the application ended with app status ${appStatus} and no Content-Length: its answer may be cut`,
      );
    }
    res.end();
  }

  #sendHints(status: number, headers: readonly string[]): void {
    if (status !== 103 || this.#res.headersSent || this.#req.httpVersion !== "1.1") return;
    const link = fieldValues(headers, "link");
    if (link.length === 0) return;
    try {
      this.#res.writeEarlyHints({ link });
    } catch {
      // Node is particular about Link; a hint that cannot be passed on is no loss.
    }
  }

  /** Something went wrong: a page while that is possible, else the end of the connection. */
  #refuse(error: unknown): void {
    const res = this.#res;
    const reason: unknown = this.#abort.signal.aborted ? this.#abort.signal.reason : error;
    this.#error ??= reason instanceof Error ? reason : new Error(String(reason));
    const { status, title, text } = this.#page(reason);
    if (status >= 500) {
      const request = { method: this.#req.method, target: this.#req.url, status };
      this.#gateway.logger.error({ ...request, error: oneLine(reason) }, "request failed");
    }
    if (res.destroyed) return;
    if (res.headersSent) {
      res.destroy();
      return;
    }
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    const { body } = errorPage(status, title, text);
    res.writeHead(status, title, {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Length": Buffer.byteLength(body),
      "Cache-Control": "no-store",
      ...(status === 503 && { "Retry-After": "1" }),
      ...(status === 408 && { Connection: "close" }),
    });
    const isHead = this.#req.method === "HEAD";
    if (!isHead) this.#bodyBytes = body.length;
    res.end(isHead ? undefined : body);
  }

  #page(error: unknown): { status: number; title: string; text: string } {
    const { status, text } = explain(error);
    const mayKnow = this.#gateway.development && isLoopback(this.#req.socket.remoteAddress ?? "?");
    const detail =
      mayKnow && error instanceof Error && !(error instanceof Stop) ? `\n\n${error.message}` : "";
    return { status, title: STATUS_CODES[status] ?? "Error", text: text + detail };
  }

  #bodyTooLarge(): Stop {
    return new Stop(413, `A request body may have ${this.#gateway.maxBodyBytes} bytes.`);
  }

  /** Each whole line is one message; the logger gets no control characters. */
  #logStderr(chunk: Buffer): void {
    if (this.#stderrLines >= MAX_LOGGED_LINES) return;
    const lines = (this.#stderrLine + chunk.toString("utf8")).split("\n");
    this.#stderrLine = lines.pop()!;
    for (const line of lines) this.#logLine(line);
    if (this.#stderrLine.length > MAX_LOGGED_LINE) this.#flushStderr();
  }

  #flushStderr(): void {
    this.#logLine(this.#stderrLine);
    this.#stderrLine = "";
  }

  #logLine(line: string): void {
    const text = escapeControls(line.trimEnd().slice(0, MAX_LOGGED_LINE));
    if (text === "" || ++this.#stderrLines > MAX_LOGGED_LINES) return;
    this.#gateway.logger.warn({ method: this.#req.method, target: this.#req.url }, `application: ${text}`);
  }

  /** The response is over, one way or the other. */
  #onClose(): void {
    const req = this.#req;
    const res = this.#res;
    const isLeft = !res.writableFinished;
    if (isLeft) {
      this.#error ??= new PosternError("ERR_POSTERN_ABORTED", "the client left before the end of the answer");
      this.#abort.abort(this.#error);
    }
    this.#flushStderr();
    const entry: AccessEntry = {
      remoteAddress: req.socket.remoteAddress,
      method: req.method ?? "",
      target: req.url ?? "",
      httpVersion: req.httpVersion,
      status: isLeft && !res.headersSent ? 499 : res.statusCode,
      bodyBytes: this.#bodyBytes || fileBytes(req, res),
      durationMs: performance.now() - this.#startedAt,
      referer: req.headers.referer,
      userAgent: req.headers["user-agent"],
      error: this.#error,
    };
    try {
      this.#gateway.onAccess?.(entry);
    } catch (error) {
      this.#gateway.logger.error({ error: oneLine(error) }, "onAccess failed");
    }
  }
}

/** Body bytes of a static file, whose length is known to the response. An application's is counted instead. */
function fileBytes(req: IncomingMessage, res: ServerResponse): number {
  return req.method === "GET" && res.statusCode < 300 ? Number(res.getHeader("content-length") ?? 0) : 0;
}

function accepted(target: Target | Refusal, status = 400): Target {
  if ("refusal" in target) throw new Stop(status, sentence(target.refusal));
  return target;
}

/** Headers as Node takes them, those of one connection left out. */
function responseHeaders(headers: readonly string[], status: number): string[] {
  const kept: string[] = [];
  let length: string | undefined;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index]!.toLowerCase();
    if (name === "content-length") length ??= headers[index + 1]!;
    else if (!isHopByHop(name)) kept.push(headers[index]!, headers[index + 1]!);
  }
  // Last: behind a length, Node reads Content-Disposition as UTF-8, and refuses what is not.
  if (length !== undefined && status !== 204) kept.push("Content-Length", length);
  return kept;
}

/** What a client may know about a failure. */
function explain(error: unknown): { status: number; text: string } {
  if (error instanceof Stop) return { status: error.status, text: error.message };
  switch (error instanceof PosternError ? error.code : undefined) {
    case "ERR_POSTERN_ABORTED":
      return { status: 400, text: "The request was not complete." };
    case "ERR_POSTERN_CONNECT":
      return { status: 502, text: "The application cannot be reached." };
    case "ERR_POSTERN_REQUEST_TIMEOUT":
      return { status: 408, text: "The request body did not arrive in time." };
    case "ERR_POSTERN_CLIENT_TIMEOUT":
      return { status: 504, text: "The application did not answer in time." };
    case "ERR_POSTERN_CLIENT_LIMIT":
    case "ERR_POSTERN_CLIENT_CLOSED":
    case "ERR_POSTERN_REQUEST_REFUSED":
      return { status: 503, text: "The application is busy. Try again in a moment." };
    default:
      return { status: 502, text: "The application did not answer properly." };
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Waits until the response takes more, or is closed: by us if the client takes nothing for `timeoutMs`. */
function drained(res: ServerResponse, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const { socket } = res;
    const before = socket?.timeout ?? 0;
    if (timeoutMs > 0) socket?.setTimeout(timeoutMs); // node:http destroys it then; what moves at all counts
    const done = (): void => {
      socket?.setTimeout(before);
      res.off("drain", done);
      res.off("close", done);
      resolve();
    };
    res.on("drain", done);
    res.on("close", done);
  });
}

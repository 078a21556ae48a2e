/**
 * One request in flight on a connection: its head, body, STDERR, deadline and abort.
 *
 *     HEAD ──final head──> BODY ──END_REQUEST──> DONE
 *      └── END_REQUEST, lost, late, aborted, malformed ──> DONE (the promise or the body fails)
 *
 * A body is whole when END_REQUEST says so, or when Content-Length is satisfied; the end of STDOUT alone does not
 * prove that the application finished.
 */
import { type ErrorCode, type ErrorScope, PosternError, RemoteProtocolError } from "../base/errors.ts";
import { clip, escapeControls } from "../base/text.ts";
import { hasNoBody, type ResponseHead, ResponseHeadParser } from "../cgi/response-head.ts";
import { ProtocolStatus } from "../protocol/records.ts";
import type { AnswerSink } from "../protocol/web-connection.ts";
import { type BodySource, ResponseBody } from "./body.ts";
import type { RequestOptions, ResolvedClientOptions } from "./options.ts";
import { ClientResponse, fieldValues, type RequestEnd } from "./response.ts";

/** The connection a call runs on. */
export interface CallHost {
  /** The body is full, or is not any more: stop or go on reading the socket. */
  hold(call: Call, isFull: boolean): void;
  /** Whether the socket is not being read, because some reader is slow. */
  isHeld(): boolean;
  /** Gives the request up. */
  abort(call: Call): void;
  /** Whether the request's own input is what everything waits for. */
  awaitsInput(call: Call): boolean;
}

/** The application hung up before it sent a single byte in answer: the request may be safe to repeat. */
export class UnansweredError extends RemoteProtocolError {}

const HEAD = 0;
const BODY = 1;
const DONE = 2;

/** Characters of STDERR quoted in an error message. */
const QUOTED_STDERR = 300;

export class Call implements AnswerSink, BodySource {
  readonly response: Promise<ClientResponse>;
  readonly #host: CallHost;
  readonly #options: ResolvedClientOptions;
  readonly #request: RequestOptions;
  readonly #method: string;
  readonly #timeoutMs: number;
  readonly #ended: Promise<RequestEnd>;
  #resolve!: (response: ClientResponse) => void;
  #reject!: (error: unknown) => void;
  #resolveEnd!: (end: RequestEnd) => void;
  #rejectEnd!: (error: unknown) => void;
  #state: number = HEAD;
  readonly #head: ResponseHeadParser;
  #body: ResponseBody | undefined = undefined;
  #expected = Number.POSITIVE_INFINITY; // body bytes announced
  #received = 0; // body bytes that came
  #isBodyless = false;
  #stderr: Buffer[] = [];
  #stderrBytes = 0;
  #isAnswered = false;
  #timer: NodeJS.Timeout | undefined = undefined;
  #progressAt = 0;

  constructor(host: CallHost, options: ResolvedClientOptions, request: RequestOptions, method: string) {
    this.#host = host;
    this.#options = options;
    this.#request = request;
    this.#method = method;
    this.#timeoutMs = request.timeoutMs ?? options.timeoutMs;
    this.#head = new ResponseHeadParser({
      maxHeadBytes: options.maxHeadBytes,
      maxHeaders: options.maxHeaders,
    });
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#resolveEnd = resolve;
      this.#rejectEnd = reject;
    });
    this.#ended.catch(() => {}); // looking at it is optional
  }

  /** The request is on its way: watch its deadline and its signal. */
  start(): void {
    const signal = this.#request.signal;
    signal?.addEventListener("abort", this.#onSignal);
    if (this.#timeoutMs > 0) {
      this.#progressAt = performance.now();
      this.#timer = setTimeout(this.#onTimer, this.#timeoutMs);
    }
  }

  /** Bytes moved, one way or the other. */
  progress(): void {
    if (this.#timeoutMs > 0) this.#progressAt = performance.now();
  }

  /** Fails the call and gives the request up. */
  cancel(error: unknown): void {
    if (this.#state === DONE) return;
    this.#fail(error);
    this.#host.abort(this);
  }

  // AnswerSink

  onStdout(chunk: Buffer, start: number, end: number): void {
    this.#isAnswered = true;
    this.progress();
    let at = start;
    if (this.#state === HEAD) {
      try {
        at = this.#readHead(chunk, start, end);
      } catch (error) {
        this.cancel(this.#malformed(error));
        return;
      }
    }
    if (this.#state === BODY && at < end) this.#addBody(chunk.subarray(at, end));
  }

  onStdoutEnd(): void {
    this.progress();
  }

  onStderr(chunk: Buffer, start: number, end: number): void {
    this.#isAnswered = true;
    this.progress();
    this.#request.onStderr?.(chunk.subarray(start, end));
    const room = this.#options.maxStderrBytes - this.#stderrBytes;
    this.#stderrBytes += end - start;
    // Copied: a kept piece must not keep the whole chunk it came in.
    if (room > 0) this.#stderr.push(Buffer.from(chunk.subarray(start, Math.min(end, start + room))));
  }

  onEnd(appStatus: number, protocolStatus: ProtocolStatus): void {
    if (this.#state === HEAD) {
      this.#fail(this.#unanswered(appStatus, protocolStatus));
    } else if (this.#isCut) {
      this.#fail(this.#error("ERR_POSTERN_RESPONSE_CUT", this.#shortMessage(), "request"));
    } else {
      this.#finish();
      this.#body?.complete();
      this.#resolveEnd({ appStatus, protocolStatus });
    }
  }

  onError(error: Error): void {
    if (this.#state === DONE) return;
    if (this.#state === BODY && this.#received === this.#expected) {
      // The connection broke after the whole body: only the statuses are missing.
      this.#finish();
      this.#body?.complete();
      this.#rejectEnd(error);
    } else if (!this.#isAnswered && (error as PosternError).code === "ERR_POSTERN_RESPONSE_CUT") {
      const { message, cause } = error;
      this.#fail(new UnansweredError("ERR_POSTERN_RESPONSE_CUT", message, "connection", { cause }));
    } else {
      this.#fail(error);
    }
  }

  // BodySource

  onBodyRead(): void {
    this.#host.hold(this, false);
  }

  onBodyDropped(error: Error | null): void {
    this.cancel(
      error ?? new PosternError("ERR_POSTERN_ABORTED", "the response body was destroyed before its end"),
    );
  }

  /** Reads heads until the final one; returns where the body starts, `end` when there is none yet. */
  #readHead(chunk: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      at = this.#head.push(chunk, at, end);
      if (at < 0) return end;
      const head = this.#head.head!;
      if (head.status >= 200 || head.status === 101) {
        this.#open(head);
        return at;
      }
      this.#request.onInterim?.(head.status, head.headers);
      this.#head.reset();
    }
    return at;
  }

  #open(head: ResponseHead): void {
    this.#isBodyless = hasNoBody(this.#method, head.status);
    const length = fieldValues(head.headers, "content-length")[0]; // the parser let one number through, or none
    this.#expected = this.#isBodyless ? 0 : length === undefined ? Number.POSITIVE_INFINITY : Number(length);
    this.#state = BODY;
    this.#body = new ResponseBody(this, this.#options.maxUnreadBytes);
    this.#resolve(new ClientResponse(head, this.#body, this.#ended, () => this.#stderrText()));
  }

  #addBody(piece: Buffer): void {
    const body = this.#body!;
    if (this.#isBodyless) return;
    this.#received += piece.length;
    const excess = this.#received - this.#expected;
    if (excess <= 0) {
      body.add(piece);
      if (body.isFull) this.#host.hold(this, true);
      return;
    }
    // More than announced: passing it on would let it be taken for the next response.
    if (piece.length > excess) body.add(piece.subarray(0, piece.length - excess));
    const message = `the application sent more than its Content-Length of ${this.#expected} bytes`;
    this.cancel(this.#error("ERR_POSTERN_RESPONSE_MALFORMED", message, "request"));
  }

  get #isCut(): boolean {
    return this.#received < this.#expected && Number.isFinite(this.#expected);
  }

  #shortMessage(): string {
    return `the application announced ${this.#expected} bytes and sent ${this.#received}`;
  }

  /** END_REQUEST came without a head. */
  #unanswered(appStatus: number, protocolStatus: ProtocolStatus): RemoteProtocolError {
    const refused = (why: string): RemoteProtocolError =>
      this.#error("ERR_POSTERN_REQUEST_REFUSED", why, "request");
    switch (protocolStatus) {
      case ProtocolStatus.Overloaded:
        return refused("the application refused the request: it is overloaded (FCGI_OVERLOADED)");
      case ProtocolStatus.CannotMultiplex:
        return refused("the application refused the request: it cannot multiplex (FCGI_CANT_MPX_CONN)");
      case ProtocolStatus.UnknownRole:
        return refused("the application refused the request: it does not play this role (FCGI_UNKNOWN_ROLE)");
      default: {
        const message = `the application ended the request with app status ${appStatus}: ${this.#incomplete()}`;
        return this.#error("ERR_POSTERN_RESPONSE_MALFORMED", message, "request");
      }
    }
  }

  /** What the parser thinks of a head that ends here. */
  #incomplete(): string {
    try {
      this.#head.end();
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  }

  #malformed(error: unknown): unknown {
    if (!(error instanceof RemoteProtocolError)) return error;
    return this.#error(error.code, error.message, error.scope, error);
  }

  #error(code: ErrorCode, message: string, scope: ErrorScope, cause?: unknown): RemoteProtocolError {
    const said = this.#stderrText().trim();
    const quoted = said === "" ? "" : `; it wrote on stderr: ${clip(escapeControls(said), QUOTED_STDERR)}`;
    return new RemoteProtocolError(
      code,
      message + quoted,
      scope,
      cause === undefined ? undefined : { cause },
    );
  }

  #stderrText(): string {
    const text = Buffer.concat(this.#stderr).toString("utf8");
    const dropped = this.#stderrBytes - this.#options.maxStderrBytes;
    return dropped > 0 ? `${text}… (${dropped} more bytes)` : text;
  }

  #fail(error: unknown): void {
    const state = this.#state;
    if (state === DONE) return;
    this.#finish();
    this.#rejectEnd(error);
    if (state === HEAD) this.#reject(error);
    else this.#body!.fail(asError(error));
  }

  #finish(): void {
    this.#state = DONE;
    clearTimeout(this.#timer);
    this.#request.signal?.removeEventListener("abort", this.#onSignal);
    this.#host.hold(this, false);
  }

  readonly #onSignal = (): void => {
    const reason: unknown = this.#request.signal!.reason;
    this.cancel(reason);
    // What has arrived is of no interest any more: it is dropped, not delivered first.
    this.#body?.destroy(asError(reason));
  };

  readonly #onTimer = (): void => {
    const idle = performance.now() - this.#progressAt;
    if (this.#host.isHeld()) {
      this.#timer = setTimeout(this.#onTimer, this.#timeoutMs); // our reader is slow, not the application
    } else if (idle < this.#timeoutMs - 1) {
      this.#timer = setTimeout(this.#onTimer, this.#timeoutMs - idle);
    } else if (this.#host.awaitsInput(this)) {
      const message = `the request body did not go on for ${this.#timeoutMs} ms`;
      this.cancel(new PosternError("ERR_POSTERN_REQUEST_TIMEOUT", message));
    } else {
      const what = this.#state === HEAD ? "no response head" : "no more of the response body";
      const message = `${what} from ${this.#options.name} for ${this.#timeoutMs} ms`;
      this.cancel(this.#error("ERR_POSTERN_CLIENT_TIMEOUT", message, "request"));
    }
  };
}

function asError(reason: unknown): Error {
  if (reason instanceof Error) return reason;
  return new PosternError("ERR_POSTERN_ABORTED", `the request was aborted: ${String(reason)}`, {
    cause: reason,
  });
}

// HOT
/**
 * One request being served, both directions, as adapters see it: parameters and target in, input streams in,
 * header block and body out. It knows FastCGI and CGI, but no application interface.
 *
 *     RUNNING --sendHead--> HEAD_SENT --end--> ENDED        end() without a head sends a 500 page first
 *        └────────── abort / cut ──────────> ENDED          whatever is written afterwards is dropped
 *
 * Invariants: 1. the header block leaves in one record, first (web-servers rule 2); 2. END_REQUEST never goes out
 * without a header block, unless the web server aborted (rule 3); 3. a body that was cut never looks whole.
 */
import { AppError, RemoteProtocolError } from "../base/errors.ts";
import type { LogFields } from "../base/log.ts";
import { oneLine } from "../base/text.ts";
import { announcedLength, announcesUpgrade, type ParamSource } from "../cgi/environ.ts";
import { errorPage } from "../cgi/error-page.ts";
import { throughHops } from "../cgi/forwarded.ts";
import { resolveTarget, type Target } from "../cgi/mount.ts";
import type { AppConnection } from "../protocol/app-connection.ts";
import type { AppRequest, RequestSink } from "../protocol/app-request.ts";
import type { Params } from "../protocol/params.ts";
import { ProtocolStatus, Role } from "../protocol/records.ts";
import type { HostOf, WatcherOf } from "./exchange-host.ts";
import { describeFailure, failurePage, isInvalidRequest, urlForLog } from "./failure.ts";
import { Input, type InputHost } from "./input.ts";
import type { ResolvedOptions } from "./options.ts";
import { type Settling, settleNextTurn } from "./settle.ts";
import type { Tally } from "./tally.ts";

/** Serves one request. Whatever it throws becomes a 500. */
export type Handler = (exchange: Exchange) => void;

export type ExchangeHost = HostOf<Exchange>;
export type ExchangeWatcher = WatcherOf<Exchange>;

const RUNNING = 0;
const HEAD_SENT = 1;
const ENDED = 2;

export class Exchange implements RequestSink, InputHost, Settling {
  readonly #host: ExchangeHost;
  readonly #app: AppConnection;
  readonly #request: AppRequest;
  /** The body; or, of a tunnel, what the client says. */
  stdin: Input;
  /** FCGI_DATA; read by filters only. */
  readonly data: Input | undefined;
  readonly params: Params;
  /** The parameters about the client, as `trustProxy` lets them be seen. */
  readonly client: ParamSource;
  /** What {@link end} reports when it is not told: the exit code of the request. */
  appStatus = 0;
  /** Whether the answer is corked: what is sent waits for {@link release}, or the end. */
  isHeld = false;
  /** Whether the client asks to leave HTTP and sends no body. */
  readonly isUpgrade: boolean;
  readonly #number: number;
  #state: number = RUNNING;
  #target: Target | undefined = undefined;
  #expected: number; // announced body bytes, -1 when unknown
  #received = 0; // body bytes that arrived
  #isTunnel = false;
  #inputError: RemoteProtocolError | undefined = undefined; // why the body is not whole
  #abortError: Error | undefined = undefined;
  #abortListeners: ((error: Error) => void)[] | undefined = undefined;
  watcher: ExchangeWatcher | undefined = undefined;
  tally: Tally | undefined = undefined; // of a request that is observed
  /** When the sweep first saw this request stall its siblings, in ms of the server's clock; 0 when it does not. */
  stalledSince = 0;

  constructor(host: ExchangeHost, request: AppRequest) {
    this.#host = host;
    this.#app = host.app;
    this.#request = request;
    this.params = request.params;
    const { trustProxy } = host.options;
    this.client = trustProxy === undefined ? request.params : throughHops(request.params, trustProxy);
    this.#number = host.server.nextNumber();
    this.stdin = new Input(this);
    this.data = request.role === Role.Filter ? new Input(this) : undefined;
    // mod_fastcgi tells an authorizer the length of a body that goes to the responder.
    this.#expected = request.role === Role.Authorizer ? -1 : (announcedLength(request.params) ?? -1);
    this.isUpgrade = this.#expected <= 0 && announcesUpgrade(request.params);
    if (this.isUpgrade) {
      // lighttpd ends the STDIN of such a request only with the connection: the application must not wait for it.
      this.#expected = 0;
      this.stdin.end();
    }
  }

  get role(): Role {
    return this.#request.role;
  }

  /** The FastCGI request id; not unique among requests. */
  get requestId(): number {
    return this.#request.id;
  }

  /** Names this request in logs: unique on this machine while the process lives. */
  get id(): string {
    return `${process.pid}-${this.#number}`;
  }

  get options(): ResolvedOptions {
    return this.#host.options;
  }

  /** Mount and path, worked out on first use. */
  get target(): Target {
    let target = this.#target;
    if (target === undefined) {
      target = resolveTarget(this.params, this.#host.options.mount);
      this.#target = target;
      if (target.warning !== undefined) this.#host.server.warnOnce(target.rule, target.warning);
    }
    return target;
  }

  /** Whether the header block is out. */
  get isHeadSent(): boolean {
    return this.#state !== RUNNING;
  }

  /** Whether the answer is complete, or will never be. */
  get isEnded(): boolean {
    return this.#state === ENDED;
  }

  /** Whether a tunnel can be opened: the web server keeps STDIN open, and nothing was answered. */
  get canTunnel(): boolean {
    return this.isUpgrade && this.#state === RUNNING && !this.#request.inputEnded;
  }

  /** Sends the header block of a 101: from now on STDIN and STDOUT carry what both sides say, see tunnels.ts. */
  openTunnel(head: string): void {
    this.#isTunnel = true;
    this.stdin = new Input(this); // the one before has ended: there is no body
    this.#expected = -1;
    if (this.tally !== undefined) this.tally.head = head;
    this.watcher?.onEnded(this);
    this.watcher = this.#host.server.tunnels.add(this);
    this.sendHead(head);
  }

  /** Why the request was aborted; undefined while it was not. */
  get abortError(): Error | undefined {
    return this.#abortError;
  }

  /** Whether writing more would only pile up: wait for {@link afterFlush}. */
  get isCongested(): boolean {
    return this.#host.isCongested;
  }

  /** Bytes that the web server has not taken yet, of all requests of the connection. */
  get backlogBytes(): number {
    return this.#host.backlogBytes;
  }

  /** Takes the cork off: what was sent meanwhile leaves in this turn. */
  release(): void {
    this.isHeld = false;
    this.#host.scheduleFlush();
  }

  /** Calls `listener` when the web server gives up on the request or its connection is lost, at most once. */
  whenAborted(listener: (error: Error) => void): void {
    if (this.#abortError !== undefined) listener(this.#abortError);
    else if (this.#abortListeners === undefined) this.#abortListeners = [listener];
    else this.#abortListeners.push(listener);
  }

  /** Sends the header block: latin1, ended by an empty line, at most 65528 characters. */
  sendHead(head: string): void {
    if (this.#state !== RUNNING) return;
    this.#state = HEAD_SENT;
    if (this.tally !== undefined) this.tally.head = head;
    this.#app.writeHead(this.#request, head);
    if (!this.isHeld) this.#host.scheduleFlush();
  }

  /** Sends a piece of the body as text. Returns false when more would pile up. */
  sendText(text: string, encoding: BufferEncoding): boolean {
    if (this.#state === HEAD_SENT) {
      if (this.tally !== undefined) this.tally.sentBytes += Buffer.byteLength(text, encoding);
      this.#app.writeText(this.#request, text, encoding);
      if (!this.isHeld) this.#host.scheduleFlush();
    }
    return !this.#host.isCongested;
  }

  /** Sends a piece of the body; the bytes must not change until {@link afterFlush}. Returns false when more would pile up. */
  sendBytes(bytes: Uint8Array): boolean {
    if (this.#state === HEAD_SENT) {
      if (this.tally !== undefined) this.tally.sentBytes += bytes.length;
      this.#app.writeBytes(this.#request, bytes);
      if (!this.isHeld) this.#host.scheduleFlush();
    }
    return !this.#host.isCongested;
  }

  /** Writes to the web server's error log. Control characters are the caller's to escape. */
  sendStderr(text: string): void {
    if (this.#state === ENDED) return;
    this.#app.writeStderr(this.#request, text);
    this.#host.scheduleFlush();
  }

  /** Calls back once everything sent so far is with the kernel. */
  afterFlush(callback: (error?: Error) => void): void {
    this.#host.afterFlush(callback);
  }

  /** Completes the answer. Work may go on afterwards. */
  end(
    appStatus: number = this.appStatus,
    protocolStatus: ProtocolStatus = ProtocolStatus.RequestComplete,
  ): void {
    if (this.#state === ENDED) return;
    if (this.#state === RUNNING) {
      this.fail(
        new AppError("ERR_POSTERN_RESPONSE_STATE", "the application ended the request without a response"),
      );
      return;
    }
    if (this.#over() && !this.#app.multiplexes) this.#app.finish();
    // Who reads the body may go on after the answer, also who begins to in this turn: `res.end(); for await (… of req)`.
    const isBeingRead = this.stdin.isBeingRead || this.data?.isBeingRead === true;
    const readsOn = isBeingRead || this.stdin.hasMore || this.data?.hasMore === true;
    this.#app.end(this.#request, appStatus, protocolStatus, readsOn);
    if (this.#request.keepConn && this.#app.isFinished) this.#host.sayGoodbye(this);
    // Of an input that was empty nothing is left to drop, even if `stdin` has not heard of its end yet.
    const wasEmpty = this.#request.inputEnded && this.data === undefined && this.stdin.queuedBytes === 0;
    if (readsOn && !isBeingRead && !wasEmpty) settleNextTurn(this);
    this.#host.flushAnswer();
  }

  /** Drops what nobody has begun to read in the turn of the answer. */
  settle(): void {
    if (this.stdin.hasMore && !this.stdin.isBeingRead) this.stdin.discard();
    if (this.data?.hasMore === true && !this.data.isBeingRead) this.data.discard();
  }

  /** Sends a whole answer, such as an error page, in one write, and ends. No body goes out for HEAD. */
  respond(
    head: string,
    body: string | Uint8Array,
    appStatus: number = this.appStatus,
    protocolStatus?: ProtocolStatus,
  ): void {
    if (this.#state !== RUNNING) return;
    this.isHeld = true; // until the end
    this.sendHead(head);
    if (this.params.get("REQUEST_METHOD") !== "HEAD") {
      if (typeof body === "string") this.sendText(body, "utf8");
      else this.sendBytes(body);
    }
    this.end(appStatus, protocolStatus);
  }

  /**
   * The application failed. Before the header block: a 500 page. After it: the connection is cut, so that the web
   * server does not take the part for the whole. Either way the log and the web server's log say why.
   */
  fail(error: unknown): void {
    if (this.#inputError !== undefined && this.#state === RUNNING) {
      this.refuse(400, "Bad Request", this.#inputError); // which was logged: whatever failed over half a body is not at fault
      return;
    }
    if (this.#state === RUNNING && isInvalidRequest(error)) {
      this.log("warn", `request refused with 400: ${error.message}`, { code: error.code });
      this.refuse(400, "Bad Request", error);
      return;
    }
    const { shown, level, message, fields } = describeFailure(error, this.#abortError);
    this.log(level, message, fields);
    if (this.#state === ENDED) return;
    const method = oneLine(this.params.get("REQUEST_METHOD"));
    this.sendStderr(`request ${this.id} ${method} ${oneLine(urlForLog(this))}: ${oneLine(shown)}\n`);
    if (this.#state === RUNNING) {
      const own = this.#host.server.failurePage?.(this, shown);
      const page = own ?? failurePage(shown, this.options.development);
      this.respond(page.head, page.body, 1);
    } else {
      this.#over();
      this.#host.cut("the application failed in the middle of a response");
    }
  }

  /** Nothing more will be sent. Returns whether the connection should be closed behind what was. */
  #over(): boolean {
    this.#state = ENDED;
    return this.watcher?.onEnded(this) === true;
  }

  /** Work that goes on after the answer: while it does, the server is not closed, within its drain timeout. */
  waitUntil(work: Promise<unknown>): void {
    this.#host.server.background.add(work);
  }

  /** Logs something about this request, naming it. */
  log(level: "debug" | "info" | "warn" | "error", message: string, fields: LogFields = {}): void {
    this.options.logger[level](
      { request: this.id, method: this.params.get("REQUEST_METHOD"), url: urlForLog(this), ...fields },
      message,
    );
  }

  /** Answers with a status that a limit or a deadline demands, or cuts the connection if it is too late for that. */
  refuse(status: number, title: string, error: RemoteProtocolError, protocolStatus?: ProtocolStatus): void {
    if (this.#state === RUNNING) {
      const page = errorPage(status, title);
      this.respond(page.head, page.body, 0, protocolStatus);
    } else if (this.#state === HEAD_SENT) {
      this.#over();
      this.#host.cut(error.message);
    }
    // Only now: an application that is told of it first may answer something else.
    this.stdin.fail(error);
    this.data?.fail(error);
  }

  /** Ends a request that takes too long: 504 or a cut connection, and the application is told as of an abort. */
  expire(error: RemoteProtocolError): void {
    if (this.#abortError !== undefined) return;
    this.#abortError = error; // first: what the connection says of a cut is not why
    this.refuse(504, "Gateway Timeout", error);
    this.#tellAborted(error);
  }

  // RequestSink

  onStdin(chunk: Buffer, start: number, end: number): void {
    let size = end - start;
    const expected = this.#expected;
    if (expected >= 0 && this.#received + size > expected) {
      if (this.#received <= expected && !this.isUpgrade) {
        this.log("warn", `the body is longer than CONTENT_LENGTH (${expected}): the rest is dropped`);
      }
      size = Math.max(0, expected - this.#received);
      this.#received = expected + 1;
    } else {
      this.#received += size;
    }
    if (size > 0) this.stdin.take(chunk, start, start + size, this.#host);
  }

  onStdinEnd(): void {
    if (this.#received < this.#expected) {
      const message = `the body ended after ${this.#received} of ${this.#expected} bytes`;
      this.log("warn", message);
      this.#inputError = new RemoteProtocolError("ERR_POSTERN_BODY_SHORT", message, "request");
      this.stdin.fail(this.#inputError);
    } else {
      this.stdin.end();
    }
  }

  onData(chunk: Buffer, start: number, end: number): void {
    this.data?.push(this.#host.own(chunk, start, end));
  }

  onDataEnd(): void {
    this.data?.end();
  }

  onAbort(error: RemoteProtocolError): void {
    if (this.#abortError !== undefined) return;
    if (this.#state !== ENDED) this.#over();
    this.#abortError = error;
    if (this.#isTunnel)
      this.stdin.end(); // the only end a tunnel has: what came before it is delivered
    else this.stdin.fail(error);
    this.data?.fail(error);
    this.#tellAborted(error);
  }

  #tellAborted(error: Error): void {
    for (const listener of this.#abortListeners ?? []) {
      try {
        listener(error);
      } catch (thrown) {
        this.fail(thrown);
      }
    }
  }

  // InputHost

  onQueued(change: number): void {
    this.#host.onQueued(this, change);
  }

  onThrow(thrown: unknown): void {
    this.fail(thrown);
  }
}

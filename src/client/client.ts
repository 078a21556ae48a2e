/**
 * One connection to a FastCGI application: a socket and a WebConnection.
 *
 *     NEW ──first use──> CONNECTING ──> OPEN ──close(), not reusable──> CLOSING ──> CLOSED
 *      └──────────────────────┴───────────┴──destroy(), error, the application hangs up──┘
 *
 * Invariants: 1. every call on it is told of its end exactly once; 2. the socket is read unless some body is full
 * (with several requests at once that stalls its siblings: FastCGI has no flow control per request); 3. a
 * connection whose state is in doubt is never used for another request.
 */
import type { Socket } from "node:net";
import { PosternError, RemoteProtocolError, UsageError } from "../base/errors.ts";
import { encodeParams, type Params } from "../protocol/params.ts";
import { RecordWriter, SlabPool } from "../protocol/record-writer.ts";
import { Role } from "../protocol/records.ts";
import { WebConnection, type WebRequest } from "../protocol/web-connection.ts";
import { Call, type CallHost } from "./call.ts";
import { connectSocket, recogniseStranger, whileNotAborted } from "./connect.ts";
import { type InputPump, pumpInput } from "./input.ts";
import {
  type ClientOptions,
  type RequestOptions,
  type ResolvedClientOptions,
  resolveClientOptions,
} from "./options.ts";
import { methodOf, pairsOf } from "./request-params.ts";
import type { ClientResponse } from "./response.ts";
import type { WireTap } from "./tap.ts";
import { type ApplicationValues, readValues, VALUE_NAMES } from "./values.ts";

/** What a pool wants to know of a connection. */
export interface ClientObserver {
  readonly tap?: WireTap;
  /** Send ABORT_REQUEST also where the connection is closed at once. */
  readonly isOutspoken?: boolean;
  /** A request is over and there is room for another. */
  onRoom(client: FastCGIClient): void;
  /** Nothing more will happen on the connection. Called once. */
  onClosed(client: FastCGIClient): void;
}

const NEW = 0;
const CONNECTING = 1;
const OPEN = 2;
const CLOSING = 3;
const CLOSED = 4;

const ROLES = { responder: Role.Responder, authorizer: Role.Authorizer, filter: Role.Filter } as const;

/** A call, with what the connection needs to know of it. */
interface Flight {
  readonly call: Call;
  readonly request: WebRequest;
  readonly pumps: InputPump[];
}

/** A client on one connection, which is made at the first request and not made again. See `ClientPool` for several. */
export class FastCGIClient {
  readonly #options: ResolvedClientOptions;
  readonly #observer: ClientObserver | undefined;
  readonly #writer: RecordWriter;
  readonly #machine: WebConnection;
  readonly #cancel = new AbortController();
  readonly #flights = new Map<Call, Flight>();
  readonly #held = new Set<Call>(); // calls whose body is full
  readonly #host: CallHost = {
    hold: (call, isFull) => this.#hold(call, isFull),
    isHeld: () => this.#held.size > 0,
    abort: (call) => this.#abort(call),
    awaitsInput: (call) => this.#flights.get(call)?.pumps.at(-1)?.isHungry ?? false,
  };
  #state: number = NEW;
  #socket: Socket | undefined = undefined;
  #connecting: Promise<void> | undefined = undefined;
  #waiting = 0; // requests that wait for the connection
  #served = 0;
  #isFirstChunk = true;
  #isFeeding = false;
  #isRef = true;
  #error: Error | undefined = undefined;
  #values: { resolve: (values: Params | undefined) => void; reject: (error: unknown) => void } | undefined =
    undefined;
  #abortTimer: NodeJS.Timeout | undefined = undefined;
  #closed!: () => void;
  readonly #whenClosed: Promise<void> = new Promise((resolve) => {
    this.#closed = resolve;
  });

  /**
   * @param observer @internal
   * @throws {SettingError} `ERR_POSTERN_ADDRESS`, `ERR_POSTERN_BAD_SETTING`
   */
  constructor(options: ClientOptions, observer?: ClientObserver, slabs: SlabPool = new SlabPool()) {
    this.#options = resolveClientOptions(options);
    this.#observer = observer;
    this.#writer = new RecordWriter(slabs);
    const onValues = (values: Params | undefined): void => {
      this.#values?.resolve(values);
      this.#values = undefined;
    };
    this.#machine = new WebConnection({ onValues }, this.#writer, this.#options.maxRequestsPerConnection);
  }

  /** Whether a request may start on it now. */
  get hasRoom(): boolean {
    const isUsable = this.#state <= OPEN && this.#machine.isReusable;
    return isUsable && this.#machine.openRequests + this.#waiting < this.#options.maxRequestsPerConnection;
  }

  /** Requests that are under way. */
  get openRequests(): number {
    return this.#machine.openRequests + this.#waiting;
  }

  /** Whether the connection has carried a request before: it may have been closed meanwhile. */
  get isUsed(): boolean {
    return this.#served > 0;
  }

  /**
   * Sends a request. The promise resolves with the head of the answer.
   * @throws {SettingError} `ERR_POSTERN_CONNECT`
   * @throws {UsageError} `ERR_POSTERN_CLIENT_CLOSED`, `ERR_POSTERN_TOO_MANY_REQUESTS`; RangeError for parameters above U+00FF
   * @throws {PosternError} `ERR_POSTERN_REQUEST_TIMEOUT`, `ERR_POSTERN_ABORTED`: the request body stopped, or failed
   * @throws {RemoteProtocolError} `ERR_POSTERN_CLIENT_TIMEOUT`, `ERR_POSTERN_RESPONSE_MALFORMED`,
   *   `ERR_POSTERN_RESPONSE_CUT`, `ERR_POSTERN_REQUEST_REFUSED`, `ERR_POSTERN_NOT_FASTCGI` and those of the protocol
   */
  async request(options: RequestOptions): Promise<ClientResponse> {
    const signal = options.signal;
    signal?.throwIfAborted();
    if (this.#state > OPEN) throw this.#closedError();
    if (!this.hasRoom) {
      const message = `the connection to ${this.#options.name} is busy`;
      throw new UsageError("ERR_POSTERN_TOO_MANY_REQUESTS", message);
    }
    const pairs = pairsOf(options.params);
    const params = encodeParams(pairs);
    if (this.#state !== OPEN) {
      this.#waiting++; // the place is taken until #send takes it, with no turn in between
      try {
        await whileNotAborted(this.#connect(), signal);
        if (this.#state > OPEN) throw this.#closedError();
      } catch (error) {
        this.#waiting--;
        this.#settle();
        throw error;
      }
      this.#waiting--;
    }
    return this.#send(options, params, methodOf(pairs));
  }

  /** Asks the application for its limits. php-fpm closes the connection after the answer. */
  async getValues(): Promise<ApplicationValues> {
    await this.#connect();
    if (this.#state > OPEN) throw this.#closedError();
    const answer = new Promise<Params | undefined>((resolve, reject) => {
      this.#machine.getValues(VALUE_NAMES);
      this.#values = { resolve, reject };
    });
    this.#flush();
    const timeoutMs = this.#options.timeoutMs;
    const late = (): void => {
      const message = `no GET_VALUES_RESULT within ${timeoutMs} ms`;
      this.destroy(new RemoteProtocolError("ERR_POSTERN_CLIENT_TIMEOUT", message, "connection"));
    };
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
    try {
      return readValues(await answer);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets open requests finish, then closes. */
  async close(): Promise<void> {
    if (this.#state === NEW) this.#setClosed();
    else if (this.#state < CLOSING) {
      this.#state = CLOSING;
      if (this.openRequests === 0) this.#shut(undefined);
    }
    await this.#whenClosed;
  }

  /** Closes at once; open requests fail with `error`. */
  destroy(error?: Error): void {
    this.#shut(error ?? this.#closedError());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Keeps the process alive, or not, for the sake of this connection. @internal */
  setRef(isNeeded: boolean): void {
    this.#isRef = isNeeded;
    if (isNeeded) this.#socket?.ref();
    else this.#socket?.unref();
  }

  #connect(): Promise<void> {
    if (this.#state === NEW) {
      this.#state = CONNECTING;
      this.#connecting = this.#makeConnection();
    }
    return this.#connecting!;
  }

  async #makeConnection(): Promise<void> {
    let socket: Socket;
    try {
      socket = await connectSocket(this.#options, this.#cancel.signal);
    } catch (error) {
      this.#setClosed();
      throw error;
    }
    if (this.#state === CLOSED) {
      socket.destroy();
      throw this.#closedError();
    }
    this.#socket = socket;
    this.#observer?.tap?.onConnect();
    if (this.#state === CONNECTING) this.#state = OPEN;
    if (!this.#isRef) socket.unref();
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error) => {
      this.#error ??= error;
    });
    socket.on("close", () => this.#onClose());
  }

  #send(options: RequestOptions, params: Uint8Array, method: string): Promise<ClientResponse> {
    const call = new Call(this.#host, this.#options, options, method);
    const role = ROLES[options.role ?? "responder"];
    const request = this.#machine.begin(role, this.#options.keepConn, params, {
      onStdout: (chunk, start, end) => call.onStdout(chunk, start, end),
      onStdoutEnd: () => call.onStdoutEnd(),
      onStderr: (chunk, start, end) => call.onStderr(chunk, start, end),
      onEnd: (appStatus, protocolStatus) => {
        this.#land(call);
        call.onEnd(appStatus, protocolStatus);
      },
      onError: (error) => {
        this.#land(call);
        call.onError(error);
      },
    });
    const flight: Flight = { call, request, pumps: [] };
    this.#flights.set(call, flight);
    call.start();
    this.#isFeeding = true; // what is known at once goes out in one write
    pumpInput(this.#machine, request, options, flight.pumps, {
      flush: () => {
        call.progress();
        return this.#flush();
      },
      fail: (cause) => {
        const message = `the request body could not be read: ${cause.message}`;
        call.cancel(new PosternError("ERR_POSTERN_ABORTED", message, { cause }));
      },
    });
    this.#isFeeding = false;
    this.#flush();
    return call.response;
  }

  /** The request is over: nothing more is sent for it. */
  #land(call: Call): void {
    const flight = this.#flights.get(call);
    if (flight === undefined) return;
    this.#flights.delete(call);
    for (const pump of flight.pumps) pump.stop();
  }

  #receive(chunk: Buffer): void {
    this.#observer?.tap?.onReceived(chunk);
    if (this.#isFirstChunk) {
      this.#isFirstChunk = false;
      const stranger = recogniseStranger(chunk, this.#options);
      if (stranger !== undefined) {
        this.#shut(stranger);
        return;
      }
    }
    const before = this.#machine.openRequests;
    try {
      this.#machine.receive(chunk);
    } catch (error) {
      this.#shut(error as Error);
      return;
    }
    this.#served += Math.max(0, before - this.#machine.openRequests);
    this.#flush(); // an ABORT_REQUEST, when an answer broke the protocol
    this.#settle();
  }

  /** Decides what becomes of the connection after something has ended on it. */
  #settle(): void {
    if (this.#state !== OPEN && this.#state !== CLOSING) return;
    this.#watchAborted();
    if (this.openRequests === 0 && (this.#state === CLOSING || !this.#machine.isReusable))
      this.#shut(undefined);
    else if (this.hasRoom) this.#observer?.onRoom(this);
  }

  /** Hands everything queued to the socket in one go; false when its buffer is full. */
  #flush(): boolean {
    const socket = this.#socket;
    if (socket === undefined || this.#isFeeding || this.#writer.pendingBytes === 0) return true;
    const pieces = this.#writer.take();
    if (this.#observer?.tap !== undefined) for (const piece of pieces) this.#observer.tap.onSent(piece);
    if (pieces.length === 1) {
      socket.write(pieces[0]!);
    } else {
      socket.cork();
      for (const piece of pieces) socket.write(piece);
      socket.uncork();
    }
    this.#writer.recycle(socket.writableLength === 0);
    return !socket.writableNeedDrain;
  }

  #onDrain(): void {
    for (const { call, pumps } of this.#flights.values()) {
      call.progress();
      pumps.at(-1)?.resume();
    }
  }

  #hold(call: Call, isFull: boolean): void {
    const held = this.#held;
    if (isFull) held.add(call);
    else if (!held.delete(call)) return;
    if (held.size > 0) {
      this.#socket?.pause();
    } else {
      for (const one of this.#flights.keys()) one.progress(); // nobody else was to blame for the pause
      this.#socket?.resume();
    }
  }

  #abort(call: Call): void {
    const flight = this.#flights.get(call);
    if (flight === undefined) return;
    this.#land(call);
    this.#machine.abort(flight.request);
    const isLast = !flight.request.keepConn && this.openRequests === 1;
    if (!isLast || this.#observer?.isOutspoken === true) this.#flush();
    if (isLast)
      this.#shut(undefined); // nobody waits for the connection: closing it says all there is to say
    else this.#watchAborted();
  }

  /** Gives the application a moment to end aborted requests in good order, then cuts the connection. */
  #watchAborted(): void {
    if (this.#machine.openRequests > this.#flights.size) {
      this.#abortTimer ??= setTimeout(() => this.#shut(this.#stillRunning()), this.#options.abortTimeoutMs);
    } else {
      clearTimeout(this.#abortTimer);
      this.#abortTimer = undefined;
    }
  }

  #stillRunning(): RemoteProtocolError {
    const message = `an aborted request was not ended within ${this.#options.abortTimeoutMs} ms`;
    return new RemoteProtocolError("ERR_POSTERN_CLIENT_TIMEOUT", message, "connection");
  }

  #onClose(): void {
    const message = `the application at ${this.#options.name} closed the connection before the end of its answer`;
    const cause = this.#error;
    this.#shut(new RemoteProtocolError("ERR_POSTERN_RESPONSE_CUT", message, "connection", { cause }));
  }

  /** The end of the connection; calls that are open fail with `error`. */
  #shut(error: Error | undefined): void {
    if (this.#state === CLOSED) return;
    this.#setClosed();
    clearTimeout(this.#abortTimer);
    const reason = error ?? this.#closedError();
    this.#cancel.abort(reason);
    this.#socket?.destroy();
    this.#held.clear();
    this.#machine.lose(reason);
    this.#values?.reject(reason);
    this.#values = undefined;
  }

  #setClosed(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#closed();
    this.#observer?.onClosed(this);
  }

  #closedError(): UsageError {
    return new UsageError("ERR_POSTERN_CLIENT_CLOSED", `the connection to ${this.#options.name} is closed`);
  }
}

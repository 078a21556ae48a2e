/**
 * A lane that speaks FastCGI. Leaner than the client of `postern/client`: a load has no use for streams, promises and
 * deadlines of its own for each request, and what the generator spends it takes from the measured.
 */
import { connect, type Socket } from "node:net";
import type { Address } from "../../base/address.ts";
import { hasNoBody, ResponseHeadParser } from "../../cgi/response-head.ts";
import { socketOptions } from "../../client/connect.ts";
import { encodeParams } from "../../protocol/params.ts";
import { RecordWriter, SlabPool } from "../../protocol/record-writer.ts";
import { ProtocolStatus, Role } from "../../protocol/records.ts";
import { sniff } from "../../protocol/sniff.ts";
import { type AnswerSink, WebConnection, type WebRequest } from "../../protocol/web-connection.ts";
import { connectFault, type Exchange, type FaultKind, type Shot } from "./exchange.ts";
import type { Lane } from "./lane.ts";

/** Bytes of a request's body that are written at once. */
const PIECE_BYTES = 256 * 1024;

const slabs = new SlabPool();
const noValues = { onValues(): void {} };

export interface FastCGILaneOptions {
  readonly address: Address;
  readonly shot: Shot;
  readonly keepsConnection: boolean;
  /** Requests at once on the connection. */
  readonly room: number;
}

export class FastCGILane implements Lane {
  readonly room: number;
  readonly #options: FastCGILaneOptions;
  readonly #params: Uint8Array;
  #connection: Connection | undefined = undefined;
  /** Of connections that are not kept, those that are still at work. */
  readonly #busy = new Set<Connection>();

  constructor(options: FastCGILaneOptions) {
    this.#options = options;
    this.#params = encodeParams(options.shot.params);
    this.room = options.room;
  }

  send(exchange: Exchange): void {
    let connection = this.#connection;
    if (connection === undefined || !connection.isUsable) {
      connection = new Connection(this.#options, this.#params, (gone) => this.#busy.delete(gone));
      this.#busy.add(connection);
      if (this.#options.keepsConnection) this.#connection = connection;
    }
    connection.send(exchange);
  }

  cut(kind: FaultKind, says: string): void {
    for (const connection of [...this.#busy]) connection.shut(kind, says);
  }

  close(): void {
    this.cut("closed", "the load has ended");
  }
}

/** One connection: a socket and its machine. */
class Connection {
  readonly #options: FastCGILaneOptions;
  readonly #params: Uint8Array;
  readonly #onGone: (connection: Connection) => void;
  readonly #socket: Socket;
  readonly #writer: RecordWriter = new RecordWriter(slabs);
  readonly #machine: WebConnection;
  readonly #open = new Set<Answer>();
  /** Ended during the call of `receive` that is under way: told afterwards, so that what they start goes out as one. */
  #ended: (() => void)[] = [];
  #isFirst = true;
  #isConnected = false;
  #isFlushing = false;
  #isGone = false;

  constructor(options: FastCGILaneOptions, params: Uint8Array, onGone: (connection: Connection) => void) {
    this.#options = options;
    this.#params = params;
    this.#onGone = onGone;
    this.#machine = new WebConnection(noValues, this.#writer, options.room);
    const socket = connect(socketOptions(options.address));
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("connect", () => {
      this.#isConnected = true;
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#pump());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (this.#isConnected) this.shut("closed", error.code ?? error.message);
      else this.shut("connect", connectFault(error, options.address.kind !== "tcp"));
    });
    socket.on("close", () => this.shut("closed", "the application closed the connection"));
  }

  /** Whether another request may follow on it. */
  get isUsable(): boolean {
    return !this.#isGone && this.#machine.isReusable && this.#machine.hasRoom;
  }

  send(exchange: Exchange): void {
    const answer = new Answer(exchange, this.#options.shot.method, (end) => this.#end(answer, end));
    answer.request = this.#machine.begin(Role.Responder, this.#options.keepsConnection, this.#params, answer);
    this.#open.add(answer);
    if (this.#options.shot.body === undefined) this.#machine.endStdin(answer.request);
    if (!this.#isFlushing) {
      // In a turn of its own: requests that are due together leave in one write.
      this.#isFlushing = true;
      setImmediate(() => {
        this.#isFlushing = false;
        this.#pump();
      });
    }
  }

  /** The end of the connection; what is open on it fails. */
  shut(kind: FaultKind, says: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#socket.destroy();
    this.#onGone(this);
    for (const { exchange, broken } of this.#open) {
      if (broken === undefined) exchange.fail(kind, says);
      else exchange.fail("protocol", broken);
    }
    this.#open.clear();
  }

  #end(answer: Answer, tell: () => void): void {
    this.#open.delete(answer);
    this.#ended.push(tell);
  }

  #receive(chunk: Buffer): void {
    if (this.#isFirst) {
      this.#isFirst = false;
      const stranger = sniff(chunk);
      if (stranger !== undefined) {
        this.shut("protocol", `not FastCGI: ${stranger.name}`);
        return;
      }
    }
    try {
      this.#machine.receive(chunk);
    } catch (error) {
      // What had ended before stays what it was, and is told below.
      this.shut("protocol", (error as Error).message);
    }
    const ended = this.#ended;
    if (ended.length === 0) return;
    this.#ended = [];
    if (this.#open.size === 0 && !this.#machine.isReusable) this.shut("closed", "");
    for (const tell of ended) tell();
  }

  /** Writes what is queued, and as much of the bodies as the socket takes. */
  #pump(): void {
    if (this.#isGone) return;
    this.#flush();
    const { body } = this.#options.shot;
    if (body === undefined) return;
    for (const answer of this.#open) {
      const { request } = answer;
      if (request === undefined) continue;
      while (answer.sent < body.length && !this.#socket.writableNeedDrain) {
        const until = Math.min(answer.sent + PIECE_BYTES, body.length);
        this.#machine.writeStdin(request, body.subarray(answer.sent, until));
        answer.sent = until;
        this.#flush();
      }
      if (answer.sent === body.length && !request.inputEnded) {
        this.#machine.endStdin(request);
        this.#flush();
      }
    }
  }

  #flush(): void {
    if (this.#writer.pendingBytes === 0) return;
    const pieces = this.#writer.take();
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
    this.#writer.recycle(this.#socket.writableLength === 0);
  }
}

/** The answer to one request as it comes. */
class Answer implements AnswerSink {
  readonly exchange: Exchange;
  request: WebRequest | undefined = undefined;
  /** Bytes of the body that have been written. */
  sent = 0;
  /** Why its header block cannot be read. */
  broken: string | undefined = undefined;
  readonly #method: string;
  readonly #onEnd: (tell: () => void) => void;
  readonly #head: ResponseHeadParser = new ResponseHeadParser();
  #hasHead = false;
  #announced: number | undefined = undefined;

  constructor(exchange: Exchange, method: string, onEnd: (tell: () => void) => void) {
    this.exchange = exchange;
    this.#method = method;
    this.#onEnd = onEnd;
  }

  onStdout(chunk: Buffer, start: number, end: number): void {
    const { exchange } = this;
    if (exchange.firstByteAt === 0) exchange.firstByteAt = performance.now();
    let at = start;
    if (!this.#hasHead) {
      at = this.#readHead(chunk, start, end);
      if (at < 0) return;
    }
    if (at < end) exchange.take(chunk, at, end);
  }

  onStdoutEnd(): void {}
  onStderr(): void {}

  onEnd(appStatus: number, protocolStatus: number): void {
    this.#onEnd(() => {
      if (protocolStatus !== ProtocolStatus.RequestComplete) {
        this.exchange.fail("refused", `protocol status ${protocolStatus}`);
      } else if (this.broken !== undefined || !this.#hasHead) {
        this.exchange.fail("protocol", this.broken ?? "it ended before the end of its header block");
      } else this.exchange.succeed(this.#announced, appStatus);
    });
  }

  onError(error: Error): void {
    this.#onEnd(() => this.exchange.fail("protocol", error.message));
  }

  /** @returns where the body begins, or -1 */
  #readHead(chunk: Buffer, start: number, end: number): number {
    if (this.broken !== undefined) return -1;
    let at = start;
    try {
      for (at = this.#head.push(chunk, at, end); at >= 0; at = this.#head.push(chunk, at, end)) {
        const { status, headers } = this.#head.head!;
        if (status >= 200) {
          this.#begin(status, headers);
          return at;
        }
        this.#head.reset(); // an interim answer
      }
    } catch (error) {
      this.broken = (error as Error).message;
    }
    return -1;
  }

  #begin(status: number, headers: readonly string[]): void {
    this.#hasHead = true;
    this.exchange.status = status;
    if (hasNoBody(this.#method, status)) return;
    for (let index = 0; index < headers.length; index += 2) {
      if (headers[index]!.toLowerCase() === "content-length") this.#announced = Number(headers[index + 1]);
    }
  }
}

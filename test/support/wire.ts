/**
 * A real server on a unix socket in a temporary folder, and a client that speaks raw bytes to it: what a web
 * server would send, and everything one would not.
 */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { type Application, handlerFor } from "../../src/adapters/app.ts";
import type { Logger } from "../../src/base/log.ts";
import type { ServerHooks } from "../../src/server/hooks.ts";
import type { ServerOptions } from "../../src/server/options.ts";
import { Server } from "../../src/server/server.ts";
import {
  answerOf,
  decodeRecords,
  type RequestOptions,
  requestRecords,
  type TestAnswer,
  type TestRecord,
  TYPE,
} from "./records.ts";
import { temporaryFolder } from "./temp.ts";
import { waitFor, within } from "./wait.ts";

/** One message of the server's log. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A logger that keeps everything, debug included. */
export class TestLog implements Logger {
  readonly lines: LogLine[] = [];
  debug(fields: LogLine["fields"], message: string): void {
    this.lines.push({ level: "debug", fields, message });
  }
  info(fields: LogLine["fields"], message: string): void {
    this.lines.push({ level: "info", fields, message });
  }
  warn(fields: LogLine["fields"], message: string): void {
    this.lines.push({ level: "warn", fields, message });
  }
  error(fields: LogLine["fields"], message: string): void {
    this.lines.push({ level: "error", fields, message });
  }
  /** `warn message` per line, for assertions on all of them. */
  get text(): string[] {
    return this.lines.map((line) => `${line.level} ${line.message}`);
  }
  clear(): void {
    this.lines.length = 0;
  }
}

/** The client's end of one connection. Our side may close while the server's stays open, and the other way round. */
export class Wire {
  readonly socket: Socket;
  readonly #pieces: Buffer[] = [];
  #joined: Buffer | undefined = undefined;
  /** Every whole record received. */
  readonly records: TestRecord[] = [];
  #rest: Buffer = Buffer.alloc(0);
  /** Whether the server has closed its side (FIN), or everything. */
  ended = false;
  /** Whether the connection is gone in both directions. */
  closed = false;
  error: NodeJS.ErrnoException | undefined = undefined;
  /** Everybody who waits for something to arrive. */
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#pieces.push(chunk);
      this.#joined = undefined;
      // Decoded as it comes: decoding everything again for each chunk would be quadratic.
      const { records, rest } = decodeRecords(Buffer.concat([this.#rest, chunk]));
      this.records.push(...records);
      this.#rest = rest;
      this.#wake();
    });
    socket.once("end", () => {
      this.ended = true;
      this.#wake();
    });
    socket.once("close", () => {
      this.closed = true;
      this.#wake();
    });
    socket.on("error", (error) => {
      this.error = error;
    });
  }

  /** Waits until something that arrives makes `condition` true. */
  async until(condition: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
    const met = async (): Promise<void> => {
      while (!condition()) {
        await new Promise<void>((resolve) => {
          this.#waiting.add(resolve);
        });
      }
    };
    try {
      await within(met(), timeoutMs, what);
    } catch (error) {
      const got = this.received.toString("latin1").slice(0, 1000);
      throw new Error(`${(error as Error).message}; received ${JSON.stringify(got)}`, { cause: error });
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Everything received. */
  get received(): Buffer {
    if (this.#joined === undefined) {
      this.#joined = Buffer.concat(this.#pieces);
      this.#pieces.splice(0, this.#pieces.length, this.#joined);
    }
    return this.#joined;
  }
  send(...parts: Uint8Array[]): this {
    this.socket.write(Buffer.concat(parts));
    return this;
  }
  /** Sends a whole request, see {@link requestRecords}. */
  request(options: RequestOptions = {}): this {
    return this.send(requestRecords(options));
  }
  /** Waits for END_REQUEST, and checks that nothing of the answer breaks the protocol. */
  async answer(id = 1): Promise<TestAnswer> {
    await this.until(
      () => this.#has(id, TYPE.END_REQUEST) || this.ended || this.closed,
      `END_REQUEST of request ${id}`,
    );
    return answerOf(this.received, id);
  }
  /** Waits for the end of the header block of a request. */
  async head(id = 1): Promise<string> {
    await this.until(() => answerOf(this.received, id).stdout.includes("\r\n\r\n"), "a header block");
    return answerOf(this.received, id).head;
  }
  /** Waits until the server has closed its side. */
  async end(): Promise<void> {
    await this.until(() => this.ended || this.closed, "the server to close");
  }
  destroy(): void {
    this.socket.destroy();
  }
  #has(id: number, type: number): boolean {
    return this.records.some((record) => record.id === id && record.type === type);
  }
}

/** The empty STDERR that makes nginx close a connection it keeps. */
export function isQuestion({ id, type, content }: TestRecord): boolean {
  return id === 1 && type === TYPE.STDERR && content.length === 0;
}

export interface TestServer {
  readonly server: Server;
  readonly path: string;
  readonly log: TestLog;
  connect(): Promise<Wire>;
  /** Waits until the server has no connection left: it keeps none whose client is still there by mistake. */
  gone(connections?: number): Promise<void>;
  /** One plain request on a connection of its own, to its end. */
  ask(options?: RequestOptions): Promise<TestAnswer>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a server for an application; `await using` stops it. */
export async function startServer(
  application: Application,
  options: ServerOptions = {},
  hooks: ServerHooks = {},
): Promise<TestServer> {
  const path = join(temporaryFolder("w"), "s.sock");
  const log = new TestLog();
  const server = new Server(handlerFor(application), { bind: path, logger: log, ...options }, hooks);
  await server.listen();
  const wires: Wire[] = [];
  const open = async (): Promise<Wire> => {
    const wire = await connectWire({ path });
    wires.push(wire);
    return wire;
  };
  return {
    server,
    path,
    log,
    connect: open,
    async gone(connections = 0) {
      await waitFor(() => server.stats.connections === connections, {
        what: `${connections} connections to be left`,
        evidence: () => JSON.stringify(server.stats),
      });
    },
    async ask(request) {
      const wire = await open();
      const answer = await wire.request(request).answer(request?.id);
      wire.destroy();
      return answer;
    },
    async [Symbol.asyncDispose]() {
      for (const wire of wires) wire.destroy();
      server.destroy();
      await server.closed;
    },
  };
}

/** Connects to a unix socket or TCP port. */
export function connectWire(where: { path: string } | { port: number; host: string }): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...where, allowHalfOpen: true, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new Wire(socket));
    });
  });
}

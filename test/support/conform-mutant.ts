/**
 * A small FastCGI responder for the conformance run, written from the specification and not from src: right as it
 * stands, and wrong in one way where a mutant says so. It multiplexes, knows all roles and shows what it was asked.
 */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "./temp.ts";

export interface MutantRecord {
  readonly version: number;
  readonly type: number;
  readonly id: number;
  readonly content: Buffer;
  readonly padding: number;
  readonly reserved: number;
}

/** A request in its table. */
export interface MutantRequest {
  readonly id: number;
  readonly role: number;
  readonly flags: number;
  params: Buffer;
  isParamsEnded: boolean;
  stdin: Buffer;
  readonly stdinRecords: number[];
}

/** What is wrong with it. */
export interface Mutant {
  /** Bytes as they arrive; `close` loses the connection. */
  readonly chunk?: (chunk: Buffer, connection: MutantConnection) => Action;
  /** A record, before it is looked at: `close` the connection, `ignore` it, or send something. */
  readonly input?: (record: MutantRecord, connection: MutantConnection) => Action;
  /** A record that is to be sent; what is sent in its place. */
  readonly output?: (record: MutantRecord) => readonly (MutantRecord | Buffer)[];
  /** The whole STDOUT of an answer. */
  readonly page?: (page: string, facts: PageFacts) => string;
  /** END_REQUEST's app status. */
  readonly appStatus?: (facts: PageFacts) => number;
  /** Never closes, or always. */
  readonly closes?: (flags: number) => boolean;
  /** The peer has closed its side. */
  readonly lost?: (connection: MutantConnection, isPartial: boolean) => Action;
  /** Whether a connection is accepted, of so many that are open. */
  readonly accepts?: (open: number) => boolean;
  /** One connection is served at a time. */
  readonly isSingle?: boolean;
  /** Records of any version are read. */
  readonly anyVersion?: boolean;
  /** ms before an answer; a peer that closes its side meanwhile gets none. */
  readonly answersAfter?: number;
}

/** `close` the connection, `ignore` the record, or let the whole program `die`; else it goes on as is right. */
export type Action = "close" | "ignore" | "die" | undefined;

export interface PageFacts {
  readonly method: string;
  readonly query: string;
  readonly params: ReadonlyMap<string, string>;
  readonly pairs: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly request: MutantRequest;
}

export function mutantRecord(
  type: number,
  id: number,
  content: Uint8Array | string = "",
  more: Partial<Pick<MutantRecord, "version" | "padding" | "reserved">> = {},
): MutantRecord {
  return { version: 1, type, id, content: Buffer.from(content as string), padding: 0, reserved: 0, ...more };
}

function bytesOf({ version, type, id, content, padding, reserved }: MutantRecord): Buffer {
  const head = Buffer.from([
    version,
    type,
    id >> 8,
    id & 255,
    content.length >> 8,
    content.length & 255,
    padding,
    reserved,
  ]);
  return Buffer.concat([head, content, Buffer.alloc(padding)]);
}

export class MutantConnection {
  readonly requests: Map<number, MutantRequest> = new Map();
  readonly used: Set<number> = new Set();
  readonly socket: Socket;
  readonly #mutant: Mutant;
  readonly #die: () => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, mutant: Mutant, die: () => void) {
    this.socket = socket;
    this.#mutant = mutant;
    this.#die = die;
    socket.on("error", () => {});
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("end", () => {
      if (mutant.lost?.(this, this.#rest.length > 0) === "die") die();
      else if (mutant.answersAfter !== undefined) socket.destroy();
      else socket.end();
    });
  }

  send(record: MutantRecord): void {
    const out = this.#mutant.output?.(record) ?? [record];
    for (const one of out)
      if (this.socket.writable) this.socket.write(Buffer.isBuffer(one) ? one : bytesOf(one));
  }

  end(request: MutantRequest, appStatus: number, protocolStatus: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(appStatus, 0);
    body[4] = protocolStatus;
    this.requests.delete(request.id);
    this.send(mutantRecord(3, request.id, body));
    const closes = this.#mutant.closes ?? ((flags) => (flags & 1) === 0);
    if (closes(request.flags)) this.socket.end();
  }

  #receive(chunk: Buffer): void {
    if (this.#stops(this.#mutant.chunk?.(chunk, this))) return;
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const bytes = this.#rest;
      if (bytes.length > 0 && bytes[0] !== 1 && this.#mutant.anyVersion !== true) this.socket.destroy();
      if (this.socket.destroyed || bytes.length < 8) return;
      const length = bytes.readUInt16BE(4);
      const size = 8 + length + bytes[6]!;
      if (bytes.length < size) return;
      this.#rest = bytes.subarray(size);
      this.#record({
        version: bytes[0]!,
        type: bytes[1]!,
        id: bytes.readUInt16BE(2),
        content: bytes.subarray(8, 8 + length),
        padding: bytes[6]!,
        reserved: bytes[7]!,
      });
    }
  }

  #stops(action: Action): boolean {
    if (action === "close") this.socket.destroy();
    if (action === "die") this.#die();
    return action !== undefined;
  }

  #record(record: MutantRecord): void {
    if (this.socket.destroyed) return;
    if (this.#stops(this.#mutant.input?.(record, this))) return;
    const { type, id, content } = record;
    if (id === 0) {
      this.#manage(type, content);
      return;
    }
    if (type === 1) {
      this.#begin(id, content);
      return;
    }
    const request = this.requests.get(id);
    if (request === undefined) return;
    if (type === 2) this.end(request, 0, 0);
    else if (type === 4) {
      if (content.length > 0) request.params = Buffer.concat([request.params, content]);
      else {
        request.isParamsEnded = true;
        if (request.role === 2) this.answer(request);
      }
    } else if (type === 5) {
      request.stdin = Buffer.concat([request.stdin, content]);
      request.stdinRecords.push(content.length);
      if (content.length === 0 && request.role === 1) this.answer(request);
    } else if (type === 8 && content.length === 0 && request.role === 3) this.answer(request);
  }

  #manage(type: number, content: Buffer): void {
    if (type !== 9) {
      this.send(mutantRecord(11, 0, Buffer.from([type, 0, 0, 0, 0, 0, 0, 0])));
      return;
    }
    const values: Record<string, string> = {
      FCGI_MAX_CONNS: "100",
      FCGI_MAX_REQS: "100",
      FCGI_MPXS_CONNS: "1",
    };
    const names = pairsOf(content).map(([name]) => name);
    this.send(
      mutantRecord(
        10,
        0,
        names
          .filter((name) => values[name] !== undefined)
          .map((name) => valuePair(name, values[name]!))
          .join(""),
      ),
    );
  }

  #begin(id: number, content: Buffer): void {
    if (content.length !== 8 || this.requests.has(id)) {
      this.socket.destroy();
      return;
    }
    const request: MutantRequest = {
      id,
      role: content.readUInt16BE(0),
      flags: content[2]!,
      params: Buffer.alloc(0),
      isParamsEnded: false,
      stdin: Buffer.alloc(0),
      stdinRecords: [],
    };
    this.used.add(id);
    this.requests.set(id, request);
    if (request.role < 1 || request.role > 3) this.end(request, 0, 3);
  }

  /** The answer of a request, at whatever time. */
  answer(request: MutantRequest): void {
    const { answersAfter } = this.#mutant;
    if (answersAfter === undefined) this.#answer(request);
    else setTimeout(() => this.#answer(request), answersAfter);
  }

  #answer(request: MutantRequest): void {
    const pairs = pairsOf(request.params);
    const params = new Map(pairs);
    const method = params.get("REQUEST_METHOD") ?? "GET";
    const query = params.get("QUERY_STRING") ?? "";
    const body = request.stdin;
    const facts: PageFacts = { method, query, params, pairs, body, request };
    const isShort = Number(params.get("CONTENT_LENGTH") ?? body.length) !== body.length;
    const status = isShort ? "400 Bad Request" : "200 OK";
    const text = method === "HEAD" ? "" : `query ${query}\nbody ${body.toString("latin1")}`;
    const page = `Status: ${status}\r\nContent-Type: text/plain\r\n\r\n${text}`;
    const bytes = Buffer.from(this.#mutant.page?.(page, facts) ?? page, "latin1");
    for (let at = 0; at < bytes.length; at += 65528) {
      this.send(mutantRecord(6, request.id, bytes.subarray(at, at + 65528)));
    }
    this.send(mutantRecord(7, request.id, "a line for the log\n"));
    this.send(mutantRecord(6, request.id));
    this.send(mutantRecord(7, request.id));
    this.end(request, this.#mutant.appStatus?.(facts) ?? 0, 0);
  }
}

/** A pair with short lengths. */
export function valuePair(name: string, value: string): string {
  return String.fromCharCode(name.length, value.length) + name + value;
}

function pairsOf(bytes: Buffer): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < bytes.length; ) {
    const lengths: number[] = [];
    for (let which = 0; which < 2; which++) {
      const long = (bytes[at] ?? 0) > 127;
      if (long && at + 4 > bytes.length) return pairs;
      lengths.push(long ? bytes.readUInt32BE(at) & 0x7fffffff : (bytes[at] ?? 0));
      at += long ? 4 : 1;
    }
    const [name = 0, value = 0] = lengths;
    pairs.push([
      bytes.toString("latin1", at, at + name),
      bytes.toString("latin1", at + name, at + name + value),
    ]);
    at += name + value;
  }
  return pairs;
}

export interface MutantServer {
  readonly path: string;
  close(): Promise<void>;
}

/** Serves it on a unix socket. */
export function serveMutant(mutant: Mutant): Promise<MutantServer> {
  const { isSingle = false, accepts } = mutant;
  const path = join(temporaryFolder("m"), "m.sock");
  const sockets = new Set<Socket>();
  const waiting: Socket[] = [];
  const next = (): void => {
    const socket = waiting.shift();
    if (socket !== undefined) new MutantConnection(socket, mutant, die);
  };
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    if (accepts?.(sockets.size) === false) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => {
      const at = waiting.indexOf(socket);
      if (at >= 0) waiting.splice(at, 1);
      sockets.delete(socket);
      if (isSingle && at < 0) next();
    });
    // One connection at a time: the others wait.
    if (isSingle && sockets.size - waiting.length > 1) {
      socket.on("error", () => {});
      waiting.push(socket);
    } else new MutantConnection(socket, mutant, die);
  });
  const die = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return new Promise((resolve) => {
    server.listen(path, () => {
      resolve({
        path,
        close: () =>
          new Promise((closed) => {
            for (const socket of sockets) socket.destroy();
            server.close(() => closed());
          }),
      });
    });
  });
}

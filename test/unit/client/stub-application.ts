/**
 * A FastCGI application on a plain socket, which answers exactly as a test says, however wrongly. It shares no code
 * with src/: see test/support/records.ts.
 */
import net from "node:net";
import { join } from "node:path";
import { decodePairs, decodeRecords, rawRecord, TYPE } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";

export interface StubRequest {
  readonly id: number;
  readonly role: number;
  readonly keepConn: boolean;
  readonly params: Readonly<Record<string, string>>;
  /** Pairs in wire order. */
  readonly pairs: readonly (readonly [string, string])[];
  /** Whole when the request is handed over, unless it is handed over early. */
  stdin: Buffer;
  stdinBytes: number;
  data: Buffer;
  stdinEnded: boolean;
  aborted: boolean;
  /** Which connection since the start, from 1. */
  readonly connection: number;
  readonly socket: net.Socket;
  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void;
  stdout(text: string | Uint8Array, padding?: number): void;
  stderr(text: string): void;
  /** The empty STDOUT record. */
  eof(): void;
  /** END_REQUEST; closes the connection when KEEP_CONN was 0, as an application must. */
  end(appStatus?: number, protocolStatus?: number): void;
  /** A whole answer. */
  answer(text: string | Uint8Array): void;
}

export interface StubOptions {
  /** Hand a request over at the end of PARAMS instead of STDIN. */
  readonly early?: boolean;
  /** Keep no STDIN, only count it. */
  readonly countOnly?: boolean;
  readonly tcp?: boolean;
  /** Sees every connection first. */
  readonly onConnection?: (socket: net.Socket, number: number) => void;
  /** Answers GET_VALUES. */
  readonly onGetValues?: (names: readonly string[], socket: net.Socket) => void;
  readonly onAbort?: (request: StubRequest) => void;
}

export interface Stub {
  /** What a client connects to. */
  readonly connect: string;
  /** Connections accepted so far. */
  readonly connections: number;
  /** Sockets open now. */
  readonly sockets: ReadonlySet<net.Socket>;
  readonly requests: readonly StubRequest[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export async function startStub(
  handler: (request: StubRequest) => void,
  options: StubOptions = {},
): Promise<Stub> {
  const sockets = new Set<net.Socket>();
  const requests: StubRequest[] = [];
  let connections = 0;
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    const number = ++connections;
    options.onConnection?.(socket, number);
    serve(socket, number, handler, options, requests);
  });
  const path = join(temporaryFolder("stub"), "s.sock");
  await new Promise<void>((resolve) => {
    if (options.tcp === true) server.listen(0, "127.0.0.1", resolve);
    else server.listen(path, resolve);
  });
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    connect:
      options.tcp === true ? `127.0.0.1:${(server.address() as net.AddressInfo).port}` : `unix:${path}`,
    get connections() {
      return connections;
    },
    sockets,
    requests,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function serve(
  socket: net.Socket,
  connection: number,
  handler: (request: StubRequest) => void,
  options: StubOptions,
  all: StubRequest[],
): void {
  let rest: Buffer = Buffer.alloc(0);
  const open = new Map<
    number,
    { begin: Buffer; params: Buffer[]; request: Mutable<StubRequest> | undefined }
  >();
  socket.on("data", (chunk: Buffer) => {
    const decoded = decodeRecords(rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk);
    rest = decoded.rest;
    for (const { type, id, content } of decoded.records) {
      if (type === TYPE.GET_VALUES) {
        const names = decodePairs(content).map(([name]) => name);
        options.onGetValues?.(names, socket);
        continue;
      }
      if (type === TYPE.BEGIN_REQUEST) {
        open.set(id, { begin: Buffer.from(content), params: [], request: undefined });
        continue;
      }
      const entry = open.get(id);
      if (entry === undefined) continue;
      const { request } = entry;
      if (type === TYPE.PARAMS) {
        if (content.length > 0) entry.params.push(Buffer.from(content));
        else {
          entry.request = makeRequest(socket, connection, id, entry.begin, Buffer.concat(entry.params));
          all.push(entry.request);
          if (options.early === true) handler(entry.request);
        }
      } else if (type === TYPE.STDIN && request !== undefined) {
        request.stdinBytes += content.length;
        if (content.length > 0) {
          if (options.countOnly !== true) request.stdin = Buffer.concat([request.stdin, content]);
        } else {
          request.stdinEnded = true;
          if (options.early !== true && request.role !== 3) handler(request);
        }
      } else if (type === TYPE.DATA && request !== undefined) {
        if (content.length > 0) request.data = Buffer.concat([request.data, content]);
        else if (options.early !== true) handler(request);
      } else if (type === TYPE.ABORT_REQUEST && request !== undefined) {
        request.aborted = true;
        options.onAbort?.(request);
      }
    }
  });
}

function makeRequest(
  socket: net.Socket,
  connection: number,
  id: number,
  begin: Buffer,
  params: Buffer,
): Mutable<StubRequest> {
  const pairs = decodePairs(params);
  const raw = (bytes: Uint8Array): void => void socket.write(bytes);
  const keepConn = (begin[2]! & 1) === 1;
  const request: StubRequest = {
    id,
    role: begin.readUInt16BE(0),
    keepConn,
    params: Object.fromEntries(pairs),
    pairs,
    stdin: Buffer.alloc(0),
    stdinBytes: 0,
    data: Buffer.alloc(0),
    stdinEnded: false,
    aborted: false,
    connection,
    socket,
    raw,
    stdout: (text, padding) => {
      const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : Buffer.from(text);
      for (let at = 0; at < bytes.length; at += 65528) {
        raw(rawRecord(TYPE.STDOUT, id, bytes.subarray(at, at + 65528), padding));
      }
    },
    stderr: (text) => raw(rawRecord(TYPE.STDERR, id, text)),
    eof: () => raw(rawRecord(TYPE.STDOUT, id)),
    end: (appStatus = 0, protocolStatus = 0) => {
      raw(endRecord(id, appStatus, protocolStatus));
      if (!keepConn) socket.end();
    },
    answer: (text) => {
      request.stdout(text);
      request.eof();
      request.end();
    },
  };
  return request;
}

/** FCGI_END_REQUEST. FastCGI 1.0 §5.5. */
export function endRecord(id: number, appStatus = 0, protocolStatus = 0): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32BE(appStatus);
  body.writeUInt8(protocolStatus, 4);
  return rawRecord(TYPE.END_REQUEST, id, body);
}

/** The parameters of a request, as few as needed. */
export function params(method = "GET", more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    REQUEST_METHOD: method,
    REQUEST_URI: "/",
    SCRIPT_NAME: "",
    PATH_INFO: "/",
    SERVER_PROTOCOL: "HTTP/1.1",
    ...more,
  };
}

/** A whole body, latin1. */
export async function textOf(body: AsyncIterable<unknown>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("latin1");
}

/**
 * A raw FastCGI responder that breaks its answer off in every way an application could: what the web server makes
 * of it decides how Postern does it. None of the product's code.
 *
 * `GET /?way=fin&bytes=100&pauseMs=0` answers a header block without Content-Length and that many bytes, then breaks
 * off: in the same write, or so many milliseconds later.
 */
import { chmodSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { decodePairs, decodeRecords, rawRecord, TYPE } from "../records.ts";
import { temporaryFolder } from "../temp.ts";
import { type FastCgiAddress, giveToServerGroup } from "../web-servers/web-server.ts";

const END = "\0\0\0\0\0\0\0\0";
const FAILED_END = "\0\0\0\x01\0\0\0\0";
const OVERLOADED_END = "\0\0\0\x01\x02\0\0\0";

export type WayName =
  | "whole"
  | "failed"
  | "bareEnd"
  | "overloaded"
  | "fin"
  | "reset"
  | "partialHeader"
  | "partialContent"
  | "emptyStdout"
  | "wrongVersion"
  | "unknownType"
  | "wrongId"
  | "versionReset"
  | "length";

export interface Way {
  readonly what: string;
  /** What is sent before the connection is closed, for the request with this id. */
  readonly bytes: (id: number) => Buffer;
  /** Close with a reset where the transport has one. */
  readonly resets?: boolean;
  /** Announce more bytes than will come. */
  readonly hasLength?: boolean;
}

const nothing = (): Buffer => Buffer.alloc(0);

/** Every way to break off, and one that ends well for comparison. */
export const WAYS: Readonly<Record<WayName, Way>> = {
  whole: {
    what: "empty STDOUT, END_REQUEST 0, FIN (a whole body)",
    bytes: (id) => Buffer.concat([rawRecord(TYPE.STDOUT, id), rawRecord(TYPE.END_REQUEST, id, END)]),
  },
  failed: {
    what: "(a) END_REQUEST appStatus 1, FIN",
    bytes: (id) => Buffer.concat([rawRecord(TYPE.STDOUT, id), rawRecord(TYPE.END_REQUEST, id, FAILED_END)]),
  },
  bareEnd: {
    what: "(a') END_REQUEST appStatus 1 without the end of STDOUT, FIN",
    bytes: (id) => rawRecord(TYPE.END_REQUEST, id, FAILED_END),
  },
  overloaded: {
    what: '(a") END_REQUEST appStatus 1, FCGI_OVERLOADED, FIN',
    bytes: (id) => rawRecord(TYPE.END_REQUEST, id, OVERLOADED_END),
  },
  fin: { what: "(b) FIN", bytes: nothing },
  reset: { what: "(c) reset", bytes: nothing, resets: true },
  partialHeader: {
    what: "(d) half a record header, FIN",
    bytes: (id) => rawRecord(TYPE.STDOUT, id).subarray(0, 4),
  },
  partialContent: {
    what: "(d') a record without the end of its content, FIN",
    bytes: (id) => rawRecord(TYPE.STDOUT, id, "x".repeat(100)).subarray(0, 58),
  },
  emptyStdout: { what: "(e) empty STDOUT, FIN", bytes: (id) => rawRecord(TYPE.STDOUT, id) },
  wrongVersion: {
    what: "(f) a record of version 0, FIN",
    bytes: (id) => rawRecord(TYPE.STDOUT, id, "", 0, 0),
  },
  unknownType: {
    what: "(g) an unasked UNKNOWN_TYPE, FIN",
    bytes: () => rawRecord(TYPE.UNKNOWN_TYPE, 0, END),
  },
  wrongId: { what: "(h) a record of another request id, FIN", bytes: (id) => rawRecord(TYPE.STDOUT, id + 1) },
  versionReset: {
    what: "(i) a record of version 0, reset",
    bytes: (id) => rawRecord(TYPE.STDOUT, id, "", 0, 0),
    resets: true,
  },
  length: { what: "(j) Content-Length, FIN", bytes: nothing, hasLength: true },
};

export interface CutResponder {
  readonly address: FastCgiAddress;
  close(): Promise<void>;
}

export async function startCutResponder(transport: "unix" | "tcp"): Promise<CutResponder> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // The web server may hang up as it likes.
    serve(socket);
  });
  const path = join(temporaryFolder("cut"), "c.sock");
  await new Promise<void>((resolve) => {
    if (transport === "unix") server.listen(path, resolve);
    else server.listen(0, "127.0.0.1", resolve);
  });
  if (transport === "unix") {
    chmodSync(path, 0o660);
    giveToServerGroup(path);
  }
  const port = (server.address() as net.AddressInfo).port;
  return {
    address: transport === "unix" ? { unix: path } : { host: "127.0.0.1", port },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function serve(socket: net.Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  let params: Buffer[] = [];
  socket.on("data", (chunk) => {
    const { records, rest } = decodeRecords(Buffer.concat([pending, chunk as Buffer]));
    pending = rest;
    for (const { type, id, content } of records) {
      if (type === TYPE.BEGIN_REQUEST) params = [];
      else if (type === TYPE.PARAMS) params.push(content);
      else if (type === TYPE.STDIN && content.length === 0) {
        const query = Object.fromEntries(decodePairs(Buffer.concat(params)))["QUERY_STRING"];
        answer(socket, id, new URLSearchParams(query));
      }
    }
  });
}

function answer(socket: net.Socket, id: number, query: URLSearchParams): void {
  const way: Way = WAYS[query.get("way") as WayName];
  const bytes = Number(query.get("bytes"));
  const pauseMs = Number(query.get("pauseMs"));
  const length = way.hasLength ? `Content-Length: ${bytes + 100}\r\n` : "";
  const records = [rawRecord(TYPE.STDOUT, id, `Status: 200 OK\r\nContent-Type: text/plain\r\n${length}\r\n`)];
  for (let left = bytes; left > 0; left -= 8192) {
    records.push(rawRecord(TYPE.STDOUT, id, "x".repeat(Math.min(left, 8192))));
  }
  const close = (): void => {
    if (!way.resets) socket.end();
    else if (socket.remoteAddress !== undefined) socket.resetAndDestroy();
    else socket.destroy(); // unix sockets have no reset
  };
  if (pauseMs === 0) socket.write(Buffer.concat([...records, way.bytes(id)]), close);
  else {
    socket.write(Buffer.concat(records));
    setTimeout(() => socket.write(way.bytes(id), close), pauseMs);
  }
}

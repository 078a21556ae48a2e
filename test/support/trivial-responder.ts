/**
 * The smallest FastCGI responder, to prove that a web server's harness works: it waits for a whole request and
 * answers with what it got, as JSON. Not the product, and none of its code.
 */
import { chmodSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { decodePairs, decodeRecords, rawRecord, TYPE } from "./records.ts";
import { temporaryFolder } from "./temp.ts";
import { type FastCgiAddress, giveToServerGroup } from "./web-servers/web-server.ts";

/** The JSON it answers with. */
export interface TrivialAnswer {
  readonly params: Readonly<Record<string, string>>;
  readonly stdinBytes: number;
  readonly keepConn: boolean;
  /** Which connection since the start, from 1. */
  readonly connection: number;
}

export interface TrivialResponder {
  readonly address: FastCgiAddress;
  close(): Promise<void>;
}

export async function startTrivialResponder(transport: "unix" | "tcp" = "unix"): Promise<TrivialResponder> {
  const sockets = new Set<net.Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // The web server may hang up as it likes.
    serve(socket, ++connections);
  });
  const path = join(temporaryFolder("responder"), "r.sock");
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

function serve(socket: net.Socket, connection: number): void {
  let pending: Buffer = Buffer.alloc(0);
  let keepConn = false;
  let params: Buffer[] = [];
  let stdinBytes = 0;
  socket.on("data", (chunk) => {
    const { records, rest } = decodeRecords(Buffer.concat([pending, chunk as Buffer]));
    pending = rest;
    for (const { type, id, content } of records) {
      if (type === TYPE.BEGIN_REQUEST) {
        keepConn = (content.readUInt8(2) & 1) === 1;
        params = [];
        stdinBytes = 0;
      } else if (type === TYPE.PARAMS) params.push(content);
      else if (type === TYPE.STDIN && content.length > 0) stdinBytes += content.length;
      else if (type === TYPE.STDIN) {
        const pairs = Object.fromEntries(decodePairs(Buffer.concat(params)));
        const answer: TrivialAnswer = { params: pairs, stdinBytes, keepConn, connection };
        const output = Buffer.concat([
          rawRecord(
            TYPE.STDOUT,
            id,
            `Status: 200 OK\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(answer)}`,
          ),
          rawRecord(TYPE.STDOUT, id),
          rawRecord(TYPE.END_REQUEST, id, "\0\0\0\0\0\0\0\0"),
        ]);
        if (keepConn) socket.write(output);
        else socket.end(output);
      }
    }
  });
}

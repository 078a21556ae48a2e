/** The side listener of `--ws-http`, met by peers that leave, dawdle or are too many. */
import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { WsHttp } from "../../../src/manager/ws-http.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { TestLog } from "../../support/wire.ts";

const UPGRADE = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

let side: WsHttp;
let path: string;
let log: TestLog;
const peers: Socket[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.destroy();
  side.destroy("the test is over");
  await side.closed;
});

async function start(server: HttpServer | undefined, options: ServerOptions = {}): Promise<void> {
  path = join(temporaryFolder("ws"), "s.sock");
  log = new TestLog();
  side = await new WsHttp(() => server, { bind: path, logger: log, ...options }).listen();
}

interface Peer {
  readonly socket: Socket;
  text: string;
  isClosed: boolean;
}

async function open(): Promise<Peer> {
  const socket = connect(path);
  const peer: Peer = { socket, text: "", isClosed: false };
  peers.push(socket);
  socket.setEncoding("latin1");
  socket.on("data", (piece: string) => {
    peer.text += piece;
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    peer.isClosed = true;
  });
  await once(socket, "connect");
  return peer;
}

/** An application that answers every upgrade 101 and says no more. */
function accepting(): HttpServer {
  return createServer().on("upgrade", (_request, socket) => {
    socket.on("error", () => {});
    socket.on("end", () => socket.end()).resume();
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  });
}

describe("the side listener", () => {
  it("outlives clients that leave before they are told that nobody takes upgrades", async () => {
    await start(undefined);
    for (let count = 0; count < 30; count++) {
      const { socket } = await open();
      socket.write(UPGRADE, () => socket.destroy());
    }
    const peer = await open();
    peer.socket.write(UPGRADE);
    await waitFor(() => peer.text.startsWith("HTTP/1.1 501 Not Implemented"));
  });

  it("keeps no socket of an upgrade that nobody took", async () => {
    await start(undefined);
    const peer = await open();
    peer.socket.write(UPGRADE);
    await waitFor(() => peer.isClosed);
    await side.close(); // which waits for every socket
    expect(log.text).toEqual([]);
  });

  it("ends whatever has not become a tunnel in time", async () => {
    await start(accepting(), { recordTimeoutMs: 300 });
    const [silent, slow, tunnel] = [await open(), await open(), await open()];
    slow.socket.write("GET /ws HTTP/1.1\r\nX");
    tunnel.socket.write(UPGRADE);
    await waitFor(() => tunnel.text.startsWith("HTTP/1.1 101"));
    await waitFor(() => silent.isClosed && slow.isClosed);
    expect(tunnel.isClosed).toBe(false);
    expect(side.openTunnels).toBe(1);
  });

  it("that closes gives who has just come time to ask, and ends who does not", async () => {
    await start(accepting());
    const [late, silent] = [await open(), await open()];
    // Accepted in their order: the answer says that both are in.
    const last = await open();
    last.socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await waitFor(() => last.text.startsWith("HTTP/1.1 426"));
    const closed = side.close();
    late.socket.write(UPGRADE);
    await waitFor(() => late.text.startsWith("HTTP/1.1 101"));
    await waitFor(() => silent.isClosed);
    expect(late.isClosed).toBe(false);
    late.socket.destroy();
    await closed;
  });

  it("takes no more than maxConnections", async () => {
    await start(accepting(), { maxConnections: 1 });
    const first = await open();
    first.socket.write(UPGRADE);
    await waitFor(() => first.text.startsWith("HTTP/1.1 101"));
    const second = await open();
    await waitFor(() => second.isClosed);
    expect(log.text).toEqual(["warn connection refused: more than 1 connections"]);
    first.socket.destroy();
    await waitFor(() => side.openTunnels === 0);
    const third = await open();
    third.socket.write(UPGRADE);
    await waitFor(() => third.text.startsWith("HTTP/1.1 101"));
  });
});

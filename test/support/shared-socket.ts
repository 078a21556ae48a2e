/**
 * A listening socket as a process manager has it: bound and listening, and not accepted from by whoever holds it. A
 * server of this process can adopt it (`fd:N`), and children can inherit it.
 */
import net from "node:net";
import { join } from "node:path";
import { type Running, start } from "./process.ts";
import { temporaryFolder } from "./temp.ts";

interface Handle {
  readonly fd: number;
  open(fd: number): number;
  listen(backlog: number): number;
  readStart(): number;
  readStop(): number;
  unref(): void;
  getsockname?(out: { address?: string; port?: number }): number;
}
type CreateHandle = (address: string, port: number, type: number) => Handle;

export interface SharedSocket {
  readonly fd: number;
  /** For `connectWire`. */
  readonly where: { path: string } | { host: string; port: number };
}

export function shareSocket(kind: "unix" | "tcp"): SharedSocket {
  const { _createServerHandle: create } = net as unknown as { _createServerHandle: CreateHandle };
  const path = join(temporaryFolder("shared"), "s.sock");
  const handle = kind === "unix" ? create(path, -1, -1) : create("127.0.0.1", 0, 4);
  for (const result of [handle.open(handle.fd), handle.listen(50), handle.readStart(), handle.readStop()]) {
    if (result !== 0) throw new Error(`a shared socket could not be made: ${result}`);
  }
  // It cannot be closed: the server that adopts the descriptor closes that, and another file may have its number.
  handle.unref();
  if (kind === "unix") return { fd: handle.fd, where: { path } };
  const bound: { port?: number } = {};
  handle.getsockname?.(bound);
  return { fd: handle.fd, where: { host: "127.0.0.1", port: bound.port ?? 0 } };
}

/** Another process that accepts on it. It says its name to whoever connects, and hangs up. */
export async function startSibling(socket: SharedSocket, name: string): Promise<Running> {
  const program = `
    const server = require("node:net").createServer((peer) => {
      peer.on("error", () => {});
      peer.end(${JSON.stringify(name)});
    });
    server.listen({ fd: 0 }, () => console.log("accepting"));
  `;
  const sibling = start(process.execPath, ["-e", program], { stdin: socket.fd });
  await sibling.waitForLine(/accepting/, { timeoutMs: 20_000 });
  return sibling;
}

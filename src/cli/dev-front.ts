/** The HTTP side of `postern dev`: the gateway on a port of this machine, a line for each request, and WebSockets. */
import type { IncomingMessage } from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import type { SettingError } from "../base/errors.ts";
import { silentLogger } from "../base/log.ts";
import { type AccessEntry, createGateway, type Gateway } from "../gateway/index.ts";

/** Ports that are tried when nobody has named one. */
const MOST_PORTS = 20;
/** A request may wait for an application that is slow to start. */
const PATIENCE_MS = 120_000;

export interface DevFrontOptions {
  readonly host: string;
  /** The first to try; the only one when it was asked for. */
  readonly port: number;
  readonly isAsked: boolean;
  /** The sockets of the worker. */
  readonly connect: string;
  /** For WebSockets; undefined: the application knows none. */
  readonly wsPath: string | undefined;
  readonly files: string | undefined;
  readonly mount: string | undefined;
  readonly onAccess: (entry: AccessEntry) => void;
}

/** @throws {SettingError} ERR_POSTERN_ADDRESS */
export async function openDevFront(options: DevFrontOptions): Promise<Gateway> {
  for (let port = options.port; ; port++) {
    const gateway = makeGateway(options);
    try {
      await gateway.listen(`${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`);
      return gateway;
    } catch (error) {
      await gateway.close();
      const { code } = Object((error as SettingError).cause) as { code?: string };
      const isLast = options.isAsked || port >= options.port + MOST_PORTS || port === 65535;
      if (code !== "EADDRINUSE" || isLast) throw error;
    }
  }
}

function makeGateway(options: DevFrontOptions): Gateway {
  const gateway = createGateway({
    connect: options.connect,
    // No connection outlives its request: the next one is for whichever worker is there by then.
    client: { keepConn: false, timeoutMs: PATIENCE_MS },
    development: true,
    logger: silentLogger,
    drainTimeoutMs: 1,
    onAccess: options.onAccess,
    ...(options.files !== undefined && { files: options.files }),
    ...(options.mount !== undefined && { mount: options.mount }),
  });
  const { wsPath } = options;
  if (wsPath !== undefined) {
    gateway.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      passOn(request, socket, head, wsPath),
    );
  }
  return gateway;
}

/** As it came, to the side listener of the worker. */
function passOn(request: IncomingMessage, socket: Duplex, head: Buffer, path: string): void {
  const worker = net.connect(path);
  const end = (): void => {
    socket.destroy();
    worker.destroy();
  };
  for (const one of [socket, worker]) {
    one.on("error", end);
    one.on("close", end);
  }
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
  }
  worker.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  worker.write(head);
  worker.pipe(socket);
  socket.pipe(worker);
}

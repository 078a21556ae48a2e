/** A relay between web server and application that counts, to know what went over the socket and what did not. */
import net from "node:net";
import type { FastCgiAddress } from "../web-servers/web-server.ts";

export interface Relay {
  readonly address: FastCgiAddress;
  /** Bytes from the application so far. */
  readonly answeredBytes: number;
  close(): Promise<void>;
}

export async function startRelay(target: FastCgiAddress): Promise<Relay> {
  let answeredBytes = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({
      ...("unix" in target ? { path: target.unix } : target),
      allowHalfOpen: true,
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.once("error", () => other.destroy());
      one.once("close", () => {
        sockets.delete(one);
        if (!one.readableEnded) other.destroy();
      });
    }
    far.on("data", (piece) => {
      answeredBytes += piece.length;
    });
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    address: { host: "127.0.0.1", port: (server.address() as net.AddressInfo).port },
    get answeredBytes() {
      return answeredBytes;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** TCP ports for servers that cannot tell which one the kernel gave them. Our own servers listen on port 0. */
import net from "node:net";

/** Ports this process has handed out: the kernel likes to give the same one again. */
const taken = new Set<number>();

/**
 * A port nobody listens on. Somebody may take it before the caller does; a caller that cares tries again.
 */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = net.createServer();
      server.once("error", reject);
      server.listen(0, host, () => {
        const address = server.address() as net.AddressInfo;
        server.close(() => resolve(address.port));
      });
    });
    if (taken.has(port)) continue;
    taken.add(port);
    return port;
  }
}

/** Whether something accepts connections there. */
export function isListening(where: net.NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(where);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/**
 * The HTTP gateway in front of an application of this very process: it talks FastCGI to a server of its own, on a
 * socket that nobody else uses. So the gateway can finish what it has begun while the sockets of web servers are
 * closed already.
 */
import { mkdtempSync, rmSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { silentLogger } from "../base/log.ts";
import { createGateway } from "../gateway/index.ts";
import type { Handler } from "../server/exchange.ts";
import type { ServerHooks } from "../server/hooks.ts";
import type { ResolvedOptions, ServerOptions } from "../server/options.ts";
import type { Drainable } from "../server/process.ts";
import { Server } from "../server/server.ts";

/** A server, or the gateway with a server of its own behind it. */
export type Part = Drainable & { close(): Promise<unknown>; cut(reason: string): void };

export interface Front extends Part {
  /** Where it can be reached, such as `http://localhost:8080/`. */
  readonly url: string | undefined;
  readonly server: Server;
  /** Upgraded connections. */
  readonly openTunnels: number;
}

export interface FrontOptions {
  /** Where HTTP is answered, as `Gateway.listen` takes it. */
  readonly address: string;
  /** A folder whose files are served before the application is asked. */
  readonly files: string | undefined;
  /** Of the server behind the gateway. Without those about URLs: the gateway tells them itself. */
  readonly server: ServerOptions & Pick<ResolvedOptions, "logger" | "development">;
  readonly hooks?: ServerHooks;
  /** The application's http.Server, if it is one: upgraded connections go to it as they come, not over FastCGI. */
  readonly upgradeServer?: HttpServer | undefined;
  /** An empty folder that only this process may enter, for the private socket; else one is made and removed. */
  readonly folder?: string;
}

/** @throws {SettingError} ERR_POSTERN_ADDRESS */
export async function openFront(handler: Handler, options: FrontOptions): Promise<Front> {
  const { address, files, hooks } = options;
  const { logger, development } = options.server;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "postern-"));
  const server = new Server(handler, { ...options.server, bind: `unix:${join(folder, "app.sock")}` }, hooks);
  const destroy = (reason: string): void => {
    server.destroy(reason);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.listen();
    const gateway = createGateway({
      connect: server.addresses[0]!,
      // What the application writes to STDERR has been logged by the server behind it, in this process.
      logger: { ...logger, warn: silentLogger.warn },
      development,
      ...(files !== undefined && { files }),
    });
    const tunnels = passUpgrades(gateway.server, options.upgradeServer);
    const cutTunnels = (): void => {
      for (const socket of tunnels) socket.destroy();
    };
    await gateway.listen(address);
    return {
      options: server.options,
      server,
      url: gateway.url,
      get openTunnels() {
        return tunnels.size;
      },
      get stats() {
        return server.stats;
      },
      closed: server.closed.then(() => rmSync(folder, { recursive: true, force: true })),
      // The gateway goes first, so that what it has accepted still finds the application.
      close: async () => {
        const { drainTimeoutMs } = server.options;
        const timer = drainTimeoutMs > 0 ? setTimeout(cutTunnels, drainTimeoutMs) : undefined;
        await gateway.close();
        clearTimeout(timer);
        await server.close();
      },
      cut: (reason) => server.cut(reason),
      destroy: (reason) => {
        cutTunnels();
        destroy(reason);
      },
    };
  } catch (error) {
    destroy("start failed");
    throw error;
  }
}

/** Hands upgrades to the application, if it takes any. Returns the sockets that are with it, for the end. */
function passUpgrades(from: HttpServer, to: HttpServer | undefined): ReadonlySet<Duplex> {
  const tunnels = new Set<Duplex>();
  // Without a listener Node takes such requests for ordinary ones, and so does the application's own server.
  if (to === undefined || to.listenerCount("upgrade") === 0) return tunnels;
  from.on("upgrade", (request, socket, head) => {
    tunnels.add(socket);
    socket.once("close", () => tunnels.delete(socket));
    socket.on("error", () => {}); // visitors leave, also those of an application that does not think of it
    to.emit("upgrade", request, socket, head);
  });
  return tunnels;
}

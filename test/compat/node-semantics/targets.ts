/** The ways to run the application under this Node: on its own, behind the gateway, behind nginx. */
import { join } from "node:path";
import { createGateway } from "../../../src/gateway/index.ts";
import { built } from "../../support/e2e/built.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { type Running, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { startNginx } from "../../support/web-servers/nginx.ts";
import type { Target, Variant } from "./subject.ts";

const APP = join(repositoryRoot, "test", "compat", "node-semantics", "app.mjs");
const WAIT = { timeoutMs: 20_000 };

/** Starts the application on FastCGI; resolves when it listens. `command` runs the file, such as `["deno", "run", "-A"]`. */
async function startApp(
  variant: Variant,
  command: readonly [string, ...string[]] = [process.execPath],
): Promise<{ readonly app: Running; readonly socket: string }> {
  await built();
  const socket = join(temporaryFolder("app"), "a.sock");
  const [program, ...args] = command;
  const app = start(program, [...args, APP, "fastcgi", `unix:${socket}`, variant]);
  await app.waitForLine(/^listening /, WAIT);
  return { app, socket };
}

/** node:http itself: what the others are compared with. */
export const nodeHttp: Target = {
  name: "node:http",
  async start(variant) {
    const app = start(process.execPath, [APP, "http", "-", variant]);
    const [, port] = await app.waitForLine(/^listening (\d+)$/, WAIT);
    return { origin: `http://127.0.0.1:${port}`, app, stop: async () => void (await app.stop()) };
  },
};

/** A target behind our gateway, which runs in this process; the application runs under `command`. */
export function behindGateway(name: string, command?: readonly [string, ...string[]]): Target {
  return {
    name,
    async start(variant) {
      const { app, socket } = await startApp(variant, command);
      const gateway = createGateway({ connect: `unix:${socket}`, drainTimeoutMs: 1 });
      await gateway.listen("127.0.0.1:0");
      const { port } = gateway.server.address() as { port: number };
      return {
        origin: `http://127.0.0.1:${port}`,
        app,
        async stop() {
          await gateway.close();
          await app.stop();
        },
      };
    },
  };
}

export const gateway: Target = behindGateway("gateway");

/** nginx passing on everything as it comes; it keeps connections to the configured variant. */
export const nginx: Target = {
  name: "nginx",
  async start(variant) {
    const { app, socket } = await startApp(variant);
    const web = await startNginx({
      application: { unix: socket },
      streaming: true,
      keepConn: variant === "configured",
    });
    return {
      origin: web.origin,
      app,
      async stop() {
        await web.stop();
        await app.stop();
      },
    };
  },
};

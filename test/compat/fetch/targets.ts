/** The ways to run the application: by srvx over node:http, and by Postern behind the gateway and behind nginx. */
import { join } from "node:path";
import { createGateway } from "../../../src/gateway/index.ts";
import { built } from "../../support/e2e/built.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { type Running, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { startNginx } from "../../support/web-servers/nginx.ts";
import type { Target } from "./subject.ts";

const APP = join(repositoryRoot, "test", "compat", "fetch", "app.mjs");
const WAIT = { timeoutMs: 20_000 };
const NODE = [process.execPath, "--expose-gc"] as const;
const MOUNT = "/yourapplication";

/** A program and the arguments in front of the file it runs, such as `["deno", "run", "-A"]`. */
export type Command = readonly [program: string, ...args: string[]];

/** Starts the application on FastCGI; resolves when it listens. */
async function startApp(
  command: Command = NODE,
  options: object = {},
): Promise<{ readonly app: Running; readonly socket: string }> {
  await built();
  const socket = join(temporaryFolder("app"), "a.sock");
  const [program, ...args] = command;
  const app = start(program, [...args, APP, "postern", `unix:${socket}`, JSON.stringify(options)]);
  await app.waitForLine(/^listening /, WAIT);
  return { app, socket };
}

/** The reference: srvx over node:http. */
export const srvx: Target = {
  name: "srvx",
  async start() {
    const app = start(NODE[0], [NODE[1], APP, "srvx", "-"]);
    const [, port] = await app.waitForLine(/^listening (\d+)$/, WAIT);
    return { url: `http://127.0.0.1:${port}`, app, stop: async () => void (await app.stop()) };
  },
};

/** Behind our gateway, which runs in this process; the application runs under `command`. */
export function behindGateway(name: string, command?: Command): Target {
  return {
    name,
    async start() {
      const { app, socket } = await startApp(command);
      const gateway = createGateway({ connect: `unix:${socket}`, mount: MOUNT, drainTimeoutMs: 1 });
      await gateway.listen("127.0.0.1:0");
      const { port } = gateway.server.address() as { port: number };
      return {
        url: `http://127.0.0.1:${port}${MOUNT}`,
        app,
        async stop() {
          await gateway.close();
          await app.stop();
        },
      };
    },
  };
}

/** Behind an nginx that passes everything on as it comes. */
export const nginx: Target = {
  name: "nginx",
  async start() {
    const { app, socket } = await startApp();
    const web = await startNginx({
      application: { unix: socket },
      mount: MOUNT,
      streaming: true,
      directives: "fastcgi_param HTTP_HOST $http_host;",
    });
    return {
      url: web.url,
      app,
      async stop() {
        await web.stop();
        await app.stop();
      },
    };
  },
};

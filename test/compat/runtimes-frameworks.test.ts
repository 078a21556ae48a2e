/** The light frameworks under Bun and under Deno, behind the gateway: the expectations are those of Node. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { createGateway, type Gateway } from "../../src/gateway/index.ts";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { frameworkBehaviours, MOUNT, type Site } from "./framework-suite.ts";
import { bun, deno } from "./runtimes/runtimes.ts";

const SERVE = join(repositoryRoot, "test", "compat", "runtimes", "serve-example.mjs");
/** Its example compresses nothing; the gateway is no nginx. */
const LEFT_OUT = new Set(["compression", "gateway"]);

interface Project {
  readonly name: string;
  readonly folder: string;
  /** @default app.js */
  readonly file?: string;
  readonly options?: object;
  /** A feature that it is without, here as under Node. */
  readonly without?: string;
}

const projects: readonly Project[] = [
  { name: "Express 5", folder: "express" },
  { name: "Express 4", folder: "express4" },
  { name: "connect 3", folder: "connect" },
  { name: "Koa 3", folder: "koa" },
  { name: "Fastify 5", folder: "fastify" },
  { name: "NestJS 12 on Express", folder: "nestjs-express", file: "dist/main.js" },
  { name: "NestJS 12 on Fastify", folder: "nestjs-fastify", file: "dist/main.js" },
  { name: "Hono 4", folder: "hono", options: { stripBase: true } },
  { name: "h3 2", folder: "h3", options: { stripBase: true }, without: "slash" },
  { name: "Elysia 1", folder: "elysia", options: { stripBase: true } },
];

for (const { name: runtime, command } of [bun, deno]) {
  describe(`compat | Frameworks | ${runtime}`, () => {
    for (const { name, folder, file = "app.js", options = {}, without } of projects) {
      describe(name, () => {
        let application: Running;
        let gateway: Gateway;
        let site: Site;

        beforeAll(async () => {
          await built();
          const cwd = join(repositoryRoot, "examples", folder);
          const address = `unix:${join(temporaryFolder("fw"), "a.sock")}`;
          const [program, ...args] = command;
          application = start(program, [...args, SERVE, join(cwd, file), address, JSON.stringify(options)], {
            cwd,
            env: { ...process.env, NODE_ENV: "production", NODE_OPTIONS: undefined },
          });
          await application.waitForLine(/^listening /, { timeoutMs: 40_000 });
          gateway = createGateway({ connect: address, mount: MOUNT, drainTimeoutMs: 1 });
          await gateway.listen("127.0.0.1:0");
          const { port } = gateway.server.address() as { port: number };
          site = { target: "nginx", url: `http://127.0.0.1:${port}${MOUNT}`, mount: MOUNT, application };
        });
        afterAll(async () => {
          await gateway?.close();
          await application?.stop();
        });

        for (const { feature, name: behaviour, on, test } of frameworkBehaviours) {
          if (on === "node:http" || LEFT_OUT.has(feature) || feature === without) continue;
          it(behaviour, () => test(site));
        }
      });
    }
  });
}

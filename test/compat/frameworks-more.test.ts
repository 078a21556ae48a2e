/**
 * Frameworks that are recognised and have no example of their own: older majors, smaller ones, and what is not an
 * application but nearly one. Each object is served as its author has it, and asked through nginx.
 */

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type { Application } from "../../src/index.ts";
import { built } from "../support/e2e/built.ts";
import { withSite } from "../support/e2e/served.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

// biome-ignore lint/suspicious/noExplicitAny: frameworks without their types, which are not what is tested
type Any = any;
const require = createRequire(join(repositoryRoot, "test", "compat", "frameworks-more", "package.json"));
const urlOf = (name: string): string => pathToFileURL(require.resolve(name)).href;
const load = async (name: string): Promise<Any> => import(urlOf(name));

/** In an object each, because an await takes some of them for promises. Every one says hello to /hello/NAME, and answers anything else with 404. */
const FRAMEWORKS: readonly (readonly [name: string, make: () => Promise<{ readonly app: unknown }>])[] = [
  [
    "Koa 2",
    async () => {
      const { default: Koa } = await load("koa2");
      const app = new Koa();
      app.use((ctx: Any) => {
        const name = /^\/hello\/(.*)$/.exec(ctx.path)?.[1];
        if (name !== undefined) ctx.body = `hello ${name}`;
      });
      return { app };
    },
  ],
  [
    "Fastify 4",
    async () => {
      const { default: Fastify } = await load("fastify4");
      const app = Fastify();
      app.register(async (scope: Any) => {
        await new Promise((resolve) => setImmediate(resolve));
        scope.get("/hello/:name", async ({ params }: Any) => `hello ${params.name}`);
      });
      return { app };
    },
  ],
  [
    "hapi 21",
    async () => {
      const { default: Hapi } = await load("@hapi/hapi");
      const server = Hapi.server();
      const handler = ({ params }: Any): string => `hello ${params.name}`;
      server.route({ method: "GET", path: "/hello/{name}", handler });
      return { app: server };
    },
  ],
  [
    "polka 0.5",
    async () => {
      const { default: polka } = await load("polka");
      const app = polka();
      return { app: app.get("/hello/:name", (req: Any, res: Any) => res.end(`hello ${req.params.name}`)) };
    },
  ],
  [
    "restana 4",
    async () => {
      const { default: restana } = await load("restana");
      const app = restana();
      return { app: app.get("/hello/:name", (req: Any, res: Any) => res.send(`hello ${req.params.name}`)) };
    },
  ],
  [
    "tinyhttp 3",
    async () => {
      const { App } = await load("@tinyhttp/app");
      const app = new App();
      return { app: app.get("/hello/:name", (req: Any, res: Any) => res.send(`hello ${req.params.name}`)) };
    },
  ],
  [
    "itty-router 6",
    async () => {
      const { AutoRouter } = await load("itty-router");
      const app = AutoRouter();
      app.get("/hello/:name", ({ params }: Any) => new Response(`hello ${params.name}`));
      return { app };
    },
  ],
  [
    "h3 1 through its toNodeListener",
    async () => {
      const { createApp, createRouter, eventHandler, getRouterParam, toNodeListener } = await load("h3v1");
      const router = createRouter().get(
        "/hello/:name",
        eventHandler((event: Any) => `hello ${getRouterParam(event, "name")}`),
      );
      return { app: toNodeListener(createApp().use(router)) };
    },
  ],
  [
    "a router without its application",
    async () => {
      const { default: Router } = await load("router");
      const router = Router();
      router.get("/hello/:name", (req: Any, res: Any) => res.end(`hello ${req.params.name}`));
      return { app: router };
    },
  ],
  [
    "middleware in an object",
    async () => {
      const middleware = (req: Any, res: Any, next: () => void): void => {
        const name = /^\/hello\/(.*)$/.exec(req.url)?.[1];
        if (name === undefined) next();
        else res.end(`hello ${name}`);
      };
      return { app: { middleware } };
    },
  ],
];

describeWithServer("nginx", "compat | Frameworks: recognised objects | nginx", () => {
  it.each(FRAMEWORKS)("%s", async (_name, make) => {
    const { app } = await make();
    await withSite(
      { web: "nginx", mount: "", transport: "unix" },
      app as Application,
      async ({ web, served }) => {
        const answer = await request(`${web.url}/hello/ali`);
        expect([answer.status, answer.text], web.errorLog()).toEqual([200, "hello ali"]);
        expect((await request(`${web.url}/nowhere`)).status).toBe(404);
        expect(served.log.filter(({ level }) => level === "error")).toEqual([]);
      },
    );
  });

  it("middleware that passes an error on is answered 500, and the error is logged", async () => {
    const { default: Router } = await load("router");
    const router = Router();
    router.get("/", (_req: Any, _res: Any, next: (error: Error) => void) => next(new Error("no luck")));
    await withSite({ web: "nginx", mount: "", transport: "unix" }, router, async ({ web, served }) => {
      const answer = await request(`${web.url}/`);
      expect(answer.status).toBe(500);
      expect(answer.text).not.toContain("no luck");
      expect(served.log).toContainEqual(
        expect.objectContaining({
          level: "error",
          fields: expect.objectContaining({ error: expect.objectContaining({ message: "no luck" }) }),
        }),
      );
    });
  });
});

describe("a framework that cannot start", () => {
  it.each([
    ["with workers", []],
    ["in one process", ["--workers", "0"]],
  ])("stops postern serve %s, which says why", async (_name, flags) => {
    await built();
    const folder = temporaryFolder("fail");
    const file = join(folder, "app.mjs");
    writeFileSync(
      file,
      `import Fastify from ${JSON.stringify(urlOf("fastify4"))};
      const app = Fastify();
      app.register(async () => { throw new Error("the database is not there"); });
      export { app };`,
    );
    const cli = join(repositoryRoot, "dist", "cli", "main.js");
    const args = [cli, "serve", file, "--bind", `unix:${join(folder, "a.sock")}`, ...flags];
    const { code, stderr, stdout } = await run(process.execPath, args, { timeoutMs: 30_000 });
    expect(code, stderr).toBe(4);
    expect(`${stdout}${stderr}`).toMatch(
      /Fastify could not be started: app\.ready\(\) failed\n.*the database is not there/,
    );
  });
});

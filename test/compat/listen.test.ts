/** Every framework's own way to listen, unchanged: the start.js of each example, which knows nothing of Postern. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { connectWire } from "../support/wire.ts";

const DIST = join(repositoryRoot, "dist");
const READY = { timeoutMs: 40_000 } as const;

const EXAMPLES: Readonly<Record<string, string>> = {
  "Express 5": "express/start.js",
  "Express 4": "express4/start.js",
  "connect 3": "connect/start.js",
  "Koa 3": "koa/start.js",
  "Fastify 5": "fastify/start.js",
  "NestJS 12 on Express": "nestjs-express/dist/start.js",
  "NestJS 12 on Fastify": "nestjs-fastify/dist/start.js",
  "Hono 4": "hono/start.js",
  "h3 2": "h3/start.js",
  "Elysia 1": "elysia/start.js",
};

const WAYS = {
  "postern serve": (file: string, socket: string) => [
    join(DIST, "cli", "main.js"),
    ...["serve", file, "--bind", `unix:${socket}`, "--workers", "1"],
  ],
  "postern/register": (file: string) => ["--import", join(DIST, "register.js"), file],
} as const;

beforeAll(built);

describe.each(Object.entries(EXAMPLES))("%s, which listens by itself", (_name, example) => {
  for (const [way, argumentsFor] of Object.entries(WAYS)) {
    it(`is served by ${way}, prints the port it asked for, and ends`, async () => {
      const port = await freePort();
      const socket = join(temporaryFolder("li"), "a.sock");
      const isServe = way === "postern serve";
      const [folder = "", ...file] = example.split("/");
      const app = start(process.execPath, argumentsFor(file.join("/"), socket), {
        cwd: join(repositoryRoot, "examples", folder),
        env: {
          ...process.env,
          NODE_ENV: "production",
          NODE_OPTIONS: undefined,
          PORT: String(port),
          ...(!isServe && { POSTERN_BIND: socket }),
        },
      });
      await app.waitForLine(/listening for FastCGI/, READY);
      await app.waitForLine(new RegExp(`listening on port ${port}`), READY);
      const wire = await connectWire({ path: socket });
      const answer = await wire.request({ params: {} }).answer();
      expect(answer.head).toMatch(/^Status: 200/);
      expect(answer.head).toMatch(/content-type: text\/html/i);
      expect(answer.body.length).toBeGreaterThan(0);
      wire.destroy();
      for (const host of ["127.0.0.1", "::1"]) expect(await isListening({ host, port })).toBe(false);
      app.signal("SIGTERM");
      expect((await app.exited).code).toBe(0);
    });
  }
});

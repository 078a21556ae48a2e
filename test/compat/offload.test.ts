/** Files of frameworks and libraries, which know nothing of it, are sent by nginx. */
import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Application } from "../../src/index.ts";
import { contentOf, makeFiles, startOffloadSite } from "../support/e2e/offload-site.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;
/** What these packages export, as far as it is used here. */
type Loose = (...given: readonly unknown[]) => never;

/** A package of one of the projects that scripts/projects.mjs installs. */
function load(project: string, name: string): Loose {
  const loaded = createRequire(join(repositoryRoot, project, "package.json"))(name) as Loose & {
    default?: Loose;
  };
  return loaded.default ?? loaded;
}

const LIBRARIES = "test/compat/libraries";

const APPLICATIONS: Readonly<Record<string, (folder: string) => Application>> = {
  send: (folder) => {
    const send = load(LIBRARIES, "send") as (...given: unknown[]) => { pipe(to: unknown): void };
    return (req: IncomingMessage, res: ServerResponse) => send(req, req.url, { root: folder }).pipe(res);
  },
  "serve-static": (folder) => {
    const serve = (load(LIBRARIES, "serve-static") as (...given: unknown[]) => (...given: unknown[]) => void)(
      folder,
    );
    return (req: IncomingMessage, res: ServerResponse) => serve(req, res, () => res.writeHead(404).end());
  },
  sirv: (folder) => {
    const make = load(LIBRARIES, "sirv") as (...given: unknown[]) => Listener;
    return make(folder, { dev: true });
  },
  "Express behind helmet and response-time": (folder) => {
    const express = load(LIBRARIES, "express") as unknown as {
      (): { use(...given: unknown[]): void };
      static(folder: string): unknown;
    };
    const app = express();
    app.use(load(LIBRARIES, "helmet")());
    app.use(load(LIBRARIES, "response-time")());
    app.use(express.static(folder));
    return app as never;
  },
  Koa: (folder) => {
    const Koa = load("examples/koa", "koa") as unknown as new () => {
      silent: boolean;
      use(middleware: (context: { path: string; type: string; body: unknown }) => void): void;
    };
    const app = new Koa();
    app.silent = true;
    app.use((context) => {
      context.type = "text/plain";
      context.body = createReadStream(join(folder, context.path));
    });
    return app as never;
  },
  "@fastify/static": (folder) => {
    const fastify = (
      load(LIBRARIES, "fastify") as (...given: unknown[]) => { register(...given: unknown[]): void }
    )();
    fastify.register(load(LIBRARIES, "@fastify/static"), { root: folder });
    return fastify as never;
  },
};

describeWithServer("nginx", "files sent by nginx", () => {
  for (const [name, make] of Object.entries(APPLICATIONS)) {
    it(`instead of ${name}`, { timeout: patience(30_000) }, async () => {
      const { folder } = makeFiles();
      const site = await startOffloadSite("nginx", folder, make(folder));
      try {
        const content = contentOf("a.txt");
        for (const range of [undefined, "bytes=100-199", "bytes=-50"]) {
          // Koa has no ranges; sirv takes the last 50 bytes for the first 51.
          if (range !== undefined && (name === "Koa" || (name === "sirv" && range === "bytes=-50"))) continue;
          const before = site.answeredBytes;
          const answer = await request(`${site.web.origin}/a.txt`, {
            headers: range === undefined ? {} : { Range: range },
          });
          const expected =
            range === undefined
              ? content
              : range.includes("100")
                ? content.subarray(100, 200)
                : content.subarray(-50);
          expect([range, answer.status, answer.body.equals(expected)]).toEqual([
            range,
            range === undefined ? 200 : 206,
            true,
          ]);
          expect(answer.headers["content-type"]).toMatch(/^text\/plain/);
          // nginx's own: the file was opened by it.
          expect(answer.headers.etag).toMatch(/^"[\da-f]+-4e27"$/);
          expect(site.answeredBytes - before).toBeLessThan(2000);
        }
        if (name === "Koa") return; // which destroys the response when there is no file, over node:http too
        expect((await request(`${site.web.origin}/missing.txt`)).status).toBe(404);
        expect(site.log.filter(({ level }) => level === "error")).toEqual([]);
      } finally {
        await site.close();
      }
    });
  }
});

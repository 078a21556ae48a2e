/**
 * What every framework's example answers, whatever stands in front: one table of expectations, asked of the framework's
 * own server on node:http and of `postern serve` behind nginx, at the root and below a mount.
 *
 * An example is a project with `app.js`, which exports the framework's object, and `start.js`, which lets it listen by
 * itself and prints `listening on port N`. What one does not have is left out with a reason (`without`).
 */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { connectHttp, type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { giveToServerGroup, type WebServer } from "../support/web-servers/web-server.ts";

export const MOUNT = "/yourapplication";
const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const READY = { timeoutMs: 40_000 } as const; // eight engines at once on two cores, now and then

/** Where the application is asked. */
export interface Site {
  readonly target: "node:http" | "nginx";
  /** Origin and mount, without a slash at the end. */
  readonly url: string;
  /** `""` or `/yourapplication`. */
  readonly mount: string;
  /** The process of the application. */
  readonly application: Running;
}

export interface Behaviour {
  /** What an example may be without. */
  readonly feature: string;
  readonly name: string;
  /** @default both */
  readonly on?: Site["target"];
  readonly test: (site: Site) => Promise<void>;
}

export interface FrameworkProject {
  /** As the published table calls it, with its version: `Express 5`. */
  readonly name: string;
  /** Below the repository: `examples/express`. */
  readonly folder: string;
  /** What `postern serve` is given. @default app.js */
  readonly file?: string;
  /** What is run by `node`, without Postern; it listens on PORT. @default start.js */
  readonly start?: string;
  /** More flags for `postern serve`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Features the example is without: each with a plain sentence that says why. */
  readonly without?: Readonly<Record<string, string>>;
  /** Where it is mounted. @default at the root and below a mount */
  readonly mounts?: readonly string[];
}

function get(site: Site, target: string, options?: RequestOptions): Promise<HttpAnswer> {
  return request(site.url + target, options);
}

/** The answer's JSON; its status must be 200. */
async function json(site: Site, target: string, options?: RequestOptions): Promise<unknown> {
  const answer = await get(site, target, options);
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(answer.text) as unknown;
}

/** What the routes of an example are, and what they answer. */
export const frameworkBehaviours: readonly Behaviour[] = [
  {
    feature: "page",
    name: "a page links below the mount",
    async test(site) {
      const answer = await get(site, "/");
      expect(answer.status, answer.text).toBe(200);
      expect(answer.headers["content-type"]).toMatch(/^text\/html/);
      expect(answer.text).toContain(`href="${site.mount}/news/1"`);
    },
  },
  {
    feature: "param",
    name: "a parameter of the route arrives, decoded",
    async test(site) {
      expect(await json(site, "/news/7")).toMatchObject({ id: "7", mount: site.mount });
      expect(await json(site, "/news/caf%C3%A9%20au%20lait")).toMatchObject({ id: "café au lait" });
    },
  },
  {
    feature: "slash",
    name: "an encoded slash does not part a parameter of the route",
    async test(site) {
      expect(await json(site, "/news/a%2Fb")).toMatchObject({ id: "a/b" });
    },
  },
  {
    feature: "query",
    name: "a query arrives, decoded",
    async test(site) {
      expect(await json(site, "/search?q=a%20b%26c&x=1")).toMatchObject({ q: "a b&c" });
    },
  },
  {
    feature: "json",
    name: "a body of JSON is parsed",
    async test(site) {
      const body = JSON.stringify({ a: [1, "é"], long: "x".repeat(50_000) });
      const headers = { "Content-Type": "application/json" };
      expect(await json(site, "/json", { body, headers })).toEqual({ got: JSON.parse(body) });
    },
  },
  {
    feature: "form",
    name: "a form is parsed",
    async test(site) {
      const headers = { "Content-Type": "application/x-www-form-urlencoded" };
      const body = "name=Ali+Baba&city=K%C3%B6ln";
      expect(await json(site, "/form", { body, headers })).toEqual({
        got: { name: "Ali Baba", city: "Köln" },
      });
    },
  },
  {
    feature: "upload",
    name: "an upload of 1 MB arrives whole",
    async test(site) {
      const body = randomBytes(1_000_000);
      const headers = { "Content-Type": "application/octet-stream" };
      expect(await json(site, "/files/a.bin", { method: "PUT", body, headers })).toEqual({
        name: "a.bin",
        bytes: body.length,
        sha256: createHash("sha256").update(body).digest("hex"),
      });
    },
  },
  {
    feature: "cookies",
    name: "cookies are read, and two are set",
    async test(site) {
      const answer = await get(site, "/cookies", { headers: { Cookie: "theme=dark; other=1" } });
      expect(JSON.parse(answer.text)).toEqual({ theme: "dark" });
      expect(answer.headers["set-cookie"]).toEqual([
        expect.stringMatching(/^seen=yes(;|$)/),
        expect.stringMatching(/^last=news(;|$)/),
      ]);
    },
  },
  {
    feature: "redirect",
    name: "a redirect leads below the mount",
    async test(site) {
      const answer = await get(site, "/old");
      expect(answer.status).toBe(302);
      const location = answer.headers.location ?? "";
      expect(new URL(location, site.url).pathname).toBe(`${site.mount}/news/1`);
      expect((await request(new URL(location, site.url).href)).status).toBe(200);
    },
  },
  {
    feature: "notFound",
    name: "a page that is not there is a 404",
    async test(site) {
      expect((await get(site, "/nowhere")).status).toBe(404);
      expect((await get(site, "/nowhere", { body: "a body nobody reads" })).status).toBe(404);
    },
  },
  {
    feature: "error",
    name: "an error is a 500 that tells nothing, and the next request is served",
    async test(site) {
      const answer = await get(site, "/fail");
      expect(answer.status).toBe(500);
      expect(answer.text).not.toMatch(/secret|node_modules|app\.js/);
      expect((await get(site, "/news/1")).status).toBe(200);
    },
  },
  {
    feature: "stream",
    name: "a streamed answer arrives whole",
    async test(site) {
      const answer = await get(site, "/numbers");
      expect(answer.status).toBe(200);
      const lines = answer.text.trimEnd().split("\n");
      expect([lines.length, lines[0], lines.at(-1)]).toEqual([20_000, "1", "20000"]);
    },
  },
  {
    feature: "events",
    name: "an event arrives while the answer goes on, and the application hears when the client leaves",
    async test(site) {
      const from = site.application.lines.length;
      const client = await connectHttp(site.url);
      try {
        await client.send(`GET ${site.mount}/events HTTP/1.1\r\nHost: example.com\r\n\r\n`);
        await client.waitForText(/content-type: text\/event-stream[\s\S]*data: hello\n\n/i, 10_000);
      } finally {
        client.close();
      }
      await site.application.waitForLine(/a listener left/, { timeoutMs: 10_000, from });
    },
  },
  {
    feature: "head",
    name: "HEAD is GET without its body",
    async test(site) {
      const head = await get(site, "/news/7", { method: "HEAD" });
      const whole = await get(site, "/news/7");
      expect([head.status, head.text]).toEqual([200, ""]);
      expect(head.headers["content-type"]).toBe(whole.headers["content-type"]);
    },
  },
  {
    feature: "conditional",
    name: "what the client has is not sent again",
    async test(site) {
      const first = await get(site, "/cached");
      expect([first.status, first.text]).toEqual([200, "the same as ever\n"]);
      const etag = first.headers.etag ?? "";
      expect(etag).toMatch(/^(W\/)?"[^"]+"$/);
      const again = await get(site, "/cached", { headers: { "If-None-Match": etag } });
      expect([again.status, again.text]).toEqual([304, ""]);
      expect(again.headers.etag).toBe(etag);
      expect((await get(site, "/cached", { headers: { "If-None-Match": '"other"' } })).status).toBe(200);
    },
  },
  {
    feature: "compression",
    name: "an answer is compressed for who takes it",
    async test(site) {
      const packed = await get(site, "/long", { headers: { "Accept-Encoding": "gzip" } });
      expect(packed.headers["content-encoding"]).toBe("gzip");
      const plain = await get(site, "/long");
      expect(plain.headers["content-encoding"]).toBeUndefined();
      expect(packed.body.length).toBeLessThan(plain.body.length / 2);
    },
  },
  {
    feature: "address",
    name: "the client's address is the client's",
    async test(site) {
      const { address } = (await json(site, "/whoami", { headers: { "X-Forwarded-For": "6.6.6.6" } })) as {
        address: string;
      };
      expect(address.replace(/^::ffff:/, "")).toBe("127.0.0.1");
    },
  },
  {
    feature: "gateway",
    name: "the web server's own facts are there",
    on: "nginx",
    async test(site) {
      expect(await json(site, "/gateway")).toEqual({ server: expect.stringMatching(/^nginx\//) });
    },
  },
];

/**
 * The behaviours of one example over both targets. `more` are of this framework alone.
 * Whatever happens in a suite stays in it: processes are started before its first test and stopped after its last.
 */
export function describeFramework(project: FrameworkProject, more: readonly Behaviour[] = []): void {
  const behaviours = [...frameworkBehaviours, ...more].filter(
    ({ feature }) => project.without?.[feature] === undefined,
  );
  describe(`compat | Frameworks: ${project.name} | node:http`, () => {
    let application: Running;
    let site: Site;
    beforeAll(async () => {
      const opened = await startAlone(project);
      application = opened.application;
      site = { target: "node:http", mount: "", ...opened };
    });
    afterAll(() => application?.stop());
    for (const behaviour of behaviours) {
      if (behaviour.on === "nginx") continue;
      it(behaviour.name, () => behaviour.test(site));
    }
  });

  describeWithServer("nginx", `compat | Frameworks: ${project.name} | nginx`, () => {
    let application: Running;
    let socket: string;
    beforeAll(async () => {
      ({ application, socket } = await startServed(project));
    });
    afterAll(() => application?.stop());
    for (const mount of project.mounts ?? ["", MOUNT]) {
      describe(mount === "" ? "at the root" : "mounted", () => {
        let web: WebServer;
        let site: Site;
        beforeAll(async () => {
          web = await startNginx({ application: { unix: socket }, mount });
          site = { target: "nginx", url: web.url, mount, application };
        });
        afterAll(() => web?.stop());
        for (const behaviour of behaviours) {
          if (behaviour.on === "node:http") continue;
          it(behaviour.name, () => behaviour.test(site));
        }
      });
    }
  });
}

/** As in production, where a framework shows no stack to strangers. */
function environment(project: FrameworkProject): Record<string, string | undefined> {
  return { ...process.env, NODE_ENV: "production", NODE_OPTIONS: undefined, ...project.env };
}

/** The example with the framework's own server. */
async function startAlone(project: FrameworkProject): Promise<{ application: Running; url: string }> {
  const cwd = join(repositoryRoot, project.folder);
  const port = String(await freePort());
  const env = { HOST: "127.0.0.1", PORT: port, ...environment(project) };
  const application = start(process.execPath, [project.start ?? "start.js"], { cwd, env });
  await application.waitForLine(new RegExp(`listening on port ${port}`), READY);
  // Elysia's server says so a moment early.
  await waitFor(() => isListening({ host: "127.0.0.1", port: Number(port) }), {
    what: `${project.name} to accept connections`,
    evidence: application.output,
  });
  return { application, url: `http://127.0.0.1:${port}` };
}

/** The example under `postern serve`, on a socket that nginx may use. */
export async function startServed(
  project: FrameworkProject,
): Promise<{ application: Running; socket: string }> {
  await built();
  const cwd = join(repositoryRoot, project.folder);
  const folder = temporaryFolder("fw");
  const socket = join(folder, "app.sock");
  const args = [CLI, "serve", project.file ?? "app.js", "--bind", `unix:${socket}`, "--workers", "1"];
  const application = start(process.execPath, [...args, ...(project.flags ?? [])], {
    cwd,
    env: environment(project),
  });
  await application.waitForLine(/listening for FastCGI/, READY);
  giveToServerGroup(socket);
  return { application, socket };
}

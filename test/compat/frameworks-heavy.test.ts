/**
 * Frameworks that are built before they run: Next.js, SvelteKit, Nuxt, Astro, React Router. Each example is asked what
 * the light ones are asked (framework-suite.ts), and what only these have: pages that come alive in the browser, and
 * a mount that is built in. They are served in two ways: from a file that exports a listener or a fetch function, and
 * unchanged, from the server that the framework has built and that listens by itself.
 */
import { cpSync, mkdirSync } from "node:fs";
import type { OutgoingHttpHeaders } from "node:http";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { type HttpAnswer, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import {
  giveToServerGroup,
  type WebServer,
  type WebServerOptions,
} from "../support/web-servers/web-server.ts";
import { type Behaviour, frameworkBehaviours, MOUNT, type Site, startServed } from "./framework-suite.ts";

/** Features and why they are not asked for. */
type Without = Readonly<Record<string, string>>;

/** One way to serve an example behind nginx. */
interface Service {
  readonly title: string;
  /** For `postern serve`. */
  readonly file?: string;
  /** Or arguments of node, behind `--import postern/register`. */
  readonly args?: readonly string[];
  readonly mount?: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A folder of files that nginx answers itself, as documented for this framework. */
  readonly files?: string;
  readonly without?: Without;
}

interface HeavyProject {
  readonly name: string;
  readonly folder: string;
  /** How the framework serves it over HTTP: arguments of node. */
  readonly alone: readonly string[];
  /** Its environment, besides PORT and HOST. */
  readonly aloneEnv?: (origin: string) => Readonly<Record<string, string>>;
  readonly aloneWithout?: Without;
  readonly services: readonly Service[];
  /** In any way of serving it. */
  readonly without?: Without;
}

// The framework takes its mount off URLs itself, so that it wants them whole: Postern is told of none.
const WHOLE_URLS = ["--base", ""] as const;
const ADDRESS_IN_A_HEADER = "routes see no socket; app.js passes the address on";
const NO_APP_FILE = "there is no app.js that passes it on";
const OWN_SERVER = { address: NO_APP_FILE, gateway: NO_APP_FILE } as const;
const BODIES = { BODY_SIZE_LIMIT: "2M" } as const; // SvelteKit takes 512 kB otherwise
const NO_COMPRESSION = { compression: "the web server's" } as const;
const NO_TAGS = { conditional: "routes make no ETag" } as const;

const projects: readonly HeavyProject[] = [
  {
    name: "Next.js 16",
    folder: "examples/next",
    alone: [".next/standalone/server.js"],
    aloneWithout: { address: ADDRESS_IN_A_HEADER },
    without: NO_TAGS,
    services: [
      { title: "app.js", file: "app.js" },
      { title: "app.js, mounted", file: "app.js", mount: MOUNT, flags: WHOLE_URLS, env: { MOUNT } },
      { title: "its standalone server.js", file: ".next/standalone/server.js", without: OWN_SERVER },
    ],
  },
  {
    name: "SvelteKit 2",
    folder: "examples/sveltekit",
    alone: ["build/index.js"],
    aloneEnv: (origin) => ({ ORIGIN: origin, ...BODIES }),
    without: { ...NO_TAGS, ...NO_COMPRESSION },
    services: [
      { title: "app.js", file: "app.js", env: { PROTOCOL_HEADER: "x-forwarded-proto", ...BODIES } },
      {
        title: "app.js, mounted",
        file: "mounted.js",
        mount: MOUNT,
        flags: WHOLE_URLS,
        env: { PROTOCOL_HEADER: "x-forwarded-proto", ...BODIES },
      },
      {
        title: "its build/index.js",
        file: "build/index.js",
        env: BODIES,
        without: { gateway: NO_APP_FILE, form: "ORIGIN must name the site, whose port is not known here" },
      },
    ],
  },
  {
    name: "Nuxt 4",
    folder: "examples/nuxt",
    alone: [".output/server/index.mjs"],
    without: { ...NO_TAGS, ...NO_COMPRESSION },
    services: [
      { title: "app.js", file: "app.js" },
      {
        title: "app.js, mounted",
        file: "app.js",
        mount: MOUNT,
        flags: WHOLE_URLS,
        env: { NUXT_APP_BASE_URL: `${MOUNT}/` },
      },
      {
        title: "its .output/server/index.mjs",
        file: ".output/server/index.mjs",
        without: { gateway: NO_APP_FILE },
      },
    ],
  },
  {
    name: "Astro 5",
    folder: "examples/astro",
    alone: ["server.js"],
    without: { ...NO_TAGS, ...NO_COMPRESSION, slash: "it leaves %2F in parameters as it is" },
    services: [
      { title: "app.js", file: "app.js", files: "dist/client" },
      {
        title: "app.js, mounted",
        file: "mounted.js",
        mount: MOUNT,
        flags: WHOLE_URLS,
        files: "dist/mounted/client",
      },
      { title: "a server.js that listens", file: "server.js", without: { gateway: NO_APP_FILE } },
    ],
  },
  {
    name: "React Router 7",
    folder: "examples/react-router",
    alone: ["node_modules/@react-router/serve/bin.js", "build/server/index.js"],
    aloneWithout: { address: "loaders see no socket; app.js passes the address on" },
    without: { ...NO_TAGS, ...NO_COMPRESSION, head: "its answer to HEAD has no Content-Type" },
    services: [
      { title: "app.js", file: "app.js", files: "build/client" },
      { title: "app.js, mounted", file: "mounted.js", mount: MOUNT, files: "build/mounted/client" },
      {
        title: "react-router-serve",
        args: ["node_modules/@react-router/serve/bin.js", "build/server/index.js"],
        without: OWN_SERVER,
      },
    ],
  },
];

/** Next.js wants that of a mount without the last slash, and says so. */
async function firstPage(url: string, headers: OutgoingHttpHeaders = {}): Promise<HttpAnswer> {
  const answer = await request(`${url}/`, { headers });
  if (answer.status !== 308) return answer;
  return request(new URL(answer.headers.location ?? "", url).href, { headers });
}

/** In the place of those of framework-suite.ts that have the same name: here routes may be pages. */
const own: readonly Behaviour[] = [
  {
    feature: "page",
    name: "a page links below the mount",
    async test({ url, mount }) {
      const answer = await firstPage(url);
      expect(answer.status, answer.text).toBe(200);
      expect(answer.headers["content-type"]).toMatch(/^text\/html/);
      expect(answer.text).toContain(`href="${mount}/news/1"`);
    },
  },
  {
    feature: "param",
    name: "a parameter of the route is in the page, decoded",
    async test({ url }) {
      expect((await request(`${url}/news/7`)).text).toContain("news 7<");
      expect((await request(`${url}/news/caf%C3%A9%20au`)).text).toContain("news café au<");
    },
  },
  {
    feature: "slash",
    name: "an encoded slash does not part a parameter of the route",
    async test({ url }) {
      expect((await request(`${url}/news/a%2Fb`)).text).toContain("news a/b<");
    },
  },
  {
    feature: "form",
    name: "a form of the site itself is parsed",
    async test({ url }) {
      const headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        Origin: new URL(url).origin,
      };
      const answer = await request(`${url}/form`, { body: "name=Ali+Baba&city=K%C3%B6ln", headers });
      expect(answer.status, answer.text).toBe(200);
      expect(JSON.parse(answer.text)).toEqual({ got: { name: "Ali Baba", city: "Köln" } });
    },
  },
  {
    feature: "redirect",
    name: "a redirect leads below the mount",
    async test({ url, mount }) {
      const answer = await request(`${url}/old`);
      expect([302, 307]).toContain(answer.status);
      const to = new URL(answer.headers.location ?? "", url);
      expect(to.href).toBe(`${new URL(url).origin}${mount}/news/1`);
      expect((await request(to.href)).status).toBe(200);
    },
  },
  {
    feature: "compression",
    name: "a page is compressed for who takes it",
    async test({ url }) {
      const packed = await firstPage(url, { "Accept-Encoding": "gzip" });
      expect(packed.headers["content-encoding"]).toBe("gzip");
      const plain = await firstPage(url);
      expect(plain.headers["content-encoding"]).toBeUndefined();
      expect(gunzipSync(packed.body).toString()).toBe(plain.text);
    },
  },
  {
    feature: "static",
    name: "a file of the project is sent once",
    async test({ url }) {
      const file = await request(`${url}/robots.txt`);
      expect([file.status, file.text]).toEqual([200, "User-agent: *\nDisallow:\n"]);
      expect(file.headers["content-type"]).toMatch(/^text\/plain/);
      const headers = { "If-None-Match": file.headers.etag };
      expect((await request(`${url}/robots.txt`, { headers })).status).toBe(304);
    },
  },
  {
    feature: "script",
    name: "the scripts that bring the page to life are below the mount",
    async test({ url, mount }) {
      const page = await firstPage(url);
      const scripts = [...page.text.matchAll(/"(\/[^"\s]+\.js)"/g)].map(([, path = ""]) => path);
      expect(scripts.length, page.text).toBeGreaterThan(0);
      for (const path of new Set(scripts)) {
        expect(path.startsWith(`${mount}/`), path).toBe(true);
        const script = await request(new URL(path, url).href);
        expect([script.status, script.headers["content-type"]], path).toEqual([
          200,
          expect.stringMatching(/^(text|application)\/javascript/),
        ]);
      }
    },
  },
];

const replaced = new Set(own.map(({ feature }) => feature));
const behaviours = [...frameworkBehaviours.filter(({ feature }) => !replaced.has(feature)), ...own];

function ask(on: Site["target"], without: readonly (Without | undefined)[], site: () => Site): void {
  const missing = new Set(without.flatMap((reasons) => Object.keys(reasons ?? {})));
  for (const behaviour of behaviours) {
    if (missing.has(behaviour.feature) || (behaviour.on ?? on) !== on) continue;
    it(behaviour.name, () => behaviour.test(site()));
  }
}

for (const project of projects) {
  describe(`compat | Frameworks: ${project.name} | node:http`, () => {
    let site: Site;
    beforeAll(async () => {
      site = await startAlone(project);
    });
    afterAll(() => site?.application.stop());
    ask("node:http", [project.without, project.aloneWithout], () => site);
  });

  describeWithServer("nginx", `compat | Frameworks: ${project.name} | nginx`, () => {
    for (const service of project.services) {
      describe(service.title, () => {
        let application: Running;
        let web: WebServer;
        let site: Site;
        beforeAll(async () => {
          const mount = service.mount ?? "";
          const served = await (service.args
            ? startRegistered(project, service.args)
            : startServed({ ...project, ...service }));
          application = served.application;
          web = await startNginx({
            application: { unix: served.socket },
            mount,
            // As docs/deploy/nginx.md has it for other ports than 80 and 443: forms are only taken from the same origin.
            directives: "fastcgi_param HTTP_HOST $host:$server_port;",
            ...publicFiles(project, service),
          });
          site = { target: "nginx", url: web.url, mount, application };
        });
        afterAll(async () => {
          await web?.stop();
          await application?.stop();
        });
        ask("nginx", [project.without, service.without], () => site);
        it("it ends when it is told to, whatever signals the framework handles itself", async () => {
          const exit = await application.stop({ graceMs: 20_000 });
          expect(exit, application.output()).toEqual({ code: 0, signal: null });
          if (service.file) expect(application.output()).toMatch(/worker ended: exit code 0/);
        });
      });
    }
  });
}

/** The framework's own server, over HTTP. */
async function startAlone(project: HeavyProject): Promise<Site> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const application = start(process.execPath, project.alone, {
    cwd: join(repositoryRoot, project.folder),
    env: {
      ...process.env,
      NODE_ENV: "production",
      NODE_OPTIONS: undefined,
      PORT: String(port),
      HOST: "127.0.0.1",
      HOSTNAME: "127.0.0.1", // Next.js's name for it
      ...project.aloneEnv?.(url),
    },
  });
  await waitFor(async () => application.exit ?? (await isListening({ host: "127.0.0.1", port })), {
    timeoutMs: 40_000,
    what: `${project.name} to listen on port ${port}`,
    evidence: application.output,
  });
  return { target: "node:http", url, mount: "", application };
}

/** A program of the framework's own that takes arguments, without the manager. */
async function startRegistered(
  project: HeavyProject,
  args: readonly string[],
): Promise<{ application: Running; socket: string }> {
  await built();
  const socket = join(temporaryFolder("fw"), "app.sock");
  const application = start(process.execPath, ["--import", "postern/register", ...args], {
    cwd: join(repositoryRoot, project.folder),
    env: { ...process.env, NODE_ENV: "production", NODE_OPTIONS: undefined, POSTERN_BIND: `unix:${socket}` },
  });
  await application.waitForLine(/listening for FastCGI/, { timeoutMs: 40_000 });
  giveToServerGroup(socket);
  return { application, socket };
}

/** A copy where nginx's user may read, below the mount. */
function publicFiles(project: HeavyProject, service: Service): Partial<WebServerOptions> {
  if (service.files === undefined) return {};
  const documentRoot = temporaryFolder("www");
  const folder = join(documentRoot, service.mount ?? "");
  mkdirSync(dirname(folder), { recursive: true });
  cpSync(join(repositoryRoot, project.folder, service.files), folder, { recursive: true });
  return { documentRoot, globalDirectives: "types { text/javascript js; text/plain txt; }" };
}

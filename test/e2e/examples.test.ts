/** Every program in examples/ starts and answers, and so does every configuration in docs/deploy that a server is here for. */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { FastCGIClient, type RequestInput, type RequestOptions } from "../../src/client/index.ts";
import { LANGUAGES, makeSite, markOf, render } from "../support/deploy-docs.ts";
import { request } from "../support/http.ts";
import { type CodeBlock, readDocuments } from "../support/markdown.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Running, run, start } from "../support/process.ts";
import { PYTHON } from "../support/python/python.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf, type ServerName } from "../support/web-servers/available.ts";
import { spawnFcgi } from "../support/web-servers/cgi-fcgi.ts";
import { serverUser, startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const tested = new Set<string>();

/** The path of an example's file. */
function example(name: string, file = "app.js"): string {
  tested.add(name);
  return join(repositoryRoot, "examples", name, file);
}

/** `postern serve`, listening. Stops with the test. */
async function serve(file: string, ...flags: string[]): Promise<Running> {
  const running = start(process.execPath, [CLI, "serve", file, ...flags]);
  await running.waitForLine(/info {2}(listening for FastCGI|open) /, { timeoutMs: 15_000 });
  return running;
}

interface Asked {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
  readonly stderr: string;
}

interface Question {
  readonly role?: NonNullable<RequestOptions["role"]>;
  readonly params?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly data?: RequestInput;
}

/** One request over FastCGI, as a web server sends it. */
async function ask(connect: string, url: string, question: Question = {}): Promise<Asked> {
  const client = new FastCGIClient({ connect, keepConn: false });
  const [path = "", query = ""] = url.split("?");
  const { role, stdin, data } = question;
  try {
    const response = await client.request({
      params: {
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: stdin === undefined ? "GET" : "POST",
        REQUEST_URI: url,
        SCRIPT_NAME: "",
        PATH_INFO: decodeURIComponent(path),
        QUERY_STRING: query,
        SERVER_PROTOCOL: "HTTP/1.1",
        SERVER_NAME: "example.com",
        SERVER_PORT: "80",
        REMOTE_ADDR: "192.0.2.7",
        CONTENT_LENGTH: stdin === undefined ? "" : String(stdin.length),
        ...question.params,
      },
      stdin,
      data,
      ...(role !== undefined && { role }),
    });
    const body = await text(response.body);
    return { status: response.status, headers: response.headers, body, stderr: response.stderr };
  } finally {
    await client.close();
  }
}

/** An example on a socket of its own. */
async function serveExample(name: string, file?: string): Promise<{ socket: string; running: Running }> {
  const socket = join(temporaryFolder("ex"), "app.sock");
  const running = await serve(example(name, file), "--bind", `unix:${socket}`);
  return { socket, running };
}

describe("examples", () => {
  it("hello, with HTTP in front", async () => {
    await using running = await serve(example("hello"), "--http", "127.0.0.1:0");
    const [, url = ""] = await running.waitForLine(/open (http\S+)\//);
    const page = await request(`${url.replace("localhost", "127.0.0.1")}/`);
    expect(page.status).toBe(200);
    expect(page.text).toContain("Hello from Postern");
    const upload = await request(`${url.replace("localhost", "127.0.0.1")}/upload`, { body: "12345" });
    expect(JSON.parse(upload.text)).toEqual({ bytes: 5 });
  });

  it("node-listener", async () => {
    const { socket, running } = await serveExample("node-listener");
    expect((await ask(socket, "/x?y")).body).toBe("Hello 192.0.2.7, you asked for /x?y\n");
    await running.stop();
  });

  it("express, below a mount", async () => {
    const { socket, running } = await serveExample("express");
    const params = { SCRIPT_NAME: "/m", PATH_INFO: "/news/7" };
    const answer = await ask(socket, "/m/news/7", { params });
    expect(JSON.parse(answer.body)).toEqual({ id: "7", path: "/news/7", mount: "/m", asked: "/m/news/7" });
    expect((await ask(socket, "/m/", { params: { SCRIPT_NAME: "/m", PATH_INFO: "/" } })).body).toContain(
      'href="/m/news/1"',
    );
    expect((await ask(socket, "/fail")).status).toBe(500);
    await running.stop();
  });

  it("fetch", async () => {
    const { socket, running } = await serveExample("fetch");
    const answer = await ask(socket, "/m/", { params: { SCRIPT_NAME: "/m", PATH_INFO: "/" } });
    expect(JSON.parse(answer.body)).toEqual({
      url: "http://example.com/m/",
      mount: "/m",
      client: "192.0.2.7",
    });
    expect((await ask(socket, "/echo", { stdin: "hello" })).body).toBe("hello");
    expect((await ask(socket, "/later")).status).toBe(202);
    await running.waitForLine(/was recorded after its answer/);
    expect((await ask(socket, "/nowhere")).status).toBe(404);
    await running.stop();
  });

  it("raw", async () => {
    const { socket, running } = await serveExample("raw");
    const { body, stderr } = await ask(socket, "/x", { params: { MORE: "1" } });
    expect(body).toMatch(/^role responder, mount ""\n/);
    expect(body).toContain("\nMORE=1\n");
    expect(stderr).toBe("asked for /x\n");
    await running.stop();
  });

  it("authorizer", async () => {
    const { socket, running } = await serveExample("authorizer");
    const allowed = await ask(socket, "/", { role: "authorizer", params: { HTTP_X_TOKEN: "open-sesame" } });
    expect([allowed.status, ...allowed.headers]).toEqual([200, "Variable-VISITOR", "ali-baba"]);
    expect(
      (await ask(socket, "/", { role: "authorizer", params: { HTTP_X_TOKEN: "open-barley" } })).status,
    ).toBe(403);
    expect((await ask(socket, "/")).body).toBe("behind the door\n");
    await running.stop();
  });

  it("filter", async () => {
    const { socket, running } = await serveExample("filter");
    expect((await ask(socket, "/", { role: "filter", data: "a file\n" })).body).toBe("A FILE\n");
    expect((await ask(socket, "/")).status).toBe(500);
    await running.waitForLine(/no responder handler/);
    await running.stop();
  });

  it("http-server", async () => {
    const { socket, running } = await serveExample("http-server");
    expect((await ask(socket, "/x")).body).toBe("GET /x from 192.0.2.7\n");
    await running.stop();
  });

  it("typescript", async () => {
    const { socket, running } = await serveExample("typescript", "app.ts");
    const { body } = await ask(socket, "/x", { params: { HTTPS: "on" } });
    expect(JSON.parse(body)).toEqual({
      text: "Hello from /x",
      from: { remoteAddress: "192.0.2.7", https: true },
    });
    await running.stop();
  });

  it("static", async () => {
    const port = await freePort();
    await using running = start(process.execPath, [example("static", "serve.js"), `127.0.0.1:${port}`]);
    await running.waitForLine(/open http/, { timeoutMs: 15_000 });
    const file = await request(`http://127.0.0.1:${port}/`);
    expect(file.text).toContain("This page is a file");
    expect(file.headers["cache-control"]).toBe("max-age=60");
    expect((await request(`http://127.0.0.1:${port}/x`)).text).toBe(
      "no file at /x, so the application answers\n",
    );
    expect(await running.stop()).toEqual({ code: 0, signal: null });
  });

  it("shared-hosting, as plain CGI", async () => {
    const { stdout, code } = await run(example("shared-hosting", "yourapplication.fcgi"), [], {
      env: {
        PATH: process.env["PATH"],
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: "GET",
        REQUEST_URI: "/x",
        SCRIPT_NAME: "/yourapplication.fcgi",
        PATH_INFO: "/x",
      },
    });
    expect(stdout).toMatch(/^Status: 200 OK\r?\n/);
    expect(stdout).toMatch(/mount "", path \/x$/);
    expect(code).toBe(0);
  });

  const flask = example("flask", "");
  describeWithServer(["python", "flask"], "in Python", () => {
    const env = {
      PATH: `${dirname(process.execPath)}:/usr/bin:/bin`,
      PYTHONPATH: join(repositoryRoot, "python"),
      PYTHONDONTWRITEBYTECODE: "1",
    };

    it("flask, by its module, below a mount", async () => {
      const socket = join(temporaryFolder("ex"), "app.sock");
      const args = [CLI, "serve", "yourapplication:app", "--bind", `unix:${socket}`, "--python", PYTHON];
      await using running = start(process.execPath, args, { cwd: flask, env });
      await running.waitForLine(/info {2}listening for FastCGI/, { timeoutMs: 15_000 });
      const params = { SCRIPT_NAME: "/m", PATH_INFO: "/x" };
      expect((await ask(socket, "/m/x", { params })).body).toBe('mount "/m", path /x\n');
    });

    it("flask, its .fcgi file as plain CGI", async () => {
      const { stdout, code } = await run(join(flask, "yourapplication.fcgi"), [], {
        env: {
          ...env,
          GATEWAY_INTERFACE: "CGI/1.1",
          REQUEST_METHOD: "GET",
          REQUEST_URI: "/x",
          PATH_INFO: "/x",
        },
      });
      expect(stdout).toMatch(/^Status: 200 OK\r?\n[\s\S]*mount "", path \/x$/);
      expect(code).toBe(0);
    });
  });

  describeWithServer("spawn-fcgi", "started with a socket", () => {
    it("shared-hosting", async () => {
      const socket = join(temporaryFolder("ex"), "app.sock");
      await using _running = spawnFcgi(socket, [example("shared-hosting", "yourapplication.fcgi")]);
      await waitFor(() => isListening({ path: socket }), { what: "the socket of spawn-fcgi" });
      const params = { SCRIPT_NAME: "/yourapplication.fcgi", PATH_INFO: "/x" };
      expect((await ask(socket, "/x", { params })).body).toBe('mount "", path /x\n');
    });
  });

  it("are all here, or started by another test", () => {
    const all = new Set([...tested, ...testedElsewhere()]);
    expect([...all].sort()).toEqual(readdirSync(join(repositoryRoot, "examples")).sort());
  });
});

/** The projects that other tests start: those of frameworks as `folder: "examples/NAME"`. */
function testedElsewhere(): string[] {
  const sources = ["compat", "e2e"].flatMap((name) => {
    const folder = join(repositoryRoot, "test", name);
    const files = readdirSync(folder).filter((file) => /(?<!^examples)\.test\.ts$/.test(file));
    return files.map((file) => readFileSync(join(folder, file), "utf8"));
  });
  const named = sources.join("\n").matchAll(/\bfolder: "examples\/([\w-]+)"|"examples", "([\w-]+)"/g);
  return [...named].map(([, project, name]) => project ?? name ?? "");
}

// Those for Python applications are run by guide-python.test.ts.
const blocks = readDocuments()
  .filter(({ path }) => !path.startsWith("docs/guide-python"))
  .flatMap((document) => document.blocks);

for (const [language, server] of Object.entries(LANGUAGES)) {
  describeWithServer(server, `configurations of the documents for ${language}`, () => {
    const marked = (mark: "serves" | "spawns" | "authorizes" | "sends"): [string, CodeBlock, string][] =>
      blocks.flatMap((block) => {
        const mount = block.language === language ? markOf(block, mark) : undefined;
        return mount === undefined ? [] : [[`${block.file}:${block.line}`, block, mount]];
      });

    it.each(marked("serves"))("%s serves an application", async (_, block, mount) => {
      const setting = await makeSetting();
      // The pages say so: lighttpd does not tell the mount when it is asked for without a slash, and h2o never.
      const base = /lighttpd|h2o/.test(server) && mount !== "" ? ["--base", mount] : [];
      await using _running = await serveBehind(setting, example("shared-hosting"), "app.sock", ...base);
      await using web = await startConfigured(server, block, setting);
      const page = await request(`${web.origin}${mount}/a%2Fb/c?q=1`);
      expect([page.status, page.text], web.errorLog()).toEqual([
        200,
        `mount "${mount}", path /a%2Fb/c?q=1\n`,
      ]);
      const top = await request(`${web.origin}${mount}`);
      if (top.status === 301) expect(top.headers.location).toMatch(new RegExp(`${mount}/$`));
      else expect(top.text).toBe(`mount "${mount}", path /\n`);
    });

    const spawning = marked("spawns");
    it.runIf(spawning.length > 0).each(spawning)("%s starts the application", async (_, block) => {
      // As ourselves: www-data need not be allowed to read the repository, which node_modules/postern leads to.
      const setting = { ...(await makeSetting()), user: undefined };
      await using web = await startConfigured(server, block, setting);
      const page = await request(`${web.origin}/a%2Fb?q=1`);
      expect([page.status, page.text], web.errorLog()).toEqual([200, 'mount "", path /a%2Fb?q=1\n']);
      expect((await request(`${web.origin}/static/a.txt`)).text).toBe("from disk");
    });

    const sending = marked("sends");
    it.runIf(sending.length > 0).each(sending)("%s sends files", async (_, block, location) => {
      const setting = await makeSetting();
      const folder = `${join(setting.site, "files")}${location === "/" || location === "" ? "" : `=${location}`}`;
      const app = join(setting.site, "sends.js");
      await using _running = await serveBehind(setting, app, "app.sock", "--send-file", folder);
      await using web = await startConfigured(server, block, setting);
      const file = await request(`${web.origin}/`);
      expect([file.status, file.text, file.headers["content-length"]]).toEqual([200, "a report", "8"]);
    });

    const authorizing = marked("authorizes");
    it.runIf(authorizing.length > 0).each(authorizing)("%s asks the authorizer", async (_, block, path) => {
      const setting = await makeSetting();
      await using _door = await serveBehind(setting, example("authorizer"), "authorizer.sock");
      await using _house = await serveBehind(setting, example("raw"), "app.sock");
      await using web = await startConfigured(server, block, setting);
      const url = `${web.origin}${path}/x`;
      expect((await request(url)).status).toBe(403);
      const page = await request(url, { headers: { "X-Token": "open-sesame" } });
      expect(page.status, web.errorLog()).toBe(200);
      expect(page.text).toContain("\nVISITOR=ali-baba\n");
      expect((await request(`${web.origin}/open`)).status).toBe(200);
    });
  });
}

interface Setting {
  readonly run: string;
  readonly site: string;
  readonly tcpPort: number;
  readonly user: ReturnType<typeof serverUser>;
}

/** What the documents call /run/yourapplication and /var/www/yourapplication. */
async function makeSetting(): Promise<Setting> {
  const folder = temporaryFolder("site");
  const runFolder = join(folder, "run");
  mkdirSync(runFolder);
  const user = serverUser();
  if (user !== undefined) {
    // Set-group-ID, as the documents advise: sockets made in here belong to the web server's group.
    chownSync(runFolder, -1, user.gid);
    chmodSync(runFolder, 0o2750);
  }
  const site = join(folder, "www");
  makeSite(site);
  return { run: runFolder, site, tcpPort: await freePort(), user };
}

function serveBehind(setting: Setting, file: string, socket: string, ...flags: string[]): Promise<Running> {
  const unix = `unix:${join(setting.run, socket)}`;
  const tcp = socket === "app.sock" ? ["--bind", `127.0.0.1:${setting.tcpPort}`] : [];
  return serve(file, "--bind", unix, ...tcp, ...flags);
}

async function startConfigured(
  name: ServerName,
  block: CodeBlock,
  setting: Setting,
): Promise<WebServer & AsyncDisposable> {
  const server = await startWebServer({
    name,
    program: programOf(name),
    version: "",
    mount: "",
    documentRoot: join(setting.site, "public"),
    reloadSignal: "SIGHUP",
    readyLine: /./,
    prepare: ({ port, folder }) => {
      const { files, run: args, env = {} } = render(block, { folder, port, ...setting });
      return { files, args, env };
    },
  });
  return Object.defineProperty(server as WebServer & AsyncDisposable, Symbol.asyncDispose, {
    value: () => server.stop(),
  });
}

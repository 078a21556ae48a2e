/** What the pages of docs/migrate say, done: the examples before and after, and the steps from one to the other. */
import { copyFileSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import {
  blockOf,
  type Documented,
  makeSetting,
  servePostern,
  startDocumented,
  withText,
} from "../support/e2e/documented.ts";
import { describe as failure, loadApplication, underLoad } from "../support/e2e/load.ts";
import { answers, whileAsking } from "../support/e2e/service.ts";
import { type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { readDocuments } from "../support/markdown.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Running, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { externalAt, startGenerated } from "../support/web-servers/generated.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const FLUP = join(repositoryRoot, "examples", "migrate-flup");
const NODE_FASTCGI = join(repositoryRoot, "examples", "migrate-node-fastcgi");
const PASSENGER = join(repositoryRoot, "examples", "migrate-passenger");
const PYTHON = "/usr/bin/python3";
/** Until a process has started, on a machine that does much else at the time. */
const SOON = { timeoutMs: 30_000 };
const LONG = { timeout: patience(120_000) };

const started: (Running | WebServer)[] = [];

beforeAll(built);
afterEach(async () => {
  for (const one of started.splice(0).reverse()) await one.stop();
});

function remember<T extends Running | WebServer>(one: T): T {
  started.push(one);
  return one;
}

/** `postern serve`, until the end of the test. */
async function serve(...what: Parameters<typeof servePostern>): Promise<Running> {
  return remember(await servePostern(...what));
}

/** nginx as `postern config nginx` configures it. */
function nginx(socket: string, mount = ""): Promise<WebServer> {
  return startGenerated("nginx", { application: externalAt({ unix: socket }), mount });
}

describe("the migration pages", () => {
  const shown = readDocuments().flatMap(({ blocks }) =>
    blocks.flatMap((block) => {
      const path = /\bfrom=(\S+)/.exec(block.info)?.[1];
      return path === undefined ? [] : [[`${block.file}:${block.line}`, path, block.text] as const];
    }),
  );
  it.each(shown)("%s shows %s", (_, path, text) => {
    expect(text).toBe(readFileSync(join(repositoryRoot, path), "utf8"));
  });

  it("show the examples", () => {
    expect(shown.length).toBeGreaterThan(7);
  });
});

describe("from flup", () => {
  /** One request as a CGI program gets it, which both understand. */
  interface Asked {
    readonly path: string;
    readonly query?: string;
    readonly mount?: string;
    readonly body?: string;
  }
  async function cgi(command: readonly string[], asked: Asked): Promise<string> {
    const { path, query = "", mount = "", body } = asked;
    const [program = "", ...args] = command;
    const { stdout, code, stderr } = await run(program, args, {
      cwd: FLUP,
      input: body ?? "",
      env: {
        PATH: process.env["PATH"],
        PYTHONDONTWRITEBYTECODE: "1",
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: body === undefined ? "GET" : "POST",
        REQUEST_URI: `${mount}${encodeURI(path)}${query === "" ? "" : `?${query}`}`,
        SCRIPT_NAME: mount,
        PATH_INFO: path,
        QUERY_STRING: query,
        CONTENT_TYPE: body === undefined ? "" : "application/x-www-form-urlencoded",
        CONTENT_LENGTH: body === undefined ? "" : String(body.length),
        SERVER_NAME: "example.com",
        SERVER_PORT: "80",
        SERVER_PROTOCOL: "HTTP/1.1",
        REMOTE_ADDR: "192.0.2.7",
      },
    });
    expect(code, stderr).toBe(0);
    return stdout;
  }
  /** Status, headers and body: only the order and the letters of the header names are each server's own. */
  function parts(answer: string): { head: readonly string[]; body: string } {
    const [head = "", ...body] = answer.replaceAll("\r", "").split("\n\n");
    const lines = head.split("\n").map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()));
    return {
      head: lines.filter((line) => !/^(content-length|date):/.test(line)).sort(),
      body: body.join("\n\n"),
    };
  }

  const questions: readonly Asked[] = [
    { path: "/" },
    { path: "/hello/Kim" },
    { path: "/hello/Jörg Ü" },
    { path: "/hello/Kim", query: "times=3", mount: "/yourapplication" },
    { path: "/hello", body: "name=J%C3%B6rg+Maier", mount: "/yourapplication" },
    { path: "/hello", body: "" },
    { path: "/nowhere", mount: "/yourapplication" },
  ];
  describeWithServer("python", "the Python and the JavaScript application", () => {
    it.each(questions)("answer alike: %j", async (asked) => {
      const python =
        "from wsgiref.handlers import CGIHandler; from yourapplication import app; CGIHandler().run(app)";
      const before = parts(await cgi([PYTHON, "-c", python], asked));
      const after = parts(await cgi([process.execPath, "serve.js"], asked));
      expect(after).toEqual(before);
      expect(before.head.join()).toMatch(/status: (200 OK|303 See Other|404 Not Found)/);
    });
  });

  describeWithServer("nginx", "behind nginx", () => {
    it("the program in the place of yourapplication.fcgi serves the mount, and has the permissions", async () => {
      const setting = await makeSetting();
      const socket = join(setting.run, "app.sock");
      const app = remember(start(process.execPath, [join(FLUP, "serve.js"), `unix:${socket}`]));
      await waitFor(() => isListening({ path: socket }), {
        what: "the socket",
        evidence: app.output,
        ...SOON,
      });
      const web = remember(await nginx(socket, "/yourapplication"));
      const page = await request(`${web.url}/hello/Kim`);
      expect([page.status, page.text], web.errorLog()).toEqual([200, "hello Kim, from 127.0.0.1\n"]);
      const gone = await request(`${web.url}/nowhere`);
      expect(gone.status).toBe(404);
      await web.waitForErrorLog(/no such page: \/nowhere/);
      expect(await app.stop()).toEqual({ code: 0, signal: null });
    });
  });
});

describeWithServer("nginx", "from node-fastcgi", () => {
  /** What the client of either sees, without what is nginx's own. */
  function seen({ status, statusText, rawHeaders, text }: HttpAnswer): object {
    const headers: string[] = [];
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!.toLowerCase();
      // How the end of a body is told is nginx's business with the client.
      if (!["date", "server", "connection", "transfer-encoding"].includes(name))
        headers.push(`${name}: ${rawHeaders[at + 1]}`);
    }
    return { status, statusText, headers: headers.sort(), text };
  }
  const questions: readonly [string, RequestOptions][] = [
    ["/who", {}],
    ["/who", { method: "HEAD" }],
    ["/nothing", {}],
    ["/a%2Fb//c?q=%20", {}],
    ["/", { body: "some text" }],
    ["/", { method: "POST", body: "ü".repeat(50_000) }],
  ];

  it("the same handler gives the same answers under both", LONG, async () => {
    const folder = temporaryFolder("nf");
    const old = join(folder, "old.sock");
    // The way that package leaves: a umask around the whole program.
    const command = 'umask 0 && exec "$0" before.js "$1"';
    const before = remember(start("sh", ["-c", command, process.execPath, old], { cwd: NODE_FASTCGI }));
    await before.waitForLine(/^listening$/, SOON);
    const now = join(folder, "new.sock");
    await serve(join(NODE_FASTCGI, "app.js"), ["--bind", `unix:${now}`]);
    const first = remember(await nginx(old));
    const second = remember(await nginx(now));
    const same = { Host: "example.com" };
    for (const [path, options] of questions) {
      const [was, is] = await Promise.all(
        [first, second].map((web) => request(`${web.url}${path}`, { ...options, headers: same })),
      );
      expect(seen(is!), `${options.method ?? ""} ${path}\n${second.errorLog()}`).toEqual(seen(was!));
    }
    const who = await request(`${second.url}/who`);
    expect(who.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(who.text).toBe("127.0.0.1 by GET from example.com\n");
  });

  it('below a mount req.url is the whole with --base "", as it was', LONG, async () => {
    const socket = join(temporaryFolder("nf"), "a.sock");
    await serve(join(NODE_FASTCGI, "app.js"), ["--bind", `unix:${socket}`, "--base", ""]);
    const web = remember(await nginx(socket, "/m"));
    const headers = { Host: "example.com" };
    expect((await request(`${web.url}/x%2Fy?q`, { headers })).text).toBe("no page /m/x%2Fy?q, example.com\n");
  });
});

describeWithServer("nginx", "from proxy_pass", () => {
  const page = "docs/migrate/proxy-pass.md";
  const NGINX_LEFT = /worker process \d+ exited with code 0/;
  /** An application that listens, and says by which way it was started. */
  const SERVER = `
import http from "node:http";
import app from "./app.js";
http.createServer(app).listen(Number(process.argv[2] ?? process.env.HTTP_PORT), "127.0.0.1");
`;

  it("the steps of the page lose no request", LONG, async () => {
    const setting = await makeSetting();
    const folder = join(setting.site, "server");
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "app.js"), loadApplication('" + process.env.WAY + "'));
    const server = join(folder, "server.js");
    writeFileSync(server, SERVER);
    const port = await freePort();
    const env = { HTTP_PORT: String(port) };
    const old = remember(start(process.execPath, [server], { env: { ...process.env, ...env, WAY: "http" } }));
    await waitFor(() => isListening({ host: "127.0.0.1", port }), { what: "the old process", ...SOON });
    const before = withText(blockOf(page, "name=before"), { "127.0.0.1:3000": `127.0.0.1:${port}` });
    const web: Documented = remember(await startDocumented(before, setting));

    const load = await underLoad({ url: web.url, clients: 6, isKeptAlive: false }, async (clients) => {
      await clients.answersFrom("http");
      const bind = ["--bind", `unix:${join(setting.run, "app.sock")}`, "--workers", "2"];
      await serve(server, bind, { ...env, WAY: "fastcgi" });
      await web.become(blockOf(page, "name=after"));
      await clients.answersFrom("fastcgi");
      await web.waitForErrorLog(NGINX_LEFT, 30_000);
      const oldAnswers = clients.versions.get("http");
      await old.stop();
      await clients.more(100);
      expect(clients.versions.get("http")).toBe(oldAnswers);
    });
    expect(load.failed.map(failure), web.errorLog()).toEqual([]);
    expect([...load.versions.keys()]).toEqual(["http", "fastcgi"]);
  });

  it("what the application sees by either way, from the same workers", LONG, async () => {
    const setting = await makeSetting();
    const app = join(setting.site, "who.js");
    const words = 'req.socket.remoteAddress, req.headers.host, req.headers["x-forwarded-for"]';
    writeFileSync(app, `export default (req, res) => res.end([${words}].join(" "));`);
    const port = await freePort();
    const http = ["--http", `127.0.0.1:${port}`];
    const workers = await serve(app, ["--bind", `unix:${join(setting.run, "app.sock")}`, ...http]);
    const before = withText(blockOf(page, "name=before"), { "127.0.0.1:3000": `127.0.0.1:${port}` });
    const web = remember(await startDocumented(before, setting));
    const asked = { headers: { Host: "example.com:8080", "X-Forwarded-For": "198.51.100.7" } };
    const ask = async (): Promise<string> => (await request(web.url, asked)).text;
    // By HTTP nginx adds to the header. By FastCGI it says the address itself, and the header is the client's own.
    expect(await ask(), web.errorLog()).toBe("127.0.0.1 example.com:8080 198.51.100.7, 127.0.0.1");
    await web.become(blockOf(page, "name=after"));
    await waitFor(async () => (await ask()) === "127.0.0.1 example.com:8080 198.51.100.7", {
      what: "an answer by FastCGI",
      evidence: web.errorLog,
    });
    await web.become(before);
    await workers.stop();
    await serve(app, [...http, "--trust-proxy", "loopback"]);
    await waitFor(async () => (await ask()).startsWith("198.51.100.7 "), { what: "an answer by HTTP" });
  });
});

describe("from Passenger", () => {
  /** The example with something to tell releases apart, in a folder of its own. */
  function deployPassenger(): { app: string; address: string; release(name: string): void } {
    const folder = temporaryFolder("ps");
    const app = join(folder, "app.js");
    copyFileSync(join(PASSENGER, "app.js"), app);
    const release = (name: string): void => {
      const source = readFileSync(join(PASSENGER, "app.js"), "utf8");
      writeFileSync(app, source.replace(/res\.end\(.*\);/, `res.end("${name}");`));
    };
    return { app, address: `unix:${join(folder, "a.sock")}`, release };
  }

  it.each([
    ["without PORT", ""],
    ["with a PORT that is another's", "3000"],
  ])("an application that calls listen('passenger') is served as it is, %s", LONG, async (_, port) => {
    const { app, address, release } = deployPassenger();
    release("one");
    await serve(app, ["--bind", address], { PORT: port });
    await answers(address, "one");
  });

  it("one that listens elsewhere first is told by PORT=passenger which is meant", LONG, async () => {
    const { app, address, release } = deployPassenger();
    release("one");
    const source = readFileSync(app, "utf8");
    writeFileSync(app, `require("node:http").createServer().listen(0, "127.0.0.1");\n${source}`);
    await serve(app, ["--bind", address, "--env", "PORT=passenger"]);
    await answers(address, "one");
  });

  it("touching tmp/restart.txt brings the new release, and no request fails", LONG, async () => {
    const { app, address, release } = deployPassenger();
    release("one");
    const file = join(app, "..", "tmp", "restart.txt");
    mkdirSync(join(file, ".."));
    const manager = await serve(app, ["--bind", address, "--workers", "2"]);
    await answers(address, "one");
    const counts = await whileAsking(address, async (heard) => {
      await heard("one");
      release("two");
      // Until it is noticed: it must have been looked for once before.
      const touch = (): boolean => {
        writeFileSync(file, "");
        utimesSync(file, new Date(), new Date());
        return manager.output().includes("the restart file was touched");
      };
      await waitFor(touch, { what: "the restart file to be noticed", evidence: manager.output, ...SOON });
      await heard("two", manager.output);
    });
    expect(Object.keys(counts).sort()).toEqual(["one", "two"]);
  });
});

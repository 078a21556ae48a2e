/**
 * Applications that listen by themselves, unchanged: under a manager, in one process, and with
 * `node --import postern/register`. They ask for a port, nothing is opened there, and FastCGI answers.
 */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Exit, type Finished, type Running, run, start } from "../support/process.ts";
import { launch } from "../support/spawned.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser } from "../support/web-servers/web-server.ts";
import { connectWire } from "../support/wire.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
/** Until a line comes, on a machine that does much else at the time. */
const SOON = { timeoutMs: 20_000 };
/** The port that applications here ask for, where nobody looks whether it is free. */
const ASKED = 34_567;

const SAYS = `const says = (text) => console.log("app: " + text);`;
const PLAIN = `
  import http from "node:http";
  ${SAYS}
  const server = http.createServer((req, res) => {
    if (req.url === "/close") server.close(() => { says("closed by itself"); setTimeout(() => says("and flushed"), 700); });
    if (req.url === "/slow") { says("asked"); setTimeout(() => res.end("slow " + process.pid), 400); }
    else res.end(req.url + " of " + process.pid);
  });
  server.on("close", () => says("closed"));`;

const FILES: Readonly<Record<string, string>> = {
  "plain.mjs": `${PLAIN}
    server.listen(Number(process.env.ASKED ?? ${ASKED}), () => says("listening on " + JSON.stringify(server.address())));`,
  "express.cjs": `
    const express = require("express");
    ${SAYS}
    const app = express();
    app.get("/hello/:name", (req, res) => res.send("hello " + req.params.name));
    const server = app.listen(process.env.ASKED ?? ${ASKED}, () => says("listening on " + JSON.stringify(server.address())));
    server.on("close", () => says("closed"));`,
  "typed.ts": `
    import { createServer, type Server } from "node:http";
    const says = (text: string): void => console.log("app: " + text);
    const server: Server = createServer((req, res) => res.end(req.url + " typed"));
    server.on("close", () => says("closed"));
    server.listen({ port: Number(process.env.ASKED ?? ${ASKED}) }, () => says("listening on " + JSON.stringify(server.address())));`,
  "late.mjs": `${PLAIN}
    import { once } from "node:events";
    await new Promise((resolve) => setTimeout(resolve, 50));
    void (async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      server.listen(process.env.ASKED ?? ${ASKED});
      await once(server, "listening");
      says("listening on " + JSON.stringify(server.address()));
    })();`,
  "awaits.mjs": `${PLAIN}
    import { once } from "node:events";
    server.listen(process.env.ASKED ?? ${ASKED});
    await once(server, "listening");
    says("listening on " + JSON.stringify(server.address()));`,
  "only-as-program.mjs": `${PLAIN}
    import { pathToFileURL } from "node:url";
    if (import.meta.url === pathToFileURL(process.argv[1]).href && process.argv.length === 2)
      server.listen(process.env.ASKED ?? ${ASKED}, () => says("listening on " + JSON.stringify(server.address())));`,
  "two.mjs": `${PLAIN}
    http.createServer((req, res) => res.end("admin")).listen(process.env.ADMIN, "127.0.0.1", () => {
      server.listen(process.env.SITE, () => says("listening on " + JSON.stringify(server.address())));
    });`,
  "https.mjs": `import https from "node:https"; https.createServer(() => {}).listen(0, "127.0.0.1");`,
  "http2.mjs": `import http2 from "node:http2"; setTimeout(() => http2.createSecureServer().listen(0, "127.0.0.1"), 100);`,
  "both.mjs": `${PLAIN}
    import https from "node:https";
    https.createServer(() => {}).listen(0, "127.0.0.1");
    server.listen(${ASKED}, () => says("listening on " + JSON.stringify(server.address())));`,
  "busy.mjs": "setInterval(() => {}, 1000);",
  "throws.mjs": `${PLAIN}
    server.listen(${ASKED}, () => says("listening"));
    throw new Error("no database");`,
  "throws-listening.mjs": `${PLAIN}
    server.listen(${ASKED}, () => { throw new Error("no cache"); });`,
  "exits-listening.mjs": `${PLAIN}
    server.listen(${ASKED}, () => process.exit(0));`,
  "closes-listening.mjs": `${PLAIN}
    server.listen(${ASKED}, () => server.close());`,
  "exports-too.mjs": `${PLAIN}
    server.listen(${ASKED}, () => says("listening"));
    export default (req, res) => res.end("the export");`,
  "exports-first.mjs": `${PLAIN}
    export default (req, res) => {
      res.end("the export");
      if (!server.listening) server.listen(${ASKED}, () => says("listening"));
    };`,
  "settings.mjs": `${PLAIN}
    export default { port: ${ASKED} };
    setTimeout(() => server.listen(${ASKED}, () => says("listening")), 100);`,
  "own-handler.mjs": `${PLAIN}
    server.listen(${ASKED}, () => says("listening"));
    process.once("SIGTERM", () => {
      says("told to stop");
      server.close(() => setTimeout(() => says("and flushed"), 700));
    });`,
  "cluster.mjs": `${PLAIN}
    import cluster from "node:cluster";
    if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
    else server.listen(${ASKED});`,
  "forks.mjs": `${PLAIN}
    import { fork } from "node:child_process";
    if (process.send === undefined) {
      const helper = fork(new URL(import.meta.url), { env: { ...process.env, FORKED: "yes" } });
      helper.on("message", (port) => server.listen(${ASKED}, () => says("the child listens on " + port)));
    } else {
      server.listen(0, "127.0.0.1", () => process.send(server.address().port));
      process.on("disconnect", () => process.exit());
    }`,
  "module.mjs": `
    import * as program from "./only-fetch.mjs";
    export default program;`,
  "only-fetch.mjs": `export const fetch = (request) => new Response(new URL(request.url).pathname + " of a module");`,
  "holds-app.cjs": `
    const app = (req, res) => res.end(req.url + " of app");
    module.exports = { app, start() {} };`,
  "compiled.ts": `
    import http from "node:http";
    function sealed(target: unknown): void { Object.seal(target); }
    enum Word { Of = "of" }
    @sealed
    class Greeting {
      constructor(private readonly name: string) {}
      of(path: string): string { return path + " " + Word.Of + " " + this.name; }
    }
    const greeting = new Greeting("a class");
    http.createServer((req, res) => res.end(greeting.of(req.url ?? ""))).listen(${ASKED});`,
  "decorated.ts": `
    import http from "node:http";
    function sealed(target: unknown): void { Object.seal(target); }
    @sealed
    class Greeting { of(path: string): string { return path + " decorated"; } }
    const greeting = new Greeting();
    http.createServer((req, res) => res.end(greeting.of(req.url ?? ""))).listen(${ASKED});`,
  "threads.mjs": `${PLAIN}
    import { isMainThread, parentPort, Worker } from "node:worker_threads";
    if (isMainThread) {
      new Worker(new URL(import.meta.url)).on("message", (port) => {
        server.listen(${ASKED}, () => says("the thread listens on " + port));
      });
    } else {
      server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
    }`,
};

let folder: string;

beforeAll(async () => {
  await built();
  folder = temporaryFolder("listen");
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(join(repositoryRoot, "node_modules", "express"), join(folder, "node_modules", "express"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
});

type Way = "under a manager" | "in one process" | "with postern/register";
const WAYS: readonly Way[] = ["under a manager", "in one process", "with postern/register"];

function commandLine(way: Way, file: string, socket: string | undefined): readonly string[] {
  if (way === "with postern/register") return ["--import", "postern/register", file];
  const bind = socket === undefined ? [] : ["--bind", `unix:${socket}`];
  return [CLI, "serve", file, ...bind, "--workers", way === "under a manager" ? "1" : "0"];
}

interface StartHow {
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
}

function environment(way: Way, socket: string | undefined, env: StartHow["env"]): NodeJS.ProcessEnv {
  const { PORT: _, ...inherited } = process.env;
  const bind = way === "with postern/register" && socket !== undefined ? { POSTERN_BIND: socket } : {};
  return { ...inherited, POSTERN_RUN_DIR: folder, ...bind, ...env };
}

interface Started {
  readonly app: Running;
  readonly socket: string;
  /** Asks over FastCGI. Of the answer the body. */
  ask(path: string): Promise<string>;
}

let count = 0;

/** Starts an application that listens by itself, and waits until it serves. */
async function started(way: Way, file: string, how: StartHow = {}): Promise<Started> {
  const socket = join(folder, `${++count}.sock`);
  const args = [...commandLine(way, file, socket), ...(how.flags ?? [])];
  const app = start(process.execPath, args, { cwd: folder, env: environment(way, socket, how.env) });
  await app.waitForLine(/listening for FastCGI/, SOON);
  return { app, socket, ask: (path) => ask(socket, path) };
}

async function ask(socket: string, path: string): Promise<string> {
  const wire = await connectWire({ path: socket });
  try {
    const params = { REQUEST_METHOD: "GET", SCRIPT_NAME: "", PATH_INFO: path, REQUEST_URI: path };
    return (await wire.request({ params, keepConn: false }).answer()).body.toString();
  } finally {
    wire.destroy();
  }
}

/** Runs one that cannot be served, to its end. */
function failing(way: Way, file: string, flags: readonly string[] = []): Promise<Finished> {
  const socket = join(folder, "x.sock");
  const args = [...commandLine(way, file, socket), ...flags];
  return run(process.execPath, args, { cwd: folder, env: environment(way, socket, {}), timeoutMs: 30_000 });
}

async function stopped({ app, socket }: Started): Promise<Exit> {
  app.signal("SIGTERM");
  const exit = await app.exited;
  expect(existsSync(socket)).toBe(false);
  return exit;
}

const canStripTypes = Boolean((process.features as { typescript?: unknown }).typescript);

for (const way of WAYS) {
  describe(`an application that listens by itself, ${way}`, () => {
    for (const [file, path, answer] of [
      ["plain.mjs", "/a", /^\/a of \d+$/],
      ["express.cjs", "/hello/world", /^hello world$/],
      ["typed.ts", "/t", /^\/t typed$/],
      ["late.mjs", "/b", /^\/b of \d+$/],
      ["awaits.mjs", "/c", /^\/c of \d+$/],
      ["only-as-program.mjs", "/d", /^\/d of \d+$/],
    ] as const) {
      // Without a loader, Node 20 cannot run TypeScript at all.
      if (file === "typed.ts" && way === "with postern/register" && !canStripTypes) continue;
      it(`is served, and its port is not opened: ${file}`, async () => {
        const port = await freePort();
        const served = await started(way, file, { env: { ASKED: String(port) } });
        await served.app.waitForLine(new RegExp(`app: listening on .*"port":${port}`), SOON);
        expect(await served.ask(path)).toMatch(answer);
        expect(await isListening({ host: "127.0.0.1", port })).toBe(false);
        expect((await stopped(served)).code).toBe(0);
        expect(served.app.output()).toMatch(/app: closed/);
      });
    }

    it("is the server on PORT; another one listens as it asked, and the log says so", async () => {
      const env = { PORT: String(ASKED), SITE: String(ASKED), ADMIN: String(await freePort()) };
      const served = await started(way, "two.mjs", { env });
      expect(await served.ask("/site")).toMatch(/^\/site of/);
      expect((await request(`http://127.0.0.1:${env.ADMIN}/`)).text).toBe("admin");
      expect(served.app.output()).toMatch(
        new RegExp(`listens on port ${env.ADMIN} itself.*PORT is ${ASKED}`),
      );
      await stopped(served);
    });

    it("finishes what is open when it closes its server, and has time for what it does then", async () => {
      const served = await started(way, "plain.mjs");
      const slow = served.ask("/slow");
      await served.app.waitForLine(/app: asked/, SOON);
      await served.ask("/close");
      expect(await slow).toMatch(/^slow \d+$/);
      await served.app.waitForLine(/app: closed by itself/, SOON);
      await served.app.waitForLine(/app: and flushed/, SOON);
      if (way === "under a manager") {
        await served.app.waitForLine(/the application of a worker closed its server/, SOON);
        expect(await served.ask("/next")).not.toContain((await slow).slice("slow ".length));
        await stopped(served);
      } else {
        expect((await served.app.exited).code).toBe(0);
        expect(existsSync(served.socket)).toBe(false);
      }
    });

    for (const [file, what] of [
      ["https.mjs", "an https server"],
      ["http2.mjs", "an http2 server"],
    ] as const) {
      it(`is told in a sentence that TLS is the web server's: ${file}`, async () => {
        const finished = await failing(way, file);
        expect(finished.stderr).toMatch(
          new RegExp(
            `postern: .* it listens with ${what} only, but TLS and HTTP/2 are the web server's: use http`,
          ),
        );
        expect(finished.code).toBe(4);
      });
    }

    it("is served beside an https server, of which the log warns", async () => {
      const served = await started(way, "both.mjs");
      expect(await served.ask("/")).toMatch(/^\/ of/);
      expect(served.app.output()).toMatch(
        /listens with an https server, which the web server does not guard/,
      );
      await stopped(served);
    });
  });
}

for (const way of ["under a manager", "in one process"] as const) {
  describe(`postern serve, ${way}`, () => {
    it("gives up on a file that exports nothing and does not listen in time", async () => {
      const finished = await failing(way, "busy.mjs", ["--ready-timeout", "1s"]);
      expect(finished.stderr).toMatch(/postern: .*exports nothing and d(?:oes|id) not listen/);
      expect(finished.code).toBe(4);
    });

    it("does not serve what fails right after it has listened", async () => {
      const finished = await failing(way, "throws.mjs");
      expect(finished.stderr).toMatch(/postern: application .* could not be loaded:\nError: no database/);
      expect(finished.stdout + finished.stderr).not.toContain("app: listening");
      expect(finished.code).toBe(4);
    });

    it("serves the server that listens when the file exports an application, too, and says so", async () => {
      const served = await started(way, "exports-too.mjs");
      expect(await served.ask("/")).toMatch(/^\/ of/);
      await served.app.waitForLine(/exports an application and listens on port \d+: .* PORT/, SOON);
      await stopped(served);
    });

    it("serves what is exported until it listens", async () => {
      const served = await started(way, "exports-first.mjs");
      expect(await served.ask("/")).toBe("the export");
      await served.app.waitForLine(/app: listening/, SOON);
      expect(await served.ask("/")).toMatch(/^\/ of/);
      await stopped(served);
    });

    for (const [what, file, answer] of [
      ["a module as the default", "module.mjs", "/x of a module"],
      ["an object that holds app", "holds-app.cjs", "/x of app"],
      ["TypeScript that Node cannot strip", "compiled.ts", "/x of a class"],
      ["TypeScript with decorators", "decorated.ts", "/x decorated"],
    ] as const) {
      it(`serves ${what}`, async () => {
        const served = await started(way, file);
        expect(await served.ask("/x")).toBe(answer);
        await stopped(served);
      });
    }

    it("waits for a file to listen that exports something else", async () => {
      const served = await started(way, "settings.mjs");
      expect(await served.ask("/")).toMatch(/^\/ of/);
      await stopped(served);
    });

    it("says that workers are its own part to an application that starts some", async () => {
      const finished = await failing(way, "cluster.mjs");
      expect(finished.stderr).toMatch(/postern: .* starts workers of its own \(node:cluster\).*--workers/);
      expect(finished.code).toBe(4);
    });
  });
}

describe("an application that fails when it hears that it listens, under a manager", () => {
  for (const [file, message] of [
    ["throws-listening.mjs", /ended before it was ready: exit code 1[\s\S]*Error: no cache/],
    ["exits-listening.mjs", /ended before it was ready: exit code 0/],
    ["closes-listening.mjs", /postern: the application closed its server before it was ready: let it listen/],
  ] as const) {
    it(`was never ready: ${file}`, async () => {
      const finished = await failing("under a manager", file);
      expect(finished.stdout + finished.stderr).toMatch(message);
      expect(finished.code).toBe(4);
    });
  }
});

describe("postern/register", () => {
  const way = "with postern/register";

  it("leaves the end to an application with a handler of its own for the signal", async () => {
    const served = await started(way, "own-handler.mjs");
    const slow = served.ask("/slow");
    await served.app.waitForLine(/app: asked/, SOON);
    expect((await stopped(served)).code).toBe(0);
    expect(await slow).toMatch(/^slow/);
    expect(served.app.stdout().match(/app: .*/g)).toEqual([
      "app: listening",
      "app: asked",
      "app: told to stop",
      "app: closed",
      "app: and flushed",
    ]);
  });

  it("exits at once on a second signal", async () => {
    const served = await started(way, "plain.mjs");
    const slow = served.ask("/slow").catch(() => "cut");
    await served.app.waitForLine(/app: asked/, SOON);
    served.app.signal("SIGTERM");
    await served.app.waitForLine(/draining/, SOON);
    served.app.signal("SIGINT");
    expect((await served.app.exited).code).toBe(1);
    await slow;
    expect(existsSync(served.socket)).toBe(false);
  });

  for (const [what, env, says] of [
    [
      "nowhere to listen",
      {},
      /^postern: nothing to listen on: POSTERN_BIND is not set, .*POSTERN_BIND=unix:/m,
    ],
    [
      "a bad address",
      { POSTERN_BIND: "9000" },
      /^postern: POSTERN_BIND "9000": for TCP write 127\.0\.0\.1:9000/m,
    ],
    [
      "a bad mode",
      { POSTERN_BIND: "/x/y.sock", POSTERN_LISTEN_MODE: "999" },
      /^postern: POSTERN_LISTEN_MODE: "999" cannot be used/m,
    ],
    [
      "a public address",
      { POSTERN_BIND: "0.0.0.0:0" },
      /^postern: POSTERN_BIND 0\.0\.0\.0:0: .* with POSTERN_ALLOWED_CLIENTS/m,
    ],
  ] as const) {
    it(`tells ${what} in a sentence and exits with 2`, async () => {
      const finished = await run(process.execPath, commandLine(way, "plain.mjs", undefined), {
        cwd: folder,
        env: environment(way, undefined, env),
        timeoutMs: 15_000,
      });
      expect(finished.stderr).toMatch(says);
      expect(finished.stdout).toBe("");
      expect(finished.code).toBe(2);
    });
  }

  it("leaves a program alone that never listens", async () => {
    const finished = await run(process.execPath, ["--import", "postern/register", "-e", "console.log(1)"], {
      cwd: folder,
      env: environment(way, undefined, {}),
    });
    expect(finished).toMatchObject({ code: 0, stdout: "1", stderr: "" });
  });

  for (const [how, env] of [
    ["--import", {}],
    ["NODE_OPTIONS", { NODE_OPTIONS: "--import postern/register" }],
  ] as const) {
    it(`leaves forked processes alone that inherit ${how}: what they listen on is opened`, async () => {
      const served = await started(way, "forks.mjs", { env });
      const [, port] = await served.app.waitForLine(/the child listens on (\d+)/, SOON);
      expect(await isListening({ host: "127.0.0.1", port: Number(port) })).toBe(true);
      expect(await served.ask("/f")).toMatch(/^\/f of \d+$/);
      served.app.signal("SIGTERM");
      await served.app.exited;
    });
  }

  it("leaves threads alone: what they listen on is opened", async () => {
    const served = await started(way, "threads.mjs");
    const [, port] = await served.app.waitForLine(/the thread listens on (\d+)/, SOON);
    expect(await isListening({ host: "127.0.0.1", port: Number(port) })).toBe(true);
    served.app.signal("SIGTERM");
    await served.app.exited;
  });

  it("serves in the workers of node:cluster on a TCP port, and refuses the file of a unix socket there", async () => {
    const port = await freePort();
    const env = { POSTERN_BIND: `127.0.0.1:${port}` };
    const app = start(process.execPath, commandLine(way, "cluster.mjs", undefined), {
      cwd: folder,
      env: environment(way, undefined, env),
    });
    await app.waitForLine(/listening for FastCGI/, SOON);
    const wire = await connectWire({ host: "127.0.0.1", port });
    const params = { REQUEST_METHOD: "GET", SCRIPT_NAME: "", PATH_INFO: "/", REQUEST_URI: "/" };
    expect((await wire.request({ params, keepConn: false }).answer()).body.toString()).toMatch(/^\/ of \d+$/);
    wire.destroy();
    await app.stop({ signal: "SIGKILL" });
    const finished = await failing(way, "cluster.mjs");
    expect(finished.stderr).toMatch(/POSTERN_BIND .*x\.sock: .*node:cluster.*cannot share the file/);
  });
});

describeWithServer("perl", "postern/register on an inherited socket", () => {
  it("serves on descriptor 0", async () => {
    const socket = join(folder, "fd0.sock");
    const app = launch("--import postern/register plain.mjs", { address: socket, cwd: folder });
    await app.waitForLine(/app: listening on/, SOON);
    expect(await ask(socket, "/zero")).toMatch(/^\/zero of \d+$/);
    app.signal("SIGTERM");
    expect((await app.exited).code).toBe(0);
  });
});

describe("an application that listens by itself, started for one CGI request", () => {
  for (const way of ["in one process", "with postern/register"] as const) {
    it(`answers it on stdout, and what it prints goes to stderr, ${way}`, async () => {
      const cgi = {
        REQUEST_METHOD: "GET",
        GATEWAY_INTERFACE: "CGI/1.1",
        SCRIPT_NAME: "",
        PATH_INFO: "/cgi",
        REQUEST_URI: "/cgi",
      };
      const finished = await run(process.execPath, commandLine(way, "plain.mjs", undefined), {
        cwd: folder,
        env: environment(way, undefined, cgi),
        input: "",
        timeoutMs: 15_000,
      });
      expect(finished.stdout).toMatch(/^Status: 200 OK\r\n[\s\S]*\r\n\r\n\/cgi of \d+$/);
      expect(finished.stderr).toMatch(/app: listening on/);
      expect(finished.code).toBe(0);
    });
  }
});

describeWithServer("nginx", "an application that listens by itself, behind nginx", () => {
  for (const way of WAYS) {
    it(`answers, ${way}`, async () => {
      const group = serverUser()?.group;
      const isRegister = way === "with postern/register";
      const served = await started(way, "express.cjs", {
        ...(group !== undefined && isRegister && { env: { POSTERN_LISTEN_GROUP: group } }),
        ...(group !== undefined && !isRegister && { flags: ["--listen-group", group] }),
      });
      const web = await startNginx({ application: { unix: served.socket }, mount: "/shop", keepConn: true });
      try {
        expect((await request(`${web.url}/hello/nginx`)).text).toBe("hello nginx");
      } finally {
        await web.stop();
      }
      await stopped(served);
    });
  }
});

describe("a second server of an application", () => {
  it("listens as it asked, without a word", async () => {
    const env = { ADMIN: String(await freePort()), SITE: String(await freePort()) };
    const served = await started("in one process", "two.mjs", { env });
    // The first one is the admin's: nothing says that the second is meant.
    expect(await served.ask("/")).toBe("admin");
    await waitFor(() => isListening({ host: "127.0.0.1", port: Number(env.SITE) }), SOON);
    expect(served.app.output()).not.toMatch(/itself/);
    await stopped(served);
  });
});

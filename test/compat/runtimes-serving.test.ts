/** Starting, serving and ending under Bun and under Deno: sockets of every kind, roles, plain CGI, signals, the manager. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, it } from "vitest";
import { FastCGIClient, type RequestOptions } from "../../src/client/index.ts";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { type Running, run, start } from "../support/process.ts";
import { PLAIN_GET } from "../support/records.ts";
import { shareSocket } from "../support/shared-socket.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { bun, deno } from "./runtimes/runtimes.ts";

const APP = join(repositoryRoot, "test", "compat", "runtimes", "app.mjs");
const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const WAIT = { timeoutMs: 20_000 } as const;

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

/** One request on a connection of its own. */
async function ask(connect: string, url: string, more: Partial<RequestOptions> = {}): Promise<Answer> {
  const client = new FastCGIClient({ connect, keepConn: false });
  try {
    const params = { ...PLAIN_GET, REQUEST_URI: url, PATH_INFO: url, ...more.params };
    const { status, headers, body } = await client.request({ ...more, params });
    return { status, headers, body: await text(body) };
  } finally {
    await client.close();
  }
}

const HELLO = "GET /hello 0 bytes from 127.0.0.1 as responder\n";

beforeAll(built);

for (const { name, command } of [bun, deno]) {
  const [program, ...args] = command;
  const runtime = (own: readonly string[], options: Parameters<typeof start>[2] = {}): Running =>
    start(program, [...args, APP, ...own], options);

  /** The program on an address of its own, listening. */
  async function listening(
    address: string = `unix:${join(temporaryFolder("rt"), "a.sock")}`,
  ): Promise<{ readonly app: Running; readonly address: string; readonly path: string }> {
    const app = runtime([address]);
    await app.waitForLine(/^listening /, WAIT);
    return { app, address, path: address.slice("unix:".length) };
  }

  describe(`compat | Serving | ${name}`, () => {
    it("is the runtime that it says", async () => {
      const version = `console.log(process.versions.${name.toLowerCase()})`;
      const evaluate = name === "Bun" ? ["-e", version] : ["eval", version];
      const { stdout } = await run(program, evaluate);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+$/);
    });

    it("a unix socket has its permissions, is served, and is gone afterwards", async () => {
      const { app, address, path } = await listening();
      expect(statSync(path).mode & 0o777).toBe(0o660);
      expect(await ask(address, "/hello")).toMatchObject({ status: 200, body: HELLO });
      expect(await app.stop()).toEqual({ code: 0, signal: null });
      expect(existsSync(path)).toBe(false);
    });

    it("TCP is served", async () => {
      const { app, address } = await listening(`127.0.0.1:${await freePort()}`);
      expect((await ask(address, "/hello")).body).toBe(HELLO);
      await app.stop();
    });

    it("a body of a megabyte arrives", async () => {
      const { app, address } = await listening();
      const stdin = Buffer.alloc(1_000_000, "x");
      const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: `${stdin.length}` };
      expect((await ask(address, "/up", { params, stdin })).body).toMatch(/^POST \/up 1000000 bytes /);
      await app.stop();
    });

    it("an authorizer decides, and a filter filters", async () => {
      const { app, address } = await listening();
      const allowed = await ask(address, "/public", { role: "authorizer" });
      expect([allowed.status, allowed.headers.join(" ")]).toEqual([
        200,
        expect.stringMatching(/Variable-USER anna/i),
      ]);
      expect((await ask(address, "/private", { role: "authorizer" })).status).toBe(403);
      expect((await ask(address, "/", { role: "filter", data: "a file" })).body).toBe("A FILE");
      await app.stop();
    });

    it("a socket file that nobody listens on is replaced, one that is served is not", async () => {
      const { app, address } = await listening();
      const second = runtime([address]);
      const [line] = await second.waitForLine(/^ERR_POSTERN_SOCKET_IN_USE .*/, WAIT);
      expect(line).toContain("another server is listening there (pid ");
      expect(await second.exited).toEqual({ code: 3, signal: null });
      app.signal("SIGKILL"); // its file stays
      await app.exited;
      const third = await listening(address);
      expect((await ask(address, "/hello")).body).toBe(HELLO);
      await third.app.stop();
    });

    for (const kind of ["unix", "tcp"] as const) {
      it(`a listening ${kind} socket inherited as descriptor 0 is served`, async () => {
        const { fd, where } = shareSocket(kind);
        const app = runtime([], { stdin: fd });
        await app.waitForLine(/^listening fd:0/, WAIT);
        const address = "path" in where ? `unix:${where.path}` : `${where.host}:${where.port}`;
        expect((await ask(address, "/hello")).body).toBe(HELLO);
        expect((await ask(address, "/hello")).body).toBe(HELLO);
        expect(await app.stop()).toEqual({ code: 0, signal: null });
      });
    }

    it("a request beyond maxConcurrency waits its turn", async () => {
      const { fd, where } = shareSocket("unix");
      const app = runtime(["", '{ "maxConcurrency": 1 }'], { stdin: fd });
      await app.waitForLine(/^listening fd:0/, WAIT);
      const address = `unix:${(where as { path: string }).path}`;
      const answered: string[] = [];
      const body = new PassThrough();
      const params = { REQUEST_METHOD: "POST", CONTENT_LENGTH: "" };
      const first = ask(address, "/first", { params, stdin: body }).then((answer) =>
        answered.push(answer.body),
      );
      await app.waitForLine(/^began /, WAIT);
      const second = ask(address, "/second").then((answer) => answered.push(answer.body));
      body.end("hello");
      await Promise.all([first, second]);
      expect(answered.map((line) => line.split(" ")[1])).toEqual(["/first", "/second"]);
      await app.stop();
    });

    it("systemd's socket is served", async () => {
      const { fd, where } = shareSocket("unix");
      const script = 'exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"';
      const app = start("/bin/sh", ["-c", script, "sh", program, ...args, APP], { stdin: fd });
      await app.waitForLine(/^listening fd:3/, WAIT);
      expect((await ask(`unix:${(where as { path: string }).path}`, "/hello")).body).toBe(HELLO);
      await app.stop();
    });

    it("a CGI request is answered on stdout", async () => {
      const env = { ...process.env, ...PLAIN_GET, REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" };
      const { code, stdout } = await run(program, [...args, APP], { env, input: "hello", ...WAIT });
      expect(stdout).toMatch(/^Status: 200 OK\r?\n[\s\S]*\n\r?\nPOST \/ 5 bytes from 127.0.0.1 as responder/);
      expect(code).toBe(0);
    });

    it("nothing to listen on is an error that says what to do", async () => {
      const { code, stdout } = await run(program, [...args, APP], { env: process.env, ...WAIT });
      expect(stdout).toMatch(/^ERR_POSTERN_NO_LISTENER nothing to listen on: .*serve\(app, \{ bind:/);
      expect(code).toBe(3);
    });

    it.each(["SIGTERM", "SIGINT", "SIGUSR1"] as const)("%s lets the open request finish", async (signal) => {
      const { app, address } = await listening();
      const slow = ask(address, "/slow");
      await app.waitForLine(/^waiting/, WAIT);
      const client = new FastCGIClient({ connect: address, keepConn: true });
      const kept = await client.request({ params: { ...PLAIN_GET } });
      await text(kept.body);
      app.signal(signal);
      await app.waitForLine(/draining/, WAIT);
      const params = { ...PLAIN_GET, REQUEST_URI: "/go", PATH_INFO: "/go" };
      await text((await client.request({ params })).body);
      expect((await slow).body).toBe("slow\n");
      await client.close();
      expect(await app.exited).toEqual({ code: 0, signal: null });
    });

    it("the example is served", async () => {
      const example = join(repositoryRoot, "examples", "runtimes", "serve.js");
      const address = `unix:${join(temporaryFolder("ex"), "a.sock")}`;
      const app = start(program, [...args, example, address]);
      await waitFor(() => existsSync(address.slice("unix:".length)), WAIT);
      expect((await ask(address, "/hello")).body).toMatch(
        new RegExp(`^${name} \\S+ was asked for /hello\n$`),
      );
      expect(await app.stop()).toEqual({ code: 0, signal: null });
    });

    it("postern spawn keeps workers of it", async () => {
      const address = `unix:${join(temporaryFolder("sp"), "a.sock")}`;
      const spawn = ["spawn", "--workers", "2", "--bind", address, "--", program, ...args, APP];
      const manager = start(process.execPath, [CLI, ...spawn]);
      await manager.waitForLine(/listening fd:0/, WAIT);
      expect((await ask(address, "/hello")).body).toBe(HELLO);
      expect((await manager.stop({ graceMs: 20_000 })).code).toBe(0);
    });
  });
}

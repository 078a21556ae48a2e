/** `postern inspect` between real web servers and real applications, and what `decode` and `replay` make of its recordings. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Application } from "../../src/index.ts";
import { built } from "../support/e2e/built.ts";
import { residentBytes } from "../support/e2e/memory.ts";
import { type Served, servePostern } from "../support/e2e/served.ts";
import { connectHttp, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { type Running, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startGenerated } from "../support/web-servers/generated.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { startPhpFpm } from "../support/web-servers/php-fpm.ts";
import { type FastCgiAddress, serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const MIB = 1024 * 1024;

beforeAll(built, 120_000);

/** What a tap says of one request. */
interface SeenRequest {
  readonly event: string;
  readonly connection: number;
  readonly id: number;
  readonly method: string;
  readonly url: string;
  readonly status: number | null;
  readonly ending: string;
  readonly stdinBytes: number;
  readonly bodyBytes: number;
  readonly stderr: string;
  readonly appStatus: number | null;
}

interface StartedTap {
  readonly address: FastCgiAddress;
  readonly running: Running;
  events(name?: string): readonly Readonly<Record<string, unknown>>[];
  /** The requests that have ended, once there are so many. */
  requests(atLeast: number): Promise<readonly SeenRequest[]>;
}

function textOf(address: FastCgiAddress): string {
  return "unix" in address ? `unix:${address.unix}` : `${address.host}:${address.port}`;
}

/** A tap in front of an application, on a socket that www-data may use. */
async function startTap(application: FastCgiAddress, args: readonly string[] = []): Promise<StartedTap> {
  const socket = join(temporaryFolder("tap"), "t.sock");
  const user = serverUser();
  const listen = ["--listen", `unix:${socket}`, ...(user ? ["--listen-group", user.group] : [])];
  const isTakeOver = args.includes("--take-over");
  const place = isTakeOver
    ? ["--connect", textOf(application)]
    : [...listen, "--connect", textOf(application)];
  const running = start(process.execPath, [CLI, "inspect", ...place, "--json", ...args]);
  await running.waitForLine(/"event":"start"/, { timeoutMs: 20_000 });
  const events = (name?: string): Readonly<Record<string, unknown>>[] =>
    running.lines
      .filter(({ stream }) => stream === "stdout")
      .map(({ text }) => JSON.parse(text) as Readonly<Record<string, unknown>>)
      .filter(({ event }) => name === undefined || event === name);
  return {
    address: isTakeOver ? application : { unix: socket },
    running,
    events,
    requests: (atLeast) =>
      waitFor(
        () => {
          const found = events("request") as unknown as SeenRequest[];
          return found.length >= atLeast && found;
        },
        { timeoutMs: 15_000, what: `${atLeast} requests from the tap`, evidence: running.output },
      ),
  };
}

async function withTap<T>(
  application: Application,
  args: readonly string[],
  use: (tap: StartedTap, served: Served) => Promise<T>,
): Promise<T> {
  const served = await servePostern(application);
  const tap = await startTap(served.address, args);
  try {
    return await use(tap, served);
  } finally {
    await tap.running.stop();
    await served.close();
  }
}

async function withNginx<T>(
  tap: StartedTap,
  options: { keepConn?: boolean; streaming?: boolean },
  use: (nginx: WebServer) => Promise<T>,
): Promise<T> {
  const nginx = await startNginx({ application: tap.address, ...options });
  try {
    return await use(nginx);
  } finally {
    await nginx.stop();
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Bytes that do not repeat, so that none can be lost or moved unseen. */
function noise(length: number): Buffer {
  return createHash("shake256", { outputLength: length }).update(String(length)).digest();
}

const echo: Application = async (req, res) => {
  const sum = createHash("sha256");
  for await (const piece of req) sum.update(piece as Buffer);
  res.setHeader("X-Sum", sum.digest("hex"));
  if (req.url?.startsWith("/noise")) res.end(noise(64 * MIB));
  else res.end(`${req.method} ${req.url}`);
};

describeWithServer("nginx", "a tap behind nginx", () => {
  it("passes on 64 MiB each way unchanged, in bounded memory", { timeout: patience(120_000) }, async () => {
    await withTap(echo, [], (tap) =>
      withNginx(tap, { streaming: true }, async (nginx) => {
        const body = noise(64 * MIB);
        await request(`${nginx.url}/first`);
        const before = residentBytes(tap.running.pid);
        let most = before;
        const watch = setInterval(() => {
          most = Math.max(most, residentBytes(tap.running.pid));
        }, 25);
        const up = await request(`${nginx.url}/up`, { method: "PUT", body, timeoutMs: 60_000 });
        const down = await request(`${nginx.url}/noise`, { timeoutMs: 60_000 });
        clearInterval(watch);
        expect(up.headers["x-sum"]).toBe(sha256(body));
        expect(sha256(down.body)).toBe(sha256(body));
        expect(most - before).toBeLessThan(60 * MIB);
        const seen = await tap.requests(3);
        expect(seen.slice(1)).toMatchObject([
          { url: "/up", stdinBytes: 64 * MIB, status: 200, ending: "done" },
          { url: "/noise", bodyBytes: 64 * MIB, status: 200, ending: "done" },
        ]);
      }),
    );
  });

  it("passes on each event of a stream before the next is made", async () => {
    let send = (_text: string): void => {};
    const app: Application = (_req, res) => {
      res.setHeader("Content-Type", "text/event-stream");
      res.flushHeaders();
      send = (text) => void (text === "" ? res.end() : res.write(text));
    };
    await withTap(app, [], (tap) =>
      withNginx(tap, { streaming: true }, async (nginx) => {
        const client = await connectHttp(nginx.origin);
        await client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.waitForText(/event-stream/);
        for (let event = 1; event <= 5; event++) {
          send(`data: ${event}\n\n`);
          await client.waitForText(new RegExp(`data: ${event}\n`));
        }
        send("");
        expect(await tap.requests(1)).toMatchObject([{ url: "/events", ending: "done" }]);
        client.close();
      }),
    );
  });

  it("lets the application know that the client has left", async () => {
    let isGone = false;
    const app: Application = (_req, res) => {
      res.write("begin");
      res.on("close", () => {
        isGone = true;
      });
    };
    await withTap(app, [], (tap) =>
      withNginx(tap, { streaming: true }, async (nginx) => {
        const client = await connectHttp(nginx.origin);
        await client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.waitForText(/begin/);
        client.close();
        await waitFor(() => isGone, { what: "the application to notice" });
        expect(await tap.requests(1)).toMatchObject([{ url: "/long", ending: "closed by the web server" }]);
      }),
    );
  });

  it("says so when the application is killed in the middle, and the client gets what it would have got", async () => {
    const folder = temporaryFolder("killed");
    writeFileSync(
      join(folder, "app.mjs"),
      "export default (req, res) => { if (req.url === '/fine') return void res.end('fine'); res.setHeader('Content-Length', '9'); res.write('half', () => process.kill(process.pid, 'SIGKILL')); };",
    );
    const socket = join(folder, "a.sock");
    const app = start(
      process.execPath,
      [CLI, "serve", "app.mjs", "--bind", `unix:${socket}`, "--workers", "0"],
      {
        cwd: folder,
      },
    );
    await waitFor(() => existsSync(socket), { timeoutMs: 15_000, evidence: app.output });
    const tap = await startTap({ unix: socket });
    await withNginx(tap, { streaming: true }, async (nginx) => {
      expect((await request(`${nginx.url}/fine`)).text).toBe("fine");
      const client = await connectHttp(nginx.origin);
      await client.send("GET /die HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      expect(await client.waitForEnd()).toMatch(/200 OK.*half$/s);
      expect(await tap.requests(2)).toMatchObject([
        { url: "/fine", ending: "done" },
        { url: "/die", status: 200, ending: "closed by the application" },
      ]);
      // The kernel ends a killed process's connections before its listening socket: until it has exited, connect()
      // still succeeds half of the time.
      await app.exited;
      expect((await request(`${nginx.url}/gone`)).status).toBe(502);
      await tap.running.waitForLine(/cannot connect to unix:\S+: nobody listens on that socket any more/);
    });
    await tap.running.stop();
    await app.stop();
  });

  it("lets open requests end when it is told to end, and takes no more", async () => {
    let answer = (): void => {};
    const app: Application = (req, res) => {
      if (req.url === "/slow") answer = () => res.end("the whole answer");
      else res.end("quick");
    };
    await withTap(app, [], (tap, served) =>
      withNginx(tap, { keepConn: true }, async (nginx) => {
        expect((await request(`${nginx.url}/quick`)).text).toBe("quick");
        const slow = request(`${nginx.url}/slow`);
        await waitFor(() => served.server.stats.openRequests === 1);
        tap.running.signal("SIGTERM");
        await tap.running.waitForLine(/1 request still open: waiting/);
        // Said first, and then done.
        await waitFor(() => !existsSync("unix" in tap.address ? tap.address.unix : ""));
        answer();
        expect((await slow).text).toBe("the whole answer");
        expect(await tap.running.exited).toEqual({ code: 0, signal: null });
        expect(tap.events("summary")).toMatchObject([{ requests: 2, failed: 0, statuses: { 200: 2 } }]);
      }),
    );
  });

  it("cuts what is open when it is told a second time", async () => {
    const app: Application = (_req, res) => void res.write("begin");
    await withTap(app, [], (tap) =>
      withNginx(tap, { streaming: true }, async (nginx) => {
        const client = await connectHttp(nginx.origin);
        await client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.waitForText(/begin/);
        tap.running.signal("SIGINT");
        await tap.running.waitForLine(/1 request still open/);
        tap.running.signal("SIGINT");
        expect(await tap.running.exited).toEqual({ code: 0, signal: null });
        expect(await tap.requests(1)).toMatchObject([{ ending: "tap ended" }]);
        client.close();
      }),
    );
  });

  it("carries 200 connections at once", { timeout: patience(120_000) }, async () => {
    const waiting: (() => void)[] = [];
    const app: Application = (req, res) => {
      waiting.push(() => res.end(req.url));
      if (waiting.length === 200) for (const answer of waiting) answer();
    };
    await withTap(app, [], (tap) =>
      withNginx(tap, {}, async (nginx) => {
        const paths = Array.from({ length: 200 }, (_, at) => `/number-${at}`);
        const answers = await Promise.all(
          paths.map((path) => request(nginx.url + path, { timeoutMs: 30_000 })),
        );
        expect(answers.map(({ text }) => text)).toEqual(paths);
        const seen = await tap.requests(200);
        expect(new Set(seen.map(({ url }) => url))).toEqual(new Set(paths));
        expect(new Set(seen.map(({ connection }) => connection)).size).toBe(200);
      }),
    );
  });

  it("goes on while nobody reads what it prints", async () => {
    await withTap(echo, ["--params"], (tap) =>
      withNginx(tap, { keepConn: true }, async (nginx) => {
        tap.running.child.stdout?.pause();
        const path = `/${"x".repeat(4000)}`;
        for (let count = 0; count < 60; count++) expect((await request(nginx.url + path)).status).toBe(200);
        tap.running.child.stdout?.resume();
        expect((await tap.requests(60)).length).toBe(60);
      }),
    );
  });

  it("shows no password and no cookie, and records none, unless it is told to", async () => {
    const app: Application = (_req, res) => {
      res.setHeader("Set-Cookie", "session=blue-horse");
      res.end("body");
    };
    const headers = { Authorization: "Basic green-horse", Cookie: "red-horse", "X-Api-Key": "black-horse" };
    for (const args of [[], ["--secrets"]]) {
      const folder = join(temporaryFolder("rec"), "new");
      await withTap(app, ["--params", "--record", folder, ...args], async (tap) => {
        await withNginx(tap, {}, async (nginx) => {
          await request(`${nginx.url}/`, { headers });
          await tap.requests(1);
        });
        await tap.running.stop();
        expect(statSync(folder).mode & 0o777).toBe(0o700);
        const files = readdirSync(folder);
        expect(files.map((name) => name.replace(/^tap--\d+T\d+-\d+-000001/, ""))).toEqual([
          ".bin",
          ".json",
          ".out.bin",
        ]);
        for (const name of files) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
        const kept = files.map((name) => readFileSync(join(folder, name), "latin1")).join();
        const said = kept + tap.running.output();
        const horses = ["green", "red", "black", "blue"].filter((colour) => said.includes(`${colour}-horse`));
        expect(horses).toEqual(args.length === 0 ? [] : ["green", "red", "black", "blue"]);
        if (args.length === 0) {
          expect(tap.running.stdout()).toContain("\\u2026(17 bytes)");
          expect(kept).toContain(`HTTP_COOKIE${"x".repeat(9)}`);
          expect(kept).toContain('"redacted": true');
        }
      });
    }
  });

  it("keeps no more recordings than it is told to, the newest", async () => {
    const folder = temporaryFolder("few");
    await withTap(echo, ["--record", folder, "--record-files", "3"], async (tap) => {
      await withNginx(tap, {}, async (nginx) => {
        for (let count = 1; count <= 8; count++) {
          await request(`${nginx.url}/${count}`);
          await waitFor(() => readdirSync(folder).some((name) => name.endsWith(`-00000${count}.json`)));
        }
      });
      await tap.running.stop();
      const left = readdirSync(folder).filter((name) => name.endsWith(".json"));
      expect(left.map((name) => name.slice(-11, -5))).toEqual(["000006", "000007", "000008"]);
    });
  });
});

describeWithServer("haproxy", "a tap behind HAProxy with several requests on one connection", () => {
  it("tells them apart", async () => {
    const waiting: (() => void)[] = [];
    const app: Application = (req, res) => {
      waiting.push(() => res.end(req.url));
      // The last one first.
      if (waiting.length === 3) for (const answer of waiting.reverse()) answer();
    };
    await withTap(app, [], async (tap) => {
      if (!("unix" in tap.address)) throw new Error("a unix socket is needed");
      const haproxy = await startGenerated("haproxy", {
        application: { kind: "external", addresses: [{ kind: "unix", path: tap.address.unix }] },
        isKeptAlive: true,
        isMultiplexed: true,
      });
      const answers = await Promise.all(["/a", "/b", "/c"].map((path) => request(haproxy.url + path)));
      expect(answers.map(({ text }) => text)).toEqual(["/a", "/b", "/c"]);
      const seen = await tap.requests(3);
      expect(seen.map(({ url }) => url).sort()).toEqual(["/a", "/b", "/c"]);
      const perConnection = new Map<number, Set<number>>();
      for (const { connection, id } of seen) {
        perConnection.set(connection, (perConnection.get(connection) ?? new Set()).add(id));
      }
      // HAProxy shares out among its threads: fewer connections than requests is all that is certain.
      expect(Math.max(...[...perConnection.values()].map((ids) => ids.size))).toBeGreaterThan(1);
      await haproxy.stop();
    });
  });
});

describeWithServer("php-fpm", "recordings of php-fpm", () => {
  it("decode to what was said, and replay to the same answers until the program is another", {
    timeout: 120_000,
  }, async () => {
    const php = await startPhpFpm({
      scripts: {
        "page.php":
          "<?php header('X-Page: 1'); error_log('noted'); echo 'hello ', $_GET['n'] ?? '', file_get_contents('php://input');",
      },
      directives: "php_admin_value[log_errors] = On",
    });
    const folder = temporaryFolder("rec");
    const direct = await startTap(php.address, ["--record", folder]);
    const ask = (query: string) => {
      const args = ["--connect", textOf(direct.address), "--root", php.documentRoot, "-s", "-d", "body"];
      return run(process.execPath, [CLI, "curl", ...args, `/page.php?n=${query}`]);
    };
    expect((await ask("1")).stdout).toBe("hello 1body");
    const asked = await ask("2");
    expect(asked.stdout).toBe("hello 2body");
    const [, seen] = await direct.requests(2);
    expect(seen).toMatchObject({ status: 200, ending: "done", url: "/page.php?n=2", stdinBytes: 4 });
    expect(seen?.stderr).toContain("noted");
    await direct.running.stop();
    const shown = start(process.execPath, [
      ...[CLI, "inspect", "--listen", `unix:${join(temporaryFolder("shown"), "t.sock")}`],
      ...["--connect", textOf(php.address)],
    ]);
    const place = (await shown.waitForLine(/a tap at (\S+),/))[1]!;
    const args = ["--connect", place, "--root", php.documentRoot, "-s"];
    await run(process.execPath, [CLI, "curl", ...args, "/page.php"]);
    await shown.waitForLine(/1\/1 +stderr: .*noted/);
    await shown.stop();

    const decoded = await run(process.execPath, [CLI, "decode", folder, "--json"]);
    expect(decoded.code).toBe(0);
    const last = JSON.parse(decoded.stdout.trim().split("\n").at(-1) ?? "{}");
    expect(last.requests).toMatchObject([
      { url: "/page.php?n=2", stdinBytes: 4, stdinSha256: sha256(Buffer.from("body")), status: 200 },
    ]);
    const sidecar =
      readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .sort()
        .at(-1) ?? "";
    const kept = JSON.parse(readFileSync(join(folder, sidecar), "utf8")).fcgi_connections[0];
    expect(kept.sha256).toBe(sha256(readFileSync(join(folder, kept.file))));
    expect(kept.out_sha256).toBe(sha256(readFileSync(join(folder, kept.out_file))));
    expect(kept.requests[0].answer).toMatchObject({
      status: 200,
      body_sha256: sha256(Buffer.from("hello 2body")),
    });

    const replay = (...args: string[]) =>
      run(process.execPath, [CLI, "replay", folder, "--connect", textOf(php.address), ...args], {
        timeoutMs: 30_000,
      });
    const same = await replay("--repeat", "3", "--concurrency", "2");
    expect(same.stdout).toMatch(/^6 equal, 0 different/m);
    expect(same.code).toBe(0);
    writeFileSync(php.script("page.php"), "<?php header('X-Page: 2'); echo 'good-bye ', $_GET['n'] ?? '';");
    const other = await replay("--only", "2");
    expect(other.code).toBe(1);
    expect(other.stdout).toMatch(/DIFFERENT 2 {2}POST \/page\.php\?n=2/);
    expect(other.stdout).toMatch(/header x-page: 1\n\s+now: 2\n/);
    expect(other.stdout).toMatch(/body: 11 bytes, sha256 \w+…|body: 11 bytes/);
    expect(other.stdout).toMatch(/stderr: .*noted/);
    const ignoring = await replay(
      "--only",
      "2",
      "--ignore-body",
      "--ignore-stderr",
      "--ignore-header",
      "X-Page",
    );
    expect(ignoring.stdout).toMatch(/^1 equal, 0 different/m);
    await php.stop();
    const gone = await replay();
    expect(gone).toMatchObject({ code: 3, stderr: expect.stringMatching(/cannot connect to unix:/) });
  });
});

describe("a tap between two sockets", () => {
  it("passes on what is not FastCGI, in both directions, ends and half ends too", async () => {
    const socket = join(temporaryFolder("raw"), "a.sock");
    const server = net.createServer({ allowHalfOpen: true }, (peer) => {
      const sum = createHash("sha256");
      peer.on("data", (piece: Buffer) => {
        sum.update(piece);
        if (!peer.write(piece)) {
          peer.pause();
          peer.once("drain", () => peer.resume());
        }
      });
      peer.on("end", () => peer.end(`the end of ${sum.digest("hex")}`));
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const tap = await startTap({ unix: socket });
    const bytes = Buffer.concat([Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), noise(5 * MIB)]);
    const client = net.connect({ path: "unix" in tap.address ? tap.address.unix : "", allowHalfOpen: true });
    const got: Buffer[] = [];
    client.on("data", (piece: Buffer) => got.push(piece));
    client.end(bytes);
    await new Promise((resolve) => client.once("end", resolve));
    expect(sha256(Buffer.concat(got))).toBe(
      sha256(Buffer.concat([bytes, Buffer.from(`the end of ${sha256(bytes)}`)])),
    );
    await waitFor(() => tap.events("not-fastcgi").length === 2);
    expect(tap.events("not-fastcgi")).toMatchObject([
      { from: "web server", speaks: "HTTP", offset: 0 },
      { from: "application", speaks: "HTTP" },
    ]);
    await tap.running.stop();
    server.close();
  });

  it.each(["web server", "application"] as const)("passes on a reset by the %s", async (who) => {
    const ends: string[] = [];
    const listen = (socket: net.Socket, name: string): void => {
      socket.on("error", (error: NodeJS.ErrnoException) => ends.push(`${name} ${error.code}`));
      socket.on("end", () => ends.push(`${name} end`));
      // A reset that comes together with the last bytes cannot be told from an end: see the documentation.
      socket.on("data", () => {
        arrived = true;
      });
    };
    let arrived = false;
    let peer: net.Socket | undefined;
    const server = net.createServer((socket) => {
      peer = socket;
      listen(socket, "application");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const running = start(process.execPath, [
      CLI,
      "inspect",
      "--listen",
      "127.0.0.1:0",
      "--connect",
      `127.0.0.1:${port}`,
    ]);
    const [, place = ""] = await running.waitForLine(/a tap at 127\.0\.0\.1:(\d+)/, { timeoutMs: 20_000 });
    const client = net.connect(Number(place), "127.0.0.1");
    listen(client, "web server");
    client.write("\x01");
    await waitFor(() => arrived);
    (who === "web server" ? client : peer)?.resetAndDestroy();
    const other = who === "web server" ? "application" : "web server";
    await waitFor(() => ends.length > 0);
    expect(ends).toEqual([`${other} ECONNRESET`]);
    await running.stop();
    server.close();
  });

  it("delivers the whole answer of an application that does not read a body to its end", async () => {
    const socket = join(temporaryFolder("deaf"), "a.sock");
    const answer = noise(3 * MIB);
    const server = net.createServer((peer) => {
      peer.once("data", () => {
        peer.pause();
        peer.write(answer, () => peer.destroy());
      });
      peer.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const tap = await startTap({ unix: socket });
    const client = net.connect("unix" in tap.address ? tap.address.unix : "");
    const got: Buffer[] = [];
    client.on("error", () => {});
    client.on("data", (piece: Buffer) => got.push(piece));
    client.write(noise(20 * MIB));
    await new Promise((resolve) => client.once("close", resolve));
    expect(sha256(Buffer.concat(got))).toBe(sha256(answer));
    await tap.running.stop();
    server.close();
  });
});

describeWithServer("nginx", "a tap in the application's own place", () => {
  it("comes and goes without one request failing", { timeout: patience(120_000) }, async () => {
    const served = await servePostern(echo);
    const path = "unix" in served.address ? served.address.unix : "";
    const nginx = await startNginx({ application: served.address });
    const failures: number[] = [];
    let count = 0;
    let isOver = false;
    const visitor = async (): Promise<void> => {
      while (!isOver) {
        const { status } = await request(`${nginx.url}/?${count}`);
        if (status !== 200) failures.push(status);
        count++;
      }
    };
    const visitors = [visitor(), visitor(), visitor()];
    const before = statSync(path);
    for (let round = 0; round < 2; round++) {
      const tap = await startTap(served.address, ["--take-over"]);
      const { mode, uid, gid } = statSync(path);
      expect({ mode, uid, gid }).toEqual({ mode: before.mode, uid: before.uid, gid: before.gid });
      await tap.requests(20);
      tap.running.signal("SIGTERM");
      expect(await tap.running.exited).toEqual({ code: 0, signal: null });
      expect(statSync(path).ino).toBe(before.ino);
      expect(existsSync(`${path}.tapped`)).toBe(false);
    }
    const after = count + 20;
    await waitFor(() => count > after);
    isOver = true;
    await Promise.all(visitors);
    expect(failures).toEqual([]);
    await nginx.stop();
    await served.close();
  });

  it("after a kill, one command puts the socket back; a second tap says which", async () => {
    const served = await servePostern(echo);
    const path = "unix" in served.address ? served.address.unix : "";
    const nginx = await startNginx({ application: served.address });
    const tap = await startTap(served.address, ["--take-over"]);
    expect((await request(`${nginx.url}/`)).status).toBe(200);
    const second = await run(process.execPath, [CLI, "inspect", "--take-over", "--connect", `unix:${path}`]);
    expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining(`mv ${path}.tapped ${path}`) });
    await tap.running.stop({ signal: "SIGKILL" });
    expect((await request(`${nginx.url}/`)).status).toBe(502);
    renameSync(`${path}.tapped`, path);
    expect((await request(`${nginx.url}/`)).status).toBe(200);
    await nginx.stop();
    await served.close();
  });

  it("ends, and says why, when the application makes its socket anew", async () => {
    const served = await servePostern(echo);
    const path = "unix" in served.address ? served.address.unix : "";
    const tap = await startTap(served.address, ["--take-over"]);
    renameSync(path, `${path}.away`);
    const again = net.createServer();
    await new Promise<void>((resolve) => again.listen(path, resolve));
    expect(await tap.running.exited).toEqual({ code: 1, signal: null });
    expect(tap.running.stderr()).toMatch(/the socket at \S+ is a new one of the application, and stays/);
    expect(statSync(path).isSocket()).toBe(true);
    again.close();
    await served.close();
  });
});

describe("wrong usage", () => {
  it.each([
    [["inspect", "--connect", "unix:/a"], /--listen is missing/],
    [["inspect", "--connect", "unix:/a", "--listen", "unix:/a"], /are both unix:\/a/],
    [["inspect", "--connect", "unix:/a", "--take-over", "--listen", "unix:/b"], /--take-over and --listen/],
    [["inspect", "--connect", "127.0.0.1:1", "--take-over"], /only a unix socket with a file/],
    [["inspect", "--connect", "unix:/no/such.sock", "--take-over"], /there is no such socket/],
    [["inspect", "--connect", "unix:/a", "--listen", "unix:/b", "--only", "6xx"], /--only "6xx": write 5xx/],
    [["inspect", "--connect", "unix:/a", "--listen", "unix:/b", "--live"], /--live needs a terminal/],
    [
      ["inspect", "--connect", "unix:/a", "--listen", "unix:/b", "--record", "r", "--record-max", "x"],
      /--record-max "x"/,
    ],
    [["decode", "/no/such.bin"], /there is no such file/],
    [["replay", "/no/such.bin", "--connect", "unix:/a"], /there is no such file/],
    [["replay", ".", "--connect", "unix:/a", "--repeat", "0"], /--repeat "0"/],
  ])("is refused in a sentence: %j", async (args, says) => {
    const { code, stdout, stderr } = await run(process.execPath, [CLI, ...args], {
      cwd: temporaryFolder("wrong"),
    });
    expect(stderr).toMatch(says);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});

/**
 * Libraries that poke at the internals of requests and responses, in the ways in which they are used: the same
 * application and the same expectations over node:http, behind our gateway and behind nginx, which both say that the
 * client came by HTTPS.
 */
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGateway, type Gateway } from "../../src/gateway/index.ts";
import { built } from "../support/e2e/built.ts";
import { connectHttp, type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { type Running, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { giveToServerGroup, type WebServer } from "../support/web-servers/web-server.ts";

const FOLDER = join(repositoryRoot, "test", "compat", "libraries");
const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const PATIENT = { timeoutMs: 30_000 } as const;

interface Site {
  readonly url: string;
  readonly application: Running;
  /** Whether the web server says that the client came by HTTPS. */
  readonly isEncrypted: boolean;
}

let upstream: http.Server;
let upstreamUrl: string;

beforeAll(async () => {
  await built();
  upstream = http.createServer(echo);
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
});

afterAll(() => {
  upstream.closeAllConnections();
  upstream.close();
});

/** Says what came, and gives the body's length and digest. */
function echo(req: http.IncomingMessage, res: http.ServerResponse): void {
  const hash = createHash("sha256");
  let bytes = 0;
  req.on("data", (piece: Buffer) => {
    bytes += piece.length;
    hash.update(piece);
  });
  req.on("end", () => {
    res.writeHead(201, { "Content-Type": "application/json", "X-Upstream": "yes" });
    res.end(
      JSON.stringify({
        method: req.method,
        url: req.url,
        headers: req.headers,
        bytes,
        sha256: hash.digest("hex"),
      }),
    );
  });
}

function environment(): Record<string, string | undefined> {
  return { ...process.env, NODE_ENV: "production", NODE_OPTIONS: undefined, UPSTREAM: upstreamUrl };
}

async function startAlone(program: string): Promise<{ application: Running; url: string }> {
  const application = start(process.execPath, [program], {
    cwd: FOLDER,
    env: { ...environment(), PORT: "0" },
  });
  const [, port] = await application.waitForLine(/listening on port (\d+)/, PATIENT);
  return { application, url: `http://127.0.0.1:${port}` };
}

async function startServed(file: string): Promise<{ application: Running; socket: string }> {
  const socket = join(temporaryFolder("lib"), "app.sock");
  const args = [CLI, "serve", file, "--bind", `unix:${socket}`, "--workers", "0"];
  const application = start(process.execPath, args, { cwd: FOLDER, env: environment() });
  await application.waitForLine(/listening|serving/i, PATIENT);
  giveToServerGroup(socket);
  return { application, socket };
}

/** A suite over every target. */
function onEveryTarget(file: string, alone: string, tests: (site: () => Site) => void): void {
  describe("compat | Libraries | node:http", () => {
    describe(alone, () => {
      let site: Site;
      beforeAll(async () => {
        site = { ...(await startAlone(alone)), isEncrypted: false };
      });
      afterAll(() => site?.application.stop());
      tests(() => site);
    });
  });

  describe("compat | Libraries | gateway", () => {
    describe(file, () => {
      let site: Site;
      let gateway: Gateway;
      beforeAll(async () => {
        const { application, socket } = await startServed(file);
        gateway = createGateway({ connect: `unix:${socket}`, params: { HTTPS: "on" } });
        await gateway.listen("127.0.0.1:0");
        const { port } = gateway.server.address() as AddressInfo;
        site = { application, url: `http://127.0.0.1:${port}`, isEncrypted: true };
      });
      afterAll(async () => {
        gateway?.server.closeAllConnections();
        await gateway?.close();
        await site?.application.stop();
      });
      tests(() => site);
    });
  });

  describeWithServer("nginx", "compat | Libraries | nginx", () => {
    describe(file, () => {
      let site: Site;
      let web: WebServer;
      beforeAll(async () => {
        const { application, socket } = await startServed(file);
        web = await startNginx({ application: { unix: socket }, directives: "fastcgi_param HTTPS on;" });
        site = { application, url: web.url, isEncrypted: true };
      });
      afterAll(async () => {
        await web?.stop();
        await site?.application.stop();
      });
      tests(() => site);
    });
  });
}

/** The one file of a form, and a text field before it. */
function form(name: string, content: Uint8Array): { body: Buffer; headers: Record<string, string> } {
  const head =
    '--X\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n' +
    `--X\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: image/png\r\n\r\n`;
  const body = Buffer.concat([Buffer.from(head), content, Buffer.from("\r\n--X--\r\n")]);
  return { body, headers: { "Content-Type": "multipart/form-data; boundary=X" } };
}

function cookiesOf(answer: HttpAnswer): string {
  return (answer.headers["set-cookie"] ?? []).map((cookie) => cookie.split(";")[0]).join("; ");
}

onEveryTarget("app.js", "start.js", (site) => {
  const ask = (target: string, options?: RequestOptions): Promise<HttpAnswer> =>
    request(site().url + target, options);
  const json = async (target: string, options?: RequestOptions): Promise<unknown> => {
    const answer = await ask(target, options);
    expect(answer.status, answer.text).toBeLessThan(300);
    return JSON.parse(answer.text) as unknown;
  };
  const lineAfter = (from: number, pattern: RegExp): Promise<RegExpExecArray> =>
    site().application.waitForLine(pattern, { from, timeoutMs: 10_000 });
  const now = (): number => site().application.lines.length;

  it("body-parser: JSON, also compressed, and in chunks of unknown length", async () => {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ a: ["é", 1] });
    expect(await json("/json", { body, headers })).toEqual({ got: { a: ["é", 1] } });
    const packed = { ...headers, "Content-Encoding": "gzip" };
    expect(await json("/json", { body: gzipSync(body), headers: packed })).toEqual({ got: { a: ["é", 1] } });
  });

  it("body-parser: what is too large is 413, what is broken 400, a charset nobody knows 415", async () => {
    const headers = { "Content-Type": "application/json" };
    const large = await ask("/json", { body: JSON.stringify("x".repeat(200_000)), headers });
    expect([large.status, large.text]).toEqual([413, '{"error":"entity.too.large"}']);
    const broken = await ask("/json", { body: "{", headers });
    expect([broken.status, broken.text]).toEqual([400, '{"error":"entity.parse.failed"}']);
    const odd = await ask("/json", {
      body: "{}",
      headers: { "Content-Type": "application/json; charset=x-odd" },
    });
    expect([odd.status, odd.text]).toEqual([415, '{"error":"charset.unsupported"}']);
  });

  it("body-parser: a form, a text, 5 MB of bytes", async () => {
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    expect(await json("/form", { body: "a[b]=1&c=%C3%A9", headers })).toEqual({
      got: { a: { b: "1" }, c: "é" },
    });
    expect(await json("/text", { body: "grüß", headers: { "Content-Type": "text/plain" } })).toEqual({
      got: "grüß",
    });
    const bytes = { "Content-Type": "application/octet-stream" };
    expect(await json("/bytes", { body: randomBytes(5_000_000), headers: bytes })).toEqual({
      bytes: 5_000_000,
    });
  });

  it("raw-body: reads up to its limit", async () => {
    expect(await json("/raw-body", { body: "x".repeat(70_000) })).toEqual({ characters: 70_000 });
    expect((await ask("/raw-body", { body: "x".repeat(1_100_000) })).status).toBe(413);
  });

  it("multer: 5 MB into memory, and onto the disk", async () => {
    const file = form("photo é.png", randomBytes(5_000_000));
    expect(await json("/upload/memory", file)).toEqual({
      originalname: expect.stringMatching(/^photo .+\.png$/),
      mimetype: "image/png",
      size: 5_000_000,
      field: "A title",
    });
    expect(await json("/upload/disk", file)).toEqual({ sizes: [5_000_000] });
  });

  it("multer: a file over its limit is refused, and the next upload is not", async () => {
    const refused = await ask("/upload/limited", form("large.png", randomBytes(50_000)));
    expect([refused.status, refused.text]).toEqual([413, '{"error":"LIMIT_FILE_SIZE"}']);
    expect((await ask("/upload/limited", form("small.png", randomBytes(100)))).status).toBe(200);
  });

  it("busboy and formidable: fields and files", async () => {
    const file = form("a.png", randomBytes(300_000));
    expect(await json("/upload/busboy", file)).toEqual({
      parts: [
        { name: "title", value: "A title" },
        { name: "file", filename: "a.png", bytes: 300_000 },
      ],
    });
    expect(await json("/upload/formidable", file)).toEqual({
      fields: { title: ["A title"] },
      names: ["file"],
      sizes: [300_000],
    });
  });

  it("compression: packs an answer for who takes it, and flushes events one by one", async () => {
    const packed = await ask("/compressed", { headers: { "Accept-Encoding": "gzip" } });
    expect(packed.headers).toMatchObject({
      "content-encoding": "gzip",
      vary: expect.stringContaining("Accept-Encoding"),
    });
    expect(gunzipSync(packed.body).toString()).toBe("much the same\n".repeat(2000));
    expect((await ask("/compressed", { method: "HEAD" })).text).toBe("");
    const from = now();
    const client = await connectHttp(site().url);
    await client.send("GET /events HTTP/1.1\r\nHost: a.example\r\n\r\n");
    await client.waitForText(/data: hello\n\n/, 10_000);
    client.close();
    await lineAfter(from, /a listener left/);
  });

  it("on-finished: tells a whole response from one whose client left", async () => {
    const from = now();
    expect((await ask("/finished/whole")).text).toBe("whole");
    await lineAfter(from, /^finished response whole: false true fine whole=true$/);
    await lineAfter(from, /^finished request whole: fine complete=true$/);
    const client = await connectHttp(site().url);
    await client.send("GET /finished/never HTTP/1.1\r\nHost: a.example\r\n\r\n");
    await client.waitForText(/and then/, 10_000);
    client.close();
    await lineAfter(from, /^finished response never: false true \w+ whole=false$/);
  });

  it("on-headers and response-time: set a header when the head leaves", async () => {
    const answer = await ask("/finished/whole");
    expect(answer.headers).toMatchObject({
      "x-late": "200",
      "x-response-time": expect.stringMatching(/^[\d.]+ms$/),
    });
    expect((await ask("/nowhere")).headers["x-late"]).toBe("404");
  });

  for (const [library, path] of [
    ["send", "/send/hello.txt"],
    ["serve-static", "/public/hello.txt"],
    ["sirv", "/sirv/hello.txt"],
  ] as const) {
    it(`${library}: whole, in part, only the head, and not again`, async () => {
      const whole = await ask(path);
      expect([whole.status, whole.text]).toEqual([200, "Hello from a file.\n"]);
      expect(whole.headers).toMatchObject({
        "content-length": "19",
        "content-type": expect.stringMatching(/^text\/plain/),
      });
      const part = await ask(path, { headers: { Range: "bytes=6-9" } });
      expect([part.status, part.text, part.headers["content-range"]]).toEqual([206, "from", "bytes 6-9/19"]);
      const none = await ask(path, { headers: { Range: "bytes=100-" } });
      expect([none.status, none.headers["content-range"]]).toEqual([416, "bytes */19"]);
      const head = await ask(path, { method: "HEAD" });
      expect([head.status, head.text, head.headers["content-length"]]).toEqual([200, "", "19"]);
      const again = await ask(path, { headers: { "If-None-Match": whole.headers.etag ?? "" } });
      expect([again.status, again.text]).toEqual([304, ""]);
    });
  }

  it("serve-index: lists a folder", async () => {
    expect(await json("/index/", { headers: { Accept: "application/json" } })).toEqual([
      "hello.txt",
      "site.css",
    ]);
  });

  it("stream.pipeline: a file; and a stream that breaks cuts the answer", async () => {
    expect((await ask("/pipeline")).text).toBe("Hello from a file.\n");
    const from = now();
    await expect(ask("/pipeline/broken").then(({ status }) => status)).rejects.toThrow();
    await lineAfter(from, /^pipeline: no second half$/);
  });

  it("morgan: logs method, URL, status, address, length, time and version", async () => {
    const from = now();
    await ask("/send/hello.txt?x=1");
    await lineAfter(
      from,
      /^morgan GET \/send\/hello\.txt\?x=1 200 (::ffff:)?127\.0\.0\.1 19 [\d.]+ ms 1\.1$/,
    );
  });

  it("pino-http: logs the request's own lines, and its end", async () => {
    const from = now();
    await ask("/pino");
    await lineAfter(
      from,
      /"req":\{"method":"GET","url":"\/pino","remoteAddress":"(::ffff:)?127\.0\.0\.1"\}.*from the handler/,
    );
    await lineAfter(from, /"res":\{"statusCode":200.*"responseTime":\d+.*request completed/);
  });

  it("express-session: knows who comes again", async () => {
    const first = await ask("/session");
    expect(JSON.parse(first.text)).toEqual({ visits: 1 });
    expect(await json("/session", { headers: { Cookie: cookiesOf(first) } })).toEqual({ visits: 2 });
  });

  it("express-session: a secure cookie is set where the client came by HTTPS", async () => {
    const { isEncrypted } = site();
    const answer = await ask("/secure");
    expect(JSON.parse(answer.text)).toEqual({
      secure: isEncrypted,
      protocol: isEncrypted ? "https" : "http",
    });
    const cookies = answer.headers["set-cookie"] ?? [];
    expect(cookies).toEqual(isEncrypted ? [expect.stringMatching(/^ssid=.*; Secure/)] : []);
  });

  it("cookie-session and cookie-parser: signed cookies come back as they were set", async () => {
    const first = await ask("/cookie-session");
    expect(await json("/cookie-session", { headers: { Cookie: cookiesOf(first) } })).toEqual({ visits: 2 });
    const set = await ask("/cookies");
    expect(set.headers["set-cookie"]).toHaveLength(2);
    expect(await json("/cookies", { headers: { Cookie: cookiesOf(set) } })).toEqual({
      cookies: { plain: "1" },
      signed: { signed: "x" },
    });
  });

  it("passport: logs in, knows the user, logs out, refuses a wrong password", async () => {
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    expect((await ask("/login", { body: "username=ada&password=wrong", headers })).status).toBe(401);
    const login = await ask("/login", { body: "username=ada&password=right", headers });
    expect(JSON.parse(login.text)).toEqual({ name: "ada" });
    const known = { Cookie: cookiesOf(login) };
    expect(await json("/me", { headers: known })).toEqual({ user: { name: "ada" }, in: true });
    expect(await json("/logout", { method: "POST", body: "", headers: known })).toEqual({ out: true });
    expect(await json("/me", { headers: known })).toEqual({ user: null, in: false });
  });

  it("helmet and cors: their headers, and the answer to a preflight", async () => {
    const answer = await ask("/finished/whole", { headers: { Origin: "https://example.org" } });
    expect(answer.headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringContaining("default-src 'self'"),
      "access-control-allow-origin": "https://example.org",
    });
    const preflight = await ask("/json", {
      method: "OPTIONS",
      headers: { Origin: "https://example.org", "Access-Control-Request-Method": "PUT" },
    });
    expect([preflight.status, preflight.text]).toEqual([204, ""]);
    expect(preflight.headers["access-control-allow-methods"]).toContain("PUT");
  });

  it("express-rate-limit: counts by the client's address", async () => {
    const statuses = [];
    for (let count = 0; count < 3; count++) statuses.push((await ask("/limited")).status);
    expect(statuses).toEqual([200, 200, 429]);
  });

  it("method-override and vhost: other methods, other hosts", async () => {
    const headers = { "X-HTTP-Method-Override": "DELETE" };
    expect((await ask("/override", { method: "POST", body: "", headers })).text).toBe("POST as DELETE");
    expect((await ask("/vhost", { headers: { Host: "admin.example.com" } })).text).toBe(
      "admin of admin.example.com",
    );
    expect((await ask("/vhost")).status).toBe(404);
  });

  it("connect-timeout: gives up with 503", async () => {
    const from = now();
    const answer = await ask("/slow");
    expect([answer.status, answer.text]).toEqual([503, '{"error":"ETIMEDOUT"}']);
    await lineAfter(from, /^timed out$/);
  });

  for (const [library, path, seen] of [
    ["http-proxy-middleware", "/middleware/a?b=1", "/a?b=1"],
    ["http-proxy-3", "/proxy/a?b=1", "/a?b=1"],
    ["undici", "/undici", "/echo"],
  ] as const) {
    it(`${library}: passes a POST of 1 MB on, and its answer back`, async () => {
      const body = randomBytes(1_000_000);
      const answer = await ask(path, { body, headers: { "Content-Type": "application/x-bytes" } });
      expect([answer.status, answer.headers["content-type"]]).toEqual([
        201,
        expect.stringMatching(/^application\/json/),
      ]);
      const sha256 = createHash("sha256").update(body).digest("hex");
      expect(JSON.parse(answer.text)).toMatchObject({
        method: "POST",
        url: seen,
        bytes: body.length,
        sha256,
      });
    });
  }

  it("http-proxy-middleware: tells the other server who asked, and how", async () => {
    const { headers } = JSON.parse((await ask("/middleware/who")).text) as {
      headers: Record<string, string>;
    };
    expect(headers["x-forwarded-for"]?.replace("::ffff:", "")).toBe("127.0.0.1");
    expect(headers["x-forwarded-proto"]).toBe(site().isEncrypted ? "https" : "http");
  });

  it("all of them: the broken stream is the one failure in the log", () => {
    const failures = site()
      .application.lines.map(({ text }) => text)
      .filter((text) => /the application failed|uncaught|MaxListenersExceeded/i.test(text));
    expect(failures.filter((text) => !text.includes("no second half"))).toEqual([]);
  });
});

onEveryTarget("traced.cjs", "traced.cjs", (site) => {
  const ask = (target: string, headers: Record<string, string> = {}): Promise<HttpAnswer> =>
    request(site().url + target, { headers });
  const trace = "0af7651916cd43dd8448eb211c80319c";

  it("OpenTelemetry: a request to an http.Server is a span with its status, and the handler runs inside it", async () => {
    const { application } = site();
    const from = application.lines.length;
    expect((await ask("/a?b=1", { traceparent: `00-${trace}-b7ad6b7169203331-01` })).text).toBe(
      "traced: true",
    );
    const [line] = await application.waitForLine(/^span .*SERVER.*$/, { from, timeoutMs: 10_000 });
    expect(JSON.parse(line.slice("span ".length))).toEqual({
      name: "GET",
      kind: "SERVER",
      status: 200,
      target: "/a?b=1",
      peer: expect.stringMatching(/127\.0\.0\.1$/),
      parent: trace,
    });
  });

  it("OpenTelemetry: what the handler asks of others is a span of the same trace", async () => {
    const { application } = site();
    const from = application.lines.length;
    await ask("/outside", { traceparent: `00-${trace}-b7ad6b7169203331-01` });
    const [line] = await application.waitForLine(/^span .*CLIENT.*$/, { from, timeoutMs: 10_000 });
    expect(line).toContain(trace);
  });
});

describe("compat | Libraries | node:http", () => {
  it("supertest: an application served by Postern can be tested as before", async () => {
    const { code, stdout, stderr } = await run(process.execPath, ["test-with-supertest.js"], {
      cwd: FOLDER,
      env: environment(),
      timeoutMs: 30_000,
    });
    expect(stdout + stderr).toContain("supertest is content");
    expect(code).toBe(0);
  });
});

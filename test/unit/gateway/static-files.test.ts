import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../src/cgi/from-http.ts";
import { contentType } from "../../../src/gateway/content-types.ts";
import { StaticFiles } from "../../../src/gateway/static-files.ts";
import { type HttpAnswer, type RequestOptions, request } from "../../support/http.ts";
import { temporaryFolder } from "../../support/temp.ts";

const MODIFIED = new Date("2026-01-02T03:04:05.678Z");
let server: Server;
let base: string;

beforeAll(async () => {
  const folder = temporaryFolder("static");
  const root = join(folder, "public");
  mkdirSync(join(root, "docs"), { recursive: true });
  mkdirSync(join(root, "empty"));
  mkdirSync(join(root, ".well-known"));
  mkdirSync(join(root, ".git"));
  mkdirSync(join(folder, "public-secret"));
  const write = (name: string, text: string | Buffer): void => writeFileSync(join(root, name), text);
  write("a.txt", "0123456789");
  write("caf\u00e9 x.html", "<p>hi");
  write("docs/index.html", "docs");
  write(".env", "SECRET");
  write(".git/config", "SECRET");
  write(".well-known/security.txt", "contact");
  write("empty.bin", "");
  write("big.bin", Buffer.alloc(3_000_000, "x"));
  write("app.php", "<?php SECRET");
  write("back\\slash.txt", "SECRET");
  writeFileSync(join(folder, "secret.txt"), "SECRET");
  writeFileSync(join(folder, "public-secret", "x.txt"), "SECRET");
  symlinkSync(join(folder, "secret.txt"), join(root, "link.txt"));
  symlinkSync(folder, join(root, "up"));
  symlinkSync(join(folder, "public-secret"), join(root, "sibling"));
  symlinkSync("a.txt", join(root, "alias.txt"));
  symlinkSync(".env", join(root, "env.txt"));
  symlinkSync("app.php", join(root, "source.txt"));
  symlinkSync("loop", join(root, "loop"));
  execFileSync("mkfifo", [join(root, "pipe")]);
  utimesSync(join(root, "a.txt"), MODIFIED, MODIFIED);
  const files = new StaticFiles({ folder: root, hidden: /\.php/i });
  server = createServer((req, res) => {
    const target = parseTarget(req.url!);
    const path = "refusal" in target ? undefined : target.path;
    const answer = path === undefined ? Promise.resolve(false) : files.serve(req, res, path, `/mount${path}`);
    void answer.then((isDone) => isDone || res.writeHead(404, { "X-App": "yes" }).end("application"));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

const get = (path: string, options?: RequestOptions): Promise<HttpAnswer> => request(base + path, options);

describe("a file", () => {
  it("is sent with type, length, validators and nosniff", async () => {
    const answer = await get("/a.txt");
    expect([answer.status, answer.text]).toEqual([200, "0123456789"]);
    expect(answer.headers).toMatchObject({
      "content-type": "text/plain; charset=utf-8",
      "content-length": "10",
      "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT",
      "cache-control": "no-cache",
      "accept-ranges": "bytes",
      "x-content-type-options": "nosniff",
    });
    expect(answer.headers.etag).toMatch(/^"[0-9a-f]+-a"$/);
  });

  it.each([
    ["/caf%C3%A9%20x.html", "<p>hi"],
    ["/docs/", "docs"],
    ["/docs/../a.txt", "0123456789"],
    ["//a.txt", "0123456789"],
    ["/a.txt?x=y", "0123456789"],
    ["/%61.txt", "0123456789"],
    ["/alias.txt", "0123456789"],
    ["/.well-known/security.txt", "contact"],
    ["/empty.bin", ""],
  ])("%s is found", async (path, text) => {
    const answer = await get(path);
    expect([answer.status, answer.text]).toEqual([200, text]);
  });

  it("may be large", async () => {
    expect((await get("/big.bin")).body.length).toBe(3_000_000);
  });

  it("is only described to HEAD", async () => {
    const answer = await get("/a.txt", { method: "HEAD" });
    expect([answer.status, answer.headers["content-length"], answer.text]).toEqual([200, "10", ""]);
  });

  it("of a folder without its slash is redirected to, inside the mount and on this host", async () => {
    const answer = await get("/docs?a=b");
    expect([answer.status, answer.headers.location]).toEqual([301, "/mount/docs/?a=b"]);
    expect((await get("//docs")).headers.location).toBe("/mount/docs/");
  });
});

describe("the application is asked instead", () => {
  it.each([
    "/none",
    "/",
    "/empty/",
    "/empty",
    "/a.txt/",
    "/a.txt/b",
    "/.env",
    "/.git/config",
    "/docs/.hidden",
    "/.well-known/.x",
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/docs/%2e%2e/%2e%2e/secret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/back%5cslash.txt",
    "/a.txt%00",
    "/a.txt%00.html",
    "/%c0%ae%c0%ae/secret.txt",
    "/a%ff.txt",
    "/link.txt",
    "/up/secret.txt",
    "/up/public/a.txt/x",
    "/sibling/x.txt",
    "/env.txt",
    "/loop",
    "/pipe",
    "/app.php",
    "/app.PHP",
    "/app.php/",
    "/source.txt",
  ])("for %s", async (path) => {
    const answer = await get(path);
    expect([answer.status, answer.headers["x-app"], answer.text]).toEqual([404, "yes", "application"]);
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS"])("with %s", async (method) => {
    expect((await get("/a.txt", { method })).headers["x-app"]).toBe("yes");
  });
});

describe("a conditional request", () => {
  it("is answered 304 when the client has the file", async () => {
    const etag = (await get("/a.txt")).headers.etag!;
    const ask = async (headers: Record<string, string>): Promise<number> =>
      (await get("/a.txt", { headers })).status;
    expect(await ask({ "If-None-Match": etag })).toBe(304);
    expect(await ask({ "If-None-Match": `"x", W/${etag}` })).toBe(304);
    expect(await ask({ "If-None-Match": "*" })).toBe(304);
    expect(await ask({ "If-None-Match": '"x"' })).toBe(200);
    expect(await ask({ "If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT" })).toBe(304);
    expect(await ask({ "If-Modified-Since": "Fri, 02 Jan 2026 03:04:04 GMT" })).toBe(200);
    expect(await ask({ "If-Modified-Since": "nonsense" })).toBe(200);
    expect(await ask({ "If-None-Match": '"x"', "If-Modified-Since": MODIFIED.toUTCString() })).toBe(200);
    const answer = await get("/a.txt", { headers: { "If-None-Match": etag } });
    expect(answer.headers).toMatchObject({ etag, "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT" });
    expect(answer.text).toBe("");
  });
});

describe("a range", () => {
  it.each([
    ["bytes=0-0", 206, "0", "bytes 0-0/10"],
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=10-", 416, "", "bytes */10"],
    ["bytes=-0", 416, "", "bytes */10"],
    ["bytes=5-4", 200, "0123456789", undefined],
    ["bytes=-", 200, "0123456789", undefined],
    ["bytes=0-1,3-4", 200, "0123456789", undefined],
    ["lines=0-1", 200, "0123456789", undefined],
    ["bytes=1-9999999999999999999", 200, "0123456789", undefined],
  ])("%s", async (range, status, text, contentRange) => {
    const answer = await get("/a.txt", { headers: { Range: range } });
    expect([answer.status, answer.text, answer.headers["content-range"]]).toEqual([
      status,
      text,
      contentRange,
    ]);
  });

  it("is honoured only for the version the client means", async () => {
    const { etag } = (await get("/a.txt")).headers;
    const ask = async (condition: string): Promise<number> =>
      (await get("/a.txt", { headers: { Range: "bytes=0-0", "If-Range": condition } })).status;
    expect(await ask(etag!)).toBe(206);
    expect(await ask('"old"')).toBe(200);
    expect(await ask(`W/${etag}`)).toBe(200);
    expect(await ask("Fri, 02 Jan 2026 03:04:05 GMT")).toBe(206);
    expect(await ask("Fri, 02 Jan 2026 03:04:04 GMT")).toBe(200);
  });
});

describe("the folder", () => {
  it.each(["/no/such/folder", import.meta.filename])("%s is refused", (folder) => {
    expect(() => new StaticFiles({ folder })).toThrow(/folder of static files/);
  });

  it("knows content types by the ending, in any case", () => {
    expect(["a.JPG", "b.tar.gz", "Makefile", "x.js"].map(contentType)).toEqual([
      "image/jpeg",
      "application/octet-stream",
      "application/octet-stream",
      "text/javascript; charset=utf-8",
    ]);
  });
});

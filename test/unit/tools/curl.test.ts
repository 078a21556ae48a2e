/** What `postern curl` makes of its flags, without sending it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { dataBody, dataOf, fileBody } from "../../../src/tools/curl/body.ts";
import { CurlFailure } from "../../../src/tools/curl/exit.ts";
import { formBody, parseForm } from "../../../src/tools/curl/multipart.ts";
import type { CurlOptions, DataFlag } from "../../../src/tools/curl/options.ts";
import { droppedHeaders, firstStep, paramsOf } from "../../../src/tools/curl/request.ts";
import { parseUrl, printUrl, resolveUrl } from "../../../src/tools/curl/url.ts";
import { type TransferFacts, writeOut } from "../../../src/tools/curl/write-out.ts";
import { temporaryFolder } from "../../support/temp.ts";

const NONE: CurlOptions = {
  url: "/",
  connect: "127.0.0.1:9",
  role: "responder",
  headers: [],
  data: [],
  form: [],
  cookies: [],
  params: [],
  withoutParams: [],
  isGet: false,
  isHead: false,
  isCompressed: false,
  isPathAsIs: false,
  follow: false,
  maxRedirects: 50,
  withHead: false,
  remoteName: false,
  fail: false,
  failWithBody: false,
  verbose: false,
  silent: false,
  showError: false,
  trace: false,
  traceHex: false,
  dryRun: false,
  maxTimeMs: 0,
  connectTimeoutMs: 0,
  index: "index.php",
  isHttps: false,
  keepAlive: false,
  software: "postern/9",
};

const stdin =
  (text = "") =>
  (): Readable =>
    Readable.from([Buffer.from(text)]);

async function params(options: Partial<CurlOptions>, input = ""): Promise<Record<string, string>> {
  const all = { ...NONE, ...options };
  return Object.fromEntries(paramsOf(all, await firstStep(all, stdin(input))));
}

async function failure(options: Partial<CurlOptions>): Promise<CurlFailure> {
  try {
    await params(options);
  } catch (error) {
    if (error instanceof CurlFailure) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

async function textOf(input: AsyncIterable<Uint8Array> | Uint8Array): Promise<string> {
  if (input instanceof Uint8Array) return Buffer.from(input).toString("latin1");
  const pieces: Uint8Array[] = [];
  for await (const piece of input) pieces.push(piece);
  return Buffer.concat(pieces).toString("latin1");
}

const data = (kind: DataFlag["kind"], text: string): DataFlag => ({ kind, text });

describe("URLs", () => {
  it("are a path, a host with a path, or whole", () => {
    expect(printUrl(parseUrl("/a?b#c"))).toBe("http://localhost/a?b");
    expect(printUrl(parseUrl("example.org"))).toBe("http://example.org/");
    expect(printUrl(parseUrl("HTTPS://[::1]:8443/x"))).toBe("https://[::1]:8443/x");
    expect(parseUrl("http://kim:p%40ss@example.org?x")).toMatchObject({ user: "kim:p@ss", uri: "/?x" });
  });

  it("lose their dot segments as curl removes them, unless told not to", () => {
    expect(parseUrl("/a/./b/../c/..?x=/../").uri).toBe("/a/?x=/../");
    expect(parseUrl("/../../x").uri).toBe("/x");
    expect(parseUrl("/a/../b", true).uri).toBe("/a/../b");
  });

  it("encode letters of all languages in the path, as curl does", () => {
    expect(parseUrl("/é").uri).toBe("/%c3%a9");
  });

  it("that cannot be used say why, with curl's exit code", () => {
    const refused = (text: string): unknown => {
      try {
        return parseUrl(text);
      } catch (error) {
        return (error as CurlFailure).exitCode;
      }
    };
    expect([
      refused("ftp://x/"),
      refused("/a b"),
      refused("http://"),
      refused("http://a:b:c/"),
      refused(""),
    ]).toEqual([1, 3, 3, 3, 3]);
  });

  it("of a redirect are resolved against the one before", () => {
    const base = parseUrl("http://example.org:81/a/b?c");
    const resolved = (location: string): string => printUrl(resolveUrl(base, location));
    expect(resolved("d?e#f")).toBe("http://example.org:81/a/d?e");
    expect(resolved("/d")).toBe("http://example.org:81/d");
    expect(resolved("../d")).toBe("http://example.org:81/d");
    expect(resolved("?x")).toBe("http://example.org:81/a/b?x");
    expect(resolved("//other/x")).toBe("http://other/x");
    expect(resolved("https://example.org/x")).toBe("https://example.org/x");
  });
});

describe("bodies", () => {
  it("join data flags as curl does", async () => {
    const file = join(temporaryFolder("curl"), "d");
    writeFileSync(file, "x\r\ny\n");
    const joined = await dataOf(
      [
        data("data", "a=1"),
        data("raw", "@b"),
        data("data", `@${file}`),
        data("binary", `@${file}`),
        data("urlencode", "n=a b&c/é"),
        data("urlencode", "=1+1"),
        data("urlencode", `f@${file}`),
        data("data", "@-"),
      ],
      stdin("in\nput"),
    );
    expect(joined.toString()).toBe("a=1&@b&xy&x\r\ny\n&n=a+b%26c%2F%C3%A9&1%2B1&f=x%0D%0Ay%0A&input");
  });

  it("of JSON are put together without an ampersand", async () => {
    const body = await dataBody([data("json", '{"a":'), data("json", "1}")], stdin());
    expect(body).toMatchObject({ length: 7, contentType: "application/json" });
  });

  it("of one file are streamed with its size", async () => {
    const file = join(temporaryFolder("curl"), "d");
    writeFileSync(file, "12345");
    const body = await dataBody([data("binary", `@${file}`)], stdin());
    expect(body.length).toBe(5);
    expect(await textOf(body.open() as AsyncIterable<Uint8Array>)).toBe("12345");
  });

  it("fail when a file became shorter, and keep to the announced length when it grew", async () => {
    const file = join(temporaryFolder("curl"), "d");
    writeFileSync(file, "12345");
    const body = fileBody(file);
    writeFileSync(file, "1234567");
    expect(await textOf(body.open() as AsyncIterable<Uint8Array>)).toBe("12345");
    writeFileSync(file, "12");
    await expect(textOf(body.open() as AsyncIterable<Uint8Array>)).rejects.toThrow(
      /shorter while it was sent: 2 of 5/,
    );
  });

  it("that are not there, or a folder, are curl's 26", async () => {
    expect(await failure({ data: [data("data", "@/no/such")] })).toMatchObject({ exitCode: 26 });
    expect(await failure({ upload: "/" })).toMatchObject({
      exitCode: 26,
      message: expect.stringContaining("directory"),
    });
  });
});

describe("forms", () => {
  const form = (text: string) => parseForm({ text, isLiteral: false });

  it("read values, files, types and names", () => {
    expect(form("a=b;type=text/html; charset=utf-8")).toEqual({
      name: "a",
      value: { text: "b" },
      filename: undefined,
      type: "text/html; charset=utf-8",
    });
    expect(form("a=@x/y.png")).toMatchObject({
      value: { file: "x/y.png" },
      filename: "y.png",
      type: "image/png",
    });
    expect(form('a=@"p;q,r";filename="o\\"k"')).toMatchObject({ value: { file: "p;q,r" }, filename: 'o"k' });
    expect(form("a=<f")).toMatchObject({ value: { file: "f" }, filename: undefined, type: undefined });
    expect(parseForm({ text: "a=@b;c", isLiteral: true }).value).toEqual({ text: "@b;c" });
  });

  it("refuse what curl would silently cut", () => {
    expect(() => form("a=b;c")).toThrow(/--form-string/);
    expect(() => form("a=@x,y")).toThrow(/repeat -F/);
    expect(() => form("nothing")).toThrow(/name=value/);
  });

  it("are sent with the length that was announced, names escaped", async () => {
    const file = join(temporaryFolder("curl"), "f.txt");
    writeFileSync(file, "file\xff", "latin1");
    const body = await formBody(
      [
        { text: 'q"\r\n=1', isLiteral: false },
        { text: `f=@${file}`, isLiteral: false },
        { text: "s=@-;filename=in", isLiteral: false },
      ],
      stdin("from stdin"),
    );
    const text = await textOf(body.open() as AsyncIterable<Uint8Array>);
    expect(text).toHaveLength(body.length!);
    const boundary = /boundary=(.*)$/.exec(body.contentType!)![1];
    expect(text.replaceAll(boundary!, "B")).toBe(
      '--B\r\nContent-Disposition: form-data; name="q%22%0D%0A"\r\n\r\n1\r\n' +
        '--B\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nfile\xff\r\n' +
        '--B\r\nContent-Disposition: form-data; name="s"; filename="in"\r\n\r\nfrom stdin\r\n' +
        "--B--\r\n",
    );
  });
});

describe("parameters", () => {
  it("are what a web server makes of curl's request", async () => {
    expect(await params({ url: "http://example.org:81/p?q=1" })).toMatchObject({
      REQUEST_METHOD: "GET",
      REQUEST_URI: "/p?q=1",
      QUERY_STRING: "q=1",
      SCRIPT_NAME: "",
      PATH_INFO: "/p",
      HTTP_HOST: "example.org:81",
      SERVER_NAME: "example.org",
      SERVER_PORT: "81",
      HTTP_USER_AGENT: "postern/9",
      HTTP_ACCEPT: "*/*",
    });
  });

  it("have the method that curl would choose", async () => {
    const method = async (options: Partial<CurlOptions>): Promise<string | undefined> =>
      (await params(options))["REQUEST_METHOD"];
    const one = [data("data", "a=1")];
    expect(await method({ data: one })).toBe("POST");
    expect(await method({ upload: "-" })).toBe("PUT");
    expect(await method({ isHead: true })).toBe("HEAD");
    expect(await method({ data: one, isGet: true, isHead: true })).toBe("HEAD");
    expect(await method({ data: one, method: "PATCH" })).toBe("PATCH");
  });

  it("put data into the URL for -G", async () => {
    const options = { data: [data("data", "b=2"), data("urlencode", "c=ü")], isGet: true };
    expect((await params({ ...options, url: "/p?a=1" }))["REQUEST_URI"]).toBe("/p?a=1&b=2&c=%C3%BC");
    expect((await params({ ...options, url: "/p" }))["QUERY_STRING"]).toBe("b=2&c=%C3%BC");
  });

  it("append the file name to a folder for -T", async () => {
    const file = join(temporaryFolder("curl"), "up.txt");
    writeFileSync(file, "abc");
    expect(await params({ url: "/up/?x", upload: file })).toMatchObject({
      REQUEST_URI: "/up/up.txt?x",
      CONTENT_LENGTH: "3",
    });
    const streamed = await params({ url: "/up/", upload: "-" });
    expect(streamed).toMatchObject({ REQUEST_URI: "/up/", HTTP_TRANSFER_ENCODING: "chunked" });
    expect(streamed).not.toHaveProperty("CONTENT_LENGTH");
  });

  it("take header fields as curl does: replaced, removed, empty, repeated", async () => {
    const made = await params({
      data: [data("data", "a")],
      headers: [
        "content-type: text/x",
        "Accept:",
        "X-Empty;",
        "X-Two: 1",
        "X-Two: 2",
        "Host: other",
        "X-Ü: ü",
      ].slice(0, 6),
      user: "kim:pass",
      cookies: ["a=1", "b=2"],
      range: "0-9",
      referer: "r",
      userAgent: "u",
      isCompressed: true,
    });
    expect(made).toMatchObject({
      CONTENT_TYPE: "text/x",
      HTTP_X_EMPTY: "",
      HTTP_X_TWO: "1, 2",
      HTTP_HOST: "other",
      HTTP_AUTHORIZATION: "Basic a2ltOnBhc3M=",
      HTTP_COOKIE: "a=1; b=2",
      HTTP_RANGE: "bytes=0-9",
      HTTP_REFERER: "r",
      HTTP_USER_AGENT: "u",
      HTTP_ACCEPT_ENCODING: "gzip, deflate, br",
    });
    expect(made).not.toHaveProperty("HTTP_ACCEPT");
    expect(await params({ data: [data("data", "a")], headers: ["Content-Length:"] })).not.toHaveProperty(
      "CONTENT_LENGTH",
    );
  });

  it("name header fields that web servers drop", () => {
    expect(droppedHeaders({ ...NONE, headers: ["X_A: 1", "X-B: 2", "X.C: 3"] })).toEqual(["X_A", "X.C"]);
  });

  it("name the script for php-fpm", async () => {
    expect(await params({ url: "/blog/index.php/2024?x", root: "/srv/www/" })).toMatchObject({
      DOCUMENT_ROOT: "/srv/www",
      SCRIPT_NAME: "/blog/index.php",
      PATH_INFO: "/2024",
      SCRIPT_FILENAME: "/srv/www/blog/index.php",
      PATH_TRANSLATED: "/srv/www/2024",
    });
    expect(await params({ url: "/blog/", root: "/srv" })).toMatchObject({
      SCRIPT_FILENAME: "/srv/blog/index.php",
    });
    expect(await params({ url: "/a/b", scriptFilename: "/srv/front.php" })).toMatchObject({
      SCRIPT_NAME: "/front.php",
      PATH_INFO: "",
      SCRIPT_FILENAME: "/srv/front.php",
      REQUEST_URI: "/a/b",
      DOCUMENT_ROOT: "/srv",
    });
    expect(await params({ url: "/x/f.php/y", root: "/srv", scriptFilename: "/srv/x/f.php" })).toMatchObject({
      SCRIPT_NAME: "/x/f.php",
      PATH_INFO: "/y",
    });
  });

  it("say what the web server would vouch for", async () => {
    expect(
      await params({
        url: "/app/x",
        mount: "/app/",
        remoteUser: "kim",
        isHttps: true,
        clientAddress: "[2001:db8::1]:77",
        params: ["FOO=a=b", "SERVER_PORT=1", "EMPTY="],
        withoutParams: ["SERVER_ADDR"],
      }),
    ).toMatchObject({
      SCRIPT_NAME: "/app",
      PATH_INFO: "/x",
      REMOTE_USER: "kim",
      AUTH_TYPE: "Basic",
      HTTPS: "on",
      REQUEST_SCHEME: "https",
      REMOTE_ADDR: "2001:db8::1",
      REMOTE_PORT: "77",
      FOO: "a=b",
      SERVER_PORT: "1",
      EMPTY: "",
    });
    expect(await params({ withoutParams: ["SERVER_ADDR"] })).not.toHaveProperty("SERVER_ADDR");
  });

  it("follow the roles", async () => {
    const authorizer = await params({ role: "authorizer", url: "/x" });
    expect(Object.keys(authorizer)).not.toEqual(expect.arrayContaining(["SCRIPT_NAME"]));
    expect(authorizer["REQUEST_URI"]).toBe("/x");
    const file = join(temporaryFolder("curl"), "d");
    writeFileSync(file, "data");
    expect(await params({ role: "filter", dataStream: file })).toMatchObject({ FCGI_DATA_LENGTH: "4" });
    expect(await failure({ role: "filter" })).toMatchObject({
      message: expect.stringContaining("--data-stream"),
    });
  });

  it("are refused with one sentence when flags contradict each other or say nothing", async () => {
    const one = [data("data", "a")];
    const wrong: readonly Partial<CurlOptions>[] = [
      { data: one, upload: "-" },
      { data: one, isHead: true },
      { data: one, role: "authorizer" },
      { dataStream: "x" },
      { mount: "/app", url: "/apple" },
      { mount: "app" },
      { mount: "/a", root: "/b" },
      { headers: ["no colon"] },
      { headers: ["a: b\r\nc: d"] },
      { params: ["novalue"] },
      { cookies: ["jar.txt"] },
      { clientAddress: "somebody" },
    ];
    for (const options of wrong) {
      const { exitCode, message } = await failure(options);
      expect([options, exitCode]).toEqual([options, 2]);
      expect(message).not.toContain("\n");
    }
  });
});

describe("-w", () => {
  const facts: TransferFacts = {
    http_code: 0,
    app_status: undefined,
    protocol_status: undefined,
    content_type: "text/plain",
    method: "GET",
    num_redirects: 2,
    redirect_url: undefined,
    size_download: 5,
    size_header: 0,
    size_stderr: 0,
    size_upload: 0,
    time_connect: 0.0012346,
    time_starttransfer: 0,
    time_total: 1,
    url: "/",
    url_effective: "http://localhost/",
    filename_effective: undefined,
    exitcode: 7,
    errormsg: "x",
    headers: ["X-A", "1"],
  };

  it("knows curl's variables and its own", () => {
    expect(
      writeOut("%{http_code} %{time_connect}\\n%{app_status}|%header{x-a}|100%%%{size_download}%", facts),
    ).toEqual({
      stdout: "000 0.001235\n|1|100%5%",
      stderr: "",
    });
    expect(writeOut("a%{stderr}b%{stdout}c", facts)).toEqual({ stdout: "ac", stderr: "b" });
    expect(JSON.parse(writeOut("%{json}", facts).stdout)).toMatchObject({ exitcode: 7, response_code: 0 });
    expect(writeOut("%{nonsense}", facts).stdout).toContain("there is no such variable");
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodePath,
  type HttpMapping,
  type HttpRequest,
  paramsFromHttp,
  parseTarget,
  splitMount,
  splitScript,
  type Target,
} from "../../../src/cgi/from-http.ts";

const mapping: HttpMapping = { software: "Postern/test", script: { scriptName: "/app", pathInfo: "/x" } };

function target(text: string): Target {
  const parsed = parseTarget(text);
  if ("refusal" in parsed) throw new Error(parsed.refusal);
  return parsed;
}

function convert(
  rawHeaders: readonly string[],
  request: Partial<HttpRequest> = {},
  more: Partial<HttpMapping> = {},
): Record<string, string> {
  const whole = { method: "GET", target: "/app/x?q=1", httpVersion: "1.1", rawHeaders, ...request };
  const pairs = paramsFromHttp(whole, target(whole.target), { ...mapping, ...more });
  if ("refusal" in pairs) throw new Error(pairs.refusal);
  expect(new Set(pairs.map(([name]) => name)).size).toBe(pairs.length); // no name twice
  return Object.fromEntries(pairs);
}

describe("parseTarget", () => {
  it.each([
    ["/", "/", ""],
    ["/a%2Fb/caf%C3%A9?x=%2F?y", "/a/b/caf\u00c3\u00a9", "x=%2F?y"],
    ["/a//b///c", "/a/b/c", ""],
    ["//evil.example/x", "/evil.example/x", ""],
    ["/a/./b/../c", "/a/c", ""],
    ["/a/b/..", "/a/", ""],
    ["/a/.", "/a/", ""],
    ["/a/..", "/", ""],
    ["/%2e%2e%2fa/../x", undefined, ""],
    ["/a/%2e%2e/b", "/b", ""],
    ["/a%2f%2e%2e%2fb", "/b", ""],
    ["/100%25/x", "/100%/x", ""],
    ["/%252e%252e/x", "/%2e%2e/x", ""],
    ["/a\u00e9", "/a\u00e9", ""],
    ["/...", "/...", ""],
    ["/..a/.b", "/..a/.b", ""],
    ["/a?", "/a", ""],
    ["/a?../..", "/a", "../.."],
  ])("%s has the path %s", (text, path, query) => {
    const parsed = parseTarget(text);
    if (path === undefined) expect(parsed).toHaveProperty("refusal");
    else expect(parsed).toEqual({ uri: text, path, query, authority: undefined });
  });

  it.each([
    "/bad%zz",
    "/bad%",
    "/bad%2",
    "/a%00b",
    "/a%0ab",
    "/a%0Db",
    "/..",
    "/../etc/passwd",
    "/%2e%2e",
    "/a/../../b",
    "/a#b",
    "/a b",
    "/a\tb",
    "",
    "x",
    "example.com:443",
    "ftp://example.com/",
    "http://user:pw@example.com/",
  ])("%j is refused", (text) => {
    expect(parseTarget(text)).toHaveProperty("refusal");
  });

  it("takes the host out of an absolute target", () => {
    expect(parseTarget("http://Example.com:81/abs?x=1")).toEqual({
      uri: "/abs?x=1",
      path: "/abs",
      query: "x=1",
      authority: "Example.com:81",
    });
    expect(parseTarget("https://example.com")).toMatchObject({
      uri: "/",
      path: "/",
      authority: "example.com",
    });
    expect(parseTarget("http://example.com?x")).toMatchObject({ uri: "/?x", path: "/", query: "x" });
  });

  it("knows OPTIONS *", () => {
    expect(parseTarget("*")).toMatchObject({ uri: "*", path: "*" });
    expect(splitMount("*", "/app")).toEqual({ scriptName: "", pathInfo: "" });
  });

  it("never leaves a dot segment, a double slash or a NUL in a path", () => {
    const piece = fc.constantFrom("/", ".", "..", "%2e", "%2E", "%2f", "a", "%00", "%25", "%", "\\", "%5c");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const decoded = decodePath(`/${pieces.join("")}`);
        if (typeof decoded !== "string") return;
        expect(decoded.startsWith("/")).toBe(true);
        expect(decoded).not.toMatch(/\/\/|\/\.\.?(\/|$)|\0/);
      }),
    );
  });
});

describe("splitMount", () => {
  it.each([
    ["/app", "/app", { scriptName: "/app", pathInfo: "" }],
    ["/app/", "/app", { scriptName: "/app", pathInfo: "/" }],
    ["/app/x", "/app", { scriptName: "/app", pathInfo: "/x" }],
    ["/apple", "/app", undefined],
    ["/x", "", { scriptName: "", pathInfo: "/x" }],
  ])("%s under %s", (path, mount, split) => {
    expect(splitMount(path, mount)).toEqual(split);
  });
});

describe("splitScript", () => {
  const files = new Set(["/index.php", "/blog/index.php", "/a.php", "/dir.php/b.php"]);
  const exists = (name: string): boolean => files.has(name);

  it.each([
    ["/a.php", "/a.php", ""],
    ["/a.php/x/y", "/a.php", "/x/y"],
    ["/a.php/", "/a.php", "/"],
    ["/", "/index.php", ""],
    ["/blog/", "/blog/index.php", ""],
    ["/dir.php/b.php/c", "/dir.php/b.php", "/c"], // a folder that is named like a script
    ["/photo.jpg/x.php", undefined, ""],
    ["/photo.jpg/x.php/a.php", undefined, ""],
    ["/A.PHP", undefined, ""],
    ["/a.phpx", undefined, ""],
    ["/blog", undefined, ""],
    ["/none/", undefined, ""],
  ])("%s is the script %s", (path, scriptName, pathInfo) => {
    const script = scriptName && { scriptName, pathInfo, scriptFilename: `/srv${scriptName}` };
    expect(splitScript(path, "/srv", { exists })).toEqual(script);
  });

  it("gives every other path to the front controller, whole", () => {
    const rules = { exists, frontController: "/index.php" };
    expect(splitScript("/no/such", "/srv", rules)).toEqual({
      scriptName: "/index.php",
      pathInfo: "/no/such",
      scriptFilename: "/srv/index.php",
    });
    expect(splitScript("/a.php", "/srv", rules)?.scriptName).toBe("/a.php");
  });

  it("believes names where it cannot look", () => {
    expect(splitScript("/x.php/y.php", "/srv")).toMatchObject({ scriptName: "/x.php", pathInfo: "/y.php" });
    expect(splitScript("/x/", "/srv", { index: "main.cgi", extensions: [".cgi"] })?.scriptName).toBe(
      "/x/main.cgi",
    );
  });
});

describe("paramsFromHttp", () => {
  it("says what a web server says", () => {
    const params = convert(["Host", "Example.com:8080", "Accept", "*/*"], {
      remoteAddress: "192.0.2.1",
      remotePort: 4711,
      localAddress: "192.0.2.2",
      localPort: 8080,
      isEncrypted: true,
    });
    expect(params).toEqual({
      GATEWAY_INTERFACE: "CGI/1.1",
      SERVER_SOFTWARE: "Postern/test",
      SERVER_PROTOCOL: "HTTP/1.1",
      REQUEST_METHOD: "GET",
      REQUEST_SCHEME: "https",
      HTTPS: "on",
      REQUEST_URI: "/app/x?q=1",
      QUERY_STRING: "q=1",
      SCRIPT_NAME: "/app",
      PATH_INFO: "/x",
      SERVER_NAME: "Example.com",
      SERVER_ADDR: "192.0.2.2",
      SERVER_PORT: "8080",
      REMOTE_ADDR: "192.0.2.1",
      REMOTE_PORT: "4711",
      HTTP_HOST: "Example.com:8080",
      HTTP_ACCEPT: "*/*",
    });
  });

  it("joins repeated fields, cookies with a semicolon", () => {
    const params = convert([
      "Host",
      "h",
      "X-A",
      "1",
      "x-a",
      "2",
      "Cookie",
      "a=1",
      "cookie",
      "b=2",
      "Accept",
      "x",
      "Accept",
      "",
    ]);
    expect(params).toMatchObject({ HTTP_X_A: "1, 2", HTTP_COOKIE: "a=1; b=2", HTTP_ACCEPT: "x, " });
  });

  it("drops Proxy, hop-by-hop fields and names that fold onto others", () => {
    const params = convert(
      [
        "Host",
        "h",
        "Proxy",
        "http://evil",
        "Connection",
        "Upgrade, Authorization",
        "Upgrade",
        "websocket",
        "TE",
        "trailers",
        "Keep-Alive",
        "x",
        "Trailer",
        "x",
        "Transfer-Encoding",
        "chunked",
        "Expect",
        "100-continue",
        "Proxy-Connection",
        "x",
        "X_Forwarded_For",
        "6.6.6.6",
        "X.Dot",
        "x",
        "Content_Length",
        "9",
        "Authorization",
        "Basic x",
      ],
      {},
      { contentLength: 0 },
    );
    expect(
      Object.keys(params)
        .filter((name) => name.startsWith("HTTP_"))
        .sort(),
    ).toEqual(["HTTP_AUTHORIZATION", "HTTP_HOST"]);
  });

  it("lets underscores through where asked to, but not onto names that are dropped or set elsewhere", () => {
    const headers = [
      "Host",
      "h",
      "X_Y",
      "1",
      "Content_Length",
      "9",
      "Content_Type",
      "x",
      "_Proxy",
      "p",
      "Transfer_Encoding",
      "x",
    ];
    const params = convert(headers, {}, { underscoreHeaders: true });
    expect(params).toMatchObject({ HTTP_X_Y: "1" });
    expect(params).not.toHaveProperty("HTTP_CONTENT_LENGTH");
    expect(params).not.toHaveProperty("HTTP_CONTENT_TYPE");
    expect(params).not.toHaveProperty("HTTP_TRANSFER_ENCODING");
  });

  it("never lets a field set a variable of the server", () => {
    const params = convert([
      "Host",
      "h",
      "Https",
      "on",
      "Script-Name",
      "/evil",
      "Remote-User",
      "root",
      "Remote-Addr",
      "6.6.6.6",
    ]);
    expect(params).toMatchObject({ HTTP_HTTPS: "on", HTTP_SCRIPT_NAME: "/evil", HTTP_REMOTE_USER: "root" });
    expect(params).not.toHaveProperty("HTTPS");
    expect(params).not.toHaveProperty("REMOTE_USER");
    expect(params).not.toHaveProperty("REMOTE_ADDR");
  });

  it("passes type and length of the body on, once", () => {
    const headers = ["Host", "h", "Content-Type", "text/plain", "Content-Length", "5"];
    const params = convert(headers, { method: "POST" });
    expect(params).toMatchObject({ CONTENT_TYPE: "text/plain", CONTENT_LENGTH: "5" });
    expect(params).not.toHaveProperty("HTTP_CONTENT_TYPE");
    expect(params).not.toHaveProperty("HTTP_CONTENT_LENGTH");
    expect(convert(headers, {}, { contentLength: 0 })).toMatchObject({ CONTENT_LENGTH: "0" });
  });

  it("says of a body without a length that there is one, as nginx does", () => {
    const headers = ["Host", "h", "Transfer-Encoding", "chunked"];
    expect(convert(headers)).toMatchObject({ HTTP_TRANSFER_ENCODING: "chunked" });
    expect(convert(headers)).not.toHaveProperty("CONTENT_LENGTH");
    expect(convert(headers, {}, { contentLength: 7 })).not.toHaveProperty("HTTP_TRANSFER_ENCODING");
  });

  it("keeps bytes above ASCII as they are", () => {
    expect(convert(["Host", "h", "X-Name", "caf\u00c3\u00a9"])).toMatchObject({
      HTTP_X_NAME: "caf\u00c3\u00a9",
    });
  });

  it("names the script file and what PHP wants to know", () => {
    const script = { scriptName: "/a.php", pathInfo: "/x", scriptFilename: "/srv/a.php" };
    const params = convert(
      ["Host", "h"],
      {},
      {
        script,
        documentRoot: "/srv",
        extra: [
          ["APP_ENV", "dev"],
          ["REMOTE_USER", "me"],
        ],
      },
    );
    expect(params).toMatchObject({
      SCRIPT_FILENAME: "/srv/a.php",
      DOCUMENT_ROOT: "/srv",
      PATH_TRANSLATED: "/srv/x",
      REDIRECT_STATUS: "200",
      APP_ENV: "dev",
      REMOTE_USER: "me",
    });
  });

  it.each([
    [["Host", "a", "Host", "b"], "1.1"],
    [[], "1.1"],
    [["Host", "a b"], "1.1"],
    [["Host", "a/b"], "1.1"],
    [["Host", "a@b"], "1.1"],
    [["Host", "a:x"], "1.1"],
    [["Host", "[::1"], "1.1"],
  ])("refuses the host in %j", (rawHeaders, httpVersion) => {
    expect(() => convert(rawHeaders, { httpVersion })).toThrow(/Host/);
  });

  it.each([
    [["Host", "[::1]:8080"], "1.1", "[::1]", "8080"],
    [["Host", "example.com:"], "1.1", "example.com", "80"],
    [["Host", ""], "1.1", "localhost", "80"],
    [[], "1.0", "localhost", "80"],
  ])("reads the host in %j", (rawHeaders, httpVersion, name, port) => {
    expect(convert(rawHeaders, { httpVersion })).toMatchObject({ SERVER_NAME: name, SERVER_PORT: port });
  });

  it("believes the target rather than Host", () => {
    const params = convert(["Host", "other"], { target: "http://example.com/app/x" });
    expect(params).toMatchObject({
      HTTP_HOST: "example.com",
      SERVER_NAME: "example.com",
      REQUEST_URI: "/app/x",
    });
  });
});

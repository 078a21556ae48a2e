import { describe, expect, it } from "vitest";
import {
  addresses,
  announcedLength,
  announcesUpgrade,
  authority,
  httpVersion,
  method,
  rawHeaders,
  scheme,
} from "../../../src/cgi/environ.ts";
import { Params } from "../../../src/protocol/params.ts";

function given(pairs: Readonly<Record<string, string>>): Params {
  return Params.from(Object.entries(pairs));
}

const refused = expect.objectContaining({ code: "ERR_POSTERN_HEADER_INVALID", scope: "request" });

describe("the method", () => {
  it("is REQUEST_METHOD, GET without one", () => {
    for (const name of [
      "GET",
      "HEAD",
      "POST",
      "PUT",
      "DELETE",
      "OPTIONS",
      "PATCH",
      "FROB",
      "M-SEARCH",
      "get",
    ]) {
      expect(method(given({ REQUEST_METHOD: name }))).toBe(name);
    }
    expect(method(given({}))).toBe("GET");
    expect(method(given({ REQUEST_METHOD: "" }))).toBe("GET");
  });

  it("is refused when it is no token", () => {
    for (const name of ["GET /", "G\nET", "G\0", "\x7f", "GÉT", "A:B", "(x)"]) {
      expect(() => method(given({ REQUEST_METHOD: name }))).toThrow(refused);
    }
  });

  it("is quoted in the refusal, clipped and on one line", () => {
    expect(() => method(given({ REQUEST_METHOD: `X\n${"y".repeat(500)}` }))).toThrow(
      /^REQUEST_METHOD holds bytes HTTP forbids: "X\\x0ay{58}… \(442 more\)"$/,
    );
  });
});

describe("the protocol version", () => {
  it("comes from SERVER_PROTOCOL", () => {
    const versions: readonly (readonly [string, string])[] = [
      ["HTTP/1.1", "1.1"],
      ["HTTP/1.0", "1.0"],
      ["HTTP/2.0", "2.0"],
      ["HTTP/2", "2.0"],
      ["HTTP/3", "3.0"],
      ["INCLUDED", "1.1"],
      ["", "1.1"],
    ];
    for (const [protocol, version] of versions)
      expect(httpVersion(given({ SERVER_PROTOCOL: protocol }))).toBe(version);
    expect(httpVersion(given({}))).toBe("1.1");
  });
});

describe("the announced length", () => {
  it("is a number of bytes, or nothing", () => {
    const lengths: readonly (readonly [string, number | undefined])[] = [
      ["0", 0],
      ["11", 11],
      ["007", 7],
      ["999999999999999", 999999999999999],
      ["9999999999999999", undefined],
      ["", undefined],
      ["-1", undefined],
      ["+5", undefined],
      ["5 ", undefined],
      ["1e3", undefined],
      ["0x10", undefined],
      ["5, 5", undefined],
    ];
    for (const [text, length] of lengths)
      expect(announcedLength(given({ CONTENT_LENGTH: text })), text).toBe(length);
    expect(announcedLength(given({}))).toBeUndefined();
  });
});

describe("an announced upgrade", () => {
  it("needs HTTP_UPGRADE and no body", () => {
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "websocket" }))).toBe(true);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "websocket", CONTENT_LENGTH: "" }))).toBe(true);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "foo/2", CONTENT_LENGTH: "0" }))).toBe(true);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "foo/2", REQUEST_METHOD: "GET" }))).toBe(true);
    const post = { HTTP_UPGRADE: "foo/2", REQUEST_METHOD: "POST" };
    expect(announcesUpgrade(given(post))).toBe(false);
    expect(announcesUpgrade(given({ ...post, CONTENT_LENGTH: "0" }))).toBe(true);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "websocket", CONTENT_LENGTH: "5" }))).toBe(false);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "websocket", CONTENT_LENGTH: "-1" }))).toBe(false);
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "websocket", HTTP_TRANSFER_ENCODING: "chunked" }))).toBe(
      false,
    );
    expect(announcesUpgrade(given({ HTTP_UPGRADE: "" }))).toBe(false);
  });

  it("is not read out of Connection or Sec-WebSocket-Key, which lighttpd leaves in", () => {
    expect(announcesUpgrade(given({ HTTP_CONNECTION: "Upgrade", HTTP_SEC_WEBSOCKET_KEY: "x" }))).toBe(false);
  });
});

describe("the headers", () => {
  it("are HTTP_* in wire order, then type and length", () => {
    const params = given({
      CONTENT_LENGTH: "3",
      HTTP_HOST: "h",
      SERVER_NAME: "s",
      HTTP_X_FORWARDED_FOR: "::1",
      CONTENT_TYPE: "text/plain",
      HTTP_ACCEPT: "",
    });
    expect(rawHeaders(params)).toEqual([
      ...["host", "h", "x-forwarded-for", "::1", "accept", ""],
      ...["content-type", "text/plain", "content-length", "3"],
    ]);
  });

  it("keep duplicates in wire order, but the last Host only (nginx sends its own first)", () => {
    const params = Params.from([
      ["HTTP_HOST", "example.com"],
      ["HTTP_X_DUP", "one"],
      ["HTTP_COOKIE", "a=1"],
      ["HTTP_X_DUP", "two"],
      ["HTTP_HOST", "example.com:8080"],
      ["HTTP_COOKIE", "b=2"],
    ]);
    expect(rawHeaders(params)).toEqual([
      ...["host", "example.com:8080", "x-dup", "one", "cookie", "a=1", "x-dup", "two", "cookie", "b=2"],
    ]);
  });

  it("leave out what would be believed wrongly, in any spelling", () => {
    for (const name of ["HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"]) {
      expect(rawHeaders(given({ [name]: "x" }))).toEqual([]);
      expect(rawHeaders(given({ [`HTTP_${name.slice(5).toLowerCase().replace("_", "-")}`]: "x" }))).toEqual(
        [],
      );
    }
    expect(rawHeaders(given({ CONTENT_TYPE: "", CONTENT_LENGTH: "" }))).toEqual([]);
  });

  it("say that there is a body of unknown length: body parsers skip a request without either header", () => {
    const chunked = ["transfer-encoding", "chunked"];
    expect(rawHeaders(given({ CONTENT_LENGTH: "-1" }))).toEqual(chunked);
    expect(rawHeaders(given({ CONTENT_LENGTH: "", HTTP_TRANSFER_ENCODING: "chunked" }))).toEqual(chunked);
    expect(rawHeaders(given({ HTTP_TRANSFER_ENCODING: "gzip, Chunked" }))).toEqual(chunked);
    expect(rawHeaders(given({ CONTENT_LENGTH: "5", HTTP_TRANSFER_ENCODING: "chunked" }))).toEqual([
      "content-length",
      "5",
    ]);
  });

  it("show what was said to the web server's own connection as it was said", () => {
    const params = given({ HTTP_CONNECTION: "Upgrade", HTTP_UPGRADE: "websocket", HTTP_TE: "trailers" });
    expect(rawHeaders(params)).toEqual(["connection", "Upgrade", "upgrade", "websocket", "te", "trailers"]);
  });

  it("never take a look-alike for the real variable", () => {
    const params = given({
      HTTP_HTTPS: "on",
      HTTP_SCRIPT_NAME: "/evil",
      HTTP_HTTP_HOST: "evil",
      HTTP_REMOTE_USER: "root",
    });
    expect(rawHeaders(params)).toEqual([
      ...["https", "on", "script-name", "/evil", "http-host", "evil", "remote-user", "root"],
    ]);
    expect(scheme(params)).toBe("http");
    expect(authority(params)).toBe("localhost");
  });

  it("drop names that cannot be headers", () => {
    expect(
      rawHeaders(
        given({ HTTP_: "x", "HTTP_A B": "x", "HTTP_A:B": "x", "HTTP_\xe9": "x", "HTTP_X.DOT": "d" }),
      ),
    ).toEqual(["x.dot", "d"]);
  });

  it("keep tabs and bytes above ASCII", () => {
    expect(rawHeaders(given({ HTTP_X: "a\tb\xe9" }))).toEqual(["x", "a\tb\xe9"]);
  });

  it("with NUL, CR or LF are refused, other variables may hold them", () => {
    for (const byte of ["\0", "\r", "\n"]) {
      expect(() => rawHeaders(given({ HTTP_X: `a${byte}b` }))).toThrow(refused);
      expect(() => rawHeaders(given({ CONTENT_TYPE: `a${byte}b` }))).toThrow(refused);
      expect(() => rawHeaders(given({ REDIRECT_HTTP_AUTHORIZATION: `a${byte}b` }))).toThrow(refused);
      expect(rawHeaders(given({ SSL_CLIENT_CERT: `a${byte}b`, HTTP_PROXY: byte }))).toEqual([]);
    }
  });

  it("stay right when more names are invented than are remembered", () => {
    for (let count = 0; count < 700; count++) {
      expect(rawHeaders(given({ [`HTTP_X_N${count}`]: "v" }))).toEqual([`x-n${count}`, "v"]);
    }
    expect(rawHeaders(given({ [`HTTP_${"X".repeat(200)}`]: "v" }))).toEqual(["x".repeat(200), "v"]);
    expect(rawHeaders(given({ HTTP_X_N1: "v", HTTP_X_N699: "w" }))).toEqual(["x-n1", "v", "x-n699", "w"]);
  });
});

describe("Authorization", () => {
  const found = (pairs: Readonly<Record<string, string>>): readonly string[] => rawHeaders(given(pairs));

  it("is HTTP_AUTHORIZATION first", () => {
    const pairs = { REDIRECT_HTTP_AUTHORIZATION: "two", Authorization: "three", HTTP_AUTHORIZATION: "one" };
    expect(found(pairs)).toEqual(["authorization", "one"]);
  });

  it("is found behind any number of Apache's internal redirects", () => {
    expect(found({ REDIRECT_HTTP_AUTHORIZATION: "x", Authorization: "y" })).toEqual(["authorization", "x"]);
    expect(found({ REDIRECT_REDIRECT_HTTP_AUTHORIZATION: "x" })).toEqual(["authorization", "x"]);
    expect(found({ Authorization: "x" })).toEqual(["authorization", "x"]);
    expect(found({ REDIRECT_Authorization: "x" })).toEqual(["authorization", "x"]);
    expect(found({ HTTP_AUTHORIZATION: "", Authorization: "x" })).toEqual(["authorization", "x"]);
  });

  it("is found as rewrite rules spell it", () => {
    for (const name of ["X-HTTP_AUTHORIZATION", "X_HTTP_AUTHORIZATION", "REDIRECT_X_HTTP_AUTHORIZATION"]) {
      expect([name, found({ [name]: "x" })]).toEqual([name, ["authorization", "x"]]);
      expect([name, found({ [name]: "" })]).toEqual([name, []]);
    }
    expect(found({ "X-HTTP_AUTHORIZATION": "y", REDIRECT_HTTP_AUTHORIZATION: "x" })[1]).toBe("x");
  });

  it("is not made up", () => {
    expect(
      found({ REDIRECT_STATUS: "200", REDIRECT_Y_HTTP_AUTHORIZATION: "x", X_AUTHORIZATION: "y" }),
    ).toEqual([]);
    expect(found({ REDIRECT_HTTP_AUTHORIZATION: "", Authorization: "" })).toEqual([]);
  });
});

describe("the scheme", () => {
  it("is what the web server says", () => {
    const rows: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
      [{}, "http"],
      [{ HTTPS: "on" }, "https"],
      [{ HTTPS: "1" }, "https"],
      [{ HTTPS: "ON" }, "https"],
      [{ HTTPS: "off" }, "http"],
      [{ HTTPS: "off", REQUEST_SCHEME: "https" }, "http"],
      [{ HTTPS: "", REQUEST_SCHEME: "https" }, "https"],
      [{ REQUEST_SCHEME: "HTTPS" }, "https"],
      [{ REQUEST_SCHEME: "http" }, "http"],
      [{ HTTP_X_FORWARDED_PROTO: "https" }, "http"],
    ];
    for (const [pairs, expected] of rows) expect(scheme(given(pairs)), JSON.stringify(pairs)).toBe(expected);
  });
});

describe("the host", () => {
  const rows: readonly (readonly [of: string, Readonly<Record<string, string>>, string])[] = [
    ["is the Host header", { HTTP_HOST: "example.com:8080", SERVER_NAME: "other" }, "example.com:8080"],
    ["may be an IPv6 address", { HTTP_HOST: "[::1]:8080" }, "[::1]:8080"],
    ["may hold an underscore", { HTTP_HOST: "my_app.local" }, "my_app.local"],
    ["is SERVER_NAME without a Host header", { SERVER_NAME: "example.com" }, "example.com"],
    [
      "is SERVER_NAME when the Host header is empty",
      { HTTP_HOST: "", SERVER_NAME: "example.com" },
      "example.com",
    ],
    ["has the port when it is not the scheme's", { SERVER_NAME: "s", SERVER_PORT: "8080" }, "s:8080"],
    ["has no port 80 with http", { SERVER_NAME: "s", SERVER_PORT: "80" }, "s"],
    ["has no port 443 with https", { SERVER_NAME: "s", SERVER_PORT: "443", HTTPS: "on" }, "s"],
    ["has port 80 with https", { SERVER_NAME: "s", SERVER_PORT: "80", HTTPS: "on" }, "s:80"],
    ["has no port that is none", { SERVER_NAME: "s", SERVER_PORT: "x" }, "s"],
    ["has no port beyond 65535", { SERVER_NAME: "s", SERVER_PORT: "70000" }, "s"],
    [
      "takes the port out of HAProxy's SERVER_NAME",
      { SERVER_NAME: "s:8080", SERVER_PORT: "18502" },
      "s:8080",
    ],
    ["puts brackets around IPv6", { SERVER_NAME: "::1", SERVER_PORT: "8080" }, "[::1]:8080"],
    ["leaves brackets that are there", { SERVER_NAME: "[::1]", SERVER_PORT: "8080" }, "[::1]:8080"],
    ["leaves a port behind brackets", { SERVER_NAME: "[::1]:90", SERVER_PORT: "8080" }, "[::1]:90"],
    [
      "is SERVER_ADDR where nginx has no name",
      { SERVER_NAME: "_", SERVER_ADDR: "10.0.0.1", SERVER_PORT: "81" },
      "10.0.0.1:81",
    ],
    ["is SERVER_ADDR when the name is garbage", { SERVER_NAME: "a:b", SERVER_ADDR: "::1" }, "[::1]"],
    ["is localhost when nothing is known", {}, "localhost"],
    ["is localhost for nginx on a unix socket", { SERVER_NAME: "", SERVER_ADDR: "unix:/run/x" }, "localhost"],
  ];
  for (const [of, pairs, expected] of rows) {
    it(of, () => {
      expect(authority(given(pairs))).toBe(expected);
      expect(authority(given(pairs))).toBe(expected); // from memory
    });
  }

  it("is never what new URL refuses or misunderstands", () => {
    const hostile = [
      "evil.example/x",
      "user@evil.example",
      "a b",
      "a\tb",
      "h:99999",
      "h:",
      ":80",
      "[::1",
      "::1",
      "h?x",
      "h#x",
    ];
    const numbers = [
      "1.2.3.4.5",
      "256.256.256.256",
      "0x1.2.3.4.5",
      "a..b:x",
      "%41",
      "caf\xe9",
      "h\\evil",
      "[g::]",
    ];
    for (const host of [...hostile, ...numbers]) {
      expect(authority(given({ HTTP_HOST: host, SERVER_NAME: "safe" })), host).toBe("safe");
    }
    // Node 20 and 22 refuse it.
    const isTaken = URL.canParse("http://xn--a/");
    expect(authority(given({ HTTP_HOST: "xn--a", SERVER_NAME: "safe" }))).toBe(isTaken ? "xn--a" : "safe");
  });

  it("is checked also when more are invented than are remembered", () => {
    for (let count = 0; count < 300; count++) {
      expect(authority(given({ HTTP_HOST: `h${count}.example` }))).toBe(`h${count}.example`);
    }
    expect(authority(given({ HTTP_HOST: `${"a.".repeat(60)}b` }))).toBe(`${"a.".repeat(60)}b`);
  });
});

describe("the addresses", () => {
  it("are what the web server vouches for", () => {
    const params = given({
      REMOTE_ADDR: "::1",
      REMOTE_PORT: "50000",
      SERVER_ADDR: "10.0.0.1",
      SERVER_PORT: "443",
      HTTPS: "on",
    });
    expect(addresses(params)).toEqual({
      remoteAddress: "::1",
      remotePort: 50000,
      localAddress: "10.0.0.1",
      localPort: 443,
      encrypted: true,
    });
  });

  it("are undefined where nothing was sent, and never X-Forwarded-For", () => {
    expect(addresses(given({ REMOTE_ADDR: "", REMOTE_PORT: "x", HTTP_X_FORWARDED_FOR: "10.0.0.1" }))).toEqual(
      {
        remoteAddress: undefined,
        remotePort: undefined,
        localAddress: undefined,
        localPort: undefined,
        encrypted: false,
      },
    );
  });
});

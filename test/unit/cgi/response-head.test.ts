import { describe, expect, it } from "vitest";
import {
  hasNoBody,
  isHopByHop,
  MAX_HEAD_BYTES,
  type ResponseHead,
  ResponseHeadParser,
  serializeHead,
} from "../../../src/cgi/response-head.ts";

describe("a header block that is written", () => {
  it("begins with Status, always, and ends with a blank line", () => {
    expect(serializeHead(200, "OK", [])).toBe("Status: 200 OK\r\n\r\n");
    expect(serializeHead(404, "Not Found", ["Content-Type", "text/plain"])).toBe(
      "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\n",
    );
  });

  it("ends with Status when there is a Location: HAProxy 2.6 makes a 302 of every other order", () => {
    expect(serializeHead(301, "Moved", ["location", "/x", "Vary", "Cookie"])).toBe(
      "location: /x\r\nVary: Cookie\r\nStatus: 301 Moved\r\n\r\n",
    );
  });

  it("needs no reason", () => {
    expect(serializeHead(299, "", [])).toBe("Status: 299\r\n\r\n");
  });

  it("keeps duplicates and their order", () => {
    expect(serializeHead(200, "OK", ["Set-Cookie", "a=1", "set-cookie", "b=2", "Set-Cookie", "c=3"])).toBe(
      "Status: 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nSet-Cookie: c=3\r\n\r\n",
    );
  });

  it("leaves out what concerns one connection only, and a Status of the application's", () => {
    const dropped = [
      "Connection",
      "keep-alive",
      "Proxy-Connection",
      "TE",
      "Trailer",
      "Transfer-Encoding",
      "UPGRADE",
      "Status",
    ];
    expect(
      serializeHead(
        200,
        "OK",
        dropped.flatMap((name) => [name, "x"]),
      ),
    ).toBe("Status: 200 OK\r\n\r\n");
  });

  it("keeps Upgrade with 101, without which no server tunnels", () => {
    expect(serializeHead(101, "Switching Protocols", ["Upgrade", "websocket", "Connection", "Upgrade"])).toBe(
      "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    );
  });

  it("asks nginx not to hold back events", () => {
    const noHolding = "X-Accel-Buffering: no\r\n\r\n";
    expect(serializeHead(200, "", ["Content-Type", "text/event-stream"]).endsWith(noHolding)).toBe(true);
    expect(
      serializeHead(200, "", ["content-type", "Text/Event-Stream; charset=utf-8"]).endsWith(noHolding),
    ).toBe(true);
    expect(
      serializeHead(200, "", ["content-type", "text/event-stream", "x-accel-buffering", "yes"]),
    ).not.toContain("no");
    expect(serializeHead(200, "", ["content-type", "text/html"])).not.toContain("Accel");
  });

  it("is refused with anything that could begin a second header", () => {
    const refused = expect.objectContaining({ name: "AppError", code: "ERR_POSTERN_RESPONSE_HEAD" });
    for (const text of [
      "a\r\nX: y",
      "a\nb",
      "a\rb",
      "a\0b",
      "a\x7f",
      "a\x1b[0m",
      "a\u010aX: y",
      "a\u{1f600}",
    ]) {
      expect(() => serializeHead(200, "OK", ["X-A", text]), JSON.stringify(text)).toThrow(refused);
      expect(() => serializeHead(200, text, []), JSON.stringify(text)).toThrow(refused);
      expect(() => serializeHead(200, "OK", ["Connection", text]), JSON.stringify(text)).toThrow(refused);
    }
    for (const name of ["", "a b", "a:", "a\r\nb", "é", "x\u0141"]) {
      expect(() => serializeHead(200, "OK", [name, "x"]), JSON.stringify(name)).toThrow(refused);
    }
    for (const status of [99, 1000, 200.5, Number.NaN, -1]) {
      expect(() => serializeHead(status, "OK", []), String(status)).toThrow(refused);
    }
  });

  it("names what it refuses, escaped and short", () => {
    expect(() => serializeHead(200, "OK", ["X-A", `\r\n${"x".repeat(500)}`])).toThrow(
      /^header "X-A" holds characters HTTP forbids: "\\x0d\\x0ax{78}… \(422 more\)"$/,
    );
  });

  it("keeps tabs and latin1", () => {
    expect(serializeHead(200, "OK", ["X-A", "a\tb\xe9"])).toContain("X-A: a\tb\xe9\r\n");
  });

  it("fits one record, or is refused", () => {
    const frame = serializeHead(200, "OK", ["X", ""]).length;
    expect(serializeHead(200, "OK", ["X", "v".repeat(MAX_HEAD_BYTES - frame)])).toHaveLength(MAX_HEAD_BYTES);
    expect(() => serializeHead(200, "OK", ["X", "v".repeat(MAX_HEAD_BYTES - frame + 1)])).toThrow(
      expect.objectContaining({
        code: "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE",
        message: expect.stringMatching(/65529.*65528/),
      }),
    );
  });

  it("ignores a name without a value, stays right with more names than are remembered", () => {
    expect(serializeHead(200, "OK", ["X"])).toBe("Status: 200 OK\r\n\r\n");
    for (let count = 0; count < 700; count++) {
      expect(serializeHead(200, "OK", [`X-${count}`, "v"])).toBe(`Status: 200 OK\r\nX-${count}: v\r\n\r\n`);
    }
    expect(serializeHead(200, "OK", ["X".repeat(65), "v", "connection", "x"])).toBe(
      `Status: 200 OK\r\n${"X".repeat(65)}: v\r\n\r\n`,
    );
  });
});

describe("hop-by-hop headers and responses without a body", () => {
  it("are known", () => {
    expect(["connection", "te", "upgrade", "transfer-encoding"].every(isHopByHop)).toBe(true);
    expect(["status", "content-type", "date", "x"].some(isHopByHop)).toBe(false);
    expect([
      hasNoBody("HEAD", 200),
      hasNoBody("GET", 204),
      hasNoBody("GET", 304),
      hasNoBody("GET", 103),
    ]).toEqual([...[true, true, true, true]]);
    expect([hasNoBody("GET", 200), hasNoBody("POST", 404), hasNoBody("GET", 205)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

/** Parses `text`, cut into pieces of `size` bytes; the rest is what follows the header block. */
function parse(text: string, size: number = text.length): { head: ResponseHead; rest: string } {
  const parser = new ResponseHeadParser();
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) {
    const body = parser.push(bytes, at, Math.min(at + size, bytes.length));
    if (body >= 0) return { head: parser.head!, rest: bytes.toString("latin1", body) };
  }
  parser.end();
  throw new Error("unreachable");
}

describe("a header block that is read", () => {
  it("is the same however it is cut", () => {
    const text = "Status: 404 Not Found\r\nX-A:  b c \r\nx-a:\r\n\r\nbody\r\n\r\n";
    for (const size of [1, 2, 3, 7, text.length]) {
      expect(parse(text, size)).toEqual({
        head: {
          status: 404,
          reason: "Not Found",
          headers: ["X-A", "b c", "x-a", ""],
          localRedirect: undefined,
        },
        rest: "body\r\n\r\n",
      });
    }
  });

  it("may have bare LF line ends, and ends where the body begins", () => {
    expect(parse("Content-Type: a/b\nX: y\n\n\nbody").rest).toBe("\nbody");
    expect(parse("X: y\n\n")).toEqual({
      head: { status: 200, reason: "", headers: ["X", "y"], localRedirect: undefined },
      rest: "",
    });
  });

  it("gives nothing more once it is complete", () => {
    const parser = new ResponseHeadParser();
    expect(parser.head).toBeUndefined();
    expect(parser.push(Buffer.from("X: y\n\n"))).toBe(6);
    expect(parser.push(Buffer.from("more"), 1)).toBe(1);
    parser.end();
  });

  it("is 302 with Location alone, and a local redirect when that is a path", () => {
    expect(parse("Location: http://example.com/\n\n").head).toMatchObject({
      status: 302,
      localRedirect: undefined,
    });
    expect(parse("Location: /x?y\n\n").head).toMatchObject({ status: 302, localRedirect: "/x?y" });
    expect(parse("Location: //example.com/x\n\n").head).toMatchObject({
      status: 302,
      localRedirect: undefined,
    });
    expect(parse("Status: 201\nLocation: /x\n\n").head).toMatchObject({
      status: 201,
      localRedirect: undefined,
    });
  });

  it("may be an interim one, with the next after it", () => {
    const parser = new ResponseHeadParser();
    const bytes = Buffer.from(
      "Status: 103 Early Hints\r\nLink: </x>\r\n\r\nStatus: 200 OK\r\nContent-Length: 1\r\n\r\nb",
    );
    const next = parser.push(bytes);
    expect(parser.head?.status).toBe(103);
    parser.reset();
    expect(parser.head).toBeUndefined();
    expect(bytes.toString("latin1", parser.push(bytes, next))).toBe("b");
    expect(parser.head).toMatchObject({ status: 200, headers: ["Content-Length", "1"] });
  });

  it("interim ones without end count as one block", () => {
    const parser = new ResponseHeadParser({ maxHeadBytes: 1000 });
    const interim = Buffer.from("Status: 103\r\nLink: </x>\r\n\r\n");
    const flood = (): void => {
      for (let bytes = 0; bytes < 2000; bytes += interim.length) {
        parser.push(interim);
        parser.reset();
      }
    };
    expect(flood).toThrow(/exceeds 1000 bytes/);
  });

  const wrong: readonly (readonly [of: string, text: string, message: RegExp])[] = [
    [
      "an HTTP status line is an nph program's",
      "HTTP/1.1 200 OK\r\n\r\n",
      /begins with "HTTP\/1\.1 200 OK": that is HTTP/,
    ],
    ["a line without a colon", "Hello\n\n", /without a colon: "Hello"/],
    ["a name with a space", "X A: b\n\n", /not a token: "X A: b"/],
    ["a name with a space at its end", "X : b\n\n", /not a token/],
    ["an empty name", ": b\n\n", /not a token/],
    ["a folded line", "X: a\n b: c\n\n", /folded header line " b: c"/],
    ["a line folded with a tab", "X: a\n\tb\n\n", /folded/],
    ["a control character", "X: a\x1bb\n\n", /control character in header line "X: a\\x1bb"/],
    ["a CR inside a line", "X: a\rY: b\n\n", /control character/],
    ["a NUL", "X: a\0\n\n", /control character/],
    ["a status that is no number", "Status: abc\n\n", /not a three-digit number: "abc"/],
    ["a status of two digits", "Status: 20\n\n", /three-digit/],
    ["a status below 100", "Status: 099 X\n\n", /three-digit/],
    ["a status with letters behind it", "Status: 200OK\n\n", /three-digit/],
    ["a second status", "Status: 200\nX: y\nstatus: 404\n\n", /second Status: "status: 404"/],
    ["a length that is no number", "Content-Length: abc\n\n", /bad or second "Content-Length: abc"/],
    ["a second length", "Content-Length: 1\nContent-Length: 1\n\n", /bad or second/],
    ["an empty block", "\r\nbody", /block is empty/],
    ["nothing at all", "", /ended without a header block/],
    ["an end inside a line", "X: y\nConte", /ended inside the header block, after "Conte"/],
    ["an end after a line", "X: y\n", /after "y"/],
    ["an end after the status", "Status: 200\n", /after ""/],
  ];
  for (const [of, text, message] of wrong) {
    it(`is malformed with ${of}`, () => {
      for (const size of [1, Math.max(text.length, 1)]) {
        expect(() => parse(text, size)).toThrow(
          expect.objectContaining({
            name: "RemoteProtocolError",
            code: "ERR_POSTERN_RESPONSE_MALFORMED",
            scope: "request",
            message: expect.stringMatching(message),
          }),
        );
      }
    });
  }

  it("is limited in bytes and headers", () => {
    const endless = new ResponseHeadParser({ maxHeadBytes: 100 });
    expect(endless.push(Buffer.from(`X: ${"a".repeat(97)}`))).toBe(-1);
    expect(() => endless.push(Buffer.from("a"))).toThrow(/exceeds 100 bytes/);
    const many = new ResponseHeadParser({ maxHeaders: 2 });
    expect(many.push(Buffer.from("A: 1\nB: 2\nStatus: 200\n"))).toBe(-1);
    expect(() => many.push(Buffer.from("C: 3\n"))).toThrow(/more than 2 headers/);
  });

  it("is not limited by the body behind it", () => {
    const parser = new ResponseHeadParser({ maxHeadBytes: 10 });
    expect(parser.push(Buffer.from(`A: 1\n\n${"b".repeat(1000)}`))).toBe(6);
  });
});

/**
 * The binding rules of web-servers.md §1 (1 to 16) and web-servers-current.md §1 (C1 to C6), each seen to break a
 * real web server. One test per rule, against the real server over a real socket, with records made by hand.
 */
import { describe, expect, it } from "vitest";
import { fastcgi } from "../../src/adapters/side.ts";
import {
  abortRecord,
  beginRecord,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  requestRecords,
  stdinRecords,
  summary,
  TYPE,
} from "../support/records.ts";
import { waitFor } from "../support/wait.ts";
import { startServer } from "../support/wire.ts";

/** Answers `ok`, whatever it is asked. */
const ok = (_request: unknown, response: import("node:http").ServerResponse): void => {
  response.end("ok");
};

/** BEGIN and PARAMS, without STDIN. */
function withoutStdin(params: Readonly<Record<string, string>>, keepConn = false, id = 1): Buffer {
  return Buffer.concat([beginRecord(id, { keepConn }), paramsRecords(id, { ...PLAIN_GET, ...params })]);
}

describe("what an application server must do (web-servers.md §1)", () => {
  it("1. closes the connection after END_REQUEST when FCGI_KEEP_CONN is 0, and keeps it open when it is 1", async () => {
    await using server = await startServer(ok);

    const closing = await server.connect();
    closing.request();
    await closing.end();
    expect(summary(closing.received).at(-1)).toBe("END_REQUEST 1 (8)");

    // Also when the body is still on its way: nginx waits for this FIN, not for END_REQUEST.
    const early = await server.connect();
    early.send(withoutStdin({ REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" }));
    await early.end();
    expect(summary(early.received).at(-1)).toBe("END_REQUEST 1 (8)");
    expect(server.server.stats.connections).toBe(1);
    early.send(stdinRecords(1, "12345"));
    await server.gone();

    const kept = await server.connect();
    kept.request({ keepConn: true });
    await kept.answer();
    kept.request({ keepConn: true, id: 2 });
    await kept.answer(2);
    expect(kept.ended).toBe(false);
    kept.request({ keepConn: false, id: 3 });
    await kept.answer(3);
    await kept.end();
  });

  it("2. sends the whole CGI header block in one STDOUT record", async () => {
    const value = "v".repeat(3000);
    await using server = await startServer((_request, response) => {
      for (let n = 0; n < 20; n++) response.setHeader(`X-Long-${n}`, value);
      response.setHeader("Set-Cookie", ["a=1", "b=2"]);
      response.write("first");
      response.end("last");
    });
    const { records } = await server.ask();
    const first = records.find((record) => record.name === "STDOUT")!;
    const head = first.content.toString("latin1");
    expect(head.startsWith("Status: 200 OK\r\n")).toBe(true);
    expect(head.indexOf("\r\n\r\n")).toBeGreaterThan(60_000);
    expect(head.match(/Set-Cookie/g)).toHaveLength(2);
    expect(head.match(/X-Long-/g)).toHaveLength(20);

    // From a raw program as well, however it prints its headers.
    await using raw = await startServer({
      raw(_request, response) {
        for (const piece of ["Sta", "tus: 200", " OK\r\nX-A: 1\r", "\n\r", "\nbody"])
          response.stdout.write(piece);
        response.end();
      },
    });
    const answer = await raw.ask();
    expect(answer.records[0]!.content.toString("latin1")).toMatch(/^Status: 200 OK\r\nX-A: 1\r\n\r\n/);
  });

  it("3. never sends END_REQUEST without a header block", async () => {
    const silent = { raw: (_request: unknown, response: { end(): void }) => response.end() };
    await using nothing = await startServer(silent);
    const empty = await nothing.ask();
    expect(empty.head).toMatch(/^Status: 500 /);
    expect(empty.end).toEqual({ appStatus: 1, protocolStatus: 0 });

    await using server = await startServer(ok, { maxParams: 20, maxRequestsPerConnection: 1 });
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`HTTP_X_${n}`, "v"]));
    const refused = await server.ask({ params: many });
    expect(refused.head).toMatch(/^Status: 431 /);
    expect(refused.end?.protocolStatus).toBe(0);

    // FCGI_OVERLOADED comes with a real 503.
    const wire = await server.connect();
    wire.send(beginRecord(1, { keepConn: true }));
    wire.request({ id: 2, keepConn: true });
    const overloaded = await wire.answer(2);
    expect(overloaded.head).toMatch(/^Status: 503 /);
    expect(overloaded.body.toString()).toContain("503 Service Unavailable");
    expect(overloaded.end?.protocolStatus).toBe(2);

    await using rejecting = await startServer(async () => {
      throw new Error("no");
    });
    const failed = await rejecting.ask();
    expect(failed.head).toMatch(/^Status: 500 /);
    expect(failed.end).toEqual({ appStatus: 1, protocolStatus: 0 });
  });

  it("4. always sends Status with Location, and behind it: HAProxy 2.6 heeds the later one", async () => {
    await using node = await startServer((_request, response) => {
      response.writeHead(302, { Location: "/elsewhere" }).end();
    });
    expect((await node.ask()).head).toMatch(/^Location: \/elsewhere\r\n.*\r\nStatus: 302 Found$/s);

    await using fetching = await startServer({ fetch: () => Response.redirect("http://example.com/x", 307) });
    expect((await fetching.ask()).head).toMatch(
      /^location: http:\/\/example.com\/x\r\n(.*\r\n)?Status: 307 Temporary Redirect$/s,
    );

    // A CGI program that says Location alone means 302.
    await using raw = await startServer({
      raw: (_request, response) => response.end("Location: http://example.com/y\r\n\r\n"),
    });
    expect((await raw.ask()).head).toBe("Location: http://example.com/y\r\nStatus: 302 Found");
  });

  it("5. always sends Status; header names are tokens, without folding, with a three-digit status", async () => {
    await using plain = await startServer((_request, response) => response.end());
    expect((await plain.ask()).head).toMatch(/^Status: 200 OK(\r\n|$)/);

    for (const block of [
      "X Y: 1",
      "X: a\r\n folded",
      "Status: abc",
      "no colon",
      "HTTP/1.1 200 OK\r\nX: 1",
      "",
    ]) {
      await using server = await startServer({
        raw: (_request, response) => response.end(`${block}\r\n\r\nbody`),
      });
      const answer = await server.ask();
      expect(answer.head, JSON.stringify(block)).toMatch(/^Status: 500 /);
      expect(answer.end?.appStatus).toBe(1);
    }
    await using split = await startServer((_request, response) => {
      response.setHeader("X-Injected", "a\r\nSet-Cookie: b");
      response.end();
    });
    const answer = await split.ask();
    expect(answer.head).toMatch(/^Status: 500 /);
    expect(answer.head).not.toContain("Set-Cookie");
  });

  it("6. sends no body for HEAD, 204 and 304", async () => {
    const node = (
      request: import("node:http").IncomingMessage,
      response: import("node:http").ServerResponse,
    ): void => {
      response.statusCode = Number(request.url!.slice(1));
      response.write("body");
      response.end("more");
    };
    const fetching = {
      fetch(request: Request): Response {
        const status = Number(new URL(request.url).pathname.slice(1));
        return new Response(status === 200 ? "body" : null, { status });
      },
    };
    const raw = {
      raw(
        request: { url: string },
        response: { writeHead(status: number): { end(body: string): void } },
      ): void {
        response.writeHead(Number(request.url.slice(1))).end("body");
      },
    };
    for (const app of [node, fetching, raw as never]) {
      await using server = await startServer(app);
      for (const [method, status] of [
        ["HEAD", "200"],
        ["GET", "204"],
        ["GET", "304"],
      ] as const) {
        const path = `/${status}`;
        const answer = await server.ask({
          params: { REQUEST_METHOD: method, REQUEST_URI: path, PATH_INFO: path },
        });
        expect(answer.head).toMatch(new RegExp(`^Status: ${status} `));
        expect(answer.body.length, `${method} ${status}`).toBe(0);
        expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
      }
    }
    // RFC 9110 §8.6: nor a length, which h2o would wait for.
    const length = { "Content-Length": "4", "X-Own": "1" };
    const withLength = [
      (_: unknown, response: import("node:http").ServerResponse) =>
        response.writeHead(204, length).end("body"),
      { fetch: () => new Response(null, { status: 204, headers: length }) },
    ];
    for (const app of withLength) {
      await using server = await startServer(app as never);
      const { head } = await server.ask();
      expect(head).toMatch(/^Status: 204 No Content\r\n(?:.*\r\n)*X-Own: 1/i);
      expect(head).not.toMatch(/content-length/i);
    }
    await using failing = await startServer(() => {
      throw new Error("no");
    });
    const failed = await failing.ask({ params: { REQUEST_METHOD: "HEAD" } });
    expect(failed.head).toMatch(/^Status: 500 /);
    expect(failed.body.length).toBe(0);
  });

  it("7. sends an exact Content-Length: the application's, never more bytes than that", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(200, { "Content-Length": "6" });
      response.end("émile");
    });
    const answer = await server.ask();
    expect(answer.head).toContain("Content-Length: 6");
    expect(answer.body.length).toBe(6);
    // No chunk sizes in the body, whatever node:http would do without a length.
    await using chunked = await startServer((_request, response) => {
      response.write("a");
      response.end("b");
    });
    const pieces = await chunked.ask();
    expect(pieces.body.toString()).toBe("ab");
    expect(pieces.head).not.toMatch(/transfer-encoding|content-length/i);
    // Error pages count their own bytes.
    await using failing = await startServer(
      () => {
        throw new Error("ü".repeat(100));
      },
      { development: true },
    );
    const page = await failing.ask();
    expect(page.head).toContain(`Content-Length: ${page.body.length}\r\n`);
  });

  it("8. reads STDIN to its end before closing, also after an early answer", async () => {
    await using server = await startServer(ok);
    const wire = await server.connect();
    const body = Buffer.alloc(3_000_000, "x");
    const records = stdinRecords(1, body);
    wire.send(withoutStdin({ REQUEST_METHOD: "POST", CONTENT_LENGTH: `${body.length}` }));
    await wire.end();
    expect((await wire.answer()).body.toString()).toBe("ok");
    // All of it is taken: neither a reset nor a write that hangs.
    await new Promise<void>((resolve, reject) => {
      wire.socket.write(records, (error) => (error ? reject(error) : resolve()));
    });
    await server.gone();
    expect(wire.error).toBeUndefined();
    expect(server.log.text).toEqual([]);
  });

  it("9. takes the body length from STDIN, not from CONTENT_LENGTH", async () => {
    await using server = await startServer((request, response) => {
      let bytes = 0;
      request.on("data", (piece: Buffer) => (bytes += piece.length));
      request.on("end", () => response.end(`${bytes}`));
    });
    for (const length of [undefined, "", "-1", "11"]) {
      const answer = await server.ask({
        params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: length },
        stdin: "hello world",
      });
      expect(answer.body.toString(), `CONTENT_LENGTH ${length}`).toBe("11");
    }
    // Apache streams a slow chunked body like this.
    const chunked = { REQUEST_METHOD: "POST", CONTENT_LENGTH: undefined, HTTP_TRANSFER_ENCODING: "chunked" };
    expect((await server.ask({ params: chunked, stdin: "hello world" })).body.toString()).toBe("11");
    const empty = await server.ask({ params: { CONTENT_LENGTH: "" } });
    expect(empty.body.toString()).toBe("0");
  });

  it("10. sends no management records unasked, no wrong request id, nothing after END_REQUEST", async () => {
    await using server = await startServer((request, response) => {
      const { stderr } = fastcgi(request);
      stderr.write("before\n");
      response.end("done");
      response.on("finish", () => {
        stderr.write("after\n");
        setImmediate(() => stderr.write("later\n"));
      });
    });
    const wire = await server.connect();
    wire.request({ id: 7, keepConn: true });
    await wire.answer(7);
    wire.request({ id: 300, keepConn: true });
    await wire.answer(300); // throws for anything after END_REQUEST
    expect(new Set(wire.records.map((record) => record.id))).toEqual(new Set([7, 300]));
    expect(wire.records.filter((record) => record.name === "END_REQUEST")).toHaveLength(2);
    expect(wire.records.every((record) => record.version === 1)).toBe(true);
    expect((await wire.answer(7)).stderr.toString()).toBe("before\n");
  });

  it("11. does not close idle keep-alive connections early", async () => {
    // Deadlines of a few milliseconds for everything else: an idle connection owes nothing.
    await using server = await startServer(ok, {
      recordTimeoutMs: 40,
      stallTimeoutMs: 40,
      lingerTimeoutMs: 40,
    });
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await wire.answer();
    const silent = await server.connect();
    await silent.end(); // which never sent anything, is closed by a deadline that passed for both
    expect(wire.ended).toBe(false);
    wire.request({ keepConn: true, id: 2 });
    expect((await wire.answer(2)).body.toString()).toBe("ok");
  });

  it("12. takes any request ids, interleaved, and ABORT_REQUEST before the end of PARAMS", async () => {
    await using server = await startServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => response.end(`${request.url} ${Buffer.concat(pieces)}`));
    });
    const wire = await server.connect();
    const [one, three] = [1, 3].map((id) => {
      const path = `/n${id}`;
      return requestRecords({
        id,
        keepConn: true,
        params: { REQUEST_METHOD: "POST", REQUEST_URI: path, PATH_INFO: path },
        stdin: `body ${id}`,
      });
    });
    // Record by record in turn, as HAProxy does.
    const records = (bytes: Buffer): Buffer[] => {
      const cut: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = 8 + bytes.readUInt16BE(at + 4) + bytes.readUInt8(at + 6);
        cut.push(bytes.subarray(at, at + size));
        at += size;
      }
      return cut;
    };
    const [ones, threes] = [records(one!), records(three!)];
    for (let n = 0; n < ones.length; n++) wire.send(ones[n]!, threes[n]!);
    expect((await wire.answer(1)).body.toString()).toBe("/n1 body 1");
    expect((await wire.answer(3)).body.toString()).toBe("/n3 body 3");

    wire.send(beginRecord(5, { keepConn: true }), abortRecord(5));
    const aborted = await wire.answer(5);
    expect(aborted.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    wire.request({ id: 5, keepConn: true, stdin: "again" });
    await waitFor(() => wire.records.filter((record) => record.id === 5).length > 3);
    expect(wire.ended).toBe(false);
    expect(server.server.stats.openRequests).toBe(0);
  });

  it("13. repeated PARAMS names: the last value of a CGI variable wins, HTTP_* are combined, Cookie with '; '", async () => {
    await using server = await startServer((request, response) => {
      const { params } = fastcgi(request);
      const { headers } = request;
      response.end(
        JSON.stringify([
          request.url,
          params["SCRIPT_NAME"],
          headers.host,
          headers.cookie,
          headers["x-list"],
          headers["accept"],
        ]),
      );
    });
    const wire = await server.connect();
    wire.send(
      beginRecord(1),
      paramsRecords(1, [
        ...Object.entries({ ...PLAIN_GET, REQUEST_URI: "/m/p", PATH_INFO: "/p", SCRIPT_NAME: "/m/p" }),
        ["SCRIPT_NAME", "/m"],
        ["HTTP_HOST", "second.example"],
        ["HTTP_COOKIE", "a=1"],
        ["HTTP_X_LIST", "1"],
        ["HTTP_ACCEPT", "text/html"],
        ["HTTP_COOKIE", "b=2"],
        ["HTTP_X_LIST", "2"],
        ["HTTP_ACCEPT", "text/plain"],
      ]),
      stdinRecords(1),
    );
    const seen = JSON.parse((await wire.answer()).body.toString());
    expect(seen).toEqual(["/p", "/m", "second.example", "a=1; b=2", "1, 2", "text/html, text/plain"]);
  });

  it("14. computes the path from REQUEST_URI, not PATH_INFO, and accepts the absolute form", async () => {
    await using server = await startServer((request, response) => {
      const { originalUrl, baseUrl } = request as unknown as { originalUrl: string; baseUrl: string };
      response.end(JSON.stringify([baseUrl, request.url, originalUrl]));
    });
    const ask = async (params: Record<string, string>): Promise<unknown> =>
      JSON.parse((await server.ask({ params })).body.toString());
    expect(
      await ask({
        REQUEST_URI: "/app//a%2Fb/c?q=%20",
        SCRIPT_NAME: "/app",
        PATH_INFO: "/a/b/c",
        QUERY_STRING: "q=%20",
      }),
    ).toEqual(["/app", "//a%2Fb/c?q=%20", "/app//a%2Fb/c?q=%20"]);
    expect(
      await ask({ REQUEST_URI: "http://example.com/abs?x=1", PATH_INFO: "/abs", QUERY_STRING: "x=1" }),
    ).toEqual(["", "/abs?x=1", "/abs?x=1"]);
    // Cherokee's is decoded: PATH_INFO it is.
    expect(
      await ask({ SERVER_SOFTWARE: "Cherokee 1.2.104", REQUEST_URI: "/a b", PATH_INFO: "/a b" }),
    ).toEqual(["", "/a%20b", "/a%20b"]);
  });

  it("15. does not take REMOTE_USER for more than the web server's word", async () => {
    await using server = await startServer((request, response) => {
      const { gateway } = fastcgi(request);
      response.end(
        JSON.stringify([gateway.remoteUser, gateway.authType, request.headers, "user" in request]),
      );
    });
    const forged = await server.ask({
      params: { HTTP_REMOTE_USER: "root", HTTP_AUTHORIZATION: "Basic cm9vdDp4" },
    });
    const [user, type, headers, hasUser] = JSON.parse(forged.body.toString());
    // Nothing is derived from headers, and no request property is filled from either.
    expect([user, type, hasUser]).toEqual([null, null, false]);
    expect(headers).toMatchObject({ "remote-user": "root", authorization: "Basic cm9vdDp4" });
    const stated = await server.ask({ params: { REMOTE_USER: "alice", AUTH_TYPE: "Basic" } });
    expect(JSON.parse(stated.body.toString()).slice(0, 2)).toEqual(["alice", "Basic"]);
    expect(JSON.parse(stated.body.toString())[2]).not.toHaveProperty("remote-user");
  });

  it("16. ignores HTTP_PROXY and every HTTP_* look-alike", async () => {
    const lookAlikes = {
      HTTP_PROXY: "http://evil.example:1",
      HTTP_HTTPS: "on",
      HTTP_SCRIPT_NAME: "/evil",
      HTTP_HTTP_HOST: "evil.example",
      HTTP_REQUEST_URI: "/evil",
      HTTP_REMOTE_ADDR: "6.6.6.6",
      HTTP_X_FORWARDED_FOR: "6.6.6.6",
      HTTP_X_FORWARDED_PROTO: "https",
      HTTP_X_FORWARDED_HOST: "evil.example",
      HTTP_CONTENT_LENGTH: "99",
    };
    await using node = await startServer((request, response) => {
      response.end(
        JSON.stringify({
          headers: request.headers,
          url: request.url,
          encrypted: (request.socket as unknown as { encrypted: boolean }).encrypted,
          remote: request.socket.remoteAddress,
          proxy: process.env["HTTP_PROXY"] ?? null,
        }),
      );
    });
    const seen = JSON.parse((await node.ask({ params: lookAlikes })).body.toString());
    expect(seen.headers).not.toHaveProperty("proxy");
    expect(seen.headers).not.toHaveProperty("content-length");
    expect(seen).toMatchObject({ url: "/", encrypted: false, remote: "127.0.0.1", proxy: null });
    expect(seen.headers.host).toBe("example.com");

    await using fetching = await startServer({
      fetch: (request) => Response.json([request.url, [...request.headers.keys()]]),
    });
    const [url, names] = JSON.parse((await fetching.ask({ params: lookAlikes })).body.toString());
    expect(url).toBe("http://example.com/");
    expect(names).not.toContain("proxy");
  });
});

describe("what current web servers add (web-servers-current.md §1)", () => {
  const upgrade = { HTTP_UPGRADE: "websocket", HTTP_CONNECTION: "Upgrade", CONTENT_LENGTH: "0" };

  it("C1. starts the request at the end of PARAMS, not of STDIN, when HTTP_UPGRADE is present and no body is announced", async () => {
    await using server = await startServer((request, response) => {
      request.resume();
      request.on("end", () => response.end("no tunnel here"));
    });
    for (const params of [upgrade, { HTTP_UPGRADE: "foo/2", CONTENT_LENGTH: "" }]) {
      const wire = await server.connect();
      wire.send(withoutStdin(params));
      expect((await wire.answer()).body.toString()).toBe("no tunnel here");
      await wire.end();
    }
    await using fetching = await startServer({
      fetch: async (request) => new Response(await request.text()),
    });
    const wire = await fetching.connect();
    wire.send(withoutStdin(upgrade));
    expect((await wire.answer()).head).toMatch(/^Status: 200/);
  });

  it("C2. END_REQUEST does not wait for the end of STDIN in that case", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(403).end("no");
    });
    const wire = await server.connect();
    wire.send(withoutStdin(upgrade));
    expect((await wire.answer()).head).toMatch(/^Status: 403/);
    // Now lighttpd closes. All others are about to end STDIN, and must be able to: the drain rule holds for them.
    await wire.end();
    expect(server.server.stats.connections).toBe(1);
    wire.destroy();
    await server.gone();
    const posting = await server.connect();
    posting.send(withoutStdin({ ...upgrade, REQUEST_METHOD: "POST", CONTENT_LENGTH: "3" }));
    await posting.end();
    expect(server.server.stats.connections).toBe(1);
    posting.send(stdinRecords(1, "abc"));
    await server.gone();
    expect(posting.error).toBeUndefined();
  });

  it("C3. looks at HTTP_UPGRADE, never at Sec-WebSocket-Key or HTTP_CONNECTION", async () => {
    const lines: string[] = [];
    await using server = await startServer((request, response) => {
      request.on("end", () => lines.push("end"));
      request.resume();
      response.writeHead(200).end("ok");
    });
    const wire = await server.connect();
    wire.send(
      withoutStdin({
        HTTP_CONNECTION: "Upgrade",
        HTTP_SEC_WEBSOCKET_KEY: "x",
        HTTP_SEC_WEBSOCKET_VERSION: "13",
      }),
    );
    await wire.end();
    // An ordinary request: its STDIN is awaited.
    expect(server.server.stats.connections).toBe(1);
    wire.send(stdinRecords(1));
    await server.gone();
  });

  it("C4. never answers 101 because HTTP_UPGRADE is there", async () => {
    const apps = [
      (_request: unknown, response: import("node:http").ServerResponse): void => {
        response.writeHead(101, { Upgrade: "websocket", Connection: "Upgrade" });
        response.end();
      },
      {
        raw: (_request: unknown, response: { writeHead(status: number): { end(): void } }) =>
          response.writeHead(101).end(),
      } as never,
    ];
    for (const app of apps) {
      await using server = await startServer(app);
      const answer = await server.ask({ params: upgrade });
      expect(answer.head).toMatch(/^Status: 500 /);
      expect(answer.stdout.toString()).not.toMatch(/Status: 101|^Upgrade/im);
    }
  });

  it("C5. takes a closed connection for the end, without empty STDIN or ABORT_REQUEST", async () => {
    const seen: string[] = [];
    await using server = await startServer({
      responder: {
        async raw(request, response) {
          response.writeHead(200);
          request.signal.addEventListener("abort", () => seen.push("aborted"));
          response.stdout.on("error", () => {});
        },
      },
    });
    const wire = await server.connect();
    wire.send(withoutStdin(upgrade, true));
    await wire.head();
    wire.destroy();
    await waitFor(() => seen.length > 0);
    expect(seen).toEqual(["aborted"]);
    await server.gone();
  });

  it("C6. a chunked upload that the web server refuses is no error of the application: nothing is logged", async () => {
    const aborted: string[] = [];
    await using server = await startServer((request, response) => {
      request.on("error", (error) => aborted.push((error as NodeJS.ErrnoException).code ?? ""));
      request.on("end", () => response.end());
      request.resume();
    });
    // HAProxy: the request is begun, part of the body comes, and it is given up.
    const wire = await server.connect();
    wire.send(
      withoutStdin({ REQUEST_METHOD: "POST", HTTP_TRANSFER_ENCODING: "chunked" }, true),
      rawRecord(TYPE.STDIN, 1, "part of it"),
      abortRecord(1),
    );
    await wire.answer();
    await waitFor(() => aborted.length > 0);
    expect(aborted).toEqual(["ECONNRESET"]);
    expect(server.log.lines.filter((line) => line.level === "error" || line.level === "warn")).toEqual([]);
    wire.request({ id: 1, keepConn: true });
    await waitFor(() => wire.records.filter((record) => record.name === "END_REQUEST").length === 2);
  });
});

import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Logger } from "../../../src/base/log.ts";
import { ClientPool } from "../../../src/client/index.ts";
import {
  type AccessEntry,
  createGateway,
  type Gateway,
  type GatewayOptions,
} from "../../../src/gateway/index.ts";
import { connectHttp, request } from "../../support/http.ts";
import { rawRecord, TYPE } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import {
  endRecord,
  type Stub,
  type StubOptions,
  type StubRequest,
  startStub,
} from "../client/stub-application.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

interface Front {
  readonly stub: Stub;
  readonly gateway: Gateway;
  readonly url: string;
  readonly access: AccessEntry[];
  readonly log: string[];
}

async function gatewayTo(
  connect: string,
  options: Partial<GatewayOptions> = {},
): Promise<Omit<Front, "stub">> {
  const access: AccessEntry[] = [];
  const log: string[] = [];
  const note = (fields: object, message: string): number => log.push(`${message} ${JSON.stringify(fields)}`);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const gateway = createGateway({
    connect,
    logger,
    onAccess: (entry) => access.push(entry),
    drainTimeoutMs: 1,
    ...options,
  });
  open.push(gateway);
  await gateway.listen("127.0.0.1:0");
  const { port } = gateway.server.address() as { port: number };
  return { gateway, url: `http://127.0.0.1:${port}`, access, log };
}

async function front(
  handler: (request: StubRequest) => void,
  options: Partial<GatewayOptions> = {},
  stubOptions: StubOptions = {},
): Promise<Front> {
  const stub = await startStub(handler, stubOptions);
  open.push(stub);
  return { stub, ...(await gatewayTo(stub.connect, options)) };
}

const head = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n";
const echo = (r: StubRequest): void =>
  r.answer(`${head}${r.params["REQUEST_METHOD"]} ${r.params["PATH_INFO"]} ${r.stdin}`);

describe("an ordinary request", () => {
  it("goes to the application and comes back", async () => {
    const { url, stub, access } = await front((r) => {
      r.answer(
        `Status: 201 Made\r\nContent-Type: text/x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n<${r.stdin}>`,
      );
    });
    const answer = await request(`${url}/a%2Fb?c=d`, {
      method: "POST",
      body: "hello",
      headers: { "X-Y": "z", Proxy: "evil" },
    });
    expect([answer.status, answer.statusText, answer.text]).toEqual([201, "Made", "<hello>"]);
    expect(answer.headers["set-cookie"]).toEqual(["a", "b"]);
    expect(answer.headers.date).toMatch(/GMT$/);
    expect(stub.requests[0]!.params).toMatchObject({
      REQUEST_METHOD: "POST",
      REQUEST_URI: "/a%2Fb?c=d",
      PATH_INFO: "/a/b",
      SCRIPT_NAME: "",
      QUERY_STRING: "c=d",
      CONTENT_LENGTH: "5",
      HTTP_X_Y: "z",
      REMOTE_ADDR: "127.0.0.1",
      SERVER_SOFTWARE: "Postern",
    });
    expect(stub.requests[0]!.params).not.toHaveProperty("HTTP_PROXY");
    await waitFor(() => access.length === 1);
    expect(access[0]).toMatchObject({
      status: 201,
      bodyBytes: 7,
      method: "POST",
      target: "/a%2Fb?c=d",
      error: undefined,
    });
  });

  it("keeps bytes above ASCII in headers", async () => {
    const { url } = await front((r) => r.answer(`X-A: ${r.params["HTTP_X_A"]}\r\n\r\n`));
    const http = await connectHttp(url);
    await http.send(Buffer.from("GET / HTTP/1.1\r\nHost: h\r\nX-A: caf\u00c3\u00a9\r\n\r\n", "latin1"));
    expect((await http.nextResponse()).header("X-A")).toEqual(["caf\u00c3\u00a9"]);
    http.close();
  });

  it("keeps the bytes of a file name behind a length, which node:http would read as UTF-8", async () => {
    const name = 'attachment; filename="caf\u00e9.txt"';
    const { url } = await front((r) =>
      r.answer(`Content-Length: 2\r\nContent-Disposition: ${name}\r\n\r\nok`),
    );
    const answer = await request(url);
    expect([answer.status, answer.headers["content-disposition"], answer.text]).toEqual([200, name, "ok"]);
  });

  it("reuses connections on both sides", async () => {
    const { url, stub } = await front(echo);
    const http = await connectHttp(url);
    for (let count = 0; count < 3; count++) {
      await http.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
      expect((await http.nextResponse()).body.toString()).toBe("GET /x ");
    }
    expect(stub.connections).toBe(1);
    http.close();
  });

  it("may come by HTTP/1.0, without a host", async () => {
    const { url, stub } = await front(echo);
    const http = await connectHttp(url);
    await http.send("GET /x HTTP/1.0\r\n\r\n");
    const text = await http.waitForEnd();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(text).not.toMatch(/chunked/i);
    expect(text).toMatch(/\r\n\r\nGET \/x $/);
    expect(stub.requests[0]!.params).toMatchObject({ SERVER_PROTOCOL: "HTTP/1.0", SERVER_NAME: "127.0.0.1" });
    http.close();
  });

  it("may have a chunked body, of which the application is told", async () => {
    const { url, stub } = await front(echo);
    const http = await connectHttp(url);
    await http.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    expect((await http.nextResponse()).body.toString()).toBe("POST /x abc");
    expect(stub.requests[0]!.params).toMatchObject({ HTTP_TRANSFER_ENCODING: "chunked" });
    expect(stub.requests[0]!.params).not.toHaveProperty("CONTENT_LENGTH");
    http.close();
  });

  it("with Expect: 100-continue is answered by the gateway", async () => {
    const { url } = await front(echo);
    const http = await connectHttp(url);
    await http.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    await http.waitForText(/100 Continue\r\n\r\n/);
    await http.send("abc");
    await http.waitForText(/200 OK[\s\S]*POST \/x abc/);
    http.close();
  });

  it("that wants an upgrade is an ordinary one", async () => {
    const { url, stub } = await front(echo);
    const http = await connectHttp(url);
    await http.send(
      "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    );
    expect((await http.nextResponse()).status).toBe(200);
    expect(stub.requests[0]!.params).not.toHaveProperty("HTTP_UPGRADE");
    expect(stub.requests[0]!.params).not.toHaveProperty("HTTP_CONNECTION");
    http.close();
  });

  it("HEAD, 204 and 304 have no body, whatever the application sends, and the connection stays usable", async () => {
    const { url } = await front((r) =>
      r.answer(`Status: ${r.params["PATH_INFO"]!.slice(1)}\r\nContent-Length: 4\r\n\r\nbody`),
    );
    const http = await connectHttp(url);
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
      ["HEAD", 404],
      ["GET", 200],
    ] as const) {
      await http.send(`${method} /${status} HTTP/1.1\r\nHost: h\r\n\r\n`);
      const response = await http.nextResponse({ headOnly: method === "HEAD" || status !== 200 });
      expect([response.status, response.body.toString()]).toEqual([
        status,
        method === "GET" && status === 200 ? "body" : "",
      ]);
      expect(response.header("content-length")).toEqual(status === 204 ? [] : ["4"]);
    }
    http.close();
  });

  it("drops hop-by-hop headers of the answer", async () => {
    const { url } = await front((r) =>
      r.answer(
        "Status: 200\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nKeep-Alive: x\r\nTrailer: x\r\nUpgrade: x\r\nX-Kept: 1\r\n\r\nbody",
      ),
    );
    const answer = await request(url);
    expect(answer.text).toBe("body");
    expect(answer.headers).not.toHaveProperty("upgrade");
    expect(answer.headers).not.toHaveProperty("trailer");
    expect(answer.headers["x-kept"]).toBe("1");
  });

  it("passes 103 with links on as early hints", async () => {
    const { url } = await front((r) =>
      r.answer(`Status: 103\r\nLink: </a.css>; rel=preload; as=style\r\n\r\n${head}body`),
    );
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(await http.waitForEnd()).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>[\s\S]*HTTP\/1\.1 200 OK[\s\S]*body/i,
    );
    http.close();
  });

  it.each(["Status: 103\r\nX: y\r\n\r\n", "Status: 103\r\nLink: nonsense\r\n\r\n", "Status: 102\r\n\r\n"])(
    "drops the interim head %j",
    async (interim) => {
      const { url } = await front((r) => r.answer(`${interim}${head}body`));
      expect((await request(url)).text).toBe("body");
    },
  );
});

describe("paths", () => {
  it("are taken off their mount", async () => {
    const { url, stub, gateway } = await front(echo, { mount: "/app/" });
    expect(gateway.url).toMatch(/^http:\/\/localhost:\d+\/app\/$/);
    expect((await request(`${url}/app/x`)).text).toBe("GET /x ");
    expect((await request(`${url}/app`)).text).toBe("GET  ");
    expect((await request(`${url}/apple`)).status).toBe(404);
    expect(stub.requests.map((r) => r.params["SCRIPT_NAME"])).toEqual(["/app", "/app"]);
  });

  it.each(["/bad%zz", "/a%00b", "/../x", "/%2e%2e/%2e%2e/etc/passwd", "/a%0d%0ab"])(
    "%s is refused",
    async (path) => {
      const { url, stub } = await front(echo);
      const answer = await request(url + path);
      expect(answer.status).toBe(400);
      expect(stub.requests).toHaveLength(0);
    },
  );

  it.each(["Host: a\r\nHost: b", "Host: a b", "Host: a/b"])("the host in %j is refused", async (fields) => {
    const { url, stub } = await front(echo);
    const http = await connectHttp(url);
    await http.send(`GET / HTTP/1.1\r\n${fields}\r\n\r\n`);
    expect((await http.nextResponse()).status).toBe(400);
    expect(stub.requests).toHaveLength(0);
    http.close();
  });

  it("parameters can be added, per request too", async () => {
    const { url, stub } = await front(echo, {
      params: (req) => ({ APP_NAME: "caf\u00e9", METHOD_AGAIN: req.method! }),
    });
    await request(url);
    expect(stub.requests[0]!.params).toMatchObject({ APP_NAME: "caf\u00c3\u00a9", METHOD_AGAIN: "GET" });
    const fixed = await front(echo, { params: { REMOTE_USER: "me" } });
    await request(fixed.url);
    expect(fixed.stub.requests[0]!.params).toMatchObject({ REMOTE_USER: "me" });
  });
});

describe("a local redirect", () => {
  it("is followed as a GET without a body", async () => {
    const { url, stub } = await front((r) =>
      r.params["PATH_INFO"] === "/a" ? r.answer("Location: /b?x=1\r\n\r\n") : echo(r),
    );
    expect((await request(`${url}/a`, { method: "POST", body: "hello" })).text).toBe("GET /b ");
    expect(stub.requests[1]!.params).toMatchObject({
      REQUEST_URI: "/b?x=1",
      QUERY_STRING: "x=1",
      CONTENT_LENGTH: "0",
    });
  });

  it("is not followed for ever, nor out of the mount", async () => {
    const { url, stub } = await front((r) => r.answer("Location: /app/again\r\n\r\n"), { mount: "/app" });
    expect((await request(`${url}/app/x`)).status).toBe(502);
    expect(stub.requests).toHaveLength(6);
    const out = await front((r) => r.answer("Location: /elsewhere\r\n\r\n"), { mount: "/app" });
    expect((await request(`${out.url}/app/x`)).status).toBe(404);
    const bad = await front((r) => r.answer("Location: /%zz\r\n\r\n"));
    expect((await request(bad.url)).status).toBe(502);
  });

  it("with a status or to another host is the client's", async () => {
    const { url } = await front((r) =>
      r.answer(
        r.params["PATH_INFO"] === "/a" ? "Status: 302\r\nLocation: /b\r\n\r\n" : "Location: //evil/\r\n\r\n",
      ),
    );
    expect(await request(`${url}/a`)).toMatchObject({ status: 302, headers: { location: "/b" } });
    expect(await request(`${url}/c`)).toMatchObject({ status: 302, headers: { location: "//evil/" } });
  });
});

describe("an application that fails", () => {
  const failures: readonly (readonly [string, (r: StubRequest) => void, number])[] = [
    ["noheaders", (r) => r.end(), 502],
    ["garbage", (r) => r.answer("no colon, no blank line"), 502],
    ["blankhdr", (r) => r.answer("\r\nbody"), 502],
    ["badname", (r) => r.answer("X Y: z\r\n\r\nbody"), 502],
    ["badstatus", (r) => r.answer("Status: abc\r\n\r\nbody"), 502],
    ["nph", (r) => r.answer("HTTP/1.1 201 Created\r\n\r\n"), 502],
    ["folded", (r) => r.answer("X: a\r\n b\r\n\r\n"), 502],
    ["die_before", (r) => r.socket.end(), 502],
    [
      "die_hdr",
      (r) => {
        r.stdout("Status: 2");
        r.socket.end();
      },
      502,
    ],
    ["clbad", (r) => r.answer("Content-Length: x\r\n\r\nbody"), 502],
    ["hdr70k", (r) => r.answer(`X: ${"y".repeat(70_000)}\r\n\r\nbody`), 502],
    ["101", (r) => r.answer("Status: 101\r\nUpgrade: websocket\r\n\r\n"), 502],
    ["wrongid", (r) => r.raw(rawRecord(TYPE.STDOUT, 9, head)), 502],
    ["badversion", (r) => r.raw(rawRecord(TYPE.STDOUT, 1, head, 0, 2)), 502],
    ["mgmt", (r) => r.raw(rawRecord(TYPE.GET_VALUES_RESULT, 0)), 502],
    ["unknownrole", (r) => r.end(0, 3), 503],
    ["overloaded", (r) => r.end(0, 2), 503],
    ["cantmpx", (r) => r.end(0, 1), 503],
    ["silent", () => {}, 504],
    [
      "overloaded_body",
      (r) => {
        r.stdout("Status: 503\r\n\r\nbusy");
        r.end(0, 2);
      },
      503,
    ],
  ];

  it.each(failures)("%s becomes a page, and the gateway goes on", async (name, handler, status) => {
    const { url, access, log } = await front(
      (r) => (r.params["PATH_INFO"] === "/ok" ? echo(r) : handler(r)),
      {
        client: { timeoutMs: name === "silent" ? 50 : 5000, abortTimeoutMs: 10 },
      },
    );
    const answer = await request(`${url}/x`);
    expect(answer.status).toBe(status);
    if (!name.includes("body")) {
      expect(answer.text).toMatch(/<h1>50\d /);
      expect(answer.text).not.toMatch(/FCGI|unix:|record|header/); // reasons are for the log
      expect(log.join("\n")).toMatch(/request failed/);
      expect(access[0]?.error).toBeInstanceOf(Error);
    }
    if (status === 503 && name !== "overloaded_body") expect(answer.headers["retry-after"]).toBe("1");
    expect((await request(`${url}/ok`)).text).toBe("GET /ok ");
    expect(await request(`${url}/x`, { method: "HEAD" })).toMatchObject({ status, text: "" });
  });

  it.each<[string, (r: StubRequest) => void, string]>([
    [
      "die_mid",
      (r) => {
        r.stdout(`${head}half`);
        setTimeout(() => r.socket.end(), 20);
      },
      "half",
    ],
    [
      "die_mid_cl",
      (r) => {
        r.stdout("Content-Length: 9\r\n\r\nhalf");
        setTimeout(() => r.socket.end(), 20);
      },
      "half",
    ],
    [
      "noend",
      (r) => {
        r.stdout(`${head}whole?`);
        r.eof();
        setTimeout(() => r.socket.end(), 20);
      },
      "whole?",
    ],
    ["clshort", (r) => r.answer("Content-Length: 9\r\n\r\nhalf"), "half"],
    [
      "app1 without a length",
      (r) => {
        r.stdout(`${head}half`);
        r.end(1);
      },
      "half",
    ],
    ["cllong", (r) => r.answer("Content-Length: 4\r\n\r\nhalfEVIL"), "half"],
  ])("%s: an answer that is not whole does not look whole", async (name, handler, text) => {
    const { url, access } = await front(handler);
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const received = await http.waitForEnd();
    expect(received.startsWith("HTTP/1.1 200 OK")).toBe(true);
    expect(received).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(received).not.toContain("EVIL");
    if (name.startsWith("die")) expect(received).toContain(text);
    await waitFor(() => access.length === 1);
    expect(access[0]?.error).toBeInstanceOf(Error);
    http.close();
  });

  it("app1 with a length is whole", async () => {
    const { url } = await front((r) => {
      r.stdout("Content-Length: 4\r\n\r\nbody");
      r.end(1);
    });
    expect((await request(url)).text).toBe("body");
  });

  it("afterend: what follows the end is never passed on", async () => {
    const { url, stub } = await front((r) =>
      r.raw(
        Buffer.concat([
          rawRecord(TYPE.STDOUT, 1, `${head}body`),
          endRecord(1),
          rawRecord(TYPE.STDOUT, 1, "EVIL"),
        ]),
      ),
    );
    expect((await request(url)).text).toBe("body");
    expect((await request(url)).text).toBe("body");
    expect(stub.connections).toBe(2);
  });

  it("is not there: 502, with the reason in development only", async () => {
    const { url, log } = await gatewayTo("/no/such.sock");
    const answer = await request(url);
    expect(answer.status).toBe(502);
    expect(answer.text).toContain("cannot be reached");
    expect(answer.text).not.toContain("such.sock");
    expect(log.join("\n")).toContain("such.sock");
    const development = await gatewayTo("/no/such.sock", { development: true });
    expect((await request(development.url)).text).toContain("such.sock");
  });

  it("is too busy: 503 after waiting", async () => {
    const { url, stub } = await front(() => {}, {
      client: { maxConnections: 1, queueTimeoutMs: 30, abortTimeoutMs: 1 },
    });
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => stub.requests.length === 1);
    expect((await request(url)).status).toBe(504);
    const full = await front(() => {}, {
      client: { maxConnections: 1, maxQueuedRequests: 1, abortTimeoutMs: 1 },
    });
    const many = await Promise.all([connectHttp(full.url), connectHttp(full.url), connectHttp(full.url)]);
    for (const one of many) await one.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => many.some((one) => /^HTTP\/1.1 503/.test(one.text())));
    for (const one of [http, ...many]) one.close();
  });

  it("has its STDERR logged by line, without control characters", async () => {
    const { url, log } = await front((r) => {
      r.stderr("one\ntwo\x1b[31m\npart");
      r.stderr("ial");
      r.answer(`${head}x`);
    });
    await request(url);
    await waitFor(() => log.length === 3);
    expect(log.map((line) => line.split(" {")[0])).toEqual([
      "application: one",
      "application: two\\x1b[31m",
      "application: partial",
    ]);
  });
});

describe("streams", () => {
  it("an answer arrives piece by piece", async () => {
    let next = (): void => {};
    const { url } = await front((r) => {
      r.stdout(head);
      const pieces = ["one", "two"];
      next = () => {
        const piece = pieces.shift();
        if (piece === undefined) r.end();
        else r.stdout(piece);
      };
    });
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await http.waitForText(/200 OK[\s\S]*\r\n\r\n/);
    expect(http.text()).not.toContain("one");
    next();
    await http.waitForText(/one/);
    next();
    await http.waitForText(/two/);
    next();
    await http.waitForText(/\r\n0\r\n\r\n$/);
    http.close();
  });

  it("a body arrives at the application piece by piece", async () => {
    const { url, stub } = await front(() => {}, {}, { early: true });
    const http = await connectHttp(url);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\none");
    await waitFor(() => stub.requests[0]?.stdin.toString() === "one");
    await http.send("two");
    await waitFor(() => stub.requests[0]?.stdinEnded);
    stub.requests[0]!.answer(`${head}done`);
    expect((await http.nextResponse()).body.toString()).toBe("done");
    http.close();
  });

  it("a slow client holds the application back", async () => {
    const total = 64 * 1024 * 1024;
    let sent = 0;
    const { url } = await front((r) => {
      r.stdout(head);
      const piece = rawRecord(TYPE.STDOUT, 1, Buffer.alloc(65528));
      const more = (): void => {
        for (; sent < total; sent += 65528)
          if (!r.socket.write(piece)) {
            sent += 65528;
            r.socket.once("drain", more);
            return;
          }
        r.end();
      };
      more();
    });
    const http = await connectHttp(url);
    http.pause();
    await http.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    await waitFor(() => sent > 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const held = sent;
    console.log(
      `gateway, slow client: ${(held / 1048576).toFixed(1)} MiB taken from the application while nobody reads`,
    );
    expect(held).toBeLessThan(16 * 1024 * 1024); // kernel buffers of three sockets
    http.reset();
  });

  it("a client that takes nothing does not keep the application's connection for ever", async () => {
    const { url, stub, access } = await front(
      (r) => {
        r.stdout(head);
        if (r.params["PATH_INFO"] === "/big")
          for (let n = 0; n < 200; n++) r.socket.write(rawRecord(TYPE.STDOUT, 1, Buffer.alloc(65528)));
        r.end();
      },
      { client: { maxConnections: 1 }, sendTimeoutMs: 200 },
    );
    const http = await connectHttp(url);
    http.pause();
    await http.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => stub.requests.length === 1);
    expect((await request(`${url}/`)).status).toBe(200);
    await waitFor(() => access.length === 2);
    expect(access[0]).toMatchObject({ target: "/big", error: { code: "ERR_POSTERN_ABORTED" } });
    http.reset();
  });

  it("a slow application holds the client back", async () => {
    const { url, stub } = await front(
      () => {},
      {},
      { early: true, countOnly: true, onConnection: (socket) => setImmediate(() => socket.pause()) },
    );
    const http = await connectHttp(url);
    let given = 0;
    await http.send(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${1 << 30}\r\n\r\n`);
    const piece = Buffer.alloc(1 << 20);
    const pump = async (): Promise<void> => {
      for (; given < 64 << 20; given += piece.length) await http.send(piece);
    };
    void pump().catch(() => {});
    await waitFor(() => given > 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(given).toBeLessThan(16 << 20);
    http.reset();
    await waitFor(() => stub.sockets.size <= 1);
  });
});

describe("a client that leaves", () => {
  it("before the answer aborts the request", async () => {
    const { url, stub, access } = await front(() => {}, {}, { onAbort: (r) => r.end() });
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => stub.requests.length === 1);
    http.close();
    await waitFor(() => stub.requests[0]!.aborted && stub.sockets.size === 0);
    await waitFor(() => access.length === 1);
    expect(access[0]).toMatchObject({ status: 499, error: { code: "ERR_POSTERN_ABORTED" } });
  });

  it("in the middle of the answer aborts the request", async () => {
    const { url, stub } = await front((r) => r.stdout(`${head}some`), {}, { onAbort: (r) => r.end() });
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await http.waitForText(/some/);
    http.reset();
    await waitFor(() => stub.requests[0]!.aborted);
  });

  it("in the middle of its body aborts the request, and nothing is logged as our failure", async () => {
    const { url, stub, log } = await front(() => {}, {}, { early: true, onAbort: (r) => r.end() });
    const http = await connectHttp(url);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf");
    await waitFor(() => stub.requests[0]?.stdinBytes === 4);
    http.close();
    await waitFor(() => stub.requests[0]!.aborted);
    expect(log.join()).not.toMatch(/request failed/);
  });

  it("while it waits its turn is forgotten", async () => {
    const { url, stub, gateway, access } = await front(
      () => {},
      { client: { maxConnections: 1 } },
      { onAbort: (r) => r.end() },
    );
    const [first, second] = [await connectHttp(url), await connectHttp(url)];
    await first.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => stub.requests.length === 1);
    const taken = once(gateway.server, "request");
    await second.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    await taken;
    second.close();
    await waitFor(() => access.some((entry) => entry.status === 499));
    stub.requests[0]!.answer(`${head}x`);
    await first.waitForText(/\r\n0\r\n\r\n$/);
    expect(stub.requests).toHaveLength(1);
    first.close();
  });
});

describe("bodies", () => {
  it("beyond the limit are refused, announced or not, and the connection goes on", async () => {
    const { url, stub } = await front(echo, { maxBodyBytes: 4 }, { onAbort: (r) => r.end() });
    const http = await connectHttp(url);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
    expect((await http.nextResponse()).status).toBe(413);
    await http.send(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    expect((await http.nextResponse()).status).toBe(413);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n1234");
    expect((await http.nextResponse()).body.toString()).toBe("POST / 1234");
    expect(stub.requests.filter((r) => r.stdinEnded)).toHaveLength(1);
    http.close();
  });

  it("beyond the limit are refused before the client sends them, if it asks", async () => {
    const { url } = await front(echo, { maxBodyBytes: 4 });
    const http = await connectHttp(url);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    await http.waitForText(/^HTTP\/1\.1 413/);
    expect(http.text()).not.toContain("100 Continue");
    http.close();
  });

  it("without a length are collected where the application needs one", async () => {
    const { url, stub } = await front(echo, { maxCollectedBytes: 4 });
    const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const http = await connectHttp(url);
    await http.send(`${chunked}3\r\nabc\r\n0\r\n\r\n`);
    expect((await http.nextResponse()).body.toString()).toBe("POST / abc");
    expect(stub.requests[0]!.params).toMatchObject({ CONTENT_LENGTH: "3" });
    await http.send(`${chunked}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`);
    expect((await http.nextResponse()).status).toBe(411);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect((await http.nextResponse()).status).toBe(200);
    http.close();
  });

  it("that an application does not wait for are read to their end", async () => {
    const { url, stub } = await front(
      (r) => r.answer(`Status: 413\r\n\r\nno`),
      {},
      { early: true, countOnly: true },
    );
    const http = await connectHttp(url);
    const size = 3_000_000;
    await http.send(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${size}\r\n\r\n`);
    await http.send(Buffer.alloc(size));
    expect((await http.nextResponse()).status).toBe(413);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    expect((await http.nextResponse()).status).toBe(413);
    expect(stub.connections).toBe(2); // the first had input of the old request on its way
    http.close();
  });

  it("that an application does not wait for are read to their end before a connection is closed", async () => {
    const { url, gateway } = await front(
      (r) => r.answer(`Status: 413\r\n\r\nno`),
      {},
      { early: true, countOnly: true },
    );
    const http = await connectHttp(url);
    const half = 2_000_000;
    await http.send(`POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${2 * half}\r\n\r\n`);
    await http.send(Buffer.alloc(half));
    const { status, body, complete } = await http.nextResponse();
    expect([status, body.toString(), complete]).toEqual([413, "no", true]);
    await http.waitForEnd();
    await http.send(Buffer.alloc(half));
    await waitFor(
      () => new Promise((resolve) => gateway.server.getConnections((_error, count) => resolve(count === 0))),
    );
    expect(http.ended).toBe("end"); // and no reset
    http.close();
  });

  it("that stop coming are the client's fault", async () => {
    const { url } = await front(() => {}, { client: { timeoutMs: 40, abortTimeoutMs: 1 } }, { early: true });
    const http = await connectHttp(url);
    await http.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf");
    await http.waitForText(/^HTTP\/1\.1 408/);
    http.close();
  });
});

describe("files and scripts", () => {
  const folder = (): string => {
    const root = temporaryFolder("www");
    mkdirSync(join(root, "blog"));
    writeFileSync(join(root, "a.txt"), "file");
    writeFileSync(join(root, "photo.jpg"), "picture");
    writeFileSync(join(root, "index.php"), "<?php SECRET");
    writeFileSync(join(root, "blog", "index.php"), "<?php SECRET");
    writeFileSync(join(root, "old.php.bak"), "<?php SECRET");
    writeFileSync(join(root, "conf.inc"), "SECRET");
    return root;
  };

  it("a file goes before the application", async () => {
    const { url, stub, access } = await front(echo, { files: folder(), mount: "/app" });
    expect((await request(`${url}/app/a.txt`)).text).toBe("file");
    await waitFor(() => access.length === 1);
    expect(access[0]).toMatchObject({ status: 200, bodyBytes: 4 });
    expect((await request(`${url}/app/b.txt`)).text).toBe("GET /b.txt ");
    expect((await request(`${url}/app/a.txt`, { method: "POST", body: "x" })).text).toBe("POST /a.txt x");
    expect(stub.requests).toHaveLength(2);
  });

  it("php finds its scripts, and their source stays where it is", async () => {
    const root = folder();
    const { url, stub } = await front(
      (r) => r.answer(`${head}${r.params["SCRIPT_NAME"]}|${r.params["PATH_INFO"]}`),
      {
        php: true,
        documentRoot: root,
        files: root,
      },
    );
    const ask = async (path: string): Promise<string> => {
      const answer = await request(url + path);
      return answer.status === 200 ? answer.text : String(answer.status);
    };
    expect(await ask("/")).toBe("/index.php|");
    expect(await ask("/index.php/a%20b?x")).toBe("/index.php|/a b");
    expect(await ask("/blog/")).toBe("/blog/index.php|");
    expect(await ask("/a.txt")).toBe("file");
    for (const path of [
      "/none.php",
      "/photo.jpg/x.php",
      "/index.PHP",
      "/old.php.bak",
      "/conf.inc",
      "/none",
      "/index.php%20",
    ]) {
      expect([path, await ask(path)]).toEqual([path, "404"]);
    }
    expect(stub.requests[0]!.params).toMatchObject({
      SCRIPT_FILENAME: join(root, "index.php"),
      DOCUMENT_ROOT: root,
    });
  });

  it("a front controller takes every other path", async () => {
    const root = folder();
    const { url } = await front(
      (r) => r.answer(`${head}${r.params["SCRIPT_NAME"]}|${r.params["PATH_INFO"]}`),
      {
        php: { frontController: "/index.php", checkFiles: false },
        documentRoot: root,
        files: root,
      },
    );
    expect((await request(`${url}/news/1`)).text).toBe("/index.php|/news/1");
    expect((await request(`${url}/a.txt`)).text).toBe("file");
    expect((await request(`${url}/elsewhere.php`)).text).toBe("/elsewhere.php|");
  });
});

describe("a gateway", () => {
  it.each<[Partial<GatewayOptions>, RegExp]>([
    [{}, /needs connect/],
    [{ connect: "/x", php: true }, /documentRoot/],
    [{ connect: "/x", mount: "app" }, /mount/],
    [{ connect: "/x", mount: "/a//b" }, /mount/],
    [{ connect: "/x", maxBodyBytes: -1 }, /maxBodyBytes/],
    [{ connect: "/x", files: "/no/such" }, /static files/],
    [{ connect: "9000" }, /127.0.0.1:9000/],
    [{ connect: 9000 } as never, /option connect: 9000 cannot be used, .*; write connect: "127.0.0.1:9000"$/],
    [
      { connect: "/x", fils: "." } as never,
      /^gateway options: there is no option "fils"; did you mean files\?$/,
    ],
    [
      { connect: "/x", port: 8080 } as never,
      /^gateway options: there is no option "port"; there are client, /,
    ],
    [{ address: "/x" } as never, /^gateway options: there is no option "address"; write connect: "\/x"$/],
    [{ connect: "/x", client: { timeout: 5 } } as never, /^client options: .* did you mean timeoutMs\?$/],
    [{ connect: "/x", client: 5 } as never, /^client options: 5 is not an object of options$/],
    [
      { connect: "/x", php: { indx: "" } } as never,
      /^option documentRoot|^php options: .* did you mean index\?$/,
    ],
    [{ connect: "/x", php: "yes" } as never, /^option php: "yes" cannot be used, it must be true or false$/],
    [{ connect: "/x", files: { foldr: "." } } as never, /^files options: .* did you mean folder\?$/],
    [{ connect: "/x", mount: 5 } as never, /^option mount: 5 cannot be used, it must be text$/],
    [{ connect: "/x", logger: true } as never, /^option logger: true /],
    [{ pool: {} } as never, /^option pool: {} cannot be used, it must be a ClientPool$/],
    [
      "unix:./q.sock" as never,
      /^gateway options: "unix:.\/q.sock" is not an object of options; write { connect: /,
    ],
    [undefined as never, /^gateway options: undefined is not an object/],
  ])("refuses %j", (options, message) => {
    expect(() => createGateway(options)).toThrow(message);
  });

  it.each([
    ["systemd", /TCP, a unix socket or an inherited descriptor/],
    ["x", /write one of/],
    [8080 as never, /option listen: 8080 cannot be used, .*; write listen: "127.0.0.1:8080"/],
  ])("cannot listen on %s", async (address, message) => {
    const { gateway } = await gatewayTo("/x");
    await expect(createGateway({ connect: "/x" }).listen(address)).rejects.toThrow(message);
    const { port } = gateway.server.address() as { port: number };
    await expect(createGateway({ connect: "/x" }).listen(`127.0.0.1:${port}`)).rejects.toThrow(/EADDRINUSE/);
  });

  it("listens on a unix socket too", async () => {
    const { stub } = await front(echo);
    await using gateway = createGateway({ connect: stub.connect });
    const path = join(temporaryFolder("g"), "g.sock");
    await gateway.listen(path);
    expect(gateway.url).toBeUndefined();
    const http = await connectHttp({ path });
    await http.send("GET /x HTTP/1.1\r\nHost: h:81\r\nConnection: close\r\n\r\n");
    expect(await http.waitForEnd()).toMatch(/GET \/x/);
    expect(stub.requests[0]!.params).toMatchObject({ SERVER_PORT: "81" });
    expect(stub.requests[0]!.params).not.toHaveProperty("REMOTE_ADDR");
    http.close();
  });

  it("leaves a pool that is not its own open", async () => {
    const stub = await startStub(echo);
    open.push(stub);
    await using pool = new ClientPool({ connect: stub.connect });
    const gateway = createGateway({ pool });
    await gateway.listen("127.0.0.1:0");
    await request(gateway.url!.replace("localhost", "127.0.0.1"));
    await gateway.close();
    expect(pool.stats.openConnections).toBe(1);
  });

  it("survives an onAccess that throws", async () => {
    const { url, log } = await front(echo, {
      onAccess: () => {
        throw new Error("disk full");
      },
    });
    expect((await request(`${url}/x`)).text).toBe("GET /x ");
    await waitFor(() => log.some((line) => line.includes("disk full")));
    expect((await request(`${url}/x`)).text).toBe("GET /x ");
  });

  it("finishes open requests when it closes, and takes no new ones", async () => {
    const { url, gateway, stub } = await front(() => {}, { drainTimeoutMs: 5000 });
    const http = await connectHttp(url);
    await http.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await waitFor(() => stub.requests.length === 1);
    const startedAt = performance.now();
    const closed = gateway.close();
    await expect(connectHttp(url)).rejects.toThrow(/ECONNREFUSED/);
    stub.requests[0]!.answer(`${head}late`);
    await http.waitForText(/late/);
    await closed;
    expect(performance.now() - startedAt).toBeLessThan(2000);
    http.close();
  });
});

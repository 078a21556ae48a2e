/** Upgrades on the wire: when a tunnel is opened, what it carries, every way it ends, and what is answered instead. */
import { once } from "node:events";
import { createServer, type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { ServerHooks } from "../../../src/server/hooks.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import { beginRecord, paramsRecords, rawRecord, stdinRecords, TYPE } from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer, type TestServer, type Wire } from "../../support/wire.ts";

const MB = 1_000_000;
const LIGHTTPD = {
  REQUEST_METHOD: "GET",
  REQUEST_URI: "/ws?a=b",
  SCRIPT_NAME: "",
  PATH_INFO: "/ws",
  QUERY_STRING: "a=b",
  SERVER_PROTOCOL: "HTTP/1.1",
  SERVER_SOFTWARE: "lighttpd/1.4.85",
  REMOTE_ADDR: "192.0.2.7",
  REMOTE_PORT: "4711",
  CONTENT_LENGTH: "0",
  HTTP_UPGRADE: "websocket",
  HTTP_CONNECTION: "keep-alive, Upgrade",
};
const SWITCH =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n";

type OnUpgrade = (socket: Socket, request: IncomingMessage, head: Buffer) => void;

let server: TestServer;
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** A server of an http.Server with an 'upgrade' listener. */
async function start(
  onUpgrade: OnUpgrade | undefined,
  options: ServerOptions = {},
  hooks: ServerHooks = {},
): Promise<void> {
  const application = createServer((request, response) => {
    request.resume();
    if (request.url === "/never") return;
    request.on("end", () => response.end(`ordinary ${request.headers.upgrade ?? "-"}`));
  });
  if (onUpgrade !== undefined) {
    application.on("upgrade", (request, socket, head) => onUpgrade(socket as Socket, request, head));
  }
  server = await startServer(application, options, hooks);
}

function request(params: Readonly<Record<string, string>> = {}, keepConn = false): Buffer {
  return Buffer.concat([beginRecord(1, { keepConn }), paramsRecords(1, { ...LIGHTTPD, ...params })]);
}

/** A connection with a tunnel. */
async function openTunnel(params: Readonly<Record<string, string>> = {}, keepConn = false): Promise<Wire> {
  const wire = await server.connect();
  wire.send(request(params, keepConn));
  expect(await wire.head()).toMatch(/^Status: 101/);
  return wire;
}

const stdin = (bytes: Buffer | string): Buffer => rawRecord(TYPE.STDIN, 1, bytes);

/** What the client would have got behind the head. */
function stdout(wire: Wire): string {
  const all = wire.records.filter(({ type }) => type === TYPE.STDOUT).map(({ content }) => content);
  const text = Buffer.concat(all).toString("latin1");
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

/** Writes down what a socket emits. */
function events(socket: Socket, ...names: string[]): string[] {
  const heard: string[] = [];
  for (const name of names)
    socket.on(name, (error?: NodeJS.ErrnoException) => heard.push(error?.code ?? name));
  return heard;
}

const accept: OnUpgrade = (socket) => void socket.write(SWITCH);
const echo: OnUpgrade = (socket) => {
  socket.write(SWITCH);
  socket.pipe(socket);
};

describe("a tunnel", () => {
  it("begins with a 101 in one record, without Connection", async () => {
    await start((socket) => {
      socket.write(SWITCH.slice(0, 30));
      socket.write(`${SWITCH.slice(30)}first`);
    });
    const wire = await openTunnel();
    await waitFor(() => stdout(wire) === "first");
    expect(wire.records[0]?.content.toString().split("\r\n\r\n")[0]).toBe(
      "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\nX-A: b",
    );
  });

  it("comes with the request and a socket that says who the client is", async () => {
    let seen: unknown;
    await start((socket, req, head) => {
      const { remoteAddress, remotePort, remoteFamily, encrypted } = socket as Socket & {
        encrypted: boolean;
      };
      const { url, method, headers, upgrade } = req as IncomingMessage & { upgrade: boolean };
      const isSame = req.socket === socket;
      seen = {
        remoteAddress,
        remotePort,
        remoteFamily,
        encrypted,
        url,
        method,
        upgrade,
        isSame,
        size: head.length,
      };
      expect(headers).toMatchObject({ upgrade: "websocket", connection: "keep-alive, Upgrade" });
      socket.write(SWITCH);
    });
    await openTunnel({ HTTPS: "on" });
    expect(seen).toEqual({
      remoteAddress: "192.0.2.7",
      remotePort: 4711,
      remoteFamily: "IPv4",
      encrypted: true,
      url: "/ws?a=b",
      method: "GET",
      upgrade: true,
      isSame: true,
      size: 0,
    });
  });

  it("carries bytes in both directions, however they are cut", async () => {
    await start(echo);
    const wire = await openTunnel();
    const record = stdin("hello, and more of it");
    for (const byte of record) wire.send(Buffer.from([byte]));
    wire.send(stdin("!"));
    await waitFor(() => stdout(wire) === "hello, and more of it!");
  });

  it("carries 5 MB back and forth", async () => {
    await start(echo);
    const wire = await openTunnel();
    const bytes = Buffer.alloc(5 * MB, "0123456789");
    for (let at = 0; at < bytes.length; at += 65535) wire.send(stdin(bytes.subarray(at, at + 65535)));
    await waitFor(() => stdout(wire).length === bytes.length, { timeoutMs: 9000 });
    expect(stdout(wire) === bytes.toString("latin1")).toBe(true);
  });

  it("stops reading the connection while the application does not read", async () => {
    let paused: Socket | undefined;
    let got = 0;
    await start((socket) => {
      socket.write(SWITCH);
      socket.on("data", (piece: Buffer) => {
        if (got === 0) socket.pause();
        got += piece.length;
      });
      paused = socket;
    });
    const wire = await openTunnel();
    const bytes = Buffer.alloc(4 * MB, "x");
    for (let at = 0; at < bytes.length; at += 65535) wire.send(stdin(bytes.subarray(at, at + 65535)));
    let last = -1;
    let looks = 0;
    await waitFor(() => {
      looks = wire.socket.writableLength === last ? looks + 1 : 0;
      last = wire.socket.writableLength;
      return looks >= 10;
    });
    expect(wire.socket.writableLength).toBeGreaterThan(2 * MB);
    paused!.resume();
    await waitFor(() => got === bytes.length);
    expect(paused!.bytesRead).toBe(bytes.length);
  });

  it("makes the application wait for a client that does not read", async () => {
    let socket: Socket | undefined;
    await start((given) => {
      given.write(SWITCH);
      socket = given;
    });
    const wire = await openTunnel();
    wire.socket.pause();
    const piece = Buffer.alloc(65536, "x");
    let sent = 0;
    // Not one of these is waited for: what the kernel takes in this turn is taken.
    for (let more = true; more && sent < 64 * MB; sent += piece.length) {
      more = socket!.write(piece);
      if (!more) {
        const drained = once(socket!, "drain").then(() => true);
        more = await Promise.race([
          drained,
          new Promise<false>((resolve) => setImmediate(() => setImmediate(() => resolve(false)))),
        ]);
      }
    }
    expect(sent).toBeLessThan(8 * MB);
    const drained = once(socket!, "drain");
    wire.socket.resume();
    await drained;
    await waitFor(() => stdout(wire).length === sent);
  });

  it("calls back when the bytes are with the kernel, in order", async () => {
    const order: string[] = [];
    await start((socket) => {
      socket.write(SWITCH, () => order.push("head"));
      socket.cork();
      socket.write("a", () => order.push("a"));
      socket.write("b", () => order.push("b"));
      socket.uncork();
      socket.end("c", () => order.push("end"));
    });
    const wire = await openTunnel();
    await wire.answer();
    await waitFor(() => order.length === 4);
    expect(order).toEqual(["head", "a", "b", "end"]);
    expect(stdout(wire)).toBe("abc");
  });
});

describe("the end of a tunnel", () => {
  it.each([
    ["end()", (socket: Socket) => void socket.end("bye")],
    [
      "destroySoon()",
      (socket: Socket) => {
        socket.write("bye");
        socket.destroySoon();
      },
    ],
  ])("by %s is END_REQUEST behind what was written, and the connection is closed", async (_how, finish) => {
    let heard: string[] = [];
    await start((socket) => {
      heard = events(socket, "error", "close");
      socket.write(SWITCH);
      socket.once("data", () => finish(socket));
    });
    const wire = await openTunnel();
    wire.send(stdin("go"));
    const answer = await wire.answer();
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    expect(stdout(wire)).toBe("bye");
    await wire.end();
    wire.send(stdin("too late"));
    // Our close would be a reset over what the client still says: the web server closes first.
    await server.ask();
    expect(server.server.stats.connections).toBeGreaterThan(0);
    expect(wire.closed).toBe(false);
    wire.destroy();
    await server.gone();
    expect(wire.error).toBeUndefined();
    await waitFor(() => heard.includes("close"));
    expect(heard).toEqual(["close"]);
  });

  it("by destroy() delivers what was written before", async () => {
    await start((socket) => {
      socket.write(`${SWITCH}last words`, () => socket.destroy());
    });
    const wire = await openTunnel();
    await wire.answer();
    expect(stdout(wire)).toBe("last words");
  });

  it("closes the connection although the web server would keep it", async () => {
    await start((socket) => void socket.end(SWITCH));
    const wire = await openTunnel({}, true);
    await wire.answer();
    await wire.end();
    expect(wire.ended).toBe(true);
  });

  it("by the client comes behind what had arrived, also when that is read later", async () => {
    let socket: Socket | undefined;
    await start((given) => {
      given.write(SWITCH);
      socket = given;
    });
    const wire = await openTunnel();
    wire.send(stdin("one"), stdin("two"));
    wire.socket.end();
    await server.gone();
    const heard = events(socket!, "error", "end", "close");
    let text = "";
    socket!.on("data", (piece) => {
      text += String(piece);
    });
    await waitFor(() => heard.includes("close"));
    expect([text, ...heard]).toEqual(["onetwo", "end", "close"]);
  });

  it("by the client closes the socket also of an application that does not end its half", async () => {
    let heard: string[] = [];
    await start((socket) => {
      heard = events(socket, "error", "end", "close");
      socket.write(SWITCH);
      socket.resume();
    });
    const wire = await openTunnel();
    wire.socket.end();
    await waitFor(() => heard.includes("close"));
    expect(heard).toEqual(["end", "close"]);
  });

  it("makes writing an EPIPE, which an application hears of if it listens, and which ends nothing if not", async () => {
    const sockets: Socket[] = [];
    await start((socket) => {
      sockets.push(socket);
      socket.write(SWITCH);
    });
    for (const listens of [true, false]) {
      const wire = await openTunnel();
      const socket = sockets.at(-1)!;
      const heard = listens ? events(socket, "error", "close") : events(socket, "close");
      wire.send(stdin("not read, so the end behind it is not seen"));
      wire.socket.end();
      await server.gone();
      const written = await new Promise((resolve) => socket.write("x", resolve));
      expect((written as NodeJS.ErrnoException).code).toBe("EPIPE");
      await waitFor(() => heard.includes("close"));
      expect(heard).toEqual(listens ? ["EPIPE", "close"] : ["close"]);
    }
  });

  it("by an error of the application's own is that error", async () => {
    let heard: string[] = [];
    await start((socket) => {
      heard = events(socket, "error", "close");
      socket.write(SWITCH, () => socket.destroy(Object.assign(new Error("mine"), { code: "MINE" })));
    });
    const wire = await openTunnel();
    await wire.answer();
    await waitFor(() => heard.includes("close"));
    expect(heard).toEqual(["MINE", "close"]);
  });

  it("by an empty STDIN record, should a web server ever send one, is 'end'", async () => {
    await start((socket) => {
      socket.write(SWITCH);
      socket.resume();
      socket.on("end", () => socket.end("bye"));
    });
    const wire = await openTunnel();
    wire.send(stdinRecords(1));
    await wire.answer();
    expect(stdout(wire)).toBe("bye");
  });

  it("can be waited for with setTimeout", async () => {
    await start((socket) => {
      socket.write(SWITCH);
      socket.setTimeout(20, () => socket.end("timed out"));
    });
    const wire = await openTunnel();
    await wire.answer();
    expect(stdout(wire)).toBe("timed out");
  });
});

describe("a server with tunnels", () => {
  it("counts them as tunnels and no longer as requests", async () => {
    const told: string[] = [];
    const hooks = {
      observer: {
        onRequestBegin: () => void told.push("begin"),
        onRequestEnd: () => void told.push("end"),
      },
    };
    await start(echo, { maxConcurrency: 1 }, hooks);
    const wire = await openTunnel();
    expect(server.server.stats).toMatchObject({ openRequests: 0, openTunnels: 1, connections: 1 });
    expect(server.server.load).toMatchObject({ openRequests: 0, openTunnels: 1 });
    expect(told).toEqual(["begin", "end"]);
    // The one place there is, is free.
    expect((await server.ask()).body.toString()).toBe("ordinary -");
    wire.destroy();
    await server.gone();
    expect(server.server.stats).toMatchObject({ openRequests: 0, openTunnels: 0 });
    expect(told).toEqual(["begin", "end", "begin", "end"]);
  });

  it("has no deadline of a request for them, and one for upgrades that are not answered", async () => {
    await start((socket, req) => req.url === "/ws?a=b" && echo(socket, req, Buffer.alloc(0)), {
      requestTimeoutMs: 60,
    });
    const wire = await openTunnel();
    const silent = await server.connect();
    silent.send(request({ REQUEST_URI: "/other", PATH_INFO: "/other", QUERY_STRING: "" }));
    expect((await silent.answer()).head).toMatch(/^Status: 504/);
    // That came later, and its time is up.
    wire.send(stdin("still here"));
    await waitFor(() => stdout(wire) === "still here");
  });

  it("waits for them when it closes, and ends them at the drain timeout as their application would", async () => {
    let heard: string[] = [];
    await start(
      (socket) => {
        heard = events(socket, "error", "end", "close");
        socket.write(SWITCH);
        socket.resume();
      },
      { drainTimeoutMs: 50 },
    );
    const wire = await openTunnel();
    const closed = server.server.close();
    const answer = await wire.answer();
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    await closed;
    await waitFor(() => heard.includes("close"));
    expect(heard).toEqual(["end", "close"]);
    expect(server.log.text.filter((line) => !line.startsWith("debug"))).toEqual(["info tunnels were ended"]);
    expect(server.log.lines.at(-1)?.fields).toEqual({ openTunnels: 1, reason: "not finished within 50 ms" });
  });

  it("has closed when the last one has ended", async () => {
    await start((socket) => {
      socket.write(SWITCH);
      socket.on("data", () => socket.end());
    });
    const wire = await openTunnel();
    const closed = server.server.close();
    wire.send(stdin("go"));
    await wire.answer();
    wire.destroy();
    await closed;
    expect(server.server.stats.connections).toBe(0);
  });
});

describe("an upgrade that is refused", () => {
  it.each([
    ["with a length", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nX-A: b\r\n\r\nno", "no"],
    [
      "in chunks",
      "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nno\r\n0\r\n\r\n",
      "no",
    ],
    ["without a body", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nX-A: b\r\n\r\n", ""],
  ])("%s is answered as soon as the answer is complete", async (_how, text, body) => {
    await start((socket) => void socket.write(text));
    const wire = await server.connect();
    wire.send(request());
    const answer = await wire.answer();
    expect(answer.head).toMatch(/^Status: 401 Unauthorized\r\n/);
    expect(answer.head).toMatch(/X-A: b/);
    expect(answer.head).not.toMatch(/transfer-encoding/i);
    expect(answer.body.toString()).toBe(body);
    await wire.end();
    wire.destroy(); // as lighttpd does at END_REQUEST
    await server.gone();
  });

  it("without a length is answered up to the end", async () => {
    await start((socket) => {
      socket.write("HTTP/1.1 403 Forbidden\r\n\r\n");
      setImmediate(() => socket.end("no"));
    });
    const wire = await server.connect();
    wire.send(request());
    expect((await wire.answer()).body.toString()).toBe("no");
  });

  it("by a ServerResponse on the socket is that response", async () => {
    await start((socket, req) => {
      const response = new ServerResponse(req);
      response.assignSocket(socket);
      response.writeHead(404, { "X-A": "b" });
      response.write("not ");
      response.end("here");
    });
    const wire = await server.connect();
    wire.send(request());
    const answer = await wire.answer();
    expect(answer.head).toMatch(/^Status: 404 Not Found\r\nX-A: b/);
    expect(answer.body.toString()).toBe("not here");
  });

  it.each([
    ["closes without a word", (socket: Socket) => void socket.destroy(), 400],
    ["ends without a word", (socket: Socket) => void socket.end(), 400],
    [
      "destroys it with an error",
      (socket: Socket) => void socket.on("error", () => {}).destroy(new Error("x")),
      500,
    ],
    [
      "throws",
      () => {
        throw new Error("x");
      },
      500,
    ],
    [
      "writes what is no HTTP",
      (socket: Socket) => void socket.on("error", () => {}).write("hello\r\n\r\n"),
      500,
    ],
  ])("when the application %s is a page", async (_how, act, status) => {
    await start((socket) => void (act as (socket: Socket) => unknown)(socket));
    const wire = await server.connect();
    wire.send(request());
    expect((await wire.answer()).head).toMatch(new RegExp(`^Status: ${status} `));
    await wire.end();
    wire.destroy();
    await server.gone();
    expect(server.log.text.filter((line) => line.startsWith("error"))).toHaveLength(status === 500 ? 1 : 0);
  });

  it("and not completely is cut", async () => {
    await start((socket) => {
      socket.on("error", () => {});
      socket.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nabc", () => socket.destroy());
    });
    const wire = await server.connect();
    wire.send(request());
    await wire.end();
    expect(wire.records.some(({ name }) => name === "END_REQUEST")).toBe(false);
  });

  it("after the client has gone closes the socket", async () => {
    let socket: Socket | undefined;
    await start((given) => {
      socket = given;
    });
    const wire = await server.connect();
    wire.send(request());
    await waitFor(() => socket !== undefined);
    const heard = events(socket!, "error", "end", "close");
    socket!.resume();
    wire.destroy();
    await waitFor(() => heard.includes("close"));
    expect(heard).toEqual(["end", "close"]);
  });
});

describe("whether a tunnel is opened", () => {
  const isOpened = async (params: Readonly<Record<string, string>>, ...more: Buffer[]): Promise<string> => {
    const wire = await server.connect();
    wire.send(Buffer.concat([request(params), ...more]));
    const head = await wire.head();
    wire.destroy();
    return head.slice("Status: ".length, "Status: ".length + 3);
  };

  it.each(["lighttpd/1.4.74", "lighttpd/1.4.85", "lighttpd/1.4.100", "lighttpd/1.5.0", "lighttpd/2.0.0"])(
    "%s: yes",
    async (SERVER_SOFTWARE) => {
      await start(accept);
      expect(await isOpened({ SERVER_SOFTWARE })).toBe("101");
    },
  );

  it.each([
    "lighttpd/1.4.73",
    "lighttpd/1.4.9",
    "lighttpd/1.3.99",
    "lighttpd",
    "nginx/1.30.6",
    "Caddy/v2.11.4",
    "",
  ])("%s: no, and never a 101", async (SERVER_SOFTWARE) => {
    await start(accept);
    expect(await isOpened({ SERVER_SOFTWARE })).toBe("501");
  });

  it("is what the option says, whatever the web server is called", async () => {
    await start(accept, { upgrade: true });
    expect(await isOpened({ SERVER_SOFTWARE: "my server" })).toBe("101");
    await server[Symbol.asyncDispose]();
    await start(accept, { upgrade: false });
    expect(await isOpened({})).toBe("501");
  });

  it("depends on STDIN staying open, whatever the option says", async () => {
    let upgrades = 0;
    await start(
      (socket) => {
        upgrades++;
        socket.write(SWITCH);
      },
      { upgrade: true },
    );
    expect(await isOpened({}, stdinRecords(1))).toBe("501");
    expect(upgrades).toBe(0);
  });

  it("never is when STDIN ends before the 101", async () => {
    let socket: Socket | undefined;
    await start((given) => {
      socket = given;
      socket.on("error", () => {});
    });
    const wire = await server.connect();
    wire.send(request());
    await waitFor(() => socket !== undefined);
    wire.send(stdinRecords(1));
    await server.ask(); // which was read after that
    socket!.write(SWITCH);
    expect((await wire.answer()).head).toMatch(/^Status: 500/);
  });

  it("is said on the page and in the log, there once", async () => {
    await start(accept);
    for (let times = 0; times < 2; times++) {
      const wire = await server.connect();
      wire.send(request({ SERVER_SOFTWARE: "nginx/1.22.1" }), stdinRecords(1));
      const answer = await wire.answer();
      expect(answer.head).toMatch(/^Status: 501 Not Implemented/);
      expect(answer.body.toString()).toMatch(/lighttpd 1\.4\.74 or newer .*postern serve --ws-http/);
    }
    const said = server.log.lines.filter(({ level }) => level === "warn");
    expect(said.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^the web server \(nginx\/1\.22\.1\) does not carry WebSocket .*: answered 501; use lighttpd/,
      ),
    ]);
  });

  it.each([
    ["another protocol behind another web server", { HTTP_UPGRADE: "h2c", SERVER_SOFTWARE: "nginx/1.22.1" }],
    ["a body", { REQUEST_METHOD: "POST", CONTENT_LENGTH: "3" }],
  ])("with %s is no question: the request is an ordinary one", async (_what, params) => {
    await start(accept);
    const wire = await server.connect();
    wire.send(request(params), stdinRecords(1, "CONTENT_LENGTH" in params ? "abc" : ""));
    expect((await wire.answer()).body.toString()).toMatch(/^ordinary /);
  });

  it("without an 'upgrade' listener is no question either, as in Node", async () => {
    await start(undefined);
    const wire = await server.connect();
    wire.send(request());
    expect((await wire.answer()).body.toString()).toBe("ordinary websocket");
  });
});

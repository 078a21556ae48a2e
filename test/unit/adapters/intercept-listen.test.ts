/** Which server is adopted, and that nobody can tell: what an adopted server says and does, compared with node:http's. */
import { once } from "node:events";
import { createServer, Server as HttpServer } from "node:http";
import { createServer as createHttp2Server, createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createNetServer, Server as NetServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Interception,
  interceptListen,
  type ListenHost,
  tlsOnly,
} from "../../../src/adapters/intercept-listen.ts";
import type { StandIn } from "../../../src/adapters/stand-in.ts";
import { freePort, isListening } from "../../support/ports.ts";

/** Serves nothing, and remembers everything. */
class TestHost implements ListenHost {
  readonly adopted: StandIn[] = [];
  readonly told: string[] = [];
  announces = true;
  closing: Promise<unknown> = Promise.resolve();
  onAdopted(standIn: StandIn): void {
    this.adopted.push(standIn);
    if (this.announces) setImmediate(() => standIn.announce());
  }
  onTls(what: string): void {
    this.told.push(what);
  }
  warn(message: string): void {
    this.told.push(message);
  }
  close(): Promise<unknown> {
    this.told.push("close");
    return this.closing;
  }
  cut(): void {
    this.told.push("cut");
  }
  openRequests(): number {
    return 7;
  }
}

const own = NetServer.prototype.listen;
let host: TestHost;
let interception: Interception;
const opened: { close(): unknown }[] = [];

function intercept(env: NodeJS.ProcessEnv = {}): void {
  interception = interceptListen(host, env);
}
/** A server that is closed after the test. */
function made<T extends { close(): unknown }>(server: T): T {
  opened.push(server);
  return server;
}
const http = (listener = (): void => {}): HttpServer => made(createServer(listener));

beforeEach(() => {
  host = new TestHost();
});
afterEach(() => {
  for (const server of opened.splice(0)) server.close();
  interception.restore();
  expect(NetServer.prototype.listen).toBe(own);
  expect(Object.hasOwn(HttpServer.prototype, "listen")).toBe(false);
});

describe("the server that is adopted", () => {
  it("is the first http server that listens; it opens no port, and others listen as they asked", async () => {
    intercept();
    const [site, admin] = [http(), http()];
    const port = await freePort();
    site.listen(port, "127.0.0.1");
    admin.listen(0, "127.0.0.1");
    await Promise.all([once(site, "listening"), once(admin, "listening")]);
    expect(host.adopted.map(({ server }) => server)).toEqual([site]);
    expect(interception.adopted).toBe(site);
    expect(await isListening({ host: "127.0.0.1", port })).toBe(false);
    expect(await isListening({ host: "127.0.0.1", port: (admin.address() as AddressInfo).port })).toBe(true);
    expect(host.told).toEqual([]);
  });

  it("is one that listens by the method of net.Server, too", async () => {
    intercept();
    const site = http();
    const port = await freePort();
    Reflect.apply(NetServer.prototype.listen, site, [port, "127.0.0.1"]);
    await once(site, "listening");
    expect(interception.adopted).toBe(site);
    expect(await isListening({ host: "127.0.0.1", port })).toBe(false);
  });

  it("is announced in a tick of its own, so that what a listener throws is an uncaught exception", async () => {
    intercept();
    host.announces = false;
    const site = http();
    site.listen(4711);
    let isTold = false;
    site.once("listening", () => {
      isTold = true;
    });
    host.adopted[0]?.announce();
    expect(isTold).toBe(false);
    await once(site, "listening");
    expect(isTold).toBe(true);
  });

  it("is the one on PORT, and the log names one that listens before it", async () => {
    const port = await freePort();
    intercept({ PORT: String(port) });
    const [admin, site] = [http(), http()];
    admin.listen(0, "127.0.0.1");
    site.listen({ port: String(port) });
    await Promise.all([once(site, "listening"), once(admin, "listening")]);
    expect(interception.adopted).toBe(site);
    expect(await isListening({ host: "127.0.0.1", port: (admin.address() as AddressInfo).port })).toBe(true);
    expect(host.told.join()).toMatch(
      new RegExp(`^the application listens on port 0 .* PORT is ${port}: .* set PORT`),
    );
  });

  it("may be on a path in PORT, and an empty PORT says nothing", () => {
    intercept({ PORT: "/tmp/never-made.sock" });
    const site = http();
    site.listen("/tmp/never-made.sock");
    expect(interception.adopted).toBe(site);
    interception.restore();
    intercept({ PORT: "" });
    const other = http();
    other.listen(4711);
    expect(interception.adopted).toBe(other);
  });

  it.each(["passenger", "/passenger"])("is the one that listens on %s, whatever PORT is", (word) => {
    intercept({ PORT: "3000" });
    const site = http();
    site.listen(word);
    expect(interception.adopted).toBe(site);
    expect(site.address()).toBe(word);
    expect(host.told).toEqual([]);
  });

  it("takes its twins with it: the same application on another address of the same port", async () => {
    intercept();
    const listener = (): void => {};
    const [site, twin, stranger] = [http(listener), http(listener), http()];
    const port = await freePort();
    site.listen(port, "127.0.0.1");
    twin.listen(port, "127.0.0.2");
    await once(twin, "listening");
    expect(twin.address()).toEqual({ address: "127.0.0.2", family: "IPv4", port });
    expect(await isListening({ host: "127.0.0.2", port })).toBe(false);
    stranger.listen(port, "127.0.0.1");
    await once(stranger, "listening");
    expect(await isListening({ host: "127.0.0.1", port })).toBe(true);
    expect(host.adopted.length).toBe(1);
    const closed = once(twin, "close");
    twin.close();
    await closed;
    expect(host.told).toEqual([]); // the site goes on
  });

  it("is of any class that extends http.Server", () => {
    intercept();
    class Special extends HttpServer {}
    const special = made(new Special());
    special.listen(4711);
    expect(interception.adopted).toBe(special);
  });

  it("is never a plain net.Server", async () => {
    intercept();
    const plain = made(createNetServer());
    plain.listen(0, "127.0.0.1");
    await once(plain, "listening");
    expect(host.adopted).toEqual([]);
    expect(host.told).toEqual([]);
    expect(await isListening({ host: "127.0.0.1", port: (plain.address() as AddressInfo).port })).toBe(true);
  });

  for (const [what, make] of [
    ["an https server", () => createHttpsServer()],
    ["an http2 server", () => createHttp2Server()],
    ["an http2 server", () => createSecureServer()],
  ] as const) {
    it(`is never ${what} (${make.toString().slice(6)}), of which the host is told`, async () => {
      intercept();
      const server = made(make());
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      expect(host.adopted).toEqual([]);
      expect(host.told[0]).toContain(
        `the application listens with ${what}, which the web server does not guard`,
      );
      expect(host.told[1]).toBe(what);
      expect(tlsOnly(what)).toContain("use http.createServer(app).listen(port)");
    });
  }
});

describe("an adopted server", () => {
  beforeEach(() => intercept());

  /** A server of node:http in the same situation. */
  const listenForReal = (server: HttpServer, ...args: unknown[]): void => {
    own.apply(server, args as never);
  };

  it("is listening at once, and says so later", async () => {
    const server = http();
    const order: string[] = [];
    server.on("listening", () => order.push("event"));
    expect(server.listening).toBe(false);
    expect(server.address()).toBeNull();
    const returned = server.listen(3000, () => order.push("callback"));
    expect(returned).toBe(server);
    expect(server.listening).toBe(true);
    expect(order).toEqual([]);
    await once(server, "listening");
    expect(order).toEqual(["event", "callback"]);
  });

  it("calls back on `this`, as node:http does", async () => {
    const server = http();
    const self = await new Promise((resolve) => {
      server.listen(3000, function (this: unknown) {
        resolve(this);
      });
    });
    expect(self).toBe(server);
  });

  const addresses: readonly [args: readonly unknown[], address: unknown][] = [
    [[3000], { address: "::", family: "IPv6", port: 3000 }],
    [[3000, "127.0.0.1"], { address: "127.0.0.1", family: "IPv4", port: 3000 }],
    [[{ port: 3000, host: "0.0.0.0" }], { address: "0.0.0.0", family: "IPv4", port: 3000 }],
    [[{ port: "3000", host: "localhost" }], { address: "127.0.0.1", family: "IPv4", port: 3000 }],
    [[3000, "::1"], { address: "::1", family: "IPv6", port: 3000 }],
    [[], { address: "::", family: "IPv6", port: 0 }],
    [[{ fd: 99 }], { address: "::", family: "IPv6", port: 0 }],
    [["/run/never-made.sock"], "/run/never-made.sock"],
  ];
  for (const [args, address] of addresses) {
    it(`asked for ${JSON.stringify(args).slice(1, -1) || "nothing"}, has the address ${JSON.stringify(address)}`, () => {
      const server = http();
      (server.listen as (...values: unknown[]) => unknown)(...args);
      expect(server.address()).toEqual(address);
    });
  }

  it("refuses what Node refuses, with Node's own errors", () => {
    const server = http();
    expect(() => server.listen(70000)).toThrow(expect.objectContaining({ code: "ERR_SOCKET_BAD_PORT" }));
    expect(() => server.listen({})).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARG_VALUE" }));
    expect(host.adopted).toEqual([]);
    server.listen(3000);
    expect(() => server.listen(3001)).toThrow(expect.objectContaining({ code: "ERR_SERVER_ALREADY_LISTEN" }));
  });

  it("closes as node:http does: at once to itself, to others when everything is over", async () => {
    const ends: Record<string, unknown[]> = {};
    for (const isReal of [true, false]) {
      const events: unknown[] = [];
      const server = createServer();
      if (isReal) listenForReal(server, 0);
      else server.listen(3000);
      await once(server, "listening");
      server.on("close", () => events.push("close event"));
      const closed = new Promise<void>((resolve) => {
        server.close((error) => {
          events.push(`callback ${error}`);
          resolve();
        });
      });
      events.push(server.listening, server.address());
      await closed;
      await new Promise<void>((resolve) => {
        server.close((error) => {
          events.push((error as NodeJS.ErrnoException).code);
          resolve();
        });
      });
      ends[isReal ? "node" : "adopted"] = events;
    }
    expect(ends["adopted"]).toEqual(ends["node"]);
    expect(host.told).toEqual(["close"]);
  });

  it("emits 'close' once what is open is over", async () => {
    let finish!: () => void;
    host.closing = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const server = http();
    let isClosed = false;
    server.listen(3000);
    server.close(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    finish();
    await once(server, "close");
    expect(isClosed).toBe(true);
  });

  it("does not say that it listens when it was closed meanwhile", async () => {
    const server = http();
    let isTold = false;
    server.listen(3000, () => {
      isTold = true;
    });
    const closed = once(server, "close");
    server.close();
    await closed;
    await new Promise((resolve) => setImmediate(resolve));
    expect(isTold).toBe(false);
  });

  it("can listen again after that", async () => {
    const server = http();
    server.listen(3000);
    await once(server, "listening");
    const closed = once(server, "close");
    server.close();
    await closed;
    server.listen(3001);
    await once(server, "listening");
    expect(server.address()).toMatchObject({ port: 3001 });
    expect(host.adopted.length).toBe(2);
  });

  it("closes when Postern has closed", async () => {
    const server = http();
    server.listen(3000);
    const closed = once(server, "close");
    host.adopted[0]!.close();
    await closed;
    expect(server.listening).toBe(false);
    host.adopted[0]!.close();
    expect(host.told).toEqual(["close"]);
  });

  it("closes with its signal, and with `await using`", async () => {
    const controller = new AbortController();
    const server = http();
    server.listen({ port: 3000, signal: controller.signal });
    let closed = once(server, "close");
    controller.abort();
    await closed;
    server.listen({ port: 3000, signal: AbortSignal.abort() });
    closed = once(server, "close");
    await closed;
    server.listen(3000);
    await server[Symbol.asyncDispose]();
    expect(server.listening).toBe(false);
    expect(host.told).toEqual(["close", "close", "close"]);
  });

  it("counts the requests of Postern as its connections, cuts them, and can be held or not", async () => {
    const server = http();
    server.listen(3000);
    const connections = await new Promise((resolve) =>
      server.getConnections((_error, count) => resolve(count)),
    );
    expect(connections).toBe(7);
    server.closeIdleConnections();
    expect(host.told).toEqual([]);
    server.closeAllConnections();
    expect(host.told).toEqual(["cut"]);
    expect(server.unref()).toBe(server);
    expect(server.ref()).toBe(server);
  });
});

/**
 * WebSocket as `ws` and Socket.IO do it, and an upgrade of our own: the same application and the same expectations on
 * node:http and inside FastCGI, behind the current lighttpd.
 */
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  newId,
  observed,
  open,
  refused,
  startBehindLighttpd,
  startOnNode,
  type WebSocketSite,
} from "../support/e2e/websocket-sites.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor, within } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";

const MB = 1_000_000;

const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** A connection of bytes after a handshake of our own. */
interface Raw {
  /** Everything behind the head. */
  readonly text: () => string;
  readonly head: string;
  send(text: string): void;
  /** Waits until what came ends so. */
  until(end: string): Promise<void>;
  end(): void;
  reset(): void;
  readonly closed: Promise<void>;
}

async function openRaw(site: WebSocketSite, id: string): Promise<Raw> {
  const socket = connect({ port: site.port, host: "127.0.0.1", noDelay: true });
  let all = "";
  socket.on("data", (piece) => (all += piece.toString("latin1")));
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write(
    `GET /raw?id=${id} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n`,
  );
  const end = (): number => all.indexOf("\r\n\r\n");
  await waitFor(() => end() > 0, { what: "a head", evidence: () => all });
  const head = all.slice(0, end());
  const text = (): string => all.slice(head.length + 4);
  return {
    head,
    text,
    send: (what) => void socket.write(what),
    until: async (what) =>
      void (await waitFor(() => text().endsWith(what), {
        what: JSON.stringify(what),
        evidence: text,
        timeoutMs: 10_000,
      })),
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    closed,
  };
}

/** Waits until a number has stopped growing, as seen in ten looks one after the other. */
async function settled(ask: () => Promise<number>): Promise<number> {
  let last = -1;
  let looks = 0;
  await waitFor(
    async () => {
      const now = await ask();
      looks = now === last && now > 0 ? looks + 1 : 0;
      last = now;
      return looks >= 10;
    },
    { timeoutMs: 20_000, what: "a number to settle" },
  );
  return last;
}

interface IoSocket {
  readonly io: { readonly engine: { readonly transport: { readonly name: string } } };
  on(event: string, listener: (...args: never[]) => void): void;
  once(event: string, listener: (...args: never[]) => void): void;
  emit(event: string, ...args: unknown[]): void;
  emitWithAck(event: string, ...args: unknown[]): Promise<unknown>;
  disconnect(): void;
}

const { io } = createRequire(join(repositoryRoot, "test", "compat", "websocket", "app.js"))(
  "socket.io-client",
) as {
  io: (url: string, options: object) => IoSocket;
};

/** The next event of that name. */
function once(socket: IoSocket, event: string): Promise<unknown> {
  const heard = new Promise((resolve) => socket.once(event, ((value: unknown) => resolve(value)) as never));
  return within(heard, 20_000, event);
}

async function withIo(
  site: WebSocketSite,
  options: object,
  test: (socket: IoSocket) => Promise<void>,
): Promise<void> {
  const socket = io(site.url, { forceNew: true, reconnection: false, ...options });
  try {
    await test(socket);
  } finally {
    socket.disconnect();
  }
}

function suite(begin: () => Promise<WebSocketSite>): void {
  let site: WebSocketSite;
  beforeAll(async () => {
    site = await begin();
  });
  afterAll(() => site?.stop());

  describe("ws", () => {
    it("echoes text", async () => {
      const client = await open(`${site.url}/echo`);
      for (const text of ["hello", "", "h\u00e9llo \u20ac \ud83d\ude00", "x".repeat(70_000)]) {
        client.socket.send(text);
        expect(await client.next()).toBe(text);
      }
      client.socket.close();
      await client.closed;
    });

    it("echoes 100 KiB of bytes", async () => {
      const client = await open(`${site.url}/echo`);
      const bytes = randomBytes(102_400);
      client.socket.send(bytes);
      expect(sha((await client.next()) as Buffer)).toBe(sha(bytes));
      client.socket.close();
      await client.closed;
    });

    it("echoes a message of 5 MB", async () => {
      const client = await open(`${site.url}/echo`, { maxPayload: 8 * MB });
      const bytes = randomBytes(5 * MB);
      client.socket.send(bytes);
      expect(sha((await client.next()) as Buffer)).toBe(sha(bytes));
      client.socket.close();
      await client.closed;
    });

    it("keeps a thousand small messages in order", async () => {
      const client = await open(`${site.url}/echo`);
      for (let count = 0; count < 1000; count++) client.socket.send(String(count));
      await waitFor(() => client.messages.length === 1000, { timeoutMs: 20_000 });
      expect(client.messages).toEqual(Array.from({ length: 1000 }, (_, count) => String(count)));
      client.socket.close();
      await client.closed;
    });

    it("compresses messages when both sides want it", async () => {
      const client = await open(`${site.url}/deflate`, { perMessageDeflate: true });
      expect(client.socket.extensions).toBe("permessage-deflate");
      const text = "the same again and again ".repeat(10_000);
      client.socket.send(text);
      expect(await client.next()).toBe(text);
      client.socket.close();
      await client.closed;
    });

    it("answers a ping of the client", async () => {
      const id = newId();
      const client = await open(`${site.url}/echo?id=${id}`);
      const pong = new Promise((resolve) => client.socket.once("pong", (data) => resolve(String(data))));
      client.socket.ping("are you there");
      expect(await pong).toBe("are you there");
      expect(await observed(site, id, (all) => all.length > 0)).toEqual(["ping are you there"]);
      client.socket.close();
      await client.closed;
    });

    it("gets an answer to a ping of its own", async () => {
      const id = newId();
      const client = await open(`${site.url}/ping?id=${id}`);
      expect(await observed(site, id, (all) => all.length > 0)).toEqual(["pong are you there"]);
      client.socket.close();
      await client.closed;
    });

    it("passes the client's close code and reason on, and answers it", async () => {
      const id = newId();
      const client = await open(`${site.url}/echo?id=${id}`);
      client.socket.close(4001, "had enough");
      expect(await client.closed).toEqual({ code: 4001, reason: "had enough" });
      expect(await observed(site, id, (all) => all.length > 0)).toEqual(["close 4001 had enough"]);
    });

    it("closes with a code and reason of its own", async () => {
      const id = newId();
      const client = await open(`${site.url}/close?id=${id}&code=4003&reason=go%20away`);
      expect(await client.closed).toEqual({ code: 4003, reason: "go away" });
      expect(await observed(site, id, (all) => all.length > 0)).toEqual(["close 4003 go away"]);
    });

    it("ends a WebSocket without a close frame", async () => {
      const id = newId();
      const client = await open(`${site.url}/terminate?id=${id}`);
      expect(await client.closed).toEqual({ code: 1006, reason: "" });
      expect(await observed(site, id, (all) => all.length > 0)).toEqual(["close 1006 "]);
    });

    it("notices a client that goes without a close frame", async () => {
      const id = newId();
      const client = await open(`${site.url}/echo?id=${id}`);
      client.socket.terminate();
      expect(await observed(site, id, (all) => all.some((one) => one.startsWith("close")))).toContain(
        "close 1006 ",
      );
    });

    it("refuses a message that is too long with 1009", async () => {
      const id = newId();
      const client = await open(`${site.url}/echo?id=${id}`);
      // Only the header of a frame of 100 MB.
      const raw = (client.socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket;
      raw.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x05, 0xf5, 0xe1, 0x00, 1, 2, 3, 4]));
      expect((await client.closed).code).toBe(1009);
      const all = await observed(site, id, (seen) => seen.length > 1);
      expect(all[0]).toBe("error WS_ERR_UNSUPPORTED_MESSAGE_LENGTH");
    });

    it("agrees on a subprotocol", async () => {
      const client = await open(`${site.url}/echo`, { protocols: ["other", "chat"] });
      expect(client.socket.protocol).toBe("chat");
      client.socket.close();
      await client.closed;
    });

    it("knows the client's address and the URL", async () => {
      const client = await open(`${site.url}/hello?a=b%20c`);
      expect(await client.next()).toBe("hello from 127.0.0.1, you asked for /hello?a=b%20c");
      client.socket.close();
      await client.closed;
    });

    it("opens late, when the application has made up its mind", async () => {
      const client = await open(`${site.url}/late`);
      expect(await client.next()).toBe("at last");
      client.socket.close();
      await client.closed;
    });

    it("carries ten at once", async () => {
      const clients = await Promise.all(Array.from({ length: 10 }, () => open(`${site.url}/echo`)));
      for (let round = 0; round < 20; round++) {
        for (const [at, client] of clients.entries()) client.socket.send(`${at} ${round}`);
      }
      await Promise.all(
        clients.map(async (client, at) => {
          await waitFor(() => client.messages.length === 20, { timeoutMs: 20_000 });
          expect(client.messages).toEqual(Array.from({ length: 20 }, (_, round) => `${at} ${round}`));
          client.socket.close();
          await client.closed;
        }),
      );
    });

    it("waits for a client that does not read", async () => {
      const id = newId();
      const bytes = 32 * MB;
      const client = await open(`${site.url}/flood?id=${id}&bytes=${bytes}`);
      client.socket.pause();
      const other = await open(`${site.url}/echo`);
      other.socket.send("meanwhile");
      expect(await other.next()).toBe("meanwhile");
      other.socket.close();
      // What fits into the buffers in between is sent, and no more.
      expect(
        await settled(async () => Number((await request(`${site.url}/sent?id=${id}`)).text)),
      ).toBeLessThan(bytes);
      client.socket.resume();
      expect((await client.closed).code).toBe(1000);
      expect(client.messages.reduce((sum, message) => sum + message.length, 0)).toBeGreaterThanOrEqual(bytes);
      const all = await observed(site, id, (seen) => seen.length > 1);
      const [, most] = /most buffered (\d+)/.exec(all[0] ?? "") ?? [];
      expect(Number(most)).toBeLessThan(200_000);
    });

    it("loses nothing while the application does not read", async () => {
      const id = newId();
      const client = await open(`${site.url}/lazy?id=${id}`);
      await observed(site, id, (all) => all.includes("paused"));
      for (let count = 0; count < 20; count++) client.socket.send(Buffer.alloc(MB, count));
      client.socket.send("end");
      expect((await request(`${site.url}/resume?id=${id}`)).text).toBe("resumed");
      expect(await client.closed).toEqual({ code: 1000, reason: "all read" });
      const all = await observed(site, id, (seen) => seen.some((one) => one.startsWith("close")));
      expect(all.filter((one) => one === `message ${MB}`)).toHaveLength(20);
      expect(all.at(-2)).toBe("message 3");
    });
  });

  describe("a refusal", () => {
    it("by a written answer reaches the client whole", async () => {
      const { status, headers, body } = await refused(`${site.url}/private`);
      expect([status, headers["www-authenticate"], body]).toEqual([401, "Basic", "who? who?".slice(0, 9)]);
    });

    it("in chunks reaches the client whole", async () => {
      const { status, headers, body } = await refused(`${site.url}/chunked-refusal`);
      expect([status, headers["content-type"], body]).toEqual([403, "text/plain", "not you"]);
    });

    it("by closing without a word is no 101", async () => {
      expect([0, 400]).toContain((await refused(`${site.url}/destroyed`)).status);
    });

    it("of ws, for a handshake it does not like, is a 4xx", async () => {
      const answer = await request(`${site.url}/echo`, {
        headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" },
      });
      expect(answer.status).toBe(400);
      expect(answer.text).toMatch(/Sec-WebSocket-Key/);
    });
  });

  describe("beside tunnels", () => {
    it("ordinary requests are served", async () => {
      const client = await open(`${site.url}/echo`);
      expect((await request(`${site.url}/some/page?x=1`)).text).toBe("ordinary GET /some/page?x=1 -");
      expect((await request(`${site.url}/x`, { body: "abc" })).text).toBe("ordinary POST /x -");
      client.socket.close();
      await client.closed;
    });
  });

  describe("the socket of 'upgrade'", () => {
    it("comes with the request as node:http gives it", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      expect(raw.head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
      expect(raw.head).toMatch(/^upgrade: echo\/1\r?$/im);
      expect(raw.head).toMatch(/^x-own: yes\r?$/im);
      expect(raw.head).toMatch(/^connection: upgrade\r?$/im);
      await raw.until("welcome\n");
      raw.send("quit");
      await raw.closed;
      const all = await observed(site, id, (seen) => seen.length > 3);
      expect(all.slice(0, 4)).toEqual([
        "head 0",
        "request GET complete true upgrade true",
        "same socket true",
        "socket string open",
      ]);
    });

    it("carries bytes in both directions, and counts them", async () => {
      const raw = await openRaw(site, newId());
      await raw.until("welcome\n");
      raw.send("one\n");
      await raw.until("one\n");
      raw.send("counts");
      await waitFor(() => /read \d+ written \d+\n$/.test(raw.text()));
      const [, read = "", written = ""] = /read (\d+) written (\d+)/.exec(raw.text()) ?? [];
      expect(Number(written)).toBeGreaterThan("welcome\none\n".length);
      expect(Number(read)).toBeGreaterThanOrEqual("one\ncounts".length);
      raw.end();
      await raw.closed;
    });

    it("holds what is corked together", async () => {
      const raw = await openRaw(site, newId());
      await raw.until("welcome\n");
      raw.send("cork");
      await raw.until("one two three\n");
      raw.end();
      await raw.closed;
    });

    it("ends with end(), behind what was written", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      await raw.until("welcome\n");
      raw.send("quit");
      await raw.closed;
      expect(raw.text()).toMatch(/bye\n$/);
      raw.end();
      const all = await observed(site, id, (seen) => seen.includes("close"));
      expect(all.slice(4)).toEqual(["finish", "end", "close"]);
    });

    it("ends at once with destroy()", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      await raw.until("welcome\n");
      raw.send("destroy");
      await raw.closed;
      expect((await observed(site, id, (seen) => seen.includes("close"))).slice(4)).toEqual(["close"]);
    });

    it("emits the error of destroy(error), then 'close'", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      await raw.until("welcome\n");
      raw.send("fail");
      await raw.closed;
      expect((await observed(site, id, (seen) => seen.includes("close"))).slice(4)).toEqual([
        "error of my own",
        "close",
      ]);
    });

    it("emits 'end' when the client ends, then 'finish' and 'close'", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      await raw.until("welcome\n");
      raw.end();
      await raw.closed;
      const all = await observed(site, id, (seen) => seen.includes("close"));
      expect(all.slice(4)).toEqual(["end", "finish", "close"]);
    });

    it("ends when the client resets its connection", async () => {
      const id = newId();
      const raw = await openRaw(site, id);
      await raw.until("welcome\n");
      raw.reset();
      const all = await observed(site, id, (seen) => seen.includes("close"));
      // A web server in between may turn the reset into an orderly end.
      expect([
        ["error ECONNRESET", "close"],
        ["end", "finish", "close"],
      ]).toContainEqual(all.slice(4));
    });

    it("emits 'timeout' after setTimeout", async () => {
      const raw = await openRaw(site, newId());
      await raw.until("welcome\n");
      raw.send("idle");
      await raw.closed;
      expect(raw.text()).toMatch(/timed out\n$/);
    });
  });

  describeWithServer("chromium", "Chromium", () => {
    it("talks to the application, and closes with a code of its own", async () => {
      const id = newId();
      const home = temporaryFolder("browser");
      await using _browser = start(
        programOf("chromium"),
        [
          "--headless",
          "--no-sandbox",
          "--disable-gpu",
          "--disable-dev-shm-usage",
          `--user-data-dir=${home}`,
          "--remote-debugging-port=0", // or it would leave as soon as the page is loaded
          `${site.url}/page?id=${id}`,
        ],
        { env: { ...process.env, HOME: home } },
      );
      expect(await observed(site, id, (all) => all.length > 0)).toEqual([
        "open chat|h\u00e9llo|binary 100000 7|4002|enough|true",
      ]);
    });
  });

  describe("Socket.IO", () => {
    const data = Buffer.from([0, 1, 2, 253, 254, 255]);

    it("works with WebSocket alone", async () => {
      await withIo(site, { transports: ["websocket"] }, async (socket) => {
        expect(await once(socket, "transport")).toBe("websocket");
        expect(await socket.emitWithAck("echo", { a: [1, "\u00e9"] })).toEqual({ a: [1, "\u00e9"] });
      });
    });

    it("works with polling alone", async () => {
      await withIo(site, { transports: ["polling"] }, async (socket) => {
        expect(await once(socket, "transport")).toBe("polling");
        expect(await socket.emitWithAck("echo", "x".repeat(100_000))).toBe("x".repeat(100_000));
      });
    });

    it("goes over from polling to WebSocket", async () => {
      await withIo(site, {}, async (socket) => {
        expect(await once(socket, "transport")).toBe("polling");
        await waitFor(() => socket.io.engine.transport.name === "websocket", { timeoutMs: 20_000 });
        expect(await socket.emitWithAck("echo", "afterwards")).toBe("afterwards");
      });
    });

    for (const transport of ["websocket", "polling"]) {
      it(`carries bytes by ${transport}`, async () => {
        await withIo(site, { transports: [transport] }, async (socket) => {
          const back = (await socket.emitWithAck("echo", data)) as Buffer;
          expect(Buffer.from(back)).toEqual(data);
          const large = randomBytes(2 * MB);
          expect(sha(Buffer.from((await socket.emitWithAck("echo", large)) as Buffer))).toBe(sha(large));
        });
      });
    }

    it("tells everybody in a room, whatever their transport", async () => {
      await withIo(site, { transports: ["websocket"] }, async (one) => {
        await withIo(site, { transports: ["polling"] }, async (other) => {
          const room = newId();
          await Promise.all([one.emitWithAck("join", room), other.emitWithAck("join", room)]);
          const told = Promise.all([once(one, "told"), once(other, "told")]);
          one.emit("tell", room, "news");
          expect(await told).toEqual(["news", "news"]);
        });
      });
    });

    it("is told when the application ends it", async () => {
      await withIo(site, { transports: ["websocket"] }, async (socket) => {
        await once(socket, "transport");
        const gone = once(socket, "disconnect");
        socket.emit("leave");
        expect(await gone).toBe("io server disconnect");
      });
    });
  });
}

describe("compat | WebSocket | node:http", () => suite(startOnNode));

describeWithCurrent("lighttpd", "compat | WebSocket | lighttpd", () => suite(startBehindLighttpd));

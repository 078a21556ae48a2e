/** Bytes in motion: promptly, in one write, and never more of them in memory than the slower side can take. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Application } from "../../../src/adapters/app.ts";
import { HandleWire } from "../../../src/server/handle-wire.ts";
import { notice } from "../../support/notice.ts";
import {
  beginRecord,
  decodeRecords,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  stdinRecords,
  TYPE,
} from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer, type Wire } from "../../support/wire.ts";

const POST = { ...PLAIN_GET, REQUEST_METHOD: "POST" };
const MB = 1_000_000;

/** Waits until `count` has stopped growing, as seen in ten looks one after the other. */
async function settled(count: () => number): Promise<number> {
  let last = -1;
  let looks = 0;
  await waitFor(
    () => {
      const now = count();
      looks = now === last ? looks + 1 : 0;
      last = now;
      return looks >= 10;
    },
    { timeoutMs: 10_000, what: "a count to settle" },
  );
  return last;
}

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
/** Twice, with a turn between: what buffers point to is freed in a second step. */
async function collectGarbage(): Promise<void> {
  gc();
  await new Promise((resolve) => setImmediate(resolve));
  gc();
}

/** Bytes held outside the JavaScript heap: every buffer is among them. */
const buffers = (): number => process.memoryUsage().arrayBuffers;

describe("a response", () => {
  afterEach(() => void vi.restoreAllMocks());

  /** Counts writes to the kernel: by handles, and by sockets that are not the client's. */
  function countWrites(client: () => Socket): () => number {
    const prototype = Socket.prototype as unknown as { _writeGeneric: (...args: unknown[]) => unknown };
    const original = prototype._writeGeneric;
    let count = 0;
    for (const name of ["write", "writeOne"] as const) {
      const write = HandleWire.prototype[name] as (what: unknown) => void;
      vi.spyOn(HandleWire.prototype, name).mockImplementation(function (this: HandleWire, what: unknown) {
        count++;
        write.call(this, what);
      });
    }
    vi.spyOn(prototype, "_writeGeneric").mockImplementation(function (this: unknown, ...args: unknown[]) {
      if (this !== client()) count++;
      return original.apply(this, args);
    });
    return () => count;
  }

  const small: Readonly<Record<string, Application>> = {
    "Node listener": (_request, response) => {
      response.writeHead(200, { "Content-Type": "text/plain" });
      response.write("a");
      response.write("b");
      response.end("c");
    },
    "Node listener with 60 KB": (_request, response) => void response.end(Buffer.alloc(60_000)),
    fetch: { fetch: () => new Response("abc") },
    "async fetch": { fetch: async () => new Response("abc") },
    raw: { raw: (_request, response) => response.writeHead(200).end("abc") },
  };
  for (const [name, application] of Object.entries(small)) {
    it(`of a ${name} application that is there at once leaves in one write`, async () => {
      await using server = await startServer(application);
      const wire = await server.connect();
      const writes = countWrites(() => wire.socket);
      wire.request({ keepConn: true });
      expect((await wire.answer()).head).toMatch(/^Status: 200/);
      expect(writes()).toBe(1);
      // Several requests in one chunk: their answers too.
      wire.send(
        ...[2, 3, 4].map((id) =>
          Buffer.concat([
            beginRecord(id, { keepConn: true }),
            paramsRecords(id, PLAIN_GET),
            stdinRecords(id),
          ]),
        ),
      );
      for (const id of [2, 3, 4]) await wire.answer(id);
      if (name === "Node listener") expect(writes()).toBe(2);
    });
  }

  /** Each tells its next piece only when the test calls. */
  const inPieces: Readonly<Record<string, (next: () => Promise<string | undefined>) => Application>> = {
    "Node listener": (next) => async (_request, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
      for (let piece = await next(); piece !== undefined; piece = await next()) response.write(piece);
      response.end();
    },
    fetch: (next) => ({
      fetch: () =>
        new Response(
          new ReadableStream({
            async pull(controller) {
              const piece = await next();
              if (piece === undefined) controller.close();
              else controller.enqueue(new TextEncoder().encode(piece));
            },
          }),
          { headers: { "Content-Type": "text/event-stream" } },
        ),
    }),
    raw: (next) => ({
      async raw(_request, response) {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        for (let piece = await next(); piece !== undefined; piece = await next())
          response.stdout.write(piece);
        response.end();
      },
    }),
  };
  for (const [name, make] of Object.entries(inPieces)) {
    it(`of a ${name} application written in pieces arrives piece by piece, the head first`, async () => {
      const waiting: ((piece: string | undefined) => void)[] = [];
      const next = (): Promise<string | undefined> => new Promise((resolve) => void waiting.push(resolve));
      await using server = await startServer(make(next));
      const wire = await server.connect();
      wire.request({ keepConn: true });
      expect(await wire.head()).toMatch(/X-Accel-Buffering: no/i);
      const body = (): string =>
        Buffer.concat(wire.records.filter(({ type }) => type === TYPE.STDOUT).map(({ content }) => content))
          .toString()
          .split("\r\n\r\n")[1]!;
      let expected = "";
      for (const piece of ["one", "two", "three"]) {
        await waitFor(() => waiting.length > 0);
        waiting.shift()!(piece);
        expected += piece;
        await wire.until(() => body() === expected, `"${expected}"`);
      }
      await waitFor(() => waiting.length > 0);
      waiting.shift()!(undefined);
      expect((await wire.answer()).body.toString()).toBe("onetwothree");
    });
  }

  const endless: Readonly<Record<string, (count: (bytes: number) => void, total: number) => Application>> = {
    "Node listener": (count, total) => async (_request, response) => {
      const piece = Buffer.alloc(50_000, "n");
      for (let sent = 0; sent < total; sent += piece.length) {
        count(piece.length);
        if (!response.write(piece)) await new Promise<void>((resolve) => response.once("drain", resolve));
      }
      response.end();
    },
    "piping Node listener": (count, total) => (_request, response) => {
      const piece = Buffer.alloc(50_000, "n");
      const source = function* (): Generator<Buffer> {
        for (let sent = 0; sent < total; sent += piece.length) {
          count(piece.length);
          yield piece;
        }
      };
      Readable.from(source()).pipe(response);
    },
    fetch: (count, total) => ({
      fetch: () => {
        let sent = 0;
        return new Response(
          new ReadableStream({
            pull(controller) {
              count(50_000);
              controller.enqueue(Buffer.alloc(50_000, "n"));
              sent += 50_000;
              if (sent >= total) controller.close();
            },
          }),
        );
      },
    }),
    raw: (count, total) => ({
      async raw(_request, response) {
        response.writeHead(200);
        const piece = Buffer.alloc(50_000, "n");
        for (let sent = 0; sent < total; sent += piece.length) {
          count(piece.length);
          if (!response.stdout.write(piece))
            await new Promise<void>((resolve) => response.stdout.once("drain", resolve));
        }
        response.end();
      },
    }),
  };
  for (const [name, make] of Object.entries(endless)) {
    it(`of a ${name} application waits for a slow web server; memory stays small and nothing is lost`, async () => {
      let written = 0;
      const total = 20 * MB;
      await using server = await startServer(make((bytes) => (written += bytes), total));
      const wire = await server.connect();
      let received = 0;
      let rest: Buffer = Buffer.alloc(0);
      let isOver = false;
      wire.socket.removeAllListeners("data");
      wire.socket.pause();
      wire.request({ keepConn: true });
      const stopped = await settled(() => written);
      expect(stopped).toBeGreaterThan(50_000);
      expect(stopped).toBeLessThan(2 * MB);
      wire.socket.on("data", (chunk: Buffer) => {
        const decoded = decodeRecords(Buffer.concat([rest, chunk]));
        rest = Buffer.from(decoded.rest);
        for (const { type, content } of decoded.records) {
          if (type === TYPE.STDOUT) received += content.length;
          if (type === TYPE.END_REQUEST) isOver = true;
        }
      });
      wire.socket.resume();
      await waitFor(() => isOver, { what: "the end of the response" });
      expect(received).toBeGreaterThan(total);
      expect(received).toBeLessThan(total + 1000);
      notice(`slow reader, ${name}: stopped after ${(stopped / MB).toFixed(2)} MB of ${total / MB} MB`);
    });
  }

  it("calls back for every small write, also when the web server pauses in between", async () => {
    let called = 0;
    let written = 0;
    await using server = await startServer(async (_request, response) => {
      // Less than any high-water mark at a time: nothing but these callbacks moves it on.
      for (let n = 0; n < 2000; n++) {
        written++;
        await new Promise<void>((resolve, reject) => {
          response.write(Buffer.alloc(1000), (error) => (error ? reject(error) : resolve()));
        });
        called++;
      }
      response.end();
    });
    const wire = await server.connect();
    wire.socket.pause();
    wire.request({ keepConn: true });
    await settled(() => written);
    expect(called).toBeLessThan(2000); // it does wait for the kernel
    wire.socket.resume();
    await wire.answer();
    expect(called).toBe(2000);
  });

  it("calls back for the last write of a connection that closes", async () => {
    let result: unknown = "not called";
    await using server = await startServer((_request, response) => {
      response.end(Buffer.alloc(5 * MB), (error?: Error | null) => (result = error ?? "written"));
    });
    const wire = await server.connect();
    wire.socket.pause();
    wire.request();
    await waitFor(() => server.server.stats.acceptedRequests === 1);
    wire.socket.resume();
    expect((await wire.answer()).body.length).toBe(5 * MB);
    await waitFor(() => result !== "not called");
    expect(result).toBe("written");
  });
});

describe("a request body", () => {
  it("that nobody reads stops the web server; when it is read it comes whole", async () => {
    const requests: IncomingMessage[] = [];
    await using server = await startServer((request, response) => {
      requests.push(request);
      request.on("end", () => response.end("read"));
    });
    const wire = await server.connect();
    wire.send(beginRecord(1, { keepConn: true }), paramsRecords(1, POST));
    const before = buffers();
    const records = stdinRecords(1, Buffer.alloc(20 * MB));
    let sent = 0;
    const pump = async (): Promise<void> => {
      for (let at = 0; at < records.length; at += 65536) {
        const piece = records.subarray(at, at + 65536);
        if (!wire.socket.write(piece))
          await new Promise<void>((resolve) => wire.socket.once("drain", resolve));
        sent += piece.length;
      }
    };
    const pumped = pump();
    const stopped = await settled(() => sent);
    const held = buffers() - before - records.length;
    expect(stopped).toBeLessThan(2 * MB);
    let bytes = 0;
    requests[0]!.on("data", (piece: Buffer) => (bytes += piece.length));
    await pumped;
    expect((await wire.answer()).body.toString()).toBe("read");
    expect(bytes).toBe(20 * MB);
    notice(
      `unread body: the web server was stopped after ${(stopped / MB).toFixed(2)} MB; ${(Math.max(0, held) / MB).toFixed(2)} MB held`,
    );
  });

  it("in thousands of tiny records takes memory for its bytes, not for its records", async () => {
    await using server = await startServer(() => {}, { maxUnreadBytes: 200_000 });
    const wire = await server.connect();
    // A second request makes it a multiplexing connection, which is read on.
    wire.send(
      beginRecord(1, { keepConn: true }),
      paramsRecords(1, POST),
      beginRecord(3, { keepConn: true }),
      paramsRecords(3, POST),
    );
    await waitFor(() => server.server.stats.openRequests === 2);
    const tiny = Buffer.concat(Array.from({ length: 5000 }, () => rawRecord(TYPE.STDIN, 1, "x", 255)));
    await collectGarbage();
    const before = buffers();
    for (let n = 0; n < 4; n++) await new Promise((resolve) => wire.socket.write(tiny, resolve));
    await waitFor(() => wire.socket.writableLength === 0);
    await collectGarbage();
    const held = buffers() - before;
    notice(
      `20000 one-byte records unread: ${(held / 1000).toFixed(0)} kB held of ${((4 * tiny.length) / 1000).toFixed(0)} kB sent`,
    );
    expect(held).toBeLessThan(MB);
    wire.request({ id: 5, keepConn: true });
    await waitFor(() => server.server.stats.openRequests === 3);
  });

  /** Requests to /slow are never read; the others are answered with the length of their body. */
  const oneSlow = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url === "/slow") return;
    let bytes = 0;
    request.on("data", (piece: Buffer) => (bytes += piece.length));
    request.on("end", () => response.end(`${bytes}`));
  };
  const begin = (id: number, path: string): Buffer =>
    Buffer.concat([
      beginRecord(id, { keepConn: true }),
      paramsRecords(id, { ...POST, REQUEST_URI: path, PATH_INFO: path }),
    ]);

  it("that nobody reads does not stop its siblings on a multiplexed connection", async () => {
    await using server = await startServer(oneSlow);
    const wire = await server.connect();
    wire.send(begin(1, "/slow"), begin(3, "/fast"));
    for (let n = 0; n < 10; n++)
      wire.send(
        rawRecord(TYPE.STDIN, 1, Buffer.alloc(50_000)),
        rawRecord(TYPE.STDIN, 3, Buffer.alloc(50_000)),
      );
    wire.send(rawRecord(TYPE.STDIN, 3));
    expect((await wire.answer(3)).body.toString()).toBe("500000");
    expect(server.server.stats.openRequests).toBe(1);
    expect(server.log.lines).toEqual([]);
  });

  it("that stalls its siblings is ended with 503 after stallTimeoutMs, and they go on", async () => {
    await using server = await startServer(oneSlow, { maxUnreadBytes: 100_000, stallTimeoutMs: 40 });
    const wire = await server.connect();
    wire.send(begin(1, "/slow"), begin(3, "/fast"));
    const write = (bytes: Buffer): void => void wire.socket.write(bytes);
    for (let n = 0; n < 40; n++) write(rawRecord(TYPE.STDIN, 1, Buffer.alloc(50_000)));
    write(rawRecord(TYPE.STDIN, 3, Buffer.alloc(1000)));
    write(rawRecord(TYPE.STDIN, 3));
    const stalled = await wire.answer(1);
    expect(stalled.head).toMatch(/^Status: 503 /);
    expect(stalled.end?.protocolStatus).toBe(2);
    expect((await wire.answer(3)).body.toString()).toBe("1000");
    expect(server.log.lines.map((line) => line.fields["code"] ?? line.message)).toEqual([
      "the body is not read and its siblings on the connection wait",
      "ERR_POSTERN_BODY_UNREAD",
    ]);
    wire.send(begin(5, "/fast"), stdinRecords(5, "12345"));
    expect((await wire.answer(5)).body.toString()).toBe("5");
  });

  it("streams both ways at once: an echo of 10 MB", async () => {
    const echoes: Readonly<Record<string, Application>> = {
      node: (request, response) => void request.pipe(response),
      fetch: { fetch: (request) => new Response(request.body) },
      raw: {
        raw(request, response) {
          response.writeHead(200);
          request.stdin.pipe(response.stdout);
        },
      },
    };
    for (const [name, application] of Object.entries(echoes)) {
      await using server = await startServer(application);
      const wire: Wire = await server.connect();
      wire.send(beginRecord(1), paramsRecords(1, POST));
      const body = Buffer.alloc(10 * MB, "0123456789abcdef");
      wire.send(stdinRecords(1, body));
      const answer = await wire.answer();
      expect(answer.body.equals(body), name).toBe(true);
      await server.gone();
    }
  });
});

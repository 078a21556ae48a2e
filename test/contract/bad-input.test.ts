/**
 * Whatever arrives on the port: one log line that names it, that connection alone ends, the server still answers,
 * and nothing is left behind.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshSeed, seededRandom } from "../support/feed.ts";
import {
  abortRecord,
  beginRecord,
  decodeRecords,
  encodePairs,
  getValuesRecord,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  requestRecords,
  stdinRecords,
  TYPE,
} from "../support/records.ts";
import { patience, waitFor } from "../support/wait.ts";
import { connectWire, startServer, type TestServer, type Wire } from "../support/wire.ts";

let server: TestServer;
/** A kept connection that must not notice anything of what happens on the others. */
let bystander: Wire;
let asked = 0;
const uncaught: unknown[] = [];
const note = (reason: unknown): void => void uncaught.push(reason);

beforeAll(async () => {
  process.on("uncaughtException", note).on("unhandledRejection", note);
  server = await startServer(
    (request, response) => {
      let bytes = 0;
      request.on("error", () => {});
      request.on("data", (piece: Buffer) => (bytes += piece.length));
      request.on("end", () => response.end(`ok ${bytes}`));
    },
    { bind: [`127.0.0.1:0`], recordTimeoutMs: 60 },
  );
  bystander = await connect();
  await stillAnswers();
});
afterAll(async () => {
  process.off("uncaughtException", note).off("unhandledRejection", note);
  bystander.destroy();
  await server[Symbol.asyncDispose]();
});

function connect(): Promise<Wire> {
  const port = Number(/\d+$/.exec(server.server.addresses[0]!)![0]);
  return connectWire({ host: "127.0.0.1", port });
}

async function stillAnswers(): Promise<void> {
  const id = ++asked;
  bystander.request({ id, keepConn: true });
  expect((await bystander.answer(id)).body.toString()).toBe("ok 0");
  const fresh = await connect();
  fresh.request();
  expect((await fresh.answer()).body.toString()).toBe("ok 0");
  fresh.destroy();
}

/** Afterwards: one line, which matches; only the bystander is left; everything still works. */
async function expectOneLine(pattern: RegExp, code?: string): Promise<void> {
  await server.gone(1);
  expect(server.log.text).toHaveLength(1);
  expect(server.log.text[0]).toMatch(pattern);
  if (code !== undefined) expect(server.log.lines[0]!.fields["code"]).toBe(code);
  expect(server.log.lines[0]!.fields["peer"]).toMatch(/^127\.0\.0\.1:\d+$/);
  await expectHealth();
}

async function expectHealth(): Promise<void> {
  server.log.clear();
  await stillAnswers();
  await server.gone(1);
  expect(bystander.ended).toBe(false);
  expect(server.server.stats).toMatchObject({ connections: 1, openRequests: 0 });
  expect(server.log.lines).toEqual([]);
  expect(uncaught).toEqual([]);
}

/** Sends, and waits until the server is done with it. */
async function throwAt(bytes: Uint8Array | readonly Uint8Array[]): Promise<Wire> {
  server.log.clear();
  const wire = await connect();
  wire.socket.on("error", () => {});
  for (const piece of Array.isArray(bytes) ? (bytes as readonly Uint8Array[]) : [bytes as Uint8Array]) {
    await new Promise<void>((resolve) => wire.socket.write(piece, () => resolve()));
  }
  await wire.end();
  wire.destroy();
  return wire;
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

describe("another protocol on the port", () => {
  it("HTTP: answered in HTTP, for the person who tries it in a browser", async () => {
    const wire = await throwAt(latin1("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    expect(wire.received.toString()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*speaks FastCGI, not HTTP/s);
    await expectOneLine(/the peer speaks HTTP, not FastCGI: connection closed/, "ERR_POSTERN_NOT_FASTCGI");
  });
  it("HTTP that goes on sending still gets that answer, and one line", async () => {
    const wire = await throwAt([
      latin1("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"),
      Buffer.alloc(300_000, "x"),
    ]);
    expect(wire.received.toString()).toContain("not HTTP");
    await expectOneLine(/HTTP/);
  });

  const others: Readonly<Record<string, readonly [Uint8Array, RegExp]>> = {
    "HTTP/2": [latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /HTTP\/2/],
    "an HTTP server": [latin1("HTTP/1.1 200 OK\r\n\r\n"), /an HTTP server's answer/],
    TLS: [Buffer.from("160301020001000001fc0303", "hex"), /TLS/],
    SCGI: [latin1("70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0,body"), /SCGI/],
    "the PROXY protocol": [latin1("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), /the PROXY protocol,/],
    "the PROXY protocol, version 2": [
      Buffer.from("0d0a0d0a000d0a515549540a2111000c", "hex"),
      /the PROXY protocol, version 2/,
    ],
    SSH: [latin1("SSH-2.0-OpenSSH_9.2\r\n"), /SSH/],
    "nothing known": [Buffer.from([0xff, 0, 0xff]), /something that starts with byte 255/],
    "FastCGI version 2": [rawRecord(TYPE.BEGIN_REQUEST, 1, "\0\x01\0\0\0\0\0\0", 0, 2), /starts with byte 2/],
  };
  for (const [name, [bytes, pattern]] of Object.entries(others)) {
    it(`${name}: named, and the connection is closed`, async () => {
      const wire = await throwAt(bytes);
      expect(wire.received.length).toBe(0);
      await expectOneLine(pattern, "ERR_POSTERN_NOT_FASTCGI");
      await throwAt([bytes, Buffer.alloc(100_000)]);
      await expectOneLine(pattern);
    });
  }

  it("nothing at all: closed after recordTimeoutMs, without a word", async () => {
    const wire = await throwAt([]);
    expect(wire.received.length).toBe(0);
    await server.gone(1);
    expect(server.log.lines).toEqual([]);
    await expectHealth();
  });
});

describe("records that break the protocol", () => {
  const fatal: Readonly<Record<string, readonly [Uint8Array, string]>> = {
    "a wrong version after a good request": [
      Buffer.concat([requestRecords({ keepConn: true }), rawRecord(TYPE.STDIN, 1, "x", 0, 3)]),
      "ERR_POSTERN_RECORD_VERSION",
    ],
    "BEGIN_REQUEST of a wrong length": [
      rawRecord(TYPE.BEGIN_REQUEST, 1, "\0\x01\0"),
      "ERR_POSTERN_RECORD_BODY",
    ],
    "BEGIN_REQUEST with id 0": [beginRecord(0), "ERR_POSTERN_REQUEST_ID"],
    "an id that is begun twice": [
      Buffer.concat([beginRecord(1), beginRecord(1)]),
      "ERR_POSTERN_REQUEST_ID_REUSED",
    ],
    "an id that is begun again while it runs": [
      Buffer.concat([
        beginRecord(1),
        paramsRecords(1, { ...PLAIN_GET, REQUEST_METHOD: "POST" }),
        beginRecord(1),
      ]),
      "ERR_POSTERN_REQUEST_ID_REUSED",
    ],
    "malformed GET_VALUES": [rawRecord(TYPE.GET_VALUES, 0, "\x05\x05ab"), "ERR_POSTERN_PARAMS_MALFORMED"],
    "hundreds of requests that are only begun": [
      Buffer.concat(Array.from({ length: 300 }, (_, n) => beginRecord(n + 1, { keepConn: true }))),
      "ERR_POSTERN_TOO_MANY_REQUESTS",
    ],
    "megabytes of parameters": [
      Buffer.concat([
        beginRecord(1),
        ...Array.from({ length: 40 }, () => rawRecord(TYPE.PARAMS, 1, Buffer.alloc(65535))),
      ]),
      "ERR_POSTERN_PARAMS_TOO_LARGE",
    ],
  };
  for (const [name, [bytes, code]] of Object.entries(fatal)) {
    it(`${name}: the connection ends`, async () => {
      await throwAt(bytes);
      await expectOneLine(/: connection closed$/, code);
    });
  }

  it("parameters beyond the limit, malformed ones, ones overtaken by STDIN: a page, and the connection goes on", async () => {
    const cases: readonly (readonly [Uint8Array, RegExp])[] = [
      [encodePairs({ HTTP_X: "v".repeat(300_000) }), /^Status: 431/],
      [
        encodePairs(Object.fromEntries(Array.from({ length: 1100 }, (_, n) => [`HTTP_${n}`, ""]))),
        /^Status: 431/,
      ],
      [latin1("\x09\x05abc"), /^Status: 400/],
      [latin1("\xff\xff\xff\xff\xff\xff\xff\xff"), /^Status: 400/],
    ];
    const wire = await connect();
    for (const [index, [pairs, status]] of cases.entries()) {
      server.log.clear();
      const id = index + 1;
      wire.send(beginRecord(id, { keepConn: true }));
      for (let at = 0; at < pairs.length; at += 60_000)
        wire.send(rawRecord(TYPE.PARAMS, id, pairs.subarray(at, at + 60_000)));
      wire.send(rawRecord(TYPE.PARAMS, id), stdinRecords(id));
      expect((await wire.answer(id)).head).toMatch(status);
      expect(server.log.text).toHaveLength(1);
    }
    wire.send(
      beginRecord(9, { keepConn: true }),
      stdinRecords(9, "early"),
      paramsRecords(9, PLAIN_GET),
      stdinRecords(9),
    );
    expect((await wire.answer(9)).head).toMatch(/^Status: 400/);
    wire.destroy();
    await server.gone(1);
    await expectHealth();
  });

  it("unknown types, dead ids, stray ends and aborts, any padding: answered or ignored, nothing is logged", async () => {
    server.log.clear();
    const wire = await connect();
    wire.send(
      rawRecord(99, 0, "what"),
      rawRecord(99, 1, "is this"),
      rawRecord(TYPE.STDOUT, 1, "not yours to send"),
      rawRecord(TYPE.END_REQUEST, 7, "\0\0\0\0\0\0\0\0"),
      abortRecord(9),
      stdinRecords(12, "of nobody"),
      rawRecord(TYPE.PARAMS, 13, encodePairs(PLAIN_GET), 255),
      getValuesRecord(["FCGI_MPXS_CONNS", "NO_SUCH_VALUE"]),
      beginRecord(1, { keepConn: true, padding: 255, flags: 0xff }),
      paramsRecords(1, PLAIN_GET, { cuts: [1, 2, 3, 4], padding: [1, 255, 0, 7] }),
      stdinRecords(1, "abc", { padding: 255 }),
    );
    expect((await wire.answer()).body.toString()).toBe("ok 3");
    expect(wire.records.filter(({ id }) => id === 0).map(({ name }) => name)).toEqual([
      "UNKNOWN_TYPE",
      "GET_VALUES_RESULT",
    ]);
    wire.destroy();
    await server.gone(1);
    expect(server.log.text).toEqual([]);
    await expectHealth();
  });
});

describe("records that are never finished", () => {
  const whole = requestRecords({
    params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" },
    stdin: "hello",
    keepConn: true,
  });
  it("a header, a BEGIN_REQUEST, parameters: closed after recordTimeoutMs with one line", async () => {
    for (const length of [1, 7, 8, 15, 16, 20, 24, 100]) {
      await throwAt(whole.subarray(0, length));
      await expectOneLine(
        /begun and not completed within 60 ms: connection closed$/,
        "ERR_POSTERN_RECORD_TIMEOUT",
      );
    }
  });
});

describe("parameters that take for ever", () => {
  it("drop by drop, or beside a busy sibling: that request is answered 408 after recordTimeoutMs, the others go on", async () => {
    server.log.clear();
    const wire = await connect();
    wire.send(beginRecord(1, { keepConn: true }), rawRecord(TYPE.PARAMS, 1, "\x05"));
    let id = 1;
    const drip = setInterval(() => wire.send(rawRecord(TYPE.PARAMS, 1, "x"), getValuesRecord([])), 10);
    while (!wire.records.some((record) => record.id === 1 && record.type === TYPE.END_REQUEST)) {
      wire.request({ id: ++id, keepConn: true });
      expect((await wire.answer(id)).body.toString()).toBe("ok 0");
      expect(id, "requests answered before the late one").toBeLessThan(20_000);
    }
    expect((await wire.answer(1)).head).toMatch(/^Status: 408/);
    clearInterval(drip);
    expect(server.log.text).toEqual([
      "warn request refused with 408: its parameters were not complete within 60 ms",
    ]);
    // What is left of it belongs to nobody, and its id can be begun again.
    wire.send(rawRecord(TYPE.PARAMS, 1, "rest"), rawRecord(TYPE.PARAMS, 1), stdinRecords(1, "late"));
    wire.request({ id: ++id, keepConn: true });
    expect((await wire.answer(id)).body.toString()).toBe("ok 0");
    wire.destroy();
    await server.gone(1);
    await expectHealth();
  });
});

describe("a peer that asks and does not listen", () => {
  const floods: Readonly<Record<string, Uint8Array>> = {
    "unknown management records": Buffer.concat(Array.from({ length: 4000 }, () => rawRecord(99, 0))),
    GET_VALUES: Buffer.concat(Array.from({ length: 1000 }, () => getValuesRecord(["FCGI_MAX_CONNS"]))),
    "requests of an unknown role": Buffer.concat(
      Array.from({ length: 2000 }, () => beginRecord(1, { role: 9, keepConn: true })),
    ),
    "aborted requests": Buffer.concat(
      Array.from({ length: 2000 }, () => Buffer.concat([beginRecord(1, { keepConn: true }), abortRecord(1)])),
    ),
    "whole requests": Buffer.concat(
      Array.from({ length: 100 }, () => requestRecords({ id: 1, keepConn: true })),
    ),
  };
  for (const [name, bytes] of Object.entries(floods)) {
    it(
      `${name}: it is not read any more until it takes the answers`,
      async () => {
        await using other = await startServer((_request, response) => void response.end("x".repeat(1000)));
        const wire = await other.connect();
        wire.socket.pause();
        let sent = 0;
        let lastSent = Date.now();
        const go = (): void => {
          sent += bytes.length;
          lastSent = Date.now();
          wire.socket.write(bytes, (error) => error ?? go());
        };
        go();
        // What is not held back goes on until the memory is gone: hundreds of megabytes in a few seconds.
        await waitFor(() => Date.now() - lastSent > 500, {
          timeoutMs: 20_000,
          what: "the flood to be held back",
        });
        const held = sent;
        wire.socket.resume();
        await waitFor(() => sent > held, { what: "the flood to go on" });
        wire.destroy();
        await other.gone();
        expect((await other.ask()).body.length).toBe(1000);
      },
      patience(30_000),
    );
  }
});

describe("a peer that vanishes", () => {
  const whole = requestRecords({ params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" }, stdin: "hello" });
  const firstByte = 1;

  async function vanishAt(offset: number, leave: (wire: Wire) => void): Promise<void> {
    server.log.clear();
    const { acceptedConnections } = server.server.stats;
    const wire = await connect();
    if (offset > 0)
      await new Promise<void>((resolve) => wire.socket.write(whole.subarray(0, offset), () => resolve()));
    await waitFor(() => server.server.stats.acceptedConnections > acceptedConnections);
    leave(wire);
    await server.gone(1);
    if (!wire.closed) wire.destroy();
  }

  it("with FIN at every byte of a request: that connection alone ends, with at most one line that names it", {
    timeout: 30_000,
  }, async () => {
    // The request runs from the end of PARAMS on: leaving then is a visitor's right, and only told at debug level.
    const running = whole.length - stdinRecords(1, "hello").length;
    for (let offset = 0; offset <= whole.length; offset++) {
      await vanishAt(offset, (wire) => wire.socket.end());
      const lines = server.log.lines.map((line) => `${line.level} ${line.message}`);
      const at = `after ${offset} of ${whole.length} bytes: ${lines.join("; ")}`;
      if (offset < firstByte) expect(lines, at).toEqual([]);
      else if (offset < running)
        expect(lines, at).toEqual([expect.stringMatching(/^warn connection lost in the middle of/)]);
      else if (offset < whole.length)
        expect(lines, at).toEqual([expect.stringMatching(/^(debug|warn) connection lost/)]);
      else expect(lines.length, at).toBeLessThanOrEqual(1);
      for (const line of server.log.lines) expect(line.fields).toMatchObject({ code: "ERR_POSTERN_ABORTED" });
    }
    await expectHealth();
  });

  it("with a reset: the same", async () => {
    for (let offset = 0; offset <= whole.length; offset += 7) {
      await vanishAt(offset, (wire) => wire.socket.resetAndDestroy());
      expect(server.log.lines.length).toBeLessThanOrEqual(1);
    }
    await expectHealth();
  });

  it("while it is being answered: the same", async () => {
    await using other = await startServer(async (_request, response) => {
      response.on("error", () => {});
      for (let n = 0; n < 100 && !response.destroyed; n++) {
        response.write(Buffer.alloc(100_000));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    for (let n = 0; n < 3; n++) {
      other.log.clear();
      const wire = await other.connect();
      wire.request();
      await wire.head();
      wire.destroy(); // with bytes unread: a reset
      await other.gone();
      expect(other.log.lines.length).toBeLessThanOrEqual(1);
      expect(other.server.stats.openRequests).toBe(0);
    }
  });
});

describe("random bytes", () => {
  it("of any kind end that connection at most, whatever they are", {
    timeout: patience(30_000),
  }, async () => {
    const seed = freshSeed();
    const random = seededRandom(seed);
    const valid = requestRecords({ stdin: "hello", keepConn: true, params: { CONTENT_LENGTH: "5" } });
    for (let round = 0; round < 150; round++) {
      server.log.clear();
      let bytes: Buffer;
      if (round % 3 === 0) {
        bytes = Buffer.from(
          Array.from({ length: 1 + Math.floor(random() * 400) }, () => Math.floor(random() * 256)),
        );
        if (round % 2 === 0) bytes[0] = 1;
      } else {
        // A good request with some bytes changed, or records with a good header and random type, id and content.
        bytes = Buffer.from(valid);
        for (let n = 0; n < 3; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        if (round % 3 === 2) {
          const records = Array.from({ length: 10 }, () =>
            rawRecord(
              Math.floor(random() * 13),
              Math.floor(random() * 4),
              Buffer.from(
                Array.from({ length: Math.floor(random() * 20) }, () => Math.floor(random() * 256)),
              ),
              Math.floor(random() * 9),
            ),
          );
          bytes = Buffer.concat([beginRecord(1), paramsRecords(1, PLAIN_GET), ...records]);
        }
      }
      const wire = await connect();
      wire.socket.on("error", () => {});
      wire.socket.end(bytes);
      await server.gone(1);
      // A role that there is no handler for is the operator's to hear of.
      const errors = server.log.lines.filter(
        ({ level, message }) =>
          level === "error" && !/^the application has no (?:authorizer|filter) handler/.test(message),
      );
      const shown = `POSTERN_SEED=${seed}, round ${round}: ${bytes.toString("hex")}\n${server.log.text.join("\n")}`;
      expect(errors, shown).toEqual([]);
      for (const record of decodeRecords(wire.received).records) expect(record.version, shown).toBe(1);
      wire.destroy();
    }
    await expectHealth();
  });
});

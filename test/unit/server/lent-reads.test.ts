/** One buffer for all reads: nobody sees in it what was meant for somebody else. */
import { createHash } from "node:crypto";
import { createServer, Socket } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { readLent } from "../../../src/server/lent-reads.ts";
import { beginRecord, PLAIN_GET, paramsRecords, stdinRecords } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { connectWire, startServer, type Wire } from "../../support/wire.ts";

const POST = { ...PLAIN_GET, REQUEST_METHOD: "POST" };

/** An accepted socket and the client at its other end. */
async function accepted(use: (socket: Socket, wire: Wire) => Promise<void>): Promise<void> {
  const path = join(temporaryFolder("lent"), "s.sock");
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const socket = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const wire = await connectWire({ path });
  try {
    await use(await socket, wire);
  } finally {
    wire.destroy();
    (await socket).destroy();
    server.close();
  }
}

describe("an accepted socket", () => {
  it("is read into the same buffer every time, on every version of Node that we support", async () => {
    await accepted(async (socket, wire) => {
      const reads: [text: string, memory: ArrayBufferLike][] = [];
      const hasRead = new Promise<void>((resolve) => {
        const isLent = readLent(socket, (buffer, length) => {
          reads.push([buffer.toString("latin1", 0, length), buffer.buffer]);
          if (reads.length === 1) wire.send(Buffer.from("again"));
          else resolve();
        });
        expect(isLent).toBe(true);
      });
      wire.send(Buffer.from("once"));
      await hasRead;
      expect(reads.map(([text]) => text)).toEqual(["once", "again"]);
      expect(reads[0]?.[1]).toBe(reads[1]?.[1]);
    });
  });

  it("tells of its end, and is not read while it is paused", async () => {
    await accepted(async (socket, wire) => {
      let got = "";
      readLent(socket, (buffer, length) => {
        got += buffer.toString("latin1", 0, length);
      });
      const ended = new Promise((resolve) => socket.once("end", resolve));
      socket.pause();
      wire.send(Buffer.from("late"));
      wire.socket.end();
      // Another pair of sockets goes through the same event loop meanwhile: what is there to be read has been offered.
      await accepted(async (other, otherWire) => {
        const read = new Promise<void>((resolve) => other.once("data", () => resolve()));
        otherWire.send(Buffer.from("x"));
        await read;
      });
      expect(got).toBe("");
      socket.resume();
      await ended;
      expect(got).toBe("late");
    });
  });

  it("of another make is left alone", () => {
    const stream = new PassThrough();
    expect(readLent(stream, () => {})).toBe(false);
    class Wrapped extends Socket {}
    const wrapped = new Wrapped();
    expect(readLent(wrapped, () => {})).toBe(false);
    expect(readLent(new Socket(), () => {})).toBe(false); // nothing to read from
  });
});

describe("a body", () => {
  it("that an application keeps is not changed by what others send", async () => {
    const bodies: Buffer[][] = [];
    await using server = await startServer((request, response) => {
      const pieces: Buffer[] = [];
      bodies.push(pieces);
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => response.end(createHash("sha256").update(Buffer.concat(pieces)).digest("hex")));
    });
    const wires = await Promise.all(Array.from({ length: 4 }, () => server.connect()));
    const sent = wires.map((_, at) => Buffer.alloc(300_000, `body ${at} `));
    for (const [at, wire] of wires.entries()) {
      wire.send(beginRecord(1), paramsRecords(1, { ...POST, CONTENT_LENGTH: String(sent[at]?.length) }));
    }
    // In turns, so that each read of one comes between two of another.
    const records = sent.map((body) =>
      stdinRecords(1, body, { cuts: Array.from({ length: 30 }, () => 10_000) }),
    );
    for (let at = 0; at < (records[0]?.length ?? 0); at += 7000) {
      for (const [which, wire] of wires.entries()) {
        const piece = records[which]?.subarray(at, at + 7000) ?? Buffer.alloc(0);
        await new Promise((resolve) => wire.socket.write(piece, resolve));
      }
    }
    for (const [at, wire] of wires.entries()) {
      const { stdout } = await wire.answer();
      const hash = createHash("sha256")
        .update(sent[at] ?? "")
        .digest("hex");
      expect(stdout.toString().endsWith(hash)).toBe(true);
    }
    expect(bodies.flat().length).toBeGreaterThan(8);
  });

  it("that is read on after the answer fails when the connection is lost", async () => {
    let tell: (reason: unknown) => void = () => {};
    const told = new Promise((resolve) => {
      tell = resolve;
    });
    await using server = await startServer({
      fetch(request) {
        request.text().catch(tell);
        return new Response("early");
      },
    });
    const wire = await server.connect();
    wire.send(
      beginRecord(1),
      paramsRecords(1, { ...POST, CONTENT_LENGTH: "1000" }),
      stdinRecords(1, "the beginning", { open: true }),
    );
    await wire.answer();
    wire.destroy();
    expect(String(await told)).toMatch(/connection was lost/);
    expect((await server.ask()).stdout.toString()).toContain("early");
  });
});

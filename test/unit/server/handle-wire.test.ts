/** Connections over libuv's own handles: every byte in its order, every end told once, and one buffer for all reads. */
import { createHash, randomBytes } from "node:crypto";
import diagnostics from "node:diagnostics_channel";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { acceptHandles } from "../../../src/server/accept-handles.ts";
import { HandleWire, peerOf } from "../../../src/server/handle-wire.ts";
import { type StreamHandle, streamInternals } from "../../../src/server/stream-internals.ts";
import { StreamWire } from "../../../src/server/stream-wire.ts";
import type { Wire as OurWire, WireSink } from "../../../src/server/wire.ts";
import { beginRecord, PLAIN_GET, paramsRecords, stdinRecords } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { connectWire, startServer, type Wire } from "../../support/wire.ts";

const POST = { ...PLAIN_GET, REQUEST_METHOD: "POST" };

/** Keeps what a wire tells. */
class Witness implements WireSink {
  readonly memory: ArrayBufferLike[] = [];
  text = "";
  readonly events: string[] = [];
  onRead(buffer: Buffer, length: number): void {
    this.memory.push(buffer.buffer);
    this.text += buffer.toString("latin1", 0, length);
  }
  onEnd(): void {
    this.events.push("end");
  }
  onError(error: Error): void {
    this.events.push(error.message);
  }
  onClose(): void {
    this.events.push("close");
  }
  onDrain(): void {
    this.events.push("drain");
  }
}

interface Pair {
  readonly ours: OurWire;
  readonly told: Witness;
  readonly peer: Wire;
}

const KINDS = {
  handle: (server: Server, take: (wire: OurWire) => void): void => {
    expect(acceptHandles(server, (handle) => take(new HandleWire(handle)))).toBe(true);
  },
  stream: (server: Server, take: (wire: OurWire) => void): void => {
    server.on("connection", (socket: Socket) => take(new StreamWire(socket)));
  },
} as const;

/** A wire of a kind, and the client at its other end. */
async function connected(kind: keyof typeof KINDS, use: (pair: Pair) => Promise<void>): Promise<void> {
  const path = join(temporaryFolder("wire"), "s.sock");
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const accepted = new Promise<OurWire>((resolve) => KINDS[kind](server, resolve));
  const peer = await connectWire({ path });
  const ours = await accepted;
  const told = new Witness();
  ours.open(told);
  try {
    await use({ ours, told, peer });
  } finally {
    peer.destroy();
    ours.destroy();
    server.close();
  }
}

/** More than the kernel takes at once. */
const MUCH = 4_000_000;

it("Node's handles are known on every version that we support", () => {
  expect(streamInternals).toBeDefined();
});

describe.each(["handle", "stream"] as const)("a wire over a %s", (kind) => {
  it("hands on what comes, and says whether the buffer is lent", async () => {
    await connected(kind, async ({ ours, told, peer }) => {
      peer.send(Buffer.from("once "));
      await waitFor(() => told.text === "once ");
      peer.send(Buffer.from("again"));
      await waitFor(() => told.text === "once again");
      expect(told.memory[0] === told.memory[1]).toBe(ours.isLent);
      expect(ours.isLent).toBe(kind === "handle");
    });
  });

  it("is not read while it is paused, and tells of its end afterwards, once", async () => {
    await connected(kind, async ({ ours, told, peer }) => {
      ours.pause();
      peer.send(Buffer.from("late"));
      peer.socket.end();
      // Another pair goes through the same event loop meanwhile: what is there to be read has been offered.
      await connected(kind, async (other) => {
        other.peer.send(Buffer.from("x"));
        await waitFor(() => other.told.text === "x");
      });
      expect(told.text).toBe("");
      ours.resume();
      await waitFor(() => told.events.includes("end"));
      expect(told.text).toBe("late");
      expect(told.events).toEqual(["end"]);
    });
  });

  it("writes everything in order, whatever the kernel takes at once, and tells of the last byte", async () => {
    await connected(kind, async ({ ours, told, peer }) => {
      const pieces = Array.from({ length: 40 }, () => randomBytes(MUCH / 40));
      peer.socket.pause();
      ours.writeOne(pieces[0]!);
      ours.write(pieces.slice(1, 30));
      ours.write(pieces.slice(30));
      expect(ours.unsentBytes).toBeGreaterThan(0);
      ours.awaitDrain();
      expect(told.events).toEqual([]);
      peer.socket.resume();
      await waitFor(() => peer.received.length === MUCH);
      await waitFor(() => told.events.includes("drain"));
      expect(ours.unsentBytes).toBe(0);
      expect(peer.received.equals(Buffer.concat(pieces))).toBe(true);
    });
  });

  it("closes its side behind what was written, and is read on", async () => {
    await connected(kind, async ({ ours, told, peer }) => {
      peer.socket.pause();
      ours.writeOne(Buffer.alloc(MUCH, "z"));
      const ended = [0, 1].map(() => new Promise((resolve) => ours.end(resolve)));
      let isEarly = true;
      void ended[1]!.then(() =>
        expect(isEarly, "the second call back, before everything is written").toBe(false),
      );
      expect(ours.isEnded).toBe(true);
      await new Promise((resolve) => setImmediate(resolve));
      isEarly = false;
      peer.socket.resume();
      expect(await Promise.all(ended)).toEqual([undefined, undefined]);
      expect(await new Promise((resolve) => ours.end(resolve))).toBeUndefined();
      await peer.until(() => peer.ended, "the end");
      expect(peer.received.length).toBe(MUCH);
      peer.send(Buffer.from("still here"));
      await waitFor(() => told.text === "still here");
      expect(ours.isDestroyed).toBe(false);
    });
  });
});

describe("a wire over a handle", () => {
  it("that is destroyed tells so once, later, and nothing else", async () => {
    await connected("handle", async ({ ours, told, peer }) => {
      peer.socket.pause();
      ours.write([Buffer.alloc(MUCH)]); // is not finished
      peer.send(Buffer.from("unheard"));
      ours.destroy();
      ours.destroy();
      expect(told.events).toEqual([]);
      expect(ours.isDestroyed).toBe(true);
      ours.write([Buffer.from("nowhere"), Buffer.from("at all")]);
      ours.pause();
      ours.resume();
      await waitFor(() => told.events.includes("close"));
      peer.socket.resume();
      await peer.until(() => peer.closed || peer.ended, "the peer's end");
      expect(told.events).toEqual(["close"]);
      expect(told.text).toBe("");
      const error = await new Promise<Error | undefined>((resolve) => ours.end(resolve));
      expect(error).toBeInstanceOf(Error);
    });
  });

  it("whose peer is gone breaks when it is written to: the error, then the close, and what was written stays unsent", async () => {
    await connected("handle", async ({ ours, told, peer }) => {
      ours.pause(); // or the reading would notice first
      peer.socket.destroy();
      await peer.until(() => peer.closed, "the peer's close");
      ours.writeOne(Buffer.from("to nobody"));
      expect(ours.unsentBytes).toBeGreaterThan(0);
      await waitFor(() => told.events.includes("close"));
      expect(told.events).toEqual(["write EPIPE", "close"]);
      expect(ours.isDestroyed).toBe(true);
    });
  });

  it("whose peer is gone in the middle of a write tells why", async () => {
    await connected("handle", async ({ ours, told, peer }) => {
      peer.socket.pause();
      ours.pause();
      ours.write([Buffer.alloc(MUCH)]);
      peer.socket.destroy();
      await waitFor(() => told.events.includes("close"));
      expect(told.events).toEqual([expect.stringMatching(/^write (?:EPIPE|ECONNRESET)$/), "close"]);
    });
  });
});

describe("handles", () => {
  it("of TCP know their peer, until it has reset the connection", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const accepted = new Promise<StreamHandle>((resolve) => acceptHandles(server, resolve));
    const { port } = server.address() as { port: number };
    const peer = await connectWire({ port, host: "127.0.0.1" });
    const handle = await accepted;
    expect(peerOf(handle)).toMatchObject({ address: "127.0.0.1", port: peer.socket.localPort });
    const wire = new HandleWire(handle);
    peer.socket.resetAndDestroy();
    await peer.until(() => peer.closed, "the reset");
    await waitFor(() => peerOf(handle).address === undefined);
    wire.destroy();
    server.close();
  });

  it("are left to Node while somebody watches it make sockets", async () => {
    const path = join(temporaryFolder("wire"), "s.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    acceptHandles(server, () => expect.fail("taken"));
    const seen: unknown[] = [];
    const watch = (message: unknown): void => void seen.push(message);
    diagnostics.subscribe("net.server.socket", watch);
    try {
      const connection = new Promise<Socket>((resolve) => server.once("connection", resolve));
      const peer = await connectWire({ path });
      (await connection).destroy();
      expect(seen).toHaveLength(1);
      peer.destroy();
    } finally {
      diagnostics.unsubscribe("net.server.socket", watch);
      server.close();
    }
  });

  it("of a server that does not listen cannot be had", () => {
    expect(acceptHandles(createServer(), () => {})).toBe(false);
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

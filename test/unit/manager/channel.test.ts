/** The line between manager and worker: messages arrive whole, and nothing a worker sends can hurt the manager. */
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Channel, MAX_MESSAGE_BYTES, readFromWorker, readStart } from "../../../src/manager/channel.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, waitFor } from "../../support/wait.ts";

const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** A channel, and the raw socket at its other end. */
async function makeChannel(): Promise<{ channel: Channel; peer: Socket; seen: unknown[]; events: string[] }> {
  const path = join(temporaryFolder("ch"), "s");
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const peer = connect(path);
  const socket = await accepted;
  server.close();
  open.push(peer, socket);
  peer.on("error", () => {}); // cut off by the channel, which is what some tests are about
  const seen: unknown[] = [];
  const events: string[] = [];
  const channel = new Channel(socket, {
    onMessage: (message) => {
      if (message === "refuse") throw new TypeError("refused");
      seen.push(message);
    },
    onBroken: (reason) => events.push(reason),
    onEnd: () => events.push("end"),
  });
  return { channel, peer, seen, events };
}

describe("a channel", () => {
  it("puts messages together however their bytes arrive", async () => {
    const { peer, seen } = await makeChannel();
    const bytes = Buffer.from('{"a":"grün"}\n[1]\n');
    for (const byte of bytes) {
      peer.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor(() => seen.length === 2);
    expect(seen).toEqual([{ a: "grün" }, [1]]);
  });

  it("sends what the other side reads", async () => {
    const { channel, peer } = await makeChannel();
    let text = "";
    peer.on("data", (piece) => {
      text += piece;
    });
    expect(channel.send({ type: "ready" })).toBe(true);
    await waitFor(() => text === '{"type":"ready"}\n');
  });

  const broken: readonly [what: string, sent: string, reason: RegExp][] = [
    ["something that is not JSON", "hello\n", /not a message/],
    ["a message that is refused", '"refuse"\n', /not a message: refused/],
    ["a message without end", "x".repeat(MAX_MESSAGE_BYTES * 2), /more than 262144 bytes/],
  ];
  for (const [what, sent, reason] of broken) {
    it(`ends, once, when it is sent ${what}`, async () => {
      const { channel, peer, seen, events } = await makeChannel();
      peer.write(sent);
      await waitFor(() => events.length >= 2);
      expect(events[0]).toMatch(reason);
      expect(events.slice(1)).toEqual(["end"]);
      expect(seen).toEqual([]);
      expect(channel.send({ type: "ready" })).toBe(false);
    });
  }

  it("says when the other side is gone", async () => {
    const { channel, peer, events } = await makeChannel();
    peer.destroy();
    await waitFor(() => events.length === 1);
    expect(events).toEqual(["end"]);
    expect(channel.send({ type: "ready" })).toBe(false);
  });

  it(
    "hears somebody who talks without end out, in portions",
    async () => {
      const { peer, seen, events } = await makeChannel();
      peer.write("1\n".repeat(25_000));
      await waitFor(() => seen.length === 25_000, { timeoutMs: 15_000 });
      expect(events).toEqual([]);
    },
    patience(20_000),
  );
});

describe("messages of a worker", () => {
  const BEAT = {
    requests: 1,
    openRequests: 0,
    queuedRequests: 0,
    connections: 2,
    acceptedConnections: 3,
    slowRequests: 0,
    isBusy: false,
    loopDelayMs: 1,
    loopUtilisation: 0.5,
    memoryBytes: 100,
    meter: new Array(23).fill(1),
  };

  it("are taken as they are when they are right, and nothing else is", () => {
    expect(readFromWorker({ type: "ready", more: 1 })).toEqual({ type: "ready" });
    expect(readFromWorker({ type: "beat", beat: { ...BEAT, more: 1 } })).toEqual({
      type: "beat",
      beat: BEAT,
    });
    expect(readFromWorker({ type: "status", id: 1, query: "full" })).toEqual({
      type: "status",
      id: 1,
      query: "full",
    });
    expect(readFromWorker({ type: "failed", stage: "boot", message: "m" })).toEqual({
      type: "failed",
      stage: "boot",
      message: "m",
      isPlacePrinted: false,
    });
    expect(readFromWorker({ type: "log", level: "fatal", message: "m", fields: {} })).toMatchObject({
      level: "error",
    });
  });

  const wrong: readonly [what: string, message: unknown][] = [
    ["null", null],
    ["a list", []],
    ["an unknown type", { type: "exit" }],
    ["a prototype", { type: "__proto__" }],
    ["a beat without numbers", { type: "beat", beat: {} }],
    ["a negative count", { type: "beat", beat: { ...BEAT, requests: -1 } }],
    ["a meter with numbers of another version", { type: "beat", beat: { ...BEAT, meter: [1] } }],
    ["a number that is none", { type: "beat", beat: { ...BEAT, memoryBytes: "1" } }],
    ["a log without fields", { type: "log", level: "info", message: "m" }],
    ["a status without id", { type: "status", query: "" }],
    ["a failure without words", { type: "failed", stage: "app" }],
  ];
  for (const [what, message] of wrong) {
    it(`are refused: ${what}`, () => {
      expect(() => readFromWorker(message)).toThrow(TypeError);
    });
  }

  it("the first message must be a start, with an absolute file", () => {
    expect(() => readStart({ type: "drain" })).toThrow(TypeError);
    expect(() => readStart({ type: "start", settings: { file: "app.js" } })).toThrow(TypeError);
    expect(readStart({ type: "start", settings: { file: "/app.js" } })).toEqual({ file: "/app.js" });
  });
});

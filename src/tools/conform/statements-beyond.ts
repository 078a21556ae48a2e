/** What no specification says and every deployment needs: strange bytes and strange peers do no harm. */
import { RecordType } from "../../protocol/records.ts";
import { BEGIN_BYTES, beginRecord, record } from "./bytes.ts";
import { absent, Broken, holds, type Verdict } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";

const HTTP: Buffer = Buffer.from(
  "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: postern\r\nAccept: */*\r\n\r\n",
);
const TLS: Buffer = Buffer.from(`16030100f8010000f40303${"5a".repeat(244)}`, "hex");

/** The same bytes in every run. */
function noise(seed: number, length: number): Buffer {
  let state = seed;
  return Buffer.from(
    Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    }),
  );
}

export const beyondStatements: readonly Statement[] = [
  {
    id: "x-http",
    section: "",
    level: "should",
    statement: "HTTP and TLS on the port are not answered as FastCGI, and do no harm",
    async run(probe) {
      await harmless(probe, HTTP, "an HTTP request");
      await harmless(probe, TLS, "a TLS handshake");
      return holds();
    },
  },
  {
    id: "x-noise",
    section: "",
    level: "should",
    statement: "Random bytes do no harm",
    async run(probe) {
      for (let seed = 1; seed <= 6; seed++) {
        const bytes = noise(seed, 40 * seed);
        // Half of them behind a proper beginning.
        if (seed % 2 === 0) bytes[0] = 1;
        await harmless(probe, bytes, `${bytes.length} random bytes`, false);
      }
      return holds();
    },
  },
  {
    id: "x-malformed-params",
    section: "",
    level: "should",
    statement: "PARAMS that end inside a pair do no harm",
    async run(probe) {
      const begin = beginRecord(1, probe.options.role, 0);
      for (const content of [[200], [0x7f, 0xff, 0xff, 0xff], [5, 5, 65], [0xff, 0xff, 0xff, 0xff, 1, 65]]) {
        const bytes = Buffer.concat([
          begin,
          record(RecordType.Params, 1, Buffer.from(content)),
          record(RecordType.Params, 1),
          record(RecordType.Stdin, 1),
        ]);
        await harmless(probe, bytes, `PARAMS of the bytes ${content.join(" ")}`, false);
      }
      return holds();
    },
  },
  {
    id: "x-short-begin",
    section: "",
    level: "should",
    statement: "A BEGIN_REQUEST with too little or too much content does no harm",
    async run(probe) {
      for (const length of [0, 2, 7, 9, 200]) {
        const bytes = Buffer.concat([
          record(
            RecordType.BeginRequest,
            1,
            Buffer.from([0, 1, ...Array.from({ length: 198 }, () => 0)].slice(0, length)),
          ),
          probe.bytes({}).subarray(BEGIN_BYTES),
        ]);
        await harmless(probe, bytes, `a BEGIN_REQUEST of ${length} bytes`, false);
      }
      return holds();
    },
  },
  {
    id: "x-begun-twice",
    section: "",
    level: "should",
    statement: "BEGIN_REQUEST for a request that is open does no harm",
    async run(probe) {
      const bytes = probe.bytes({});
      await harmless(
        probe,
        Buffer.concat([bytes.subarray(0, BEGIN_BYTES), bytes]),
        "BEGIN_REQUEST twice for request 1",
        false,
      );
      return holds();
    },
  },
  {
    id: "x-slow-reader",
    section: "",
    level: "may",
    statement: "A web server that reads nothing does not keep others from being served",
    async run(probe) {
      const slow = await probe.open();
      slow.socket.pause();
      // Answers pile up as far as the connection takes them.
      for (let count = 0; count < 200; count++) slow.send(probe.bytes({ keep: true, id: 1 + count }));
      slow.note("200 requests, and nothing of their answers is read");
      const wire = await probe.open();
      wire.send(probe.bytes({}));
      const exchange = wire.exchange(1)!;
      if (!(await wire.until(() => exchange.end !== undefined, probe.deadlineMs))) {
        return absent("one connection at a time: while one is open, others wait");
      }
      return holds();
    },
  },
];

/** Sends it, hears no answer that it deserves none of, and is answered on the next connection. */
async function harmless(probe: Probe, bytes: Buffer, what: string, isSilent = true): Promise<Verdict> {
  const wire = await probe.open();
  wire.sendOdd(bytes, what);
  await probe.within(wire, () => wire.isOver);
  if (isSilent && wire.firstByte === 1) throw new Broken(`${what} was answered`, wire.evidence());
  const evidence = wire.evidence();
  wire.destroy();
  try {
    await probe.ask({});
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    throw new Broken(`after ${what}: ${error.message}`, [
      ...evidence,
      "(then, on another connection)",
      ...error.evidence,
    ]);
  }
  return holds();
}

/** FastCGI 1.0 §3.3: records as they come in, whatever their padding, ids and divisions. */
import { RecordType } from "../../protocol/records.ts";
import { BEGIN_BYTES, record } from "./bytes.ts";
import { Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Ask, Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";
import type { Wire } from "./wire.ts";

/** Bytes of every value. */
const BODY: Buffer = Buffer.from(Array.from({ length: 300 }, (_, at) => at & 255));
const IDLE_ID = 7;

/** A GET and, where there is a STDIN, a POST. */
function both(probe: Probe): readonly Ask[] {
  return probe.hasStdin ? [{}, { body: BODY }] : [{}];
}

export const recordStatements: readonly Statement[] = [
  {
    id: "3.3-padding",
    section: "§3.3",
    level: "must",
    statement: "Padding of 1 to 255 bytes behind records with content is skipped",
    async run(probe) {
      for (const padding of [1, 7, 8, 255])
        for (const ask of both(probe)) await probe.same({ ...ask, padding });
      return holds();
    },
  },
  {
    id: "3.3-padding-ends",
    section: "§3.3",
    level: "must",
    statement: "Padding of 1 to 255 bytes behind the empty records that end streams is skipped",
    async run(probe) {
      for (const endPadding of [1, 8, 255]) {
        for (const ask of both(probe)) await probe.same({ ...ask, endPadding });
      }
      return holds();
    },
  },
  {
    id: "3.3-padding-begin",
    section: "§3.3",
    level: "must",
    statement: "Padding of 1 to 255 bytes behind BEGIN_REQUEST is skipped",
    async run(probe) {
      for (const beginPadding of [1, 8, 255]) await probe.same({ beginPadding });
      return holds();
    },
  },
  {
    id: "3.3-reserved-in",
    section: "§3.3",
    level: "should",
    statement: "The reserved byte of a header says nothing",
    async run(probe) {
      for (const ask of both(probe)) await probe.same({ ...ask, reserved: 255 });
      return holds();
    },
  },
  {
    id: "3.3-version-in",
    section: "§3.3",
    level: "should",
    statement: "A record of another version is not read as one of version 1",
    async run(probe) {
      const wire = await probe.open();
      wire.sendOdd(probe.bytes({ version: 2 }), "a whole request in records of version 2");
      await probe.within(wire, () => wire.receivedBytes > 0);
      if (wire.receivedBytes > 0) throw new Broken("it was answered", wire.evidence());
      return holds(wire.isOver ? "" : "left unanswered, the connection stays open");
    },
  },
  {
    id: "3.3-byte-by-byte",
    section: "§3.3",
    level: "must",
    statement: "Records may arrive in pieces, cut anywhere: byte by byte",
    async run(probe) {
      for (const ask of both(probe)) await probe.same(ask, (wire, bytes) => wire.sendInPieces(bytes, 1));
      return holds();
    },
  },
  {
    id: "3.3-cut-headers",
    section: "§3.3",
    level: "must",
    statement: "Records may arrive in pieces, cut anywhere: inside headers and padding",
    async run(probe) {
      for (const size of [3, 7, 13]) {
        for (const ask of both(probe)) {
          await probe.same({ ...ask, padding: 5 }, (wire, bytes) => wire.sendInPieces(bytes, size));
        }
      }
      return holds();
    },
  },
  {
    id: "3.3-stdin-divided",
    section: "§3.3",
    level: "must",
    statement: "The value of STDIN does not depend on how it is divided into records",
    async run(probe) {
      if (!probe.hasStdin) return untestable("an authorizer has no STDIN");
      for (const stdinBytes of [1, 100, 255, 256]) {
        await probe.same({ body: BODY, stdinBytes });
      }
      return holds(
        probe.facts.showsBody ? "" : "answers do not show the body: only that they came was compared",
      );
    },
  },
  {
    id: "3.3-largest-record",
    section: "§3.3",
    level: "must",
    statement: "A record may have 65535 bytes of content, with and without padding",
    async run(probe) {
      if (!probe.hasStdin) return untestable("an authorizer has no STDIN");
      const body = Buffer.alloc(65535, "0123456789");
      // Compared with the same body in many records: the plain form is what is in question here.
      await probe.same({ body, padding: 255 });
      await probe.same({ body, stdinBytes: 8192 });
      return holds();
    },
  },
  {
    id: "3.3-ids",
    section: "§3.3",
    level: "must",
    statement: "A request may have any id from 1 to 65535",
    async run(probe) {
      for (const id of [2, 255, 256, 65535]) for (const ask of both(probe)) await probe.same({ ...ask, id });
      return holds();
    },
  },
  {
    id: "3.3-id-again",
    section: "§3.3",
    level: "must",
    statement: "An id is free again after END_REQUEST",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      for (let count = 0; count < 4; count++) {
        if (wire.isOver) return untestable("it keeps no connection open");
        wire.send(probe.bytes({ keep: true }));
        await probe.sameOn(wire, {}, wanted);
      }
      return holds();
    },
  },
  {
    id: "3.3-unused-id-before",
    section: "§3.3",
    level: "must",
    statement: "Records of an id that was never begun are ignored, before a request",
    run: (probe) => ignoring(probe, async (wire) => void wire.send(idle(IDLE_ID))),
  },
  {
    id: "3.3-unused-id-between",
    section: "§3.3",
    level: "must",
    statement: "Records of an id that was never begun are ignored, inside a request",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const bytes = probe.bytes({});
      wire.send(bytes.subarray(0, BEGIN_BYTES), idle(IDLE_ID), bytes.subarray(BEGIN_BYTES));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "3.3-ended-id",
    section: "§3.3",
    level: "must",
    statement: "Records of an id whose request has ended are ignored",
    run: (probe) =>
      ignoring(probe, async (wire) => {
        wire.send(probe.bytes({ keep: true }));
        await probe.end(wire);
        wire.send(idle(1));
      }),
  },
  {
    id: "3.3-unknown-record",
    section: "§3.3",
    level: "should",
    statement: "A record of an unknown type does not upset the request it is in",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const bytes = probe.bytes({});
      wire.send(
        bytes.subarray(0, BEGIN_BYTES),
        record(42, 1, Buffer.from("what is this?")),
        bytes.subarray(BEGIN_BYTES),
      );
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
];

/** Records that mean nothing while an id is not active. */
function idle(id: number): Buffer {
  const text = Buffer.from("\x01\x01AB");
  return Buffer.concat([
    record(RecordType.Params, id, text),
    record(RecordType.Stdin, id, text),
    record(RecordType.Data, id, text),
    record(RecordType.Stdin, id),
    record(RecordType.AbortRequest, id),
  ]);
}

async function ignoring(probe: Probe, before: (wire: Wire) => Promise<void>): Promise<Verdict> {
  const wanted = await probe.plain({});
  const wire = await probe.open();
  await before(wire);
  if (wire.isOver && wire.exchanges.some(({ end }) => end !== undefined)) {
    return untestable("it keeps no connection open");
  }
  wire.send(probe.bytes({ keep: true }));
  await probe.sameOn(wire, {}, wanted);
  return holds();
}

/** FastCGI 1.0 §5.3 to §5.5: the life of a request: its input, its abortion, its end, and two at once. */
import { ProtocolStatus, RecordType } from "../../protocol/records.ts";
import { BEGIN_BYTES, record } from "./bytes.ts";
import { absent, Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";
import type { Wire } from "./wire.ts";

const LARGE: Buffer = Buffer.alloc(1024 * 1024, "A megabyte of this. ");
const NO_STDIN = "an authorizer has no STDIN";

export const requestStatements: readonly Statement[] = [
  {
    id: "5.3-content",
    section: "§5.3",
    level: "must",
    statement: "What STDIN carries is what the application gets: other bytes, another answer",
    run(probe) {
      if (!probe.hasStdin) return untestable(NO_STDIN);
      if (probe.facts.showsBody) return holds();
      if (probe.options.uploadPath === undefined) {
        return untestable("answers do not show the body; name with --upload-path what does");
      }
      throw new Broken(`two bodies to ${probe.options.uploadPath} give the same answer`, []);
    },
  },
  {
    id: "5.3-empty",
    section: "§5.3",
    level: "must",
    statement: "STDIN may be empty",
    async run(probe) {
      if (!probe.hasStdin) return untestable(NO_STDIN);
      await probe.same({ body: Buffer.alloc(0) }, (wire, bytes) => wire.sendInPieces(bytes, 4096));
      return holds();
    },
  },
  {
    id: "5.3-large",
    section: "§5.3",
    level: "must",
    statement: "A body of 1 MiB arrives whole, in records of any size",
    async run(probe) {
      if (!probe.hasStdin) return untestable(NO_STDIN);
      await probe.same({ body: LARGE, stdinBytes: 8184, padding: 3 });
      return holds();
    },
  },
  {
    id: "5.3-late",
    section: "§5.3",
    level: "must",
    statement: "Input that nobody has read does not get into the next request of the connection",
    async run(probe) {
      if (!probe.hasStdin) return untestable(NO_STDIN);
      const wanted = await probe.plain({ query: "probe=2" });
      const wire = await probe.open();
      // To the ordinary path, whose answer may come before the body.
      const upload = probe.bytes({ method: "POST", extra: [["CONTENT_LENGTH", "200000"]], keep: true });
      const body = Buffer.alloc(200_000, "unread");
      wire.send(upload.subarray(0, upload.length - probe.endBytes + 8));
      for (let at = 0; at < body.length; at += 50_000) {
        wire.send(record(RecordType.Stdin, 1, body.subarray(at, at + 50_000)));
      }
      wire.send(record(RecordType.Stdin, 1));
      if (probe.endBytes === 24) wire.send(record(RecordType.Data, 1));
      await probe.end(wire);
      if (wire.isOver) return untestable("it keeps no connection open");
      wire.send(probe.bytes({ query: "probe=2" }));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "5.4-in-params",
    section: "§5.4",
    level: "must",
    statement: "ABORT_REQUEST inside PARAMS is answered with END_REQUEST",
    run: async (probe) => {
      await abortInParams(probe, await probe.open());
      return holds();
    },
  },
  {
    id: "5.4-in-stdin",
    section: "§5.4",
    level: "must",
    statement: "ABORT_REQUEST inside STDIN is answered with END_REQUEST",
    async run(probe) {
      if (!probe.hasStdin) return untestable(NO_STDIN);
      const wire = await probe.open();
      const body = Buffer.from("half of a body");
      const bytes = probe.bytes({ body: Buffer.concat([body, body]), keep: true });
      // Without the empty records at its end, and without half of the body.
      wire.send(bytes.subarray(0, bytes.length - probe.endBytes + 8 - (8 + 2 * body.length)));
      wire.send(record(RecordType.Stdin, 1, body));
      if (await probe.within(wire, () => wire.exchange(1)?.end !== undefined)) {
        return untestable("it answers before the end of STDIN; name with --upload-path what reads its body");
      }
      await aborted(probe, wire);
      return holds();
    },
  },
  {
    id: "5.4-next",
    section: "§5.4",
    level: "must",
    statement: "The connection of an aborted request serves the next one, if it was to be kept",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      try {
        await abortInParams(probe, wire);
      } catch (error) {
        if (error instanceof Broken) return untestable("it does not answer ABORT_REQUEST");
        throw error;
      }
      wire.send(probe.bytes({ keep: true }));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "5.4-other",
    section: "§5.4",
    level: "must",
    statement: "Other requests of the connection go on when one is aborted",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const other = probe.bytes({ id: 2, keep: true });
      wire.send(probe.bytes({ keep: true }).subarray(0, BEGIN_BYTES), other.subarray(0, BEGIN_BYTES));
      const isAnswered = (): boolean => wire.exchanges.some(({ end }) => end !== undefined);
      await probe.within(wire, isAnswered);
      if (isAnswered() || wire.isOver) return absent("it serves one request at a time on a connection");
      wire.send(record(RecordType.AbortRequest, 1), other.subarray(BEGIN_BYTES));
      await probe.sameOn(wire, { id: 2 }, wanted);
      return holds();
    },
  },
  {
    id: "5.5-unknown-role",
    section: "§5.5",
    level: "must",
    statement: "A request for a role that does not exist is refused with FCGI_UNKNOWN_ROLE",
    async run(probe) {
      for (const role of [4, 99, 65535]) {
        const wire = await probe.open();
        wire.send(probe.bytes({ role, keep: true }));
        const { end } = await probe.end(wire);
        if (end!.protocolStatus !== ProtocolStatus.UnknownRole) {
          throw new Broken(`role ${role}: protocolStatus ${end!.protocolStatus}`, wire.evidence());
        }
        wire.destroy();
      }
      return holds();
    },
  },
  {
    id: "5.5-after-refusal",
    section: "§5.5",
    level: "must",
    statement: "The connection of a refused request serves the next one, if it was to be kept",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      wire.send(probe.bytes({ role: 99, keep: true }));
      try {
        const { end } = await probe.end(wire);
        if (end!.protocolStatus !== ProtocolStatus.UnknownRole)
          return untestable("it does not refuse unknown roles");
      } catch (error) {
        if (error instanceof Broken) return untestable("it does not refuse unknown roles");
        throw error;
      }
      wire.send(probe.bytes({ keep: true }));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "5.5-second-request",
    section: "§5.5",
    level: "must",
    statement:
      "A second request on a connection is served, or refused with FCGI_CANT_MPX_CONN; the first goes on",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const first = probe.bytes({ keep: true });
      wire.send(first.subarray(0, BEGIN_BYTES), probe.bytes({ id: 2, keep: true }));
      const second = wire.exchange(2)!;
      await wire.until(() => second.end !== undefined, probe.deadlineMs);
      wire.send(first.subarray(BEGIN_BYTES));
      await probe.sameOn(wire, {}, wanted);
      const { end } = await probe.end(wire, 2);
      if (end!.protocolStatus === ProtocolStatus.CannotMultiplex) {
        return holds("refused: it serves one request at a time on a connection");
      }
      await probe.sameOn(wire, { id: 2 }, wanted);
      return holds("both are served");
    },
  },
  {
    id: "3.3-interleaved",
    section: "§3.3",
    level: "may",
    statement: "Requests whose records are interleaved on one connection are all served",
    async run(probe) {
      const ids = [1, 2, 3];
      const wanted = await Promise.all(ids.map((id) => probe.plain({ query: `probe=${id}` })));
      const wire = await probe.open();
      const requests = ids.map((id) =>
        recordsOf(probe.bytes({ id, query: `probe=${id}`, keep: true, recordBytes: 40 })),
      );
      const most = Math.max(...requests.map(({ length }) => length));
      for (let at = 0; at < most; at++) {
        wire.send(...requests.flatMap((records) => records[at] ?? []));
        if (at === 0) await probe.within(wire, () => wire.exchanges.some(({ end }) => end !== undefined));
        if (wire.exchanges.some(({ end }) => end?.protocolStatus === ProtocolStatus.CannotMultiplex)) {
          return absent("it serves one request at a time on a connection");
        }
      }
      for (const [at, id] of ids.entries()) await probe.sameOn(wire, { id }, wanted[at]!);
      return holds();
    },
  },
];

/** Begins a request to be aborted before its parameters have ended: so far no application may answer. */
async function abortInParams(probe: Probe, wire: Wire): Promise<void> {
  const bytes = probe.bytes({ keep: true });
  wire.send(bytes.subarray(0, bytes.length - probe.endBytes));
  await aborted(probe, wire);
}

async function aborted(probe: Probe, wire: Wire): Promise<Verdict> {
  wire.send(record(RecordType.AbortRequest, 1));
  const { end } = await probe.end(wire);
  if (end!.protocolStatus !== ProtocolStatus.RequestComplete) {
    throw new Broken(`it ended with protocolStatus ${end!.protocolStatus}`, wire.evidence());
  }
  return holds();
}

function recordsOf(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 8 + bytes.readUInt16BE(at + 4) + bytes[at + 6]!;
    records.push(bytes.subarray(at, end));
    at = end;
  }
  return records;
}

/** FastCGI 1.0 §4: management records, which are asked of the application as a whole. */
import { ProtocolStatus, RecordType, ValueName } from "../../protocol/records.ts";
import { BEGIN_BYTES, type Pair, pairBytes, type RawRecord, readPairs, record } from "./bytes.ts";
import { absent, Broken, holds, untestable } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";
import type { Wire } from "./wire.ts";

const NAMES: readonly string[] = [ValueName.MaxConnections, ValueName.MaxRequests, ValueName.Multiplex];
/** Most connections opened to see whether FCGI_MAX_CONNS is true. */
const MOST_CONNECTIONS = 32;

export const managementStatements: readonly Statement[] = [
  {
    id: "4.1-answered",
    section: "§4.1",
    level: "must",
    statement: "GET_VALUES is answered with GET_VALUES_RESULT",
    async run(probe) {
      const values = await valuesOf(probe, await probe.open(), NAMES, 0);
      return holds(values.map(([name, value]) => `${name}=${value}`).join(" "));
    },
  },
  {
    id: "4.1-values",
    section: "§4.1",
    level: "must",
    statement: "The values of the three known names are numbers, that of FCGI_MPXS_CONNS is 0 or 1",
    async run(probe) {
      const values = await known(probe);
      if (values === undefined) return untestable("it does not answer GET_VALUES");
      if (values.length === 0) return absent("it knows none of the three names");
      for (const [name, value] of values) {
        if (!(name === ValueName.Multiplex ? /^[01]$/ : /^\d+$/).test(value)) {
          throw new Broken(`${name} is ${JSON.stringify(value)}`, []);
        }
      }
      return holds(values.length < NAMES.length ? `it knows ${values.map(([name]) => name).join(", ")}` : "");
    },
  },
  {
    id: "4.1-unknown-name",
    section: "§4.1",
    level: "must",
    statement: "Names that the application does not know are left out of the result",
    async run(probe) {
      if ((await known(probe)) === undefined) return untestable("it does not answer GET_VALUES");
      const wire = await probe.open();
      const values = await valuesOf(probe, wire, [
        "FCGI_NOT_A_NAME",
        ValueName.MaxRequests,
        "",
        "x".repeat(200),
      ]);
      const strange = values.filter(([name]) => !NAMES.includes(name));
      if (strange.length > 0) throw new Broken(`the result names ${strange[0]![0]}`, wire.evidence());
      return holds();
    },
  },
  {
    id: "4.1-only-asked",
    section: "§4.1",
    level: "should",
    statement: "The result has the names that were asked for, once each, and no others",
    async run(probe) {
      const first = await known(probe);
      if (first === undefined) return untestable("it does not answer GET_VALUES");
      for (const asked of [[], [ValueName.Multiplex], [ValueName.MaxRequests, ValueName.MaxConnections]]) {
        const wire = await probe.open();
        const names = (await valuesOf(probe, wire, asked)).map(([name]) => name);
        const wanted = asked.filter((name) => first.some(([one]) => one === name));
        if ([...names].sort().join() !== [...wanted].sort().join()) {
          throw new Broken(
            `asked for ${asked.join(", ") || "nothing"}, it answers ${names.join(", ") || "nothing"}`,
            wire.evidence(),
          );
        }
        wire.destroy();
      }
      return holds();
    },
  },
  {
    id: "4.1-any-time",
    section: "§4.1",
    level: "must",
    statement: "GET_VALUES is answered at any time: inside a request, which goes on undisturbed",
    async run(probe) {
      if ((await known(probe)) === undefined) return untestable("it does not answer GET_VALUES");
      const wanted = await probe.plain({});
      const bytes = probe.bytes({});
      // Behind BEGIN_REQUEST, and behind the PARAMS whose end has not come.
      for (const at of [BEGIN_BYTES, bytes.length - probe.endBytes]) {
        const wire = await probe.open();
        wire.send(bytes.subarray(0, at));
        await valuesOf(probe, wire, NAMES);
        wire.send(bytes.subarray(at));
        await probe.sameOn(wire, {}, wanted);
        wire.destroy();
      }
      return holds();
    },
  },
  {
    id: "4.1-connection-stays",
    section: "§4.1",
    level: "must",
    statement: "A request is served on the connection on which GET_VALUES was answered",
    async run(probe) {
      if ((await known(probe)) === undefined) return untestable("it does not answer GET_VALUES");
      const wanted = await probe.plain({});
      const wire = await probe.open();
      await valuesOf(probe, wire, NAMES);
      wire.send(probe.bytes({}));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "4.1-multiplexes",
    section: "§4.1",
    level: "must",
    statement: "What FCGI_MPXS_CONNS says is true: with 1, requests on one connection are served at once",
    async run(probe) {
      const values = await known(probe);
      if (values === undefined) return untestable("it does not answer GET_VALUES");
      const claim = values.find(([name]) => name === ValueName.Multiplex)?.[1];
      if (claim === undefined) return absent("it does not say");
      if (claim !== "1") return absent("it says that it does not multiplex");
      const wire = await probe.open();
      wire.send(probe.bytes({ keep: true }).subarray(0, BEGIN_BYTES), probe.bytes({ id: 2, keep: true }));
      const { end } = await probe.end(wire, 2);
      if (end!.protocolStatus !== ProtocolStatus.RequestComplete) {
        throw new Broken("it says FCGI_MPXS_CONNS=1 and refuses a second request", wire.evidence());
      }
      return holds();
    },
  },
  {
    id: "4.1-max-conns",
    section: "§4.1",
    level: "should",
    statement: "As many connections as FCGI_MAX_CONNS says are served at once",
    async run(probe) {
      const values = await known(probe);
      if (values === undefined) return untestable("it does not answer GET_VALUES");
      const claim = Number(values.find(([name]) => name === ValueName.MaxConnections)?.[1] ?? 0);
      if (claim === 0) return absent("it does not say");
      const count = Math.min(claim, MOST_CONNECTIONS);
      const wires: Wire[] = [];
      // The last one has to be served while all others are open.
      for (let at = 0; at < count; at++) wires.push(await probe.open());
      for (const wire of wires.slice(0, -1)) wire.send(probe.bytes({}).subarray(0, BEGIN_BYTES));
      await probe.ask({}, wires.at(-1));
      return holds(`${count} of ${claim}`);
    },
  },
  {
    id: "4.2-unknown-type",
    section: "§4.2",
    level: "must",
    statement: "A management record of an unknown type is answered with UNKNOWN_TYPE and that type",
    async run(probe) {
      for (const type of [12, 100, 255]) {
        const wire = await probe.open();
        wire.send(record(type, 0, Buffer.from("anything")));
        const answer = await managementAnswer(probe, wire, `UNKNOWN_TYPE for type ${type}`);
        if (answer.type !== RecordType.UnknownType || answer.content[0] !== type) {
          throw new Broken(`type ${type} was not answered with UNKNOWN_TYPE ${type}`, wire.evidence());
        }
        wire.destroy();
      }
      return holds();
    },
  },
  {
    id: "4.2-in-request",
    section: "§4.2",
    level: "must",
    statement: "An unknown management record inside a request does not disturb it",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const bytes = probe.bytes({});
      wire.send(
        bytes.subarray(0, BEGIN_BYTES),
        record(77, 0, Buffer.from("anything")),
        bytes.subarray(BEGIN_BYTES),
      );
      await probe.sameOn(wire, {}, wanted);
      if (wire.management.length === 0) throw new Broken("it was not answered", wire.evidence());
      return holds();
    },
  },
];

/** The values of the known names; undefined when GET_VALUES is not answered. */
async function known(probe: Probe): Promise<readonly Pair[] | undefined> {
  if (probe.values !== "unasked") return probe.values;
  probe.values = undefined;
  // libfcgi answers only when something stands behind the record: what else it does is then seen with padding.
  for (const padding of [0, 8]) {
    const wire = await probe.open();
    try {
      probe.values = await valuesOf(probe, wire, NAMES, padding);
      probe.valuesPadding = padding;
      break;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
    } finally {
      wire.destroy();
    }
  }
  return probe.values;
}

/** Asks for values. @throws {Broken} when there is no proper answer */
async function valuesOf(
  probe: Probe,
  wire: Wire,
  names: readonly string[],
  padding: number = probe.valuesPadding,
): Promise<Pair[]> {
  wire.send(record(RecordType.GetValues, 0, pairBytes(names.map((name) => [name, ""])), { padding }));
  const answer = await managementAnswer(probe, wire, "GET_VALUES_RESULT");
  if (answer.type !== RecordType.GetValuesResult) {
    throw new Broken("the answer is not GET_VALUES_RESULT", wire.evidence());
  }
  const pairs = readPairs(answer.content);
  if (pairs === undefined) throw new Broken("the pairs of GET_VALUES_RESULT are malformed", wire.evidence());
  return pairs;
}

/** The next management record that comes. */
async function managementAnswer(probe: Probe, wire: Wire, what: string): Promise<RawRecord> {
  const before = wire.management.length;
  if (!(await wire.until(() => wire.management.length > before, probe.deadlineMs))) {
    const why = wire.isOver ? "the connection was closed" : `nothing came within ${probe.deadlineMs} ms`;
    throw new Broken(`no ${what}: ${why}`, [...wire.evidence(), `(${why})`]);
  }
  return wire.management[before]!;
}

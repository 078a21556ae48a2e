/** FastCGI 1.0 §6: what each role receives, and when it may answer. */
import { ProtocolStatus, Role } from "../../protocol/records.ts";
import { answerOf } from "./answer.ts";
import { requestBytes } from "./bytes.ts";
import { absent, Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Ask, Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";
import type { Exchange, Wire } from "./wire.ts";

export const roleStatements: readonly Statement[] = [
  {
    id: "6.2-params-first",
    section: "§6.2",
    level: "must",
    statement: "Nothing is written before the end of PARAMS",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      const bytes = probe.bytes({});
      const at = bytes.length - probe.endBytes;
      wire.send(bytes.subarray(0, at));
      await probe.within(wire, () => wire.receivedBytes > 0);
      if (wire.receivedBytes > 0) throw new Broken("output came before the end of PARAMS", wire.evidence());
      wire.send(bytes.subarray(at));
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
  {
    id: "6.2-output-before-stdin",
    section: "§6.2",
    level: "may",
    statement: "Output may begin before the end of STDIN",
    async run(probe) {
      if (probe.options.role !== Role.Responder) return untestable("this is about responders");
      const wire = await probe.open();
      const bytes = probe.bytes({});
      wire.send(bytes.subarray(0, bytes.length - 8));
      const exchange = wire.exchange(1)!;
      if (!(await probe.within(wire, () => exchange.stdoutRecords > 0)))
        return absent("it waits for the end of STDIN");
      return holds();
    },
  },
  {
    id: "6.2-short-body-ends",
    section: "§6.2",
    level: "must",
    statement: "A request whose STDIN ends before CONTENT_LENGTH is ended all the same",
    async run(probe) {
      if (!probe.hasStdin) return untestable("an authorizer has no STDIN");
      await shortBody(probe);
      return holds();
    },
  },
  {
    id: "6.2-short-body-told",
    section: "§6.2",
    level: "should",
    statement: "A body shorter than CONTENT_LENGTH is not taken for a whole one",
    async run(probe) {
      if (!probe.hasStdin) return untestable("an authorizer has no STDIN");
      if (!probe.facts.showsBody)
        return untestable("answers do not show the body; name with --upload-path what does");
      const { exchange, wire } = await shortBody(probe);
      const answer = answerOf(exchange);
      if (answer.status < 400 && answer.appStatus === 0) {
        throw new Broken(`10 bytes of 100 came, and the answer has status ${answer.status}`, wire.evidence());
      }
      return holds(`status ${answer.status}, app status ${answer.appStatus}`);
    },
  },
  {
    id: "6.2-app-status",
    section: "§6.2",
    level: "should",
    statement: "The app status of a page that is no error is 0",
    async run(probe) {
      const answer = await probe.plain({});
      if (answer.status >= 400) return untestable(`the status of the page is ${answer.status}`);
      if (answer.appStatus !== 0) throw new Broken(`it is ${answer.appStatus}`, []);
      return holds();
    },
  },
  {
    id: "6.3-authorizer",
    section: "§6.3",
    level: "must",
    statement: "As an authorizer it answers to parameters alone, or refuses with FCGI_UNKNOWN_ROLE",
    run: (probe) => inRole(probe, Role.Authorizer, {}, () => holds()),
  },
  {
    id: "6.3-verdict",
    section: "§6.3",
    level: "must",
    statement: "An authorizer's answer is a header block; what it passes on is in Variable- headers",
    run: (probe) =>
      inRole(probe, Role.Authorizer, {}, (exchange, wire) => {
        const { head, strange, fields, status } = answerOf(exchange);
        if (head === undefined) throw new Broken("there is no header block", wire.evidence());
        if (strange.length > 0)
          throw new Broken(`not a header: ${JSON.stringify(strange[0])}`, wire.evidence());
        const variables = fields.filter(([name]) => /^variable-/i.test(name));
        const nameless = variables.find(([name]) => name.length === "Variable-".length);
        if (nameless !== undefined) throw new Broken("a Variable- header has no name", wire.evidence());
        return holds(`status ${status}, ${variables.length} variables`);
      }),
  },
  {
    id: "6.4-filter",
    section: "§6.4",
    level: "must",
    statement: "As a filter it reads STDIN, then DATA, and answers, or refuses with FCGI_UNKNOWN_ROLE",
    run: (probe) => inRole(probe, Role.Filter, filterAsk(Buffer.alloc(100_000, "data ")), () => holds()),
  },
  {
    id: "6.4-stdin-first",
    section: "§6.4",
    level: "must",
    statement: "A filter writes nothing before the end of STDIN",
    async run(probe) {
      const ask = filterAsk(Buffer.from("some data"));
      const known = await inRole(probe, Role.Filter, ask, () => holds());
      if (known.outcome !== "holds") return known;
      const wire = await probe.open();
      const bytes = requestBytes(probe.shape({ ...ask, role: Role.Filter }));
      // The end of STDIN, DATA, and the end of DATA are left out.
      const at = bytes.length - 8 - (8 + 9) - 8;
      wire.send(bytes.subarray(0, at));
      await probe.within(wire, () => wire.receivedBytes > 0);
      if (wire.receivedBytes > 0) throw new Broken("output came before the end of STDIN", wire.evidence());
      wire.send(bytes.subarray(at));
      await probe.end(wire);
      return holds();
    },
  },
  {
    id: "6.4-short-data",
    section: "§6.4",
    level: "must",
    statement: "A filter whose DATA ends before FCGI_DATA_LENGTH ends its request all the same",
    run: (probe) => inRole(probe, Role.Filter, filterAsk(Buffer.from("short"), 5000), () => holds()),
  },
];

function filterAsk(data: Buffer, length: number = data.length): Ask {
  const lastModified = "829094400";
  return {
    data,
    extra: [
      ["FCGI_DATA_LAST_MOD", lastModified],
      ["FCGI_DATA_LENGTH", `${length}`],
    ],
  };
}

/** Asks in a role; absent when the application does not know it. */
async function inRole(
  probe: Probe,
  role: Role,
  ask: Ask,
  judge: (exchange: Exchange, wire: Wire) => Verdict,
): Promise<Verdict> {
  const wire = await probe.open();
  wire.send(probe.bytes({ ...ask, role }));
  const exchange = await probe.end(wire);
  if (exchange.end!.protocolStatus === ProtocolStatus.UnknownRole)
    return absent("it does not know this role");
  if (exchange.end!.protocolStatus !== ProtocolStatus.RequestComplete) {
    throw new Broken(`it ended with protocolStatus ${exchange.end!.protocolStatus}`, wire.evidence());
  }
  const { status, appStatus } = answerOf(exchange);
  if (status >= 500 && appStatus !== 0) return absent(`it refuses in words: status ${status}`);
  return judge(exchange, wire);
}

async function shortBody(probe: Probe): Promise<{ exchange: Exchange; wire: Wire }> {
  const wire = await probe.open();
  const body = Buffer.alloc(10, "s");
  wire.send(probe.bytes({ body, extra: [["CONTENT_LENGTH", "100"]] }));
  return { exchange: await probe.end(wire), wire };
}

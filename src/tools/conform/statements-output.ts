/** RFC 3875 §4.3.2, §6, FastCGI 1.0 §6.1: what a responder writes to STDOUT. Judged on the plain answers. */
import { type Answer, fieldValue } from "./answer.ts";
import { Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";

/** Headers about the connection of the web server and its client. RFC 3875 §6.3.4. */
const CONNECTION_HEADERS: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
/** RFC 3875 §6.3. */
const CGI_FIELDS: readonly string[] = ["content-type", "location", "status"];

export const outputStatements: readonly Statement[] = [
  {
    id: "rfc-header-block",
    section: "RFC 3875 §6.2",
    level: "must",
    statement: "An answer begins with a header block and an empty line",
    run: (probe) =>
      judged(probe, ({ head, stdout }) => {
        if (head === undefined) return `no empty line ends its header block: ${shown(stdout)}`;
        return head === "" ? "its header block is empty" : undefined;
      }),
  },
  {
    id: "rfc-field-syntax",
    section: "RFC 3875 §6.3",
    level: "must",
    statement: "Each line of the header block is a name, a colon and a value",
    run: (probe) =>
      judged(probe, ({ strange }) => {
        return strange.length > 0 ? `not a header: ${JSON.stringify(strange[0]!.slice(0, 80))}` : undefined;
      }),
  },
  {
    id: "rfc-cgi-field",
    section: "RFC 3875 §6.3",
    level: "must",
    statement: "There is a Content-Type, Location or Status among the headers, each at most once",
    run: (probe) =>
      judged(probe, ({ fields }) => {
        const names = fields.map(([name]) => name.toLowerCase()).filter((name) => CGI_FIELDS.includes(name));
        if (names.length === 0) return "there is none of them";
        const twice = names.find((name, at) => names.indexOf(name) !== at);
        return twice === undefined ? undefined : `${twice} is there twice`;
      }),
  },
  {
    id: "rfc-content-type",
    section: "RFC 3875 §6.3.1",
    level: "must",
    statement: "An answer with a body names its Content-Type",
    run: (probe) =>
      judged(probe, ({ body, fields }) => {
        if (body.length === 0 || fieldValue(fields, "content-type") !== undefined) return undefined;
        return `there are ${body.length} bytes of body and no Content-Type`;
      }),
  },
  {
    id: "rfc-status",
    section: "RFC 3875 §6.3.3",
    level: "must",
    statement: "The value of Status begins with three digits",
    run: (probe) =>
      judged(probe, ({ fields }) => {
        const status = fieldValue(fields, "status");
        if (status === undefined || /^[1-9]\d\d(?: |$)/.test(status)) return undefined;
        return `it is ${JSON.stringify(status)}`;
      }),
  },
  {
    id: "6.1-parsed-headers",
    section: "§6.1",
    level: "must",
    statement: "The status is set by headers: an answer is no HTTP response",
    run: (probe) =>
      judged(probe, ({ stdout }) => {
        return /^HTTP\//i.test(stdout.toString("latin1", 0, 5))
          ? `it begins with ${shown(stdout)}`
          : undefined;
      }),
  },
  {
    id: "rfc-connection-headers",
    section: "RFC 3875 §6.3.4",
    level: "must",
    statement: "No header is about the connection between web server and client",
    run: (probe) =>
      judged(probe, ({ fields }) => {
        const found = fields.find(([name]) => CONNECTION_HEADERS.includes(name.toLowerCase()));
        return found === undefined ? undefined : `${found[0]}: ${found[1]}`;
      }),
  },
  {
    id: "rfc-content-length",
    section: "RFC 9110 §8.6",
    level: "must",
    statement: "A Content-Length is the length of the body",
    run: (probe) =>
      judged(probe, ({ fields, body }) => {
        const length = fieldValue(fields, "content-length");
        if (length === undefined || length === `${body.length}`) return undefined;
        return `it says ${length}, and ${body.length} bytes came`;
      }),
  },
  {
    id: "rfc-head",
    section: "RFC 3875 §4.3.3",
    level: "must",
    statement: "The answer to HEAD has no body",
    async run(probe) {
      if (!probe.hasStdin) return untestable("this is about responders");
      const answer = await probe.plain({ method: "HEAD" });
      if (answer.body.length > 0) throw broken(answer, `it has ${answer.body.length} bytes`);
      return holds();
    },
  },
];

/** Judges the plain answers there are: to GET and, where there is a STDIN, to POST. */
async function judged(probe: Probe, wrong: (answer: Answer) => string | undefined): Promise<Verdict> {
  const answers = [await probe.plain({})];
  if (probe.hasStdin) answers.push(await probe.plain({ body: Buffer.from("probe=one") }));
  for (const answer of answers) {
    const says = wrong(answer);
    if (says !== undefined) throw broken(answer, says);
  }
  return holds();
}

function broken({ stdout }: Answer, says: string): Broken {
  return new Broken(says, [`STDOUT begins with ${shown(stdout)}`]);
}

function shown(stdout: Buffer): string {
  return JSON.stringify(stdout.toString("latin1", 0, 200));
}

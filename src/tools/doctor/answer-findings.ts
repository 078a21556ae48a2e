/** What an answer says of the application, as findings: the same of one that the doctor runs and of one that runs. */
import { clip } from "../../base/text.ts";
import type { Answer } from "./answer.ts";
import type { Finding, Remedy, WebServerFact } from "./model.ts";
import { placeOf } from "./places.ts";
import { passingPlace, taking } from "./web-server-remedies.ts";

/** Whose answer it is. */
export interface Asked {
  /** The beginning of ids. */
  readonly stage: "program" | "socket";
  /** In sentences: `the application`, `unix:/run/app.sock`. */
  readonly name: string;
  readonly target: string;
  readonly webServers: readonly WebServerFact[];
}

/** What nginx reserves for a head by default: one page. */
const NGINX_BUFFER = 4096;
/** What Apache takes of one line. */
const APACHE_LINE = 8190;

/** The findings of an answer that came, or broke off; none for `unconnected`, `stranger`, `closed` and `silent`. */
export function findingsOfAnswer(answer: Answer, asked: Asked): Finding[] {
  switch (answer.kind) {
    case "answered":
      return answer.status >= 500
        ? [failed(answer, asked)]
        : [tooLarge(answer, asked) ?? fine(answer, asked)];
    case "cut":
      return [
        bad(asked, "crash", `${asked.name} breaks off in the middle of its answer to ${asked.target}`, [
          `status ${answer.status}, then: ${answer.message}`,
          ...linesOf(answer.stderr),
        ]),
      ];
    case "refused":
      return [
        bad(
          asked,
          "overloaded",
          `${asked.name} refuses requests: it has as many as it may work on`,
          [answer.message],
          {
            advice:
              "more workers (--workers), or a higher --max-concurrency; postern status shows what they work on",
          },
        ),
      ];
    case "malformed":
      return [malformed(answer, asked)];
    default:
      return [];
  }
}

function failed(answer: Answer & { kind: "answered" }, asked: Asked): Finding {
  return bad(
    asked,
    "threw",
    `${asked.name} answers ${asked.target} with ${answer.status}: the application fails`,
    answer.stderr === "" ? [firstText(answer.body)] : linesOf(answer.stderr),
    { advice: "mend what its error says; the stack is in the application's own log" },
  );
}

function fine(answer: Answer & { kind: "answered" }, { stage, name, target }: Asked): Finding {
  const says = `${name} answers ${target} with ${answer.status} after ${answer.firstByteMs} ms`;
  return { id: `${stage}.answer`, verdict: "good", says, evidence: [], remedy: [] };
}

function tooLarge({ headBytes, headers }: Answer & { kind: "answered" }, asked: Asked): Finding | undefined {
  const longest = headers.reduce((most, text) => Math.max(most, text.length), 0);
  for (const server of asked.webServers) {
    const { text = "", backends } = server;
    const [backend] = backends;
    if (backend === undefined) continue;
    if (server.server === "nginx") {
      const buffer = sizeOf(/^\s*fastcgi_buffer_size\s+(\d+)([kKmM]?)\s*;/m.exec(text)) ?? NGINX_BUFFER;
      // The header of the record is in it, too.
      if (headBytes + 8 <= buffer) continue;
      const says = `the headers of the answer are larger than nginx takes: ${headBytes} bytes, and its fastcgi_buffer_size is ${buffer}`;
      return bad(
        asked,
        "header-too-large",
        says,
        headersShown(headers),
        ...largerBuffer(server, backend.place, headBytes),
        ...taking(server),
      );
    }
    if (server.server === "apache" && longest > APACHE_LINE) {
      const says = `a header of the answer is longer than Apache takes: ${longest} bytes, and it takes ${APACHE_LINE}`;
      return bad(asked, "header-too-large", says, headersShown(headers), {
        advice: "send less in that header: fewer or shorter cookies, a shorter Content-Security-Policy",
      });
    }
  }
  return undefined;
}

function largerBuffer(server: WebServerFact, place: string, headBytes: number): Remedy[] {
  const kilobytes = Math.max(16, 2 ** Math.ceil(Math.log2((headBytes + 8) / 1024)));
  const size = `${kilobytes}k`;
  const there = /fastcgi_buffer_size\s+\w+\s*;/.exec(server.text ?? "");
  if (there !== null)
    return [{ advice: `in ${placeOf(place).file}: fastcgi_buffer_size ${size}; fastcgi_buffers 8 ${size};` }];
  const to = `fastcgi_buffer_size ${size}; fastcgi_buffers 8 ${size}; fastcgi_pass`;
  return [{ ...passingPlace(server, place), from: "fastcgi_pass", to }];
}

function sizeOf(found: RegExpExecArray | null): number | undefined {
  if (found === null) return undefined;
  const unit = { k: 1024, m: 1024 ** 2 }[(found[2] ?? "").toLowerCase()] ?? 1;
  return Number(found[1]) * unit;
}

function headersShown(headers: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const [name = "", value = ""] = [headers[at], headers[at + 1]];
    if (value.length > 200) lines.push(`${name}: ${value.length} bytes, ${clip(value, 40)}`);
  }
  return lines.length > 0 ? lines.slice(0, 5) : [`${headers.length / 2} headers`];
}

function malformed({ message, seen, stderr }: Answer & { kind: "malformed" }, asked: Asked): Finding {
  const lines = seen.split(/\r?\n/);
  const at = lines.findIndex((line) => line !== "" && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:/.test(line));
  const line = lines[at];
  const says =
    line === undefined || line === ""
      ? `${asked.name} answers with something that is no header block`
      : `line ${at + 1} of the answer is no header: ${JSON.stringify(clip(line, 80))}`;
  return bad(asked, "malformed-header", says, [message, ...linesOf(stderr)], {
    advice:
      "headers come first, one NAME: VALUE a line, then an empty line: print nothing before them; what is to be seen by people goes to standard error",
  });
}

function bad(
  { stage }: Asked,
  id: string,
  says: string,
  evidence: readonly string[],
  ...remedy: readonly Remedy[]
): Finding {
  const steps = remedy.length > 0 ? remedy : [{ advice: "its own log says why" }];
  return { id: `${stage}.${id}`, verdict: "bad", says, evidence, remedy: steps };
}

/** Lines of our own log that tell of no failure. */
const CHATTER = /^\d{4}-\d\d-\d\dT\S+ (?:debug|info|warn) /;

/** The first lines of what was printed. */
export function linesOf(text: string, most = 6): string[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "" && !CHATTER.test(line))
    .slice(0, most)
    .map((line) => clip(line, 300));
}

function firstText(body: string): string {
  return clip(
    body
      .replace(/<[^>]*>/g, " ")
      .replace(/\s+/g, " ")
      .trim(),
    200,
  );
}

/** Both directions of a connection → requests and how they ended; and which of them a person wants to see. */
import { describe, expect, it } from "vitest";
import { widthOf } from "../../../src/status/text.ts";
import {
  Conversation,
  type Ending,
  type Exchange,
  type Side,
} from "../../../src/tools/capture/conversation.ts";
import { filterOf } from "../../../src/tools/inspect/filter.ts";
import { liveFrame } from "../../../src/tools/inspect/live.ts";
import { Summary } from "../../../src/tools/inspect/summary.ts";
import { jsonLine, paramLines, requestLine, requestObject, urlOf } from "../../../src/tools/inspect/view.ts";
import {
  abortRecord,
  PLAIN_GET,
  rawRecord,
  requestRecords,
  streamRecords,
  TYPE,
} from "../../support/records.ts";

interface Heard {
  readonly ended: Exchange[];
  readonly lines: string[];
  readonly broken: string[];
}

/** What is said of a conversation at a clock that goes on by 10 ms with every piece. */
function hear(
  pieces: readonly (readonly [Side, Buffer])[],
  close: Ending = "closed by the web server",
): Heard {
  const heard: Heard = { ended: [], lines: [], broken: [] };
  let now = 0;
  const conversation = new Conversation(
    {
      onEnd: (exchange) => void heard.ended.push(exchange),
      onStderr: ({ id }, line) => void heard.lines.push(`${id} ${line}`),
      onBroken: (side, { says }) => void heard.broken.push(`${side}: ${says}`),
    },
    { now: () => now, bodies: true },
  );
  for (const [side, bytes] of pieces) {
    now += 10;
    conversation.push(side, bytes);
  }
  conversation.close(close);
  return heard;
}

const asked = (id = 1, params: Readonly<Record<string, string>> = {}, body = ""): readonly [Side, Buffer] => [
  "web server",
  requestRecords({ id, params: { ...PLAIN_GET, ...params }, stdin: body }),
];
const said = (...records: Buffer[]): readonly [Side, Buffer] => ["application", Buffer.concat(records)];
const stdout = (text: string, id = 1): Buffer => streamRecords(TYPE.STDOUT, id, text);
const end = (id = 1, app = 0, protocol = 0): Buffer =>
  rawRecord(TYPE.END_REQUEST, id, Buffer.from([0, 0, 0, app, protocol, 0, 0, 0]));

describe("a conversation", () => {
  it("knows status, body, times and statuses of an answer", () => {
    const { ended } = hear([
      asked(1, { REQUEST_URI: "/a?b" }, "hello"),
      said(stdout("Status: 404 Not Found\r\nX-A: 1\r\n\r\nbo")),
      said(stdout("dy"), end(1, 3)),
    ]);
    expect(ended).toHaveLength(1);
    const [exchange] = ended;
    expect(exchange).toMatchObject({
      beginMs: 10,
      firstByteMs: 20,
      endMs: 30,
      stdinBytes: 5,
      bodyBytes: 4,
      appStatus: 3,
    });
    expect(exchange?.head?.status).toBe(404);
    expect(exchange?.ending).toBe("done");
    expect(urlOf(exchange!)).toBe("/a?b");
  });

  it("takes the answer after an interim one", () => {
    const { ended } = hear([
      asked(),
      said(stdout("Status: 103\r\nLink: a\r\n\r\nStatus: 201\r\nX-A: 1\r\n\r\nbody"), end()),
    ]);
    expect(ended[0]).toMatchObject({ bodyBytes: 4, head: { status: 201 } });
  });

  it.each([
    ["closed by the application", [said(stdout("X-A: 1\r\n\r\nhalf"))], "closed by the application"],
    ["aborted", [["web server", abortRecord(1)], said(end())], "done"],
    ["aborted", [["web server", abortRecord(1)]], "closed by the application"],
    ["overloaded", [said(end(1, 0, 2))], "done"],
    ["cannot multiplex", [said(end(1, 0, 1))], "done"],
    ["unknown role", [said(end(1, 0, 3))], "done"],
    ["tap ended", [], "tap ended"],
  ] as const)("says of a request that it was %s", (ending, pieces, close) => {
    const { ended } = hear([asked(), ...(pieces as readonly (readonly [Side, Buffer])[])], close);
    expect(ended.map((exchange) => exchange.ending)).toEqual([ending]);
  });

  it("keeps requests of one connection apart, and their lines of STDERR whole", () => {
    const stderr = (text: string, id: number): Buffer => rawRecord(TYPE.STDERR, id, text);
    const { ended, lines } = hear([
      asked(1, { REQUEST_URI: "/one" }),
      asked(2, { REQUEST_URI: "/two" }),
      said(
        stderr("fir", 1),
        stderr("second\n", 2),
        stderr("st\r\nrest", 1),
        stdout("X-A: 2\r\n\r\nBB", 2),
        end(2),
      ),
      said(stdout("X-A: 1\r\n\r\nA", 1), end(1)),
    ]);
    expect(ended.map((exchange) => [urlOf(exchange), exchange.bodyBytes])).toEqual([
      ["/two", 2],
      ["/one", 1],
    ]);
    expect(lines).toEqual(["2 second", "1 first", "1 rest"]);
  });

  it("gives up on bytes that are no records, once, and says which side sent them", () => {
    const { broken, ended } = hear([
      asked(),
      said(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")),
      said(Buffer.from("more")),
    ]);
    expect(broken).toEqual(["application: this is not FastCGI but an HTTP server's answer"]);
    expect(ended[0]?.ending).toBe("closed by the web server");
  });

  it("reads on where a header block makes no sense", () => {
    const { ended } = hear([asked(), said(stdout("no header at all\nand more"), end())]);
    expect(ended[0]?.headProblem).toMatch(/header line without a colon/);
    expect(ended[0]?.stdoutBytes).toBe(25);
  });
});

const one = (pieces: readonly (readonly [Side, Buffer])[]): Exchange => hear(pieces).ended[0]!;

describe("a filter", () => {
  const fine = one([asked(1, { REQUEST_URI: "/shop/cart?id=1" }), said(stdout("X-A: 1\r\n\r\n"), end())]);
  const wrong = one([
    asked(1, { REQUEST_URI: "/shop" }),
    said(stdout("Status: 503\r\n\r\n")),
    said(),
    said(end()),
  ]);
  const left = one([asked(1, { REQUEST_URI: "/" })]);

  it.each([
    [["5xx"], undefined, [wrong]],
    [["200,503"], undefined, [fine, wrong]],
    [["aborted"], undefined, [left]],
    [["failed"], undefined, [wrong, left]],
    [["slow:20ms"], undefined, [wrong]],
    [[], "/shop/*", [fine]],
    [[], "/shop*", [fine, wrong]],
    [[], "*?id=1", [fine]],
    [["503"], "/other", []],
  ])("%j %s", (only, url, expected) => {
    const filter = filterOf(only, url);
    expect([fine, wrong, left].filter(filter)).toEqual(expected);
  });

  it("refuses a word that it does not know", () => {
    expect(() => filterOf(["sometimes"], undefined)).toThrow(/--only "sometimes": write 5xx/);
  });
});

describe("what is shown", () => {
  const hostile = one([
    asked(1, { REQUEST_URI: "/\x1b[2J\x9b\n", HTTP_COOKIE: "secret", HTTP_X: "\x1b]0;title\x07" }),
    said(stdout("Set-Cookie: secret\r\n\r\n"), end(1, 7)),
  ]);

  it("moves no cursor and shows no secret", () => {
    const shown = [requestLine(1, hostile, 0), ...paramLines(hostile, false, 200)].join("\n");
    expect(shown).toContain("GET /\\x1b[2J\\x9b\\x0a");
    expect(shown).toContain("[done, app status 7]");
    expect(shown).toContain("HTTP_COOKIE=…(6 bytes)");
    expect(shown.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    const json = jsonLine(requestObject(hostile, { withSecrets: false, withParams: true }));
    expect(json).not.toMatch(/[^\x20-\x7e]|secret/);
    expect(JSON.parse(json)).toMatchObject({
      url: "/\x1b[2J\x9b\n",
      headers: [["Set-Cookie", "…(6 bytes)"]],
    });
    expect(paramLines(hostile, true, 200).join()).toContain("HTTP_COOKIE=secret");
  });

  it.each([
    [80, 24],
    [40, 6],
    [200, 60],
  ])("fits a screen of %i columns and %i rows, open requests first", (width, rows) => {
    const listed = Array.from({ length: 30 }, () => ({ connection: 1, exchange: hostile }));
    const state = {
      title: "a → b",
      startMs: 0,
      open: listed,
      ended: listed,
      requests: 30,
      failed: 1,
      notice: "x",
    };
    const frame = liveFrame(state, width, rows, 1000);
    expect(frame).toHaveLength(rows);
    for (const line of frame) expect(widthOf(line)).toBeLessThanOrEqual(width);
    expect(frame[0]).toContain("a → b");
    expect(frame.at(-1)).toContain("q quits");
  });

  it("sums up statuses, ends and the slowest", () => {
    const summary = new Summary();
    const slow = one([asked(1, { REQUEST_URI: "/slow" }), said(), said(), said(end())]);
    for (let count = 0; count < 9; count++) summary.add(1, hostile);
    summary.add(2, slow);
    const text = summary.lines(2).join("\n");
    expect(text).toMatch(/^10 requests on 2 connections/);
    expect(text).toMatch(/status: 9 × 200, 1 × none/);
    expect(text).toMatch(/slowest:\n\s+30\.0 ms {2}2\/1 {2}GET \/slow\n/);
    expect(summary.object(2)).toMatchObject({ requests: 10, failed: 9, statuses: { 200: 9, none: 1 } });
  });
});

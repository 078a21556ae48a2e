/** The Python worker's access log has the lines of the JavaScript one: every field, every format, whatever is asked. */
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileFormat } from "../../../src/server/access-log-format.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { run } from "../../support/process.ts";
import { PYTHON } from "../../support/python/python.ts";
import { describeWithServer } from "../../support/web-servers/available.ts";

type Params = Readonly<Record<string, string>>;

interface Case {
  readonly format: string;
  readonly most: number;
  readonly params: Params;
  readonly client: Params;
  readonly id: string;
  readonly head: string;
  readonly status: number;
  readonly sentBytes: number;
  readonly durationMs: number;
  readonly endedAt: number;
}

const FORMATS = [
  "common",
  "combined",
  "json",
  'every: %b %d %{milliseconds}d %{micro}d %f %i %l %m %M %{kilobytes}M %{mega}M %n %p %P %q %Q %r %R %s %u %% "%u %f"',
  '%{HTTP_USER_AGENT}e "%{HTTP_USER_AGENT}e" "%{CONTENT_TYPE}e" "%{REMOTE_PORT}e" %{HTTPS}e %{SERVER_PORT}e %{NOPE}e é',
  '%{Content-Type}o "%{content-type}o" "%{Status}o" %{X-None}o',
  "%t %T %{%Y %y %m %d %e %H %I %M %S %p %z %s %a %A %b %h %B %j %F %T %R %D %% é}t",
];

/** What Python makes of them, and the process it was. */
async function ofPython(cases: readonly Case[], TZ: string): Promise<{ pids: number[]; lines: string[] }> {
  const { code, stdout, stderr } = await run(
    PYTHON,
    [join(repositoryRoot, "test", "support", "python", "access_lines.py")],
    {
      input: cases.map((one) => JSON.stringify(one)).join("\n"),
      env: { ...process.env, TZ, PYTHONDONTWRITEBYTECODE: "1" },
      timeoutMs: 60_000,
    },
  );
  if (code !== 0) throw new Error(stderr);
  const [pids, ...lines] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  return { pids: pids as number[], lines: lines as string[] };
}

function ofJavaScript(one: Case, [pid, ppid]: readonly number[]): string {
  const asked = new Map(Object.entries(one.params));
  const client = new Map(Object.entries(one.client));
  const known = { pool: "web", pid: pid!, ppid: ppid!, memoryBytes: () => 50_000_000 };
  return compileFormat(
    one.format,
    one.most,
    known,
  )({
    exchange: { id: one.id, params: asked, client },
    method: asked.get("REQUEST_METHOD"),
    uri: asked.get("REQUEST_URI"),
    address: client.get("REMOTE_ADDR"),
    head: one.head,
    status: one.status,
    sentBytes: one.sentBytes,
    durationMs: one.durationMs,
    endedAt: one.endedAt,
  });
}

const piece = fc.constantFrom(
  ...'a b /path ? ?? & = " \\ \n \r \x00 \x7f é Ã© â\x82¬ \xff ð\x9f\x98\x80 ½ 100 %41'.split(/(?<=\S)(?= )/),
  "x".repeat(700),
  "y".repeat(4100),
  "",
);
const text = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(""));
const plain = fc.constantFrom("POST", "/a/b?c=d", "/a?", "kim", "10.0.0.2", "", "17", "HTTP/1.1");
const value = fc.oneof(text, plain);
const params = fc.record(
  {
    REQUEST_METHOD: value,
    REQUEST_URI: value,
    SCRIPT_NAME: value,
    PATH_INFO: value,
    SCRIPT_FILENAME: value,
    QUERY_STRING: value,
    SERVER_PROTOCOL: value,
    CONTENT_LENGTH: value,
    CONTENT_TYPE: value,
    REMOTE_ADDR: value,
    REMOTE_PORT: value,
    REMOTE_USER: value,
    SERVER_PORT: value,
    HTTPS: value,
    HTTP_HOST: value,
    HTTP_REFERER: value,
    HTTP_USER_AGENT: value,
  },
  { requiredKeys: [] },
);
const line = fc.record({
  format: fc.constantFrom(...FORMATS),
  most: fc.constantFrom(640, 4096),
  params,
  client: params,
  id: fc.constant("42-9"),
  head: fc.constantFrom(
    "Status: 201 Created\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
    'Location: /x\r\ncontent-type:  a "quoted" \xff \r\nStatus: 302 Found\r\n\r\n',
    "Status: 200 OK\r\n\r\n",
  ),
  status: fc.constantFrom(200, 499),
  sentBytes: fc.nat(),
  // Never half a millisecond: of two numbers that are as near, each language shows another.
  durationMs: fc.nat(600_000).map((at) => at + 0.25),
  endedAt: fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }),
});

describeWithServer("python", "the access log of a Python worker", () => {
  describe.each(["UTC", "America/St_Johns", "Asia/Kathmandu"])("in %s", (TZ) => {
    it("has the lines of the JavaScript one", async () => {
      const before = process.env["TZ"];
      process.env["TZ"] = TZ;
      try {
        const cases: Case[] = fc.sample(line, 1500);
        const { pids, lines } = await ofPython(cases, TZ);
        expect(lines.length).toBe(cases.length);
        for (const [at, one] of cases.entries()) {
          const wanted = ofJavaScript(one, pids);
          const found = lines[at] ?? "";
          // Lines are long: from where they differ.
          const same = [...wanted].findIndex((character, place) => character !== found[place]);
          const from = same < 0 ? wanted.length : same;
          expect([one.format, found.slice(from)]).toEqual([one.format, wanted.slice(from)]);
        }
      } finally {
        if (before === undefined) delete process.env["TZ"];
        else process.env["TZ"] = before;
      }
    });
  });
});

/** What is read of recordings, what is sent of them again and in which order, and which answers are the same. */
import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { resolveClientOptions } from "../../../src/client/options.ts";
import { decode } from "../../../src/tools/capture/decode.ts";
import { describeDecoded } from "../../../src/tools/capture/describe.ts";
import { type RecordedConnection, readRecordings, sideOf } from "../../../src/tools/capture/read.ts";
import { differences } from "../../../src/tools/replay/compare.ts";
import { planOne, planReplay } from "../../../src/tools/replay/plan.ts";
import { sendPlan } from "../../../src/tools/replay/send.ts";
import { decodeRecords, rawRecord, requestRecords, streamRecords, TYPE } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";

const end = (id: number, app = 0): Buffer =>
  rawRecord(TYPE.END_REQUEST, id, Buffer.from([0, 0, 0, app, 0, 0, 0, 0]));
const answer = (id: number, text: string): Buffer =>
  Buffer.concat([streamRecords(TYPE.STDOUT, id, text), end(id)]);

const one = requestRecords({ id: 1, keepConn: true, params: { REQUEST_URI: "/one" } });
const two = requestRecords({ id: 2, keepConn: true, params: { REQUEST_URI: "/two" } });
const three = requestRecords({ id: 1, keepConn: true, params: { REQUEST_URI: "/three" } });

/** One and two at the same time, three after one. */
function recording(more: Partial<RecordedConnection> = {}): RecordedConnection {
  const first = answer(1, "X-A: 1\r\n\r\nfirst");
  const rest = Buffer.concat([answer(2, "X-A: 2\r\n\r\nsecond"), answer(1, "Status: 404\r\n\r\nthird")]);
  return {
    name: "example",
    webServer: Buffer.concat([one, two, three]),
    application: Buffer.concat([first, rest]),
    steps: [
      { side: "web server", bytes: one.length + two.length, atMs: 1 },
      { side: "application", bytes: first.length, atMs: 20 },
      { side: "web server", bytes: three.length, atMs: 30 },
      { side: "application", bytes: rest.length, atMs: 40 },
    ],
    isRedacted: false,
    endedBy: undefined,
    cut: undefined,
    connection: undefined,
    ...more,
  };
}

describe("reading", () => {
  const stdin = Readable.from([]);
  const read = (file: string, isHex = false) => readRecordings(file, { from: undefined, isHex, stdin });

  it("takes bytes, packed bytes and hex as it was copied", async () => {
    const folder = temporaryFolder("read");
    const hex = one.toString("hex");
    const dump = [...Array(Math.ceil(one.length / 16)).keys()]
      .map((row) => {
        const bytes = one.subarray(row * 16, row * 16 + 16);
        const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
        const halves = `${digits.slice(0, 8).join(" ")}  ${digits.slice(8).join(" ")}`.trimEnd();
        const text = bytes.toString("latin1").replace(/[^\x20-\x7e]/g, ".");
        return `${(row * 16).toString(16).padStart(8, "0")}  ${halves.padEnd(48)}  |${text}|`;
      })
      .join("\n");
    const files = { "a.bin": one, "b.bin.gz": gzipSync(one) };
    const texts = {
      "c.hex": hex,
      "d.hex": hex.replace(/../g, "$& "),
      "e.hex": hex.replace(/../g, "0x$&, "),
      "f.hex": `${dump}\n${one.length.toString(16).padStart(8, "0")}\n`,
    };
    for (const [name, bytes] of Object.entries({ ...files, ...texts }))
      writeFileSync(join(folder, name), bytes);
    for (const name of Object.keys(files))
      expect((await read(join(folder, name)))[0]?.webServer).toEqual(one);
    for (const name of Object.keys(texts))
      expect((await read(join(folder, name), true))[0]?.webServer, name).toEqual(one);
    writeFileSync(join(folder, "g.hex"), "0102 zz");
    await expect(read(join(folder, "g.hex"), true)).rejects.toThrow(/"z" is no hex digit/);
  });

  it("knows by the first record who sent it, and never leaves the folder of a sidecar", async () => {
    expect(sideOf(one)).toBe("web server");
    expect(sideOf(end(1))).toBe("application");
    const folder = temporaryFolder("side");
    writeFileSync(join(folder, "x.bin"), end(1));
    writeFileSync(
      join(folder, "evil.json"),
      JSON.stringify({ fcgi_connections: [{ file: "../../../../etc/passwd" }] }),
    );
    expect((await read(join(folder, "x.bin")))[0]).toMatchObject({
      webServer: undefined,
      application: end(1),
    });
    await expect(read(join(folder, "evil.json"))).rejects.toThrow(/passwd: it cannot be read: ENOENT/);
  });

  it("does not wait for a pipe that a sidecar names, nor believe impossible numbers in it", async () => {
    const folder = temporaryFolder("hostile");
    execFileSync("mkfifo", [join(folder, "pipe.bin")]);
    const sidecar = (name: string, connection: object): string => {
      writeFileSync(join(folder, name), JSON.stringify({ fcgi_connections: [connection] }));
      return join(folder, name);
    };
    await expect(read(sidecar("pipe.json", { file: "pipe.bin" }))).rejects.toThrow(/pipe.bin: it is no file/);
    writeFileSync(join(folder, "x.bin"), one);
    const timeline = [-5, 2.5, 1e300].map((n) => ({ ev: "in", n, t: 1 }));
    const [found] = await read(sidecar("x.json", { file: "x.bin", timeline }));
    expect(found?.steps).toEqual([]);
    expect(decode(found!).requests).toHaveLength(1);
  });

  it("says the name of a file without its control characters, and how to read more hex than it takes", async () => {
    const folder = temporaryFolder("names");
    await expect(read(join(folder, "\x1b[2J.bin"))).rejects.toThrow(/\\x1b\[2J\.bin: there is no such file/);
    const file = join(folder, "long.hex");
    writeFileSync(file, "");
    truncateSync(file, 64 * 1024 ** 2 + 1);
    await expect(read(file, true)).rejects.toThrow(/67108864 bytes of hex .* xxd -r -p/);
  });
});

describe("decoding both directions", () => {
  it("joins questions and answers, and says in words what is there", () => {
    const decoded = decode(recording());
    expect(decoded.requests.map(({ head, bodyBytes }) => [head?.status, bodyBytes])).toEqual([
      [200, 5],
      [200, 6],
      [404, 5],
    ]);
    const text = describeDecoded(recording(), decoded, {
      width: 200,
      withSecrets: false,
      content: "text",
    }).join("\n");
    expect(text).toMatch(/request 3 \(id 1\): GET \/three {2}responder, keep the connection/);
    expect(text).toMatch(/answer: 404, body 5 bytes, sha256 [0-9a-f]{64}/);
  });

  it("shows an answer that was recorded without its question", () => {
    const decoded = decode(recording({ webServer: undefined, steps: [] }));
    expect(decoded.requests.map(({ head, ending }) => [head?.status, ending])).toEqual([
      [200, "done"],
      [200, "done"],
      [404, "done"],
    ]);
  });

  it("says where it breaks", () => {
    const webServer = Buffer.concat([one, Buffer.from("garbage")]);
    const decoded = decode(recording({ webServer, steps: [] }));
    const says = `at offset ${one.length}, begins with byte 103`;
    expect(decoded.directions[0]?.broken?.says).toContain(says);
    expect(
      describeDecoded(recording(), decoded, { width: 200, withSecrets: false, content: "none" }).join(),
    ).toContain(says);
  });
});

describe("a replay", () => {
  it("begins a request when those have ended that had ended before it", () => {
    const plan = planReplay(recording());
    expect(plan.sends.map(({ after, bytes, atMs }) => [after, bytes.length, atMs])).toEqual([
      [[], one.length, 1],
      [[], two.length, 1],
      [[1], three.length, 30],
    ]);
    expect(Buffer.concat(plan.sends.map(({ bytes }) => bytes)).equals(recording().webServer!)).toBe(true);
    expect([...plan.awaited]).toEqual([1, 2, 3]);
  });

  it("waits for an application to hang up again that had hung up on a whole request", () => {
    const crash = { application: Buffer.alloc(0), endedBy: "application", steps: [] } as const;
    expect([...planReplay(recording({ ...crash, webServer: one })).awaited]).toEqual([1]);
    const half = one.subarray(0, one.length - 8);
    expect([...planReplay(recording({ ...crash, webServer: half })).awaited]).toEqual([]);
  });

  it("without recorded answers sends whole requests one after the other", () => {
    const plan = planReplay(recording({ application: undefined, steps: [] }));
    expect(plan.sends.map(({ after }) => after)).toEqual([[], [1], [2]]);
  });

  it("of one request sends its own records and no others", () => {
    expect(Buffer.concat(planOne(recording(), 2).sends.map(({ bytes }) => bytes)).equals(two)).toBe(true);
    expect(Buffer.concat(planOne(recording(), 3).sends.map(({ bytes }) => bytes)).equals(three)).toBe(true);
    expect(planOne(recording(), 3).requests[0]?.head?.status).toBe(404);
  });

  it("waits for answers where the recording did, and no longer than it is told to", async () => {
    const order: string[] = [];
    const server = net.createServer((socket) => {
      let seen = 0;
      let bytes = Buffer.alloc(0);
      socket.on("data", (piece: Buffer) => {
        bytes = Buffer.concat([bytes, piece]);
        const { records } = decodeRecords(bytes);
        const ends = records.filter(
          ({ type, content }) => type === TYPE.STDIN && content.length === 0,
        ).length;
        if (ends === seen) return;
        seen = ends;
        order.push(`${ends} asked`);
        if (ends === 2) socket.write(answer(1, "X-A: 1\r\n\r\nfirst"));
        if (ends === 3) socket.write(answer(2, "X-A: 2\r\n\r\nsecond"));
      });
    });
    const path = join(temporaryFolder("replay"), "a.sock");
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const target = resolveClientOptions({ connect: `unix:${path}` });
    const sent = await sendPlan(planReplay(recording()), target, { pace: "fast", maxMs: 700 });
    server.close();
    expect(order.slice(-2)).toEqual(["2 asked", "3 asked"]);
    expect(sent.isLate).toBe(true);
    expect(sent.requests.map(({ ending, head }) => [ending, head?.status])).toEqual([
      ["done", 200],
      ["done", 200],
      ["closed by the web server", undefined],
    ]);
  });
});

describe("two answers", () => {
  const options = {
    ignoredHeaders: new Set(["date"]),
    ignoresBody: false,
    ignoresStderr: false,
    isRedacted: false,
  };
  const of = (text: string, app = 0) => {
    const application = Buffer.concat([streamRecords(TYPE.STDOUT, 1, text), end(1, app)]);
    return decode(recording({ webServer: one, application, steps: [] })).requests[0]!;
  };
  const differ = (was: string, is: string, more: Partial<typeof options> = {}) =>
    differences(of(was), of(is), { ...options, ...more }).map(
      ({ what, recorded, now }) => `${what}: ${recorded} → ${now}`,
    );

  it.each([
    ["Status: 200\r\n\r\n", "Status: 500\r\n\r\n", ["status: 200 → 500"]],
    ["X-A: 1\r\nDate: a\r\n\r\n", "x-a: 2\r\nDate: b\r\n\r\n", ["header x-a: 1 → 2"]],
    ["X-A: 1\r\n\r\n", "X-B: 1\r\n\r\n", ["header x-a: 1 → none", "header x-b: none → 1"]],
    [
      "X-A: 1\r\n\r\nabc",
      "X-A: 1\r\n\r\nabd",
      [expect.stringMatching(/^body: 3 bytes.*first different byte is 2$/)],
    ],
    ["Set-Cookie: a=1; Expires=Mon; Path=/\r\n\r\n", "Set-Cookie: a=1; Expires=Tue; Path=/\r\n\r\n", []],
    [
      "Set-Cookie: a=1\r\nSet-Cookie: b=1\r\n\r\n",
      "Set-Cookie: a=1\r\n\r\n",
      ["header set-cookie: a=1 | b=1 → a=1"],
    ],
  ])("%j and %j", (was, is, expected) => {
    expect(differ(was, is)).toEqual(expected);
  });

  it("are the same where they may differ", () => {
    expect(differ("X-A: 1\r\n\r\nabc", "X-A: 1\r\n\r\nabd", { ignoresBody: true })).toEqual([]);
    expect(differ("Set-Cookie: xxxx\r\n\r\n", "Set-Cookie: a=17\r\n\r\n", { isRedacted: true })).toEqual([]);
    expect(differences(of("X-A: 1\r\n\r\n"), of("X-A: 1\r\n\r\n", 9), options)).toEqual([
      { what: "app status", recorded: "0", now: "9" },
    ]);
  });
});

/** The benchmark: that its load notices wrong answers, and that the goal table is measured. */
import { writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { pathWith } from "../support/path-with.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { rawRecord, TYPE } from "../support/records.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

interface Entry {
  readonly row: string;
  readonly work: string;
  readonly peer: string;
  readonly measured: number | null;
  readonly gate: number | null;
  readonly goal: number | null;
  readonly verdict: string;
  readonly node: string;
  readonly missing?: string;
}

const BENCH = join(repositoryRoot, "bench", "run.mjs");

describeWithServer(["gcc", "libc6-dev", "libfcgi-dev"], "the goals run", () => {
  beforeAll(() => built());

  it("measures the rows it is asked for, and says which peer is missing", async () => {
    // As on a machine without Perl.
    const path = pathWith("gcc", "as", "ld", "taskset", "test");
    const { code, stdout, stderr } = await run(
      process.execPath,
      [BENCH, "--goals", "--json", "--no-install", "--only", "1,11", "--rounds", "1", "--seconds", "0.05"],
      { env: { ...process.env, PATH: path }, timeoutMs: 55_000 },
    );
    expect(code, stderr).toBe(0);
    const entries = JSON.parse(stdout) as Entry[];
    expect(entries.map(({ row, peer, gate, goal, node }) => ({ row, peer, gate, goal, node }))).toEqual([
      { row: "1", peer: "floor", gate: 1.4, goal: 0.9, node: process.version },
      { row: "11", peer: "libfcgi", gate: 1.2, goal: 0.9, node: process.version },
      { row: "11", peer: "perl", gate: null, goal: null, node: process.version },
    ]);
    const [floor, libfcgi, perl] = entries;
    for (const entry of [floor, libfcgi]) {
      expect(entry?.measured, stderr).toBeGreaterThan(0);
      expect(["goal", "gate", "missed"]).toContain(entry?.verdict);
    }
    expect(perl).toMatchObject({ measured: null, verdict: "missing" });
    expect(perl?.missing).toContain("libfcgi-perl");
  });

  it("refuses a row that does not exist", async () => {
    const { code, stderr } = await run(process.execPath, [BENCH, "--goals", "--only", "1,99"]);
    expect(code).toBe(1);
    expect(stderr).toContain("there is no row 99");
  });
});

describe("the goal table", () => {
  it("has every row", async () => {
    const index = JSON.stringify(join(repositoryRoot, "bench", "goals", "index.mjs"));
    const script = `import(${index}).then(({ ROWS }) => console.log(JSON.stringify(ROWS.map(({ row }) => row))))`;
    const { stdout, stderr } = await run(process.execPath, ["-e", script]);
    const rows = new Set(JSON.parse(stdout === "" ? `["${stderr}"]` : stdout) as string[]);
    const numbers = Array.from({ length: 22 }, (_, index) => String(index + 1));
    expect([...rows]).toEqual(numbers.toSpliced(19, 0, "19b"));
  });
});

interface Result {
  readonly answered: number;
  readonly failed: number;
  readonly reconnected: number;
  readonly failure?: string;
  readonly also?: { readonly answered: number };
}

describeWithServer(["gcc", "libc6-dev"], "the load", () => {
  let program = "";
  let request = "";
  beforeAll(async () => {
    const folder = temporaryFolder();
    program = join(folder, "load");
    const source = join(repositoryRoot, "bench", "load", "load.c");
    const flags = ["-O2", "-Wall", "-Wextra", "-Werror"];
    const { code, stderr } = await run("gcc", [...flags, "-o", program, source], { timeoutMs: 50_000 });
    expect(code, stderr).toBe(0);
    request = join(folder, "request");
    writeFileSync(
      request,
      Buffer.concat([
        rawRecord(TYPE.BEGIN_REQUEST, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0, 0])),
        rawRecord(TYPE.PARAMS, 1, Buffer.alloc(0)),
        rawRecord(TYPE.STDIN, 1, Buffer.alloc(0)),
      ]),
    );
  });

  /** The result of a load of ten requests on a server that answers each request as `answer` says. */
  async function load(answer: (id: number, peer: net.Socket) => Buffer | undefined, ...flags: string[]) {
    const path = join(temporaryFolder(), "app.sock");
    const server = net.createServer((peer) => {
      peer.on("error", () => {});
      let unread: Buffer = Buffer.alloc(0);
      peer.on("data", (chunk) => {
        unread = Buffer.concat([unread, chunk]);
        while (unread.length >= 8) {
          const length = 8 + unread.readUInt16BE(4) + unread[6]!;
          if (unread.length < length) return;
          const isEnd = unread[1] === TYPE.STDIN;
          const id = unread.readUInt16BE(2);
          unread = unread.subarray(length);
          const bytes = isEnd ? answer(id, peer) : undefined;
          if (bytes !== undefined) peer.write(bytes);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const args = ["--warm", "0", "--count", "10", "--request", request, ...flags, `unix:${path}`];
    const { stdout, stderr } = await run(program, args, { timeoutMs: 20_000 });
    server.close();
    const line = stdout.trim().split("\n").at(-1) ?? "";
    if (!line.includes("answered")) throw new Error(stderr);
    return JSON.parse(line) as Result;
  }

  const answered = (id: number, text: string, end: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0]) =>
    Buffer.concat([
      rawRecord(TYPE.STDOUT, id, Buffer.from(text)),
      rawRecord(TYPE.STDOUT, id, Buffer.alloc(0)),
      rawRecord(TYPE.END_REQUEST, id, Buffer.from(end)),
    ]);
  const GOOD = "Content-Type: text/plain\r\n\r\nhello";

  it("counts whole answers of the expected length", async () => {
    const result = await load((id) => answered(id, GOOD), "--expect", "5", "--connections", "3");
    expect(result).toMatchObject({ answered: 10, failed: 0, reconnected: 0 });
  });

  it.each([
    ["another length", "a body of 5 bytes instead of 6", GOOD, [0, 0, 0, 0, 0, 0, 0, 0]],
    ["another status", "a status other than 200", `Status: 500 Oh\r\n${GOOD}`, [0, 0, 0, 0, 0, 0, 0, 0]],
    ["no head", "an answer without a head", "hello", [0, 0, 0, 0, 0, 0, 0, 0]],
    ["an exit code", "END_REQUEST with status 0, 1", GOOD, [0, 0, 0, 1, 0, 0, 0, 0]],
    ["a refusal", "END_REQUEST with status 2, 0", GOOD, [0, 0, 0, 0, 2, 0, 0, 0]],
  ])("does not count an answer with %s", async (_, failure, text, end) => {
    const expected = failure.includes("instead") ? "6" : "5";
    const result = await load((id) => answered(id, text, end), "--expect", expected);
    expect(result).toMatchObject({ answered: 0, failed: 10, failure });
  });

  it("does not count an answer that the end of the connection cuts off", async () => {
    const result = await load((id, peer) => {
      peer.end(answered(id, GOOD).subarray(0, -4));
      return undefined;
    });
    expect(result).toMatchObject({ answered: 0, failed: 10 });
    expect(result.failure).toContain("closed before the answer was complete");
  });

  it("asks again on a new connection when a kept one is closed behind an answer", async () => {
    const result = await load((id, peer) => {
      peer.end(answered(id, GOOD));
      return undefined;
    });
    expect(result).toMatchObject({ answered: 10, failed: 0, reconnected: 9 });
  });

  it("does not wait for ever for an answer", async () => {
    const result = await load(() => undefined, "--patience", "0.1", "--connections", "2");
    expect(result).toMatchObject({ answered: 0, failed: 2 });
  });

  it("needs the application to close where each request has a connection", async () => {
    const closing = await load((id, peer) => {
      peer.end(answered(id, GOOD));
      return undefined;
    }, "--close");
    expect(closing).toMatchObject({ answered: 10, failed: 0, reconnected: 0 });
    const keeping = await load((id) => answered(id, GOOD), "--close", "--patience", "0.1");
    expect(keeping.failed).toBe(1);
  });

  it("tells multiplexed answers apart, in whatever order they come", async () => {
    const waiting: number[] = [];
    const ids = new Set<number>();
    const result = await load(
      (id) => {
        ids.add(id);
        if (waiting.push(id) < 5) return undefined;
        return Buffer.concat(
          waiting
            .splice(0)
            .reverse()
            .map((one) => answered(one, GOOD)),
        );
      },
      ...["--expect", "5", "--multiplex", "5"],
    );
    expect(result).toMatchObject({ answered: 10, failed: 0 });
    expect([...ids].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  it("sends every Nth request differently, and counts those apart", async () => {
    const also = join(temporaryFolder(), "also");
    const records = [rawRecord(TYPE.BEGIN_REQUEST, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0, 0]))];
    records.push(rawRecord(TYPE.STDIN, 1, Buffer.alloc(0)));
    writeFileSync(also, Buffer.concat(records));
    const result = await load((id) => answered(id, GOOD), "--also", also, "--every", "5");
    expect(result).toMatchObject({ answered: 10, failed: 0, also: { answered: 2 } });
  });
});

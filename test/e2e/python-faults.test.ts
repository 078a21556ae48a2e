/**
 * What hostile and broken clients, and hostile and broken applications, do to a Python worker: each costs at most its own
 * request or connection, and the worker serves the next one; where a worker is lost, the manager has another.
 */
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClientPool } from "../../src/client/index.ts";
import { built } from "../support/e2e/built.ts";
import {
  get,
  type Managed,
  outcome,
  PATIENT,
  serveManaged,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { repositoryRoot } from "../support/paths.ts";
import { isAlive } from "../support/proc.ts";
import { type Running, run, start } from "../support/process.ts";
import { ask, PYTHON, PYTHON_FOLDER } from "../support/python/python.ts";
import {
  abortRecord,
  beginRecord,
  encodePairs,
  getValuesRecord,
  PLAIN_GET,
  paramsRecords,
  requestRecords,
  stdinRecords,
  streamRecords,
  TYPE,
} from "../support/records.ts";
import { temporaryFolder } from "../support/temp.ts";
import { loadVectors } from "../support/vectors.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { connectWire, type Wire } from "../support/wire.ts";

const THREADS = 4;
const LONG = { timeout: patience(60_000) };

interface Faulty extends Managed {
  readonly path: string;
  connect(): Promise<Wire>;
}

async function serve(...flags: string[]): Promise<Faulty> {
  const folder = temporaryFolder("f");
  copyFileSync(join(repositoryRoot, "test", "support", "python", "faulty.py"), join(folder, "faulty.py"));
  const path = join(folder, "a.sock");
  const address = `unix:${path}`;
  const args = ["serve", "faulty:app", "--bind", address, "--python", PYTHON, "--threads", `${THREADS}`];
  const managed = await serveManaged({ args: [...args, ...flags], address, cwd: folder });
  return { ...managed, path, connect: () => connectWire({ path }) };
}

const url = (path: string): Record<string, string> => {
  const [name = "", query = ""] = path.split("?");
  return { REQUEST_URI: path, PATH_INFO: name, QUERY_STRING: query };
};

describeWithServer("python", "a Python worker", () => {
  let worker: Faulty;
  let pid: string;

  beforeAll(async () => {
    await built();
    worker = await serve();
    pid = (await worker.get("/")).text;
  });
  afterAll(async () => {
    await stopManagers();
  });

  /** All its threads serve, at once, and it is still the same process. */
  async function isWell(): Promise<void> {
    const until = join(temporaryFolder("u"), "now");
    const waiting = Array.from({ length: THREADS - 1 }, () => get(worker.address, `/wait?until=${until}`));
    expect((await worker.get("/")).text).toBe(pid);
    writeFileSync(until, "");
    for (const answer of await Promise.all(waiting)) expect(answer.text).toBe("waited");
  }

  describe("and its clients", () => {
    // Limits of ours are others, and a request that was refused leaves nothing behind.
    const GOES_ON = [
      "invalid/begin-twice-unknown-role",
      "invalid/requests-at-twice-the-limit",
      "invalid/skipped-params-of-too-many",
      "invalid/skipped-params",
    ];

    it.each(loadVectors("invalid").map(({ name, bytes }) => [name, bytes] as const))(
      "closes the connection: %s",
      async (name, bytes) => {
        const wire = await worker.connect();
        wire.send(bytes);
        if (GOES_ON.includes(name)) wire.socket.end();
        await wire.end();
        wire.destroy();
        expect((await worker.get("/")).text).toBe(pid);
      },
    );

    it("comes to an end with every conversation that is allowed", async () => {
      const vectors = loadVectors("valid");
      for (const { bytes } of vectors) {
        const wire = await worker.connect();
        wire.send(bytes);
        wire.socket.end();
        await wire.end();
        wire.destroy();
      }
      expect(vectors.length).toBeGreaterThan(100);
      await isWell();
    });

    it("stands random bytes, and real ones that were changed or cut", LONG, async () => {
      const real = requestRecords({ params: url("/read?a"), stdin: "some bytes of a body", keepConn: true });
      const change = fc.tuple(fc.nat(real.length - 1), fc.nat(255));
      const bytes = fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc
          .tuple(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(real.length))
          .map(([changes, end]) => {
            const copy = Buffer.from(real);
            for (const [at, value] of changes) copy[at] = value;
            return copy.subarray(0, Math.max(end, 8));
          }),
      );
      for (const sent of fc.sample(bytes, { numRuns: 400, seed: 20261123 })) {
        const wire = await worker.connect();
        wire.send(sent);
        wire.socket.end();
        await wire.end();
        wire.destroy();
      }
      await isWell();
    });

    it("serves one byte at a time, beside thousands of connections that say nothing", LONG, async () => {
      const idle: Wire[] = [];
      for (let count = 0; count < 2000; count++) {
        // Answered in their order: no more than so many wait in the queue of the socket, which holds 511.
        if (count % 256 === 255) await isWell();
        idle.push(await worker.connect());
      }
      const half = requestRecords().subarray(0, 40);
      for (const wire of idle.slice(0, 500)) wire.send(half);
      const slow = await worker.connect();
      slow.socket.setNoDelay(true);
      for (const byte of requestRecords({ params: url("/read"), stdin: "slow" })) {
        await new Promise((resolve) => slow.socket.write(Buffer.from([byte]), resolve));
      }
      expect((await slow.answer()).body.toString()).toBe("4");
      await isWell();
      for (const wire of idle) wire.destroy();
      slow.destroy();
    });

    it("serves others while big answers are not read", LONG, async () => {
      const deaf = await Promise.all(Array.from({ length: THREADS - 1 }, () => worker.connect()));
      for (const wire of deaf) {
        wire.socket.pause();
        wire.send(requestRecords({ params: url("/big?pieces=100") }));
      }
      expect((await worker.get("/")).text).toBe(pid);
      for (const wire of deaf) wire.socket.resume();
      for (const wire of deaf) {
        await wire.end();
        expect((await wire.answer()).body.length).toBe(10_000_000);
        wire.destroy();
      }
    });

    it("takes an abort at every stage, on a connection that is kept", async () => {
      const wire = await worker.connect();
      const all = requestRecords({ params: url("/read"), stdin: "x", keepConn: true });
      wire.send(beginRecord(1, { keepConn: true }), abortRecord());
      await wire.answer();
      const params = paramsRecords(1, { ...PLAIN_GET, ...url("/read"), CONTENT_LENGTH: "5" });
      wire.send(beginRecord(1, { keepConn: true }), params.subarray(0, -8), abortRecord());
      await waitFor(() => wire.records.length === 2);
      const body = streamRecords(TYPE.STDIN, 1, "abc", { open: true });
      wire.send(beginRecord(1, { keepConn: true }), params, body, abortRecord());
      await waitFor(() => wire.records.filter(({ type }) => type === TYPE.END_REQUEST).length === 3);
      wire.send(abortRecord(), all, abortRecord());
      await waitFor(() => wire.records.filter(({ type }) => type === TYPE.END_REQUEST).length === 4);
      expect(wire.received.toString("latin1")).toContain("\r\n\r\n1");
      wire.destroy();
    });

    it("refuses a second request on a connection, and answers GET_VALUES in the middle of a body", async () => {
      const wire = await worker.connect();
      const params = paramsRecords(1, { ...PLAIN_GET, ...url("/read"), CONTENT_LENGTH: "4" });
      const piece = streamRecords(TYPE.STDIN, 1, "ab", { open: true });
      wire.send(
        beginRecord(1),
        params,
        piece,
        getValuesRecord(["FCGI_MPXS_CONNS"]),
        requestRecords({ id: 2 }),
      );
      wire.send(streamRecords(TYPE.STDIN, 1, "cd"));
      await wire.end();
      expect((await wire.answer()).body.toString()).toBe("4");
      const result = wire.records.find(({ type }) => type === TYPE.GET_VALUES_RESULT);
      expect(result?.content).toEqual(encodePairs({ FCGI_MPXS_CONNS: "0" }));
      const refused = wire.records.filter(({ id, type }) => id === 2 && type === TYPE.END_REQUEST);
      expect(refused.map(({ content }) => content[4])).toEqual([1]); // CANT_MPX_CONN
      wire.destroy();
    });

    it("refuses another role without a reset, however much of the request comes behind", async () => {
      const wire = await worker.connect();
      const params = paramsRecords(1, { ...PLAIN_GET, ...url("/read") });
      wire.send(beginRecord(1, { role: 3 }));
      await wire.end();
      expect((await wire.answer()).end?.protocolStatus).toBe(3); // UNKNOWN_ROLE
      wire.send(params, stdinRecords(1, ""));
      for (let count = 0; count < 20; count++) {
        await new Promise((resolve) =>
          wire.socket.write(streamRecords(TYPE.STDIN, 1, "x".repeat(65528)), resolve),
        );
      }
      expect(wire.error).toBeUndefined();
      wire.destroy();
    });

    it("drops what is longer than CONTENT_LENGTH, in however small records", async () => {
      const wire = await worker.connect();
      const cuts = Array.from({ length: 3000 }, () => 1);
      const params = { ...PLAIN_GET, ...url("/read"), CONTENT_LENGTH: "3" };
      wire.send(beginRecord(1), paramsRecords(1, params), stdinRecords(1, "y".repeat(3000), { cuts }));
      expect((await wire.answer()).body.toString()).toBe("3");
      wire.destroy();
    });

    it(
      "stands a Content-Length that is none, params of every size, and lines in the log that are as long",
      LONG,
      async () => {
        for (const length of ["-1", "1e3", "99999999999999999999", "0x10", " 4", "٤"]) {
          const wire = await worker.connect();
          const params = {
            ...PLAIN_GET,
            ...url("/read"),
            CONTENT_LENGTH: Buffer.from(length).toString("latin1"),
          };
          wire.send(beginRecord(1), paramsRecords(1, params), stdinRecords(1, "four"));
          expect((await wire.answer()).body.toString(), length).toBe("4");
          wire.destroy();
        }
        // A URL that is six times as long in the messages to the manager.
        const long = `/raise?error=RuntimeError&where=call&${"\xff".repeat(100_000)}`;
        const client = new ClientPool({ connect: worker.address, timeoutMs: 30_000 });
        try {
          expect((await ask(client, long)).status).toBe(500);
        } finally {
          await client.close();
        }
        await isWell();
      },
    );

    it("gives the thread back that a HEAD of an endless answer took", async () => {
      const from = worker.process.lines.length;
      for (let count = 0; count < THREADS + 1; count++) {
        const wire = await worker.connect();
        wire.send(requestRecords({ params: { ...url("/endless"), REQUEST_METHOD: "HEAD" } }));
        expect((await wire.answer()).body.toString()).toBe("");
        wire.destroy();
      }
      await worker.line(/endless ends/, from);
      await isWell();
    });

    it("gives it back when an endless answer has what its Content-Length says", async () => {
      const from = worker.process.lines.length;
      const wire = await worker.connect();
      wire.send(requestRecords({ params: url("/endless?length=250") }));
      expect((await wire.answer()).body.length).toBe(250);
      await worker.line(/endless ends/, from);
      wire.destroy();
      await isWell();
    });

    it("serves the next request behind padding that comes late", async () => {
      const wire = await worker.connect();
      const request = requestRecords({ params: url("/"), keepConn: true });
      const head = request.subarray(0, request.length - 8);
      for (let count = 0; count < 3; count++) {
        // The record that ends STDIN, and then its padding.
        wire.send(head, Buffer.from([1, TYPE.STDIN, 0, 1, 0, 0, 200, 0]), Buffer.alloc(count));
        expect((await wire.answer()).body.toString()).toBe(pid);
        wire.send(Buffer.alloc(200 - count));
      }
      wire.destroy();
    });

    it("gives it back when the client of an endless answer leaves", async () => {
      const from = worker.process.lines.length;
      const wire = await worker.connect();
      wire.send(requestRecords({ params: url("/endless") }));
      await wire.head();
      wire.destroy();
      await worker.line(/endless ends/, from);
      await isWell();
    });
  });

  describe("and its application", () => {
    const ERRORS = ["RuntimeError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError"];
    const ODD = ["StopIteration", "Long", "Surrogate", "Unprintable"];

    it.each([...ERRORS, ...ODD])("goes on after %s at every stage", async (error) => {
      const at = (where: string): Promise<string> =>
        outcome(get(worker.address, `/raise?error=${error}&where=${where}`));
      expect(await at("call")).toMatch(/^500 /);
      if (error !== "StopIteration") {
        expect(await at("first")).toMatch(/^500 /);
        expect(await at("later")).toMatch(/^failed/); // cut, so that nobody takes a part for the whole
      }
      expect(await at("close")).toBe("200 piecepiecepiecepiece");
      expect((await worker.get("/")).text).toBe(pid);
    });

    it("answers 500 for what HTTP forbids, and lets none of it out", async () => {
      const bad = [
        "status=200%20OK%0d%0aX-Evil:%201",
        "status=200%0aX",
        "status=abc",
        "status=99",
        "value=a%0d%0aX-Evil:%201",
        "value=a%0ab",
        "value=%00",
        "value=%E2%82%AC",
        "name=X%20Y",
        "name=X:",
        "name=Content-Length&value=-1",
        "name=Content-Length&value=1e3",
        "name=Content-Length&value=%D9%A4",
        "body=str",
        "body=none",
        "body=int",
      ];
      for (const query of bad) {
        const answer = await worker.get(`/answer?${query}`);
        expect([query, answer.status]).toEqual([query, 500]);
        expect(answer.text).not.toContain("Evil");
      }
      expect((await worker.get("/nothing")).status).toBe(500);
      expect((await worker.get("/deep")).status).toBe(500);
      await isWell();
    });

    it("counts bytes of whatever has them", async () => {
      expect((await worker.get("/memoryview")).text).toBe("a".repeat(40) + "b".repeat(10));
    });

    it("is no second server in a child that the application forks", async () => {
      expect((await worker.get("/fork?how=exit")).text).toBe("parent, child ended with 7");
      expect((await worker.get("/fork?how=raise")).text).toBe("parent, child ended with 1");
      expect((await worker.get("/fork?how=return")).text).toBe("parent, child ended with 0");
      expect((await worker.get("/terminate")).text).toBe("ended by 15"); // as multiprocessing does it
      await worker.line(/RuntimeError: in the child/);
      await isWell();
    });

    it("prints what it likes", async () => {
      const from = worker.process.lines.length;
      expect((await worker.get("/print?text=much&lines=20000")).text).toBe("printed");
      await worker.line(/ out {3}\[test \d+\] \\ud800 é/, from);
    });

    it("goes on with the threads it has when the system gives no more", async () => {
      const other = await serve("--workers", "1");
      expect((await other.get("/stack-size?bytes=70368744177664")).text).toBe("set");
      const until = join(temporaryFolder("u"), "now");
      const waiting = [1, 2, 3].map(() => other.get(`/wait?until=${until}`));
      await other.line(/of 4 threads run: the system gives no more/);
      writeFileSync(until, "");
      for (const { status } of await Promise.all(waiting)) expect(status).toBe(200);
      expect((await other.get("/stack-size?bytes=0")).text).toBe("set");
    });

    it("accepts again when there are descriptors again", LONG, async () => {
      const other = await serve("--rlimit-files", "200");
      const until = join(temporaryFolder("u"), "now");
      const held = await other.connect();
      held.send(requestRecords({ params: url("/"), keepConn: true }));
      await held.answer();
      held.send(requestRecords({ params: url(`/eat-descriptors?until=${until}`), keepConn: true }));
      await other.line(/descriptors are eaten/);
      const waiting = other.get("/");
      await other.line(/a connection could not be accepted; accepting goes on .*Too many open files/);
      writeFileSync(until, "");
      expect((await waiting).status).toBe(200);
      held.destroy();
    });

    it("is replaced when the application closes its descriptors", LONG, async () => {
      const other = await serve();
      const before = (await other.get("/")).text;
      await outcome(other.get("/close-descriptors"));
      await untilGone([Number(before)], other.log);
      const after = await waitFor(async () => (await other.get("/")).text, PATIENT);
      expect(after).not.toBe(before);
    });

    it(
      "is reloaded and stopped beside children and threads that the application has left",
      LONG,
      async () => {
        const other = await serve();
        const until = join(temporaryFolder("u"), "now");
        const child = Number((await other.get(`/daemon?until=${until}`)).text);
        await other.get("/threads?count=20");
        const before = (await other.get("/")).text;
        expect((await other.cli("reload")).code).toBe(0);
        await untilGone([Number(before)], other.log);
        expect(isAlive(child)).toBe(true);
        expect((await other.cli("stop")).code).toBe(0);
        expect(await other.process.exited).toEqual({ code: 0, signal: null });
        writeFileSync(until, "");
        await untilGone([child], other.log);
      },
    );
  });

  it("is replaced after maxLoopDelay when the system does not let it run", LONG, async () => {
    const other = await serve("--max-loop-delay", "3s");
    const before = (await other.get("/")).text;
    process.kill(Number(before), "SIGSTOP");
    await other.line(/the interpreter of a worker has stood still for .*: it is replaced/);
    await untilGone([Number(before)], other.log);
    expect((await other.get("/")).text).not.toBe(before);
  });

  it("loses nothing where its threads cross each other", LONG, async () => {
    const program = join(repositoryRoot, "test", "support", "python", "races.py");
    const { stdout, stderr } = await run(PYTHON, ["-B", program], { timeoutMs: 50_000 });
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n")).toEqual([
      "accepted_while_it_drains: False: answered: False", // not drained; an answer; the socket is let alone
      "read_while_it_is_judged: answered",
      "closed_as_soon_as_it_is_watched: 0", // descriptors left
      "gone_in_the_middle_of_a_body: debug the application stopped: the web server has closed the connection",
    ]);
  });

  it("is one worker, whatever its application forks while it is loaded", async () => {
    const folder = temporaryFolder("f");
    const text = `
import os, sys
for how in ("exit", "raise", "return"):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    elif how == "exit":
        sys.exit(0)
    elif how == "raise":
        raise RuntimeError("in a child")
    else:
        break
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
`;
    writeFileSync(join(folder, "forks.py"), text);
    const address = `unix:${join(folder, "a.sock")}`;
    const args = ["serve", "forks:app", "--bind", address, "--python", PYTHON];
    const managed = await serveManaged({ args, address, cwd: folder });
    const [only] = await managed.workers();
    for (let count = 0; count < 10; count++) expect((await managed.get("/")).text).toBe(String(only!.pid));
    expect(managed.log()).toContain("RuntimeError: in a child");
  });

  describe("that is a file by itself, in the place of flup", () => {
    let running: Running;
    let path: string;

    beforeAll(async () => {
      const folder = temporaryFolder("f");
      path = join(folder, "a.sock");
      const env = {
        ...process.env,
        PYTHONPATH: PYTHON_FOLDER,
        PYTHONDONTWRITEBYTECODE: "1",
        BIND: path,
      };
      const file = join(repositoryRoot, "test", "support", "python", "faulty.py");
      running = start(PYTHON, [file], { env });
      await waitFor(() => existsSync(path), { ...PATIENT, evidence: () => running.output() });
    });
    afterAll(() => running.stop());

    const alone = (): Promise<Wire> => connectWire({ path });
    const answers = async (): Promise<void> => {
      expect((await get(`unix:${path}`, "/")).text).toBe(String(running.pid));
    };

    it("stands every vector, and random bytes", LONG, async () => {
      const vectors = [...loadVectors("invalid"), ...loadVectors("valid")].map(({ bytes }) => bytes);
      const random = fc.sample(fc.uint8Array({ maxLength: 300 }), { numRuns: 100, seed: 1 });
      for (const bytes of [...vectors, ...random]) {
        const wire = await alone();
        wire.send(bytes);
        wire.socket.end();
        await wire.end();
        wire.destroy();
      }
      await answers();
    });

    it("goes on after what an application raises, and when it forks", async () => {
      for (const error of ["SystemExit", "KeyboardInterrupt", "RuntimeError"]) {
        expect((await get(`unix:${path}`, `/raise?error=${error}&where=call`)).status).toBe(500);
        await answers();
      }
      expect((await get(`unix:${path}`, "/fork?how=exit")).text).toBe("parent, child ended with 7");
      await answers();
    });

    it("lets nobody forge a line of a log", async () => {
      const wire = await alone();
      const forged = { REQUEST_URI: "/x", SCRIPT_NAME: "/y\n2026 forged\x1b[31m", PATH_INFO: "/z" };
      wire.send(requestRecords({ params: forged }));
      await wire.answer();
      await running.waitForLine(/taking it for an internal rewrite/, PATIENT);
      const evil = requestRecords({
        params: { ...url("/raise?error=Surrogate&where=call"), REQUEST_METHOD: "GET" },
      });
      const other = await alone();
      other.send(evil);
      await other.answer();
      const told = other.records.filter(({ type }) => type === TYPE.STDERR).map(({ content }) => content);
      expect(Buffer.concat(told).toString("latin1")).toMatch(/^[\x20-\x7e]+\n$/);
      expect(running.output()).not.toMatch(/\x1b|^stderr\| 2026 forged/m);
      wire.destroy();
      other.destroy();
    });
  });

  it("answers its manager while a client reads nothing and its request takes too long", LONG, async () => {
    const other = await serve("--request-terminate-timeout", "1s");
    const before = (await other.get("/")).text;
    const deaf = await other.connect();
    deaf.socket.pause();
    deaf.send(requestRecords({ params: url("/big?pieces=1000") }));
    await other.line(/was not answered within 1000 ms: connection cut/);
    await waitFor(async () => (await other.get("/")).text !== before, PATIENT);
    await untilGone([Number(before)], other.log);
    deaf.destroy();
  });

  it("is cut off at the end of its drain timeout from a client that reads nothing", LONG, async () => {
    const other = await serve("--drain-timeout", "2s");
    const before = (await other.get("/")).text;
    const deaf = await other.connect();
    deaf.socket.pause();
    deaf.send(requestRecords({ params: url("/big?pieces=1000") }));
    await other.until("its request", ({ pools: [pool] }) => pool?.workers[0]?.current.length === 1);
    expect((await other.cli("reload")).code).toBe(0);
    await other.line(/request cut: GET \/big/);
    await untilGone([Number(before)], other.log);
    expect(other.log()).not.toContain("TERM, then KILL");
    deaf.destroy();
  });
});

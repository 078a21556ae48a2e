/** The control socket: who may use it, what it answers, and that no client can harm the manager. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { silentLogger } from "../../../src/base/log.ts";
import { askControl, type ControlAnswer } from "../../../src/cli/control-client.ts";
import type { Outcome } from "../../../src/manager/commands.ts";
import { type ControlLimits, type ControlSocket, openControl } from "../../../src/manager/control.ts";
import { ROUTES } from "../../../src/manager/control-routes.ts";
import { readDocument } from "../../support/markdown.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { exampleSnapshot, FakeCommands } from "../status/example.ts";

const isRoot = process.getuid?.() === 0;
const opened: ControlSocket[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((control) => control.close()));
});

async function open(
  commands = new FakeCommands(),
  limits: Partial<ControlLimits> = {},
  path = join(temporaryFolder("c"), "app.sock"),
): Promise<string> {
  const control = await openControl(path, commands, silentLogger, limits);
  opened.push(control);
  return control.path;
}

function get(file: string, path: string): Promise<ControlAnswer> {
  return askControl(file, { path, timeoutMs: 5000 });
}

function post(file: string, path: string, body?: Readonly<Record<string, unknown>>): Promise<ControlAnswer> {
  return askControl(file, { method: "POST", path, ...(body && { body }), timeoutMs: 5000 });
}

/** A connection that sends what it likes. */
class Raw {
  readonly socket: Socket;
  received = "";
  readonly closed: Promise<void>;

  constructor(file: string) {
    this.socket = connect(file);
    this.socket.on("data", (piece) => {
      this.received += piece.toString("latin1");
    });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** The status of the answer, once the server has closed. */
  async status(): Promise<number> {
    await this.closed;
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.received)?.[1] ?? 0);
  }
}

async function refusal(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error & { code: string };
}

describe("its file", () => {
  it("may be used by its owner alone, and is gone when it is closed", async () => {
    const path = await open();
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    await opened.pop()!.close();
    expect(existsSync(path)).toBe(false);
  });

  it("gets a folder for its owner alone when that is missing, whatever the umask", async () => {
    const folder = join(temporaryFolder("c"), "run");
    const umask = process.umask(0o277);
    try {
      await open(undefined, {}, join(folder, "app.sock"));
    } finally {
      process.umask(umask);
    }
    expect(statSync(folder).mode & 0o7777).toBe(0o700);
  });

  it("gets the folders above as well in the standard run folder, and elsewhere only one", async () => {
    const folder = join(temporaryFolder("c"), "a", "b");
    const error = await refusal(openControl(join(folder, "x.sock"), new FakeCommands(), silentLogger));
    expect(error.code).toBe("ERR_POSTERN_ADDRESS");
    expect(error.message).toBe(
      `the control socket's folder ${folder} cannot be used: it does not exist; create it: mkdir -m 0700 -p ${folder}`,
    );
    vi.stubEnv("POSTERN_RUN_DIR", folder);
    await open(undefined, {}, join(folder, "x.sock"));
  });

  it("is not put where others may write, unless these cannot replace it", async () => {
    const folder = temporaryFolder("c");
    chmodSync(folder, 0o777);
    const error = await refusal(openControl(join(folder, "x.sock"), new FakeCommands(), silentLogger));
    expect(error.message).toBe(
      `the control socket's folder ${folder} cannot be used: other users may write to it (mode 0777) and could put another socket in its place; take that away: chmod go-w ${folder}`,
    );
    chmodSync(folder, 0o1777);
    await open(undefined, {}, join(folder, "x.sock"));
  });

  it.runIf(isRoot)("is not put into a folder, or behind a link, of another user", async () => {
    const folder = temporaryFolder("c");
    const foreign = join(folder, "foreign");
    mkdirSync(foreign);
    chownSync(foreign, 65534, 65534);
    const error = await refusal(openControl(join(foreign, "x.sock"), new FakeCommands(), silentLogger));
    expect(error.message).toContain("it belongs to another user (uid 65534)");
    const own = join(folder, "own");
    mkdirSync(own);
    const link = join(foreign, "link");
    symlinkSync(own, link);
    const { lchownSync } = await import("node:fs");
    lchownSync(link, 65534, 65534);
    const other = await refusal(openControl(join(link, "x.sock"), new FakeCommands(), silentLogger));
    expect(other.message).toContain("it belongs to another user (uid 65534)");
  });

  it("is not put where a file is in the way", async () => {
    const folder = temporaryFolder("c");
    const file = join(folder, "file");
    writeFileSync(file, "");
    const error = await refusal(openControl(join(file, "x.sock"), new FakeCommands(), silentLogger));
    expect(error.message).toContain("it is not a folder");
  });

  it("of a manager that runs is left alone, and the message says who it is", async () => {
    const path = await open();
    const error = await refusal(openControl(path, new FakeCommands(), silentLogger));
    expect(error.code).toBe("ERR_POSTERN_SOCKET_IN_USE");
    expect(error.message).toMatch(/^another manager named app runs/);
    if (existsSync("/proc/net/unix")) expect(error.message).toContain(`(pid ${process.pid}: `);
    expect(error.message).toContain("--name");
    expect((await get(path, "/status")).status).toBe(200);
  });
});

describe("an endpoint", () => {
  it("tells the status as the manager has it", async () => {
    const path = await open();
    const { status, body } = await get(path, "/status");
    expect(status).toBe(200);
    expect(body).toEqual(JSON.parse(JSON.stringify(exampleSnapshot())));
  });

  it("lists the workers of all pools", async () => {
    const { body } = await get(await open(), "/workers");
    const rows = (body as { pool: string; pid: number }[]).map(({ pool, pid }) => [pool, pid]);
    expect(rows).toEqual([
      ["web", 4251],
      ["web", 4260],
      ["web", 4302],
    ]);
  });

  it.each([
    ["/reload", undefined, ["reload", undefined, undefined]],
    ["/reload", {}, ["reload", undefined, undefined]],
    ["/reload", { pool: "web", mode: "phased" }, ["reload", "web", "phased"]],
    ["/reload", { mode: "all" }, ["reload", undefined, "all"]],
    ["/stop", undefined, ["stop", "graceful"]],
    ["/stop", { how: "now" }, ["stop", "now"]],
    ["/scale", { workers: 4 }, ["scale", undefined, "4"]],
    ["/scale", { pool: "web", workers: "+2" }, ["scale", "web", "+2"]],
    ["/scale", { workers: "-1" }, ["scale", undefined, "-1"]],
    ["/workers/replace", { worker: 4251 }, ["replace", 4251]],
    ["/logs/reopen", undefined, ["reopenLogs"]],
  ] as const)("POST %s with %j asks the manager for %j", async (path, body, command) => {
    const commands = new FakeCommands();
    const answer = await post(await open(commands), path, body);
    expect(answer).toEqual({ status: 200, body: { ok: true, message: "done" } });
    expect(commands.asked).toEqual([command]);
  });

  it("says what the manager refuses with 409, with the manager's words", async () => {
    const commands = new FakeCommands();
    commands.outcome = { ok: false, message: "the new workers do not start:\nSyntaxError" };
    const path = await open(commands);
    for (const [where, body] of [["/reload"], ["/stop"], ["/scale", { workers: 1 }]] as const) {
      expect(await post(path, where, body)).toEqual({ status: 409, body: commands.outcome });
    }
  });

  it.each([
    ["/reload", { pol: "web" }, '/reload: there is no option "pol"; did you mean pool?'],
    [
      "/reload",
      { pool: 3 },
      "option pool: 3 cannot be used, it must be the name of a pool; without it, all pools are meant",
    ],
    ["/reload", { pool: null }, "option pool: null cannot be used"],
    ["/reload", { mode: "slow" }, 'option mode: "slow" cannot be used, it must be "all" or "phased"'],
    ["/stop", { how: true }, 'option how: true cannot be used, it must be "graceful" or "now"'],
    ["/scale", {}, "option workers: undefined cannot be used"],
    ["/scale", { workers: 2.5 }, "option workers: 2.5 cannot be used"],
    ["/scale", { workers: -1 }, "option workers: -1 cannot be used"],
    ["/scale", { workers: "many" }, 'option workers: "many" cannot be used'],
    ["/scale", { workers: "999999" }, 'option workers: "999999" cannot be used'],
    [
      "/workers/replace",
      { worker: "4251" },
      'option worker: "4251" cannot be used, it must be the pid of a worker, as a number',
    ],
    ["/logs/reopen", { all: true }, "/logs/reopen takes no options; leave the body out"],
    ["/stop", { ["__proto__"]: {} }, '/stop: there is no option "__proto__"'],
  ] as const)("%s with %j is answered with 400 and what is wrong", async (path, body, message) => {
    const commands = new FakeCommands();
    const answer = await post(await open(commands), path, body);
    expect(answer.status).toBe(400);
    expect((answer.body as Outcome).ok).toBe(false);
    expect((answer.body as Outcome).message).toContain(message);
    expect(commands.asked).toEqual([]);
  });

  it("that does not exist is 404, and the answer lists those that do", async () => {
    const path = await open();
    for (const wrong of ["/", "/stat", "/status/", "/status?x=1", "//status", "*", "/constructor"]) {
      const { status, body } = await get(path, wrong);
      expect(status, wrong).toBe(404);
      expect((body as Outcome).message).toContain("GET /status");
    }
  });

  it("that is asked with another method is 405", async () => {
    const path = await open();
    expect(await post(path, "/status")).toEqual({
      status: 405,
      body: { ok: false, message: "/status is asked with GET" },
    });
    const raw = new Raw(path).send("GET /stop HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(await raw.status()).toBe(405);
    expect(raw.received).toMatch(/^allow: POST\r$/m);
  });

  it("waits for a reload, and answers others meanwhile", async () => {
    const commands = new FakeCommands();
    let finish: (outcome: Outcome) => void = () => {};
    commands.reloaded = new Promise((resolve) => {
      finish = resolve;
    });
    const path = await open(commands);
    const reload = post(path, "/reload");
    await waitFor(() => commands.asked.length === 1);
    expect((await get(path, "/status")).status).toBe(200);
    finish({ ok: true, message: "generation 4 serves" });
    expect((await reload).body).toEqual({ ok: true, message: "generation 4 serves" });
  });

  it("whose command throws is 500, and the next request is answered", async () => {
    const commands = new FakeCommands();
    const path = await open(commands);
    commands.broken = new Error("oops");
    expect((await get(path, "/status")).status).toBe(500);
    expect((await post(path, "/stop")).status).toBe(500);
    expect((await post(path, "/reload")).status).toBe(500);
    commands.broken = undefined;
    commands.reloaded = Promise.reject(new Error("oops"));
    commands.reloaded.catch(() => {});
    expect((await post(path, "/reload")).status).toBe(500);
    expect((await get(path, "/status")).status).toBe(200);
  });

  it("is in docs/control.md, and no other is", () => {
    const headings = readDocument("docs/control.md").text.matchAll(/^### ((?:GET|POST) \S+)$/gm);
    const documented = [...headings].map(([, endpoint]) => endpoint).sort();
    expect(documented).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
  });

  it("takes the requests that docs/control.md shows, and gives answers of the shape it shows", async () => {
    const commands = new FakeCommands();
    const path = await open(commands);
    const { text } = readDocument("docs/control.md");
    const sections = text.split(/^### /m).slice(1);
    let requests = 0;
    for (const section of sections) {
      const [, method = "", where = ""] = /^(\w+) (\S+)$/m.exec(section) ?? [];
      for (const [, kind = "", json = ""] of section.matchAll(/^```json example=(\w+)\n([\s\S]*?)^```$/gm)) {
        const shown = JSON.parse(json) as unknown;
        if (kind === "request") {
          requests++;
          expect((await post(path, where, shown as Record<string, unknown>)).status, where).toBe(200);
        } else if (kind === "outcome") {
          expect(shown).toEqual({
            ok: expect.any(Boolean) as boolean,
            message: expect.any(String) as string,
          });
        } else {
          expect(method).toBe("GET");
          expect(shapeOf(shown), where).toEqual(shapeOf((await get(path, where)).body));
        }
      }
    }
    expect(requests).toBe(4);
  });
});

/** Names and types; of a list, those of its first element. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}

describe("a client", () => {
  const POST = "POST /stop HTTP/1.1\r\nhost: x\r\n";

  it("that is a web page is refused", async () => {
    const commands = new FakeCommands();
    const path = await open(commands);
    const raw = new Raw(path).send(`${POST}origin: http://example.org\r\ncontent-length: 2\r\n\r\n{}`);
    expect(await raw.status()).toBe(403);
    expect(commands.asked).toEqual([]);
  });

  it("that sends what is not HTTP, or not JSON, gets an answer that says so", async () => {
    const path = await open();
    expect(await new Raw(path).send("\x16\x03\x01\x02\x00\r\n\r\n").status()).toBe(400);
    const raw = new Raw(path).send(`${POST}content-length: 5\r\n\r\n{"how`);
    expect(await raw.status()).toBe(400);
    expect(raw.received).toContain("the body is not JSON");
    for (const body of ["[]", "3", "null", '"x"', "[".repeat(8000)]) {
      const other = new Raw(path).send(`${POST}content-length: ${body.length}\r\n\r\n${body}`);
      expect(await other.status(), body.slice(0, 9)).toBe(400);
    }
  });

  it("that sends too much is refused, whether or not it says how much", async () => {
    const path = await open();
    const lots = "x".repeat(20_000);
    expect(await new Raw(path).send(`GET /status HTTP/1.1\r\nhost: ${lots}\r\n\r\n`).status()).toBe(431);
    expect(await new Raw(path).send(`${POST}content-length: 20000\r\n\r\n${lots}`).status()).toBe(413);
    const chunked = `${POST}transfer-encoding: chunked\r\n\r\n4e20\r\n${lots}\r\n`;
    expect(await new Raw(path).send(chunked).status()).toBe(413);
  });

  it("that does not finish its request is cut when its time is over", async () => {
    const commands = new FakeCommands();
    const path = await open(commands, { requestTimeoutMs: 100 });
    const halves = [new Raw(path).send("POST /st"), new Raw(path).send(`${POST}content-length: 9\r\n\r\n{`)];
    for (const half of halves) expect(await half.status()).toBe(408);
    await new Raw(path).closed; // one that says nothing at all
    expect(commands.asked).toEqual([]);
    expect((await get(path, "/status")).status).toBe(200);
  });

  it("that does not take its answer is cut", async () => {
    const commands = new FakeCommands();
    const url = "/x".repeat(50_000);
    const request = { method: "GET", url, client: "", startedAt: 0 };
    const { pools } = commands.snapshot;
    const worker = { ...pools[0]!.workers[0]!, current: Array.from({ length: 20 }, () => request) };
    commands.snapshot = {
      ...commands.snapshot,
      pools: [{ ...pools[0]!, workers: [worker, worker, worker] }],
    };
    const path = await open(commands, { requestTimeoutMs: 100, maxConnections: 1 });
    const deaf = new Raw(path);
    deaf.socket.pause();
    deaf.send("GET /status HTTP/1.1\r\nhost: x\r\n\r\n");
    // Its place is free again, which only happens when it was cut.
    await waitFor(() =>
      get(path, "/workers").then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    deaf.socket.destroy();
  });

  it("beyond the number of connections is turned away, and let in when one has left", async () => {
    const path = await open(undefined, { maxConnections: 2 });
    const held = [new Raw(path).send("GET"), new Raw(path).send("GET")];
    await waitFor(() =>
      get(path, "/status").then(
        () => false,
        () => true,
      ),
    );
    for (const raw of held) raw.socket.destroy();
    await waitFor(() =>
      get(path, "/status").then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });

  it("that leaves while its reload waits does not end the reload, nor the manager", async () => {
    const commands = new FakeCommands();
    let finish: (outcome: Outcome) => void = () => {};
    commands.reloaded = new Promise((resolve) => {
      finish = resolve;
    });
    const path = await open(commands);
    const raw = new Raw(path).send("POST /reload HTTP/1.1\r\nhost: x\r\n\r\n");
    await waitFor(() => commands.asked.length === 1);
    raw.socket.destroy();
    await raw.closed;
    finish({ ok: true, message: "done" });
    expect((await get(path, "/status")).status).toBe(200);
  });

  it("that speaks of upgrades, tunnels and continuing gets ordinary answers", async () => {
    const path = await open();
    const upgrade = new Raw(path).send(
      "GET /status HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    expect(await upgrade.status()).toBe(200);
    await new Raw(path).send("CONNECT /status HTTP/1.1\r\nhost: x\r\n\r\n").closed;
    const expecting = new Raw(path).send(`${POST}expect: 200-ok\r\ncontent-length: 0\r\n\r\n`);
    expect(await expecting.status()).toBe(417);
    expect((await get(path, "/status")).status).toBe(200);
  });

  it("that sends anything whatever leaves the manager as it was", async () => {
    const commands = new FakeCommands();
    const path = await open(commands);
    const piece = fc.oneof(
      fc.constantFrom(
        "POST /scale HTTP/1.1\r\n",
        "GET /status HTTP/1.1\r\n",
        "host: x\r\n",
        "\r\n\r\n",
        "{}",
        "0\r\n",
      ),
      fc.constantFrom(
        "content-length: 3\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked\r\n",
        "Origin: x\r\n",
      ),
      fc.string({ maxLength: 30 }),
      fc.uint8Array({ maxLength: 30 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.boolean(), async (pieces, isRude) => {
        const raw = new Raw(path);
        for (const bytes of pieces) raw.send(bytes);
        if (isRude) raw.socket.destroy();
        else raw.socket.end();
        await raw.closed;
      }),
      { numRuns: 150 },
    );
    expect((await get(path, "/status")).status).toBe(200);
    expect(commands.asked.filter(([name]) => name !== "scale")).toEqual([]);
  });
});

describe("closing", () => {
  it("lets the answer to a reload leave, and cuts who only holds a connection", async () => {
    const commands = new FakeCommands();
    let finish: (outcome: Outcome) => void = () => {};
    commands.reloaded = new Promise((resolve) => {
      finish = resolve;
    });
    const path = await open(commands, { closeGraceMs: 300 });
    const idle = new Raw(path).send("GET /sta");
    const reload = post(path, "/reload");
    await waitFor(() => commands.asked.length === 1);
    const closing = opened.pop()!.close();
    finish({ ok: false, message: "the manager stops" });
    expect((await reload).body).toEqual({ ok: false, message: "the manager stops" });
    await closing;
    await idle.closed;
    expect(existsSync(path)).toBe(false);
  });

  it("twice does no harm", async () => {
    await open();
    const control = opened.pop()!;
    await Promise.all([control.close(), control.close()]);
    await control.close();
  });
});

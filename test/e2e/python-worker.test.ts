/**
 * Python workers keep the contract of JavaScript workers: ready, reload under load, drain, max-requests, crashes, boot
 * failures, slow requests with their stacks, status, logs.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { underLoad, describe as why } from "../support/e2e/load.ts";
import {
  CLI,
  get,
  type Managed,
  outcome,
  PATIENT,
  serveManaged,
  startManager,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { repositoryRoot } from "../support/paths.ts";
import { isAlive } from "../support/proc.ts";
import { run } from "../support/process.ts";
import { PYTHON } from "../support/python/python.ts";
import { TYPE } from "../support/records.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor, waitForFileLine } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser } from "../support/web-servers/web-server.ts";
import { connectWire, isQuestion, type Wire } from "../support/wire.ts";

beforeAll(built);
afterEach(stopManagers);

interface Deployed {
  readonly folder: string;
  release(text: string): void;
}

function deploy(release = "one", name = "shop.py"): Deployed {
  const folder = temporaryFolder("py");
  copyFileSync(join(repositoryRoot, "test", "support", "python", "supervised.py"), join(folder, name));
  const deployed: Deployed = { folder, release: (text) => writeFileSync(join(folder, "release.txt"), text) };
  deployed.release(release);
  return deployed;
}

const FLAGS = ["--python", PYTHON];

function commandOf(app: string, flags: readonly string[]): { args: string[]; address: string } {
  const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
  const user = serverUser();
  const group = user === undefined ? [] : ["--listen-group", user.group];
  return { args: ["serve", app, "--bind", address, ...FLAGS, ...group, ...flags], address };
}

/** Started in the application's folder, as people do. */
function serve(deployed: Deployed, app = "shop:app", ...flags: string[]): Promise<Managed> {
  return serveManaged({ ...commandOf(app, flags), cwd: deployed.folder });
}

async function factsOf(managed: Managed): Promise<Record<string, unknown>> {
  return (await managed.get("/")).json();
}

describeWithServer("python", "a Python application", () => {
  it.each([
    ["shop:app", "shop"],
    ["shop:make()", "shop"],
    ["shop.py", "shop"],
    ["shop.py:app", "shop"],
  ])("is found as %s, with its folder on the path", async (app, name) => {
    const deployed = deploy();
    const managed = await serve(deployed, app);
    expect(await factsOf(managed)).toMatchObject({
      name,
      cwd: deployed.folder,
      path0: deployed.folder,
      threads: true,
    });
  });

  it("is found in a package, by a factory", async () => {
    const deployed = deploy();
    mkdirSync(join(deployed.folder, "site_a"));
    writeFileSync(join(deployed.folder, "site_a", "__init__.py"), "");
    writeFileSync(
      join(deployed.folder, "site_a", "wsgi.py"),
      "import shop\nclass factory:\n  make = staticmethod(shop.make)\n",
    );
    const managed = await serve(deployed, "site_a.wsgi:factory.make()");
    expect((await managed.get("/")).status).toBe(200);
  });

  it("is served from the file that was written for flup, unchanged", async () => {
    const deployed = deploy("one", "yourapplication.fcgi");
    const file = join(deployed.folder, "yourapplication.fcgi");
    writeFileSync(file, `#!/usr/bin/python\n${readFileSync(file, "utf8")}`);
    const managed = await serve(deployed, "yourapplication.fcgi");
    expect(await factsOf(managed)).toMatchObject({ name: "__main__" });
    const { code, stderr } = await managed.cli("reload");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it("is served with what such a file adds to its environ, and from the one of a shared host", async () => {
    const deployed = deploy();
    const app =
      'def app(environ, start_response):\n  start_response("200 OK", [])\n  return [environ.get("OWN", "none").encode()]\n';
    writeFileSync(join(deployed.folder, "told.py"), app);
    writeFileSync(
      join(deployed.folder, "adds.fcgi"),
      '#!/usr/bin/python3\nfrom flup.server.fcgi import WSGIServer\nfrom told import app\nWSGIServer(app, environ={"OWN": "kept"}).run()\n',
    );
    writeFileSync(
      join(deployed.folder, "hosted.fcgi"),
      '#!/usr/bin/python3\nfrom postern_wsgi import run_application\nrun_application("told:app")\n',
    );
    expect((await (await serve(deployed, "adds.fcgi")).get("/")).text).toBe("kept");
    expect((await (await serve(deployed, "hosted.fcgi")).get("/")).text).toBe("none");
  });

  it("has one thread where such a file says that it stands no more", async () => {
    const deployed = deploy();
    writeFileSync(
      join(deployed.folder, "alone.fcgi"),
      `#!/usr/bin/python3
from flup.server.fcgi import WSGIServer
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["wsgi.multithread"]).encode()]
WSGIServer(app, multithreaded=False).run()
`,
    );
    expect((await (await serve(deployed, "alone.fcgi", "--threads", "4")).get("/")).text).toBe("False");
  });

  it("may give headers and a status of types that are derived from str", async () => {
    const deployed = deploy();
    writeFileSync(
      join(deployed.folder, "derived.py"),
      `import enum
class Text(str, enum.Enum):
    STATUS = "201 Created"
    NAME = "X-Own"
    VALUE = "text"
def app(environ, start_response):
    start_response(Text.STATUS, [(Text.NAME, Text.VALUE)])
    return [b"made"]
`,
    );
    const managed = await serve(deployed, "derived:app");
    const wire = await connectWire({ path: managed.address.slice("unix:".length) });
    const { head, body } = await wire.request().answer();
    expect(head.split("\r\n")).toEqual(["Status: 201 Created", "X-Own: text", "Content-Length: 4"]);
    expect(body.toString()).toBe("made");
    wire.destroy();
  });

  it("runs in the virtual environment beside it, found by itself", async () => {
    const deployed = deploy();
    const folder = join(deployed.folder, ".venv");
    // What `python -m venv` makes, as far as Python looks at it.
    mkdirSync(join(folder, "bin"), { recursive: true });
    symlinkSync(PYTHON, join(folder, "bin", "python"));
    writeFileSync(join(folder, "pyvenv.cfg"), "home = /usr/bin\n");
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const managed = await serveManaged({
      args: ["serve", "shop:app", "--bind", address],
      address,
      cwd: deployed.folder,
    });
    expect(await factsOf(managed)).toMatchObject({ prefix: folder });
  });

  it("loses no request when it is reloaded under load, and answers with the new code", {
    timeout: 180_000,
  }, async () => {
    const deployed = deploy("first");
    const managed = await serve(deployed, "shop:app", "--workers", "2", "--threads", "3");
    for (const keepConn of [false, true]) {
      const web = await startNginx({
        application: { unix: managed.address.slice("unix:".length) },
        mount: "",
        keepConn,
        directives: "fastcgi_next_upstream off;",
      });
      try {
        const load = await underLoad({ url: web.url, clients: 6 }, async (under) => {
          for (const version of ["second", "third"]) {
            deployed.release(`${version}${keepConn}`);
            const { code, stderr } = await managed.cli("reload");
            expect(`${code} ${stderr}`).toBe("0 ");
            await under.answersFrom(`${version}${keepConn}`);
          }
        });
        expect(load.failed.map(why), `${web.errorLog().slice(-2000)}\n${managed.log().slice(-2000)}`).toEqual(
          [],
        );
        expect(load.answered.size).toBeGreaterThan(100);
      } finally {
        await web.stop();
      }
    }
    expect(managed.log()).not.toContain("request lost");
  });

  it("goes on with the old code when the new does not start, and says why", async () => {
    const deployed = deploy();
    const managed = await serve(deployed);
    deployed.release("throws");
    const { code, stderr } = await managed.cli("reload");
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /application shop:app could not be loaded:\nTraceback[\s\S]*RuntimeError: no database/,
    );
    expect(stderr).not.toMatch(/postern_wsgi|importlib/);
    expect(await factsOf(managed)).toMatchObject({ release: "one" });
  });

  it("finishes its open request on a stop, and ends with 0", async () => {
    const managed = await serve(deploy());
    const open = await managed.openRequest();
    managed.process.signal("SIGTERM");
    await managed.line(/draining a worker/);
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    expect(await managed.process.exited).toEqual({ code: 0, signal: null });
    expect(isAlive(open.pid)).toBe(false);
  });

  it("asks nginx on a stop to close what it keeps, and answers a request that crosses the question", async () => {
    const managed = await serve(deploy());
    const path = managed.address.slice("unix:".length);
    const params = { SERVER_SOFTWARE: "nginx/1.30.6" };
    const [kept, other] = [await connectWire({ path }), await connectWire({ path })];
    await kept.request({ keepConn: true, params }).answer();
    await other.request({ keepConn: true, params: { SERVER_SOFTWARE: "Apache/2.4.71" } }).answer();
    managed.process.signal("SIGTERM");
    await kept.until(() => kept.records.some(isQuestion), "the question");
    expect((await kept.request({ id: 2, keepConn: true, params }).answer(2)).head).toMatch(/^Status: 200/);
    await kept.end();
    await other.end();
    expect(await managed.process.exited).toEqual({ code: 0, signal: null });
    expect(kept.records.filter(isQuestion)).toHaveLength(1);
    expect(other.records.some(isQuestion)).toBe(false);
    for (const wire of [kept, other]) wire.destroy();
  });

  it("is replaced after maxRequests, and when it asks to leave, without a lost request", async () => {
    const managed = await serve(deploy(), "shop:app", "--max-requests", "5");
    const { pid } = await factsOf(managed);
    await waitFor(async () => (await factsOf(managed))["pid"] !== pid, PATIENT);
    await managed.line(/draining a worker .*reason=maxRequests/);
    const { pid: next } = await factsOf(managed);
    process.kill(Number(next), "SIGTERM");
    await managed.line(/a worker was sent TERM: it finishes what it has and is replaced/);
    await waitFor(async () => (await factsOf(managed))["pid"] !== next, PATIENT);
    await untilGone([Number(pid), Number(next)], managed.log);
  });

  it("is started again when it crashes, and the log says which request went with it", async () => {
    const managed = await serve(deploy());
    const { pid } = await factsOf(managed);
    expect(await outcome(managed.get("/die?now"))).toMatch(/^failed/);
    await managed.line(/request lost with its worker: GET \/die\?now .*client=203\.0\.113\.9/);
    expect((await factsOf(managed))["pid"]).not.toBe(pid);
    expect((await managed.pool()).workersCrashed).toBe(1);
  });

  it("is answered for with 503 while it cannot be started, with the reason for the web server's log", async () => {
    const deployed = deploy();
    const managed = await serve(deployed);
    const { pid } = await factsOf(managed);
    deployed.release("missing");
    process.kill(Number(pid), "SIGKILL");
    await managed.line(/no worker can serve: requests are answered with 503/);
    const answer = await waitFor(async () => {
      const got = await managed.get("/");
      return got.status === 503 && got;
    }, PATIENT);
    expect(answer.text).toMatch(/cannot be started at the moment/);
    deployed.release("two");
    await waitFor(async () => (await managed.get("/")).text.includes('"two"'), PATIENT);
  });

  it("tells how it is: requests, connections, memory, what it works on, on its status page too", async () => {
    const flags = [
      "--status-path",
      "/status",
      "--ping-path",
      "/ping",
      "--metrics-path",
      "/metrics",
      "--threads",
      "2",
    ];
    const managed = await serve(deploy(), "shop:app", ...flags);
    const open = await managed.openRequest();
    const [worker] = await managed.until("what it works on", ({ pools: [pool] }) => {
      const workers = pool?.workers ?? [];
      return (workers[0]?.requests ?? 0) > 0 && workers;
    });
    expect(worker).toMatchObject({ stage: "ready", concurrency: 1, isBusy: false });
    expect(worker!.current[0]).toMatchObject({ method: "GET", client: "203.0.113.9" });
    expect(worker!.current[0]!.url).toMatch(/^\/wait\?until=/);
    expect(worker!.memoryBytes).toBeGreaterThan(5_000_000);
    expect(await managed.get("/ping")).toMatchObject({ status: 200, text: "pong" });
    expect((await managed.get("/status?json")).json()).toMatchObject({ "process manager": "static" });
    expect((await managed.get("/metrics")).text).toMatch(/^# EOF$/m);
    open.finish();
    await open.answer;
  });

  it("logs what it prints, and a slow request with the stack of its thread", async () => {
    const slowlog = join(temporaryFolder("slow"), "slow.log");
    const flags = ["--request-slowlog-timeout", "1s", "--slowlog", slowlog];
    const managed = await serve(deploy(), "shop:app", ...flags);
    const answer = managed.get("/loop?seconds=4");
    await managed.line(/^\S+ out {3}\[test \d+\] looping in/);
    await waitForFileLine(slowlog, /slow request: it takes longer than 1000 ms .*url="?\/loop/, PATIENT);
    expect((await answer).text).toBe("looped");
    const text = readFileSync(slowlog, "utf8");
    expect(text).toMatch(/ {4}at busy_for \(\/\S+\/shop\.py:\d+\)/);
    expect(text).toMatch(/ {4}at app \(\/\S+\/shop\.py:\d+\)/);
    expect(text).not.toMatch(/postern_wsgi/);
  });

  it("answers 504 for what takes longer than requestTerminateTimeout, and replaces the worker", async () => {
    const managed = await serve(deploy(), "shop:app", "--request-terminate-timeout", "1s", "--threads", "2");
    const { pid } = await factsOf(managed);
    const other = await managed.openRequest();
    expect((await managed.get("/loop?seconds=20")).status).toBe(504);
    await managed.line(/not answered within 1000 ms: answered 504/);
    await managed.line(/ {4}at busy_for/);
    await waitFor(async () => (await factsOf(managed))["pid"] !== pid, PATIENT);
    other.finish();
    expect(await other.answer).toMatch(/^(?:200|504) /);
    await untilGone([Number(pid)], managed.log);
  });

  it("is looked into while it keeps the interpreter's lock, and replaced after maxLoopDelay", async () => {
    const managed = await serve(deploy(), "shop:app", "--max-loop-delay", "3s");
    const answer = outcome(managed.get("/stuck"));
    const [, pid] = await managed.line(/stuck in (\d+)/);
    expect(await answer).toMatch(/^failed/);
    const text = managed.log();
    expect(text).toMatch(/the interpreter of a worker has stood still for \d+\.\d s: it is replaced/);
    expect(text).toMatch(/request in the stuck worker: GET \/stuck .*client=203\.0\.113\.9/);
    expect(text).toMatch(/ {4}at keep_lock \(\/\S+\/shop\.py:\d+\)/);
    expect((await factsOf(managed))["pid"]).not.toBe(Number(pid));
  });

  it("ends when the manager is killed, after its open request", async () => {
    const managed = await serve(deploy());
    const open = await managed.openRequest();
    managed.process.signal("SIGKILL");
    await managed.process.exited;
    open.finish();
    expect(await open.answer).toBe(`200 waited in ${open.pid}`);
    await untilGone([open.pid], managed.log);
  });

  // Only root can become another user.
  it.skipIf(process.getuid?.() !== 0)(
    "runs as the user, with the umask and the groups that were asked for",
    async () => {
      const deployed = deploy();
      const managed = await serve(deployed, "shop:app", "--user", "www-data", "--umask", "0027");
      const { uid, umask } = await factsOf(managed);
      expect({ uid, umask }).toEqual({ uid: serverUser()?.uid, umask: 0o27 });
    },
  );

  it("stands beside a JavaScript application and a command in one manager", async () => {
    const deployed = deploy();
    const { folder } = deployed;
    const socket = (name: string): string => join(folder, `${name}.sock`);
    writeFileSync(join(folder, "app.mjs"), 'export default (req, res) => res.end("javascript");');
    const pools = {
      shop: { app: "shop:app", bind: socket("shop"), python: PYTHON, threads: 1 },
      js: { app: "app.mjs", bind: socket("js") },
      flup: {
        command: [PYTHON, join(folder, "shop.py")],
        bind: socket("flup"),
        env: { PYTHONPATH: join(repositoryRoot, "python"), PYTHONDONTWRITEBYTECODE: "1" },
      },
    };
    writeFileSync(join(folder, "postern.config.json"), JSON.stringify({ pools }));
    const address = `unix:${socket("shop")}`;
    const managed = await serveManaged({
      args: ["serve", "-c", join(folder, "postern.config.json")],
      address,
    });
    expect((await get(`unix:${socket("js")}`, "/")).text).toBe("javascript");
    expect(await factsOf(managed)).toMatchObject({ name: "shop", threads: false });
    expect((await get(`unix:${socket("flup")}`, "/")).json()).toMatchObject({ name: "__main__" });
    expect((await managed.status()).pools.map(({ name }) => name)).toEqual(["shop", "js", "flup"]);
    expect((await managed.cli("reload")).code).toBe(0);
    expect((await get(`unix:${socket("flup")}`, "/")).status).toBe(200);
  });

  describe("that cannot be loaded is refused in words:", () => {
    const CASES: readonly (readonly [string, string, string, RegExp])[] = [
      [
        "no such module",
        "one",
        "nowhere:app",
        /^postern: application nowhere:app: there is no module nowhere in \/\S+/,
      ],
      [
        "no such file",
        "one",
        "nowhere.py",
        /^postern: application nowhere\.py: there is no file \/\S+\/nowhere\.py/,
      ],
      [
        "no such attribute",
        "one",
        "shop:wsgi",
        /^postern: application shop:wsgi: there is no wsgi \(it has .*\bapp\b/,
      ],
      [
        "not callable",
        "one",
        "shop:nothing",
        /^postern: application shop:nothing: nothing is not callable, it is int/,
      ],
      ["ASGI", "one", "shop:asgi", /^postern: application shop:asgi: asgi is an ASGI application.*a2wsgi/],
      ["an exception", "throws", "shop:app", /could not be loaded:\n[\s\S]*RuntimeError: no database/],
      ["a missing package", "missing", "shop:app", /nowhere_to_be_found is not installed for .*--python/],
      [
        "sys.exit",
        "exits",
        "shop:app",
        /shop:app: it called sys\.exit\('no configuration'\) while it was loaded/,
      ],
    ];
    it.each(CASES)("%s", async (_what, release, app, message) => {
      const deployed = deploy(release);
      const managed = startManager({ ...commandOf(app, []), cwd: deployed.folder });
      expect(await managed.process.exited).toEqual({ code: 4, signal: null });
      expect(managed.process.stderr().split("\n").slice(-60).join("\n")).toMatch(
        new RegExp(message.source, "m"),
      );
      expect(managed.process.stderr()).not.toContain("postern_wsgi.py");
    });

    it.each([
      [
        "shop",
        /there is no file \S+\/shop; to serve \S+\/shop\.py, name the application in it: \S*shop:app$/m,
      ],
      [
        "mysite.wsgi",
        /there is no file \S+\/mysite\.wsgi; to serve \S+\/mysite\/wsgi\.py, name the application in it: mysite\.wsgi:application$/m,
      ],
      [
        "mysite",
        /mysite is a directory, name the file to run; to serve \S+\/mysite\/wsgi\.py, name the application in it: \S*mysite\.wsgi:application$/m,
      ],
      [
        "manage.py",
        /application manage\.py: this is Django's command line; its application is mysite\.wsgi:application$/m,
      ],
    ])("a module without its application: %s", async (name, message) => {
      const { folder } = deploy();
      writeFileSync(
        join(folder, "manage.py"),
        "import os\n\ndef main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n",
      );
      mkdirSync(join(folder, "mysite"));
      writeFileSync(join(folder, "mysite", "wsgi.py"), "application = None\n");
      const managed = startManager({ ...commandOf(name, []), cwd: folder });
      expect((await managed.process.exited).code).toBe(4);
      expect(managed.process.stderr()).toMatch(message);
    });

    it("a mistake of syntax, with its place", async () => {
      const deployed = deploy();
      writeFileSync(join(deployed.folder, "bad.py"), "def app(:\n  pass\n");
      const managed = startManager({ ...commandOf("bad.py", []), cwd: deployed.folder });
      expect((await managed.process.exited).code).toBe(4);
      expect(managed.process.stderr()).toMatch(
        /bad\.py could not be loaded:[\s\S]*bad\.py", line 1[\s\S]*SyntaxError/,
      );
    });

    it("an application that is not ready in time", async () => {
      const deployed = deploy("waits");
      const command = commandOf("shop:app", ["--ready-timeout", "2s"]);
      const managed = startManager({ ...command, cwd: deployed.folder });
      expect((await managed.process.exited).code).toBe(4);
      expect(managed.process.stderr()).toMatch(
        /not ready within 2000 ms \(readyTimeout\): a server of its own/,
      );
    });

    it("a Python that is not there, and settings that only JavaScript has", async () => {
      const { folder } = deploy();
      const attempt = async (...flags: string[]): Promise<string> => {
        const args = [CLI, "serve", "shop:app", "--bind", join(folder, "a.sock"), ...flags];
        return (await run(process.execPath, args, { cwd: folder })).stderr;
      };
      expect(await attempt("--python", "python9")).toMatch(
        /setting python: there is no program python9 in PATH/,
      );
      expect(await attempt("--http", ":0")).toMatch(
        /http .* is for JavaScript applications: put a web server/,
      );
      expect(await attempt("--workers", "0")).toMatch(/an application in Python cannot run in this process/);
      expect(existsSync(join(folder, "a.sock"))).toBe(false);
    });
  });

  it.each([
    ["keeps connections beyond its threads when it is alone", 1, 12, [12, 12]],
    ["keeps no more than its threads where a sibling may have time", 2, 12, [1, 2]],
  ])("%s", async (_, workers, count, [least, most]) => {
    const managed = await serve(deploy(), "shop:app", "--workers", `${workers}`, "--threads", "1");
    const path = managed.address.slice("unix:".length);
    const wires = await Promise.all(Array.from({ length: count }, () => connectWire({ path })));
    const has = (wire: Wire, id: number): boolean =>
      wire.records.some((record) => record.type === TYPE.END_REQUEST && record.id === id);
    const params = { SERVER_SOFTWARE: "nginx/1.30.6" }; // which can be told that a connection closes
    for (const wire of wires) await wire.request({ keepConn: true, params }).answer();
    expect(wires.filter((wire) => has(wire, 1)).length).toBe(count);
    for (const wire of wires) {
      wire.request({ keepConn: true, id: 2, params });
      await wire.until(() => has(wire, 2) || wire.ended || wire.closed, "an answer or the end");
    }
    const kept = wires.filter((wire) => has(wire, 2)).length;
    expect(kept).toBeGreaterThanOrEqual(least!);
    expect(kept).toBeLessThanOrEqual(most!);
    for (const wire of wires) wire.destroy();
  });

  it("keeps more connections until they are silent, where the web server cannot be told", async () => {
    const managed = await serve(deploy(), "shop:app", "--workers", "2", "--threads", "1");
    const path = managed.address.slice("unix:".length);
    const wires = await Promise.all(Array.from({ length: 12 }, () => connectWire({ path })));
    const params = { SERVER_SOFTWARE: "HAProxy 3.2.1" };
    for (const id of [1, 2])
      for (const wire of wires)
        expect((await wire.request({ keepConn: true, id, params }).answer(id)).end?.appStatus).toBe(0);
    const left = (): number => wires.filter(({ ended, closed }) => !ended && !closed).length;
    await waitFor(() => left() <= 2, {
      timeoutMs: 20_000,
      what: "those beyond a thread a worker to be closed",
    });
    expect(left()).toBeGreaterThan(0);
    for (const wire of wires) wire.destroy();
  });

  it("is started by a web server through postern serve, on the socket it is handed", async () => {
    const deployed = deploy("one", "yourapplication.fcgi");
    const { holdSocket } = await import("../../src/server/held-socket.ts");
    chmodSync(deployed.folder, 0o755);
    const path = join(deployed.folder, "own.sock");
    const held = await holdSocket({ kind: "unix", path }, { mode: 0o660, backlog: 16 } as never, {});
    const { start } = await import("../support/process.ts");
    const file = join(deployed.folder, "yourapplication.fcgi");
    writeFileSync(file, `#!/usr/bin/python\n${readFileSync(file, "utf8")}`);
    const spawned = start(process.execPath, [CLI, "serve", file, ...FLAGS, "--name", "test"], {
      stdin: held.fd,
    });
    try {
      expect((await get(`unix:${path}`, "/")).json()).toMatchObject({ name: "__main__" });
    } finally {
      held.close();
      await spawned.stop();
    }
  });
});

/** Programs that somebody else starts: on an inherited socket, as plain CGI, with signals, in odd surroundings. */
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, isListening } from "../../support/ports.ts";
import { type Running, run, start } from "../../support/process.ts";
import { canLaunch, compileSources, type LaunchOptions, launch } from "../../support/spawned.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, waitFor } from "../../support/wait.ts";
import { connectWire, type Wire } from "../../support/wire.ts";

let folder: string;
let app: string;

beforeAll(async () => {
  const built = await compileSources();
  folder = temporaryFolder("sp");
  app = program(
    "app.mjs",
    built,
    `
    const bind = process.argv[2];
    console.log("printing to stdout is harmless");
    let release = () => {};
    const server = await serve((req, res) => {
      if (req.url === "/slow") { res.write("begun "); release = () => res.end("finished"); }
      else if (req.url === "/release") { res.end(); release(); }
      else if (req.url === "/env") res.end(JSON.stringify({ cwd: process.cwd(), env: process.env }));
      else { console.log("and again"); res.end("hello from " + process.pid); }
    }, bind ? { bind } : {});
    console.error("ready on " + server.addresses);
  `,
  );
}, patience(60_000));

/** Writes a program that serves. */
function program(name: string, built: string, source: string): string {
  const path = join(folder, name);
  writeFileSync(path, `import { serve } from ${JSON.stringify(join(built, "index.js"))};\n${source}`);
  return path;
}

const wires: Wire[] = [];
const running: Running[] = [];
function launched(one: Running): Running {
  running.push(one);
  return one;
}
afterAll(async () => {
  for (const wire of wires) wire.destroy();
  await Promise.all(running.map((one) => one.stop()));
});

let sockets = 0;
const socketPath = (): string => join(folder, `${++sockets}.sock`);

async function connectTo(path: string): Promise<Wire> {
  await waitFor(() => existsSync(path), { what: path });
  const wire = await waitFor(() => connectWire({ path }).catch(() => undefined), {
    what: `a connection to ${path}`,
  });
  wires.push(wire);
  return wire;
}
async function ask(path: string, url = "/"): Promise<string> {
  const wire = await connectTo(path);
  wire.request({ params: { REQUEST_URI: url, PATH_INFO: url } });
  const { body } = await wire.answer();
  wire.destroy();
  return body.toString();
}

describe.skipIf(!canLaunch)("a socket that was inherited", () => {
  const surroundings: Readonly<Record<string, Omit<LaunchOptions, "address">>> = {
    "as spawn-fcgi and supervisor leave it": {},
    "with an empty environment, as mod_fastcgi has it": { env: {}, cwd: "/" },
    "with descriptors 1 and 2 closed, as cgi-fcgi has it": { prelude: "exec 1>&- 2>&-" },
    "with descriptors 1 and 2 on /dev/null, as lighttpd has it": { prelude: "exec 1>/dev/null 2>/dev/null" },
    "with descriptors 1 and 2 a pipe that nobody reads": { prelude: "exec 1> >(true) 2>&1; sleep 0.05" },
    "with descriptor 1 the socket too, as systemd-socket-activate --inetd has it": { fds: "0,1" },
    "with the socket on descriptors 0, 1 and 2": { fds: "0,1,2" },
    "with SIGPIPE ignored and CGI variables in the environment": {
      prelude: "trap '' PIPE",
      env: { REQUEST_METHOD: "GET", GATEWAY_INTERFACE: "CGI/1.1" },
    },
  };
  for (const [name, options] of Object.entries(surroundings)) {
    it(`${name}: served, and its file is left alone`, async () => {
      const address = socketPath();
      const one = launched(launch(app, { ...options, address }));
      expect(await ask(address)).toMatch(/^hello from \d+$/);
      expect(await ask(address)).toMatch(/^hello from \d+$/);
      one.signal("SIGTERM");
      expect(await one.exited).toEqual({ code: 0, signal: null });
      expect(lstatSync(address).isSocket()).toBe(true);
    });
  }

  it("over TCP", async () => {
    const port = await freePort();
    const one = launched(launch(app, { address: `127.0.0.1:${port}` }));
    await one.waitForLine(/ready on fd:0/);
    const wire = await connectWire({ host: "127.0.0.1", port });
    wire.request();
    expect((await wire.answer()).body.toString()).toMatch(/^hello/);
    wire.destroy();
    one.signal("SIGINT");
    expect((await one.exited).code).toBe(0);
  });

  it("under another number, with bind: fd:N", async () => {
    const address = socketPath();
    const one = launched(launch(`${app} fd:5`, { address, fds: "5" }));
    expect(await ask(address)).toMatch(/^hello/);
    one.signal("SIGTERM");
    await one.exited;
  });

  it("LISTEN_FDS, all of them or by name; a name that is not there, or another process's, is an error that says so", async () => {
    const address = socketPath();
    const systemd = "exec 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=other:web";
    for (const bind of ["", "systemd", "systemd:web"]) {
      const path = `${address}${bind.length}`;
      const one = launched(launch(`${app} ${bind}`, { address: path, fds: "3,4", prelude: systemd }));
      await one.waitForLine(bind === "systemd:web" ? /ready on fd:4$/ : /ready on fd:3,fd:4$/);
      expect(await ask(path)).toMatch(/^hello/);
      one.signal("SIGTERM");
      expect((await one.exited).code).toBe(0);
    }
    const unnamed = launched(
      launch(`${app} systemd:nope`, { address: `${address}a`, fds: "3,4", prelude: systemd }),
    );
    expect((await unnamed.exited).code).toBe(1);
    expect(unnamed.stderr()).toMatch(/systemd passed no socket named "nope", only: other, web/);
    const foreign = systemd.replace("$$", "1");
    const others = launched(
      launch(`${app} systemd`, { address: `${address}b`, fds: "3,4", prelude: foreign }),
    );
    expect((await others.exited).code).toBe(1);
    expect(others.stderr()).toMatch(/passed its sockets to process 1, this is \d+/);
    const none = await run(process.execPath, [app, "systemd"], { env: {} });
    expect(none.stderr).toMatch(/LISTEN_FDS is not set/);
  });

  it.skipIf(!existsSync("/usr/bin/systemd-socket-activate"))(
    "systemd-socket-activate itself, plain and --inetd",
    async () => {
      for (const flags of [["--fdname=app"], ["--inetd"]]) {
        const address = socketPath();
        const one = launched(
          start("/usr/bin/systemd-socket-activate", [...flags, "-l", address, process.execPath, app]),
        );
        expect(await ask(address)).toMatch(/^hello/);
        one.signal("SIGTERM");
        expect((await one.exited).code).toBe(0);
      }
    },
  );

  it.skipIf(!existsSync("/usr/bin/spawn-fcgi"))("spawn-fcgi itself", async () => {
    const address = socketPath();
    const one = launched(start("/usr/bin/spawn-fcgi", ["-n", "-s", address, "--", process.execPath, app]));
    expect(await ask(address)).toMatch(/^hello/);
    one.signal("SIGTERM");
    expect((await one.exited).code).toBe(0);
  });
});

describe("nothing to listen on", () => {
  it.each(["exec 0</dev/null", "exec 0<&-", "exec 0<$0", "exec 0< <(sleep 0.1)"])(
    "(%s) is an error that says what to do",
    async (prelude) => {
      const { code, stderr } = await run("/bin/bash", ["-c", `${prelude}; exec ${process.execPath} ${app}`], {
        env: {},
      });
      expect(code).toBe(1);
      expect(stderr).toMatch(/ERR_POSTERN_NO_LISTENER/);
      expect(stderr).toMatch(/nothing to listen on: .*serve\(app, \{ bind: 'unix:\/run\/app\.sock' \}\)/);
    },
  );
  it("a descriptor that is no listening socket is named", async () => {
    const { stderr } = await run(process.execPath, [app, "fd:7"], { env: {} });
    expect(stderr).toMatch(/bind fd:7: descriptor 7 is not a listening socket/);
  });
});

describe.skipIf(!canLaunch)("signals", () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"] as const) {
    it(`${signal} lets the open request finish and exits with 0`, async () => {
      const address = socketPath();
      const one = launched(launch(app, { address }));
      const slow = await connectTo(address);
      slow.request({ keepConn: true, params: { REQUEST_URI: "/slow", PATH_INFO: "/slow" } });
      await slow.head();
      const other = await connectTo(address);
      other.request({ keepConn: true, params: { REQUEST_URI: "/slow", PATH_INFO: "/slow" } });
      await other.head(); // the one that /release will finish
      one.signal(signal);
      await one.waitForLine(/draining.*signal=SIG.*openRequests=2/);
      slow.destroy();
      // Nobody can ask for the release any more but over a connection that is open already.
      other.request({ id: 2, keepConn: true, params: { REQUEST_URI: "/release", PATH_INFO: "/release" } });
      expect((await other.answer()).body.toString()).toBe("begun finished");
      expect(await one.exited).toEqual({ code: 0, signal: null });
    });
  }

  it("a second one exits at once, and says so", async () => {
    const address = socketPath();
    const one = launched(launch(app, { address }));
    const slow = await connectTo(address);
    slow.request({ params: { REQUEST_URI: "/slow", PATH_INFO: "/slow" } });
    await slow.head();
    one.signal("SIGTERM");
    await one.waitForLine(/draining/);
    one.signal("SIGINT");
    expect(await one.exited).toEqual({ code: 1, signal: null });
    expect(one.stderr()).toMatch(/second signal/);
    await slow.end();
    slow.destroy();
  });

  it("a program that binds its own unix socket removes it when it is told to stop, and replaces a stale one", async () => {
    const address = socketPath();
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const one = launched(start(process.execPath, [app, address]));
      await one.waitForLine(/ready on unix:/);
      expect(await ask(address)).toMatch(/^hello/);
      one.signal(signal);
      await one.exited;
      expect(existsSync(address)).toBe(signal === "SIGKILL");
    }
    expect(await isListening({ path: address })).toBe(false);
  });
});

describe("several programs that bind one path at once", () => {
  it("exactly one listens, the others say that it does, also over what a dead one left behind", async () => {
    const address = socketPath();
    const first = launched(start(process.execPath, [app, address]));
    await first.waitForLine(/ready/);
    await first.stop({ signal: "SIGKILL" });
    writeFileSync(`${address}.lock`, `${first.pid}`);
    const all = Array.from({ length: 4 }, () => launched(start(process.execPath, [app, address])));
    await Promise.all(
      all.map((one) => waitFor(() => one.exit !== undefined || one.stderr().includes("ready on"))),
    );
    const serving = all.filter((one) => one.exit === undefined);
    expect(serving).toHaveLength(1);
    expect(await ask(address)).toBe(`hello from ${serving[0]!.pid}`);
    for (const one of all.filter((other) => other !== serving[0])) {
      expect(one.stderr()).toMatch(/another server is (listening|starting) there/);
    }
    serving[0]!.signal("SIGTERM");
    await serving[0]!.exited;
    expect(readdirSync(folder).filter((name) => name.startsWith(basename(address)))).toEqual([]);
  });
});

describe("plain CGI", () => {
  let cgi: string;
  beforeAll(() => {
    const built = /from "(.*)\/index\.js"/.exec(readFileSync(app, "utf8"))![1]!;
    cgi = program(
      "cgi.mjs",
      built,
      `
      await serve({ responder: (req, res) => {
        if (req.url === "/fail") throw new Error("on purpose");
        if (req.url === "/big") return res.end(Buffer.alloc(5_000_000, "b"));
        if (req.url === "/proxy") return res.end(String(process.env.HTTP_PROXY) + req.headers.proxy);
        const pieces = [];
        req.on("data", (piece) => pieces.push(piece));
        req.on("end", () => {
          res.setHeader("Content-Type", "text/plain");
          res.end([req.method, req.originalUrl, req.headers["x-test"], Buffer.concat(pieces)].join(" "));
        });
      }});
    `,
    );
  });
  const environment = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    PATH: process.env["PATH"]!,
    GATEWAY_INTERFACE: "CGI/1.1",
    REQUEST_METHOD: "GET",
    REQUEST_URI: "/x?y=1",
    SCRIPT_NAME: "",
    PATH_INFO: "/x",
    QUERY_STRING: "y=1",
    SERVER_NAME: "example.com",
    SERVER_PORT: "80",
    SERVER_PROTOCOL: "HTTP/1.1",
    HTTP_X_TEST: "héader",
    ...more,
  });
  const at = (path: string): Record<string, string> =>
    environment({ REQUEST_URI: path, PATH_INFO: path, QUERY_STRING: "" });

  it("answers a GET on stdout and exits with 0", async () => {
    const { code, stdout, stderr } = await run(process.execPath, [cgi], { env: environment() });
    // Output is collected by line, so that \r stays.
    expect(stdout).toMatch(/^Status: 200 OK\r\nContent-Type: text\/plain\r\n.*\r\n\r\nGET \/x\?y=1 h/s);
    expect(code).toBe(0);
    expect(stderr).toBe("");
  });

  it("reads a POST body, no further than CONTENT_LENGTH, from a stdin that never closes", async () => {
    const env = environment({ REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" });
    const one = launched(start(process.execPath, [cgi], { env, stdin: "pipe" }));
    one.child.stdin!.write("hel");
    one.child.stdin!.write("lo and what comes behind it");
    expect((await one.exited).code).toBe(0);
    expect(one.stdout()).toMatch(/\r\n\r\nPOST \/x\?y=1 .*hello$/);
  });

  it("does not wait for a stdin that never closes when there is no body, or when nobody reads it", async () => {
    for (const env of [environment(), { ...at("/big"), REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" }]) {
      const one = launched(start(process.execPath, [cgi], { env, stdin: "pipe" }));
      one.child.stdin!.write("12345");
      expect((await one.exited).code).toBe(0);
      expect(one.stdout()).toMatch(/^Status: 200 OK\r\n/);
    }
  });

  it("takes a body without CONTENT_LENGTH to the end of stdin", async () => {
    const { stdout } = await run(process.execPath, [cgi], {
      env: environment({ REQUEST_METHOD: "PUT" }),
      input: "all of it",
    });
    expect(stdout).toMatch(/PUT .*all of it$/);
  });

  it("sends no body for HEAD", async () => {
    const { code, stdout } = await run(process.execPath, [cgi], {
      env: environment({ REQUEST_METHOD: "HEAD" }),
    });
    expect(stdout).toMatch(/^Status: 200 OK\r\n.*\r\n\r\n?$/s);
    expect(stdout).not.toContain("HEAD /x");
    expect(code).toBe(0);
  });

  it("exits with 1 after a failure, with the page on stdout and the reason on stderr", async () => {
    const { code, stdout, stderr } = await run(process.execPath, [cgi], { env: at("/fail") });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^Status: 500 Internal Server Error\r\n/);
    expect(stderr).toMatch(/GET \/fail: Error: on purpose/);
  });

  it("writes a large answer whole, also to somebody who takes a long time to read it", async () => {
    const one = launched(start(process.execPath, [cgi], { env: at("/big") }));
    one.child.stdout!.pause();
    // Longer than a finished process is given to leave.
    await new Promise((resolve) => setTimeout(resolve, 900));
    one.child.stdout!.resume();
    expect((await one.exited).code).toBe(0);
    expect(one.stdout().match(/b+$/)![0].length).toBe(5_000_000);
  });

  it("never sees the client's Proxy header, nor does its environment", async () => {
    const { stdout } = await run(process.execPath, [cgi], {
      env: { ...at("/proxy"), HTTP_PROXY: "http://evil.example" },
    });
    expect(stdout).toMatch(/undefinedundefined$/);
    // Nor do modules that read their settings while they are loaded, before anything is served.
    const early = join(folder, "early.mjs");
    writeFileSync(early, "export const proxy = String(process.env.HTTP_PROXY);");
    const source = `import { proxy } from "./early.mjs"; await serve((req, res) => res.end(proxy));`;
    const built = /from "(.*)\/index\.js"/.exec(readFileSync(app, "utf8"))![1]!;
    const late = await run(process.execPath, [program("late.mjs", built, source)], {
      env: { ...at("/"), HTTP_PROXY: "http://evil.example" },
    });
    expect(late.stdout).toMatch(/\r\nundefined$/);
  });

  it("works when stdin and stdout are one connected socket, as mod_cgid has it, and with fcgiwrap's few variables", async () => {
    const path = socketPath();
    const accepted = new Promise<Socket>((resolve) => {
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        resolve(socket);
        server.close();
      }).listen(path);
    });
    const wire = await connectTo(path);
    const socket = await accepted;
    const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
    const env = {
      REQUEST_METHOD: "POST",
      CONTENT_LENGTH: "3",
      SCRIPT_FILENAME: "/var/www/app",
      PATH: process.env["PATH"]!,
    };
    const one = launched(
      start("/bin/bash", ["-c", `exec 1>&0; exec ${process.execPath} ${cgi}`], { env, stdin: fd }),
    );
    socket.destroy();
    wire.socket.write("abc");
    expect((await one.exited).code, one.output()).toBe(0);
    await wire.end();
    expect(wire.received.toString()).toMatch(/^Status: 200 OK\r\n.*POST \/ +abc$/s);
    wire.destroy();
  });
});

/** `postern curl` and `postern ping`, as people and checks use them: beside real curl, and against what breaks. */
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { built, programPath } from "../support/e2e/built.ts";
import { gate, type Served, servePostern } from "../support/e2e/served.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Finished, type Running, run, type StartOptions, start } from "../support/process.ts";
import { rawRecord, TYPE } from "../support/records.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { spawnFcgi } from "../support/web-servers/cgi-fcgi.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { type PhpFpm, startPhpFpm } from "../support/web-servers/php-fpm.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");

const postern = (args: readonly string[], options: StartOptions = {}): Promise<Finished> =>
  run(process.execPath, [CLI, ...args], { timeoutMs: 40_000, ...options });

const posternStart = (args: readonly string[], options: StartOptions = {}): Running =>
  start(process.execPath, [CLI, ...args], options);

beforeAll(() => built(), 180_000);

// Servers of this process that end with the test.
const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server on a unix socket that does as it is told with each connection. */
async function peer(onConnection: (socket: net.Socket) => void): Promise<string> {
  const path = join(temporaryFolder("p"), "a.sock");
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `unix:${path}`;
}

/** A FastCGI application that answers every request with these bytes, and hangs up. */
function answering(...records: readonly Buffer[]): Promise<string> {
  return peer((socket) => {
    socket.once("data", () => socket.end(Buffer.concat(records)));
  });
}

const end = (appStatus = 0, protocolStatus = 0): Buffer =>
  rawRecord(TYPE.END_REQUEST, 1, Buffer.from([0, 0, 0, appStatus, protocolStatus, 0, 0, 0]));
const out = (text: string): Buffer => rawRecord(TYPE.STDOUT, 1, text);

async function serve(...args: Parameters<typeof servePostern>): Promise<{ connect: string; served: Served }> {
  const served = await servePostern(...args);
  closing.push(() => served.close());
  return { connect: connectOf(served), served };
}

function connectOf({ address }: Pick<Served, "address">): string {
  return "unix" in address ? `unix:${address.unix}` : `${address.host}:${address.port}`;
}

/** Says what came: method, URL, the header fields that curl makes, and the body. */
const echo: http.RequestListener = (request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  request.on("end", () => {
    const path = request.url ?? "";
    const status = /^\/redirect\/(\d+)/.exec(path)?.[1];
    if (status !== undefined) {
      response.writeHead(Number(status), { Location: "../landed?x=1" }).end("gone");
      return;
    }
    // Of curl's own: its name, and what it asks nginx for before it sends a body.
    const {
      "user-agent": _agent,
      connection: _connection,
      expect: _expect,
      host = "",
      ...headers
    } = request.headers;
    const said = {
      method: request.method,
      url: path,
      // nginx's fastcgi_params pass the host without its port.
      headers: { ...headers, host: host.replace(/:\d+$/, "") },
      body: Buffer.concat(pieces).toString("latin1"),
    };
    // A boundary is random, and of one length.
    response.setHeader("X-Echo", "yes");
    response.end(`${JSON.stringify(said).replace(/-{24}[0-9A-Za-z]{16,22}/g, "BOUNDARY")}\n`);
  });
};

describeWithServer(["nginx", "curl"], "beside real curl through real nginx", () => {
  let served: Served;
  let nginx: WebServer;
  let folder: string;

  beforeAll(async () => {
    served = await servePostern(echo);
    nginx = await startNginx({ application: served.address });
    folder = temporaryFolder("files");
    writeFileSync(join(folder, "data.txt"), "first=1\r\n&second=zwei\n");
    writeFileSync(join(folder, "photo.png"), Buffer.from([0x89, 0x50, 0, 0xff, 0x0d, 0x0a, 0x1a]));
    writeFileSync(join(folder, "fields"), "X-From-File: 1\nX-Other: 2\n");
  });
  afterAll(async () => {
    await nginx?.stop();
    await served?.close();
  });

  const urlOf = (path: string): string => `${nginx.origin}${path}`;

  /** Both, with the same flags; what the application saw must be the same. */
  async function both(path: string, args: readonly string[], input = ""): Promise<[Finished, Finished]> {
    const url = urlOf(path);
    const common = { cwd: folder, input };
    const theirs = await run(programOf("curl"), ["-sS", ...args, url], common);
    const ours = await postern(["curl", "-sS", "--connect", connectOf(served), ...args, url], common);
    return [ours, theirs];
  }

  const CASES: readonly (readonly [title: string, path: string, args: readonly string[], input?: string])[] =
    [
      ["nothing", "/plain?q=1", []],
      ["-d", "/x", ["-d", "a=1", "-d", "b=2 3"]],
      ["-d @file", "/x", ["-d", "@data.txt"]],
      ["-d @-", "/x", ["-d", "@-"], "from\nstdin\n"],
      ["--data-raw", "/x", ["--data-raw", "@data.txt"]],
      ["--data-binary", "/x", ["--data-binary", "@data.txt", "-H", "Content-Type: text/plain"]],
      [
        "--data-urlencode",
        "/x",
        ["--data-urlencode", "n=ä &=?/+~", "--data-urlencode", "=b c", "--data-urlencode", "f@data.txt"],
      ],
      ["-G", "/x?a=1", ["-G", "-d", "b=2", "--data-urlencode", "c=d e"]],
      ["-G -I", "/x", ["-G", "-I", "-d", "b=2"]],
      ["--json", "/x", ["--json", '{"a":', "--json", "1}"]],
      [
        "-F",
        "/x",
        [
          "-F",
          'name=va"lue',
          "-F",
          "text=t;type=text/html",
          "-F",
          "up=@photo.png",
          "-F",
          'as=@data.txt;filename="o;t.txt";type=text/csv',
        ],
      ],
      ["-F from stdin", "/x", ["-F", "a=<data.txt", "-F", "up=@-;filename=in"], "input"],
      ["--form-string", "/x", ["--form-string", "a=@b;type=c"]],
      ["-T", "/up/", ["-T", "photo.png"]],
      ["-T to a name", "/up/other", ["-T", "data.txt"]],
      ["-X", "/x", ["-X", "DELETE"]],
      ["-X with -d", "/x", ["-X", "PATCH", "-d", "a"]],
      ["-H", "/x", ["-H", "X-A: 1", "-H", "X-Empty;", "-H", "Accept:", "-H", "@fields"]],
      [
        "-u, -e, -b, -r, -A",
        "/x",
        ["-u", "kim:pass", "-e", "http://r/", "-b", "a=1; b=2", "-r", "5-9", "-A", "me"],
      ],
      ["dots in the path", "/a/../b/./c", []],
      ["UTF-8 in the path", "/grün?ß", []],
      ["-L after 301 of a POST", "/redirect/301", ["-L", "-d", "a=1"]],
      ["-L after 303 of a PUT", "/redirect/303", ["-L", "-X", "PUT"]],
      ["-L after 303 of -T", "/redirect/303", ["-L", "-T", "data.txt"]],
      ["-L after 307 of a POST", "/redirect/307", ["-L", "-d", "a=1"]],
      ["-L after 308 of a form", "/redirect/308", ["-L", "-F", "f=@photo.png"]],
      ["-L after 302 of a HEAD", "/redirect/302", ["-L", "-s"]],
    ];

  for (const [title, path, args, input] of CASES)
    it(`${title} reaches the application as curl's does`, async () => {
      const [ours, theirs] = await both(path, args, input);
      expect(theirs).toMatchObject({ code: 0 });
      if (args.includes("-I")) {
        expect(ours.stdout).toMatch(/^HTTP\/1\.1 200 OK\r?\n/);
        expect(ours.stdout).toMatch(/x-echo: yes/i);
        return;
      }
      expect(JSON.parse(theirs.stdout)).toHaveProperty("url");
      expect(JSON.parse(ours.stdout)).toEqual(JSON.parse(theirs.stdout));
      expect(ours).toMatchObject({ code: 0, stderr: "" });
    });

  it.each([
    ["-f", "/redirect/404", ["-f"]],
    ["--fail-with-body", "/redirect/500", ["--fail-with-body"]],
    ["a malformed URL", "", ["http://[/"]],
    ["too many redirects", "/redirect/302/redirect/302", ["-L", "--max-redirs", "0"]],
    ["an unwritable file", "/x", ["-o", "/no/such/folder/file"]],
    ["-O without a name", "/", ["-O"]],
  ] as const)("%s has curl's exit code", async (_title, path, args) => {
    const isUrl = args[0]?.startsWith("http");
    const common = { cwd: folder };
    const url = isUrl ? [] : [urlOf(path)];
    const theirs = await run(programOf("curl"), ["-sS", ...args, ...url], common);
    const ours = await postern(["curl", "-sS", "--connect", connectOf(served), ...args, ...url], common);
    expect([ours.code, ours.stdout]).toEqual([theirs.code, theirs.stdout]);
    expect(ours.stderr).toMatch(/^postern: .+$/);
  });

  it("-i, -o, -O, -D and -w write what curl writes, where curl writes it", async () => {
    const at = (name: string): string => readFileSync(join(folder, name), "latin1");
    await both("/named.txt", ["-o", "body", "-D", "head", "-w", "%{http_code}\\n"]).then(([ours, theirs]) => {
      expect(ours.stdout).toBe(theirs.stdout);
    });
    expect(at("body")).toContain('"url":"/named.txt"');
    expect(at("head")).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*X-Echo: yes\r\n[\s\S]*\r\n\r\n$/);
    const { code, stdout } = await postern(
      ["curl", "-O", "-i", "--connect", connectOf(served), "/dir/named.txt?q"],
      { cwd: folder },
    );
    expect([code, stdout]).toEqual([0, ""]);
    expect(at("named.txt")).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\{"method":"GET"/);
  });
});

describe("bodies", () => {
  it("arrive piece by piece, while the application still writes", async () => {
    const second = gate();
    const { connect } = await serve((_request, response) => {
      response.write("one\n");
      void second.opened.then(() => response.end("two\n"));
    });
    const asking = posternStart(["curl", "--connect", connect, "/"]);
    await asking.waitForLine(/^one$/, { timeoutMs: 30_000 });
    expect(asking.exit).toBeUndefined();
    second.open();
    expect(await asking.exited).toEqual({ code: 0, signal: null });
    expect(asking.stdout()).toBe("one\ntwo");
  });

  it("are sent while they come in, and back-pressure reaches their source", async () => {
    const seen: string[] = [];
    const { connect } = await serve((request, response) => {
      request.setEncoding("utf8");
      request.on("data", (piece: string) => seen.push(piece));
      request.on("end", () => response.end(`${seen.join("").length}`));
    });
    const asking = posternStart(["curl", "--connect", connect, "-T", "-", "/"], { stdin: "pipe" });
    asking.child.stdin!.write("first");
    await waitFor(() => seen.join("") === "first", { timeoutMs: 30_000 });
    asking.child.stdin!.end("x".repeat(3_000_000));
    expect(await asking.exited).toEqual({ code: 0, signal: null });
    expect(asking.stdout()).toBe("3000005");
  });

  it("of many megabytes come whole, into a file", async () => {
    const { connect } = await serve((_request, response) => response.end(Buffer.alloc(20_000_000, "z")));
    const file = join(temporaryFolder("o"), "big");
    const { code, stdout } = await postern([
      "curl",
      "--connect",
      connect,
      "/",
      "-o",
      file,
      "-w",
      "%{size_download}",
    ]);
    expect([code, stdout, readFileSync(file).length]).toEqual([0, "20000000", 20_000_000]);
  });

  it("are decoded for --compressed, and say when they are not what they claim", async () => {
    const codings: Readonly<Record<string, Buffer>> = {
      gzip: gzipSync("hello"),
      br: brotliCompressSync("hello"),
      deflate: Buffer.from("not deflated"),
      zip: Buffer.from("?"),
    };
    const { connect } = await serve((request, response) => {
      const coding = request.url!.slice(1);
      response.setHeader("Content-Encoding", coding).end(codings[coding]);
    });
    const ask = (path: string) => postern(["curl", "--compressed", "--connect", connect, path]);
    expect(await ask("/gzip")).toMatchObject({ code: 0, stdout: "hello" });
    expect(await ask("/br")).toMatchObject({ code: 0, stdout: "hello" });
    expect(await ask("/deflate")).toMatchObject({
      code: 61,
      stderr: expect.stringMatching(/Content-Encoding says \(deflate\)/),
    });
    expect(await ask("/zip")).toMatchObject({ code: 61 });
  });

  it("end with curl's 23 when nobody reads them any more", async () => {
    const { connect } = await serve((_request, response) => response.end(Buffer.alloc(5_000_000, "z")));
    const line = `'${process.execPath}' '${CLI}' curl --connect '${connect}' / | head -c 1 >/dev/null; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await run("bash", ["-c", line], { timeoutMs: 40_000 });
    expect([stdout, stderr]).toEqual(["23", expect.stringMatching(/has stopped \(EPIPE\)/)]);
  });
});

describe("failures", () => {
  const ask = (connect: string, ...args: string[]) =>
    postern(["curl", "--connect", connect, "-m", "20", "/", ...args]);

  it.each([
    ["no socket", 7, /no such socket \(ENOENT\)/, (): string => "unix:/nowhere/a.sock"],
    [
      "a closed port",
      7,
      /nobody listens on that port/,
      async (): Promise<string> => `127.0.0.1:${await freePort()}`,
    ],
    ["an unknown host", 6, /cannot be resolved/, (): string => "no-such-host.invalid:9000"],
    ["an address that is none", 2, /--connect|connect "9000"/, (): string => "9000"],
    [
      "one that closes at once",
      52,
      /closed the connection/,
      (): Promise<string> => peer((socket) => socket.destroy()),
    ],
    ["one that closes when asked", 52, /closed the connection/, (): Promise<string> => answering()],
    ["an HTTP server", 8, /speaks HTTP, not FastCGI/, httpServer],
    ["a TLS server", 8, /not speak FastCGI but TLS/, tlsServer],
    [
      "END_REQUEST alone",
      52,
      /app status 7.*ended without a header block/,
      (): Promise<string> => answering(end(7)),
    ],
    [
      "a line that is no header",
      8,
      /header line without a colon: "hello world"/,
      (): Promise<string> => answering(out("hello world\n\n"), end()),
    ],
    [
      "an nph program",
      8,
      /that is HTTP \(an nph program\)/,
      (): Promise<string> => answering(out("HTTP/1.1 200 OK\r\n\r\n"), end()),
    ],
    [
      "a Status that is none",
      8,
      /Status is not a three-digit number: "fine"/,
      (): Promise<string> => answering(out("Status: fine\n\n"), end()),
    ],
    [
      "a cut body",
      18,
      /announced 10 bytes and sent 3/,
      (): Promise<string> => answering(out("Content-Length: 10\n\nabc"), end()),
    ],
    [
      "a crash inside the body",
      18,
      /closed the connection before the end/,
      (): Promise<string> => answering(out("A: b\n\nabc")),
    ],
    [
      "an overloaded one",
      120,
      /FCGI_OVERLOADED.*more processes/,
      (): Promise<string> => answering(end(0, 2)),
    ],
    ["one that cannot multiplex", 120, /FCGI_CANT_MPX_CONN/, (): Promise<string> => answering(end(0, 1))],
    ["one of another role", 120, /FCGI_UNKNOWN_ROLE.*--role/, (): Promise<string> => answering(end(0, 3))],
    ["an app status", 121, /app status 3/, (): Promise<string> => answering(out("A: b\n\nabc"), end(3))],
  ] as const)("%s: exit code %i, and why", async (_title, code, why, start) => {
    const { code: exit, stderr } = await ask(await start());
    expect([exit, stderr]).toEqual([code, expect.stringMatching(why)]);
    expect(stderr).toMatch(/^postern: .+$/);
  });

  it("of silence end with --max-time, and say how far it came", async () => {
    const silent = await peer((socket) => void socket.resume());
    expect(await ask(silent, "-m", "0.3")).toMatchObject({
      code: 28,
      stderr:
        "postern: the 0.3 s of --max-time are over; the application took the connection and has not answered: it is busy, it waits for something, or it is none of FastCGI's",
    });
  });

  it("are not printed with -s, unless with -S", async () => {
    expect(await ask("unix:/nowhere", "-s")).toMatchObject({ code: 7, stderr: "" });
    expect((await ask("unix:/nowhere", "-sS")).stderr).toMatch(/ENOENT/);
  });

  it("of the command line say what to write", async () => {
    const refused = async (...args: string[]): Promise<string> => {
      const { code, stderr } = await postern(["curl", ...args], { env: { PATH: process.env["PATH"] } });
      return `${code} ${stderr.split("\n")[0]}`;
    };
    expect(await refused("http://example.org/")).toMatch(
      /^2 .*--connect is missing.*for HTTP itself there is curl/,
    );
    expect(await refused()).toMatch(/^2 .*the URL is missing/);
    expect(await refused("/", "-k", "--connect", "unix:/x")).toMatch(/^2 .*--insecure has no meaning here/);
    expect(await refused("/", "--unix-socket", "/x")).toMatch(/^2 .*write --connect unix:PATH/);
    expect(await refused("/", "--heder", "x")).toMatch(/^2 .*unknown option '--heder'/);
    expect(await refused("/", "--connect", "unix:/x", "-m", "soon")).toMatch(/^2 .*--max-time "soon"/);
    expect(await refused("/", "--connect", "unix:/x", "--role", "actor")).toMatch(
      /^2 .*responder, authorizer or filter/,
    );
  });

  function httpServer(): Promise<string> {
    return listening(http.createServer((_request, response) => response.end("hello")));
  }

  function tlsServer(): Promise<string> {
    const at = (name: string): Buffer => readFileSync(join(repositoryRoot, "test", "support", "tls", name));
    const server = tls.createServer({ key: at("server.key"), cert: at("server.pem") });
    server.on("tlsClientError", () => {});
    return listening(server);
  }

  async function listening(server: net.Server): Promise<string> {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => void server.close());
    return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  }
});

describe("what is said besides", () => {
  it("--trace prints every record both ways, --trace-hex with its bytes", async () => {
    const connect = await answering(
      out("Content-Type: text/plain\r\n\r\nhi\x1b[2J"),
      rawRecord(TYPE.STDERR, 1, "oh\n"),
      end(),
    );
    const { code, stdout, stderr } = await postern([
      "curl",
      "--trace",
      "--connect",
      connect,
      "/p?q",
      "-d",
      "a=1",
    ]);
    expect([code, stdout]).toEqual([0, "hi\x1b[2J"]);
    const lines = stderr.replace(/^ +[\d.]+ ms /gm, "");
    for (const line of [
      "→ BEGIN_REQUEST id 1  responder, close the connection afterwards",
      "    REQUEST_URI        /p?q",
      "→ PARAMS id 1  end of the stream",
      "→ STDIN id 1  3 bytes\n    a=1",
      "← STDOUT id 1  34 bytes\n    Content-Type: text/plain\n\n    hi\\x1b[2J",
      "← STDERR id 1  3 bytes\n    oh",
      "← END_REQUEST id 1  app status 0, FCGI_REQUEST_COMPLETE",
      "stderr: oh",
    ])
      expect(lines).toContain(line);
    const hex = await postern(["curl", "--trace-hex", "--connect", connect, "/"]);
    expect(hex.stderr).toContain("    0000  00 01 00 00 00 00 00 00                          ........");
  });

  it("--trace shows what came from something that is not FastCGI", async () => {
    const connect = await peer((socket) => socket.end("220 mail ready\r\n"));
    const { code, stderr } = await postern(["curl", "--trace", "--connect", connect, "/"]);
    expect(code).toBe(8);
    expect(stderr).toMatch(/← not a record: .*byte 50.*\n {4}220 mail ready/);
  });

  it("the application's stderr is shown while it comes, line by line and harmless", async () => {
    const rest = gate();
    const connect = await peer((socket) => {
      socket.once("data", () => {
        socket.write(rawRecord(TYPE.STDERR, 1, "one\ntw"));
        void rest.opened.then(() =>
          socket.end(Buffer.concat([rawRecord(TYPE.STDERR, 1, "o\x1b]0;x\x07"), out("A: b\n\n"), end()])),
        );
      });
    });
    const asking = posternStart(["curl", "--connect", connect, "/"]);
    await asking.waitForLine(/^stderr: one$/, { timeoutMs: 30_000, stream: "stderr" });
    rest.open();
    expect(await asking.exited).toEqual({ code: 0, signal: null });
    expect(asking.stderr()).toBe("stderr: one\nstderr: two\\x1b]0;x\\x07");
  });

  it("-v prints parameters, head and end; --dry-run the parameters alone", async () => {
    const connect = await answering(out("Status: 404 Gone fishing\nX-A: 1\n\n"), end());
    const { stderr } = await postern(["curl", "-v", "--connect", connect, "/p"]);
    expect(stderr).toContain("> REQUEST_URI=/p\n");
    expect(stderr).toContain("< HTTP/1.1 404 Gone fishing\n< X-A: 1\n");
    expect(stderr).toContain("* ended with app status 0, FCGI_REQUEST_COMPLETE");
    const dry = await postern(["curl", "--dry-run", "/p", "--param", "X=\n"], {
      env: { PATH: process.env["PATH"] },
    });
    expect(dry.stdout).toMatch(/^REQUEST_URI=\/p$/m);
    expect(dry.stdout).toMatch(/^X=\\x0a$/m);
    expect(dry.stderr).toMatch(/nothing was sent/);
  });

  it("a local redirect is named, and followed with -L as a web server would", async () => {
    const asked: string[] = [];
    const connect = await peer((socket) => {
      socket.once("data", (piece: Buffer) => {
        asked.push(piece.toString("latin1"));
        const isFirst = piece.includes("REQUEST_URI/from");
        socket.end(Buffer.concat([out(isFirst ? "Location: /to?x\n\n" : "A: b\n\narrived"), end()]));
      });
    });
    const there = await postern(["curl", "--connect", connect, "/from", "-w", "%{http_code}"]);
    expect(there).toMatchObject({
      code: 0,
      stdout: "302",
      stderr: expect.stringMatching(/says to \/to\?x \(a local redirect\): -L/),
    });
    const followed = await postern(["curl", "-L", "--connect", connect, "/from", "-d", "a=1"]);
    expect(followed).toMatchObject({ code: 0, stdout: "arrived", stderr: "" });
    expect(asked.at(-1)).toMatch(/REQUEST_METHODGET.*REQUEST_URI\/to\?x/s);
  });

  it("Ctrl-C sends ABORT_REQUEST and exits with 130", async () => {
    const records: Buffer[] = [];
    const begun = gate();
    const connect = await peer((socket) => {
      socket.on("data", (piece: Buffer) => {
        records.push(piece);
        begun.open();
      });
    });
    const asking = posternStart(["curl", "--connect", connect, "/"]);
    await begun.opened;
    asking.signal("SIGINT");
    expect(await asking.exited).toEqual({ code: 130, signal: null });
    const abort = rawRecord(TYPE.ABORT_REQUEST, 1);
    await waitFor(() => Buffer.concat(records).subarray(-8).equals(abort), { timeoutMs: 10_000 });
  });
});

describeWithServer("php-fpm", "with php-fpm", () => {
  let php: PhpFpm;
  let at: readonly string[];

  beforeAll(async () => {
    php = await startPhpFpm({
      scripts: {
        "index.php": `<?php header('X-Php: yes'); error_log("said aside");
          echo json_encode(['get' => $_GET, 'post' => $_POST, 'path' => $_SERVER['PATH_INFO'] ?? '', 'self' => $_SERVER['PHP_SELF'],
            'user' => $_SERVER['PHP_AUTH_USER'] ?? null, 'file' => isset($_FILES['f']) ? [$_FILES['f']['name'], $_FILES['f']['type'], file_get_contents($_FILES['f']['tmp_name'])] : null,
            'body' => file_get_contents('php://input'), 'https' => $_SERVER['HTTPS'] ?? null]);`,
      },
      directives: "ping.path = /ping\nphp_admin_value[log_errors] = On\nphp_admin_value[error_log] = \n",
    });
    at = ["--connect", connectOf(php), "--root", php.documentRoot];
  });
  afterAll(async () => {
    await php?.stop();
  });

  it("asks for scripts by path, with form fields, files and a password", async () => {
    const file = join(temporaryFolder("up"), "a.txt");
    writeFileSync(file, "inside");
    const { code, stdout, stderr } = await postern([
      "curl",
      ...at,
      "/index.php/more?x=1",
      "-F",
      "a=b",
      "-F",
      `f=@${file}`,
      "-u",
      "kim:pw",
      "--https",
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      get: { x: "1" },
      post: { a: "b" },
      path: "/more",
      self: "/index.php/more",
      user: "kim",
      file: ["a.txt", "text/plain", "inside"],
      https: "on",
    });
    expect(stderr).toContain("stderr: PHP message: said aside");
  });

  it("asks for a folder's index, and a script whatever the path", async () => {
    expect(JSON.parse((await postern(["curl", ...at, "/", "--data-raw", "x=1"])).stdout)).toMatchObject({
      body: "x=1",
      self: "/index.php",
    });
    const front = ["--connect", connectOf(php), "--script-filename", php.script("index.php")];
    expect(JSON.parse((await postern(["curl", ...front, "/blog/1?y=2"])).stdout)).toMatchObject({
      get: { y: "2" },
    });
  });

  it("says what php-fpm says of a script that is not there", async () => {
    const { code, stdout, stderr } = await postern(["curl", "-i", "-f", ...at, "/missing.php"]);
    expect([code, stdout]).toEqual([22, expect.stringMatching(/^HTTP\/1\.1 404/)]);
    expect(stderr).toMatch(/^stderr: Primary script unknown$/m);
  });

  it("is pinged by ping.path and by GET_VALUES", async () => {
    const asked = ["ping", "--connect", connectOf(php)];
    expect(await postern([...asked, "--path", "/ping", "--expect", "pong"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^pong from unix:\S+ in [\d.]+ ms$/),
      stderr: "",
    });
    expect(await postern(asked)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^values from .*does not multiplex/),
    });
    expect(await postern([...asked, "--path", "/wrong"])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/with 404; .*ping\.path/),
    });
    expect(await postern([...asked, "--path", "/ping", "--expect", "peng"])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/without "peng"/),
    });
    expect(await postern([...asked, "--path", "/ping", "--expect", "204"])).toMatchObject({ code: 1 });
  });
});

describeWithServer(["perl", "libfcgi-perl", "spawn-fcgi"], "with a Perl program on libfcgi", () => {
  it("asks it, and pings it by a path, because it does not answer GET_VALUES", async () => {
    const folder = temporaryFolder("pl");
    copyFileSync(programPath("responder.pl"), join(folder, "responder.pl"));
    writeFileSync(join(folder, "release.txt"), "one\n");
    const socket = join(folder, "a.sock");
    await using program = spawnFcgi(socket, [
      "/bin/sh",
      "-c",
      `cd '${folder}' && exec '${programOf("perl")}' responder.pl`,
    ]);
    await program.waitForLine(/responder started/, { timeoutMs: 30_000 });
    const connect = ["--connect", `unix:${socket}`];
    const { stdout } = await postern(["curl", ...connect, "/perl?x"]);
    expect(JSON.parse(stdout)).toMatchObject({ release: "one", url: "/perl?x" });
    // FCGI.pm does not answer GET_VALUES, against FastCGI 1.0 §4.
    expect(await postern(["ping", ...connect, "--deadline", "700ms"])).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/does not answer GET_VALUES: ask for a page with --path/),
    });
    expect(await postern(["ping", ...connect, "--path", "/"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^200 from /),
    });
  });
});

describe("ping", () => {
  it("is well with Postern's pingPath, and unwell while it drains", async () => {
    const open = gate();
    const arrived = gate();
    const { connect, served } = await serve(
      (_request, response) => {
        arrived.open();
        void open.opened.then(() => response.end("done"));
      },
      "unix",
      { pingPath: "/ping" },
    );
    const ask = () => postern(["ping", "--connect", connect, "--path", "/ping"]);
    expect(await ask()).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^pong from unix:\S+ in [\d.]+ ms$/),
    });
    expect(await postern(["ping", "--connect", connect, "--path", "/ping", "--quiet"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "",
    });
    const json = await postern(["ping", "--connect", connect, "--path", "/ping", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      verdict: "well",
      status: 200,
      body: "pong",
      ms: expect.any(Number),
    });
    open.open();
    await served.close();
    expect(await ask()).toMatchObject({ code: 3 });
  });

  it(
    "is unwell with the 503 of a Postern that drains",
    async () => {
      const folder = temporaryFolder("drain");
      const file = join(folder, "app.mjs");
      writeFileSync(file, "export default (request, response) => response.end('x');\n");
      const connect = `unix:${join(folder, "a.sock")}`;
      const serving = posternStart([
        ...["serve", file, "--bind", connect, "--ping-path", "/ping", "--drain-delay", "60s"],
      ]);
      closing.push(() => serving.stop({ signal: "SIGKILL" }));
      const ask = () => postern(["ping", "--connect", connect, "--path", "/ping"]);
      let last = await ask();
      while (last.code === 3) last = await ask();
      expect(last).toMatchObject({ code: 0 });
      serving.signal("SIGTERM");
      // Until the signal has gone through to the worker.
      for (last = await ask(); last.code === 0; ) last = await ask();
      expect(last).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/\/ping with 503/) });
      expect(await postern(["curl", "/", "--connect", connect])).toMatchObject({ code: 0, stdout: "x" });
    },
    patience(120_000),
  );

  it("is unwell with 503, which is what a worker answers while it drains", async () => {
    const connect = await answering(
      out("Status: 503 Service Unavailable\n\nthis process is about to end\n"),
      end(),
    );
    expect(await postern(["ping", "--connect", connect, "--path", "/ping"])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/with 503; it is about to end, or has too much to do/),
    });
  });

  it("has an exit code for each way to fail", async () => {
    const code = async (connect: string, ...args: string[]): Promise<number | null> =>
      (await postern(["ping", "--connect", connect, ...args])).code;
    const silent = await peer((socket) => void socket.resume());
    const stranger = await peer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await code("9000")).toBe(2);
    expect(await code("unix:/nowhere")).toBe(3);
    expect(await code(silent, "--deadline", "200ms")).toBe(4);
    expect(await code(silent, "--deadline", "200ms", "--path", "/")).toBe(4);
    expect(await code(stranger)).toBe(5);
    expect(await code(stranger, "--path", "/")).toBe(5);
    expect(await code(await answering(), "--path", "/")).toBe(1);
  });

  it("says so when GET_VALUES is not answered", async () => {
    const silent = await peer((socket) => void socket.resume());
    expect((await postern(["ping", "--connect", silent, "--deadline", "200ms"])).stderr).toMatch(
      /does not answer GET_VALUES: ask for a page with --path/,
    );
    expect((await postern(["ping", "--connect", await answering()])).stderr).toMatch(
      /instead of answering GET_VALUES.*--path/,
    );
  });

  it("takes its address from HAProxy's four arguments, in an empty environment", async () => {
    const { connect, served } = await serve(echo, "tcp", { pingPath: "/ping" });
    const { host, port } = served.address as { host: string; port: number };
    const called = (...args: string[]) => postern(["ping", "--path", "/ping", ...args], { env: {} });
    expect(await called("127.0.0.1", "8080", host, String(port))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`pong from ${connect}`),
    });
    expect(await called("", "0", "/nowhere/a.sock", "NOT_USED")).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/unix:\/nowhere\/a\.sock/),
    });
    expect(await called(connect)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/behind --connect/),
    });
  });
});

describeWithServer("haproxy", "ping as an external check of a real HAProxy", () => {
  it("takes a server out when it is unwell, and in again", async () => {
    const served = await servePostern(echo, "tcp", { pingPath: "/ping" });
    const { host, port } = served.address as { host: string; port: number };
    const folder = temporaryFolder("ha");
    const front = await freePort();
    const check = join(folder, "check");
    writeFileSync(check, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' ping --path /ping "$@"\n`);
    chmodSync(check, 0o755);
    const config = `
global
  insecure-fork-wanted
  external-check
  log stdout format raw daemon
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout check 20s
frontend visitors
  bind 127.0.0.1:${front}
  default_backend application
backend application
  option external-check
  external-check command ${check}
  use-fcgi-app app
  server one ${host}:${port} proto fcgi check inter 20s fastinter 500ms downinter 500ms rise 1 fall 1
fcgi-app app
  docroot ${folder}
`;
    writeFileSync(join(folder, "haproxy.cfg"), config);
    await using haproxy = start(programOf("haproxy"), ["-db", "-f", join(folder, "haproxy.cfg")]);
    await waitFor(() => isListening({ port: front, host: "127.0.0.1" }), {
      timeoutMs: 20_000,
      evidence: haproxy.output,
    });
    await served.close();
    await haproxy.waitForLine(/Server application\/one is DOWN, reason: External check error, code: 3/, {
      timeoutMs: 40_000,
    });
    const again = await servePostern(echo, "tcp", { bind: `${host}:${port}`, pingPath: "/ping" });
    closing.push(() => again.close());
    await haproxy.waitForLine(/Server application\/one is UP, reason: External check passed/, {
      timeoutMs: 40_000,
    });
  });
});

/** `postern bench` against real targets: Postern, php-fpm, nginx, and applications that answer wrongly. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import net from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { type Served, servePostern } from "../support/e2e/served.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { run } from "../support/process.ts";
import { rawRecord, TYPE } from "../support/records.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { startPhpFpm } from "../support/web-servers/php-fpm.ts";

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

const CLI = join(repositoryRoot, "dist", "cli", "main.js");

interface Json {
  readonly targets: readonly {
    readonly requests: number;
    readonly statuses: Readonly<Record<string, number>>;
    readonly wrong: readonly { readonly kind: string; readonly count: number; readonly example: string }[];
    readonly comparesBodies: boolean;
    readonly server: { readonly pid: number; readonly cpuMsPerRequest: number | null } | null;
  }[];
  readonly comparisons: readonly { readonly verdict: string }[];
}

const bench = (...args: readonly string[]) =>
  run(process.execPath, [CLI, "bench", "--warm-up", "0", ...args], { input: "", timeoutMs: 50_000 });

async function measured(
  ...args: readonly string[]
): Promise<Json["targets"][0] & { code: number | null; all: Json }> {
  const { code, stdout, stderr } = await bench("--json", ...args);
  if (!stdout.startsWith("{")) throw new Error(`exit code ${code}: ${stderr}`);
  const all = JSON.parse(stdout) as Json;
  return { ...all.targets[0]!, code, all };
}

const open: { close(): Promise<void> }[] = [];
beforeAll(() => built());
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function serve(
  application: Listener,
  options: Parameters<typeof servePostern>[2] = {},
): Promise<string> {
  const served: Served = await servePostern(application, "unix", options);
  open.push(served);
  return served.server.addresses[0]!;
}

describe("Postern", () => {
  it.each([
    ["on kept connections", []],
    ["on a connection for each request", ["--no-keep-alive"]],
    ["with several requests on each connection", ["-c", "2", "--multiplex", "8"]],
    ["at a fixed rate", ["--rate", "400"]],
  ])("is asked exactly as often as told, %s", async (_how, args) => {
    let asked = 0;
    const connect = await serve(
      (_req, res) => {
        asked++;
        res.end("hello");
      },
      { maxRequestsPerConnection: 100 },
    );
    const seen = await measured("--connect", connect, "--requests", "300", ...args);
    expect(seen).toMatchObject({
      code: 0,
      requests: 300,
      statuses: { 200: 300 },
      wrong: [],
      comparesBodies: true,
    });
    // Two more looked at what to expect.
    expect(asked).toBe(302);
  });

  it("gets the whole body each time, whatever its size", async () => {
    const digests = new Set<string>();
    const connect = await serve(async (req, res) => {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const piece of req) {
        hash.update(piece as Buffer);
        bytes += (piece as Buffer).length;
      }
      digests.add(`${req.method} ${req.headers["content-length"]} ${bytes} ${hash.digest("hex")}`);
      res.end(String(bytes));
    });
    const seen = await measured("--connect", connect, "--requests", "20", "--body-size", "3M", "-c", "4");
    expect(seen).toMatchObject({ code: 0, requests: 20, wrong: [] });
    expect([...digests]).toEqual([expect.stringMatching(/^POST 3145728 3145728 /)]);
  });

  it("is found by its socket: its processes' CPU time is measured", async () => {
    const folder = temporaryFolder("app");
    const socket = join(folder, "a.sock");
    const connect = await serve((_req, res) => res.end("x"), { bind: `unix:${socket}` });
    const { server } = await measured("--connect", connect, "--requests", "50");
    expect(server?.pid).toBe(process.pid);
    expect(server?.cpuMsPerRequest).toEqual(expect.any(Number));
  });

  it("is compared with another: in turn, in rounds", async () => {
    const order: string[] = [];
    const named =
      (name: string): Listener =>
      (_req, res) => {
        if (order.at(-1) !== name) order.push(name);
        res.end("same");
      };
    const [one, two] = [await serve(named("one")), await serve(named("two"))];
    const { all, code } = await measured(
      "--connect",
      one,
      "--compare",
      two,
      "--requests",
      "90",
      "--rounds",
      "3",
    );
    expect(code).toBe(0);
    expect(all.targets.map(({ requests }) => requests)).toEqual([90, 90]);
    // The first look at each, and then the rounds.
    expect(order).toEqual(["one", "two", "one", "two", "one", "two", "one", "two"]);
    expect(all.comparisons).toHaveLength(1);
    expect(all.comparisons[0]!.verdict).toMatch(/^requests a second: /);
  });
});

describe("a wrong answer", () => {
  it.each<
    [
      string,
      string,
      (respond: { status: (code: number) => void; end: (text: string) => void; cut: () => void }) => void,
    ]
  >([
    [
      "of another status",
      "status",
      ({ status, end }) => {
        status(503);
        end("hello");
      },
    ],
    ["with another body", "body", ({ end }) => end("HELLO")],
    ["that is cut", "protocol", ({ cut }) => cut()],
  ])("%s is found, counted, and makes the run fail", async (_what, kind, wrong) => {
    let asked = 0;
    const connect = await serve((_req, res) => {
      const isWrong = ++asked > 2 && asked % 10 === 0;
      if (!isWrong) return void res.end("hello");
      wrong({
        status: (code) => (res.statusCode = code),
        end: (text) => res.end(text),
        cut: () => {
          res.setHeader("Content-Length", 5);
          res.write("he");
          setImmediate(() => res.destroy());
        },
      });
    });
    const seen = await measured("--connect", connect, "--requests", "98");
    expect(seen.code).toBe(1);
    expect(seen.requests).toBe(88);
    expect(seen.wrong.reduce((sum, { count }) => sum + count, 0)).toBe(10);
    if (kind !== "protocol") expect(seen.wrong).toMatchObject([{ kind, count: 10 }]);
  });

  it("that differs each time is no error, and the report says that bodies were not compared", async () => {
    let asked = 0;
    const connect = await serve((_req, res) => void res.end(`answer ${++asked}`));
    const { code, stdout } = await bench("--connect", connect, "--requests", "20");
    expect(code).toBe(0);
    expect(stdout).toContain("Two answers had different bodies, so bodies were not compared");
  });

  it("at the first look ends it before anything is measured", async () => {
    const connect = await serve((_req, res) => {
      res.statusCode = 404;
      res.end();
    });
    expect(await bench("--connect", connect)).toMatchObject({
      code: 3,
      stdout: "",
      stderr: expect.stringMatching(
        /^postern: nothing was measured: \S+: status 404, expected below 400; .*--expect-status$/,
      ),
    });
    expect(await measured("--connect", connect, "--requests", "5", "--expect-status", "404")).toMatchObject({
      code: 0,
      requests: 5,
    });
  });
});

it("a target that answers each request twice does not hold a run up", async () => {
  const answer = Buffer.concat([
    rawRecord(TYPE.STDOUT, 1, Buffer.from("Status: 200\r\n\r\nhello")),
    rawRecord(TYPE.END_REQUEST, 1, Buffer.alloc(8)),
  ]);
  const path = join(temporaryFolder("twice"), "a.sock");
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => void socket.write(Buffer.concat([answer, answer])));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  open.push({ close: async () => void server.close() });
  const seen = await measured("--connect", path, "--requests", "20");
  expect(seen).toMatchObject({ code: 0, requests: 20, wrong: [] });
});

it("descriptors that run out are said in a sentence, with what to do", async () => {
  const connect = await serve((_req, res) => void res.end("hello"));
  const args = `"${process.execPath}" "${CLI}" bench --connect "${connect}" -c 600 --requests 600 --warm-up 0`;
  const { code, stdout } = await run("sh", ["-c", `ulimit -n 250; ${args}`], { timeoutMs: 50_000 });
  expect(code).toBe(1);
  expect(stdout).toMatch(/connect: no file descriptor is left \(EMFILE\); .*fewer --connections/);
});

it("whoever stops reading ends it without a stack trace", async () => {
  const connect = await serve((_req, res) => void res.end("hello"));
  const line = `{ "${process.execPath}" "${CLI}" bench --connect "${connect}" --requests 5 --warm-up 0; echo $? >&3; } | true`;
  const { stdout, stderr } = await run("sh", ["-c", `exec 3>&1; ${line}`], { timeoutMs: 50_000 });
  expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: "141", stderr: "" });
});

describe("a target that is not there", () => {
  it.each([
    [
      "a socket that is missing",
      ["--connect", "/nowhere/app.sock"],
      3,
      /nothing was measured: \S+: there is no such socket \(ENOENT\); is the/,
    ],
    ["no target", [], 2, /nothing to ask: give --connect ADDRESS/],
    ["a path without a socket", ["/index.html"], 2, /"\/index.html" is no http URL/],
    [
      "a count that is none",
      ["--connect", "/x", "-c", "many"],
      2,
      /--connections "many": write a whole number from 1 to 20000/,
    ],
    [
      "multiplexing over HTTP",
      ["http://127.0.0.1:1/", "--multiplex", "2"],
      2,
      /--multiplex 2: HTTP\/1.1 has one request/,
    ],
  ])("%s is said in a sentence", async (_what, args, code, says) => {
    expect(await bench(...args)).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(says) });
  });

  it("an HTTP server on the port is named", async () => {
    const port = await freePort();
    const server = createServer((_req, res) => res.end()).listen(port, "127.0.0.1");
    open.push({ close: async () => void server.close() });
    const { code, stderr } = await bench("--connect", `127.0.0.1:${port}`);
    expect(code).toBe(3);
    expect(stderr).toMatch(/nothing was measured: \S+ not FastCGI: an HTTP server's answer/);
  });

  it("that dies on the way is counted", async () => {
    const served = await servePostern((_req: IncomingMessage, res: ServerResponse) => {
      if (++asked === 40) setImmediate(() => served.server.destroy("killed by the test"));
      res.end("x");
    });
    let asked = 0;
    const { code, requests, wrong } = await measured(
      "--connect",
      served.server.addresses[0]!,
      "--requests",
      "60",
      "-c",
      "1",
    );
    await served.close();
    expect(code).toBe(1);
    expect(requests).toBeLessThan(60);
    expect(wrong.reduce((sum, { count }) => sum + count, 0)).toBe(60 - requests);
  });
});

describe("the report", () => {
  it("has the figures, a histogram and what to mind of them, and no escape sequences", async () => {
    const connect = await serve((_req, res) => void res.end("hello"));
    const { stdout, stderr } = await bench("/path?q=1", "--connect", connect, "--requests", "50");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^unix:\S+ {2}GET \/path\?q=1\n/);
    for (const row of [
      /requests +50, /,
      /latency +least .*, mean .*, most /,
      /99 % +[\d.]+ m?s\n/,
      /statuses +200: 50\n/,
      /wrong +none; status, length and body/,
      /below .* % {2}\S/,
      /Closed loop: /,
    ]) {
      expect(stdout).toMatch(row);
    }
    expect(stdout).not.toContain("\x1b");
  });
});

describeWithServer("php-fpm", "php-fpm", () => {
  it("is asked by its script", async () => {
    const php = await startPhpFpm({
      scripts: { "hello.php": "<?php echo 'hello ', $_GET['who'];" },
      children: 2,
    });
    open.push({ close: async () => void (await php.stop()) });
    const address =
      "unix" in php.address ? `unix:${php.address.unix}` : `${php.address.host}:${php.address.port}`;
    const seen = await measured(
      "/hello.php?who=you",
      "--connect",
      address,
      "--root",
      php.documentRoot,
      "--requests",
      "40",
      "-c",
      "2",
      "--expect-body",
      "hello you",
    );
    expect(seen).toMatchObject({ code: 0, requests: 40, wrong: [] });
  });
});

describeWithServer("nginx", "nginx in front", () => {
  it("is asked by its URL", async () => {
    const served = await servePostern(
      (req: IncomingMessage, res: ServerResponse) => void res.end(`${req.method} ${req.url}`),
    );
    open.push(served);
    const web = await startNginx({ application: served.address });
    open.push({ close: async () => void (await web.stop()) });
    const file = join(temporaryFolder("b"), "expected");
    writeFileSync(file, "POST /a?b=c");
    for (const how of [[], ["--no-keep-alive"]]) {
      const seen = await measured(
        `${web.origin}/a?b=c`,
        "--requests",
        "60",
        "-d",
        "text",
        "--expect-body",
        `@${file}`,
        ...how,
      );
      expect(seen).toMatchObject({ code: 0, requests: 60, wrong: [] });
    }
  });
});

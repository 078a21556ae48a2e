/**
 * The access log of a pool in Python: for the same requests the lines of a JavaScript pool, in every format; written
 * over reloads and rotation, to a pipe that is not read, and to the end of the worker.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { ClientPool } from "../../src/client/index.ts";
import { built } from "../support/e2e/built.ts";
import {
  type Managed,
  PATIENT,
  serveManaged,
  startManager,
  stopManagers,
} from "../support/e2e/supervised.ts";
import { ask, PYTHON } from "../support/python/python.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { connectWire } from "../support/wire.ts";

beforeAll(built);
afterEach(stopManagers);

const PY = `
import os
import time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise RuntimeError("no")
    if path == "/exit":
        os._exit(3)
    if path == "/wait":
        print("waits")
        while not os.path.exists(environ["HTTP_UNTIL"]):
            time.sleep(0.005)
    if path == "/client":
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT")
        return [" ".join(environ[name] for name in names).encode()]
    environ.clear()
    status = {"/gone": "404 Not Found", "/moved": "302 Found"}.get(path, "200 OK")
    headers = [("Content-Type", 'text/plain; x="a b"'), ("X-Made-By", "us")]
    start_response(status, headers + ([("Location", "/there")] if path == "/moved" else []))
    return [b"an answer"]
`;

const JS = `
export default (req, res) => {
  const path = req.url.split("?")[0];
  if (path === "/fails") throw new Error("no");
  const status = { "/gone": 404, "/moved": 302 }[path] ?? 200;
  const headers = { "Content-Type": 'text/plain; x="a b"', "X-Made-By": "us" };
  res.writeHead(status, path === "/moved" ? { ...headers, Location: "/there" } : headers);
  res.end("an answer");
};
`;

const OWN =
  '%b d=%d d=%{milliseconds}d d=%{microseconds}d %{HTTP_HOST}e "%{HTTP_USER_AGENT}e" %{REMOTE_PORT}e %{HTTPS}e %{SERVER_PORT}e %f %i %l %m M=%M ' +
  'M=%{kilobytes}M M=%{megabytes}M %n "%{Content-Type}o" %{X-Made-By}o %{Location}o %p %P %q %Q %r %R %s %t ' +
  "%{%Y-%m-%dT%H:%M:%S%z}T %u %%";

const BEHIND_A_PROXY = {
  HTTP_X_FORWARDED_FOR: "192.0.2.1, 198.51.100.7",
  HTTP_X_FORWARDED_PROTO: "https",
  HTTP_X_FORWARDED_HOST: "shop.example",
};

/** What differs between two runs of the same requests, written as one. */
function masked(line: string): string {
  return line
    .replace(/\b\d\d\/\w{3}\/\d{4}:[\d:]{8} [+-]\d{4}\b/g, "TIME")
    .replace(/\b\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{3}Z|[+-]\d{4})/g, "TIME")
    .replace(/("durationMs":|\bd=)\d+(?:\.\d+)?/g, "$1DURATION")
    .replace(/\bM=\d+/g, "M=MEMORY")
    .replace(/\b(?:js|py)\d\b/g, "POOL");
}

async function askAll(address: string): Promise<void> {
  const client = new ClientPool({ connect: address, timeoutMs: 30_000 });
  const get = (url: string, params: Readonly<Record<string, string>> = {}): ReturnType<typeof ask> =>
    ask(client, url, { params });
  try {
    await get("/");
    await get('/path%20here?query="x"&y=\\', { HTTP_HOST: "shop.example", REMOTE_USER: "kim the\x80 first" });
    await get("/gone?", { HTTP_REFERER: "http://a/", HTTP_USER_AGENT: 'Some "Browser"/1.0 Ã©\x1b\\' });
    await get("/moved", { SCRIPT_FILENAME: "/srv/app.fcgi", REMOTE_PORT: "1234" });
    await get("/head", { REQUEST_METHOD: "HEAD" });
    await ask(client, "/post", { stdin: Buffer.from("seventeen bytes..") });
    expect((await get("/fails")).status).toBe(500);
    expect((await get("/bad", { QUERY_STRING: "", HTTP_X: "a\nb" })).status).toBe(400);
    await get(`/${"long".repeat(1200)}?${"q".repeat(5000)}`);
    await get("/ping");
    await get("/through", { ...BEHIND_A_PROXY, REMOTE_PORT: "1234" });
    await get("/last", { REMOTE_ADDR: "2001:db8::1" });
  } finally {
    await client.close();
  }
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}

interface Served {
  readonly managed: Managed;
  readonly folder: string;
  address(name: string): string;
  file(name: string): string;
}

async function serveBoth(formats: readonly string[], more: object = {}): Promise<Served> {
  const folder = temporaryFolder("al");
  writeFileSync(join(folder, "shop.py"), PY);
  writeFileSync(join(folder, "shop.mjs"), JS);
  const file = (name: string): string => join(folder, `${name}.log`);
  const bind = (name: string): string => join(folder, `${name}.s`);
  const pools = formats.flatMap((accessLogFormat, at) =>
    [
      [`js${at}`, { app: "shop.mjs" }] as const,
      [`py${at}`, { app: "shop:app", python: PYTHON, threads: 2 }] as const,
    ].map(([name, pool]) => [
      name,
      {
        ...pool,
        bind: bind(name),
        accessLog: file(name),
        accessLogFormat,
        pingPath: "/ping",
        trustProxy: ["203.0.113.0/24"],
        workers: 1,
        ...more,
      },
    ]),
  );
  const config = join(folder, "postern.config.json");
  writeFileSync(config, JSON.stringify({ pools: Object.fromEntries(pools) }));
  const address = (name: string): string => `unix:${bind(name)}`;
  const managed = await serveManaged({ args: ["serve", "-c", config], address: address("py0") });
  return { managed, folder, address, file };
}

describeWithServer("python", "the access log of a Python pool", () => {
  it("has the lines of a JavaScript pool for the same requests, in every format", {
    timeout: 90_000,
  }, async () => {
    const formats = ["common", "combined", "json", OWN];
    const { managed, address, file } = await serveBoth(formats);
    for (const at of formats.keys()) {
      for (const name of [`js${at}`, `py${at}`]) await askAll(address(name));
    }
    const pids = new Map<string, number>();
    for (const { name, workers } of (await managed.status()).pools) pids.set(name, workers[0]!.pid);
    await managed.cli("stop");
    await managed.process.exited; // a worker that ends has written all
    for (const [at, format] of formats.entries()) {
      const [js, py] = [`js${at}`, `py${at}`].map((name) =>
        linesOf(file(name)).map((line) => masked(line).replaceAll(String(pids.get(name)), "PID")),
      );
      expect(py, format).toEqual(js);
      expect(py!.length).toBe(11);
    }
  });

  it("goes on in the new file after a rotation, told or not, and after a reload", {
    timeout: 90_000,
  }, async () => {
    const { managed, address, file } = await serveBoth(["%r"]);
    const log = file("py0");
    const client = new ClientPool({ connect: address("py0"), timeoutMs: 30_000 });
    const hasLine = (line: string): Promise<true> =>
      waitFor(() => linesOf(log).includes(line), { ...PATIENT, what: line, evidence: managed.log });
    try {
      await ask(client, "/one");
      await hasLine("/one");
      renameSync(log, `${log}.1`);
      expect((await managed.cli("logs", "reopen")).code).toBe(0);
      await ask(client, "/two");
      await hasLine("/two");
      renameSync(log, `${log}.2`);
      managed.process.signal("SIGUSR1");
      await ask(client, "/three");
      await managed.cli("reload");
      await ask(client, "/four");
      await hasLine("/four");
      renameSync(log, `${log}.3`); // nobody says a word of it
      writeFileSync(log, "");
      let asked = 0;
      await waitFor(async () => {
        await ask(client, `/five?${++asked}`);
        return linesOf(log).includes("/five");
      }, PATIENT);
      await managed.cli("stop");
      await managed.process.exited;
      const all = [1, 2, 3].flatMap((at) => linesOf(`${log}.${at}`)).concat(linesOf(log));
      const fives = Array.from({ length: asked }, () => "/five");
      expect(all).toEqual(["/one", "/two", "/three", "/four", ...fives]);
    } finally {
      await client.close();
    }
  });

  it("has the client that trustProxy lets be seen, as the application has", async () => {
    const { managed, address, file } = await serveBoth(["%R"]);
    const client = new ClientPool({ connect: address("py0"), timeoutMs: 30_000 });
    try {
      const { body } = await ask(client, "/client", { params: BEHIND_A_PROXY });
      expect(body).toBe("198.51.100.7 https shop.example 443");
      const stranger = { ...BEHIND_A_PROXY, REMOTE_ADDR: "192.0.2.9", HTTP_HOST: "a.example" };
      expect((await ask(client, "/client", { params: stranger })).body).toBe("192.0.2.9 http a.example 80");
    } finally {
      await client.close();
    }
    await managed.cli("stop");
    await managed.process.exited;
    expect(linesOf(file("py0"))).toEqual(["198.51.100.7", "192.0.2.9"]);
  });

  it("says 499 of a request whose client left before there was an answer", async () => {
    const { managed, address, file } = await serveBoth(["%r %s %b"]);
    const until = join(temporaryFolder("u"), "now");
    const wire = await connectWire({ path: address("py0").slice("unix:".length) });
    wire.request({ params: { REQUEST_URI: "/wait", PATH_INFO: "/wait", HTTP_UNTIL: until } });
    await managed.line(/waits/);
    wire.destroy();
    await waitFor(() => wire.closed);
    writeFileSync(until, "");
    await waitFor(() => linesOf(file("py0")).length === 1, PATIENT);
    expect(linesOf(file("py0"))).toEqual(["/wait 499 0"]);
  });

  it("goes to the standard output of the manager, apart from what the application prints", async () => {
    const folder = temporaryFolder("al");
    writeFileSync(join(folder, "shop.py"), PY);
    const address = `unix:${join(folder, "a.s")}`;
    const args = ["serve", "shop:app", "--bind", address, "--python", PYTHON];
    const managed = await serveManaged({
      args: [...args, "--access-log", "-", "--access-log-format", "line %m %r %s"],
      address,
      cwd: folder,
    });
    await managed.get("/x");
    await waitFor(() => managed.process.stdout().includes("line GET /x 200"), {
      ...PATIENT,
      evidence: () => managed.process.output(),
    });
    expect(managed.log()).not.toContain("line GET");
  });

  it("is refused at the start where it cannot be written, or makes no sense", async () => {
    const folder = temporaryFolder("al");
    writeFileSync(join(folder, "shop.py"), PY);
    const start = async (...flags: string[]): Promise<string> => {
      const address = `unix:${join(temporaryFolder("s"), "a.s")}`;
      const args = ["serve", "shop:app", "--bind", address, "--python", PYTHON, ...flags];
      const managed = startManager({ args, address, cwd: folder });
      await managed.process.exited;
      return managed.log();
    };
    expect(await start("--access-log", join(folder, "none", "a.log"))).toMatch(/none.*does not exist/);
    expect(await start("--access-log", "-", "--access-log-format", "%C")).toMatch(/%C/);
  });
});

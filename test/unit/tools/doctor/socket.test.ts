/** The doctor's questions about sockets, each asked of a real one that has the fault. */
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Address, parseAddress } from "../../../../src/base/address.ts";
import { createServer } from "../../../../src/serve.ts";
import { identityOf } from "../../../../src/tools/doctor/identity.ts";
import type { Facts, Finding, WebServerFact } from "../../../../src/tools/doctor/model.ts";
import { socketChecks } from "../../../../src/tools/doctor/socket-checks.ts";
import { isSame } from "../../../../src/tools/doctor/sockets.ts";
import { temporaryFolder } from "../../../support/temp.ts";
import { serverUser } from "../../../support/web-servers/web-server.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** Listens on a path or a port. */
async function listening(
  where: string | number,
  onConnection: (socket: net.Socket) => void,
): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) =>
    typeof where === "string" ? server.listen(where, resolve) : server.listen(where, "127.0.0.1", resolve),
  );
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const at = server.address();
  return typeof at === "object" && at !== null ? at.port : 0;
}

interface More {
  readonly listens?: readonly Address[];
  readonly server?: Partial<WebServerFact>;
  readonly timeout?: number;
}

/** What an nginx that connects to `text` has wrong. */
async function asked(
  text: string,
  { listens = [], server = {}, timeout = 60 }: More = {},
): Promise<Finding[]> {
  const folder = temporaryFolder("c");
  const file = join(folder, "nginx.conf");
  writeFileSync(file, `location / {\n  fastcgi_pass ${text};\n}\n`);
  const address: Address = text.startsWith("unix:")
    ? { kind: "unix", path: text.slice(5) }
    : parseAddress(text, "test");
  const web: WebServerFact = {
    server: "nginx",
    files: [file],
    running: true,
    hidden: [],
    errorLogs: [],
    reload: "nginx -s reload",
    backends: [{ address, place: `${file}:2`, timeout }],
    ...server,
  };
  const facts: Facts = {
    webServers: [web],
    ...(listens.length > 0 && { application: { file: "app.js", path: "/a/app.js", folder: "/a", listens } }),
  };
  const found: Finding[] = [];
  for (const check of socketChecks) found.push(...(await check.examine(facts, AbortSignal.timeout(15_000))));
  return found;
}

const bad = (findings: readonly Finding[]): Finding[] => findings.filter(({ verdict }) => verdict === "bad");

describe("a socket that is well", () => {
  it("has a good answer to every question", async () => {
    const path = join(temporaryFolder("s"), "s");
    const server = createServer((_req, res) => res.end("well"), { bind: `unix:${path}`, mode: 0o666 });
    await server.listen();
    open.push(() => server.close());
    const user = await identityOf(process.getuid?.() ?? 0);
    const findings = await asked(`unix:${path}`, { listens: [{ kind: "unix", path }], server: { user } });
    expect(findings.map(({ id, verdict }) => [id, verdict])).toEqual([
      ["socket.path", "good"],
      ["socket.exists", "good"],
      ["socket.permission", "good"],
      ["socket.answer", "good"],
    ]);
  });
});

describe("the address", () => {
  it("differs from where the application listens: the edit names both", async () => {
    const folder = temporaryFolder("s");
    const [finding] = bad(
      await asked(`unix:${folder}/ap.sock`, { listens: [{ kind: "unix", path: `${folder}/app.sock` }] }),
    );
    expect(finding).toMatchObject({
      id: "socket.path-differs",
      remedy: [{ line: 2, from: `${folder}/ap.sock`, to: `${folder}/app.sock` }, { run: "nginx -s reload" }],
    });
  });

  it("is of a socket whose name is nearly that of one that is there", async () => {
    const folder = temporaryFolder("s");
    await listening(join(folder, "shop.sock"), (socket) => socket.destroy());
    expect(bad(await asked(`unix:${folder}/shp.sock`))[0]).toMatchObject({
      id: "socket.missing",
      remedy: [{ from: `${folder}/shp.sock`, to: `${folder}/shop.sock` }, { run: "nginx -s reload" }],
    });
  });

  it.each([
    ["socket.relative-path", () => "unix:app.sock"],
    ["socket.path-too-long", () => `unix:/${"x".repeat(120)}`],
    ["socket.missing", () => `unix:${temporaryFolder("s")}/none/app.sock`],
    ["socket.not-a-socket", () => `unix:${temporaryFolder("s")}`],
    ["socket.refused", () => "127.0.0.1:1"],
  ])("%s", async (id, text) => {
    expect(bad(await asked(text())).map((finding) => finding.id)).toEqual([id]);
  });

  it("is stale when nobody listens any more", async () => {
    const folder = temporaryFolder("s");
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, "a"), resolve));
    renameSync(join(folder, "a"), join(folder, "b"));
    await new Promise((resolve) => server.close(resolve));
    expect(bad(await asked(`unix:${folder}/b`))[0]?.id).toBe("socket.stale");
  });

  it("is hidden from a web server that has the folder for itself", async () => {
    const path = join(temporaryFolder("s"), "a");
    await listening(path, (socket) => socket.destroy());
    expect(
      bad(await asked(`unix:${path}`, { server: { hidden: [path.slice(0, path.lastIndexOf("/"))] } }))[0]?.id,
    ).toBe("socket.hidden");
  });

  it("is the same in other words: /var/run, localhost, every address", () => {
    const same = (one: string, other: string): boolean =>
      isSame(parseAddress(one, "a"), parseAddress(other, "b"));
    expect(same("unix:/var/run/a", "unix:/run/a")).toBe(true);
    expect(same("localhost:9000", "127.0.0.1:9000")).toBe(true);
    expect(same("0.0.0.0:9000", "127.0.0.1:9000")).toBe(true);
    expect(same("127.0.0.1:9000", "127.0.0.1:9001")).toBe(false);
  });
});

it.runIf(serverUser())(
  "the web server's user is stopped by a folder and by the mode of the socket",
  async () => {
    const folder = join(temporaryFolder("s"), "in");
    mkdirSync(folder, { mode: 0o700 });
    const path = join(folder, "a");
    await listening(path, (socket) => socket.destroy());
    chmodSync(path, 0o600);
    const user = await identityOf("www-data");
    const [finding] = bad(await asked(`unix:${path}`, { server: { user } }));
    expect(finding).toMatchObject({
      id: "socket.no-permission",
      remedy: [
        { run: `chmod o+x ${folder}` },
        { run: `chgrp www-data ${path}` },
        { run: `chmod g+rw ${path}` },
      ],
    });
  },
);

describe("what answers", () => {
  const REFUSED = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
  it.each<[string, string, (socket: net.Socket) => void]>([
    ["speaks HTTP", "socket.not-fastcgi", (socket) => socket.once("data", () => socket.end(REFUSED))],
    [
      "is Redis",
      "socket.not-fastcgi",
      (socket) => socket.once("data", () => socket.write("-ERR unknown command\r\n")),
    ],
    ["is SSH, which greets", "socket.not-fastcgi", (socket) => socket.write("SSH-2.0-test\r\n")],
    ["closes at once", "socket.refuses-client", (socket) => socket.destroy()],
  ])("%s", async (_what, id, onConnection) => {
    const port = await listening(0, onConnection);
    expect(bad(await asked(`127.0.0.1:${port}`)).map((finding) => finding.id)).toEqual([id]);
  });

  const stdout = (text: string): Buffer => {
    const content = Buffer.from(text);
    return Buffer.concat([
      Buffer.from([1, 6, 0, 1, content.length >> 8, content.length & 255, 0, 0]),
      content,
      Buffer.from([1, 6, 0, 1, 0, 0, 0, 0, 1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ]);
  };

  it("has a line that is no header: it is quoted", async () => {
    const port = await listening(0, (socket) =>
      socket.once("data", () => socket.end(stdout("Warning, what is this\r\n\r\nx"))),
    );
    expect(bad(await asked(`127.0.0.1:${port}`))[0]).toMatchObject({
      id: "socket.malformed-header",
      says: expect.stringContaining("Warning, what is this"),
    });
  });

  it("has headers larger than nginx takes", async () => {
    const head = `Status: 200 OK\r\nX-Large: ${"x".repeat(6000)}\r\n\r\n`;
    const port = await listening(0, (socket) => socket.once("data", () => socket.end(stdout(head))));
    expect(bad(await asked(`127.0.0.1:${port}`))[0]).toMatchObject({
      id: "socket.header-too-large",
      remedy: [{ line: 2, from: "fastcgi_pass" }, { run: "nginx -s reload" }],
    });
  });
});

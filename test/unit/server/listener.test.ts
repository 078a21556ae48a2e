/** Where a server listens: every form of `bind`, who may connect, and unix sockets that are safe from the first moment. */
import { execFileSync, fork } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer as createNetServer } from "node:net";
import { basename, dirname, join, relative } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { SettingError } from "../../../src/base/errors.ts";
import { createServer } from "../../../src/serve.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import type { Server } from "../../../src/server/server.ts";
import { freePort } from "../../support/ports.ts";
import { run, start } from "../../support/process.ts";
import { requestRecords } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, waitFor } from "../../support/wait.ts";
import { connectWire, TestLog } from "../../support/wire.ts";

/** Names that these tests need; all others are looked up. */
const HOSTS: Readonly<Record<string, readonly string[]>> = {
  "loopback.test": ["127.0.0.1", "::1"],
  "mixed.test": ["127.0.0.1", "192.0.2.1"],
  "gone.test": [],
};
vi.mock("node:dns/promises", async (original) => {
  const real = await original<typeof import("node:dns/promises")>();
  const lookup = (host: string, options: { all: true }): Promise<unknown> => {
    const found = HOSTS[host];
    if (found === undefined) return real.lookup(host, options);
    if (found.length > 0) return Promise.resolve(found.map((address) => ({ address })));
    return Promise.reject(Object.assign(new Error("nobody knows"), { code: "ENOTFOUND" }));
  };
  return { ...real, lookup };
});

const isRoot = process.getuid?.() === 0;
const ok = (_request: unknown, response: import("node:http").ServerResponse): void => void response.end("ok");

function listen(options: ServerOptions): Promise<Server> {
  return createServer(ok, { logger: new TestLog(), ...options }).listen();
}
async function refusal(options: ServerOptions): Promise<SettingError> {
  const server = createServer(ok, { logger: new TestLog(), ...options });
  const error = await server.listen().then(
    () => undefined,
    (reason: unknown) => reason as SettingError,
  );
  await server.close();
  expect(error, "it listened").toBeDefined();
  expect(error!.name).toBe("SettingError");
  return error!;
}
async function ask(where: { path: string } | { host: string; port: number }): Promise<string> {
  const wire = await connectWire(where);
  wire.request();
  const { body } = await wire.answer();
  wire.destroy();
  return body.toString();
}
const portOf = (address: string): number => Number(/:(\d+)$/.exec(address)![1]);
const hasIPv6 =
  existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "utf8").includes(" lo");

describe("bind", () => {
  it("takes a unix socket as unix:/path, /path, and relative to the working directory", async () => {
    const folder = temporaryFolder("l");
    const path = join(folder, "a.sock");
    for (const bind of [`unix:${path}`, path, `unix:${relative(process.cwd(), path)}`]) {
      await using server = await listen({ bind });
      expect(await ask({ path })).toBe("ok");
      expect(server.addresses).toEqual([`unix:${path}`]);
      expect(server.isSpawned).toBe(false);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(process.platform !== "linux")(
    "takes an abstract socket, which has no file and ends with the server",
    async () => {
      const name = `postern-test-${process.pid}`;
      {
        await using server = await listen({ bind: `unix:@${name}` });
        expect(await ask({ path: `\0${name}` })).toBe("ok");
        expect(server.addresses).toEqual([`unix:@${name}`]);
        expect((await refusal({ bind: `unix:@${name}` })).code).toBe("ERR_POSTERN_SOCKET_IN_USE");
      }
      await expect(connectWire({ path: `\0${name}` })).rejects.toMatchObject({ code: "ECONNREFUSED" });
    },
  );

  it("takes host:port and :port, which means loopback, and tells the port it got", async () => {
    for (const [bind, address] of [
      ["127.0.0.1:0", /^127\.0\.0\.1:\d+$/],
      [":0", /^127\.0\.0\.1:\d+$/],
      ["localhost:0", /^(127\.0\.0\.1|\[::1\]):\d+$/],
    ] as const) {
      await using server = await listen({ bind });
      expect(server.addresses[0]).toMatch(address);
      const host = server.addresses[0]!.startsWith("[") ? "::1" : "127.0.0.1";
      expect(await ask({ host, port: portOf(server.addresses[0]!) })).toBe("ok");
    }
  });

  it.skipIf(!hasIPv6)("takes IPv6 in brackets", async () => {
    await using server = await listen({ bind: "[::1]:0" });
    expect(server.addresses[0]).toMatch(/^\[::1\]:\d+$/);
    expect(await ask({ host: "::1", port: portOf(server.addresses[0]!) })).toBe("ok");
  });

  it("takes several, all or none", async () => {
    const path = join(temporaryFolder("l"), "a.sock");
    {
      await using server = await listen({ bind: [path, "127.0.0.1:0"] });
      expect(server.addresses).toHaveLength(2);
      expect(await ask({ path })).toBe("ok");
    }
    const error = await refusal({ bind: [path, "127.0.0.1:0", "nonsense"] });
    expect(error.code).toBe("ERR_POSTERN_ADDRESS");
    expect(existsSync(path)).toBe(false);
  });

  it("names a port that is in use, an address this machine does not have, a host nobody knows, a port too low", async () => {
    await using server = await listen({ bind: "127.0.0.1:0" });
    const taken = await refusal({ bind: server.addresses[0]! });
    expect(taken.code).toBe("ERR_POSTERN_SOCKET_IN_USE");
    expect(taken.message).toContain(`${server.addresses[0]}: another process is listening there`);
    if (process.platform === "linux") expect(taken.message).toContain(`there (pid ${process.pid}: `);
    const foreign = await refusal({ bind: "192.0.2.1:0", allowedClients: "any" });
    expect(foreign.message).toMatch(/bind 192\.0\.2\.1:0: this machine has no such address/);
  });

  it.skipIf(process.platform !== "linux")("names who has the port, on whatever address", async () => {
    const port = await freePort();
    const script = (host: string): string =>
      `require("net").createServer().listen(${port}, ${JSON.stringify(host)}, () => console.log("ready"))`;
    for (const host of hasIPv6 ? ["0.0.0.0", "127.0.0.1", "::"] : ["0.0.0.0", "127.0.0.1"]) {
      const other = start(process.execPath, ["-e", script(host)]);
      await other.waitForLine(/ready/);
      const neighbour = host === "127.0.0.1" ? createNetServer().listen(port, "127.0.0.2") : undefined;
      const { message } = await refusal({ bind: `127.0.0.1:${port}` });
      expect(message, host).toMatch(
        /there \(pid \d+: \S*node -e require.*\); stop it or choose another address$/,
      );
      expect(message).not.toContain(`(pid ${process.pid}:`);
      neighbour?.close();
      await other.stop({ signal: "SIGKILL" });
    }
  });

  it("a relative path is that of the moment of listening, also when the process moves on", async () => {
    const folder = temporaryFolder("l");
    const path = join(folder, "a.sock");
    const before = process.cwd();
    process.chdir(folder);
    try {
      await using server = await listen({ bind: "unix:./a.sock" });
      process.chdir("/");
      expect(server.addresses).toEqual([`unix:${path}`]);
      expect(readdirSync(folder)).toEqual(["a.sock"]);
      expect(await ask({ path })).toBe("ok");
      expect((await refusal({ bind: path })).code).toBe("ERR_POSTERN_SOCKET_IN_USE");
    } finally {
      process.chdir(before);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it("an address named twice is not taken for another server's", async () => {
    const path = join(temporaryFolder("l"), "dup.sock");
    const other = join(dirname(path), ".", basename(path));
    for (const bind of [
      [path, `unix:${path}`],
      [path, `${dirname(path)}/../${basename(dirname(path))}/dup.sock`],
      [other, `unix:${relative(process.cwd(), path)}`],
    ]) {
      const error = await refusal({ bind });
      expect(error.code).toBe("ERR_POSTERN_BAD_SETTING");
      expect(error.message).toBe(`bind unix:${path}: the address is named twice; name it once`);
    }
    expect((await refusal({ bind: [":9", "127.0.0.1:9"] })).message).toMatch(/127\.0\.0\.1:9: .* twice/);
    await using server = await listen({ bind: [":0", ":0"] });
    expect(server.addresses).toHaveLength(2);
  });

  it("may be tried again after a failure", async () => {
    const folder = temporaryFolder("l");
    const path = join(folder, "missing", "a.sock");
    await using server = createServer(ok, { bind: path, logger: new TestLog() });
    await expect(server.listen()).rejects.toMatchObject({ code: "ERR_POSTERN_ADDRESS" });
    mkdirSync(join(folder, "missing"));
    await server.listen();
    expect(await ask({ path })).toBe("ok");
  });
});

describe("who may connect over TCP", () => {
  it("a name is loopback when all its addresses are; one that nobody knows is told as such", async () => {
    await using server = await listen({ bind: "loopback.test:0" });
    expect(server.addresses[0]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect((await refusal({ bind: "mixed.test:0" })).code).toBe("ERR_POSTERN_ADDRESS_PUBLIC");
    await using stated = await listen({ bind: "mixed.test:0", allowedClients: "127.0.0.1" });
    expect(stated.addresses).toHaveLength(1);
    const gone = await refusal({ bind: "gone.test:9000" });
    expect(gone.code).toBe("ERR_POSTERN_ADDRESS");
    expect(gone.message).toBe(
      "bind gone.test:9000: there is no host named gone.test (ENOTFOUND); mend the name, or write an IP address such as 127.0.0.1",
    );
    const real = await refusal({ bind: "nohost.invalid:9000", allowedClients: "any" });
    expect(real.message).toMatch(
      /bind nohost\.invalid:9000: (there is no host named|the name .* cannot be looked up)/,
    );
  });

  it("an address that other machines reach is refused unless allowedClients or FCGI_WEB_SERVER_ADDRS says who", async () => {
    for (const bind of ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"]) {
      const error = await refusal({ bind });
      expect(error.code).toBe("ERR_POSTERN_ADDRESS_PUBLIC");
      expect(error.message).toContain("allowedClients");
    }
    await using stated = await listen({ bind: "0.0.0.0:0", allowedClients: "127.0.0.0/8" });
    expect(await ask({ host: "127.0.0.1", port: portOf(stated.addresses[0]!) })).toBe("ok");
    process.env["FCGI_WEB_SERVER_ADDRS"] = "10.0.0.5, 127.0.0.1";
    try {
      await using fromEnvironment = await listen({ bind: "0.0.0.0:0" });
      expect(await ask({ host: "127.0.0.1", port: portOf(fromEnvironment.addresses[0]!) })).toBe("ok");
    } finally {
      delete process.env["FCGI_WEB_SERVER_ADDRS"];
    }
  });

  it("others are disconnected, with one line that names them", async () => {
    const log = new TestLog();
    await using server = await listen({
      bind: "127.0.0.1:0",
      allowedClients: ["10.0.0.0/8", "127.0.0.2"],
      logger: log,
    });
    const wire = await connectWire({ host: "127.0.0.1", port: portOf(server.addresses[0]!) });
    wire.socket.on("error", () => {});
    await wire.end();
    wire.destroy();
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({
      level: "warn",
      fields: { peer: "127.0.0.1", code: "ERR_POSTERN_CLIENT_NOT_ALLOWED" },
    });
    expect(server.stats.acceptedConnections).toBe(0);
  });

  it.skipIf(!hasIPv6)("an IPv4 client of an IPv6 socket is known by its IPv4 address", async () => {
    await using server = await listen({ bind: "[::]:0", allowedClients: "127.0.0.1" });
    expect(await ask({ host: "127.0.0.1", port: portOf(server.addresses[0]!) })).toBe("ok");
    const wire = await connectWire({ host: "::1", port: portOf(server.addresses[0]!) });
    wire.socket.on("error", () => {});
    await wire.end();
    wire.destroy();
  });

  it("somebody who has left before we looked is not served, though the request can still be read", async () => {
    let served = 0;
    const log = new TestLog();
    await using server = createServer(() => void served++, {
      bind: "127.0.0.1:0",
      allowedClients: "10.0.0.1",
      logger: log,
    });
    await server.listen();
    const request = requestRecords({ params: { REMOTE_USER: "admin" } }).toString("base64");
    const visit = `require("net").connect(${portOf(server.addresses[0]!)}, "127.0.0.1", function () {
      this.write(Buffer.from("${request}", "base64"), () => this.resetAndDestroy());
    })`;
    // We stand still meanwhile: it is accepted when the client is gone, and has no address any more.
    for (let n = 0; n < 3; n++) execFileSync(process.execPath, ["-e", visit]);
    await waitFor(() => log.lines.length === 3);
    expect(log.lines.map(({ fields }) => fields["code"])).toEqual(
      Array.from({ length: 3 }, () => "ERR_POSTERN_CLIENT_NOT_ALLOWED"),
    );
    expect(served).toBe(0);
    expect(server.stats).toMatchObject({ acceptedConnections: 0, acceptedRequests: 0 });
  });

  it("the list does not concern unix sockets", async () => {
    const path = join(temporaryFolder("l"), "a.sock");
    await using _server = await listen({ bind: path, allowedClients: "10.0.0.1" });
    expect(await ask({ path })).toBe("ok");
  });
});

describe("a unix socket", () => {
  it("has mode 0660 by default, whatever the umask, or the one that was asked for", async () => {
    const folder = temporaryFolder("u");
    const umask = process.umask(0o077);
    try {
      for (const [mode, expected] of [
        [undefined, 0o660],
        ["0666", 0o666],
        [0o600, 0o600],
        ["777", 0o777],
      ] as const) {
        const path = join(folder, "a.sock");
        await using _server = await listen({ bind: path, ...(mode === undefined ? {} : { mode }) });
        expect(statSync(path).mode & 0o7777).toBe(expected);
      }
      expect(process.umask()).toBe(0o077);
    } finally {
      process.umask(umask);
    }
  });

  it.skipIf(!isRoot)("has the owner and group asked for, by name or number", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    const { uid, gid } = idsOf("www-data");
    for (const [owner, group] of [
      ["www-data", "www-data"],
      [uid, `${gid}`],
    ] as const) {
      await using _server = await listen({ bind: path, owner, group });
      expect([statSync(path).uid, statSync(path).gid]).toEqual([uid, gid]);
    }
    const error = await refusal({ bind: path, owner: "nobody-of-that-name" });
    expect(error.message).toMatch(/there is no user named "nobody-of-that-name"/);
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  it.skipIf(!isRoot)(
    "is never there with other permissions or another owner, however often one looks",
    { timeout: patience(60_000) },
    async () => {
      const folder = temporaryFolder("u");
      const path = join(folder, "a.sock");
      // Another process looks as fast as it can; under any name a socket there must be closed to others or finished.
      const watcher = fork(
        writeScript(
          folder,
          `
        import { lstatSync, readdirSync } from "node:fs";
        const seen = new Set();
        let looks = 0;
        let wasEnough = false;
        process.on("message", () => { process.send({ seen: [...seen], looks }); process.exit(); });
        (function look() {
          for (const until = performance.now() + 5; performance.now() < until; looks++) {
            for (const name of readdirSync(${JSON.stringify(folder)})) {
              if (!name.startsWith("a.sock") || name.endsWith(".lock")) continue;
              try {
                const { mode, uid, gid } = lstatSync(${JSON.stringify(folder)} + "/" + name);
                seen.add([name === "a.sock" ? "a.sock" : "temporary", (mode & 0o777).toString(8), uid, gid].join(" "));
              } catch {}
            }
          }
          if (!wasEnough && looks > 1000 && [...seen].some((one) => one.startsWith("a.sock"))) {
            wasEnough = true;
            process.send("enough");
          }
          setImmediate(look);
        })();
        process.send("ready");
      `,
        ),
      );
      await new Promise((resolve) => watcher.once("message", resolve));
      const { uid, gid } = idsOf("www-data");
      // On a busy machine the watcher may get no turn for a while: without it, nothing is looked at.
      let hasLooked = false;
      watcher.on("message", (message) => {
        hasLooked ||= message === "enough";
      });
      for (let n = 0; n < 50 || !hasLooked; n++) {
        const server = await listen({ bind: path, mode: "0666", owner: "www-data", group: "www-data" });
        await new Promise((resolve) => setImmediate(resolve));
        await server.close();
      }
      const { seen, looks } = await new Promise<{ seen: string[]; looks: number }>((resolve) => {
        watcher.on("message", (message) => {
          if (message !== "enough") resolve(message as { seen: string[]; looks: number });
        });
        watcher.send("stop");
      });
      await new Promise((resolve) => watcher.once("exit", resolve));
      expect(looks).toBeGreaterThan(100);
      const allowed = [
        `a.sock 666 ${uid} ${gid}`,
        "temporary 0 0 0",
        `temporary 0 ${uid} ${gid}`,
        // chown(2) sets both at once, but who looks takes no lock: for a moment one of them can be seen without the other.
        `temporary 0 ${uid} 0`,
        `temporary 0 0 ${gid}`,
        `temporary 666 ${uid} ${gid}`,
      ];
      expect(allowed).toEqual(expect.arrayContaining(seen));
      expect(seen).toContain(`a.sock 666 ${uid} ${gid}`);
    },
  );

  it("replaces one that a dead server left behind", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    await leaveStale(path);
    const before = lstatSync(path).ino;
    await using _server = await listen({ bind: path });
    expect(lstatSync(path).ino).not.toBe(before);
    expect(await ask({ path })).toBe("ok");
  });

  it("is refused where a live server listens, with that server's pid; which goes on undisturbed", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    await using _server = await listen({ bind: path });
    const error = await refusal({ bind: path });
    expect(error.code).toBe("ERR_POSTERN_SOCKET_IN_USE");
    expect(error.message).toContain(`unix:${path}: another server is listening there`);
    if (process.platform === "linux") expect(error.message).toContain(`(pid ${process.pid}: `);
    expect(await ask({ path })).toBe("ok");
  });

  it("is refused where something else is, which is not touched", async () => {
    const folder = temporaryFolder("u");
    writeFileSync(join(folder, "file"), "precious");
    mkdirSync(join(folder, "directory"));
    symlinkSync(join(folder, "file"), join(folder, "link"));
    for (const name of ["file", "directory", "link"]) {
      const error = await refusal({ bind: join(folder, name) });
      expect(error.code, name).toBe("ERR_POSTERN_SOCKET_NOT_A_SOCKET");
      expect(error.message).toMatch(/nothing was changed/);
    }
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("precious");
    expect(readdirSync(folder).sort()).toEqual(["directory", "file", "link"]);
  });

  it("is removed at the end only if it is still the one that was made", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    const first = await listen({ bind: path });
    // Somebody moved it away and put another one there.
    renameSync(path, `${path}.old`);
    await using second = await listen({ bind: path });
    await first.close();
    expect(await ask({ path })).toBe("ok");
    expect(second.addresses).toEqual([`unix:${path}`]);
  });

  it("waits for a server that is starting there, and takes over the lock of one that died", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    const { pid } = await deadProcess();
    writeFileSync(`${path}.lock`, `${pid}`);
    {
      await using _server = await listen({ bind: path });
      expect(existsSync(`${path}.lock`)).toBe(false);
    }
    // Held by a process that lives, for a moment.
    writeFileSync(`${path}.lock`, `${process.ppid}`);
    const listening = listen({ bind: path });
    let isListening = false;
    void listening.then(() => (isListening = true));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(isListening).toBe(false);
    renameSync(`${path}.lock`, `${path}.released`);
    await using _server = await listening;
    expect(await ask({ path })).toBe("ok");
  });

  it("takes over a lock with our own pid that is not ours: in a container every start has the same", async () => {
    const path = join(temporaryFolder("u"), "a.sock");
    writeFileSync(`${path}.lock`, `${process.pid}`);
    await using _server = await listen({ bind: path });
    expect(await ask({ path })).toBe("ok");
  });

  it(
    "is not held up by what somebody else puts in the place of the lock",
    async () => {
      const folder = temporaryFolder("u");
      for (const [name, make] of Object.entries({
        pipe: (lock: string) => execFileSync("mkfifo", [lock]),
        link: (lock: string) => symlinkSync("/dev/zero", lock),
        folder: (lock: string) => mkdirSync(lock),
      })) {
        make(join(folder, `${name}.sock.lock`));
      }
      const errors = await Promise.all(
        ["pipe", "link", "folder"].map((name) => refusal({ bind: join(folder, `${name}.sock`) })),
      );
      for (const error of errors)
        expect(error.message).toMatch(/another server is starting there; if none is, remove/);
    },
    patience(20_000),
  );

  it("goes to exactly one of several that race for it, also over a stale socket and a stale lock", async () => {
    const folder = temporaryFolder("u");
    for (const leftBehind of ["nothing", "socket", "socket and lock"]) {
      const path = join(folder, `${leftBehind.length}.sock`);
      if (leftBehind !== "nothing") await leaveStale(path);
      if (leftBehind === "socket and lock") writeFileSync(`${path}.lock`, `${(await deadProcess()).pid}`);
      const all = await Promise.allSettled(Array.from({ length: 6 }, () => listen({ bind: path })));
      const winners = all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      expect(winners, leftBehind).toHaveLength(1);
      for (const one of all) {
        if (one.status === "rejected")
          expect(one.reason).toMatchObject({ code: "ERR_POSTERN_SOCKET_IN_USE" });
      }
      expect(await ask({ path })).toBe("ok");
      await winners[0]!.close();
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it("may have a path as long as the system allows, less the temporary name; a longer one is refused with both numbers", async () => {
    const folder = temporaryFolder("u");
    const longest = (process.platform === "linux" ? 107 : 103) - 5;
    const path = join(folder, "a".repeat(longest - folder.length - 1));
    expect(path.length).toBe(longest);
    {
      await using _server = await listen({ bind: path });
      expect(await ask({ path })).toBe("ok");
    }
    const error = await refusal({ bind: `${path}b` });
    expect(error.message).toContain(`${longest + 1} bytes, a socket path may have ${longest}`);
  });

  it("in a directory that is missing or is a file: an error with the remedy", async () => {
    const folder = temporaryFolder("u");
    writeFileSync(join(folder, "file"), "");
    expect((await refusal({ bind: join(folder, "no/a.sock") })).message).toContain(
      `mkdir -p ${join(folder, "no")}`,
    );
    expect((await refusal({ bind: join(folder, "file/a.sock") })).message).toContain(
      "is a file, not a directory",
    );
  });

  it.skipIf(!isRoot)(
    "in a directory this user may not write to, or for an owner it may not give it to: an error, nothing left",
    async () => {
      const folder = temporaryFolder("u");
      const own = join(folder, "own");
      mkdirSync(own);
      const { uid, gid } = idsOf("www-data");
      chownSync(own, uid, gid);
      chmodSync(folder, 0o755);
      // In this process, for the time of the call: everything up to the first wait is done as that user.
      const asUser = async (options: ServerOptions): Promise<SettingError> => {
        process.setegid!(gid);
        process.seteuid!(uid);
        try {
          return await refusal(options);
        } finally {
          process.seteuid!(0);
          process.setegid!(0);
        }
      };
      const forbidden = await asUser({ bind: join(folder, "a.sock") });
      expect(forbidden.code).toBe("ERR_POSTERN_ADDRESS");
      expect(forbidden.message).toMatch(/this user may not create a file in /);
      const given = await asUser({ bind: join(own, "a.sock"), owner: "root" });
      expect(given.code).toBe("ERR_POSTERN_SOCKET_OWNER");
      expect(given.message).toMatch(/cannot set owner root, group \(unchanged\)/);
      expect(readdirSync(own)).toEqual([]);
    },
  );
});

function idsOf(user: string): { uid: number; gid: number } {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${user}:`))!;
  const [, , uid, gid] = line.split(":");
  return { uid: Number(uid), gid: Number(gid) };
}

function writeScript(folder: string, source: string): string {
  const path = join(folder, "watch.mjs");
  writeFileSync(path, source);
  return path;
}

/** A socket file that nobody listens on any more: its server was killed. */
async function leaveStale(path: string): Promise<void> {
  const one = start(process.execPath, [
    "-e",
    `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("ready"))`,
  ]);
  await one.waitForLine(/ready/);
  await one.stop({ signal: "SIGKILL" });
  await waitFor(() => existsSync(path));
}

/** The number of a process that has ended. */
async function deadProcess(): Promise<{ pid: number }> {
  const { stdout } = await run(process.execPath, ["-p", "process.pid"]);
  return { pid: Number(stdout) };
}

describe("accept errors", () => {
  it("a listener of somebody else on the same port does not matter to one that is closed", async () => {
    const port = await freePort();
    const server = await listen({ bind: `127.0.0.1:${port}` });
    await server.close();
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
    await new Promise((resolve) => other.close(resolve));
  });
});

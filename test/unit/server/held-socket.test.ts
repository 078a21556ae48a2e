/** A socket that is owned and never accepted from: clients wait in the kernel, and whoever inherits it serves them. */
import { constants, existsSync, readFileSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Address } from "../../../src/base/address.ts";
import { parseAddress } from "../../../src/base/address.ts";
import { type HeldSocket, holdSockets } from "../../../src/server/held-socket.ts";
import { freePort } from "../../support/ports.ts";
import { type Running, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";

const OPTIONS = {
  mode: 0o660,
  owner: undefined,
  group: undefined,
  backlog: 16,
  allowedClients: { isStated: false },
};
/** Answers every connection with its pid. */
const SERVE =
  "require('node:net').createServer((c) => c.end(String(process.pid))).listen({ fd: 0 }, () => console.log('up'))";

const held: HeldSocket[] = [];
const running: Running[] = [];
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop({ signal: "SIGKILL" });
  for (const socket of held.splice(0)) socket.close();
});

async function hold(address: Address, options = OPTIONS): Promise<HeldSocket> {
  const [socket] = await holdSockets(address, options, {});
  held.push(socket!);
  return socket!;
}

function serveOn(socket: HeldSocket): Running {
  const program = start(process.execPath, ["-e", SERVE], { stdin: socket.fd });
  running.push(program);
  return program;
}

/** Connects, and resolves with everything that is answered. */
function ask(address: string): { answer: Promise<string>; connected: Promise<void> } {
  const parsed = parseAddress(address);
  const socket =
    parsed.kind === "unix"
      ? connect(parsed.path)
      : parsed.kind === "tcp"
        ? connect(parsed.port, parsed.host)
        : connect(`\0${(parsed as { name: string }).name}`);
  const connected = new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  const answer = new Promise<string>((resolve, reject) => {
    let text = "";
    socket.on("data", (piece) => {
      text += piece;
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
  return { answer, connected };
}

const KINDS: [name: string, address: () => Promise<Address>][] = [
  ["a unix socket", async () => ({ kind: "unix", path: join(temporaryFolder("held"), "s.sock") })],
  ["TCP", async () => ({ kind: "tcp", host: "127.0.0.1", port: 0 })],
  ["TCP over IPv6", async () => ({ kind: "tcp", host: "::1", port: 0 })],
];
if (process.platform === "linux") {
  KINDS.push(["an abstract socket", async () => ({ kind: "abstract", name: `postern-held-${process.pid}` })]);
}

for (const [name, makeAddress] of KINDS) {
  describe(name, () => {
    it("keeps clients waiting until a process that inherited it accepts, also after the last one died", async () => {
      const socket = await hold(await makeAddress());
      const first = ask(socket.address);
      await first.connected;
      const one = serveOn(socket);
      expect(await first.answer).toBe(String(one.pid));
      await one.stop({ signal: "SIGKILL" });
      const second = ask(socket.address);
      await second.connected;
      const two = serveOn(socket);
      expect(await second.answer).toBe(String(two.pid));
    });

    it("tells once when somebody waits, without taking the connection, and again when asked again", async () => {
      const socket = await hold(await makeAddress());
      let calls = 0;
      socket.watch(() => calls++);
      socket.watch(() => calls++);
      const client = ask(socket.address);
      await waitFor(() => calls === 1);
      socket.watch(() => calls++);
      await waitFor(() => calls === 2); // it still waits
      const program = serveOn(socket);
      expect(await client.answer).toBe(String(program.pid));
      socket.watch(() => calls++);
      socket.watch(undefined);
      expect(await ask(socket.address).answer).toBe(String(program.pid));
      expect(calls).toBe(2);
    });

    it("is gone when it is closed", async () => {
      const socket = await hold(await makeAddress());
      const { address } = socket;
      socket.close();
      socket.close();
      await expect(ask(address).answer).rejects.toThrow(/ECONNREFUSED|ENOENT/);
    });
  });
}

describe("holdSockets", () => {
  it("gives a unix socket its mode and removes the file, unless it is another's by then", async () => {
    const path = join(temporaryFolder("held"), "s.sock");
    const socket = await hold({ kind: "unix", path }, { ...OPTIONS, mode: 0o600 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    socket.close();
    expect(existsSync(path)).toBe(false);
  });

  it("refuses an address that is taken, naming it", async () => {
    const port = await freePort();
    const blocker = createServer().listen(port, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    const taken = holdSockets({ kind: "tcp", host: "127.0.0.1", port }, OPTIONS, {});
    await expect(taken).rejects.toMatchObject({
      code: "ERR_POSTERN_SOCKET_IN_USE",
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
    blocker.close();
  });

  it("refuses what other machines can reach, unless it is said who may connect", async () => {
    const address: Address = { kind: "tcp", host: "0.0.0.0", port: 0 };
    await expect(holdSockets(address, OPTIONS, {})).rejects.toMatchObject({
      code: "ERR_POSTERN_ADDRESS_PUBLIC",
    });
    const socket = await hold(address, { ...OPTIONS, allowedClients: { isStated: true } });
    expect(socket.isTcp).toBe(true);
  });

  it("refuses a folder that does not exist, and a descriptor that is no socket", async () => {
    const path = join(temporaryFolder("held"), "no", "s.sock");
    await expect(holdSockets({ kind: "unix", path }, OPTIONS, {})).rejects.toThrow(
      /does not exist; create it/,
    );
    await expect(holdSockets({ kind: "fd", fd: 2 }, OPTIONS, {})).rejects.toMatchObject({
      code: "ERR_POSTERN_NO_LISTENER",
    });
  });

  it.runIf(process.platform === "linux")("can be made blocking for programs that expect that", async () => {
    const socket = await hold({ kind: "unix", path: join(temporaryFolder("held"), "s.sock") });
    const flagsOf = (fd: number): number =>
      Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))![1]!, 8);
    expect(flagsOf(socket.fd) & constants.O_NONBLOCK).toBe(constants.O_NONBLOCK);
    socket.setBlocking();
    expect(flagsOf(socket.fd) & constants.O_NONBLOCK).toBe(0);
  });
});

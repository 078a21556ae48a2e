/** What Linux tells of programs that tell nothing themselves. */
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { listenQueueOf, observe, sendSignal, stopSignalOf } from "../../../src/manager/process-facts.ts";
import { type HeldSocket, holdSocket } from "../../../src/server/held-socket.ts";
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
const running: Running[] = [];
const sockets: HeldSocket[] = [];
const clients: Socket[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const program of running.splice(0)) await program.stop({ signal: "SIGKILL" });
  for (const socket of sockets.splice(0)) socket.close();
});

function run(code: string, fd?: number): Running {
  const program = start(process.execPath, ["-e", code], fd === undefined ? {} : { stdin: fd });
  running.push(program);
  return program;
}

function dial(socket: HeldSocket): Promise<Socket> {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(socket.address) ?? [];
  const client = socket.isTcp ? connect(Number(port), host) : connect(socket.address.slice(5));
  clients.push(client);
  return new Promise((resolve) => client.once("connect", () => resolve(client)));
}

describe.runIf(process.platform === "linux")("connections", () => {
  const kinds = [
    ["a unix socket", () => ({ kind: "unix", path: join(temporaryFolder("facts"), "s.sock") }) as const],
    ["TCP", () => ({ kind: "tcp", host: "127.0.0.1", port: 0 }) as const],
  ] as const;
  for (const [name, address] of kinds) {
    it(`on ${name} are counted while they wait, and for whoever has accepted them`, async () => {
      const socket = await holdSocket(address(), OPTIONS, {});
      sockets.push(socket);
      expect(listenQueueOf([socket.address])).toBe(0);
      await dial(socket);
      const second = await dial(socket);
      await waitFor(() => listenQueueOf([socket.address]) === 2);
      const program = run("require('node:net').createServer(() => {}).listen({ fd: 0 })", socket.fd);
      await waitFor(() => observe(program.pid, socket.address).connections === 2);
      expect(listenQueueOf([socket.address])).toBe(0);
      expect(observe(process.pid, socket.address).connections).toBe(0); // ours are the other ends
      second.destroy();
      await waitFor(() => observe(program.pid, socket.address).connections === 1);
    });
  }

  it("of a process that is gone, or of an address without one, are unknown", () => {
    expect(observe(2 ** 22 + 1, "unix:/nowhere").connections).toBeUndefined();
    expect(observe(process.pid, undefined).connections).toBeUndefined();
    expect(observe(process.pid, "fd:0").connections).toBeUndefined();
    expect(listenQueueOf(["fd:0"])).toBeUndefined();
    expect(listenQueueOf([])).toBe(0);
  });
});

describe.runIf(process.platform === "linux")("a process", () => {
  it("tells its memory", () => {
    expect(observe(process.pid, undefined).memoryBytes).toBeGreaterThan(1e6);
  });

  it("is asked to leave by the signal that it handles", async () => {
    // Not in JavaScript: Node itself handles TERM, to give the terminal back.
    const handling = (signals: string): Running => {
      const code = `$| = 1; $SIG{$_} = sub {} for qw(${signals}); print "up\\n"; sleep 60`;
      const program = start("perl", ["-e", code]);
      running.push(program);
      return program;
    };
    const cases: readonly [signals: string, expected: string][] = [
      ["TERM USR1", "SIGTERM"],
      ["USR1", "SIGUSR1"],
    ];
    for (const [signals, expected] of cases) {
      const program = handling(signals);
      await program.waitForLine(/up/);
      expect(stopSignalOf(program.pid), signals).toEqual({ signal: expected, isHandled: true });
    }
    const sleeping = start("sleep", ["60"]);
    running.push(sleeping);
    expect(stopSignalOf(sleeping.pid)).toEqual({ signal: "SIGTERM", isHandled: false });
    expect(stopSignalOf(2 ** 22 + 1)).toMatchObject({ signal: "SIGTERM" });
  });

  it("that is gone is no problem to signal, and one that is not ours is said", async () => {
    const child = spawn("true", { stdio: "ignore" });
    await new Promise((resolve) => child.once("exit", resolve));
    expect(sendSignal(child.pid ?? 0, "SIGTERM", false)).toBeUndefined();
    expect(sendSignal(0, "SIGTERM", true)).toBeUndefined();
    expect(sendSignal(process.pid, "SIGNONE" as NodeJS.Signals, false)).toMatch(/SIGNONE/);
  });
});

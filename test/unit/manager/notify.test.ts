/** What systemd is told: with a real datagram socket, and every program that can send. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Logger, silentLogger } from "../../../src/base/log.ts";
import { createNotifier, watchdogIntervalMs } from "../../../src/manager/notify.ts";
import { findProgram } from "../../../src/manager/programs.ts";
import { type Running, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience } from "../../support/wait.ts";

/** Prints each datagram, its lines joined by spaces. BARRIER=1 is systemd-notify asking whether we are done. */
const RECEIVER = `
use Socket; $| = 1;
my $path = $ARGV[0]; $path =~ s/^@/\\0/;
socket(my $in, PF_UNIX, SOCK_DGRAM, 0) or die; bind($in, pack_sockaddr_un($path)) or die "bind: $!";
print "ready\\n";
while (defined recv($in, my $message, 65536, 0)) { $message =~ s/\\n/ /g; print "$message\\n" unless $message =~ /^BARRIER/ }
`;
// Node has no datagram sockets of the unix family: Perl listens in systemd's place. Without it CI fails.
const hasPerl = existsSync("/usr/bin/perl") || process.env["CI"] !== undefined;

async function startReceiver(path: string): Promise<Running> {
  const receiver = start("/usr/bin/perl", ["-e", RECEIVER, path]);
  await receiver.waitForLine(/^ready$/);
  return receiver;
}

function messages(receiver: Running): string[] {
  return receiver.stdout().split("\n").slice(1);
}

function only(program: string): (name: string) => string | undefined {
  return (name) => (name === program ? findProgram(name, process.env["PATH"]) : undefined);
}

/** Whether it is there and runs: python3 can be the stub of a version manager. */
function works(program: string): boolean {
  const path = only(program)(program);
  return path !== undefined && spawnSync(path, ["--version"]).status === 0;
}

function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const add = (_fields: unknown, message: string): void => void lines.push(message);
  return { logger: { ...silentLogger, warn: add, error: add }, lines };
}

describe.runIf(hasPerl)("systemd is told", { timeout: patience(60_000) }, () => {
  for (const program of ["systemd-notify", "python3", "perl"]) {
    for (const kind of ["a path", "an abstract address"]) {
      it.runIf(works(program))(`everything in order, by ${program}, at ${kind}`, async () => {
        const path = `${temporaryFolder()}/notify`;
        const address = kind === "a path" ? path : `@${path}`;
        await using receiver = await startReceiver(address);
        const { logger, lines } = recordingLogger();
        const notifier = createNotifier({ ...process.env, NOTIFY_SOCKET: address }, logger, only(program));
        notifier.ready("2 workers; $(id) `id`");
        notifier.reloading();
        notifier.ready();
        notifier.stopping("one\ntwo");
        await notifier.flush();
        await receiver.waitForLine(/^STOPPING=1/);
        expect(messages(receiver)).toEqual([
          `READY=1 MAINPID=${process.pid} STATUS=2 workers; $(id) \`id\``,
          expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=\d+$/),
          `READY=1 MAINPID=${process.pid}`,
          "STOPPING=1 STATUS=one\\x0atwo",
        ]);
        expect(lines).toEqual([]);
        notifier.close();
      });
    }
  }

  it("the time of a reload by the system's monotonic clock", async () => {
    const path = `${temporaryFolder()}/notify`;
    await using receiver = await startReceiver(path);
    const uptime =
      'use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC); printf "%d", clock_gettime(CLOCK_MONOTONIC) * 1e6';
    const clock = (): number =>
      Number(spawnSync("/usr/bin/perl", ["-e", uptime], { encoding: "utf8" }).stdout);
    const before = clock();
    const notifier = createNotifier({ NOTIFY_SOCKET: path }, silentLogger, only("perl"));
    notifier.reloading();
    const after = clock();
    const [, text] = await receiver.waitForLine(/MONOTONIC_USEC=(\d+)/);
    expect(Number(text)).toBeGreaterThanOrEqual(before);
    expect(Number(text)).toBeLessThanOrEqual(after);
    await notifier.flush();
  });

  it("the latest status only, and none twice", async () => {
    const path = `${temporaryFolder()}/notify`;
    await using receiver = await startReceiver(path);
    const notifier = createNotifier({ NOTIFY_SOCKET: path }, silentLogger, only("perl"));
    for (const text of ["first", "first", "second", "third", "third"]) notifier.status(text);
    await notifier.flush();
    notifier.status("third");
    notifier.stopping();
    await notifier.flush();
    await receiver.waitForLine(/^STOPPING/);
    expect(messages(receiver)).toEqual(["STATUS=first", "STATUS=third", "STOPPING=1"]);
  });

  it("again and again that the manager is alive, until it is closed", async () => {
    const path = `${temporaryFolder()}/notify`;
    await using receiver = await startReceiver(path);
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000", WATCHDOG_PID: String(process.pid) };
    const notifier = createNotifier(env, silentLogger, only("perl"));
    await receiver.waitForLine(/^WATCHDOG=1$/);
    await receiver.waitForLine(/^WATCHDOG=1$/, { from: receiver.lines.length });
    notifier.close();
    await notifier.flush();
    notifier.stopping();
    await notifier.flush();
    await receiver.waitForLine(/^STOPPING=1$/);
    expect(messages(receiver).at(-1)).toBe("STOPPING=1");
  });
});

describe("the interval of the watchdog", () => {
  it("is half of what systemd allows, for the process it is meant for", () => {
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000" })).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7)).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7)).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "100" })).toBe(1);
    for (const text of ["", "0", "-5", "soon"])
      expect(watchdogIntervalMs({ WATCHDOG_USEC: text })).toBeUndefined();
    expect(watchdogIntervalMs({})).toBeUndefined();
  });
});

describe("what goes wrong", () => {
  it("is nothing without a socket: no program is even looked for", async () => {
    const notifier = createNotifier({}, silentLogger, () => {
      throw new Error("looked for");
    });
    notifier.ready();
    notifier.status("x");
    await notifier.flush();
    notifier.close();
  });

  it("is said once when no program can send", () => {
    const { logger, lines } = recordingLogger();
    createNotifier({ NOTIFY_SOCKET: "/none" }, logger, () => undefined).ready();
    expect(lines).toEqual([expect.stringContaining("none of systemd-notify, python3 and perl is installed")]);
  });

  it("is said once when nobody listens, and stops nothing", async () => {
    const { logger, lines } = recordingLogger();
    const path = join(temporaryFolder(), "none");
    for (const program of ["systemd-notify", "perl"].filter(works)) {
      lines.length = 0;
      const notifier = createNotifier({ ...process.env, NOTIFY_SOCKET: path }, logger, only(program));
      notifier.ready();
      notifier.stopping();
      await notifier.flush();
      expect(lines).toEqual([expect.stringMatching(/^systemd cannot be told READY=1: .*No such file/)]);
    }
  });

  it("is said with how the program ended when it said nothing itself", async () => {
    const { logger, lines } = recordingLogger();
    const program = join(temporaryFolder(), "systemd-notify");
    writeFileSync(program, "#!/bin/sh\nkill -9 $$\n");
    chmodSync(program, 0o755);
    const notifier = createNotifier({ NOTIFY_SOCKET: "/none" }, logger, () => program);
    notifier.ready();
    await notifier.flush();
    const gone = createNotifier({ NOTIFY_SOCKET: "/none" }, logger, () => "/none/such");
    gone.ready();
    await gone.flush();
    expect(lines).toEqual([
      `systemd cannot be told READY=1: ${program} ended with signal SIGKILL`,
      expect.stringContaining("ENOENT"),
    ]);
  });
});

/**
 * Tells systemd how the manager is: ready, reloading, stopping, alive (sd_notify(3)).
 *
 * Node has no unix datagram sockets, so a small program sends each message: `systemd-notify`, which is where systemd
 * is; in containers, which have a socket but not that program, python3 or perl. One at a time, in order, each with a
 * deadline; that it does not work is logged once and stops nothing.
 *
 * To systemd the sender is another process than the manager: the unit needs `NotifyAccess=all`.
 */
import { spawn } from "node:child_process";
import type { Logger } from "../base/log.ts";
import { clip, escapeControls } from "../base/text.ts";
import { findProgram } from "./programs.ts";

/** How long one message may take, ms. systemd-notify itself waits 5 s for systemd to have read it. */
const SEND_TIMEOUT_MS = 10_000;

/** Without systemd's notify barrier a sender that is gone too soon cannot be attributed to its unit: they linger. */
const PYTHON = `
import os, socket, sys, time
path = os.environ["NOTIFY_SOCKET"]
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.connect("\\0" + path[1:] if path[0] == "@" else path)
to.send("\\n".join(sys.argv[1:]).encode())
time.sleep(0.2)`;
const PERL = `
use Socket;
my $path = $ENV{NOTIFY_SOCKET};
$path =~ s/^@/\\0/;
socket(my $to, PF_UNIX, SOCK_DGRAM, 0) or die "socket: $!\\n";
defined send($to, join("\\n", @ARGV), 0, pack_sockaddr_un($path)) or die "$path: $!\\n";
select(undef, undef, undef, 0.2);`;

/** What can send, best first: the program, and its arguments before the assignments. */
const SENDERS: readonly (readonly [program: string, args: readonly string[]])[] = [
  ["systemd-notify", []],
  ["python3", ["-c", PYTHON]],
  ["perl", ["-e", PERL]],
];

export interface Notifier {
  /** The first workers serve, or a reload is over. `status` is what `systemctl status` shows. */
  ready(status?: string): void;
  reloading(status?: string): void;
  stopping(status?: string): void;
  /** Only the text that `systemctl status` shows. Said again only when it has changed. */
  status(text: string): void;
  /** Resolves when everything has been said, or could not be. */
  flush(): Promise<void>;
  /** Says nothing more of its own accord. */
  close(): void;
}

const silent: Notifier = {
  ready() {},
  reloading() {},
  stopping() {},
  status() {},
  flush: () => Promise.resolve(),
  close() {},
};

/**
 * The notifier for a manager with this environment; one that does nothing without NOTIFY_SOCKET. With WATCHDOG_USEC it
 * tells systemd twice per interval that the event loop turns, until it is closed.
 * @param find gives the path of a program; by default from PATH
 */
export function createNotifier(
  env: NodeJS.ProcessEnv,
  logger: Logger,
  find: (program: string) => string | undefined = (program) => findProgram(program, env["PATH"]),
): Notifier {
  if (!env["NOTIFY_SOCKET"]) return silent;
  for (const [program, args] of SENDERS) {
    const path = find(program);
    if (path !== undefined) return new ProgramNotifier(path, args, env, logger);
  }
  logger.warn(
    {},
    "systemd waits to be told how this is (NOTIFY_SOCKET), but none of systemd-notify, python3 and perl is installed; install one, or set Type=exec in the unit",
  );
  return silent;
}

/** How often systemd wants to hear that this process is alive, ms: half of what it allows. */
export function watchdogIntervalMs(env: NodeJS.ProcessEnv, pid: number = process.pid): number | undefined {
  const allowedUs = Number(env["WATCHDOG_USEC"]);
  if (!Number.isSafeInteger(allowedUs) || allowedUs <= 0) return undefined;
  // Meant for another process: somebody between systemd and us, or the one that started us by hand.
  if (env["WATCHDOG_PID"] !== undefined && Number(env["WATCHDOG_PID"]) !== pid) return undefined;
  return Math.max(1, Math.floor(allowedUs / 2000));
}

class ProgramNotifier implements Notifier {
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #queue: (readonly string[])[] = [];
  #sending: Promise<void> | undefined;
  #lastStatus: string | undefined;
  #hasFailed = false;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv, logger: Logger) {
    this.#program = program;
    this.#args = args;
    this.#env = { ...env };
    this.#logger = logger;
    const intervalMs = watchdogIntervalMs(env);
    if (intervalMs !== undefined)
      this.#timer = setInterval(() => this.#say(["WATCHDOG=1"]), intervalMs).unref();
  }

  ready(status?: string): void {
    // MAINPID: a script may be between systemd and us.
    this.#say(["READY=1", `MAINPID=${process.pid}`, ...this.#withStatus(status)]);
  }

  reloading(status?: string): void {
    // CLOCK_MONOTONIC, which is what libuv's clock is on Linux. Type=notify-reload asks for it.
    const nowUs = process.hrtime.bigint() / 1000n;
    this.#say(["RELOADING=1", `MONOTONIC_USEC=${nowUs}`, ...this.#withStatus(status)]);
  }

  stopping(status?: string): void {
    this.#say(["STOPPING=1", ...this.#withStatus(status)]);
  }

  status(text: string): void {
    if (text !== this.#lastStatus) this.#say(this.#withStatus(text));
  }

  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #withStatus(text: string | undefined): string[] {
    if (text === undefined) return [];
    this.#lastStatus = text;
    return [`STATUS=${clip(escapeControls(text), 400)}`];
  }

  #say(assignments: readonly string[]): void {
    const last = this.#queue.at(-1);
    // What still waits is out of date by now: the newer one of its kind replaces it.
    if (last?.length === 1 && assignments.length === 1 && kindOf(last) === kindOf(assignments))
      this.#queue.pop();
    this.#queue.push(assignments);
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const problem = await this.#send(next);
      if (problem === undefined || this.#hasFailed) continue;
      this.#hasFailed = true;
      const { NOTIFY_SOCKET } = this.#env;
      this.#logger.warn({ socket: NOTIFY_SOCKET }, `systemd cannot be told ${next[0]}: ${problem}`);
    }
    this.#sending = undefined;
  }

  /** @returns what went wrong */
  #send(assignments: readonly string[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      const child = spawn(this.#program, [...this.#args, ...assignments], {
        env: this.#env,
        stdio: ["ignore", "ignore", "pipe"],
        timeout: SEND_TIMEOUT_MS,
        killSignal: "SIGKILL",
      });
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (piece: string) => {
        said = (said + piece).slice(0, 1000);
      });
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) => {
        if (code === 0) return resolve(undefined);
        const how = signal === null ? `code ${code}` : `signal ${signal}`;
        resolve(clip(escapeControls(said.trim()), 300) || `${this.#program} ended with ${how}`);
      });
    });
  }
}

function kindOf(assignments: readonly string[]): string | undefined {
  return assignments[0]?.split("=", 1)[0];
}

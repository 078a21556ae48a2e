/**
 * Starts the program under test as a web server does: with a listening socket as descriptor 0 and nothing else
 * (FastCGI 1.0 §2.2). Ends what it has started.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, parseAddress } from "../../base/address.ts";
import { holdSocket } from "../../server/held-socket.ts";

export interface StartHow {
  readonly transport: "unix" | "tcp";
  readonly env?: Readonly<Record<string, string>>;
  /** Descriptors 1 and 2 are closed, as the specification has it; else their output is kept. */
  readonly closesOutputs?: boolean;
}

export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Program {
  readonly address: Address;
  /** Undefined while it runs. */
  readonly exit: ProgramExit | undefined;
  /** Waits for its end; undefined when the time is up. */
  exited(timeoutMs: number): Promise<ProgramExit | undefined>;
  signal(name: NodeJS.Signals): void;
  /** The last lines it printed. */
  lines(): readonly string[];
  /** Ends it and whatever it has started. */
  stop(): Promise<void>;
}

export interface Spawner {
  readonly command: string;
  start(how: StartHow): Promise<Program>;
  /** Ends at once, without waiting, all that was started. */
  kill(): void;
  /** Nothing started here is left. */
  close(): Promise<void>;
}

const BACKLOG = 128;
const KEPT_LINES = 20;
const GRACE_MS = 2000;

/** @param command for a shell */
export function makeSpawner(command: string): Spawner {
  const folder = mkdtempSync(join(tmpdir(), "postern-conform-"));
  chmodSync(folder, 0o700);
  const programs = new Set<Program>();
  let count = 0;
  return {
    command,
    async start(how) {
      const asked = how.transport === "unix" ? `unix:${join(folder, `${++count}.sock`)}` : "127.0.0.1:0";
      const program = await startProgram(command, asked, how);
      programs.add(program);
      return program;
    },
    kill() {
      for (const program of programs) program.signal("SIGKILL");
    },
    async close() {
      for (const program of programs) await program.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startProgram(command: string, asked: string, how: StartHow): Promise<Program> {
  const address = parseAddress(asked);
  if (address.kind === "systemd") throw new Error(`${asked} is several sockets`);
  const options = {
    mode: 0o600,
    owner: undefined,
    group: undefined,
    backlog: BACKLOG,
    allowedClients: { isStated: false },
  };
  const held = await holdSocket(address, options, {});
  const { FCGI_WEB_SERVER_ADDRS: _, LISTEN_FDS: __, LISTEN_PID: ___, ...env } = process.env;
  const script = how.closesOutputs === true ? `exec ${command} >&- 2>&-` : `exec ${command}`;
  const child = spawn("/bin/sh", ["-c", script], {
    stdio: [held.fd, "pipe", "pipe"],
    env: { ...env, ...how.env },
    // A group of its own, for what it starts in turn.
    detached: true,
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      lines.push(...text.split("\n").filter((line) => line !== ""));
      lines.splice(0, lines.length - KEPT_LINES);
    });
  }
  let exit: ProgramExit | undefined;
  const gone = new Promise<void>((resolve) => {
    child.once("error", () => {
      exit ??= { code: 127, signal: null };
      resolve();
    });
    child.once("exit", (code, signal) => {
      exit ??= { code, signal };
      resolve();
    });
  });
  const signalGroup = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // Nobody is left in it.
    }
  };
  const program: Program = {
    address: parseAddress(held.address),
    get exit() {
      return exit;
    },
    async exited(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([gone, late]);
      clearTimeout(timer);
      return exit;
    },
    signal: signalGroup,
    lines: () => lines,
    async stop() {
      if (exit === undefined) {
        signalGroup("SIGTERM");
        await program.exited(GRACE_MS);
      }
      signalGroup("SIGKILL");
      await program.exited(GRACE_MS);
      held.close();
    },
  };
  return program;
}

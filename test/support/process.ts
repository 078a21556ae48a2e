/** Child processes for tests: output kept by line, waits on a line, and nothing left running afterwards. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { runFolder } from "./temp.ts";
import { waitFor, within } from "./wait.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** performance.now() when its last byte came. */
  readonly atMs: number;
}

export interface StartOptions {
  readonly cwd?: string;
  /** The whole environment; POSTERN_TEST_RUN is added to it. @default this process's */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to stdin, which is then closed. @default an empty stdin */
  readonly input?: string | Uint8Array;
  /** In place of stdin, to give the child a descriptor as fd 0. */
  readonly stdin?: number | "ignore" | "pipe";
  readonly uid?: number;
  readonly gid?: number;
}

/** A started process. It leads a process group of its own, so that {@link Running.stop} reaches its children. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly lines: readonly OutputLine[];
  /** Settles when the process has ended and its output is complete; never rejects. */
  readonly exited: Promise<Exit>;
  readonly exit: Exit | undefined;
  stdout(): string;
  stderr(): string;
  /** Everything so far, a line each as `stdout| text`. */
  output(): string;
  /** The first line, past or future, that matches. Fails at once when the process ends without it. */
  waitForLine(pattern: RegExp, options?: LineOptions): Promise<RegExpExecArray>;
  /** One signal to the process alone. */
  signal(name: NodeJS.Signals): void;
  /** TERM, then KILL to the whole group after `graceMs`; fine to call twice. */
  stop(options?: { readonly signal?: NodeJS.Signals; readonly graceMs?: number }): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface LineOptions {
  /** @default 5000 */
  readonly timeoutMs?: number;
  readonly stream?: "stdout" | "stderr";
  /** Ignore the first so many lines, e.g. `running.lines.length` of a moment ago. */
  readonly from?: number;
}

const live = new Set<Running>();

/** Starts a program. @throws (at the first await) when it cannot be started: see {@link Running.waitForLine}. */
export function start(command: string, args: readonly string[] = [], options: StartOptions = {}): Running {
  const stdin = options.stdin ?? (options.input === undefined ? "ignore" : "pipe");
  const stdio: StdioOptions = [stdin, "pipe", "pipe"];
  const child = spawn(command, [...args], {
    cwd: options.cwd,
    env: { POSTERN_RUN_DIR: controlFolder(), ...(options.env ?? process.env), POSTERN_TEST_RUN: runFolder() },
    stdio,
    detached: true,
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  // A detached child leads a session with its own pid as the number: how the global check finds its orphans.
  if (child.pid !== undefined) appendFileSync(join(runFolder(), "sessions"), `${child.pid} ${command}\n`);

  const lines: OutputLine[] = [];
  const flushers = [collect(child.stdout, "stdout", lines), collect(child.stderr, "stderr", lines)];
  let exit: Exit | undefined;
  // Earlier than `exited` when something else still holds the output open.
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (error) => {
      lines.push({
        stream: "stderr",
        text: `cannot start ${command}: ${error.message}`,
        atMs: performance.now(),
      });
      if (child.pid === undefined) settle({ code: null, signal: null });
    });
    child.once("close", (code, signal) => settle({ code, signal }));
    const settle = (how: Exit): void => {
      for (const flush of flushers) flush();
      exit = how;
      live.delete(running);
      resolve(how);
    };
  });
  child.stdin?.on("error", () => {}); // A child that does not read its input ends with EPIPE here, which is its choice.
  if (options.input !== undefined) child.stdin?.end(options.input);

  const text = (stream: "stdout" | "stderr"): string =>
    lines.flatMap((line) => (line.stream === stream ? [line.text] : [])).join("\n");
  const running: Running = {
    child,
    pid: child.pid ?? -1,
    lines,
    exited,
    get exit() {
      return exit;
    },
    stdout: () => text("stdout"),
    stderr: () => text("stderr"),
    output: () => lines.map((line) => `${line.stream}| ${line.text}`).join("\n"),
    async waitForLine(pattern, wait = {}) {
      const find = (): RegExpExecArray | null => {
        for (const line of lines.slice(wait.from ?? 0)) {
          const found = wait.stream && wait.stream !== line.stream ? null : pattern.exec(line.text);
          if (found) return found;
        }
        if (exit)
          throw new Error(`${command} ended (${describeExit(exit)}) without ${pattern}\n${running.output()}`);
        return null;
      };
      const found = await waitFor(find, {
        timeoutMs: wait.timeoutMs ?? 5000,
        what: `${pattern} from ${command}`,
        evidence: running.output,
      });
      return found;
    },
    signal(name) {
      child.kill(name);
    },
    async stop(how = {}) {
      if (exit) {
        killGroup(running.pid);
        return exit;
      }
      child.kill(how.signal ?? "SIGTERM");
      const graceMs = how.graceMs ?? 5000;
      await within(ended, graceMs, `${command} to end`).catch(() => {});
      // Also after a clean end: what the process started and forgot must not outlive the test.
      killGroup(running.pid);
      return exited;
    },
    async [Symbol.asyncDispose]() {
      await running.stop();
    },
  };
  live.add(running);
  return running;
}

/** Managers that tests start do not meet those of this machine. As /tmp is: for managers of every user. */
function controlFolder(): string {
  const folder = join(runFolder(), "control");
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o1777);
  return folder;
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A time limit (default 10 s) kills it and throws. */
export async function run(
  command: string,
  args: readonly string[] = [],
  options: StartOptions & { readonly timeoutMs?: number } = {},
): Promise<Finished> {
  const running = start(command, args, options);
  try {
    const exit = await within(
      running.exited,
      options.timeoutMs ?? 10_000,
      `${command} ${args.join(" ")} to end`,
    );
    return { ...exit, stdout: running.stdout(), stderr: running.stderr() };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${running.output()}`, { cause: error });
  } finally {
    await running.stop({ signal: "SIGKILL" });
  }
}

/** `code 1`, `signal SIGTERM`. */
export function describeExit(exit: Exit): string {
  return exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`;
}

/** Kills what is still running, and says what it was. The set-up file calls it after each test file. */
export async function stopLeftOvers(): Promise<string[]> {
  const left = [...live];
  await Promise.all(left.map((running) => running.stop({ signal: "SIGKILL" })));
  return left.map((running) => `${running.child.spawnargs.join(" ")} (pid ${running.pid})`);
}

function killGroup(pid: number): void {
  if (pid <= 0) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody is left in the group, the usual case.
  }
}

/** Gathers whole lines; the returned function adds the unfinished last one. */
function collect(from: Readable | null, stream: "stdout" | "stderr", lines: OutputLine[]): () => void {
  let partial = "";
  from?.setEncoding("utf8");
  from?.on("data", (piece: string) => {
    const parts = (partial + piece).split("\n");
    partial = parts.pop() ?? "";
    for (const text of parts) lines.push({ stream, text, atMs: performance.now() });
  });
  return () => {
    if (partial !== "") lines.push({ stream, text: partial, atMs: performance.now() });
    partial = "";
  };
}

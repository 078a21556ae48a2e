/**
 * A manager for tests: the built command in a folder of its own, asked over its control socket as `postern reload` and
 * the others do, and at the end the proof that nothing of it is left.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { ManagerSnapshot, PoolSnapshot, WorkerSnapshot } from "../../../src/status/snapshot.ts";
import { repositoryRoot } from "../paths.ts";
import { isOver, statFields } from "../proc.ts";
import { type Exit, type Finished, type Running, run, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { type WaitOptions, waitFor, within } from "../wait.ts";
import { serverUser } from "../web-servers/web-server.ts";
import { built } from "./built.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
/** A machine with other things to do takes its time to start processes. */
const PATIENCE_MS = 60_000;

export interface ManagerOptions {
  /** The source of the application, made for a folder; or the command line of a program in any language. */
  readonly program: ((folder: string) => string) | readonly string[];
  /** Of `postern serve` or `postern spawn`, e.g. `["--workers", "2"]`. */
  readonly flags?: readonly string[];
  /** Whether to wait until it serves. @default true */
  readonly isReady?: boolean;
  /** Loaded into the manager's process alone, before anything else. */
  readonly preload?: string;
}

/** The answer to a command. */
export interface Outcome {
  readonly ok: boolean;
  readonly message: string;
}

export interface TestManager {
  readonly running: Running;
  readonly pid: number;
  readonly folder: string;
  /** The unix socket that the web server connects to. */
  readonly socket: string;
  /** The application's file, when there is one. */
  readonly app: string;
  /** Replaces the application's source; a reload is another matter. */
  deploy(source: string): void;
  status(): Promise<ManagerSnapshot>;
  /** Of its only pool. */
  pool(): Promise<PoolSnapshot>;
  /** Of its only pool, of one stage or all. */
  workers(stage?: WorkerSnapshot["stage"]): Promise<readonly WorkerSnapshot[]>;
  reload(mode?: "all" | "phased"): Promise<Outcome>;
  scale(workers: number | string): Promise<Outcome>;
  replace(worker: number): Promise<Outcome>;
  /** A command of the CLI that speaks to it, such as `reload`. */
  cli(...args: string[]): Promise<Finished>;
  /** Its log so far; workers' output is in it. */
  log(): string;
  /** The number of lines of the log, to look only at later ones. */
  logLength(): number;
  waitForLog(pattern: RegExp, from?: number): Promise<RegExpExecArray>;
  /** Waits until a condition on its pool holds. */
  waitForPool(condition: (pool: PoolSnapshot) => boolean, what: string): Promise<PoolSnapshot>;
  /** Ends it gracefully. @throws when it does not end, or when a process of it is left */
  stop(): Promise<Exit>;
}

/** Runs `test` with a manager of its own. A failure tells the end of its log. */
export async function withManager(
  options: ManagerOptions,
  test: (manager: TestManager) => Promise<void>,
): Promise<void> {
  const manager = await startManager(options);
  try {
    await test(manager);
    await manager.stop();
  } catch (error) {
    const tail = manager.log().split("\n").slice(-60).join("\n");
    throw new Error(`${(error as Error).message}\nthe manager's log ends with:\n${tail}`, { cause: error });
  } finally {
    // After a failure nobody asks whether the end was a good one.
    await endAll(manager);
  }
}

export async function startManager(options: ManagerOptions): Promise<TestManager> {
  await built();
  const folder = temporaryFolder("m");
  const app = join(folder, "app.mjs");
  const socket = join(folder, "a.sock");
  const control = join(folder, "c.sock");
  const { program, flags = [] } = options;
  const user = serverUser();
  const settings = ["--name", "test", "--bind", `unix:${socket}`, "--control-socket", control];
  if (user !== undefined) settings.push("--listen-group", user.group);
  const isApp = typeof program === "function";
  if (isApp) writeFileSync(app, program(folder));
  const args = isApp
    ? ["serve", app, ...settings, ...flags]
    : ["spawn", ...settings, ...flags, "--", ...program];
  const node = options.preload === undefined ? [] : ["--import", options.preload];
  const running = start(process.execPath, [...node, CLI, ...args], {
    cwd: folder,
    env: { ...process.env, POSTERN_RUN_DIR: folder, [MARK]: folder },
  });
  const log = (): string => running.lines.map(({ text }) => text).join("\n");
  const ask = (method: "GET" | "POST", path: string, body?: object): Promise<unknown> =>
    askControl(control, method, path, body);
  const status = async (): Promise<ManagerSnapshot> => (await ask("GET", "/status")) as ManagerSnapshot;
  const command = async (path: string, body?: object): Promise<Outcome> =>
    (await ask("POST", path, body)) as Outcome;
  const manager: TestManager = {
    running,
    pid: running.pid,
    folder,
    socket,
    app,
    deploy: (source) => writeFileSync(app, source),
    status,
    async pool() {
      const [pool] = (await status()).pools;
      if (pool === undefined) throw new Error("the manager has no pool");
      return pool;
    },
    async workers(stage) {
      const { workers } = await manager.pool();
      return workers.filter((worker) => stage === undefined || worker.stage === stage);
    },
    reload: (mode) => command("/reload", mode === undefined ? {} : { mode }),
    scale: (workers) => command("/scale", { workers }),
    replace: (worker) => command("/workers/replace", { worker }),
    cli: (name, ...more) =>
      run(process.execPath, [CLI, name!, ...more, "--control", control], {
        cwd: folder,
        timeoutMs: PATIENCE_MS,
      }),
    log,
    logLength: () => running.lines.length,
    waitForLog: (pattern, from = 0) => running.waitForLine(pattern, { timeoutMs: PATIENCE_MS, from }),
    async waitForPool(condition, what) {
      let last: PoolSnapshot | undefined;
      const options: WaitOptions = {
        timeoutMs: PATIENCE_MS,
        what,
        evidence: () => JSON.stringify(last, undefined, 1),
      };
      return waitFor(async () => {
        last = await manager.pool();
        return condition(last) ? last : undefined;
      }, options);
    },
    async stop() {
      if (running.exit !== undefined) return running.exit;
      const family = [...(await familyOf(running.pid, folder))];
      await command("/stop", { how: "graceful" });
      const exit = await within(running.exited, PATIENCE_MS, `the manager to end\n${log().slice(-2000)}`);
      await noneLeft(family, folder);
      return exit;
    },
  };
  if (options.isReady !== false) {
    try {
      await manager.waitForLog(/listening/);
    } catch (error) {
      await endAll(manager);
      throw error;
    }
  }
  return manager;
}

/** In the environment of the manager and thereby of its workers. */
const MARK = "POSTERN_TEST_MANAGER";

/** Kills whatever there is of it. */
async function endAll(manager: TestManager): Promise<void> {
  const family = await familyOf(manager.pid, manager.folder);
  await manager.running.stop({ signal: "SIGKILL" });
  for (const { pid, text } of [...family, ...(await marked(manager.folder))]) {
    if (identify(pid)?.text === text) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

interface Relative {
  readonly pid: number;
  /** Start time and command line: another process may get the same number. */
  readonly text: string;
}

async function noneLeft(family: readonly Relative[], folder: string): Promise<void> {
  let left: Relative[] = [];
  await waitFor(
    async () => {
      left = [...family.filter(({ pid, text }) => identify(pid)?.text === text), ...(await marked(folder))];
      return left.length === 0;
    },
    {
      timeoutMs: PATIENCE_MS / 4,
      what: "every process of the manager to be gone",
      evidence: () => left.map(({ pid, text }) => `  ${pid} ${text}`).join("\n"),
    },
  );
}

/** The manager's children, the guardian among them, and whoever has its mark. Empty where there is no /proc. */
async function familyOf(pid: number, folder: string): Promise<Relative[]> {
  const children = childrenOf(pid).flatMap((child) => identify(child) ?? []);
  return [...children, ...(await marked(folder))];
}

/** The processes that a process has started and not lost. */
export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return [];
  }
}

/** Processes with the manager's mark in their environment. */
async function marked(folder: string): Promise<Relative[]> {
  if (!existsSync("/proc/self/stat")) return [];
  const found: Relative[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${MARK}=${folder}\0`)) continue;
    } catch {
      continue; // gone, or not ours to look at
    }
    const one = identify(pid);
    if (one !== undefined) found.push(one);
  }
  return found;
}

function identify(pid: number): Relative | undefined {
  try {
    const fields = statFields(pid);
    if (isOver(fields)) return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").slice(0, 200);
    return { pid, text: `${fields[19]} ${command}` };
  } catch {
    return undefined;
  }
}

/** One request to a control socket. */
function askControl(
  socketPath: string,
  method: "GET" | "POST",
  path: string,
  body?: object,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = {
      host: "localhost",
      ...(text !== "" && { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
    };
    const asked = request({ socketPath, method, path, headers, agent: false }, (answer) => {
      let all = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece: string) => {
        all += piece;
      });
      answer.once("error", reject);
      answer.once("end", () => {
        try {
          resolve(JSON.parse(all));
        } catch (error) {
          reject(error);
        }
      });
    });
    asked.setTimeout(PATIENCE_MS, () => asked.destroy(new Error(`${method} ${path} was not answered`)));
    asked.once("error", reject);
    asked.end(text);
  });
}

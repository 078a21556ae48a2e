/** A manager as people start it, an application that can be deployed anew, and what can be asked of both. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askControl } from "../../../src/cli/control-client.ts";
import { FastCGIClient } from "../../../src/client/index.ts";
import type { ManagerSnapshot, PoolSnapshot, WorkerSnapshot } from "../../../src/status/snapshot.ts";
import { repositoryRoot } from "../paths.ts";
import { isAlive, statFields } from "../proc.ts";
import { type Finished, type Running, run, type StartOptions, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { type WaitOptions, waitFor } from "../wait.ts";
import { programPath } from "./built.ts";

export const CLI: string = join(repositoryRoot, "dist", "cli", "main.js");

/** Until anything of a manager has happened, on a machine that does much else at the time. */
export const PATIENT: { readonly timeoutMs: number } = { timeoutMs: 30_000 };

/** A folder with the application of `programs/supervised-app.js`. */
export interface Deployment {
  readonly folder: string;
  readonly app: string;
  /** What the next workers say as their `release`; `throws`, `awaits`, `waits`, `exits`, `dies` do not start. */
  release(text: string): void;
}

export function deploy(release = "one", folder: string = temporaryFolder("d")): Deployment {
  mkdirSync(folder, { recursive: true });
  const app = join(folder, "app.js");
  copyFileSync(programPath("supervised-app.js"), app);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const deployment: Deployment = {
    folder,
    app,
    release: (text) => writeFileSync(join(folder, "release.txt"), text),
  };
  deployment.release(release);
  return deployment;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  json(): Record<string, unknown>;
}

/** One GET on a connection of its own. */
export async function get(address: string, url: string): Promise<Answer> {
  const [path = "", query = ""] = url.split("?");
  const client = new FastCGIClient({ connect: address, keepConn: false, timeoutMs: 40_000 });
  try {
    const response = await client.request({
      params: {
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: "GET",
        REQUEST_URI: url,
        SCRIPT_NAME: "",
        PATH_INFO: path,
        QUERY_STRING: query,
        SERVER_NAME: "localhost",
        SERVER_PORT: "80",
        SERVER_PROTOCOL: "HTTP/1.1",
        REMOTE_ADDR: "203.0.113.9",
      },
    });
    let text = "";
    for await (const piece of response.body) text += String(piece);
    return { status: response.status, text, json: () => JSON.parse(text) as Record<string, unknown> };
  } finally {
    await client.close();
  }
}

/** The answer, or why there is none: a promise that may be left alone for a while. */
export function outcome(answer: Promise<Answer>): Promise<string> {
  return answer.then(
    ({ status, text }) => `${status} ${text}`,
    (error: { code?: string }) => `failed ${error.code}`,
  );
}

export interface ManagerOptions extends Pick<StartOptions, "env" | "cwd"> {
  /** Of `postern`, without those this file adds: name and control socket. */
  readonly args: readonly string[];
  /** Its first address, such as `unix:/…`. */
  readonly address: string;
  /** Flags of node. */
  readonly node?: readonly string[];
}

export interface Managed {
  readonly process: Running;
  readonly address: string;
  readonly control: string;
  /** The log so far. */
  log(): string;
  status(): Promise<ManagerSnapshot>;
  pool(name?: string): Promise<PoolSnapshot>;
  workers(pool?: string): Promise<readonly WorkerSnapshot[]>;
  /** Waits until the status is as wanted. */
  until<T>(
    what: string,
    look: (status: ManagerSnapshot) => T,
    options?: WaitOptions,
  ): Promise<Exclude<T, false | 0 | "" | null | undefined>>;
  /** `postern COMMAND …` for this manager. */
  cli(...args: string[]): Promise<Finished>;
  get(url: string): Promise<Answer>;
  /** A request that is open until `finish` is called, in the worker `pid`. */
  openRequest(): Promise<OpenRequest>;
  /** Waits for a line of the log after those there were when `from` was taken. */
  line(pattern: RegExp, from?: number): Promise<RegExpExecArray>;
}

export interface OpenRequest {
  readonly pid: number;
  readonly answer: Promise<string>;
  finish(): void;
}

const all: Managed[] = [];

/** Starts a manager; does not wait for anything. */
export function startManager(options: ManagerOptions): Managed {
  const control = join(temporaryFolder("c"), "c.sock");
  const [command = "serve", ...args] = options.args;
  const node = [...(options.node ?? []), CLI];
  const process_ = start(
    process.execPath,
    [...node, command, "--name", "test", "--control-socket", control, ...args],
    {
      ...(options.env === undefined ? {} : { env: options.env }),
      cwd: options.cwd ?? "/",
    },
  );
  const managed: Managed = {
    process: process_,
    address: options.address,
    control,
    log: () => process_.stderr(),
    async status() {
      const { body } = await askControl(control, { path: "/status", timeoutMs: 20_000 });
      return body as ManagerSnapshot;
    },
    async pool(name) {
      const { pools } = await managed.status();
      const found = name === undefined ? pools[0] : pools.find((one) => one.name === name);
      if (found === undefined) throw new Error(`no pool ${name}\n${process_.output()}`);
      return found;
    },
    async workers(name) {
      return (await managed.pool(name)).workers;
    },
    until: (what, look, wait) =>
      waitFor(async () => look(await managed.status()), {
        ...PATIENT,
        what,
        evidence: () => process_.output(),
        ...wait,
      }),
    cli: (name, ...rest) =>
      run(process.execPath, [CLI, name ?? "status", "--control", control, ...rest], { timeoutMs: 40_000 }),
    get: (url) => get(options.address, url),
    async openRequest() {
      const until = join(temporaryFolder("u"), "now");
      const from = process_.lines.length;
      const answer = outcome(managed.get(`/wait?until=${until}`));
      const [, pid] = await managed.line(/waiting in (\d+)/, from);
      return { pid: Number(pid), answer, finish: () => writeFileSync(until, "") };
    },
    line: (pattern, from) =>
      process_.waitForLine(pattern, { ...PATIENT, ...(from === undefined ? {} : { from }) }),
  };
  all.push(managed);
  return managed;
}

/** Starts a manager, and waits until it serves. */
export async function serveManaged(options: ManagerOptions): Promise<Managed> {
  const managed = startManager(options);
  await managed.line(/ listening for FastCGI pool=/);
  return managed;
}

/** Serves a deployment on a socket of its own. */
export function serveApp(deployment: Deployment, ...flags: string[]): Promise<Managed> {
  const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
  return serveManaged({ args: ["serve", deployment.app, "--bind", address, ...flags], address });
}

/** For `afterEach`: also what a failed test has left. */
export async function stopManagers(): Promise<void> {
  const pids = all.flatMap(({ process: { pid } }) => [pid, ...descendantsOf(pid)]);
  await Promise.all(all.splice(0).map((one) => one.process.stop()));
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL");
}

/** Every process that this one has started, and so on. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const [, parent] = statFields(Number(entry));
      children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(entry)]);
    } catch {
      // Gone meanwhile.
    }
  }
  const found: number[] = [];
  for (const rest = [pid]; rest.length > 0; ) found.push(...spread(rest, children));
  return found;
}

function spread(rest: number[], children: ReadonlyMap<number, readonly number[]>): readonly number[] {
  const next = children.get(rest.pop() ?? 0) ?? [];
  rest.push(...next);
  return next;
}

/** Waits until none of these is there any more. */
export async function untilGone(pids: readonly number[], evidence: () => string = () => ""): Promise<void> {
  await waitFor(() => pids.every((pid) => !isAlive(pid)), {
    timeoutMs: 40_000,
    what: `the processes ${pids.join(", ")} to end`,
    evidence: () => `${pids.filter(isAlive).map(describePid).join("\n")}\n${evidence()}`,
  });
}

function describePid(pid: number): string {
  const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, "latin1") : "";
  return `${pid} ${command.replaceAll("\0", " ")}`;
}

/**
 * The probe (programs/probe, and programs/probe-python for Python) as tests see it: started on addresses of its own, or
 * made ready for a web server to start; and its journal, which tells what it saw.
 */
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../paths.ts";
import { freePort } from "../ports.ts";
import { type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { type FastCgiAddress, serverUser } from "../web-servers/web-server.ts";
import { built, programPath } from "./built.ts";
import { type Middleware, makePythonProbe, type PythonForm, pythonFormOf } from "./probe-python.ts";

export type FormName = "express" | "listener" | "httpServer" | "fetch" | PythonForm;
export type Transport = "unix" | "tcp";

/** What the application sees of a request. */
export interface Echo {
  readonly method: string;
  readonly url: string;
  readonly baseUrl: string;
  readonly originalUrl: string;
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
  readonly bodyBytes: number;
  readonly bodySha256: string;
  readonly complete: boolean;
  readonly params: Readonly<Record<string, string>>;
}

/** A line of the journal. */
export interface Entry {
  readonly event: "ready" | "request" | "state" | "log" | "left" | "piece" | "wrote" | "flooded";
  readonly pid: number;
  /** The `id` of the request's query. */
  readonly id?: string;
  readonly url?: string;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly acceptedConnections?: number;
  readonly openRequests?: number;
  readonly connections?: number;
  readonly level?: string;
  readonly code?: string;
  readonly message?: string;
  readonly destroyed?: boolean;
}

export interface Probe {
  /** Where it listens; none when a web server starts it. */
  readonly addresses: readonly FastCgiAddress[];
  /** The `.fcgi` file for a web server to start. */
  readonly program: string;
  entries(): readonly Entry[];
  /** The first matching line, past or future. */
  wait(what: string, match: (entry: Entry) => boolean): Promise<Entry>;
  /** Waits until no request is open, in any of its processes. */
  waitUntilIdle(): Promise<void>;
  /** Lets a request go on that waits for `gate`. */
  open(gate: string): void;
  /** What its processes have printed: for Python, the log of the manager. */
  output(): string;
  stop(): Promise<void>;
}

export interface ProbeOptions {
  readonly form: FormName;
  /** One process for each. None: a web server will start it. */
  readonly transports: readonly Transport[];
  /** Options of `serve`. */
  readonly serve?: Readonly<Record<string, unknown>>;
  /** Of the guide, around an application in Python. */
  readonly wrapped?: Middleware | undefined;
}

/** What starts a form of it. */
export interface Startable {
  /** The `.fcgi` file. */
  readonly text: string;
  /** The process that serves on an address. */
  start(bind: string, at: number): Running;
}

/** Starts a probe, or makes it ready to be started. */
export async function startProbe(options: ProbeOptions): Promise<Probe> {
  const folder = temporaryFolder("probe");
  const user = serverUser();
  const journal = join(folder, "journal");
  writeFileSync(journal, "");
  chmodSync(journal, 0o666);
  if (user) chownSync(folder, user.uid, user.gid);
  const python = pythonFormOf(options.form);
  const program = join(folder, "probe.fcgi");
  const startable =
    python === undefined
      ? await makeNodeProbe(options, journal)
      : await makePythonProbe({ ...options, form: python }, journal, program);
  writeFileSync(program, startable.text);
  chmodSync(program, 0o755);

  const processes: Running[] = [];
  const addresses: FastCgiAddress[] = [];
  for (const [at, transport] of options.transports.entries()) {
    const address: FastCgiAddress =
      transport === "unix"
        ? { unix: join(folder, `${at}.sock`) }
        : { host: "127.0.0.1", port: await freePort() };
    const bind = "unix" in address ? `unix:${address.unix}` : `${address.host}:${address.port}`;
    processes.push(startable.start(bind, at));
    addresses.push(address);
  }
  const probe = describeProbe({ journal, program, addresses, processes });
  for (const running of processes) {
    if (python !== undefined) {
      await running.waitForLine(/listening/, { timeoutMs: 30_000 });
      continue;
    }
    await probe.wait("the probe to listen", ({ event, pid }) => {
      if (running.exit) throw new Error(`the probe has ended:\n${running.output()}`);
      return event === "ready" && pid === running.pid;
    });
  }
  return probe;
}

async function makeNodeProbe(options: ProbeOptions, journal: string): Promise<Startable> {
  const args = [await installed(), `--journal=${journal}`, `--form=${options.form}`];
  const user = serverUser();
  const serve = { ...options.serve, ...(user ? { group: user.gid } : {}) };
  return {
    text: wrapper([...args, `--options=${JSON.stringify(options.serve ?? {})}`]),
    start: (bind) =>
      start(process.execPath, [...args, `--bind=${bind}`, `--options=${JSON.stringify(serve)}`], {
        env: { ...process.env, NODE_ENV: "production" },
      }),
  };
}

function describeProbe(of: {
  readonly journal: string;
  readonly program: string;
  readonly addresses: readonly FastCgiAddress[];
  readonly processes: readonly Running[];
}): Probe {
  const { journal, program, addresses, processes } = of;
  const text = (): string => readFileSync(journal, "utf8");
  const entries = (): Entry[] => {
    const lines = text().split("\n");
    lines.pop(); // what is being written
    return lines.map((line) => JSON.parse(line) as Entry);
  };
  const evidence = (): string =>
    text().slice(-4000) + processes.map((running) => `\n${running.output()}`).join("");
  return {
    addresses,
    program,
    entries,
    wait: (what, match) =>
      waitFor(() => entries().find(match), { timeoutMs: 10_000, what: `the probe: ${what}`, evidence }),
    async waitUntilIdle() {
      await waitFor(
        () => {
          const last = new Map<number, number>();
          for (const entry of entries()) {
            if (entry.event === "request") last.set(entry.pid, 1);
            if (entry.event === "state") last.set(entry.pid, entry.openRequests ?? 0);
          }
          return [...last.values()].every((open) => open === 0);
        },
        { timeoutMs: 10_000, what: "the probe to have no open request", evidence },
      );
    },
    open: (gate) => writeFileSync(`${journal}.${gate}`, ""),
    output: () => processes.map((running) => running.output()).join(""),
    async stop() {
      for (const running of processes) await running.stop();
    },
  };
}

/** As examples/shared-hosting: a script of the shell, whose environment may be empty. */
function wrapper(args: readonly string[]): string {
  const words = [process.execPath, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  return `#!/bin/sh\nexport NODE_ENV=production\nexec ${words.join(" ")}\n`;
}

let home: Promise<string> | undefined;

/**
 * The program, with the package as it is now, where www-data may read it: the checkout may lie in somebody's home. Once
 * for a test file, so that a build that happens meanwhile changes nothing.
 */
function installed(): Promise<string> {
  home ??= install();
  return home;
}

async function install(): Promise<string> {
  await built();
  const folder = temporaryFolder("probe-program");
  cpSync(programPath("probe"), folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const modules = join(folder, "node_modules");
  const postern = join(modules, "postern");
  mkdirSync(postern, { recursive: true });
  cpSync(join(repositoryRoot, "package.json"), join(postern, "package.json"));
  cpSync(join(repositoryRoot, "dist"), join(postern, "dist"), { recursive: true });
  symlinkSync(join(repositoryRoot, "node_modules", "express"), join(modules, "express"));
  return join(folder, "main.js");
}

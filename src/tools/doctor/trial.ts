/**
 * Runs a program as a web server would: as its user, with its environment, and with a listening socket as descriptor 0;
 * asks it one request, and ends it with everything it has started, whatever comes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, printAddress } from "../../base/address.ts";
import { holdSocket } from "../../server/held-socket.ts";
import { privilegeFlags } from "./access.ts";
import { type Answer, askFor, knowsValues } from "./answer.ts";
import { deadline } from "./deadline.ts";
import { listeningOf, processesMarked, wantsProcessor } from "./listening.ts";
import type { TrialFact } from "./model.ts";

export interface TrialResult {
  /** Undefined: it still ran when it was ended. */
  readonly exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;
  /** Why it could not even be started. */
  readonly startError: Error | undefined;
  /** It has answered a request or, last, GET_VALUES. */
  readonly wasReady: boolean;
  readonly answer: Answer | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Where it listened, besides the socket it was given. */
  readonly listens: readonly Address[];
  /** It did not answer, and all the while it wanted a processor. */
  readonly isBusy: boolean;
}

export interface TrialOptions {
  /** Path and query of the request. */
  readonly target: string;
  /** For everything, ms. */
  readonly patienceMs: number;
}

/** Bytes of output kept, of each stream: the beginning. */
const MOST_OUTPUT = 64 * 1024;
const GRACE_MS = 1000;
/** How long GET_VALUES may be unanswered before a request is tried: some programs do not know it. */
const VALUES_MS = 2500;
/** How often to look whether the program listens elsewhere, while it is not ready. */
const LOOK_MS = 300;
/** Of util-linux, on every Linux. */
const SETPRIV = "/usr/bin/setpriv";
/** A manager keeps what begins with POSTERN_ from its workers, and these are to be found, too. */
const MARKER = "_POSTERN_DOCTOR_TRIAL";

export async function runTrial(
  trial: TrialFact,
  options: TrialOptions,
  signal: AbortSignal,
): Promise<TrialResult> {
  const folder = mkdtempSync(join(tmpdir(), "postern-doctor-"));
  const id = randomBytes(8).toString("hex");
  try {
    chmodSync(folder, 0o755);
    const environment = { ...trial.environment, POSTERN_RUN_DIR: ownRunFolder(folder, trial) };
    const held = await holdSocket({ kind: "unix", path: join(folder, "s") }, SOCKET, {});
    try {
      const own = { ...trial, environment };
      return await runOn(held.fd, join(folder, "s"), own, { ...options, id }, signal);
    } finally {
      held.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** For the control socket of a manager: the one that serves this very application may run, under the same name. */
function ownRunFolder(folder: string, { user }: TrialFact): string {
  const run = join(folder, "run");
  mkdirSync(run, { mode: 0o700 });
  if (user !== undefined) chownSync(run, user.uid, user.gids[0] ?? user.uid);
  return run;
}

/** The folder is ours alone, and gone in a moment: everybody may connect. */
const SOCKET = {
  mode: 0o666,
  owner: undefined,
  group: undefined,
  backlog: 16,
  allowedClients: { isStated: false },
} as const;

async function runOn(
  fd: number,
  path: string,
  trial: TrialFact,
  options: TrialOptions & { readonly id: string },
  signal: AbortSignal,
): Promise<TrialResult> {
  const child = startChild(trial, fd, options.id);
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  let startError: Error | undefined;
  let exit: TrialResult["exit"];
  const over = new AbortController();
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      startError = error;
      resolve();
    });
    child.once("exit", (code, why) => {
      exit = { code, signal: why };
      resolve();
    });
  });
  void ended.then(() => over.abort());
  const patience = deadline(options.patienceMs, signal, over.signal);
  const address: Address = { kind: "unix", path };
  const mark = `${MARKER}=${options.id}`;
  const listensElsewhere = (): Address[] =>
    notIn(listeningOf(processesMarked(mark, child.pid)), dirname(path));
  let wasReady = false;
  let answer: Answer | undefined;
  let listens: Address[] = [];
  let isBusy = false;
  try {
    wasReady = await knowsValues(address, deadline(VALUES_MS, patience));
    if (!over.signal.aborted) {
      // Who serves elsewhere will not come here; but one may do both.
      const elsewhere = new AbortController();
      const looking = wasReady
        ? undefined
        : setInterval(() => {
            if (listens.length > 0) return;
            listens = listensElsewhere();
            if (listens.length > 0) setTimeout(() => elsewhere.abort(), VALUES_MS).unref();
          }, LOOK_MS);
      const limit = deadline(options.patienceMs, patience, elsewhere.signal);
      answer = await askFor(address, { target: options.target, patienceMs: options.patienceMs }, limit);
      clearInterval(looking);
      if (answer.kind === "answered") wasReady = true;
      // Silent may mean that it has not begun to serve, or that this request is what it does not get done.
      if (answer.kind === "silent" && !over.signal.aborted) {
        const values = knowsValues(address, deadline(GRACE_MS, signal));
        isBusy = await wantsProcessor(child.pid === undefined ? [] : processesMarked(mark, child.pid));
        wasReady = await values;
      }
    }
    if (child.pid !== undefined && exit === undefined) {
      listens = listensElsewhere();
    }
    // Dying takes a moment: the connection ends first.
    if (answer?.kind === "closed" || answer?.kind === "cut") await Promise.race([ended, sleep(GRACE_MS)]);
  } finally {
    // What it does because it is ended says nothing of it.
    const own = exit;
    await end(child, ended, options.id);
    exit = own;
  }
  return { exit, startError, wasReady, answer, stdout: stdout(), stderr: stderr(), listens, isBusy };
}

function startChild(trial: TrialFact, fd: number, id: string): ChildProcess {
  const { user, environment } = trial;
  const own = trial.command;
  const [program = "", ...args] = user === undefined ? own : [SETPRIV, ...privilegeFlags(user), "--", ...own];
  return spawn(program, args, {
    cwd: trial.folder,
    env: { ...environment, [MARKER]: id },
    stdio: [fd, "pipe", "pipe"],
    detached: true,
  });
}

/** Asks the group to end, then makes it; and what has left the group, by the mark it inherited. */
async function end(child: ChildProcess, ended: Promise<void>, id: string): Promise<void> {
  if (child.pid === undefined) return;
  killGroup(child.pid, "SIGTERM");
  await Promise.race([ended, sleep(GRACE_MS)]);
  killGroup(child.pid, "SIGKILL");
  for (const pid of processesMarked(`${MARKER}=${id}`, undefined)) kill(pid, "SIGKILL");
  await Promise.race([ended, sleep(GRACE_MS)]);
  child.stdout?.destroy();
  child.stderr?.destroy();
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  kill(-pid, signal);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}

function collect(stream: Readable | null): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  stream?.on("data", (piece: Buffer) => {
    if (bytes < MOST_OUTPUT) pieces.push(piece.subarray(0, MOST_OUTPUT - bytes));
    bytes += piece.length;
  });
  stream?.on("error", () => {});
  return () => Buffer.concat(pieces).toString("utf8");
}

function notIn(addresses: readonly Address[], ours: string): Address[] {
  const found = new Map(addresses.map((address) => [printAddress(address), address] as const));
  for (const name of found.keys()) if (name.startsWith(`unix:${ours}/`)) found.delete(name);
  return [...found.values()];
}

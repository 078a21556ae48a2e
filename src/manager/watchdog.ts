/**
 * Where a worker is stuck: its JavaScript stack, and the requests it works on, read while it is stuck.
 *
 *     SIGUSR1 ──> worker opens its inspector ──> "Debugger listening on ws://127.0.0.1:…" on stderr ──> connect
 *     evaluate `new Error().stack`: runs on top of whatever is running ──> the requests ──> the inspector closes
 *
 * (Not Debugger.pause: V8 forgets it when it comes during a built-in function, and it knows nothing of source maps.)
 *
 * Works in endless loops, of promises too, in regular expressions and Atomics.wait. It cannot look into one long
 * built-in call, such as execSync, pbkdf2Sync, or sort and JSON.parse of something huge: then there is no stack, and
 * `explain` says so. (All of it tried on Node 20 to 26.) A worker that is not stuck answers with no frames.
 *
 * The worker has to be Node, past its start (before, SIGUSR1 kills), with `--inspect-port=127.0.0.1:0`, and its stderr
 * has to be offered to the {@link InspectorUrl} line by line. It runs on afterwards; its inspector closes a second
 * later if its event loop turns by then, which in an endless loop is never: until the worker is killed, other users of
 * the machine could connect to it. (Replacing the worker is the caller's business.)
 */
import { fileURLToPath } from "node:url";
import { oneLine } from "../base/text.ts";
import type { RequestSnapshot } from "../status/snapshot.ts";
import { fieldsOf, InspectorSession, type InspectorUrl, textOf } from "./inspector.ts";

/** What of a worker is needed. */
export interface StuckWorker {
  readonly pid: number;
  /** Fed with the lines of its stderr. One for the whole life of the worker. */
  readonly inspector: InspectorUrl;
}

export interface StackOptions {
  /** For everything together. @default 2000 */
  readonly deadlineMs?: number;
  /** How many frames, innermost first. @default 20 */
  readonly depth?: number;
  /** Told in half a sentence why there is no stack. */
  readonly explain?: (why: string) => void;
}

export interface Stack {
  /** Innermost first, as `name (file:line:column)`. None when no JavaScript was running: it waits for something. */
  readonly frames: readonly string[];
  /** What the worker was working on; undefined when it did not say. */
  readonly requests: readonly RequestSnapshot[] | undefined;
}

/** A worker answers with its open requests when the global of this name is called: `(): RequestSnapshot[]`. */
const REQUESTS_SYMBOL = "postern.requests";
const MAX_REQUESTS = 20;
/** Deeper stacks are of a recursion, whose other frames look the same. */
const MAX_FRAMES = 200;
/** How long the worker's own code may take to list its requests, ms. */
const LIST_MS = 250;

/** How long our connection may take to end before the worker closes its inspector, ms. */
const CLOSE_AFTER_MS = 1000;

/** Where a worker keeps the timer that closes its inspector. */
const TIMER = 'globalThis[Symbol.for("postern.inspector")]';
const KEEP_INSPECTOR = `clearTimeout(${TIMER})`;

/** How our own code is called in the stack. */
const OURS = "postern:watchdog";
/** What the application has changed about stacks is put aside; source maps, when Node uses them, are not. */
const READ_STACK = `(() => {
  ${KEEP_INSPECTOR};
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.prepareStackTrace = undefined;
  Error.stackTraceLimit = ${MAX_FRAMES + 10};
  try {
    return new Error().stack;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
})()
//# sourceURL=${OURS}`;
const LIST_REQUESTS = `globalThis[Symbol.for(${JSON.stringify(REQUESTS_SYMBOL)})]?.()`;
/**
 * A while later, because Node crashes when the inspector closes while a connection to it does (seen on 20 to 26). And
 * then in an immediate: what SIGUSR1 has queued in the event loop would open it again, and that comes after timers.
 * (getBuiltinModule: Node 20.16.)
 */
const CLOSE_INSPECTOR = `{
  const { setImmediate, setTimeout } = process.getBuiltinModule("node:timers");
  const close = () => process.getBuiltinModule("node:inspector").close();
  ${KEEP_INSPECTOR};
  ${TIMER} = setTimeout(() => setImmediate(close), ${CLOSE_AFTER_MS}).unref();
}`;

/** Reads the stack of a worker. Never rejects; undefined when there is none to be had before the deadline. */
export async function stackOf(worker: StuckWorker, options: StackOptions = {}): Promise<Stack | undefined> {
  const reading = new Reading(worker, options.depth ?? 20);
  const deadlineMs = options.deadlineMs ?? 2000;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(reading.waitsFor), deadlineMs);
  });
  const stack = await Promise.race([reading.run(deadlineMs).catch(oneLine), late]);
  clearTimeout(timer);
  reading.end();
  if (typeof stack !== "string") return stack;
  options.explain?.(stack);
  return undefined;
}

/** One attempt. */
class Reading {
  readonly #worker: StuckWorker;
  readonly #depth: number;
  #session: InspectorSession | undefined;
  #isOver = false;
  /** Why it is not done yet. */
  readonly waitsFor =
    "its JavaScript cannot be interrupted: it is in one long built-in call, such as execSync or pbkdf2Sync";

  constructor(worker: StuckWorker, depth: number) {
    this.#worker = worker;
    this.#depth = depth;
  }

  /** @returns the stack, or why there is none */
  async run(timeoutMs: number): Promise<Stack | string> {
    const session = await this.#connect(timeoutMs);
    if (typeof session === "string") return session;
    this.#session = session;
    // Over already: the worker was too late, and only has to be told to close its inspector.
    if (this.#isOver) {
      leave(session);
      return this.waitsFor;
    }
    const text = await evaluate(session, READ_STACK, timeoutMs);
    if (typeof text !== "string") return "its inspector did not answer as expected";
    return { frames: framesOf(text, this.#depth), requests: await requestsOf(session) };
  }

  /** Whatever came of it: the worker closes its inspector. */
  end(): void {
    this.#isOver = true;
    if (this.#session !== undefined) leave(this.#session);
  }

  async #connect(timeoutMs: number): Promise<InspectorSession | string> {
    const { inspector, pid } = this.#worker;
    // Still open when the worker has been stuck ever since it was asked before; then it announces nothing.
    if (inspector.last !== undefined) {
      const again = await InspectorSession.open(inspector.last, timeoutMs);
      if (typeof again !== "string") return again;
    }
    const announced = new Promise<string>((resolve) => inspector.expect(resolve));
    try {
      process.kill(pid, "SIGUSR1");
    } catch {
      return "the worker is gone";
    }
    return InspectorSession.open(await announced, timeoutMs);
  }
}

function leave(session: InspectorSession): void {
  void session.call("Runtime.evaluate", { expression: CLOSE_INSPECTOR, silent: true });
  session.close();
}

/** The value of an expression in the worker; undefined when there is none. */
async function evaluate(session: InspectorSession, expression: string, timeoutMs: number): Promise<unknown> {
  const options = { expression, returnByValue: true, silent: true, timeout: timeoutMs };
  const answer = await session.call("Runtime.evaluate", options);
  return answer?.["exceptionDetails"] === undefined ? fieldsOf(answer?.["result"])["value"] : undefined;
}

/** What the worker says it works on. It is given up when it does not say. */
async function requestsOf(session: InspectorSession): Promise<RequestSnapshot[] | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), 2 * LIST_MS);
  });
  const value = await Promise.race([evaluate(session, LIST_REQUESTS, LIST_MS), late]);
  clearTimeout(timer);
  return Array.isArray(value) ? value.slice(0, MAX_REQUESTS).map(requestOf) : undefined;
}

/** The lines of an error's stack below our own frames. */
function framesOf(stack: string, depth: number): string[] {
  const lines = stack.split("\n").flatMap((line) => {
    const [, frame] = /^\s+at (.*)$/.exec(line) ?? [];
    return frame === undefined || frame.includes(OURS) ? [] : [textOf(withPath(frame), 1000)];
  });
  const shown = lines.slice(0, depth);
  return lines.length > depth ? [...shown, `… ${lines.length - depth} more`] : shown;
}

/** A file's path in place of its URL. */
function withPath(frame: string): string {
  return frame.replace(/file:\/\/\/[^\s)]*?(?=:\d+:\d+\)?$)/, (url) => {
    try {
      return fileURLToPath(url);
    } catch {
      return url;
    }
  });
}

/** The application could have put anything there. */
function requestOf(value: unknown): RequestSnapshot {
  const { method, url, client, startedAt } = fieldsOf(value);
  return {
    method: textOf(method, 40),
    url: textOf(url, 2000),
    client: textOf(client, 100),
    startedAt: typeof startedAt === "number" && Number.isFinite(startedAt) ? startedAt : 0,
  };
}

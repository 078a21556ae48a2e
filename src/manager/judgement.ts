/** What the manager makes of a worker that is silent (whether it is stuck, and where) or has ended (why). */
import type { PoolSettings } from "../config/types.ts";
import type { RequestSnapshot } from "../status/snapshot.ts";
import type { Failed } from "./channel.ts";
import { type StuckWorker, stackOf } from "./watchdog.ts";
import type { Launching, SlowReport, WorkerEnd } from "./worker-sink.ts";

/** Workers tell about themselves every second. One that has not for this long counts as busy, ms. */
export const SILENT_MS = 2500;
/** Time to get a stack, ms. */
const STACK_MS = 2000;

/**
 * Whether a worker that has said nothing for `silentMs` has to go (`stuck`) or to be looked at (`slow`). Only then:
 * of a worker whose event loop turns, its own server sees to requests that take long.
 * @param oldest asked for only when it matters; it means reading the scoreboard
 */
export function judgeSilence(
  settings: Pick<PoolSettings, "maxLoopDelayMs" | "requestTerminateTimeoutMs" | "requestSlowlogTimeoutMs">,
  silentMs: number,
  oldest: () => RequestSnapshot | undefined,
): "stuck" | "slow" | undefined {
  const { maxLoopDelayMs, requestTerminateTimeoutMs, requestSlowlogTimeoutMs } = settings;
  if (maxLoopDelayMs > 0 && silentMs >= Math.max(maxLoopDelayMs, SILENT_MS)) return "stuck";
  if (silentMs < SILENT_MS || requestTerminateTimeoutMs + requestSlowlogTimeoutMs === 0) return undefined;
  const first = oldest();
  const ageMs = first === undefined ? 0 : Date.now() - first.startedAt;
  if (requestTerminateTimeoutMs > 0 && ageMs >= requestTerminateTimeoutMs) return "stuck";
  return requestSlowlogTimeoutMs > 0 && ageMs >= requestSlowlogTimeoutMs ? "slow" : undefined;
}

/** Looks into a silent worker. @param about `known`: the requests that its scoreboard shows */
export async function examine(
  worker: StuckWorker & { readonly readStack: Launching["readStack"] | undefined },
  about: {
    readonly silentMs: number;
    readonly isStuck: boolean;
    readonly depth: number;
    readonly known: readonly RequestSnapshot[];
  },
): Promise<SlowReport> {
  const { silentMs, isStuck, depth, known } = about;
  let why = "";
  const explain = (text: string): void => {
    why = text;
  };
  const options = { deadlineMs: STACK_MS, depth, explain };
  const stack = await (worker.readStack?.(worker.pid, options) ?? stackOf(worker, options));
  // The worker's own list is exact; the scoreboard's is there also when the worker cannot be asked.
  const requests = stack?.requests?.length ? stack.requests : known;
  return { isStuck, silentMs, requests, frames: stack?.frames, why };
}

/** Why a worker may not have become ready in time. */
export function notReady(timeoutMs: number, { readStack }: Pick<Launching, "readStack">): string {
  const reasons =
    readStack === undefined
      ? "a top-level await that does not settle, a file that exports nothing and does not listen either"
      : "a server of its own that it starts (app.run()), a lock or connection that it waits for";
  return `the application was not ready within ${timeoutMs} ms (readyTimeout): ${reasons}, or work that takes longer`;
}

/** A limit, up to a tenth less: workers that were started together are not replaced together. */
export function jittered(limit: number): number {
  return limit === 0 ? 0 : Math.max(1, Math.round(limit * (1 - Math.random() / 10)));
}

/** Exit code of a worker that could not be set up. With any other it was the application that ended the process. */
const BOOT_EXIT_CODE = 3;
/** What Node prints behind an error that nobody needs who has the place. */
const OF_NODE = /^\s*$|^ +at .*\bnode:internal|^Node\.js v\d/;

/** Why a worker ended, in words. @param told what it said itself @param printed its last lines */
export function describeEnd(
  code: number | null,
  signal: NodeJS.Signals | null,
  told: Omit<Failed, "type"> | undefined,
  printed: readonly string[],
): Pick<WorkerEnd, "how" | "said" | "failure" | "isApp"> {
  const how = signal !== null ? `signal ${signal}` : code !== null ? `exit code ${code}` : "it never ran";
  const lines = printed.filter((line) => !OF_NODE.test(line)).map((line) => line.replace(/^postern: /, ""));
  if (told === undefined) {
    return { how, said: "", failure: lines.join("\n"), isApp: code !== null && code !== BOOT_EXIT_CODE };
  }
  const said = told.message.trimEnd();
  const failure = told.isPlacePrinted ? [said, ...lines].join("\n") : said;
  return { how, said, failure, isApp: told.stage === "app" };
}

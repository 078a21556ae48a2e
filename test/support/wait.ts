/** Waiting for something to be true, never for time to pass. */
import { readFileSync } from "node:fs";

/** In CI nobody waits for a failure, and nothing is known of what else the machine does. */
const PATIENCE: number = process.env["CI"] ? 4 : 1;

/** How long to wait, on this machine, for what takes so long at most on one that has nothing else to do. */
export function patience(timeoutMs: number): number {
  return PATIENCE * timeoutMs;
}

export interface WaitOptions {
  /** On a machine that has nothing else to do. @default 5000 */
  readonly timeoutMs?: number;
  /** What is being waited for, for the message. */
  readonly what?: string;
  /** Told when the wait fails, for the message: a log, the output so far. */
  readonly evidence?: () => string;
}

export class TimeoutError extends Error {
  override readonly name: string = "TimeoutError";
}

/** Asks `condition` every few milliseconds until it gives something truthy, and gives that. */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, false | 0 | "" | null | undefined>> {
  const timeoutMs = patience(options.timeoutMs ?? 5000);
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 25)) {
    const value = await condition();
    if (value) return value as Exclude<T, false | 0 | "" | null | undefined>;
    if (performance.now() > deadline) {
      const what = options.what ?? condition.toString();
      const evidence = options.evidence ? `\n${options.evidence()}` : "";
      throw new TimeoutError(`waited ${timeoutMs} ms for ${what}${evidence}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Waits until a file holds `pattern`; `fromOffset` skips the characters that were in it before. */
export function waitForFileLine(
  path: string,
  pattern: RegExp,
  options: WaitOptions & { readonly fromOffset?: number } = {},
): Promise<RegExpExecArray> {
  const read = (): string => {
    try {
      return readFileSync(path, "utf8").slice(options.fromOffset ?? 0);
    } catch {
      return "";
    }
  };
  return waitFor(() => pattern.exec(read()), {
    what: `${pattern} in ${path}`,
    evidence: () => read().slice(-4000),
    ...options,
  }) as Promise<RegExpExecArray>;
}

/** The promise, or a {@link TimeoutError} that says what did not happen. */
export async function within<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  const timeoutMs = patience(limitMs);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TimeoutError(`waited ${timeoutMs} ms for ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

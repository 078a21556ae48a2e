/**
 * `postern status --watch`. On a terminal: the table redrawn in place on the alternate screen, one write for each frame,
 * until q or ctrl-C, and the screen put back however it ends. Elsewhere: one table, or one line of JSON, each time.
 *
 * A manager that goes away is waited for: the last table stays, with a line that says since when it is old.
 */
import { PosternError } from "../base/errors.ts";
import { renderStatus } from "../status/render.ts";
import type { ManagerSnapshot } from "../status/snapshot.ts";
import { cut, duration, printable } from "../status/text.ts";
import { columnsOf, hasColour, type Terminal } from "./terminal.ts";

export interface WatchOptions {
  readonly intervalMs: number;
  readonly isJson: boolean;
  /** @throws {PosternError} when the manager does not answer */
  ask(): Promise<ManagerSnapshot>;
}

/** Alternate screen, no cursor, no wrapping of long lines. */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const ERASE_LINE = "\x1b[K";
const ERASE_BELOW = "\x1b[J";

/** Keys that quit: q, Q, ctrl-C, ctrl-D. */
const QUIT = /[qQ\x03\x04]/;
/** Frames that say that the manager is back. */
const BACK_FRAMES = 5;

/** What has been seen so far. */
interface Seen {
  snapshot: ManagerSnapshot;
  previous: ManagerSnapshot | undefined;
  /** When the snapshot came. */
  atMs: number;
  /** Why there is no newer one. */
  trouble: string | undefined;
  /** Frames still to say that it is back. */
  back: number;
}

/** Resolves when the person has seen enough. The first snapshot must be there already: without one there is nothing to watch. */
export async function watchStatus(
  terminal: Terminal,
  first: ManagerSnapshot,
  options: WatchOptions,
): Promise<void> {
  const seen: Seen = { snapshot: first, previous: undefined, atMs: Date.now(), trouble: undefined, back: 0 };
  const { stdout } = terminal;
  const end = new AbortController();
  const quit = (): void => end.abort();
  const isLive = stdout.isTTY === true && !options.isJson;
  const leave = isLive ? takeScreen(terminal, quit) : (): void => {};
  // Who read our output has gone, as in `postern status --watch | head`.
  stdout.on("error", quit);
  const forget = terminal.onEnd(() => {
    leave();
    quit();
  });
  const show = isLive
    ? (): void => drawFrame(terminal, seen, options.intervalMs)
    : printer(terminal, seen, options.isJson);
  const onResize = (): void => show();
  if (isLive) stdout.on("resize", onResize);
  try {
    for (show(); !end.signal.aborted; show()) {
      await pause(options.intervalMs, end.signal);
      if (end.signal.aborted) break;
      await look(seen, options);
      await drained(terminal, end.signal);
      if (end.signal.aborted) break;
    }
  } finally {
    stdout.off("resize", onResize);
    forget();
    leave();
    stdout.off("error", quit);
  }
}

/** @returns what gives it back, and does nothing the second time */
export function takeScreen({ stdout, stdin }: Terminal, quit: () => void): () => void {
  const onKeys = (keys: Buffer): void => {
    if (QUIT.test(keys.toString("latin1"))) quit();
  };
  const hasKeys = stdin.isTTY === true;
  if (hasKeys) {
    stdin.setRawMode?.(true);
    stdin.on("data", onKeys);
    stdin.resume();
  }
  stdout.write(ENTER);
  let isTaken = true;
  return () => {
    if (!isTaken) return;
    isTaken = false;
    stdout.write(LEAVE);
    if (!hasKeys) return;
    stdin.off("data", onKeys);
    stdin.setRawMode?.(false);
    stdin.pause();
  };
}

async function look(seen: Seen, options: WatchOptions): Promise<void> {
  try {
    const snapshot = await options.ask();
    seen.previous = seen.snapshot;
    seen.snapshot = snapshot;
    seen.atMs = Date.now();
    if (seen.trouble !== undefined) seen.back = BACK_FRAMES;
    else if (seen.back > 0) seen.back--;
    seen.trouble = undefined;
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    seen.trouble = error.message;
  }
}

function drawFrame(terminal: Terminal, seen: Seen, intervalMs: number): void {
  const { stdout } = terminal;
  const width = columnsOf(terminal);
  const rows = stdout.rows || 24;
  const { snapshot, previous } = seen;
  const text = renderStatus(snapshot, { width, colour: hasColour(terminal), previous });
  const notice = noticeOf(seen);
  const body = [...(notice === undefined ? [] : [cut(notice, width)]), ...text.trimEnd().split("\n")];
  // The last row is the footer; a newline behind it would scroll the screen.
  const room = Math.max(1, rows - 1);
  const shown = body.length <= room ? body : body.slice(0, room - 1);
  const hidden = body.length - shown.length;
  if (hidden > 0) shown.push(`… ${hidden} more lines`);
  const footer = cut(`q quits, every ${duration(intervalMs)}`, width);
  const lines = [...shown, ...Array.from({ length: room - shown.length }, () => ""), footer];
  stdout.write(HOME + lines.map((line) => line + ERASE_LINE).join("\r\n") + ERASE_BELOW);
}

function noticeOf({ trouble, snapshot, back, atMs }: Seen): string | undefined {
  const name = printable(snapshot.name);
  if (trouble !== undefined) {
    return `${name} does not answer, as it was ${duration(Date.now() - atMs)} ago; waiting for it: ${printable(trouble)}`;
  }
  return back > 0 ? `${name} is back, pid ${snapshot.pid}` : undefined;
}

/** One table or line for each new snapshot; that the manager is gone or back is told once, beside it. */
function printer(terminal: Terminal, seen: Seen, isJson: boolean): () => void {
  let printed: ManagerSnapshot | undefined;
  let told: string | undefined;
  return () => {
    const { snapshot, previous } = seen;
    const notice = noticeOf(seen);
    const kind = seen.trouble !== undefined ? "gone" : seen.back > 0 ? "back" : undefined;
    if (kind !== told && notice !== undefined) terminal.stderr.write(`postern: ${notice}\n`);
    told = kind;
    if (snapshot === printed) return;
    const width = columnsOf(terminal);
    const colour = hasColour(terminal);
    const gap = printed === undefined || isJson ? "" : "\n";
    printed = snapshot;
    const text = isJson
      ? `${JSON.stringify(snapshot)}\n`
      : renderStatus(snapshot, { width, colour, previous });
    terminal.stdout.write(gap + text);
  };
}

/** Time passes, or somebody quits. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** A terminal that cannot keep up gets fewer frames, not all of them later. */
function drained({ stdout }: Terminal, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stdout.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (stdout.write("")) {
      resolve();
      return;
    }
    stdout.on("drain", done);
    signal.addEventListener("abort", done);
  });
}

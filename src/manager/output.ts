/**
 * What workers print, as lines that can be logged: whole, bounded, without control characters.
 *
 * Invariants:
 * 1. At most `maxLineBytes` are held per stream, whatever arrives. The rest of a longer line is counted, not kept.
 * 2. A worker that prints without end cannot starve the manager: after {@link TURN_BYTES} the stream rests until the
 *    others had their turn. Its pipe fills up meanwhile and the worker waits, which is the only rate limit there is;
 *    nothing is left out for being much. (The sink may be synchronous: the log is.)
 * 3. Every byte is delivered, also the last line without a newline.
 */
import type { Readable } from "node:stream";
import { clip, escapeControls } from "../base/text.ts";

/** How much of one stream is taken before the others get their turn: about one pipe full. */
const TURN_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

export interface CaptureOptions {
  /** What of a line is kept; longer ones are cut, with a mark. @default 8192 */
  readonly maxLineBytes?: number;
}

/** One stream being captured. */
export interface Capture {
  /** Resolves after the last line, when the stream has ended or broken. A grandchild may hold it open for ever. */
  readonly ended: Promise<void>;
  /** Delivers an unfinished line now, for when nobody waits for the rest. */
  flush(): void;
}

/**
 * Calls `onLine` with each line of a stream, made safe to print.
 * @param onLine must not throw; `isCut` when the line was longer, which its end then says too
 */
export function captureLines(
  stream: Readable,
  onLine: (line: string, isCut: boolean) => void,
  options: CaptureOptions = {},
): Capture {
  const line = new LineBuffer(options.maxLineBytes ?? 8192);
  let left = TURN_BYTES;
  let rest: Uint8Array | undefined;

  const deliver = (): void => {
    if (line.isEmpty) return;
    const isCut = line.isCut;
    onLine(line.take(), isCut);
  };
  const takeTurn = (bytes: Uint8Array): void => {
    let at = 0;
    while (at < bytes.length) {
      const end = bytes.indexOf(NEWLINE, at);
      line.add(bytes.subarray(at, end < 0 ? bytes.length : end));
      if (end < 0) return;
      const isCut = line.isCut;
      onLine(line.take(), isCut);
      at = end + 1;
    }
  };
  /** A chunk of any size: a paused pipe may hand over what it had read already in one piece. */
  const take = (bytes: Uint8Array): void => {
    const now = bytes.subarray(0, left);
    takeTurn(now);
    left -= now.length;
    if (left > 0) return;
    rest = bytes.subarray(now.length);
    stream.pause();
    setImmediate(() => {
      left = TURN_BYTES;
      const waiting = rest;
      rest = undefined;
      if (waiting !== undefined && waiting.length > 0) take(waiting);
      if (rest === undefined) stream.resume();
    });
  };

  const ended = new Promise<void>((resolve) => {
    const finish = (): void => {
      if (rest !== undefined) takeTurn(rest);
      rest = undefined;
      deliver();
      resolve();
    };
    stream.once("close", finish);
    stream.once("end", finish);
    // Nothing more comes, which "close" says next. Without a listener the manager would end.
    stream.on("error", () => {});
  });
  stream.on("data", (chunk: Uint8Array | string) =>
    take(typeof chunk === "string" ? Buffer.from(chunk) : chunk),
  );
  return { ended, flush: deliver };
}

/** The bytes of one line. They stay bytes until it is whole, so no character is ever torn. */
class LineBuffer {
  readonly #limit: number;
  #bytes: Buffer = Buffer.alloc(256);
  #length = 0;
  #dropped = 0;
  constructor(limit: number) {
    this.#limit = limit;
  }
  get isEmpty(): boolean {
    return this.#length === 0 && this.#dropped === 0;
  }
  get isCut(): boolean {
    return this.#dropped > 0;
  }
  add(piece: Uint8Array): void {
    const kept = Math.min(piece.length, this.#limit - this.#length);
    const wanted = this.#length + kept;
    if (wanted > this.#bytes.length) {
      const larger = Buffer.alloc(Math.min(Math.max(wanted, this.#bytes.length * 2), this.#limit));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(piece.subarray(0, kept), this.#length);
    this.#length = wanted;
    this.#dropped += piece.length - kept;
  }
  /** The line so far, and begins the next one. */
  take(): string {
    let end = this.#length;
    if (this.#dropped > 0) end = endOfCharacters(this.#bytes, end);
    else if (end > 0 && this.#bytes[end - 1] === RETURN) end--;
    const text = printable(this.#bytes.toString("utf8", 0, end));
    const missing = this.#dropped + (this.#dropped > 0 ? this.#length - end : 0);
    this.#length = 0;
    this.#dropped = 0;
    return missing > 0 ? `${text}… (${missing} more bytes)` : text;
  }
}

/** Where the last whole UTF-8 character before `end` ends. Bytes that are no UTF-8 are left for the decoder to mark. */
function endOfCharacters(bytes: Uint8Array, end: number): number {
  for (let start = end - 1; start >= Math.max(0, end - 4); start--) {
    const byte = bytes[start]!;
    if (byte < 0x80) return end;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return start + length > end ? start : end;
  }
  return end;
}

/** Colours go, tabs become spaces, and what is left of control characters is escaped. */
function printable(text: string): string {
  return escapeControls(text.replace(/\x1b\[[0-9;]*m/g, "").replaceAll("\t", "    "));
}

/** The last lines that a worker printed, for the message about its death. */
export class OutputTail {
  readonly #limit: number;
  readonly #lines: string[] = [];
  /** @param limit how many lines are kept */
  constructor(limit = 20) {
    this.#limit = limit;
  }
  push(line: string): void {
    this.#lines.push(clip(line, 1000));
    if (this.#lines.length > this.#limit) this.#lines.shift();
  }
  /** Oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }
}

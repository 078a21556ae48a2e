/** The end of a log: a file, or what the journal has of a service. Never a whole large file, never a rotated one. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { WebServerName } from "../../sites/model.ts";
import { timeOf } from "./log-times.ts";
import { runs } from "./servers/commands.ts";

export interface LogLine {
  /** ms since 1970; undefined: the line does not say, nor does one before it. */
  readonly time: number | undefined;
  readonly text: string;
}

const MOST_BYTES = 256 * 1024;
const MOST_LINE = 4000;
const JOURNAL_LINES = 200;

/** The lines at the end of a file, the newest last. @param from where to begin, in bytes @throws */
export function tailOf(file: string, server: WebServerName, from = 0): LogLine[] {
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    const start = Math.max(Math.min(from, size), size - MOST_BYTES);
    const buffer = Buffer.alloc(size - start);
    const bytes = readSync(fd, buffer, 0, buffer.length, start);
    const text = buffer.toString("utf8", 0, bytes);
    // The first line is half a line, unless the file or the part that was asked for begins with it.
    const isWhole = start === 0 || start === from;
    return linesOf(isWhole ? text : text.slice(text.indexOf("\n") + 1), server);
  } finally {
    closeSync(fd);
  }
}

/** Bytes in a file now; 0 when it cannot be seen. */
export function sizeOf(file: string): number {
  try {
    const fd = openSync(file, "r");
    try {
      return fstatSync(fd).size;
    } finally {
      closeSync(fd);
    }
  } catch {
    return 0;
  }
}

/** What the journal has of a service; nothing where there is no journal. */
export async function journalOf(
  unit: string,
  server: WebServerName,
  signal: AbortSignal,
): Promise<LogLine[]> {
  const { text, code } = await runs(
    ["journalctl", "-u", unit, "-n", String(JOURNAL_LINES), "-o", "short-unix", "--no-pager", "-q"],
    signal,
  );
  return code === 0 ? linesOf(text, server) : [];
}

/** A line without a time belongs to the one before it. */
export function linesOf(text: string, server: WebServerName): LogLine[] {
  let time: number | undefined;
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      time = timeOf(server, line) ?? time;
      return { time, text: line.slice(0, MOST_LINE) };
    });
}

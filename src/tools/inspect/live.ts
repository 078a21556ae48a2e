/** The list of requests for a screen: those that are open on top, then the newest. Pure. */
import { cut, duration } from "../../status/text.ts";
import type { Exchange } from "../capture/conversation.ts";
import { requestLine, titleLine } from "./view.ts";

/** A request and the connection that it came on. */
export interface Listed {
  readonly connection: number;
  readonly exchange: Exchange;
}

export interface LiveState {
  /** `unix:/a → unix:/b`. */
  readonly title: string;
  readonly startMs: number;
  readonly open: Iterable<Listed>;
  /** The newest last. */
  readonly ended: readonly Listed[];
  readonly requests: number;
  readonly failed: number;
  /** What was last said beside requests. */
  readonly notice: string | undefined;
}

/** Exactly `rows` lines of at most `width` columns. */
export function liveFrame(state: LiveState, width: number, rows: number, nowMs: number): string[] {
  const open = [...state.open];
  const { title, requests, failed, startMs, notice } = state;
  const lines = [
    `${title}   ${open.length} open, ${requests} ended, ${failed} failed, for ${duration(nowMs - startMs)}`,
    ...(notice === undefined ? [] : [notice]),
    titleLine(),
  ];
  const room = rows - lines.length - 1; // the last row is the footer
  // Half of the screen is for what is open, more when nothing else needs it.
  const openRows = Math.min(open.length, Math.max(Math.floor(room / 2), room - state.ended.length));
  for (const { connection, exchange } of open.slice(0, openRows)) {
    lines.push(requestLine(connection, exchange, nowMs));
  }
  const endedRows = Math.max(0, room - openRows);
  const newest = endedRows === 0 ? [] : state.ended.slice(-endedRows).reverse();
  for (const { connection, exchange } of newest) lines.push(requestLine(connection, exchange, nowMs));
  const shown = lines.slice(0, Math.max(0, rows - 1));
  while (shown.length < rows - 1) shown.push("");
  const hidden = open.length - openRows;
  shown.push(hidden > 0 ? `q quits; ${hidden} more open` : "q quits");
  return shown.map((line) => cut(line, width));
}

/** A recorded connection → its records and requests, and where it breaks. Pure. */
import { RecordType } from "../../protocol/records.ts";
import { Conversation, type Exchange, type Side } from "./conversation.ts";
import { type Broken, type CutRecord, RecordCutter } from "./cutter.ts";
import type { RecordedConnection, Step } from "./read.ts";

export interface Decoded {
  readonly name: string;
  readonly directions: readonly Direction[];
  readonly requests: readonly Exchange[];
}

/** What one side sent. */
export interface Direction {
  readonly side: Side;
  readonly bytes: number;
  readonly records: readonly CutRecord[];
  /** Offsets of eight zero bytes between two records, which mean nothing. */
  readonly blanks: readonly number[];
  /** Where it breaks; undefined when it is whole. */
  readonly broken: Broken | undefined;
}

/** A piece of a recording. */
export interface Piece {
  readonly side: Side;
  readonly bytes: Buffer;
  readonly atMs: number;
}

/** The bytes in the order in which they went by; the answers after the questions when that is not known. */
export function pieces(recording: RecordedConnection): Piece[] {
  const { webServer = Buffer.alloc(0), application = Buffer.alloc(0), steps } = recording;
  const taken: Record<Side, number> = { "web server": 0, application: 0 };
  const all: Readonly<Record<Side, Buffer>> = { "web server": webServer, application };
  const list: Piece[] = [];
  let atMs = 0;
  const take = ({ side, bytes, atMs: at }: Step): void => {
    const from = taken[side];
    const to = Math.min(from + bytes, all[side].length);
    taken[side] = to;
    atMs = at;
    if (to > from) list.push({ side, bytes: all[side].subarray(from, to), atMs });
  };
  for (const step of steps) take(step);
  for (const side of ["web server", "application"] as const) {
    take({ side, bytes: all[side].length - taken[side], atMs });
  }
  return list;
}

export function decode(recording: RecordedConnection): Decoded {
  const requests: Exchange[] = [];
  let nowMs = 0;
  const conversation = new Conversation(
    { onBegin: (exchange) => void requests.push(exchange) },
    { now: () => nowMs, bodies: true, isOneSided: recording.webServer === undefined },
  );
  const sides = (["web server", "application"] as const).filter((side) =>
    side === "web server" ? recording.webServer !== undefined : recording.application !== undefined,
  );
  const listed = sides.map((side) => ({ side, ...lister() }));
  for (const { side, bytes, atMs } of pieces(recording)) {
    nowMs = atMs;
    conversation.push(side, bytes);
    listed.find((one) => one.side === side)?.cutter.push(bytes);
  }
  const { endedBy, application } = recording;
  conversation.close(
    endedBy === undefined || application === undefined ? "open" : `closed by the ${endedBy}`,
  );
  return {
    name: recording.name,
    requests,
    directions: listed.map(({ side, records, blanks, cutter }) => ({
      side,
      bytes: cutter.bytes,
      records,
      blanks,
      broken: cutter.missing(),
    })),
  };
}

function lister(): { records: CutRecord[]; blanks: number[]; cutter: RecordCutter } {
  const records: CutRecord[] = [];
  const blanks: number[] = [];
  const cutter = new RecordCutter({
    onRecord: (record) => void records.push(record),
    onContent: () => {},
    onRecordEnd: () => {},
    onBlank: (offset) => void blanks.push(offset),
  });
  return { records, blanks, cutter };
}

/** Whether a record begins a request. */
export function isBegin({ type, requestId }: CutRecord): boolean {
  return type === RecordType.BeginRequest && requestId !== 0;
}

/**
 * A recorded connection → what is sent again, in which order. The bytes are those of the recording; what may move is when
 * they are sent: a request is begun when those have ended that had ended before it in the recording.
 */
import { Conversation, type Exchange } from "../capture/conversation.ts";
import { type CutRecord, RecordCutter } from "../capture/cutter.ts";
import { isBegin, pieces } from "../capture/decode.ts";
import type { RecordedConnection } from "../capture/read.ts";

/** Bytes to send, after these requests have ended. */
export interface Send {
  readonly bytes: Buffer;
  /** From the start of the recording, ms. */
  readonly atMs: number;
  /** By their ordinal; those of earlier steps are waited for already. */
  readonly after: readonly number[];
}

export interface Plan {
  readonly name: string;
  readonly sends: readonly Send[];
  /** The requests as they were recorded. */
  readonly requests: readonly Exchange[];
  /** Whether the answers were recorded too. */
  readonly hasAnswers: boolean;
  readonly isRedacted: boolean;
  /** The requests to wait for at the end, by their ordinal: the others were never answered. */
  readonly awaited: ReadonlySet<number>;
  readonly recordedMs: number;
}

export function planReplay(recording: RecordedConnection): Plan {
  const requests: Exchange[] = [];
  const hasAnswers = recording.application !== undefined;
  const ended: number[] = [];
  const waited = new Set<number>();
  const starts: number[][] = [];
  let nowMs = 0;
  const conversation = new Conversation(
    {
      onBegin(exchange) {
        // Without the answers: one after the other, but for those that the web server itself has interleaved.
        const before = hasAnswers ? ended : requests.filter(isComplete).map(({ ordinal }) => ordinal);
        starts.push(before.filter((ordinal) => !waited.has(ordinal)));
        for (const ordinal of before) waited.add(ordinal);
        if (hasAnswers) ended.length = 0;
        requests.push(exchange);
      },
      onEnd: ({ ordinal }) => void ended.push(ordinal),
    },
    { now: () => nowMs, bodies: true },
  );
  const sends: Send[] = [];
  let number = 0;
  for (const { side, bytes, atMs } of ordered(recording, hasAnswers)) {
    nowMs = atMs;
    conversation.push(side, bytes.bytes);
    if (side !== "web server") continue;
    const isStart = bytes.isStart;
    sends.push({ bytes: bytes.bytes, atMs, after: isStart ? (starts[number++] ?? []) : [] });
  }
  const isTheirs = hasAnswers && recording.endedBy === "application";
  // An application that hung up on a whole request has answered it in its way, and is given time to do so again.
  const isAwaited = (exchange: Exchange): boolean =>
    hasAnswers && exchange.ending !== "open" ? true : (!hasAnswers || isTheirs) && isComplete(exchange);
  const awaited = new Set(requests.filter(isAwaited).map(({ ordinal }) => ordinal));
  conversation.close(isTheirs ? "closed by the application" : "open");
  return {
    name: recording.name,
    sends,
    requests,
    hasAnswers,
    isRedacted: recording.isRedacted,
    awaited,
    recordedMs: nowMs,
  };
}

/** Only one request of a plan: its own records and no others, on a connection of its own. */
export function planOne(recording: RecordedConnection, ordinal: number): Plan {
  const whole = planReplay(recording);
  const wanted = whole.requests.find((exchange) => exchange.ordinal === ordinal);
  const bytes = recording.webServer ?? Buffer.alloc(0);
  const parts: Buffer[] = [];
  const records = recordsOf(bytes);
  let current = 0;
  for (const [at, record] of records.entries()) {
    if (isBegin(record) && ++current > ordinal && record.requestId === wanted?.id) break;
    if (current < ordinal || record.requestId !== wanted?.id) continue;
    parts.push(bytes.subarray(record.offset, records[at + 1]?.offset ?? bytes.length));
  }
  return {
    ...whole,
    requests: wanted === undefined ? [] : [wanted],
    sends: [{ bytes: Buffer.concat(parts), atMs: 0, after: [] }],
    awaited: new Set(whole.awaited.has(ordinal) ? [1] : []),
  };
}

function isComplete({ paramsEnded, stdinEnded, isAborted }: Exchange): boolean {
  return paramsEnded && stdinEnded && !isAborted;
}

interface Ordered {
  readonly side: "web server" | "application";
  readonly bytes: { readonly bytes: Buffer; readonly isStart: boolean };
  readonly atMs: number;
}

/** The pieces of a recording, those of the web server cut where a request begins. */
function ordered(recording: RecordedConnection, hasAnswers: boolean): Ordered[] {
  const all = recording.webServer ?? Buffer.alloc(0);
  const begins = recordsOf(all)
    .filter(isBegin)
    .map(({ offset }) => offset);
  const list: Ordered[] = [];
  let at = 0;
  let next = 0;
  for (const { side, bytes, atMs } of pieces(recording)) {
    if (side === "application") {
      if (hasAnswers) list.push({ side, bytes: { bytes, isStart: false }, atMs });
      continue;
    }
    const end = at + bytes.length;
    while (at < end) {
      const isStart = begins[next] === at;
      if (isStart) next++;
      const stop = Math.min(begins[next] ?? end, end);
      list.push({ side, bytes: { bytes: all.subarray(at, stop), isStart }, atMs });
      at = stop;
    }
  }
  return list;
}

function recordsOf(bytes: Buffer): CutRecord[] {
  const records: CutRecord[] = [];
  const cutter = new RecordCutter({
    onRecord: (record) => void records.push(record),
    onContent: () => {},
    onRecordEnd: () => {},
  });
  cutter.push(bytes);
  return records;
}

/** A decoded recording in words, and as an object. Pure. */
import { recordTypeName, roleName } from "../../protocol/records.ts";
import { ascii, counted, cut, printable } from "../../status/text.ts";
import { paramLines, requestObject, shownText, size, urlOf } from "../inspect/view.ts";
import { RecordFeed } from "../record-feed.ts";
import {
  type NotRecords,
  notRecordsLines,
  ParamsView,
  protocolStatusName,
  recordLines,
} from "../record-text.ts";
import type { Exchange } from "./conversation.ts";
import type { CutRecord } from "./cutter.ts";
import { type Decoded, type Direction, pieces } from "./decode.ts";
import type { RecordedConnection } from "./read.ts";
import { Blinder, isSecretHeader } from "./secrets.ts";
import { headerPairs } from "./sidecar.ts";

export interface DescribeOptions {
  readonly width: number;
  readonly withSecrets: boolean;
  /** Show what is in each record: as text, or in hex; else a list of records. */
  readonly content: "none" | "text" | "hex";
}

export function describeDecoded(
  recording: RecordedConnection,
  decoded: Decoded,
  options: DescribeOptions,
): string[] {
  const { width } = options;
  const lines = [printable(recording.name)];
  for (const { side, bytes, records, broken } of decoded.directions) {
    lines.push(`  from the ${side}: ${bytes} bytes, ${counted(records.length, "record")}`);
    if (broken !== undefined) lines.push(`  BROKEN, from the ${side}: ${printable(broken.says)}`);
  }
  if (recording.cut !== undefined) lines.push(`  cut short: ${printable(recording.cut)}`);
  if (recording.isRedacted) lines.push("  recorded without secrets: in their place are as many x's");
  if (options.content === "none")
    for (const direction of decoded.directions) lines.push(...recordList(direction));
  else lines.push(...contentLines(recording, options));
  for (const exchange of decoded.requests) lines.push(...requestLines(exchange, options, decoded));
  return lines.map((line) => cut(line, width));
}

/** The same for programs. */
export function decodedObject(decoded: Decoded, withSecrets: boolean): Record<string, unknown> {
  return {
    name: decoded.name,
    directions: decoded.directions.map(({ side, bytes, records, blanks, broken }) => ({
      from: side,
      bytes,
      records: records.map((record) => ({ ...record, type: recordTypeName(record.type) })),
      ...(blanks.length > 0 && { blanks }),
      broken: broken ?? null,
    })),
    requests: decoded.requests.map((exchange) => ({
      ...requestObject(exchange, { withSecrets, withParams: true }),
      stderr: exchange.stderr,
    })),
  };
}

function recordList({ side, records, blanks }: Direction): string[] {
  const lines = [`  records from the ${side}:`, "     number    offset  record"];
  let first: CutRecord | undefined;
  let repeat = 1;
  const flush = (): void => {
    if (first === undefined) return;
    const { number, offset, type, requestId, contentLength, paddingLength } = first;
    const padding = paddingLength > 0 ? `, ${paddingLength} of padding` : "";
    const times = repeat > 1 ? `  × ${repeat}` : "";
    const text = `${recordTypeName(type)} id ${requestId}  ${contentLength} bytes${padding}${times}`;
    lines.push(`  ${String(number).padStart(9)} ${String(offset).padStart(9)}  ${text}`);
  };
  for (const record of records) {
    if (first !== undefined && isAlike(first, record)) repeat++;
    else {
      flush();
      first = record;
      repeat = 1;
    }
  }
  flush();
  for (const offset of blanks)
    lines.push(`            ${String(offset).padStart(9)}  eight zero bytes, which mean nothing`);
  return lines;
}

function isAlike(one: CutRecord, other: CutRecord): boolean {
  return (
    one.type === other.type &&
    one.requestId === other.requestId &&
    one.contentLength === other.contentLength &&
    one.paddingLength === other.paddingLength
  );
}

/** Every record with what is in it, in the order in which they went by. */
function contentLines(
  recording: RecordedConnection,
  { content, withSecrets, width }: DescribeOptions,
): string[] {
  const lines: string[] = [];
  const view = new ParamsView();
  const shown = { hex: content === "hex", width: width - 2 };
  let nowMs = 0;
  const add = (more: readonly string[]): void => {
    for (const line of more) lines.push(`  ${line}`);
  };
  const feed = (towards: NotRecords["towards"]): RecordFeed =>
    new RecordFeed(
      {
        onRecord(record) {
          add(recordLines(record, shown));
          if (content === "text" && towards === "application") add(view.lines(record, shown.width));
        },
        onNotRecords: (seen) => add(notRecordsLines(seen, shown)),
      },
      { towards, now: () => nowMs },
    );
  const feeds = { "web server": feed("application"), application: feed("web server") };
  const blinders = { "web server": new Blinder(), application: new Blinder() };
  for (const { side, bytes, atMs } of pieces(recording)) {
    nowMs = atMs;
    feeds[side].push(withSecrets ? bytes : blinders[side].push(bytes));
  }
  feeds["web server"].end();
  feeds.application.end();
  return lines;
}

function requestLines(exchange: Exchange, options: DescribeOptions, { directions }: Decoded): string[] {
  const { id, ordinal, role, keepConn, params, paramsBytes, paramsEnded, head, ending } = exchange;
  const isAsked = directions.some(({ side }) => side === "web server");
  const isAnswered = directions.some(({ side }) => side === "application");
  const lines: string[] = [];
  if (isAsked) {
    const what =
      params === undefined ? "" : `: ${ascii(`${params.get("REQUEST_METHOD") ?? ""} ${urlOf(exchange)}`)}`;
    lines.push(
      `  request ${ordinal} (id ${id})${what}  ${roleName(role)}, ${keepConn ? "keep the connection" : "close the connection"}`,
    );
    const state = paramsEnded ? (params === undefined ? "malformed" : `${params.size}`) : "not complete";
    lines.push(`    parameters: ${state}, ${paramsBytes} bytes`);
    lines.push(...paramLines(exchange, options.withSecrets, options.width).map((line) => `  ${line}`));
    lines.push(
      `    stdin: ${exchange.stdinBytes} bytes, ${exchange.stdinEnded ? "complete" : "not complete"}${hashText(exchange.stdinBytes, exchange.stdinSha256)}`,
    );
    if (exchange.dataBytes > 0) lines.push(`    data: ${exchange.dataBytes} bytes`);
    if (exchange.isAborted) lines.push("    aborted by the web server");
  } else lines.push(`  request ${ordinal} (id ${id})`);
  if (!isAnswered) return lines;
  const status =
    head === undefined ? (exchange.headProblem ?? "no header block") : `${head.status} ${head.reason}`.trim();
  lines.push(
    `    answer: ${ascii(status)}, body ${exchange.bodyBytes} bytes${hashText(exchange.bodyBytes, exchange.bodySha256)}`,
  );
  for (const [name, value] of headerPairs(head?.headers ?? [])) {
    const isShown = options.withSecrets || !isSecretHeader(name);
    lines.push(`      ${ascii(name)}: ${shownText(value, isShown)}`);
  }
  for (const line of exchange.stderr.split("\n").filter((text) => text !== ""))
    lines.push(`    stderr: ${ascii(line)}`);
  const end =
    exchange.protocolStatus === undefined
      ? "without END_REQUEST"
      : `${ending}, app status ${exchange.appStatus ?? 0}, ${protocolStatusName(exchange.protocolStatus)}`;
  lines.push(`    ended: ${end}`);
  return lines;
}

function hashText(bytes: number, hash: string | undefined): string {
  if (bytes === 0 || hash === undefined) return "";
  const readable = bytes < 1024 ? "" : ` (${size(bytes)})`;
  return `${readable}, sha256 ${hash}`;
}

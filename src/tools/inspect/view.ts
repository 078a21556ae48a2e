/** Requests that a tap has seen, for people (a line each) and for programs (an object each). Pure. */
import { roleName } from "../../protocol/records.ts";
import { ascii, cut, pad } from "../../status/text.ts";
import type { Exchange } from "../capture/conversation.ts";
import { hidden, isSecretHeader, isSecretParam } from "../capture/secrets.ts";
import { headerPairs } from "../capture/sidecar.ts";

/** `12.3 ms`, `1.25 s`, `3m 20s`. */
export function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return "-";
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)}m ${Math.floor((ms % 60_000) / 1000)}s`;
}

/** `0`, `812 B`, `4.2 KB`, `64.0 MB`; a KB has 1024 bytes. */
export function size(bytes: number): string {
  if (bytes === 0) return "0";
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KB`;
  return bytes < 1024 ** 3 ? `${(bytes / 1024 ** 2).toFixed(1)} MB` : `${(bytes / 1024 ** 3).toFixed(2)} GB`;
}

/** What was asked for, as the web server names it. */
export function urlOf({ params }: Exchange): string {
  if (params === undefined) return "";
  const uri = params.get("REQUEST_URI");
  if (uri !== undefined && uri !== "") return uri;
  const query = params.get("QUERY_STRING");
  const path = `${params.get("SCRIPT_NAME") ?? ""}${params.get("PATH_INFO") ?? ""}`;
  return query === undefined || query === "" ? path : `${path}?${query}`;
}

/** `GET /news?id=1`, harmless. */
export function askedText(exchange: Exchange): string {
  if (exchange.params === undefined)
    return exchange.paramsEnded ? "(malformed parameters)" : "(parameters not seen)";
  const method = exchange.params.get("REQUEST_METHOD") ?? roleName(exchange.role);
  return ascii(`${method} ${urlOf(exchange)}`);
}

/** How it ended, in words. */
function endingText(exchange: Exchange): string {
  const { ending, appStatus, headProblem } = exchange;
  const problem = headProblem === undefined ? "" : ", malformed header";
  const status = appStatus === undefined || appStatus === 0 ? "" : `, app status ${appStatus}`;
  return `${ending}${problem}${status}`;
}

const COLUMNS = [
  ["time", 12, "right"],
  ["conn/id", 9, "right"],
  ["status", 6, "right"],
  ["first byte", 10, "left"],
  ["total", 10, "left"],
  ["in", 9, "left"],
  ["out", 9, "left"],
] as const;

/** The titles above {@link requestLine}. */
export function titleLine(): string {
  return `${COLUMNS.map(([title, width, side]) => pad(title, width, side)).join(" ")}  request`;
}

/** A request in one line; what is open shows its age. */
export function requestLine(connection: number, exchange: Exchange, nowMs: number): string {
  const { beginMs, firstByteMs, endMs, head, ending } = exchange;
  const cells = [
    clock(beginMs),
    `${connection}/${exchange.id}`,
    head === undefined ? "-" : String(head.status),
    milliseconds(firstByteMs === undefined ? undefined : firstByteMs - beginMs),
    milliseconds((endMs ?? nowMs) - beginMs),
    size(exchange.stdinBytes + exchange.dataBytes),
    size(exchange.stdoutBytes),
  ];
  const line = COLUMNS.map(([, width, side], at) => pad(cells[at] ?? "", width, side)).join(" ");
  const how =
    ending === "done" && endingText(exchange) === "done" ? "" : `  [${ascii(endingText(exchange))}]`;
  return `${line}  ${askedText(exchange)}${how}`;
}

/** Parameters, indented below their request. */
export function paramLines(exchange: Exchange, withSecrets: boolean, width: number): string[] {
  const lines: string[] = [];
  exchange.params?.each("", (name, value) => {
    lines.push(cut(`    ${ascii(name)}=${shownText(value, withSecrets || !isSecretParam(name))}`, width));
  });
  return lines;
}

/** One line of what the application wrote on STDERR. */
export function stderrLine(connection: number, { id }: Exchange, line: string): string {
  return `${" ".repeat(12)} ${pad(`${connection}/${id}`, 9, "right")} stderr: ${ascii(line)}`;
}

/** The whole of it, for programs. */
export function requestObject(
  exchange: Exchange,
  options: { readonly withSecrets: boolean; readonly withParams: boolean },
): Record<string, unknown> {
  const { beginMs, firstByteMs, endMs, head, params } = exchange;
  const { withSecrets } = options;
  return {
    id: exchange.id,
    request: exchange.ordinal,
    // Of an answer alone nobody knows it.
    role: exchange.role === 0 ? null : roleName(exchange.role),
    keepConnection: exchange.keepConn,
    method: params?.get("REQUEST_METHOD") ?? null,
    url: params === undefined ? null : urlOf(exchange),
    status: head?.status ?? null,
    ending: exchange.ending,
    aborted: exchange.isAborted,
    stdinBytes: exchange.stdinBytes,
    stdinComplete: exchange.stdinEnded,
    dataBytes: exchange.dataBytes,
    stdoutBytes: exchange.stdoutBytes,
    bodyBytes: exchange.bodyBytes,
    stderrBytes: exchange.stderrBytes,
    firstByteMs: firstByteMs === undefined ? null : rounded(firstByteMs - beginMs),
    durationMs: endMs === undefined ? null : rounded(endMs - beginMs),
    appStatus: exchange.appStatus ?? null,
    protocolStatus: exchange.protocolStatus ?? null,
    ...(exchange.headProblem !== undefined && { problem: exchange.headProblem }),
    ...(exchange.stdinSha256 !== undefined && { stdinSha256: exchange.stdinSha256 }),
    ...(exchange.bodySha256 !== undefined && { bodySha256: exchange.bodySha256 }),
    ...(options.withParams && {
      params:
        params === undefined
          ? []
          : [...params].map(([name, value]) => [name, shownParam(name, value, withSecrets)]),
      headers: head === undefined ? [] : shownHeaders(head.headers, withSecrets),
    }),
  };
}

/** As JSON in one line, in ASCII: nothing of it moves a cursor. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** A value as people see it, harmless. */
export function shownText(value: string, isShown: boolean): string {
  return isShown ? ascii(value) : hidden(value);
}

function shownParam(name: string, value: string, withSecrets: boolean): string {
  return withSecrets || !isSecretParam(name) ? value : hidden(value);
}

function shownHeaders(flat: readonly string[], withSecrets: boolean): [string, string][] {
  return headerPairs(flat).map(([name, value]) => [
    name,
    withSecrets || !isSecretHeader(name) ? value : hidden(value),
  ]);
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Of the local time: `23:25:01.123`. */
function clock(ms: number): string {
  const date = new Date(performance.timeOrigin + ms);
  const two = (number: number): string => String(number).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

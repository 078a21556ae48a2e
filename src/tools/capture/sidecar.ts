/**
 * The file beside the bytes of a recorded connection: what is in them, as JSON. The fields are those that the recordings
 * of real web servers have, so that both can be read by the same programs, and a few for what the application answered.
 * All text is latin1: one character is one byte.
 */
import { recordTypeName, roleName } from "../../protocol/records.ts";
import type { Exchange } from "./conversation.ts";
import type { CutRecord } from "./cutter.ts";

/** A record, or several equal ones in a row. */
export interface SidecarRecord {
  readonly type: string;
  readonly id: number;
  readonly len: number;
  readonly pad: number;
  repeat?: number;
}

export interface SidecarAnswer {
  readonly status: number | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly body_bytes: number;
  readonly body_sha256: string | null;
  readonly app_status: number | null;
  readonly protocol_status: number | null;
  readonly stderr: string;
}

export interface SidecarRequest {
  readonly id: number;
  readonly role: string;
  readonly keep_conn: boolean;
  readonly params: readonly (readonly [string, string])[];
  readonly params_bytes: number;
  readonly params_eof: boolean;
  readonly stdin_len: number;
  readonly stdin_sha256: string | null;
  readonly stdin_eof: boolean;
  readonly aborted?: boolean;
  /** How it ended, in words. */
  readonly ending?: string;
  readonly answer?: SidecarAnswer;
}

/** Something that happened, `t` ms from the start; `in` is from the web server, `out` from the application. */
export interface SidecarEvent {
  readonly t: number;
  readonly ev: string;
  n?: number;
  chunks?: number;
}

export interface SidecarConnection {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly reused_connection: boolean;
  readonly offset_in_connection: number;
  readonly records: readonly SidecarRecord[];
  readonly requests: readonly SidecarRequest[];
  readonly undecoded_tail: number;
  readonly timeline: readonly SidecarEvent[];
  /** What the application sent on it. */
  readonly out_file?: string;
  readonly out_bytes?: number;
  readonly out_sha256?: string;
  /** Why the recording ends before the connection did. */
  readonly cut?: string;
  /** Requests and records that are in the bytes and not listed here. */
  readonly left_out?: number;
}

export interface Sidecar {
  readonly server: string;
  readonly version: string;
  readonly mode: string;
  readonly mount: string;
  readonly note: string;
  readonly scenario: string;
  readonly http_request: string | null;
  readonly recorded_at?: string;
  /** Secrets were replaced by as many x's. */
  readonly redacted?: boolean;
  readonly fcgi_connections: readonly SidecarConnection[];
  readonly client: readonly unknown[];
}

/** Appends a record, or counts it with the one before. @returns whether the list is longer now */
export function foldRecord(list: SidecarRecord[], record: CutRecord): boolean {
  const type = recordTypeName(record.type);
  const { requestId: id, contentLength: len, paddingLength: pad } = record;
  const last = list.at(-1);
  if (last !== undefined && last.type === type && last.id === id && last.len === len && last.pad === pad) {
    last.repeat = (last.repeat ?? 1) + 1;
    return false;
  }
  list.push({ type, id, len, pad });
  return true;
}

/** A request as the sidecar has it. */
export function sidecarRequest(exchange: Exchange): SidecarRequest {
  const { head } = exchange;
  return {
    id: exchange.id,
    role: roleName(exchange.role).toUpperCase(),
    keep_conn: exchange.keepConn,
    params: exchange.params === undefined ? [] : [...exchange.params],
    params_bytes: exchange.paramsBytes,
    params_eof: exchange.paramsEnded,
    stdin_len: exchange.stdinBytes,
    stdin_sha256: exchange.stdinBytes > 0 ? (exchange.stdinSha256 ?? null) : null,
    stdin_eof: exchange.stdinEnded,
    ...(exchange.isAborted && { aborted: true }),
    ending: exchange.ending,
    answer: {
      status: head?.status ?? null,
      headers: head === undefined ? [] : headerPairs(head.headers),
      body_bytes: exchange.bodyBytes,
      body_sha256: exchange.bodyBytes > 0 ? (exchange.bodySha256 ?? null) : null,
      app_status: exchange.appStatus ?? null,
      protocol_status: exchange.protocolStatus ?? null,
      stderr: exchange.stderr,
    },
  };
}

/** `[name, value, name, value]` → `[[name, value], …]`. */
export function headerPairs(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at]!, flat[at + 1]!]);
  return pairs;
}

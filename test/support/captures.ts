/**
 * The recorded bytes of real web servers: which there are and what is in them.
 *
 * They lie outside the repository, in the folder POSTERN_CAPTURES names (by default `../shared/captures` beside
 * it). Without them their tests are skipped with one line saying so; with CI set that is a failure.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { notice } from "./notice.ts";
import { repositoryRoot } from "./paths.ts";

export interface CapturedRequest {
  readonly id: number;
  readonly role: "RESPONDER" | "AUTHORIZER" | "FILTER";
  readonly keep_conn: boolean;
  readonly stdin_len: number;
  readonly stdin_eof: boolean;
  readonly stdin_sha256: string | null;
  readonly params_eof: boolean;
  readonly params_bytes: number;
  /** In order, duplicates included, latin1. */
  readonly params: readonly (readonly [string, string])[];
  readonly aborted?: boolean;
}

export interface CapturedConnection {
  readonly file: string;
  readonly bytes: number;
  /** Of the uncompressed bytes. */
  readonly sha256: string;
  readonly reused_connection: boolean;
  readonly offset_in_connection: number;
  readonly records: readonly {
    readonly type: string;
    readonly id: number;
    readonly len: number;
    readonly pad: number;
    readonly repeat?: number;
    readonly role?: string;
    readonly flags?: number;
  }[];
  readonly requests: readonly CapturedRequest[];
  readonly undecoded_tail: number;
  readonly timeline: readonly Readonly<Record<string, unknown>>[];
}

/** A sidecar file: what was asked, what the web server wrote to the application, what the client got. */
export interface Sidecar {
  readonly server: string;
  readonly version: string;
  readonly mode: string;
  readonly mount: string;
  readonly note: string;
  readonly scenario: string;
  /** Latin1; absent or empty for scenarios of several steps. */
  readonly http_request?: string;
  readonly fcgi_connections: readonly CapturedConnection[];
  readonly client: readonly Readonly<Record<string, unknown>>[];
  readonly server_log?: readonly string[];
}

/** One capture. `sidecar` and `bytes` read the disk each time. */
export interface Capture {
  /** `nginx/doc-mounted-unix--delete`: unique, good as a test name. */
  readonly name: string;
  readonly folder: string;
  readonly mode: string;
  readonly scenario: string;
  sidecar(): Sidecar;
  /** The bytes of one of the sidecar's connections, decompressed. */
  bytes(connection: CapturedConnection): Buffer;
}

/** Where captures are looked for. */
export function capturesFolder(): string {
  return resolve(repositoryRoot, process.env["POSTERN_CAPTURES"] ?? "../shared/captures");
}

export function capturesAvailable(): boolean {
  return existsSync(join(capturesFolder(), "README.md"));
}

function load(folder: string, name: string): Buffer {
  const path = join(capturesFolder(), folder, name);
  if (existsSync(path)) return readFileSync(path);
  return gunzipSync(readFileSync(`${path}.gz`));
}

/** All captures with a sidecar and bytes, sorted by name; `wanted` picks some of them by that name. */
export function listCaptures(wanted: RegExp = /./): Capture[] {
  const captures: Capture[] = [];
  if (!capturesAvailable()) return captures;
  for (const entry of readdirSync(capturesFolder(), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const folder = entry.name;
    for (const file of readdirSync(join(capturesFolder(), folder))) {
      const parts = /^(.+?)--(.+)\.json$/.exec(file);
      // RESPONSES--*.json are tables of answers, not captures.
      if (!parts || parts[1] === "RESPONSES") continue;
      const name = `${folder}/${file.slice(0, -".json".length)}`;
      if (!wanted.test(name)) continue;
      captures.push({
        name,
        folder,
        mode: parts[1] ?? "",
        scenario: parts[2] ?? "",
        sidecar: () => JSON.parse(readFileSync(join(capturesFolder(), folder, file), "utf8")) as Sidecar,
        bytes: (connection) => load(folder, connection.file.replace(/\.gz$/, "")),
      });
    }
  }
  return captures.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `describe` for tests that need captures. Absent: one printed line and a skip, or a failure with CI set. */
export function describeCaptures(name: string, tests: () => void): void {
  if (capturesAvailable()) {
    describe(name, tests);
    return;
  }
  const why = `no captures in ${capturesFolder()}: set POSTERN_CAPTURES to their folder`;
  if (process.env["CI"]) {
    it(name, () => {
      throw new Error(why);
    });
    return;
  }
  notice(`skipped "${name}": ${why}`);
  describe.skip(name, tests);
}

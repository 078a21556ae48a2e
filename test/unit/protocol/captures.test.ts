/** Every recorded connection of every real web server means to the machine what its sidecar says. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { RemoteProtocolError } from "../../../src/base/errors.ts";
import { AppConnection } from "../../../src/protocol/app-connection.ts";
import type { AppRequest } from "../../../src/protocol/app-request.ts";
import { RecordWriter, SlabPool } from "../../../src/protocol/record-writer.ts";
import { WIDE } from "../../support/app-recorder.ts";
import {
  type CapturedRequest,
  capturesFolder,
  describeCaptures,
  type Sidecar,
} from "../../support/captures.ts";
import { cutAt, freshSeed, seededRandom } from "../../support/feed.ts";
import { notice } from "../../support/notice.ts";
import { decodeRecords, TYPE } from "../../support/records.ts";

const BYTE_BY_BYTE_BELOW = 20_000;
const ROLES = ["", "RESPONDER", "AUTHORIZER", "FILTER"];
const LOST = new RemoteProtocolError("ERR_POSTERN_ABORTED", "end of the capture", "connection");

interface Seen {
  id: number;
  role: string;
  keep_conn: boolean;
  params: [string, string][];
  stdin_len: number;
  stdin_sha256: string | null;
  stdin_eof: boolean;
  aborted: boolean;
}

/**
 * Runs chunks through a machine. Requests are ended with their input, as the recording application did, except
 * those that the web server then aborted: they are held until it does.
 */
function run(
  chunks: Iterable<Buffer>,
  expected: readonly CapturedRequest[],
): { seen: Seen[]; ended: number } {
  const seen: Seen[] = [];
  const writer = new RecordWriter(new SlabPool());
  const waiting = expected.filter((request) => request.params_eof);
  let isLost = false;
  const app = new AppConnection(
    { onRequest, onRefuse: (_, error) => expect.unreachable(error.message) },
    writer,
    WIDE,
  );

  function onRequest(
    request: AppRequest,
  ): ReturnType<ConstructorParameters<typeof AppConnection>[0]["onRequest"]> {
    const at = waiting.findIndex(({ id }) => id === request.id);
    const [captured] = waiting.splice(at, 1);
    const hash = createHash("sha256");
    const entry: Seen = {
      id: request.id,
      role: ROLES[request.role]!,
      keep_conn: request.keepConn,
      params: [...request.params],
      stdin_len: 0,
      stdin_sha256: null,
      stdin_eof: false,
      aborted: false,
    };
    seen.push(entry);
    return {
      onStdin(chunk, start, end) {
        entry.stdin_len += end - start;
        hash.update(chunk.subarray(start, end));
      },
      onStdinEnd() {
        entry.stdin_eof = true;
        if (entry.stdin_len > 0) entry.stdin_sha256 = hash.digest("hex");
        if (!captured?.aborted) app.end(request, 0, 0);
      },
      onData: () => expect.unreachable(),
      onDataEnd: () => expect.unreachable(),
      onAbort() {
        entry.aborted = !isLost;
        if (entry.stdin_len > 0 && !entry.stdin_eof) entry.stdin_sha256 = hash.digest("hex");
      },
    };
  }

  for (const chunk of chunks) app.receive(chunk);
  expect(app.isPartial).toBe(false);
  const { records } = decodeRecords(Buffer.concat(writer.take()));
  isLost = true;
  app.lose(LOST);
  return { seen, ended: records.filter((record) => record.type === TYPE.END_REQUEST).length };
}

/**
 * What the machine should report. An authorizer's STDIN is over whether or not its web server says so; Cherokee
 * 1.2.104 ends the STDIN of a chunked POST before its body, which is then no part of it.
 */
function wanted(requests: readonly CapturedRequest[], hasLateStdin: boolean): Seen[] {
  return requests
    .filter((request) => request.params_eof)
    .map(({ params_bytes: _, params_eof: __, aborted = false, ...request }) => ({
      ...request,
      params: request.params.map(([name, value]) => [name, value]),
      ...(hasLateStdin ? { stdin_len: 0, stdin_sha256: null } : {}),
      stdin_eof: request.stdin_eof || request.role === "AUTHORIZER",
      aborted,
    }));
}

function byId(list: readonly Seen[]): Seen[] {
  return [...list].sort((a, b) => a.id - b.id);
}

/** Every sidecar of a folder, whatever its name: the connections it describes, with their bytes. */
function sidecarsOf(folder: string): Sidecar[] {
  const path = join(capturesFolder(), folder);
  const files = readdirSync(path).filter((file) => file.endsWith(".json"));
  const sidecars = files.map(
    (file) => JSON.parse(readFileSync(join(path, file), "utf8")) as Partial<Sidecar>,
  );
  return sidecars.filter((sidecar): sidecar is Sidecar => sidecar.fcgi_connections !== undefined);
}

function bytesOf(folder: string, file: string): Buffer {
  const path = join(capturesFolder(), folder, file.replace(/\.gz$/, ""));
  return existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`));
}

describeCaptures("captures of real web servers", () => {
  const entries = readdirSync(capturesFolder(), { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() && entry.name !== "spawn")
    .map((entry) => entry.name);
  const counts = { connections: 0, requests: 0, byteByByte: 0, bytes: 0 };
  const seed = freshSeed();
  const random = seededRandom(seed);

  it.each(folders)(
    "%s: requests equal the sidecar's, however they are cut",
    (folder) => {
      for (const sidecar of sidecarsOf(folder)) {
        for (const connection of sidecar.fcgi_connections) {
          const bytes = bytesOf(folder, connection.file);
          const { requests } = connection;
          const incomplete = requests.filter((request) => !request.params_eof).length;
          const over = requests.filter(
            (one) => one.stdin_eof || one.aborted || one.role === "AUTHORIZER",
          ).length;
          const hasLateStdin = folder === "cherokee" && sidecar.scenario === "post-chunked";
          const check = (how: string, chunks: Iterable<Buffer>): void => {
            const { seen, ended } = run(chunks, requests);
            const name = `${folder}/${connection.file} ${how}`;
            expect({ name, requests: byId(seen) }).toEqual({
              name,
              requests: byId(wanted(requests, hasLateStdin)),
            });
            expect({ name, ended }).toEqual({ name, ended: over });
            expect(seen.length + incomplete).toBe(requests.length);
          };
          const isSmall = bytes.length < BYTE_BY_BYTE_BELOW;
          const most = 1 + Math.floor(random() * (isSmall ? bytes.length : 65536));
          const sizes = (function* (): Generator<number> {
            for (;;) yield isSmall ? 1 + Math.floor(random() * most) : 1000 + Math.floor(random() * most);
          })();
          check("whole", [bytes]);
          check(`at random cuts, POSTERN_SEED=${seed}`, cutAt(bytes, sizes));
          if (isSmall) {
            check(
              "byte by byte",
              Array.from(bytes, (byte) => Buffer.from([byte])),
            );
            counts.byteByByte++;
          }
          counts.connections++;
          counts.requests += requests.length;
          counts.bytes += bytes.length;
        }
      }
    },
    60_000,
  );

  it("were all there", () => {
    expect(counts.connections).toBeGreaterThan(0);
    const { connections, requests, byteByByte, bytes } = counts;
    notice(
      `captures: ${requests} requests in ${connections} connections (${bytes} bytes) of ${folders.length} web servers ` +
        `equal to their sidecars, ${byteByByte} connections byte by byte too`,
    );
  });
});

/**
 * Every recorded connection of every web server, replayed byte by byte as recorded through a real server over a
 * real socket, to three kinds of application. What the application saw is compared with the recorder's sidecar,
 * never with our own decoder; URLs with the rules of cgi/mount, which test/unit/cgi proves against what the HTTP
 * client had asked for.
 */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Application } from "../../src/adapters/app.ts";
import type { FastCGIRequest, FastCGIResponse } from "../../src/adapters/raw.ts";
import { fastcgi } from "../../src/adapters/side.ts";
import { absoluteUrl, resolveTarget } from "../../src/cgi/mount.ts";
import { Params } from "../../src/protocol/params.ts";
import {
  type Capture,
  type CapturedConnection,
  type CapturedRequest,
  describeCaptures,
  listCaptures,
} from "../support/captures.ts";
import { notice } from "../support/notice.ts";
import { decodeRecords, type TestRecord, TYPE } from "../support/records.ts";
import { patience, waitFor } from "../support/wait.ts";
import { startServer, type TestServer, type Wire } from "../support/wire.ts";

/** What an application saw of one request. */
interface Seen {
  readonly id: number;
  readonly role: string;
  readonly params: readonly (readonly [string, string])[];
  method: string;
  url: string;
  originalUrl: string;
  headers: Record<string, string> | undefined;
  bytes: number;
  sha256: string | undefined;
  aborted: boolean;
}

let seen: Seen[] = [];

function pairsOf(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < raw.length; at += 2) pairs.push([raw[at]!, raw[at + 1]!]);
  return pairs;
}

function notedBy(side: ReturnType<typeof fastcgi>): Seen {
  const note: Seen = {
    id: side.requestId,
    role: side.role,
    params: pairsOf(side.rawParams),
    method: "",
    url: "",
    originalUrl: "",
    headers: undefined,
    bytes: 0,
    sha256: undefined,
    aborted: false,
  };
  side.signal.addEventListener("abort", () => {
    note.aborted = true;
  });
  seen.push(note);
  return note;
}

/** Reads a body into its note; false when it did not come whole. */
async function readBody(note: Seen, body: AsyncIterable<Uint8Array>): Promise<boolean> {
  const hash = createHash("sha256");
  try {
    for await (const piece of body) {
      note.bytes += piece.length;
      hash.update(piece);
    }
  } catch {
    return false;
  }
  note.sha256 = hash.digest("hex");
  return true;
}

const raw = async (request: FastCGIRequest, response: FastCGIResponse): Promise<void> => {
  const note = notedBy(request);
  note.method = request.method;
  note.url = request.url;
  note.originalUrl = request.originalUrl;
  if (!(await readBody(note, request.stdin))) return;
  response.writeHead(200, { "Content-Type": "text/plain" }).end(note.sha256);
};

const applications: Readonly<Record<string, Application>> = {
  raw: { responder: { raw }, authorizer: raw, filter: raw },
  "Node listener": async (request, response) => {
    const note = notedBy(fastcgi(request));
    note.method = request.method!;
    note.url = request.url!;
    note.originalUrl = (request as unknown as { originalUrl: string }).originalUrl;
    note.headers = plain(request.headers);
    if (await readBody(note, request)) response.end(note.sha256);
  },
  fetch: {
    async fetch(request, context) {
      const note = notedBy(context);
      note.method = request.method;
      note.url = request.url;
      note.originalUrl = request.url;
      note.headers = Object.fromEntries(request.headers);
      const body = request.body ?? new Blob([]).stream();
      if (!(await readBody(note, body as unknown as AsyncIterable<Uint8Array>)))
        return new Response("cut", { status: 499 });
      return new Response(note.sha256!);
    },
  },
};

function plain(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

/** The answers on a connection in the order they ended; also checks that every record is one an application may send. */
function answersOn(wire: Wire): { id: number; records: TestRecord[]; stdout: string }[] {
  const { records, rest } = decodeRecords(wire.received);
  expect(rest.length).toBe(0);
  const open = new Map<number, TestRecord[]>();
  const answers: { id: number; records: TestRecord[]; stdout: string }[] = [];
  for (const record of records) {
    expect(record.version).toBe(1);
    if (record.id === 0) {
      expect(record.type).toBe(TYPE.GET_VALUES_RESULT); // HAProxy asks
      continue;
    }
    const own = open.get(record.id) ?? [];
    open.set(record.id, own);
    own.push(record);
    if (record.type !== TYPE.END_REQUEST) {
      expect(record.name).toBe("STDOUT");
      continue;
    }
    expect(record.content.length).toBe(8);
    const stdout = Buffer.concat(
      own.filter(({ type }) => type === TYPE.STDOUT).map(({ content }) => content),
    );
    answers.push({ id: record.id, records: own, stdout: stdout.toString("latin1") });
    open.delete(record.id);
  }
  expect(open.size).toBe(0);
  return answers;
}

/** Sends what was recorded. An id that is begun again waits for its answer, as the web server had. */
async function replay(wire: Wire, bytes: Buffer): Promise<void> {
  const begun = new Map<number, number>();
  let from = 0;
  let at = 0;
  for (const record of decodeRecords(bytes).records) {
    if (record.type === TYPE.BEGIN_REQUEST) {
      const times = begun.get(record.id) ?? 0;
      begun.set(record.id, times + 1);
      if (times > 0) {
        wire.send(bytes.subarray(from, at));
        from = at;
        const ended = (): number =>
          wire.records.filter(({ type, id }) => type === TYPE.END_REQUEST && id === record.id).length;
        await wire.until(() => ended() === times, `the answer to request ${record.id}`);
      }
    }
    at += 8 + record.content.length + record.padding;
  }
  wire.send(bytes.subarray(from));
}

const isRunnable = (request: CapturedRequest): boolean => request.params_eof && request.params.length > 0;
const isUpgrade = ({ params }: CapturedRequest): boolean =>
  params.some(([name]) => name === "HTTP_UPGRADE") &&
  params.some(([name, value]) => name === "CONTENT_LENGTH" && value === "0");
/** The peer went away in the middle of the body. */
const isCut = (request: CapturedRequest): boolean =>
  request.role !== "AUTHORIZER" && !request.stdin_eof && request.aborted !== true && !isUpgrade(request);

/** The headers that parameters stand for, worked out from the sidecar alone. */
function expectedHeaders(params: readonly (readonly [string, string])[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of params) {
    if (!name.startsWith("HTTP_")) continue;
    const header = name.slice(5).toLowerCase().replaceAll("_", "-");
    if (/^(proxy|content-type|content-length|transfer-encoding)$/.test(header)) continue;
    if (header === "host" || headers[header] === undefined) headers[header] = value;
    else headers[header] += (header === "cookie" ? "; " : ", ") + value;
  }
  const last = (name: string): string => params.findLast((pair) => pair[0] === name)?.[1] ?? "";
  const authorization = last("REDIRECT_HTTP_AUTHORIZATION");
  if (authorization !== "") headers["authorization"] ??= authorization;
  if (last("CONTENT_TYPE") !== "") headers["content-type"] = last("CONTENT_TYPE");
  if (/^\d+$/.test(last("CONTENT_LENGTH"))) headers["content-length"] = last("CONTENT_LENGTH");
  // Frameworks look for a body when there is a length or this; Caddy says it with -1.
  else if (last("CONTENT_LENGTH") === "-1" || last("HTTP_TRANSFER_ENCODING") === "chunked")
    headers["transfer-encoding"] = "chunked";
  return headers;
}

/** Cherokee ends the STDIN of a chunked upload, and only then sends it: such a body is empty. */
function bodyLength({ records }: CapturedConnection, request: CapturedRequest): number {
  const stdin = records.filter(({ type, id }) => type === "STDIN" && id === request.id);
  return stdin[0]?.len === 0 ? 0 : request.stdin_len;
}

const EMPTY = createHash("sha256").digest("hex");

function checkSeen(kind: string, request: CapturedRequest, bodyBytes: number, note: Seen): void {
  expect(note.role).toBe(request.role.toLowerCase());
  expect(note.params).toEqual(request.params);
  const params = Params.from(request.params);
  const target = resolveTarget(params);
  expect(note.method).toBe(request.params.findLast(([name]) => name === "REQUEST_METHOD")?.[1] ?? "GET");
  if (kind === "fetch") {
    expect(note.url).toBe(absoluteUrl(params, target));
  } else {
    expect(note.url).toBe(target.url);
    expect(note.originalUrl).toBe(target.originalUrl);
  }
  if (kind !== "raw") expect(note.headers).toEqual(fetchSpelling(kind, expectedHeaders(request.params)));
  if (request.aborted === true || isCut(request)) {
    expect(note.aborted).toBe(true);
    expect(note.bytes).toBeLessThanOrEqual(request.stdin_len);
  } else {
    expect(note.aborted).toBe(false);
    // What comes behind an upgrade request is no body, and a fetch GET has none by definition.
    const hasBody = !isUpgrade(request) && !(kind === "fetch" && /^(GET|HEAD)$/.test(note.method));
    const bytes = hasBody ? bodyBytes : 0;
    const sha256 = hasBody && bytes > 0 ? request.stdin_sha256 : EMPTY;
    expect([note.bytes, note.sha256]).toEqual([bytes, sha256]);
  }
}

/** `Headers` takes spaces off both ends of a value. */
function fetchSpelling(kind: string, headers: Record<string, string>): Record<string, string> {
  if (kind !== "fetch") return headers;
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.trim()]));
}

async function check(
  kind: string,
  server: TestServer,
  bytes: Buffer,
  connection: CapturedConnection,
): Promise<void> {
  const wire = await server.connect();
  try {
    await checkOn(wire, kind, bytes, connection);
  } finally {
    wire.destroy();
  }
}

async function checkOn(
  wire: Wire,
  kind: string,
  bytes: Buffer,
  connection: CapturedConnection,
): Promise<void> {
  seen = [];
  const { requests } = connection;
  await replay(wire, bytes);
  const expected = requests.filter((request) => !isCut(request));
  const ended = (): number => wire.records.filter(({ type }) => type === TYPE.END_REQUEST).length;
  await wire.until(() => ended() >= expected.length, `${expected.length} answers`);
  if (expected.length < requests.length) {
    await waitFor(() => seen.length === requests.filter(isRunnable).length, {
      what: "the cut request to be seen",
    });
    wire.socket.end(); // as the web server did
    await waitFor(() => seen.every((note) => note.aborted || note.sha256 !== undefined), {
      what: "the cut to be seen",
    });
  }
  // A connection ends by the flag alone: kept when every request said so.
  if (
    requests.length > 0 &&
    requests.every((request) => request.keep_conn) &&
    expected.length === requests.length
  ) {
    expect(wire.ended).toBe(false);
  } else if (requests.length > 0) {
    await wire.end();
  }
  const answers = answersOn(wire);
  expect(answers.map((answer) => answer.id).sort()).toEqual(expected.map((request) => request.id).sort());
  const runnable = requests.filter(isRunnable);
  expect(seen.map((note) => note.id)).toEqual(runnable.map((request) => request.id));
  for (const [index, request] of runnable.entries()) {
    const note = seen[index]!;
    checkSeen(kind, request, bodyLength(connection, request), note);
    if (isCut(request)) continue;
    const answer = answers[answers.findIndex(({ id }) => id === request.id)]!;
    answers.splice(answers.indexOf(answer), 1);
    if (request.aborted === true) continue;
    expect(answer.stdout).toMatch(/^Status: 200 OK\r\n/);
    const body = answer.stdout.slice(answer.stdout.indexOf("\r\n\r\n") + 4);
    expect(body).toBe(note.method === "HEAD" ? "" : note.sha256);
  }
}

describeCaptures("recorded connections, replayed", () => {
  const servers = new Map<string, TestServer>();
  beforeAll(async () => {
    for (const [kind, application] of Object.entries(applications))
      servers.set(kind, await startServer(application));
  });
  afterAll(async () => {
    for (const server of servers.values()) await server[Symbol.asyncDispose]();
  });

  const byFolder = new Map<string, Capture[]>();
  for (const capture of listCaptures())
    byFolder.set(capture.folder, [...(byFolder.get(capture.folder) ?? []), capture]);
  const count = { connections: 0, requests: 0, bytes: 0 };

  for (const [folder, captures] of byFolder) {
    for (const kind of Object.keys(applications)) {
      it(`${folder}: a ${kind} application sees what was recorded`, {
        timeout: patience(60_000),
      }, async () => {
        const server = servers.get(kind)!;
        for (const capture of captures) {
          for (const connection of capture.sidecar().fcgi_connections) {
            const bytes = capture.bytes(connection);
            if (kind === "raw") {
              count.connections++;
              count.bytes += bytes.length;
              count.requests += connection.requests.length;
            }
            // HTTP has no other roles.
            if (kind !== "raw" && connection.requests.some((request) => request.role !== "RESPONDER"))
              continue;
            server.log.clear();
            try {
              await check(kind, server, bytes, connection);
              expect(server.log.lines.filter((line) => line.level === "error")).toEqual([]);
              const hasShortBody = connection.requests.some(
                (request) => !request.stdin_eof || request.aborted,
              );
              const warnings = server.log.text.filter((text) => /^warn.*body/.test(text));
              if (!hasShortBody) expect(warnings).toEqual([]);
            } catch (error) {
              (error as Error).message =
                `${folder}/${connection.file}: ${(error as Error).message}\n${server.log.text.join("\n")}`;
              throw error;
            }
          }
        }
        await server.gone();
        expect(server.server.stats.openRequests).toBe(0);
      });
    }
  }

  it("replayed all of them", () => {
    const { connections, requests, bytes } = count;
    notice(
      `captures: ${connections} connections, ${requests} requests, ${(bytes / 1e6).toFixed(1)} MB, to ${servers.size} kinds of application`,
    );
    expect(connections).toBeGreaterThan(2700);
    expect(requests).toBeGreaterThan(2700);
  });
});

/** Asks an application over FastCGI, and says in one of a few words what came of it. Judges nothing. */
import { connect, type Socket } from "node:net";
import type { Address } from "../../base/address.ts";
import { PosternError } from "../../base/errors.ts";
import { FastCGIClient } from "../../client/index.ts";
import { sniff } from "../../protocol/sniff.ts";
import { beginRequest, stdoutOf } from "./raw-request.ts";

/** What came of one request. Times in ms. */
export type Answer =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** Names and values in turn. */
      readonly headers: readonly string[];
      /** Of the header block, as near as can be told. */
      readonly headBytes: number;
      readonly body: string;
      readonly stderr: string;
      readonly firstByteMs: number;
      readonly totalMs: number;
    }
  /** The connection could not be made: an error of the system, by its code. */
  | { readonly kind: "unconnected"; readonly code: string; readonly message: string }
  /** It speaks something else: what, and the first byte. */
  | { readonly kind: "stranger"; readonly name: string; readonly byte: number; readonly message: string }
  /** The connection ended without a header block. */
  | { readonly kind: "closed"; readonly message: string; readonly stderr: string }
  /** It ended in the middle of the body. */
  | { readonly kind: "cut"; readonly status: number; readonly message: string; readonly stderr: string }
  /** Nothing came in time. */
  | { readonly kind: "silent"; readonly stderr: string; readonly waitedMs: number }
  /** OVERLOADED and its like. */
  | { readonly kind: "refused"; readonly message: string }
  /** What came first is no header block. `seen`: its beginning. */
  | { readonly kind: "malformed"; readonly message: string; readonly seen: string; readonly stderr: string };

export interface Question {
  /** Path and query. */
  readonly target: string;
  readonly patienceMs: number;
  readonly host?: string;
}

/** Bytes of a body and of STDERR that are kept. */
const MOST_KEPT = 16 * 1024;

/** Sends one GET. @param signal its abort counts as silence */
export async function askFor(address: Address, question: Question, signal: AbortSignal): Promise<Answer> {
  const started = performance.now();
  let stderr = "";
  const waited = (): number => Math.round(performance.now() - started);
  let status: number | undefined;
  let client: FastCGIClient | undefined;
  try {
    client = new FastCGIClient({
      connect: address,
      keepConn: false,
      connectTimeoutMs: question.patienceMs,
      timeoutMs: question.patienceMs,
      abortTimeoutMs: 100,
    });
    const response = await client.request({
      params: paramsOf(question),
      signal,
      onStderr: (piece) => {
        if (stderr.length < MOST_KEPT) stderr += piece.toString("utf8");
      },
    });
    status = response.status;
    const firstByteMs = waited();
    let body = "";
    for await (const piece of response.body as AsyncIterable<Buffer>) {
      if (body.length < MOST_KEPT) body += piece.toString("utf8");
    }
    await response.ended;
    const { headers } = response;
    return {
      kind: "answered",
      status,
      headers,
      headBytes: bytesOf(headers, response.statusText),
      body: body.slice(0, MOST_KEPT),
      stderr,
      firstByteMs,
      totalMs: waited(),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof PosternError ? error.code : undefined;
    if (code === "ERR_POSTERN_CONNECT") return { kind: "unconnected", code: systemCode(error), message };
    if (code === "ERR_POSTERN_ADDRESS") return { kind: "unconnected", code: "EINVAL", message };
    if (code === "ERR_POSTERN_NOT_FASTCGI") return await strangerAt(address, message);
    if (code === "ERR_POSTERN_REQUEST_REFUSED") return { kind: "refused", message };
    if (signal.aborted || code === "ERR_POSTERN_CLIENT_TIMEOUT") {
      return { kind: "silent", stderr, waitedMs: waited() };
    }
    if (status !== undefined) return { kind: "cut", status, message, stderr };
    if (code === "ERR_POSTERN_RESPONSE_MALFORMED") {
      const seen = await rawBeginning(address, question).catch(() => "");
      return { kind: "malformed", message, seen, stderr };
    }
    return { kind: "closed", message, stderr };
  } finally {
    client?.destroy();
  }
}

/** Whether it answers GET_VALUES: some application of FastCGI is awake there. Never fails. */
export async function knowsValues(address: Address, signal: AbortSignal): Promise<boolean> {
  let client: FastCGIClient | undefined;
  const cancel = (): void => client?.destroy();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    client = new FastCGIClient({ connect: address });
    await client.getValues();
    return true;
  } catch {
    return false;
  } finally {
    signal.removeEventListener("abort", cancel);
    client?.destroy();
  }
}

/** A GET as nginx would send it. */
function paramsOf({ target, host = "localhost" }: Question): Record<string, string> {
  const [path = "/", query = ""] = target.split(/\?(.*)/s, 2);
  return {
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_SOFTWARE: "postern-doctor",
    SERVER_PROTOCOL: "HTTP/1.1",
    SERVER_NAME: host,
    SERVER_ADDR: "127.0.0.1",
    SERVER_PORT: "80",
    REMOTE_ADDR: "127.0.0.1",
    REMOTE_PORT: "0",
    REQUEST_METHOD: "GET",
    REQUEST_SCHEME: "http",
    REQUEST_URI: target,
    DOCUMENT_URI: decoded(path),
    SCRIPT_NAME: "",
    PATH_INFO: decoded(path),
    QUERY_STRING: query,
    CONTENT_TYPE: "",
    CONTENT_LENGTH: "",
    HTTP_HOST: host,
    HTTP_USER_AGENT: "postern-doctor",
    HTTP_ACCEPT: "*/*",
  };
}

function decoded(path: string): string {
  try {
    return Buffer.from(decodeURIComponent(path)).toString("latin1");
  } catch {
    return path;
  }
}

function bytesOf(headers: readonly string[], reason: string): number {
  let bytes = "Status: 200 \r\n\r\n".length + reason.length;
  // ": " behind each name, CR LF behind each value.
  for (const text of headers) bytes += text.length + 2;
  return bytes;
}

function systemCode(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause;
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  const code = (first as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

const PROBE_MS = 2000;

/** The first bytes that a stranger sends, on its own or when it is spoken to in FastCGI. */
async function strangerAt(address: Address, message: string): Promise<Answer> {
  const bytes = await firstBytesOf(address, Buffer.from("0109000000000000", "hex")).catch(() =>
    Buffer.alloc(0),
  );
  const known = sniff(bytes);
  return { kind: "stranger", name: known?.name ?? "something else", byte: bytes[0] ?? 0, message };
}

/** What an application writes to STDOUT first, asked once more. */
async function rawBeginning(address: Address, question: Question): Promise<string> {
  const bytes = await firstBytesOf(address, beginRequest(paramsOf(question)));
  return stdoutOf(bytes).toString("utf8").slice(0, 400);
}

/** Sends bytes, and collects what comes until the peer ends or a moment has passed. */
export function firstBytesOf(address: Address, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(address);
    const pieces: Buffer[] = [];
    let count = 0;
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(Buffer.concat(pieces));
    };
    const timer = setTimeout(done, PROBE_MS);
    socket.on("connect", () => socket.write(bytes));
    socket.on("data", (piece: Buffer) => {
      pieces.push(piece);
      count += piece.length;
      if (count > MOST_KEPT) done();
    });
    socket.on("close", done);
    socket.on("error", (error) => {
      if (count > 0) return;
      clearTimeout(timer);
      reject(error);
    });
  });
}

function openSocket(address: Address): Socket {
  if (address.kind === "tcp") return connect({ host: address.host || "localhost", port: address.port });
  if (address.kind === "abstract") return connect({ path: `\0${address.name}` });
  if (address.kind === "unix") return connect({ path: address.path });
  throw new Error(`${address.kind} cannot be connected to`);
}

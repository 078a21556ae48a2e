/**
 * HTTP clients for tests: `request` for the ordinary case, and `connectHttp` for everything else, which is a plain
 * socket that remembers when which bytes came, and can hang up in the ways browsers do.
 * Neither changes a byte of the request target: `//`, `..` and `%2F` arrive as written.
 */
import http from "node:http";
import net from "node:net";
import { patience, waitFor } from "./wait.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly statusText: string;
  /** Lower-case names; values of repeated headers joined as node:http does. */
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** The body as UTF-8. */
  readonly text: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  /** @default 10000 */
  readonly timeoutMs?: number;
}

/** One request on a connection of its own. */
export function request(url: string, options: RequestOptions = {}): Promise<HttpAnswer> {
  const { host, port, target } = splitUrl(url);
  return new Promise((resolve, reject) => {
    const outgoing = http.request(
      {
        host,
        port,
        path: target,
        agent: false,
        method: options.method ?? (options.body === undefined ? "GET" : "POST"),
        // A length and no chunking, unless the test wants it otherwise.
        headers: {
          ...(options.body === undefined ? {} : { "Content-Length": Buffer.byteLength(options.body) }),
          ...options.headers,
        },
      },
      (incoming) => {
        const pieces: Buffer[] = [];
        incoming.on("data", (piece: Buffer) => pieces.push(piece));
        incoming.once("error", reject);
        incoming.once("end", () => {
          const body = Buffer.concat(pieces);
          resolve({
            status: incoming.statusCode ?? 0,
            statusText: incoming.statusMessage ?? "",
            headers: incoming.headers,
            rawHeaders: incoming.rawHeaders,
            body,
            text: body.toString("utf8"),
          });
        });
      },
    );
    const timeoutMs = patience(options.timeoutMs ?? 10_000);
    outgoing.setTimeout(timeoutMs, () =>
      outgoing.destroy(new Error(`no answer from ${url} within ${timeoutMs} ms`)),
    );
    outgoing.once("error", reject);
    outgoing.end(options.body);
  });
}

export interface Arrival {
  /** Milliseconds since the connection was made. */
  readonly atMs: number;
  readonly bytes: Buffer;
}

/** A raw HTTP/1.1 connection. */
export interface HttpConnection {
  readonly socket: net.Socket;
  /** Every read, in order. */
  readonly arrivals: readonly Arrival[];
  /** How it ended: `end` (the server finished), `reset` (an error), or undefined while it is open. */
  readonly ended: "end" | "reset" | undefined;
  /** Milliseconds since the connection was made. */
  nowMs(): number;
  /** Everything received, latin1. */
  text(): string;
  received(): Buffer;
  /** Settles when the bytes are handed to the kernel, so that a slow reader at the other end is noticed. */
  send(data: string | Uint8Array): Promise<void>;
  /** Waits until the received text matches. */
  waitForText(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Waits until the server closes, and gives everything received, latin1. */
  waitForEnd(timeoutMs?: number): Promise<string>;
  /** The next whole response of this connection. `headOnly` for an answer to HEAD. */
  nextResponse(options?: { readonly headOnly?: boolean; readonly timeoutMs?: number }): Promise<RawResponse>;
  /** Half-close: we send nothing more and still read. */
  end(): void;
  /** Hang up with a RST, as a browser does that is closed in the middle. */
  reset(): void;
  /** Stop reading, until {@link HttpConnection.resume}: the slow reader. */
  pause(): void;
  resume(): void;
  close(): void;
}

export interface RawResponse {
  readonly status: number;
  readonly statusLine: string;
  /** In order, names as sent. */
  readonly headers: readonly (readonly [string, string])[];
  /** All values of one header, in order. */
  header(name: string): string[];
  /** With the transfer coding taken off. */
  readonly body: Buffer;
  /** False when the connection ended before the body was complete. */
  readonly complete: boolean;
}

/** Opens a connection to the host and port of `url`, or to a net address. */
export async function connectHttp(to: string | net.NetConnectOpts): Promise<HttpConnection> {
  const options = typeof to === "string" ? splitUrl(to) : to;
  const socket = net.connect({ ...options, allowHalfOpen: true } as net.NetConnectOpts);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.setNoDelay(true);
  const startedMs = performance.now();
  const arrivals: Arrival[] = [];
  let ended: "end" | "reset" | undefined;
  let consumedBytes = 0;
  socket.on("data", (bytes) =>
    arrivals.push({ atMs: performance.now() - startedMs, bytes: bytes as Buffer }),
  );
  socket.once("end", () => {
    ended ??= "end";
  });
  socket.on("error", () => {
    ended ??= "reset";
  });
  const received = (): Buffer => Buffer.concat(arrivals.map((arrival) => arrival.bytes));
  const text = (): string => received().toString("latin1");
  const connection: HttpConnection = {
    socket,
    arrivals,
    get ended() {
      return ended;
    },
    nowMs: () => performance.now() - startedMs,
    text,
    received,
    send: (data) =>
      new Promise((resolve, reject) => {
        socket.write(data, (error) => (error ? reject(error) : resolve()));
      }),
    waitForText: (pattern, timeoutMs = 5000) =>
      waitFor(() => pattern.exec(text()), {
        timeoutMs,
        what: `${pattern} from the server`,
        evidence: () => `received (${ended ?? "open"}):\n${text().slice(-2000)}`,
      }) as Promise<RegExpExecArray>,
    async waitForEnd(timeoutMs = 5000) {
      await waitFor(() => ended, {
        timeoutMs,
        what: "the server to close",
        evidence: () => text().slice(-2000),
      });
      return text();
    },
    async nextResponse(wait = {}) {
      const parsed = await waitFor(
        () => parseResponse(received().subarray(consumedBytes), ended !== undefined, wait.headOnly ?? false),
        {
          timeoutMs: wait.timeoutMs ?? 5000,
          what: "a whole HTTP response",
          evidence: () => `received (${ended ?? "open"}):\n${text().slice(-2000)}`,
        },
      );
      consumedBytes += parsed.sizeBytes;
      return parsed.response;
    },
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    close: () => void socket.destroy(),
  };
  return connection;
}

/** Reads one response; undefined while more bytes may complete it. A wrong response throws. */
function parseResponse(
  bytes: Buffer,
  isEnded: boolean,
  headOnly: boolean,
): { response: RawResponse; sizeBytes: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) {
    if (isEnded)
      throw new Error(
        `the server closed without a response head: ${JSON.stringify(bytes.toString("latin1"))}`,
      );
    return undefined;
  }
  const [statusLine = "", ...headerLines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
  if (!status) throw new Error(`not a status line: ${statusLine}`);
  const headers = headerLines.map((line): readonly [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const header = (name: string): string[] =>
    headers.flatMap(([key, value]) => (key.toLowerCase() === name.toLowerCase() ? [value] : []));
  const rest = bytes.subarray(headEnd + 4);
  const done = (
    body: Buffer,
    sizeBytes: number,
    complete: boolean,
  ): { response: RawResponse; sizeBytes: number } => ({
    response: { status, statusLine, headers, header, body, complete },
    sizeBytes: headEnd + 4 + sizeBytes,
  });
  if (headOnly || status === 204 || status === 304 || (status >= 100 && status < 200))
    return done(Buffer.alloc(0), 0, true);
  if (/chunked/i.test(header("transfer-encoding").join())) {
    const { body, sizeBytes, complete } = dechunk(rest);
    return complete || isEnded ? done(body, sizeBytes, complete) : undefined;
  }
  const length = header("content-length")[0];
  if (length !== undefined) {
    const wanted = Number(length);
    if (rest.length >= wanted) return done(rest.subarray(0, wanted), wanted, true);
    return isEnded ? done(rest, rest.length, false) : undefined;
  }
  return isEnded ? done(rest, rest.length, true) : undefined;
}

function dechunk(bytes: Buffer): { body: Buffer; sizeBytes: number; complete: boolean } {
  const pieces: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) break;
    const line = bytes.toString("latin1", at, lineEnd);
    const size = Number.parseInt(line, 16);
    if (Number.isNaN(size)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    const content = lineEnd + 2;
    if (size === 0) {
      // No trailers are expected from the servers we test with.
      const complete = bytes.length >= content + 2;
      return { body: Buffer.concat(pieces), sizeBytes: content + 2, complete };
    }
    if (bytes.length < content + size + 2) {
      pieces.push(bytes.subarray(content, content + size));
      break;
    }
    pieces.push(bytes.subarray(content, content + size));
    at = content + size + 2;
  }
  return { body: Buffer.concat(pieces), sizeBytes: bytes.length, complete: false };
}

/** The target as written: `new URL` would mend the very paths that tests are about. */
function splitUrl(url: string): { host: string; port: number; target: string } {
  const parts = /^http:\/\/(\[[^\]]+\]|[^/:?#]+)(?::(\d+))?([/?][^#]*)?$/.exec(url);
  if (!parts) throw new Error(`not a plain http URL: ${url}`);
  const target = parts[3] ?? "/";
  return {
    host: (parts[1] ?? "").replace(/^\[|\]$/g, ""),
    port: Number(parts[2] ?? 80),
    target: target.startsWith("?") ? `/${target}` : target,
  };
}

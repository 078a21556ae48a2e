/** One request and its answer, on a connection of its own. */
import { type Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Pair } from "../../cgi/from-http.ts";
import { FastCGIClient } from "../../client/client.ts";
import type { RequestInput } from "../../client/options.ts";
import type { ClientResponse, RequestEnd } from "../../client/response.ts";
import { CurlExit, CurlFailure } from "./exit.ts";
import type { CurlOptions } from "./options.ts";
import type { Watch } from "./watch.ts";

/** What is sent. */
export interface Sent {
  readonly params: readonly Pair[];
  readonly stdin: RequestInput | undefined;
  readonly data: RequestInput | undefined;
}

/** Hears of the answer as it comes. */
export interface TransferEvents {
  onInterim(status: number, headers: readonly string[]): void;
  onStderr(chunk: Buffer): void;
  /** The final head; what it returns takes the body, undefined drops it. */
  onHead(response: ClientResponse): Promise<((piece: Buffer) => Promise<void>) | undefined>;
}

/** Sends, and receives to the end. @throws what the client throws, {@link CurlFailure} of the events */
export async function transfer(
  options: CurlOptions,
  sent: Sent,
  watch: Watch,
  signal: AbortSignal,
  events: TransferEvents,
): Promise<RequestEnd> {
  const client = new FastCGIClient(
    {
      connect: options.connect,
      keepConn: options.keepAlive,
      connectTimeoutMs: options.connectTimeoutMs,
      timeoutMs: 0, // as curl: only --max-time ends a transfer
    },
    { onRoom() {}, onClosed() {}, tap: watch, isOutspoken: true },
  );
  try {
    const response = await client.request({
      params: sent.params,
      role: options.role,
      stdin: sent.stdin,
      data: sent.data,
      signal,
      onStderr: (chunk) => events.onStderr(chunk),
      onInterim: (status, headers) => events.onInterim(status, headers),
    });
    const take = await events.onHead(response);
    await receive(response, take, options.isCompressed);
    return await response.ended;
  } finally {
    // An aborted request on a kept connection has a moment to be ended by the application.
    if (signal.aborted && options.keepAlive) await client.close();
    client.destroy();
    watch.end();
  }
}

async function receive(
  response: ClientResponse,
  take: ((piece: Buffer) => Promise<void>) | undefined,
  isCompressed: boolean,
): Promise<void> {
  const body: Readable = response.body;
  const decoders = isCompressed && take !== undefined ? decodersOf(response) : [];
  try {
    await pipeline([
      body,
      ...decoders,
      new Writable({
        write(piece: Buffer, _encoding, done) {
          if (take === undefined) done();
          else take(piece).then(() => done(), done);
        },
      }),
    ]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!/^(?:Z_|ERR_BROTLI|ERR__ERROR_FORMAT|ERR_PADDING)/.test(code ?? "")) throw error;
    const message = `the body is not what its Content-Encoding says (${response.header("content-encoding")}): ${(error as Error).message}`;
    throw new CurlFailure(CurlExit.BadEncoding, message, { cause: error });
  }
}

/** What undoes Content-Encoding, the last coding first. */
function decodersOf(response: ClientResponse): NodeJS.ReadWriteStream[] {
  const codings = response
    .headerValues("content-encoding")
    .join(",")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity");
  return codings.reverse().map((coding) => {
    switch (coding) {
      case "gzip":
      case "x-gzip":
        return createGunzip();
      case "deflate":
        return createInflate();
      case "br":
        return createBrotliDecompress();
      default:
        throw new CurlFailure(
          CurlExit.BadEncoding,
          `the body is encoded as ${coding}, which was not asked for and cannot be decoded`,
        );
    }
  });
}

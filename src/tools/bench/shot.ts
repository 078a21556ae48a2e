/**
 * Flags → the request that a load repeats. `postern curl` makes it, so that a benchmark asks what curl asks; only what
 * the two sides need of it is kept.
 */
import { Readable } from "node:stream";
import type { Body } from "../curl/body.ts";
import type { CurlOptions } from "../curl/options.ts";
import { firstStep, headersOf, paramsOf } from "../curl/request.ts";
import type { Shot } from "./exchange.ts";

/** What is asked, as flags say it; as in `postern curl`. */
export interface ShotOptions {
  /** URL or path. */
  readonly url: string;
  readonly method: string | undefined;
  readonly headers: readonly string[];
  /** Text, or `@file`. */
  readonly data: string | undefined;
  /** A body of this many bytes instead. */
  readonly bodyBytes: number | undefined;
  readonly user: string | undefined;
  readonly params: readonly string[];
  readonly scriptFilename: string | undefined;
  readonly root: string | undefined;
  readonly mount: string | undefined;
  readonly software: string;
}

/** @throws {CurlFailure} */
export async function shotOf(options: ShotOptions, keepAlive: boolean): Promise<Shot> {
  const generated = options.bodyBytes === undefined ? undefined : generatedBody(options.bodyBytes);
  const curl = curlOptions(options, keepAlive);
  const step = await firstStep(curl, () => Readable.from([]));
  const method = generated !== undefined && options.method === undefined ? "POST" : step.method;
  const bytes = generated ?? (step.body === undefined ? undefined : await bytesOf(step.body));
  const body: Body | undefined = bytes && {
    length: bytes.length,
    contentType: generated === undefined ? step.body?.contentType : "application/octet-stream",
    isReplayable: true,
    open: () => bytes,
  };
  const whole = { url: step.url, method, body };
  return {
    method,
    params: paramsOf(curl, whole),
    target: step.url.uri,
    headers: headersOf(curl, step.url, body),
    body: bytes,
  };
}

/** Bytes that are neither text nor all the same, so that nobody compresses them away. */
function generatedBody(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

async function bytesOf(body: Body): Promise<Buffer> {
  const input = body.open();
  if (input instanceof Uint8Array) return Buffer.from(input);
  if (typeof input === "string") return Buffer.from(input);
  const pieces: Buffer[] = [];
  for await (const piece of input as AsyncIterable<Uint8Array | string>)
    pieces.push(Buffer.from(piece as Uint8Array));
  return Buffer.concat(pieces);
}

function curlOptions(options: ShotOptions, keepAlive: boolean): CurlOptions {
  const { url, method, headers, data, user, params, scriptFilename, root, mount, software } = options;
  return {
    url,
    connect: "",
    role: "responder",
    headers,
    data: data === undefined ? [] : [{ kind: "binary", text: data }],
    form: [],
    isGet: false,
    isHead: method === "HEAD",
    cookies: [],
    isCompressed: false,
    isPathAsIs: false,
    follow: false,
    maxRedirects: 0,
    withHead: false,
    remoteName: false,
    fail: false,
    failWithBody: false,
    verbose: false,
    silent: false,
    showError: false,
    trace: false,
    traceHex: false,
    dryRun: false,
    maxTimeMs: 0,
    connectTimeoutMs: 0,
    params,
    withoutParams: [],
    index: "index.php",
    isHttps: false,
    keepAlive,
    software,
    ...(method !== undefined && { method }),
    ...(user !== undefined && { user }),
    ...(scriptFilename !== undefined && { scriptFilename }),
    ...(root !== undefined && { root }),
    ...(mount !== undefined && { mount }),
  };
}

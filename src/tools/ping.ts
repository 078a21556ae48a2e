/**
 * Is a FastCGI application well? One question on a connection of its own, with a deadline: a request for a path, or
 * GET_VALUES, which any library should answer without the application. Never throws for what an application does.
 */
import { PosternError, SettingError } from "../base/errors.ts";
import { paramsFromHttp, parseTarget } from "../cgi/from-http.ts";
import { FastCGIClient } from "../client/client.ts";
import type { ClientOptions } from "../client/options.ts";
import type { ApplicationValues } from "../client/values.ts";
import { speaksTls } from "./speaks-tls.ts";

/** What is asked. */
export interface PingOptions {
  readonly connect: string;
  /** Ask for this path; without it GET_VALUES. */
  readonly path?: string;
  /** SCRIPT_NAME of that request. @default the path, as php-fpm wants it */
  readonly scriptName?: string;
  /** @default "php-fpm", which takes the path for a script */
  readonly scriptFilename?: string;
  /** Milliseconds for all of it. */
  readonly deadlineMs: number;
  /** What a healthy answer is: a status from 100 to 999, or what the body holds. @default any status below 400 */
  readonly expect?: string;
  /** SERVER_SOFTWARE, such as `postern/1.0`. */
  readonly software: string;
}

/**
 * `well`; `unwell`: it answers, and not as it should; `unreachable`: nobody listens, or it is not allowed; `late`;
 * `stranger`: something else listens there.
 */
export type PingVerdict = "well" | "unwell" | "unreachable" | "late" | "stranger";

export interface PingResult {
  readonly verdict: PingVerdict;
  /** One sentence without its full stop. */
  readonly says: string;
  readonly ms: number;
  readonly status: number | undefined;
  /** The first bytes of the body. */
  readonly body: string | undefined;
  readonly values: ApplicationValues | undefined;
}

/** Bytes of a body that are looked at. */
const BODY_BYTES = 4096;

/** @throws {SettingError} for an address, path or expectation that cannot be used */
export async function ping(options: PingOptions): Promise<PingResult> {
  const { connect, deadlineMs } = options;
  const clientOptions: ClientOptions = {
    connect,
    keepConn: false,
    connectTimeoutMs: deadlineMs,
    timeoutMs: 0,
    abortTimeoutMs: 1,
  };
  const client = new FastCGIClient(clientOptions, { onRoom() {}, onClosed() {}, isOutspoken: true });
  const request = options.path === undefined ? undefined : requestFor(options, options.path);
  const controller = new AbortController();
  const startedAt = performance.now();
  const timer = setTimeout(() => {
    controller.abort(new Late());
    client.destroy(new LateConnection());
  }, deadlineMs);
  const done = (result: Omit<PingResult, "ms">): PingResult => ({
    ...result,
    ms: performance.now() - startedAt,
  });
  try {
    if (request === undefined) {
      const values = await client.getValues();
      return done({ ...judgeValues(values, connect), status: undefined, body: undefined, values });
    }
    const response = await client.request({ params: request, signal: controller.signal });
    const body = await beginningOf(response.body);
    const { verdict, says } = judge(response.status, body, options);
    return done({ verdict, says, status: response.status, body, values: undefined });
  } catch (error) {
    const failure = failureOf(error, controller.signal.aborted, options);
    if (failure === undefined) throw error;
    const isCut = error instanceof PosternError && error.code === "ERR_POSTERN_RESPONSE_CUT";
    if (isCut && (await speaksTls(connect))) {
      const says = `${connect} does not speak FastCGI but TLS: connect to the FastCGI port of the application`;
      return done({ verdict: "stranger", says, status: undefined, body: undefined, values: undefined });
    }
    return done({ ...failure, status: undefined, body: undefined, values: undefined });
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}

class Late extends Error {}
class LateConnection extends Error {}

type Judgement = Pick<PingResult, "verdict" | "says">;

/** Parameters that php-fpm's ping.path, Postern's pingPath and a page of an application all take for themselves. */
function requestFor(options: PingOptions, path: string): [string, string][] {
  const target = parseTarget(Buffer.from(path).toString("latin1"));
  if ("refusal" in target) throw badPath(path, target.refusal);
  const script = Buffer.from(options.scriptName ?? target.path).toString("latin1");
  const rest =
    options.scriptName !== undefined && target.path.startsWith(`${script}/`)
      ? target.path.slice(script.length)
      : "";
  const params = paramsFromHttp(
    {
      method: "GET",
      target: target.uri,
      httpVersion: "1.1",
      rawHeaders: ["Host", "localhost", "User-Agent", `${options.software} (ping)`],
      remoteAddress: "127.0.0.1",
      remotePort: 49152,
      localAddress: "127.0.0.1",
    },
    target,
    {
      software: options.software,
      script: { scriptName: script, pathInfo: rest, scriptFilename: options.scriptFilename ?? script },
    },
  );
  if ("refusal" in params) throw badPath(path, params.refusal);
  return params.map(([name, value]) => [name, value]);
}

function badPath(path: string, why: string): SettingError {
  return new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `--path ${JSON.stringify(path)}: ${why}; write a path, such as /ping`,
  );
}

async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    if (bytes < BODY_BYTES) pieces.push(piece.subarray(0, BODY_BYTES - bytes));
    bytes += piece.length;
  }
  return Buffer.concat(pieces).toString("utf8");
}

function judge(status: number, body: string, { connect, expect, path }: PingOptions): Judgement {
  const what = `${connect} answers ${path} with ${status}`;
  if (expect !== undefined && /^[1-9]\d\d$/.test(expect)) {
    if (status === Number(expect)) return { verdict: "well", says: `${status} from ${connect}` };
    return { verdict: "unwell", says: `${what}, not with ${expect}` };
  }
  if (status >= 400) {
    const hint =
      status === 503
        ? "it is about to end, or has too much to do"
        : status === 404
          ? "nothing answers this path: set php-fpm's ping.path or Postern's pingPath, or name another"
          : "";
    return { verdict: "unwell", says: what + (hint === "" ? "" : `; ${hint}`) };
  }
  if (expect !== undefined && !body.includes(expect)) {
    return { verdict: "unwell", says: `${what} and a body without ${JSON.stringify(expect)}` };
  }
  const word = body.trim();
  return { verdict: "well", says: `${/^[\w ]{1,20}$/.test(word) ? word : status} from ${connect}` };
}

function judgeValues(values: ApplicationValues, connect: string): Judgement {
  const { maxConnections, maxRequests, canMultiplex } = values;
  const said = [
    maxConnections === undefined ? "" : `${maxConnections} connections`,
    maxRequests === undefined ? "" : `${maxRequests} requests`,
    canMultiplex === undefined ? "" : canMultiplex ? "multiplexes" : "does not multiplex",
  ].filter((text) => text !== "");
  const more = said.length === 0 ? "" : ` (${said.join(", ")})`;
  return { verdict: "well", says: `values from ${connect}${more}` };
}

function failureOf(error: unknown, isLate: boolean, options: PingOptions): Judgement | undefined {
  const { connect, deadlineMs, path } = options;
  if (isLate || error instanceof Late || error instanceof LateConnection) {
    const hint =
      path === undefined
        ? "it is busy, or its library does not answer GET_VALUES: ask for a page with --path"
        : "it is busy, or stuck";
    return { verdict: "late", says: `no answer from ${connect} within ${deadlineMs / 1000} s; ${hint}` };
  }
  if (!(error instanceof PosternError)) return undefined;
  const says = error.message;
  switch (error.code) {
    case "ERR_POSTERN_ADDRESS":
    case "ERR_POSTERN_BAD_SETTING":
      return undefined;
    case "ERR_POSTERN_CONNECT":
      return { verdict: "unreachable", says };
    case "ERR_POSTERN_CLIENT_TIMEOUT":
      return { verdict: "late", says };
    case "ERR_POSTERN_RESPONSE_CUT": {
      if (path !== undefined) return { verdict: "unwell", says };
      return {
        verdict: "unwell",
        says: `${connect} closed the connection instead of answering GET_VALUES: it crashed, does not take this client, or its library knows no management records; ask for a page with --path`,
      };
    }
    case "ERR_POSTERN_NOT_FASTCGI":
      return { verdict: "stranger", says };
    case "ERR_POSTERN_RECORD_VERSION":
    case "ERR_POSTERN_RECORD_BODY":
    case "ERR_POSTERN_REQUEST_ID":
    case "ERR_POSTERN_PARAMS_MALFORMED":
      return {
        verdict: "stranger",
        says: `${connect} breaks the rules of FastCGI: ${says}; postern curl / --trace shows what comes`,
      };
    default:
      return { verdict: "unwell", says };
  }
}

/** Why a transfer failed: a sentence and an exit code, curl's where curl has one for it. */
import { PosternError } from "../../base/errors.ts";
import { UnansweredError } from "../../client/call.ts";

/** Exit codes. From 120 on they are ours; the others mean what they mean to curl. */
export const CurlExit = {
  Ok: 0,
  UnsupportedScheme: 1,
  Usage: 2,
  Url: 3,
  Resolve: 6,
  Connect: 7,
  /** The peer does not speak FastCGI, or its answer cannot be read. */
  WeirdReply: 8,
  Partial: 18,
  HttpError: 22,
  Write: 23,
  Read: 26,
  Timeout: 28,
  TooManyRedirects: 47,
  Empty: 52,
  Receive: 56,
  BadEncoding: 61,
  Rewind: 65,
  /** The application refused the request: overloaded, cannot multiplex, does not play the role. */
  Refused: 120,
  /** The answer is whole, and its app status is not 0. */
  AppStatus: 121,
  Interrupted: 130,
} as const;
export type CurlExit = (typeof CurlExit)[keyof typeof CurlExit];

/** A failure whose exit code is known where it happens. */
export class CurlFailure extends Error {
  override readonly name: string = "CurlFailure";
  readonly exitCode: CurlExit;
  constructor(exitCode: CurlExit, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** How far an answer had come when it failed. */
export interface Progress {
  /** Bytes of STDOUT that came. */
  readonly stdoutBytes: number;
  /** Whether its head was read. */
  readonly hasHead: boolean;
}

/** The failure behind an error of the client. Errors that are nobody's but ours are returned as they are. */
export function failureOf(error: unknown, progress: Progress): CurlFailure | undefined {
  if (error instanceof CurlFailure) return error;
  if (!(error instanceof PosternError)) return undefined;
  const fail = (code: CurlExit, remedy = ""): CurlFailure =>
    new CurlFailure(code, error.message + (remedy === "" ? "" : `; ${remedy}`), { cause: error });
  switch (error.code) {
    case "ERR_POSTERN_CONNECT":
      return fail(isUnresolved(error.cause) ? CurlExit.Resolve : CurlExit.Connect);
    case "ERR_POSTERN_ADDRESS":
    case "ERR_POSTERN_BAD_SETTING":
      return fail(CurlExit.Usage);
    case "ERR_POSTERN_CLIENT_TIMEOUT":
    case "ERR_POSTERN_REQUEST_TIMEOUT":
      return fail(CurlExit.Timeout);
    case "ERR_POSTERN_NOT_FASTCGI":
    case "ERR_POSTERN_RECORD_VERSION":
      return fail(CurlExit.WeirdReply);
    case "ERR_POSTERN_REQUEST_ID":
    case "ERR_POSTERN_RECORD_BODY":
      return fail(CurlExit.WeirdReply, BROKEN_RULES);
    case "ERR_POSTERN_ABORTED":
      return fail(CurlExit.Read);
    case "ERR_POSTERN_REQUEST_REFUSED":
      return fail(CurlExit.Refused, refusalRemedy(error.message));
    case "ERR_POSTERN_RESPONSE_CUT":
      if (progress.hasHead) return fail(CurlExit.Partial, CRASHED);
      if (error instanceof UnansweredError || progress.stdoutBytes === 0)
        return fail(CurlExit.Empty, HUNG_UP);
      return fail(CurlExit.Receive, CRASHED);
    case "ERR_POSTERN_RESPONSE_MALFORMED":
      if (progress.stdoutBytes === 0) return fail(CurlExit.Empty, NOTHING_SAID);
      return fail(CurlExit.WeirdReply, MALFORMED);
    default:
      return fail(CurlExit.Receive);
  }
}

const CRASHED = "its process has probably crashed, look at its log";
const HUNG_UP =
  "its process crashed, it does not take this client (php-fpm: listen.allowed_clients), or something else listens there";
const NOTHING_SAID = "it wrote no header and no body: look at its log, and at what it writes on stderr";
const MALFORMED =
  "an answer begins with header lines and an empty line; something printed before them, or the application is none of FastCGI's (--trace shows what came)";
const BROKEN_RULES =
  "what answers there breaks the rules of FastCGI, or two answers got mixed up (--trace shows what came)";

function refusalRemedy(message: string): string {
  if (message.includes("FCGI_OVERLOADED")) return "give it more processes, or try again";
  if (message.includes("FCGI_UNKNOWN_ROLE")) return "choose another --role";
  return "";
}

function isUnresolved(cause: unknown): boolean {
  const code = (cause as { code?: unknown } | undefined)?.code;
  return code === "ENOTFOUND" || code === "EAI_AGAIN";
}

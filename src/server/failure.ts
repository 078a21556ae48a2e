/** What is to be said of an error that came out of an application: what to show, how to log it, whose fault it is. */
import { RemoteProtocolError } from "../base/errors.ts";
import type { LogFields } from "../base/log.ts";
import { oneLine } from "../base/text.ts";
import { type ErrorPage, errorPage } from "../cgi/error-page.ts";
import type { Target } from "../cgi/target.ts";
import type { Params } from "../protocol/params.ts";

export interface Failure {
  /** What was thrown, as an error. */
  readonly shown: Error;
  /** For the log: `debug` if it only says that the visitor left. */
  readonly level: "debug" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** @param abortError why the request was aborted, if it was */
export function describeFailure(error: unknown, abortError: Error | undefined): Failure {
  const shown = error instanceof Error ? error : new Error(oneLine(error));
  // Whoever waited for the rest of a body hears of the abort as an error: visitors who leave are everyday life.
  const isAbort = abortError !== undefined && (shown === abortError || shown.cause === abortError);
  const { code } = shown as { code?: unknown };
  const isOurs = typeof code === "string" && code.startsWith("ERR_POSTERN_");
  const fields = { ...(isOurs && { code }), error: shown };
  if (isAbort) return { shown, level: "debug", message: "the application stopped", fields };
  return { shown, level: "error", message: "the application failed", fields };
}

/** The page for it. Only developers see why. */
export function failurePage(shown: Error, isDevelopment: boolean): ErrorPage {
  return errorPage(500, "Internal Server Error", isDevelopment ? (shown.stack ?? String(shown)) : undefined);
}

/** The URL of a request for a log; of one that was refused because of its URL, what the web server sent. */
export function urlForLog(exchange: { readonly target: Target; readonly params: Params }): string {
  try {
    return exchange.target.originalUrl;
  } catch {
    return exchange.params.get("REQUEST_URI") ?? "";
  }
}

/** Whether an application has only come across what no request may hold: a fetch application looks late. */
export function isInvalidRequest(error: unknown): error is RemoteProtocolError {
  return error instanceof RemoteProtocolError && error.code === "ERR_POSTERN_HEADER_INVALID";
}

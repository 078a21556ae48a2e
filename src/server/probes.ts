/**
 * Questions that are not for the application: whether we are well (`pingPath`) and how we are (`statusPath`,
 * `metricsPath`). They are answered before it and beside it, also when it has as many requests as it may.
 */
import { serializeHead } from "../cgi/response-head.ts";
import { Role } from "../protocol/records.ts";
import type { Exchange } from "./exchange.ts";
import type { ServerHooks } from "./hooks.ts";
import { startExchange } from "./refusals.ts";

/** What probes need to know. */
export interface ProbeOptions {
  readonly pingPath: string | undefined;
  readonly pingResponse: string;
  readonly statusPath: string | undefined;
  readonly metricsPath: string | undefined;
}

const GOING = "this process is about to end\n";

export class Probes {
  readonly #options: ProbeOptions;
  readonly #onStatus: ServerHooks["onStatus"];

  constructor(options: ProbeOptions, onStatus: ServerHooks["onStatus"]) {
    this.#options = options;
    this.#onStatus = onStatus;
  }

  /** Answers a probe. Returns false when the request is none. @param isLeaving no more requests are wanted */
  answers(exchange: Exchange, isLeaving: boolean): boolean {
    const { pingPath, pingResponse, statusPath, metricsPath } = this.#options;
    if (exchange.role !== Role.Responder) return false;
    const uri = exchange.params.get("REQUEST_URI"); // once: this is asked of every request
    if (pingPath !== undefined && isFor(exchange, uri, pingPath)) {
      answer(exchange, isLeaving ? 503 : 200, isLeaving ? GOING : pingResponse);
      return true;
    }
    const onStatus = this.#onStatus;
    if (onStatus === undefined) return false;
    const isMetrics = metricsPath !== undefined && isFor(exchange, uri, metricsPath);
    if (!isMetrics && (statusPath === undefined || !isFor(exchange, uri, statusPath))) return false;
    startExchange(exchange, (asked) => onStatus(asked, isMetrics));
    return true;
  }
}

/**
 * Whether `path` is the whole path that the visitor asked for, wherever the application is mounted; or, of a request
 * that has no REQUEST_URI, the script, which is how php-fpm's probes ask (`SCRIPT_NAME=/ping cgi-fcgi …`).
 */
function isFor({ params }: Exchange, uri: string | undefined, path: string): boolean {
  if (uri !== undefined) {
    return uri.startsWith(path) && (uri.length === path.length || uri.charCodeAt(path.length) === 0x3f);
  }
  const script = params.get("SCRIPT_NAME");
  if (script !== undefined && script + (params.get("PATH_INFO") ?? "") === path) return true;
  return params.get("SCRIPT_FILENAME") === path;
}

function answer(exchange: Exchange, status: number, text: string): void {
  const head = serializeHead(status, status === 200 ? "OK" : "Service Unavailable", [
    "Content-Type",
    "text/plain; charset=utf-8",
    "Content-Length",
    String(Buffer.byteLength(text)),
    "Cache-Control",
    "no-store",
  ]);
  exchange.respond(head, text, 0);
}

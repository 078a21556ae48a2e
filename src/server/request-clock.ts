/**
 * How long requests take: those that pass `slowRequestMs` are logged once, those that pass `requestTimeoutMs` are ended.
 * Judged by the server's sweep. What only JavaScript in this process can do is done: a request that never gives the
 * event loop back is ended by nobody but the process manager.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import type { Exchange } from "./exchange.ts";
import type { ResolvedOptions } from "./options.ts";

/** When a request began: by the wall for people, by the server's clock for judgement. */
interface Start {
  readonly at: number;
  /** That clock stands still while the event loop does: nobody is ended because a neighbour computed. */
  readonly fairAt: number;
  isSlow: boolean;
}

export class RequestClock {
  readonly #options: Pick<ResolvedOptions, "requestTimeoutMs" | "slowRequestMs">;
  readonly #open = new Map<Exchange, Start>();
  #slowRequests = 0;

  constructor(options: Pick<ResolvedOptions, "requestTimeoutMs" | "slowRequestMs">) {
    this.#options = options;
  }

  get slowRequests(): number {
    return this.#slowRequests;
  }

  /** @param fairNow the server's clock, as exact as it gets */
  begin(exchange: Exchange, fairNow: number): void {
    this.#open.set(exchange, { at: performance.now(), fairAt: fairNow, isSlow: false });
  }

  end(exchange: Exchange): void {
    const start = this.#open.get(exchange);
    if (start === undefined) return;
    this.#open.delete(exchange);
    // The sweep never sees one that kept the event loop to itself.
    this.#judgeSlow(exchange, start, performance.now());
  }

  /** @param fairNow the server's clock, as exact as it gets */
  check(fairNow: number): void {
    const { requestTimeoutMs } = this.#options;
    const now = performance.now();
    for (const [exchange, start] of [...this.#open]) {
      this.#judgeSlow(exchange, start, now);
      if (requestTimeoutMs > 0 && fairNow - start.fairAt >= requestTimeoutMs) {
        this.#endOverdue(exchange, now - start.at);
      }
    }
  }

  #judgeSlow(exchange: Exchange, start: Start, now: number): void {
    const { slowRequestMs } = this.#options;
    if (slowRequestMs === 0 || start.isSlow || now - start.at < slowRequestMs) return;
    start.isSlow = true;
    this.#slowRequests++;
    const message = `slow request: it takes longer than ${slowRequestMs} ms`;
    // isSlow: for a log of their own, where there is one.
    const fields = { client: clientOf(exchange), durationMs: Math.round(now - start.at), isSlow: true };
    exchange.log("warn", message, fields);
  }

  #endOverdue(exchange: Exchange, durationMs: number): void {
    const message = `the request was not answered within ${this.#options.requestTimeoutMs} ms`;
    const error = new RemoteProtocolError("ERR_POSTERN_REQUEST_TIMEOUT", message, "request");
    const how = exchange.isHeadSent ? "connection cut" : "answered 504";
    const fields = { client: clientOf(exchange), durationMs: Math.round(durationMs), code: error.code };
    exchange.log("warn", `${message}: ${how}`, fields);
    exchange.expire(error);
  }
}

/** The visitor's address, for a log. */
function clientOf({ client }: Exchange): string | undefined {
  return client.get("REMOTE_ADDR");
}

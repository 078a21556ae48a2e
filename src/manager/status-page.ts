/**
 * `statusPath`: a worker cannot know how its pool is, so it asks the manager and answers when that has told. php-fpm's
 * query: `json`, `html`, `openmetrics`, `full`.
 */
import type { Exchange } from "../server/exchange.ts";

/** How long the manager may take, ms. */
const ANSWER_MS = 2000;

export class StatusPage {
  readonly #waiting = new Map<number, Exchange>();
  readonly #ask: (id: number, query: string) => void;
  #last = 0;

  constructor(ask: (id: number, query: string) => void) {
    this.#ask = ask;
  }

  /** @param isMetrics it was asked for at `metricsPath` */
  ask(exchange: Exchange, isMetrics = false): void {
    const id = ++this.#last;
    this.#waiting.set(id, exchange);
    const timer = setTimeout(() => this.#end(id, 503, "the manager does not answer\n"), ANSWER_MS);
    exchange.whenAborted(() => this.#waiting.delete(id));
    timer.unref();
    this.#ask(id, isMetrics ? "openmetrics" : (exchange.params.get("QUERY_STRING") ?? ""));
  }

  answer(id: number, text: string, contentType: string): void {
    this.#end(id, 200, text, contentType);
  }

  #end(id: number, status: number, text: string, contentType = "text/plain"): void {
    const exchange = this.#waiting.get(id);
    if (exchange === undefined) return;
    this.#waiting.delete(id);
    const title = status === 200 ? "OK" : "Service Unavailable";
    exchange.sendHead(
      `Status: ${status} ${title}\r\nContent-Type: ${contentType}; charset=utf-8\r\nCache-Control: no-cache, no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n`,
    );
    if (exchange.params.get("REQUEST_METHOD") !== "HEAD") exchange.sendText(text, "utf8");
    exchange.end(0);
  }
}

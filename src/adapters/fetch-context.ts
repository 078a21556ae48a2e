/** The second argument of a fetch application. */
import type { Exchange } from "../server/exchange.ts";
import { FastCGISide } from "./side.ts";

/** What a fetch application gets beside the request: the FastCGI side, and the means to work on after the answer. */
export class FetchContext extends FastCGISide {
  readonly #exchange: Exchange;
  /** @internal */
  constructor(exchange: Exchange) {
    super(exchange);
    this.#exchange = exchange;
  }
  /** Work that goes on after the response; a failure is logged and harms nothing else. */
  waitUntil = (work: Promise<unknown>): void => {
    Promise.resolve(work).catch((error: unknown) => {
      this.#exchange.log("error", "work after the response failed", { error });
    });
  };
}

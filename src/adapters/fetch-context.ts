/** The second argument of a fetch application. */
import type { Exchange } from "../server/exchange.ts";
import { FastCGISide } from "./side.ts";

/** What a fetch application gets beside the request: the FastCGI side, and the means to work on after the answer. */
export class FetchContext extends FastCGISide {
  readonly #exchange: Exchange;
  #runtime: FetchRuntime | undefined = undefined;
  /** @internal */
  constructor(exchange: Exchange) {
    super(exchange);
    this.#exchange = exchange;
  }
  /**
   * Work that goes on after the response: a server that closes waits for it, within `drainTimeoutMs`. A failure is
   * logged and harms nothing else.
   */
  waitUntil = (work: PromiseLike<unknown>): void => {
    const exchange = this.#exchange;
    exchange.waitUntil(
      Promise.resolve(work).catch((error: unknown) => {
        exchange.log("error", "work after the response failed", { error });
      }),
    );
  };
  /** `request.runtime`. @internal */
  get runtime(): FetchRuntime {
    this.#runtime ??= { name: "postern", fastcgi: this };
    return this.#runtime;
  }
}

/** `request.runtime`, shaped as srvx's. */
export interface FetchRuntime {
  readonly name: "postern";
  readonly fastcgi: FetchContext;
}

/**
 * The request of a fetch application: a standard Request with what srvx calls a ServerRequest. For applications in
 * TypeScript: `fetch(request: ServerRequest)`.
 */
export interface ServerRequest extends Request {
  /** The client's address. */
  readonly ip?: string | undefined;
  readonly runtime?: FetchRuntime;
  /** Work that goes on after the response. */
  readonly waitUntil?: (work: PromiseLike<unknown>) => void;
  /** A place for what middleware wants to hand on. */
  context?: Record<string, unknown>;
}

/**
 * The open tunnels of a server: requests that were answered 101, whose STDIN and STDOUT carry what both sides say.
 *
 * As a request, a tunnel is over with its 101: it takes no place of `maxConcurrency`, no deadline of a request is its,
 * and it stands in no list of what is worked on. What remains is its connection, which nobody else uses afterwards.
 * A draining server waits for its tunnels as long as for requests; then it ends them as their application would.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import type { Exchange, ExchangeWatcher } from "./exchange.ts";

export class Tunnels implements ExchangeWatcher {
  readonly #open = new Set<Exchange>();

  /** Open ones. */
  get size(): number {
    return this.#open.size;
  }

  add(exchange: Exchange): this {
    this.#open.add(exchange);
    return this;
  }

  /** Ends all of them. Returns how many there were. */
  endAll(reason: string): number {
    const all = [...this.#open];
    for (const exchange of all) {
      // In this order what was said before is delivered, in both directions.
      exchange.stdin.end();
      exchange.end();
      exchange.onAbort(new RemoteProtocolError("ERR_POSTERN_ABORTED", reason, "connection"));
    }
    return all.length;
  }

  // ExchangeWatcher

  onEnded(exchange: Exchange): boolean {
    this.#open.delete(exchange);
    return true; // what the client still says would be taken for the next request's
  }
}

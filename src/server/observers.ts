// HOT
/** Several observers of one server as one. */
import type { Exchange } from "./exchange.ts";
import type { ServerObserver } from "./hooks.ts";

/** Undefined when there is none. */
export function together(...all: readonly (ServerObserver | undefined)[]): ServerObserver | undefined {
  return all.reduce(
    (one, other) => (one === undefined || other === undefined ? (one ?? other) : new Two(one, other)),
    undefined,
  );
}

class Two implements ServerObserver {
  readonly #one: ServerObserver;
  readonly #other: ServerObserver;

  constructor(one: ServerObserver, other: ServerObserver) {
    this.#one = one;
    this.#other = other;
  }

  onRequestBegin(exchange: Exchange): void {
    this.#one.onRequestBegin(exchange);
    this.#other.onRequestBegin(exchange);
  }

  onRequestEnd(exchange: Exchange): void {
    this.#one.onRequestEnd(exchange);
    this.#other.onRequestEnd(exchange);
  }
}

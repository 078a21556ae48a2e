/** One connection of a load, or one after another where none is kept. */
import type { Exchange } from "./exchange.ts";

export interface Lane {
  /** Requests that may be open on it at once. */
  readonly room: number;
  /** Sends a request. Whatever happens, the exchange is told of its end, never within this call. */
  send(exchange: Exchange): void;
  /** Gives up everything that is open on it: each exchange fails with this. */
  cut(kind: "timeout" | "closed", says: string): void;
  close(): void;
}

/** What a tap has seen in all: counts, and the slowest. Pure. */
import { counted } from "../../status/text.ts";
import type { Exchange } from "../capture/conversation.ts";
import { isFailed } from "./filter.ts";
import { askedText, milliseconds, size } from "./view.ts";

const SLOWEST = 5;

export class Summary {
  readonly #statuses = new Map<string, number>();
  readonly #endings = new Map<string, number>();
  readonly #slowest: { readonly ms: number; readonly connection: number; readonly exchange: Exchange }[] = [];
  requests = 0;
  failed = 0;
  bytesIn = 0;
  bytesOut = 0;

  add(connection: number, exchange: Exchange): void {
    this.requests++;
    if (isFailed(exchange)) this.failed++;
    this.bytesIn += exchange.stdinBytes + exchange.dataBytes;
    this.bytesOut += exchange.stdoutBytes;
    count(this.#statuses, exchange.head === undefined ? "none" : String(exchange.head.status));
    count(this.#endings, exchange.ending);
    const ms = (exchange.endMs ?? exchange.beginMs) - exchange.beginMs;
    if (this.#slowest.length === SLOWEST && ms <= this.#slowest[SLOWEST - 1]!.ms) return;
    this.#slowest.push({ ms, connection, exchange });
    this.#slowest.sort((one, other) => other.ms - one.ms);
    this.#slowest.length = Math.min(this.#slowest.length, SLOWEST);
  }

  lines(connections: number): string[] {
    const lines = [
      `${counted(this.requests, "request")} on ${counted(connections, "connection")}, ${size(this.bytesIn)} in, ${size(this.bytesOut)} out`,
    ];
    if (this.requests === 0) return lines;
    lines.push(`  status: ${listed(this.#statuses)}`, `  ended: ${listed(this.#endings)}`, "  slowest:");
    for (const { ms, connection, exchange } of this.#slowest) {
      lines.push(`    ${milliseconds(ms).padStart(9)}  ${connection}/${exchange.id}  ${askedText(exchange)}`);
    }
    return lines;
  }

  object(connections: number): Record<string, unknown> {
    return {
      requests: this.requests,
      failed: this.failed,
      connections,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      statuses: Object.fromEntries(this.#statuses),
      endings: Object.fromEntries(this.#endings),
    };
  }
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

function listed(map: ReadonlyMap<string, number>): string {
  return [...map]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, number]) => `${number} × ${key}`)
    .join(", ");
}

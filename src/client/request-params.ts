/** The parameters of a request as the client needs to know them. */
import type { RequestOptions } from "./options.ts";

type Pair = readonly [name: string, value: string];

/** Parameters as a list of pairs. */
export function pairsOf(params: RequestOptions["params"]): Pair[] {
  if (Symbol.iterator in params) return [...(params as Iterable<Pair>)];
  return Object.entries(params as Readonly<Record<string, string>>);
}

/** REQUEST_METHOD, the last one as everywhere; GET when there is none. */
export function methodOf(pairs: readonly Pair[]): string {
  return pairs.findLast(([name]) => name === "REQUEST_METHOD")?.[1] ?? "GET";
}

/** Whether the parameters can be read a second time: a generator cannot. */
export function isRepeatable(params: RequestOptions["params"]): boolean {
  return Array.isArray(params) || !(Symbol.iterator in params);
}

/** GET_VALUES: what an application says about itself. FastCGI 1.0 §4.1. */
import type { Params } from "../protocol/params.ts";
import { ValueName } from "../protocol/records.ts";

/** What an application says about itself. Undefined: it did not say. */
export interface ApplicationValues {
  /** FCGI_MAX_CONNS: connections it accepts at once. */
  readonly maxConnections: number | undefined;
  /** FCGI_MAX_REQS: requests it accepts at once. */
  readonly maxRequests: number | undefined;
  /** FCGI_MPXS_CONNS: whether it interleaves requests on one connection. */
  readonly canMultiplex: boolean | undefined;
}

/** What is asked for. */
export const VALUE_NAMES: readonly string[] = [
  ValueName.MaxConnections,
  ValueName.MaxRequests,
  ValueName.Multiplex,
];

/** Reads an answer; undefined stands for an application that does not know GET_VALUES. */
export function readValues(values: Params | undefined): ApplicationValues {
  const number = (name: string): number | undefined => {
    const text = values?.get(name);
    return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
  };
  const multiplexes = number(ValueName.Multiplex);
  return {
    maxConnections: number(ValueName.MaxConnections),
    maxRequests: number(ValueName.MaxRequests),
    canMultiplex: multiplexes === undefined ? undefined : multiplexes === 1,
  };
}

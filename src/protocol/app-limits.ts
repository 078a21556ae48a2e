/** The bounds of one connection on the application's side, and what it tells a web server that asks for them. */
import { RemoteProtocolError } from "../base/errors.ts";
import { encodeParams, Params } from "./params.ts";
import { MAX_CONTENT_BYTES, ValueName } from "./records.ts";

/** Bounds of one connection. */
export interface AppLimits {
  /** Bytes of one request's PARAMS stream. */
  readonly maxParamsBytes: number;
  /** Pairs in one request's PARAMS stream. */
  readonly maxParams: number;
  /** Requests open at the same time on one connection. */
  readonly maxRequests: number;
  /** What GET_VALUES answers for FCGI_MAX_CONNS. */
  readonly maxConnections: number;
}

/**
 * The content of GET_VALUES_RESULT: known names with their values, unknown ones left out. FastCGI 1.0 §4.1. HAProxy, the
 * one web server that asks, takes FCGI_MAX_REQS for the bound of this connection: that is what it is told.
 * @param asked content of GET_VALUES, as latin1
 * @throws {RemoteProtocolError} ERR_POSTERN_PARAMS_MALFORMED, scope connection
 */
export function answerValues(asked: string, { maxConnections, maxRequests }: AppLimits): Buffer {
  const names = decode(asked);
  const values: [string, string][] = [];
  if (names.has(ValueName.MaxConnections)) values.push([ValueName.MaxConnections, `${maxConnections}`]);
  if (names.has(ValueName.MaxRequests)) values.push([ValueName.MaxRequests, `${maxRequests}`]);
  if (names.has(ValueName.Multiplex)) values.push([ValueName.Multiplex, maxRequests > 1 ? "1" : "0"]);
  return encodeParams(values);
}

function decode(text: string): Params {
  try {
    return Params.decode(text, MAX_CONTENT_BYTES);
  } catch (cause) {
    throw new RemoteProtocolError("ERR_POSTERN_PARAMS_MALFORMED", "malformed GET_VALUES", "connection", {
      cause,
    });
  }
}

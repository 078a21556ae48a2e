/** Options of the client and of one request, with their defaults, units and reasons. */
import type { Readable } from "node:stream";
import { type Address, MAX_UNIX_PATH_BYTES, parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { addressText, badOption, checkKeys, yesOrNo } from "../base/settings.ts";

/** How to talk to an application. */
export interface ClientOptions {
  /** Where the application listens: `unix:/path`, `/path`, `unix:@abstract`, `host:port`, `:port`, `[::1]:port`. */
  connect: string | Address;
  /**
   * Ask the application to keep the connection open after a request. A kept connection occupies a whole process of
   * php-fpm, libfcgi or Perl: with those keep at most as many connections as they have processes. @default true
   */
  keepConn?: boolean;
  /** Requests open at once on one connection. Few applications can interleave them. @default 1 */
  maxRequestsPerConnection?: number;
  /** Bytes of a response head. @default 65536 (what the most generous web servers allow) */
  maxHeadBytes?: number;
  /** Headers of a response head. @default 1000 */
  maxHeaders?: number;
  /** Bytes of STDERR kept per request; the rest is counted and dropped. @default 65536 */
  maxStderrBytes?: number;
  /** Bytes of a response body kept while nobody reads; beyond, the connection is paused. @default 65536 */
  maxUnreadBytes?: number;
  /** Milliseconds for a connection to be made; 0 waits as long as the system does. @default 10000 */
  connectTimeoutMs?: number;
  /** Milliseconds without progress of a request; 0 waits for ever. @default 60000, as nginx */
  timeoutMs?: number;
  /** Milliseconds an aborted request has to end before its connection is cut. @default 1000 */
  abortTimeoutMs?: number;
}

/** {@link ClientOptions} with every default filled in. */
export interface ResolvedClientOptions extends Readonly<Required<Omit<ClientOptions, "connect">>> {
  readonly address: Address;
  /** The address for messages. */
  readonly name: string;
}

/** What a request sends besides its parameters. Text is sent as UTF-8. */
export type RequestInput =
  | Readable
  | Uint8Array
  | string
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array>;

/** One FastCGI request. */
export interface RequestOptions {
  /** Names and values, latin1 (one character, one byte). An object, or pairs where order or duplicates matter. */
  params: Readonly<Record<string, string>> | Iterable<readonly [name: string, value: string]>;
  /** @default "responder" */
  role?: "responder" | "authorizer" | "filter";
  /** The request body. Its length is not checked against CONTENT_LENGTH. @default empty */
  stdin?: RequestInput | undefined;
  /** The second input of a filter. */
  data?: RequestInput | undefined;
  /** Gives the request up; `request()`, or else the body, fails with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without progress: no byte either way while the application is what we wait for. @default the client's */
  timeoutMs?: number | undefined;
  /** Called with every piece of STDERR as it comes. The buffer is the callee's. */
  onStderr?: ((chunk: Buffer) => void) | undefined;
  /** Called for an interim head, such as 103 Early Hints: the status and the fields, names and values in turn. */
  onInterim?: ((status: number, headers: readonly string[]) => void) | undefined;
}

const COUNTS = {
  maxRequestsPerConnection: 1,
  maxHeadBytes: 65536,
  maxHeaders: 1000,
  maxStderrBytes: 65536,
  maxUnreadBytes: 65536,
} as const;

const TIMES = { connectTimeoutMs: 10_000, timeoutMs: 60_000, abortTimeoutMs: 1000 } as const;

/** Every name; the compiler compares it with the interface. */
const KNOWN = { ...COUNTS, ...TIMES, connect: 0, keepConn: 0 } satisfies Readonly<
  Record<keyof ClientOptions, unknown>
>;

/**
 * Fills in defaults and checks every value.
 * @param more its keys are names that are known to the caller
 * @throws {SettingError} `ERR_POSTERN_ADDRESS`, `ERR_POSTERN_BAD_SETTING`
 */
export function resolveClientOptions(options: ClientOptions, more: object = {}): ResolvedClientOptions {
  checkKeys("client options", options, { ...KNOWN, ...more }, "connect");
  const address = isAddress(options.connect)
    ? options.connect
    : parseAddress(addressText("connect", options.connect), "connect");
  const name = printAddress(address);
  if (address.kind === "fd" || address.kind === "systemd") {
    throw new SettingError(
      "ERR_POSTERN_ADDRESS",
      `connect ${JSON.stringify(name)}: only unix and TCP can be connected to`,
    );
  }
  if (address.kind === "unix" && Buffer.byteLength(address.path) > MAX_UNIX_PATH_BYTES) {
    // Node 20 would cut it silently, and connect to whatever has that name.
    const message = `connect ${JSON.stringify(name)}: the path is longer than ${MAX_UNIX_PATH_BYTES} bytes; use a shorter one`;
    throw new SettingError("ERR_POSTERN_ADDRESS", message);
  }
  return Object.freeze({
    address,
    name,
    keepConn: yesOrNo("keepConn", options.keepConn, true),
    ...wholeNumbers(COUNTS, options, 1),
    ...wholeNumbers(TIMES, options, 0),
  });
}

/** Whether it is an address as `parseAddress` makes it, and not what `net.connect` takes. */
function isAddress(value: unknown): value is Address {
  const address = Object(value) as Readonly<Record<string, unknown>>;
  switch (address["kind"]) {
    case "unix":
      return typeof address["path"] === "string";
    case "abstract":
      return typeof address["name"] === "string";
    case "tcp":
      return typeof address["host"] === "string" && typeof address["port"] === "number";
    default:
      return address["kind"] === "fd" || address["kind"] === "systemd";
  }
}

/** The options named in `defaults`, checked: whole numbers from `least`. @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function wholeNumbers<T extends Readonly<Record<string, number>>>(
  defaults: T,
  options: object,
  least: number,
): { [K in keyof T]: number } {
  const given = options as Readonly<Record<string, unknown>>;
  const resolved: Record<string, number> = {};
  for (const [name, standard] of Object.entries(defaults)) {
    const value = given[name] ?? standard;
    if (typeof value !== "number" || !(Number.isSafeInteger(value) && value >= least)) {
      throw badOption(name, value, `a whole number from ${least}`);
    }
    resolved[name] = value;
  }
  return resolved as { [K in keyof T]: number };
}

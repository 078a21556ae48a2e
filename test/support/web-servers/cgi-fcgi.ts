/** The command-line programs of other FastCGI implementations: libfcgi's client, and spawn-fcgi. */
import { type Finished, type Running, run, start } from "../process.ts";
import { programOf } from "./available.ts";
import type { FastCgiAddress } from "./web-server.ts";

export interface CgiFcgiOptions {
  readonly params?: Readonly<Record<string, string>>;
  readonly stdin?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/**
 * One request through `cgi-fcgi -bind`, which is a CGI program itself: it takes the parameters from its environment,
 * and reads as much of stdin as CONTENT_LENGTH says. Its stdout is the answer with the header block.
 */
export function cgiFcgi(address: FastCgiAddress, options: CgiFcgiOptions = {}): Promise<Finished> {
  const connect = "unix" in address ? address.unix : `${address.host}:${address.port}`;
  const length: Record<string, string> =
    options.stdin === undefined ? {} : { CONTENT_LENGTH: String(Buffer.byteLength(options.stdin)) };
  return run(programOf("cgi-fcgi"), ["-bind", "-connect", connect], {
    // Nothing of our own environment: all of it would be sent as parameters.
    env: { REQUEST_METHOD: "GET", ...length, ...options.params },
    input: options.stdin ?? "",
    timeoutMs: options.timeoutMs ?? 10_000,
  });
}

/** Starts a program as spawn-fcgi does, in the foreground: with the listening unix socket as fd 0. */
export function spawnFcgi(socketPath: string, command: readonly string[]): Running {
  return start(programOf("spawn-fcgi"), ["-n", "-s", socketPath, "--", ...command]);
}

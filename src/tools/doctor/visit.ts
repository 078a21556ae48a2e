/** One visit of a site, as a browser makes it: GET, with a deadline, and when its parts came. */
import { type ClientRequest, type IncomingMessage, request as overHttp } from "node:http";
import { request as overHttps } from "node:https";

export type Visit =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** Until the head, the first byte of the body, and the end; ms. */
      readonly headMs: number;
      readonly firstByteMs: number;
      readonly totalMs: number;
      readonly location?: string | undefined;
    }
  | { readonly kind: "unconnected"; readonly message: string }
  | { readonly kind: "silent" }
  /** The connection ended in the middle of it. */
  | { readonly kind: "broken"; readonly message: string };

interface VisitOptions {
  readonly patienceMs: number;
  /** The header Host, in place of the URL's. */
  readonly host: string | undefined;
}

/** Bytes of an answer that are waited for. */
const MOST_BYTES = 4 * 1024 ** 2;

/** Redirects are not followed; a certificate is not asked for its name: the site may be asked by another. */
export function visit(url: URL, { patienceMs, host }: VisitOptions, signal: AbortSignal): Promise<Visit> {
  const started = performance.now();
  const sofar = (): number => Math.round(performance.now() - started);
  return new Promise((resolve) => {
    let isConnected = false;
    const settled = (result: Visit): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", late);
      resolve(result);
      request.destroy();
    };
    const send = url.protocol === "https:" ? overHttps : overHttp;
    const request: ClientRequest = send(url, {
      agent: false,
      headers: { ...(host === undefined ? {} : { Host: host }), "User-Agent": "postern doctor" },
      rejectUnauthorized: false,
    });
    const late = (): void =>
      settled(
        isConnected ? { kind: "silent" } : { kind: "unconnected", message: "no answer to the connection" },
      );
    const timer = setTimeout(late, patienceMs);
    signal.addEventListener("abort", late, { once: true });
    request.on("socket", (socket) => socket.once("connect", () => (isConnected = true)));
    request.on("error", (error) =>
      settled(
        isConnected
          ? { kind: "broken", message: error.message }
          : { kind: "unconnected", message: error.message },
      ),
    );
    request.on("response", (response) => receive(response, sofar, settled));
    request.end();
  });
}

function receive(response: IncomingMessage, sofar: () => number, settled: (result: Visit) => void): void {
  const headMs = sofar();
  let firstByteMs: number | undefined;
  let bytes = 0;
  const done = (): void =>
    settled({
      kind: "answered",
      status: response.statusCode ?? 0,
      headMs,
      firstByteMs: firstByteMs ?? headMs,
      totalMs: sofar(),
      location: response.headers.location,
    });
  response.on("data", (piece: Buffer) => {
    firstByteMs ??= sofar();
    bytes += piece.length;
    if (bytes > MOST_BYTES) done();
  });
  response.on("end", done);
  response.on("error", (error) => settled({ kind: "broken", message: error.message }));
}

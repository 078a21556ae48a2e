/**
 * How long a request has waited before we saw it, as far as the web server tells: `fastcgi_param REQUEST_START $msec`.
 * Only that parameter counts. A header of the name would be HTTP_X_REQUEST_START, which the client can write.
 */
import type { ParamSource } from "../cgi/environ.ts";

/** Whoever says that it came longer ago than this has a wrong clock, ms. */
const MOST_MS = 3600000;

/** Milliseconds since the web server took the request, by `now` in ms since the epoch; 0 when it does not tell. */
export function waitedMs(params: ParamSource, now: number): number {
  const text = params.get("REQUEST_START");
  if (text === undefined) return 0;
  const waited = now - startOf(text);
  return waited > 0 && waited <= MOST_MS ? waited : 0;
}

/** `1763817300.123` (s), `1763817300123` (ms) or `1763817300123456` (µs), also behind `t=`; else NaN. */
function startOf(text: string): number {
  const [, whole = "", fraction = ""] = /^(?:t=)?(\d{10}|\d{13}|\d{16})(\.\d{1,9})?$/.exec(text) ?? [];
  const value = Number(whole + fraction);
  switch (whole.length) {
    case 10:
      // Without a fraction it may have been any moment of that second: nobody is refused for the latest.
      return (fraction === "" ? value + 1 : value) * 1000;
    case 13:
      return value;
    case 16:
      return value / 1000;
    default:
      return Number.NaN;
  }
}

/** What the checkers of Caddy, HAProxy and h2o have in common: making a finding, comparing addresses and sizes. */
import { type Address, printAddress } from "../base/address.ts";
import type { Expected, Finding } from "./model.ts";

export function finding(
  rule: string,
  severity: Finding["severity"],
  line: number,
  what: string,
  remedy: string,
): Finding {
  return { rule, severity, line, what, remedy };
}

/** Where a configuration sends requests: `/run/app.sock`, `127.0.0.1:9000`. */
export interface Destination {
  readonly text: string;
  readonly line: number;
}

/** @param remedy how this server writes an address */
export function addressFindings(
  destinations: readonly Destination[],
  { addresses }: Expected,
  remedy: (address: Address) => string,
): Finding[] {
  const [first] = addresses ?? [];
  if (addresses === undefined || first === undefined) return [];
  const known = addresses.map((address) => spelled(printAddress(address)));
  return destinations
    .filter(({ text }) => !known.includes(spelled(text)))
    .map(({ text, line }) =>
      finding(
        "address-differs",
        "error",
        line,
        `requests go to ${text.startsWith("/") ? `unix:${text}` : text}, and the application listens at ${addresses.map(printAddress).join(", ")}`,
        remedy(first),
      ),
    );
}

/** Those that lead to the application; when none does, all: one of them is meant. Others are other people's business. */
export function meant<T>(
  all: readonly T[],
  textsOf: (one: T) => readonly string[],
  expected: Expected,
): readonly T[] {
  const matching = all.filter((one) => textsOf(one).some((text) => isExpected(text, expected)));
  return matching.length > 0 ? matching : all;
}

/** Whether requests go where the application listens, as far as is known. */
export function isExpected(text: string, { addresses }: Expected): boolean {
  return (
    addresses === undefined || addresses.some((address) => spelled(printAddress(address)) === spelled(text))
  );
}

/** One spelling of an address for all. */
function spelled(text: string): string {
  return text
    .replace(/^unix:/, "")
    .replace(/^\/var\/run\//, "/run/")
    .replace(/^(?:localhost)?(?=:\d+$)/, "127.0.0.1");
}

/** @param limitBytes what the configuration allows */
export function bodyFindings(
  limitBytes: number,
  line: number,
  { maxBodyBytes }: Expected,
  remedy: (bytes: number) => string,
): Finding[] {
  if (maxBodyBytes === undefined || limitBytes === 0) return [];
  if (maxBodyBytes > 0 && limitBytes >= maxBodyBytes) return [];
  const wanted = maxBodyBytes === 0 ? "any size is" : `${maxBodyBytes} bytes are`;
  return [
    finding(
      "body-limit-too-small",
      "error",
      line,
      `uploads of more than ${limitBytes} bytes get 413, and ${wanted} to be allowed`,
      remedy(maxBodyBytes),
    ),
  ];
}

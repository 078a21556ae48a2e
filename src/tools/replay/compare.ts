/** Two answers to the same request: what is different. Pure. */
import type { Exchange } from "../capture/conversation.ts";
import { isSecretHeader } from "../capture/secrets.ts";
import { headerPairs } from "../capture/sidecar.ts";

export interface CompareOptions {
  /** Headers that do not count, in lower case. */
  readonly ignoredHeaders: ReadonlySet<string>;
  readonly ignoresBody: boolean;
  readonly ignoresStderr: boolean;
  /** The recorded answer has x's in the place of its secrets. */
  readonly isRedacted: boolean;
}

export interface Difference {
  /** `status`, `header location`, `body` … */
  readonly what: string;
  readonly recorded: string;
  readonly now: string;
}

/** What is different at every time anyway. */
export const IGNORED_HEADERS: readonly string[] = ["date", "x-request-id"];

export function differences(recorded: Exchange, now: Exchange, options: CompareOptions): Difference[] {
  const found: Difference[] = [];
  const compare = (what: string, one: unknown, other: unknown): void => {
    if (one !== other) found.push({ what, recorded: String(one), now: String(other) });
  };
  compare("end", endOf(recorded), endOf(now));
  // What a web server did not wait for is cut anywhere.
  if (recorded.isAborted || recorded.ending === "open") return found;
  compare("status", recorded.head?.status ?? "none", now.head?.status ?? "none");
  compareHeaders(recorded, now, options, compare);
  if (!options.ignoresBody && recorded.bodySha256 !== now.bodySha256) {
    found.push({
      what: "body",
      recorded: bodyOf(recorded),
      now: bodyOf(now) + firstDifference(recorded, now),
    });
  }
  compare("app status", recorded.appStatus ?? "none", now.appStatus ?? "none");
  if (!options.ignoresStderr) compare("stderr", recorded.stderr, now.stderr);
  return found;
}

function endOf({ ending, isAborted }: Exchange): string {
  if (isAborted) return "aborted";
  return ending === "open" ? "closed by the web server" : ending;
}

function compareHeaders(
  recorded: Exchange,
  now: Exchange,
  { ignoredHeaders, isRedacted }: CompareOptions,
  compare: (what: string, one: unknown, other: unknown) => void,
): void {
  const before = valuesOf(recorded, isRedacted);
  const after = valuesOf(now, isRedacted);
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    if (ignoredHeaders.has(name)) continue;
    compare(`header ${name}`, before.get(name) ?? "none", after.get(name) ?? "none");
  }
}

/** All values of each header; of a cookie without the time until which it lasts. */
function valuesOf({ head }: Exchange, isRedacted: boolean): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of headerPairs(head?.headers ?? [])) {
    const key = name.toLowerCase();
    const plain = key === "set-cookie" ? value.replace(/;\s*(?:expires|max-age)=[^;]*/gi, "") : value;
    const shown = isRedacted && isSecretHeader(key) ? "(not recorded)" : plain;
    const before = values.get(key);
    values.set(key, before === undefined ? shown : `${before} | ${shown}`);
  }
  return values;
}

function bodyOf({ bodyBytes, bodySha256 }: Exchange): string {
  return bodyBytes === 0 ? "empty" : `${bodyBytes} bytes, sha256 ${bodySha256?.slice(0, 12) ?? ""}...`;
}

function firstDifference(one: Exchange, other: Exchange): string {
  const most = Math.min(one.bodyStart.length, other.bodyStart.length);
  for (let at = 0; at < most; at++) {
    if (one.bodyStart[at] !== other.bodyStart[at]) return `; the first different byte is ${at}`;
  }
  if (most < Math.min(one.bodyBytes, other.bodyBytes)) return `; the first ${most} bytes are the same`;
  return `; the same up to byte ${most}`;
}

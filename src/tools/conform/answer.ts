/** The output of a request, taken apart as RFC 3875 §6 says, without judging it. Pure. */
import type { Exchange } from "./wire.ts";

export interface Answer {
  readonly exchange: Exchange;
  readonly stdout: Buffer;
  /** The header block without the empty line at its end; undefined when there is none. */
  readonly head: string | undefined;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Lines of the header block that are no fields. */
  readonly strange: readonly string[];
  readonly status: number;
  readonly body: Buffer;
  readonly appStatus: number;
}

export function answerOf(exchange: Exchange): Answer {
  const stdout = Buffer.concat(exchange.stdout);
  const end = /\r?\n\r?\n/.exec(stdout.toString("latin1", 0, Math.min(stdout.length, 128 * 1024)));
  const head = end === null ? undefined : stdout.toString("latin1", 0, end.index);
  const fields: [string, string][] = [];
  const strange: string[] = [];
  for (const line of head === undefined || head === "" ? [] : head.split(/\r?\n/)) {
    const parts = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (parts === null) strange.push(line);
    else fields.push([parts[1]!, parts[2]!]);
  }
  const statusText = fieldValue(fields, "status");
  const status =
    statusText === undefined ? (fieldValue(fields, "location") ? 302 : 200) : Number.parseInt(statusText, 10);
  return {
    exchange,
    stdout,
    head,
    fields,
    strange,
    status,
    body: end === null ? stdout : stdout.subarray(end.index + end[0].length),
    appStatus: exchange.end?.appStatus ?? 0,
  };
}

export function fieldValue(fields: Answer["fields"], name: string): string | undefined {
  return fields.find(([one]) => one.toLowerCase() === name)?.[1];
}

/** How much of two answers can be compared: their bytes, their bytes in any order, or nothing but the status. */
export type Sight = "bytes" | "orderless" | "status";

/** How an answer differs from the one that was wanted; undefined when it does not. */
export function differenceOf(got: Answer, wanted: Answer, sight: Sight): string | undefined {
  if (got.status !== wanted.status) {
    return `the answer has status ${got.status}, but ${wanted.status} when asked for in the plain form`;
  }
  if (got.appStatus !== wanted.appStatus) {
    return `the answer has app status ${got.appStatus}, but ${wanted.appStatus} when asked for in the plain form`;
  }
  if (sight === "status" || got.body.equals(wanted.body)) return undefined;
  if (sight === "orderless" && sorted(got.body).equals(sorted(wanted.body))) return undefined;
  let at = 0;
  while (at < got.body.length && at < wanted.body.length && got.body[at] === wanted.body[at]) at++;
  return `the body is another one than when asked for in the plain form: ${got.body.length} bytes instead of ${wanted.body.length}, different from byte ${at} on`;
}

function sorted(bytes: Buffer): Buffer {
  return Buffer.from(bytes).sort();
}

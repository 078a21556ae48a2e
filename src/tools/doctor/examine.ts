/**
 * Asks every question, in the order of causes. A check that fails or takes too long says `unknown`; it never ends the
 * examination. Nothing here prints.
 */
import { oneLine } from "../../base/text.ts";
import { type Asked, inOrder } from "./causes.ts";
import { CHECKS, STAGES } from "./checks.ts";
import { deadline } from "./deadline.ts";
import type { Check, Facts, Finding, Verdict } from "./model.ts";

export interface Examination {
  /** The worst of all. `unknown`: there was nothing to examine, or nothing could be found out. */
  readonly verdict: Verdict;
  /** What is bad first, in the order of causes: the first one is the cause. */
  readonly findings: readonly Finding[];
  /** The questions that there was something to look at for. */
  readonly asked: readonly Asked[];
}

/** Of one check, ms; and what is left of the whole when that is less. */
const CHECK_DEADLINE_MS = 20_000;

/** Examines. @param signal its abort ends the check that runs, and leaves the others out */
export async function examine(
  facts: Facts,
  signal: AbortSignal,
  checks: typeof CHECKS = CHECKS,
): Promise<Examination> {
  const asked: Asked[] = [];
  for (const stage of STAGES) {
    for (const check of checks[stage]) {
      const findings = await ask(check, facts, signal);
      if (findings.length === 0) continue;
      const { id, question } = check;
      asked.push({ id, question, stage, verdict: worst(findings), findings });
    }
  }
  const findings = inOrder(asked);
  return { verdict: worst(findings), findings, asked };
}

async function ask(check: Check, facts: Facts, signal: AbortSignal): Promise<readonly Finding[]> {
  if (signal.aborted) return [unknown(check, "there was no time left to ask this", [])];
  const own = deadline(CHECK_DEADLINE_MS, signal);
  try {
    return await orAborted(check.examine(facts, own), own);
  } catch (error) {
    if (own.aborted) return [unknown(check, "this could not be found out in time", [])];
    return [unknown(check, "this could not be found out", [oneLine(error)])];
  }
}

/** A moment more than the signal: a check that heeds it has something to clean up. */
const CLEANING_MS = 3000;

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const abort = (): void => {
      timer = setTimeout(() => reject(signal.reason), CLEANING_MS);
    };
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
  });
}

function unknown({ id, question }: Check, says: string, evidence: readonly string[]): Finding {
  return { id, verdict: "unknown", says: `${says}: ${question}`, evidence, remedy: [] };
}

const SEVERITY: readonly Verdict[] = ["bad", "doubtful", "good", "unknown"];

/** What is good outweighs what is unknown: something was found out. */
function worst(findings: readonly Finding[]): Verdict {
  return SEVERITY.find((verdict) => findings.some((finding) => finding.verdict === verdict)) ?? "unknown";
}

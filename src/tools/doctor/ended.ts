/** A program that failed under the doctor's eyes, and how its last words are read. */
import type { Facts, Finding, Remedy, TrialFact } from "./model.ts";
import type { TrialResult } from "./trial.ts";

/** A program that ended, and what is known of it. */
export interface Ended {
  readonly path: string;
  readonly facts: Facts;
  readonly trial: TrialFact;
  readonly result: TrialResult;
  /** Everything it printed to standard error. */
  readonly text: string;
}

export function badProgram(
  id: string,
  says: string,
  evidence: readonly string[],
  ...remedy: readonly Remedy[]
): Finding {
  return { id: `program.${id}`, verdict: "bad", says, evidence, remedy };
}

/** The place where Node says a file fails: its line `FILE:LINE`, and the excerpt below. */
export function placeIn(
  text: string,
): { readonly place: string; readonly excerpt: readonly string[] } | undefined {
  const found = /^(?:file:\/\/)?(\/[^\n]*?:\d+)(?::\d+)?\n([^\n]*)\n(\s*\^+[^\n]*)?/m.exec(text);
  if (found === null) return undefined;
  const [, place = "", line = "", marks] = found;
  return { place, excerpt: marks === undefined ? [line] : [line, marks] };
}

/** The line that names the error: `SyntaxError: …`. */
export function errorLine(text: string): string | undefined {
  return (
    /^(?:Uncaught )?(?:[A-Za-z]*Error|AssertionError)\b[^\n]*/m.exec(text)?.[0] ??
    /\b[A-Z]\w*Error(?: \[\w+\])?: [^\n]*/.exec(text)?.[0]
  );
}

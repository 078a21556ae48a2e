/** The words of a conformance run: verdicts and the report. Nothing here runs anything. */
/** How binding a statement is, in the sense of RFC 2119. A broken `must` fails the run, a broken `should` warns. */
export type Level = "must" | "should" | "may";

/**
 * `holds`; `broken`, with evidence; `absent`: optional, and the application does without; `untestable`: not with this
 * application, or not with these options.
 */
export type Outcome = "holds" | "broken" | "absent" | "untestable";

export interface Verdict {
  readonly outcome: Outcome;
  /** One sentence without its full stop; empty when there is nothing to say. */
  readonly says: string;
  /** The records both ways, in words. */
  readonly evidence: readonly string[];
}

/** A statement does not hold. */
export class Broken extends Error {
  override readonly name: string = "Broken";
  readonly evidence: readonly string[];
  constructor(says: string, evidence: readonly string[]) {
    super(says);
    this.evidence = evidence;
  }
}

/** A statement, and what became of it. */
export interface Result {
  readonly id: string;
  readonly section: string;
  readonly level: Level;
  readonly statement: string;
  readonly outcome: Outcome;
  readonly says: string;
  readonly evidence: readonly string[];
  readonly ms: number;
}

export interface ConformReport {
  readonly target: string;
  readonly results: readonly Result[];
  readonly counts: Readonly<Record<Outcome, number>>;
  /** Statements that are broken and binding. */
  readonly mustBroken: number;
  readonly shouldBroken: number;
  /** The statement after which the application answered no more; the run ends there. */
  readonly died: string | undefined;
  /** What the answers do not show, so that less could be compared. */
  readonly blind: readonly string[];
}

export function holds(says = ""): Verdict {
  return { outcome: "holds", says, evidence: [] };
}

export function absent(says: string): Verdict {
  return { outcome: "absent", says, evidence: [] };
}

export function untestable(says: string): Verdict {
  return { outcome: "untestable", says, evidence: [] };
}

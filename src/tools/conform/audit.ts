/**
 * What every record of an application has to keep to, whatever it was asked: watched on all connections of a run, judged
 * at its end. The statements about it are in statements-audit.ts.
 */

/** Something that was not kept, with the records that show it. */
export interface Violation {
  readonly says: string;
  readonly evidence: readonly string[];
}

export class Audit {
  readonly #seen = new Map<string, number>();
  readonly #violations = new Map<string, Violation>();

  /** There was an occasion to keep or break a rule. */
  saw(rule: string): void {
    this.#seen.set(rule, (this.#seen.get(rule) ?? 0) + 1);
  }

  /** It was broken; the first time is kept. */
  broken(rule: string, says: string, evidence: () => readonly string[]): void {
    this.saw(rule);
    if (!this.#violations.has(rule)) this.#violations.set(rule, { says, evidence: evidence() });
  }

  occasions(rule: string): number {
    return this.#seen.get(rule) ?? 0;
  }

  violation(rule: string): Violation | undefined {
    return this.#violations.get(rule);
  }
}

/** The form of a statement: data, and how it is tried. */
import type { Level, Verdict } from "./model.ts";
import type { Probe } from "./probe.ts";

/** One thing a specification asks of an application. */
export interface Statement {
  /** Its section and a word or two, such as `3.3-padding`. */
  readonly id: string;
  /** Of FastCGI 1.0, or `RFC 3875 §6.3`. Empty for what no specification says. */
  readonly section: string;
  readonly level: Level;
  /** What holds, in one sentence of our own. */
  readonly statement: string;
  /** Only a program that was started here can be asked. */
  readonly needsSpawn?: boolean;
  /** Throws {@link Broken} for what does not hold. */
  run(probe: Probe): Promise<Verdict> | Verdict;
}

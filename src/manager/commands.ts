/**
 * What the control socket can ask of the manager. `control.ts` speaks HTTP and calls this; `manager.ts` implements it.
 */
import type { ManagerSnapshot } from "../status/snapshot.ts";

/** The outcome of a command, as the client prints it. */
export interface Outcome {
  readonly ok: boolean;
  /** One sentence. Of a failed reload: what failed, and the first lines of the failure. */
  readonly message: string;
}

export interface Commands {
  status(): ManagerSnapshot;
  /** Resolves when the new generation serves, or has failed and the old one goes on. @param pool one pool, or all */
  reload(pool: string | undefined, mode: "all" | "phased" | undefined): Promise<Outcome>;
  /** Resolves as soon as the stop has begun. */
  stop(how: "graceful" | "now"): Outcome;
  /** @param workers absolute, or relative as "+1", "-2" */
  scale(pool: string | undefined, workers: string): Outcome;
  /** Replaces one worker, by pid or id: a new one first. */
  replace(worker: number): Outcome;
  reopenLogs(): Outcome;
}

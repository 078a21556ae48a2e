/** What the zoo leaves for the table that `npm test` prints: scripts/zoo.mjs reads it from Vitest's report. */
import "vitest";

declare module "vitest" {
  interface TaskMeta {
    zoo?: {
      readonly name: string;
      readonly server: string;
      readonly saw: string;
      readonly line: string;
      /** Id and sentence of the doctor's first finding. */
      readonly finding: string;
      /** How: `2 lines`, `1 line, 1 by hand`. */
      readonly mended: string;
    };
  }
}

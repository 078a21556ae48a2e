/** What a test leaves for the table in docs/web-servers.md: scripts/server-matrix.mjs reads it from Vitest's report. */
import "vitest";

declare module "vitest" {
  interface TaskMeta {
    /** What the client saw where web servers differ; absent: what the row says. */
    observed?: string;
    /** Why, for a note below the table. */
    because?: string;
    /** Of the web server. */
    version?: string;
    /** Rows that this site is not asked about, and why. */
    left?: Readonly<Record<string, string>>;
    /** Every site was run: the table can be written. */
    thorough?: boolean;
  }
}

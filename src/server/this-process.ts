/** What the access log needs of the process it is in. */
import type { LoggingProcess } from "./access-log-format.ts";

/** Calls back when the process exits, however that comes about but by a signal. @returns what forgets it */
export function whenExiting(callback: () => void): () => void {
  process.on("exit", callback);
  return () => process.off("exit", callback);
}

/** What lines of the access log may say about this process. */
export function loggingProcess(): LoggingProcess {
  let memoryBytes = 0;
  let measuredAt = Number.NEGATIVE_INFINITY;
  return {
    pool: process.env["POSTERN_POOL"],
    pid: process.pid,
    ppid: process.ppid,
    // Asking costs some µs: once a second is often enough.
    memoryBytes(): number {
      const now = performance.now();
      if (now - measuredAt >= 1000) {
        measuredAt = now;
        memoryBytes = process.memoryUsage.rss();
      }
      return memoryBytes;
    },
  };
}

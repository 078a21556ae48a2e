/** The logger of a worker: its messages go to the manager's log, with its pid. Output of the application is captured. */
import { type LogFields, type Logger, stderrLogger } from "../base/log.ts";
import type { FromWorker, WorkerSettings } from "./channel.ts";

/** @param tell returns whether the manager could be told; if not, the message goes to standard error */
export function workerLogger({ logLevel }: WorkerSettings, tell: (message: FromWorker) => boolean): Logger {
  const fallback = stderrLogger();
  const at =
    (level: keyof Logger) =>
    (fields: LogFields, message: string): void => {
      if (!tell({ type: "log", level, message, fields: plain(fields) })) fallback[level](fields, message);
    };
  const silent = (): void => {};
  return {
    debug: logLevel === "debug" ? at("debug") : silent,
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}

/** Fields as JSON can carry them: errors become text. */
function plain(fields: LogFields): object {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    result[name] = value instanceof Error ? (value.stack ?? String(value)) : value;
  }
  return result;
}

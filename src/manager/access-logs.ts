/**
 * The access log as the manager sees to it: workers write it themselves, as the user they run as, and may not be able to
 * make the file. So it is made here, and given to that user, before they need it.
 */
import { closeSync, constants, openSync } from "node:fs";
import type { PoolSettings } from "../config/types.ts";
import { compileFormat } from "../server/access-log-format.ts";
import { loggingProcess } from "../server/this-process.ts";
import { openLogFile } from "./log-file.ts";

/** @throws {SettingError} the format makes no sense, or the file cannot be opened */
export function prepareAccessLog(
  settings: Pick<PoolSettings, "program" | "accessLog" | "accessLogFormat" | "user">,
): void {
  const { program, accessLog, accessLogFormat, user } = settings;
  if (accessLog === undefined || program.kind !== "app") return;
  compileFormat(accessLogFormat, Number.POSITIVE_INFINITY, loggingProcess());
  if (accessLog !== "-") openLogFile(accessLog, user).close();
}

/**
 * Our standard output, for a worker to inherit. Opened anew where the system lets us: then a pipe that nobody reads
 * stops neither us nor the worker.
 */
export function openStandardOutput(): { readonly fd: number; close(): void } {
  try {
    const flags = constants.O_WRONLY | constants.O_APPEND | (constants.O_NONBLOCK ?? 0);
    const fd = openSync("/proc/self/fd/1", flags);
    return { fd, close: () => closeSync(fd) };
  } catch {
    return { fd: 1, close() {} }; // a socket, as systemd's journal is one; or not Linux
  }
}

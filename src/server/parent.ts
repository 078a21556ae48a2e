/**
 * Notices that the web server or starter of this program is gone, killed so that it could tell nobody. What it started
 * would stay for ever: holding its socket, its memory and its database connections, and serving old code to the next one.
 */
import { readFileSync } from "node:fs";
import type { Logger } from "../base/log.ts";

/**
 * Those that live as long as what they start, as Linux calls their processes. Everybody else may go: spawn-fcgi and
 * cgi-fcgi do so at once, a shell when its user logs out. h2o has a process that ends its programs.
 */
const STAYING = new Set(["apache2", "httpd", "lighttpd", "multiwatch", "supervisord"]);

/** How often it is looked, ms. */
const LOOK_MS = 1000;

/** Calls `leave` once when this process is started by one of {@link STAYING} and that one is gone. @returns ends the watch */
export function watchParent(logger: Logger, leave: () => void): () => void {
  const { ppid } = process;
  const parent = nameOf(ppid);
  if (!STAYING.has(parent)) return () => {};
  const watch = setInterval(() => {
    if (process.ppid === ppid) return;
    clearInterval(watch);
    logger.warn({ parent, pid: ppid }, "what started this process is gone: draining");
    leave();
  }, LOOK_MS);
  watch.unref();
  return () => clearInterval(watch);
}

/** Empty where there is no /proc, and for a process that is gone. */
function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

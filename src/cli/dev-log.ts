/** The lines that a web server adds to the log in its folder, as they come; without those that only say that all is well. */
import { closeSync, openSync, readSync, watch } from "node:fs";
import { join } from "node:path";
import { escapeControls } from "../base/text.ts";

const MOST_BYTES = 65_536;
/** nginx: `[notice]`; Apache: `[mpm_event:notice]`; lighttpd: that it starts and stops. */
const FINE =
  /\[(?:\w+:)?(?:notice|info|debug)\]|\((?:server|network)\.c\.\d+\) (?:server (?:started|stopped)|graceful|logfiles)/;

/** @returns ends it */
export function followLog(folder: string, name: string, onLine: (line: string) => void): () => void {
  const path = join(folder, name);
  let fd: number | undefined;
  let rest = "";
  const piece = Buffer.alloc(MOST_BYTES);
  const read = (): void => {
    try {
      fd ??= openSync(path, "r");
      for (let size = -1; size !== 0; ) {
        size = readSync(fd, piece);
        const lines = (rest + piece.toString("utf8", 0, size)).split("\n");
        rest = (lines.pop() ?? "").slice(0, MOST_BYTES);
        for (const line of lines) if (line !== "" && !FINE.test(line)) onLine(escapeControls(line));
      }
    } catch {
      // It is not there yet.
    }
  };
  const watcher = watch(folder, { persistent: false }, (_event, changed) => {
    if (changed === name) read();
  });
  watcher.on("error", () => {});
  return () => {
    watcher.close();
    read();
    if (fd !== undefined) closeSync(fd);
  };
}

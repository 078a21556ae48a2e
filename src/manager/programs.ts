/** Finds programs the way a shell does: the manager uses some that may not be installed. */
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";

/** Where the programs of the system are, when PATH says nothing: started by a web server, there may be none. */
export const STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The absolute path of a program, or undefined when there is none. @param path as in the variable PATH */
export function findProgram(name: string, path: string | undefined): string | undefined {
  for (const folder of `${path ?? ""}:${STANDARD_PATH}`.split(":")) {
    // An empty or relative part means the current folder, where nobody keeps programs of the system.
    if (!folder.startsWith("/")) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The Python that runs an application: which one, and where our worker for it is. */
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { SettingError } from "../base/errors.ts";
import { ownFile } from "../base/own-files.ts";
import { shebangOf } from "../config/python-app.ts";
import type { PoolSettings } from "../config/types.ts";
import { findProgram } from "./programs.ts";

const WORKER_PROGRAM: string = ownFile("python/postern_wsgi.py");

/** Folders of virtual environments, beside the application or where it runs. */
const ENVIRONMENTS = [".venv", "venv"];
/** Of the system: who writes `#!/usr/bin/python3` has not chosen it over a virtual environment. */
const OF_THE_SYSTEM = /^(?:\/usr(?:\/local)?)?\/bin\/(.*)/;

/**
 * The command of a worker. Looked for anew each time, so a reload sees what was installed.
 * @param file the application
 * @throws {SettingError} there is no Python
 */
export function pythonCommand(
  pool: Pick<PoolSettings, "name" | "python" | "chdir">,
  file: string,
  path: string | undefined,
): string[] {
  return [findPython(pool, file, path), WORKER_PROGRAM];
}

/**
 * What `python` says: a program, or the folder of a virtual environment. Else the one that the first line of the file
 * names; before one of the system comes that of a virtual environment beside the application. Else `python3`.
 */
function findPython(
  { name, python, chdir }: Pick<PoolSettings, "name" | "python" | "chdir">,
  file: string,
  path: string | undefined,
): string {
  if (python !== undefined) return chosen(name, python, path);
  const [shebang = ""] = shebangOf(file).split(/\s+/);
  const ofTheSystem = OF_THE_SYSTEM.exec(shebang)?.[1];
  const isThere = shebang.startsWith("/") && existsSync(shebang);
  if (isThere && ofTheSystem === undefined) return shebang;
  for (const folder of new Set([dirname(file), chdir])) {
    for (const environment of ENVIRONMENTS) {
      const found = join(folder, environment, "bin", "python");
      if (existsSync(found)) return found;
    }
  }
  if (isThere && ofTheSystem !== "env") return shebang;
  const found = findProgram("python3", path) ?? findProgram("python", path);
  if (found !== undefined) return found;
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `pool ${name}: there is no python3 in PATH (${path ?? ""}); install it (Debian: apt install python3), or name one with python`,
  );
}

function chosen(pool: string, python: string, path: string | undefined): string {
  if (!python.includes("/")) {
    const found = findProgram(python, path);
    if (found !== undefined) return found;
  } else if (statSync(python, { throwIfNoEntry: false })?.isDirectory()) {
    const found = join(python, "bin", "python");
    if (existsSync(found)) return found;
  } else if (existsSync(python)) {
    return python;
  }
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `pool ${pool}: setting python: there is no program ${python}${python.includes("/") ? "" : ` in PATH (${path ?? ""})`}, nor a virtual environment of that name; correct it, or leave it out`,
  );
}

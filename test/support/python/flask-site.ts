/** The site of docs/guide-python.md: a Flask application, its `.fcgi` file, and a shell in which `postern` is installed. */
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeSetting, type Setting } from "../e2e/documented.ts";
import { repositoryRoot } from "../paths.ts";
import { type Running, run, type StartOptions, start } from "../process.ts";
import { patience } from "../wait.ts";
import { PYTHON_FOLDER } from "./python.ts";

const EXAMPLE = join(repositoryRoot, "examples", "flask");
const CLI = join(repositoryRoot, "dist", "cli", "main.js");
/** What the guide calls the folder of our Python files. */
const DOCUMENTED_FOLDER = /\/(?:usr\/local\/lib|home\/yourname)\/node_modules\/postern\/python/g;

export interface FlaskSite extends Setting {
  /** yourapplication.py */
  readonly app: string;
  /** yourapplication.fcgi */
  readonly program: string;
  /** A text of the guide, with the folders of this machine. */
  here(text: string): string;
  /** A command line of the guide, in the site; all it prints. */
  shell(command: string, options?: StartOptions): Promise<string>;
  /** A command line that runs until it is stopped. */
  started(command: string, folder?: string): Running;
  /** Puts `insert` in front of the application's source. */
  spoil(insert: string): void;
}

export async function makeFlaskSite(): Promise<FlaskSite> {
  const setting = await makeSetting();
  const { site, run: runFolder } = setting;
  const [app, program] = ["yourapplication.py", "yourapplication.fcgi"].map((name) => join(site, name)) as [
    string,
    string,
  ];
  for (const path of [app, program]) cpSync(path.replace(site, EXAMPLE), path);
  chmodSync(program, 0o755);
  // Copied, as www-data need not be allowed to read the repository.
  const installed = join(dirname(site), "python");
  cpSync(PYTHON_FOLDER, installed, { recursive: true, filter: (path) => !path.includes("__pycache__") });
  const bin = join(dirname(site), "bin");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "node"));
  writeFileSync(join(bin, "postern"), `#!/bin/sh\nexec node ${CLI} "$@"\n`, { mode: 0o755 });
  const env = {
    PATH: `${bin}:/usr/bin:/bin:/usr/sbin`,
    HOME: site,
    LC_ALL: "C.UTF-8",
    PYTHONDONTWRITEBYTECODE: "1",
  };
  const here = (text: string): string =>
    text
      .replace(DOCUMENTED_FOLDER, installed)
      .replaceAll(/\/var\/www\/yourapplication|\/home\/yourname\/yourapplication/g, site)
      .replaceAll("/run/yourapplication", runFolder)
      // Another machine's account, where there is none.
      .replaceAll(
        setting.user === undefined ? / --listen-group www-data|, "listenGroup": "www-data"/g : /$^/g,
        "",
      );
  return {
    ...setting,
    app,
    program,
    here,
    async shell(command, options = {}) {
      const { stdout, stderr } = await run("/bin/sh", ["-c", here(command)], {
        cwd: site,
        env,
        timeoutMs: patience(30_000),
        ...options,
      });
      return `${stdout}\n${stderr}`;
    },
    started: (command, folder = site) =>
      start("/bin/sh", ["-c", `exec ${here(command)}`], { cwd: folder, env }),
    spoil: (insert) => writeFileSync(app, `${insert}\n${readFileSync(app, "utf8")}`),
  };
}

/**
 * The probe in Python (programs/probe-python): a worker of `postern serve`, or the `.fcgi` file of the classic guide,
 * which was written for flup, for a web server to start.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../paths.ts";
import { type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { serverUser } from "../web-servers/web-server.ts";
import { built, programPath } from "./built.ts";

/** The one that has the frameworks. */
export const DEBIAN_PYTHON = "/usr/bin/python3";

const PYTHON_FORMS = ["flask", "django", "bottle"] as const;
export type PythonForm = (typeof PYTHON_FORMS)[number];

export function pythonFormOf(form: string): PythonForm | undefined {
  return PYTHON_FORMS.find((one) => one === form);
}

/** What the guides put around an application, as they wrote it. */
export const MIDDLEWARES = {
  ScriptNameStripper: `
class ScriptNameStripper(object):
   def __init__(self, app):
       self.app = app

   def __call__(self, environ, start_response):
       environ['SCRIPT_NAME'] = ''
       return self.app(environ, start_response)

app = ScriptNameStripper(app)
`,
  // Of werkzeug.contrib.fixers, which the guide of lighttpd imports, in its first version.
  LighttpdCGIRootFix: `
class LighttpdCGIRootFix(object):

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        environ['PATH_INFO'] = environ.get('SCRIPT_NAME', '') + \\
            environ.get('PATH_INFO', '')
        environ['SCRIPT_NAME'] = ''
        return self.app(environ, start_response)

app = LighttpdCGIRootFix(app)
`,
} as const;
export type Middleware = keyof typeof MIDDLEWARES;

interface Options {
  readonly form: PythonForm;
  readonly serve?: Readonly<Record<string, unknown>>;
  readonly wrapped?: Middleware | undefined;
}

/** See `Startable` in probe.ts. `program` is where its text will be. */
export async function makePythonProbe(
  { form, serve = {}, wrapped }: Options,
  journal: string,
  program: string,
): Promise<{ readonly text: string; start(bind: string, at: number): Running }> {
  const folder = await installed();
  const base = serve["base"] as string | undefined;
  const settings = base === undefined ? "" : `, scriptName=${JSON.stringify(base)}`;
  const text = `#!${DEBIAN_PYTHON}
import os, sys
os.environ["PROBE_JOURNAL"] = ${JSON.stringify(journal)}
sys.path[:0] = [${JSON.stringify(join(folder, "python"))}, ${JSON.stringify(folder)}]
sys.dont_write_bytecode = True

from flup.server.fcgi import WSGIServer
from ${form}_app import app
${wrapped === undefined ? "" : MIDDLEWARES[wrapped]}
if __name__ == '__main__':
    WSGIServer(app${settings}).run()
`;
  const cli = join(repositoryRoot, "dist", "cli", "main.js");
  const user = serverUser();
  return {
    text,
    start(bind, at) {
      // What is wrapped is in the file.
      const app = wrapped === undefined ? `${form}_app:app` : program;
      const flags = ["--bind", bind, "--python", DEBIAN_PYTHON, "--name", `probe-${at}`];
      if (base !== undefined) flags.push("--base", base);
      if (user !== undefined) flags.push("--listen-group", user.group);
      flags.push("--control-socket", join(temporaryFolder("c"), "c.sock"), "--drain-timeout", "2s");
      return start(process.execPath, [cli, "serve", app, ...flags], {
        cwd: folder,
        env: { ...process.env, PROBE_JOURNAL: journal, PYTHONDONTWRITEBYTECODE: "1" },
      });
    },
  };
}

let home: Promise<string> | undefined;

/** The program, and Postern's files for Python, where www-data may read them: see probe.ts. */
function installed(): Promise<string> {
  home ??= install();
  return home;
}

async function install(): Promise<string> {
  await built();
  const folder = temporaryFolder("probe-python");
  cpSync(programPath("probe-python"), folder, { recursive: true });
  cpSync(join(repositoryRoot, "python"), join(folder, "python"), { recursive: true });
  return folder;
}

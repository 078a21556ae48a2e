/**
 * What an application in Python says of why it does not start: Python is not there, or not the one that has its modules;
 * a module or a name is missing; a mistake in its source. The texts are those of Python 3.8 to 3.13, and of our worker.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ownFile } from "../../base/own-files.ts";
import { clip } from "../../base/text.ts";
import { isPythonApp } from "../../config/python-app.ts";
import { shWord } from "../../generate/quoting.ts";
import { badProgram, type Ended } from "./ended.ts";
import type { Finding, Remedy } from "./model.ts";
import { readProgram } from "./program-file.ts";

/** Undefined for what is no Python, or says nothing of this kind. */
export function pythonFailure(given: Ended): Finding | undefined {
  if (!isPythonApp(given.path)) return undefined;
  const ended = { ...given, text: withoutLog(given.text) };
  return pythonMissing(ended) ?? moduleMissing(ended) ?? notServed(ended) ?? syntaxError(ended);
}

/** An exception that nothing else explains; asked after the rules for variables and permissions. */
export function pythonException({ path, text }: Ended): Finding | undefined {
  if (!isPythonApp(path)) return undefined;
  const [traceback] = /Traceback \(most recent call last\):[\s\S]*/.exec(withoutLog(text)) ?? [];
  const line = traceback === undefined ? undefined : /^[A-Za-z_][\w.]*(?::[^\n]*)?$/m.exec(traceback)?.[0];
  if (traceback === undefined || line === undefined) return undefined;
  const at = placesIn(traceback.slice(0, traceback.indexOf(`\n${line}`) + 1)).at(-1);
  const evidence = at === undefined ? [] : [`${at.file}:${at.line}`, at.source];
  return badProgram("throws", `the program ends with an error: ${clip(line, 200)}`, evidence, {
    advice: "mend it; the whole traceback is what the program prints when it is started by hand",
  });
}

/** What postern serve logs it says once more at its end, without times in front of the lines. */
function withoutLog(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^\d{4}-\d\d-\d\dT\S+ \w+ /.test(line))
    .join("\n");
}

function pythonMissing({ text }: Ended): Finding | undefined {
  const [line, path] = /there is no python3 in PATH \(([^)]*)\)/.exec(text) ?? [];
  if (line !== undefined) {
    return badProgram(
      "python-missing",
      "there is no python3 where the application is started",
      [`PATH=${path}`],
      {
        advice: "install it (Debian: apt install python3), or name one with --python",
      },
    );
  }
  const [, named] =
    /setting python: there is no program ([^\n]*?)(?: in PATH \(|, nor a virtual)/.exec(text) ?? [];
  if (named === undefined) return undefined;
  const says = `there is no ${named}, which the setting python names`;
  return badProgram("python-missing", says, [], {
    advice: "correct it, or leave it out: .venv beside the application is found by itself, else python3",
  });
}

function moduleMissing(ended: Ended): Finding | undefined {
  const { path, text } = ended;
  const [, sentence] = /application [^\n]*: (there is no module [^\n;]*)/.exec(text) ?? [];
  if (sentence !== undefined) {
    return badProgram("module-missing", sentence, [], {
      advice: "name it as package.module:name, seen from that folder, or put the folder before it",
    });
  }
  const [line, name] = /ModuleNotFoundError: No module named '([\w.]+)'/.exec(text) ?? [];
  if (line === undefined || name === undefined) return undefined;
  if (/^flup\b/.test(name)) return flupMissing(ended, line);
  const [pack = name] = name.split(".");
  const python =
    /is not installed for (?:the virtual environment )?([^\n:]+):/.exec(text)?.[1] ?? pythonOf(ended);
  const folder = dirname(path);
  const own = environmentWith(pack, folder);
  if (own !== undefined && !python.startsWith(`${own}/`) && python !== own) {
    const says = `${pack} is installed in ${own}, and the application is run by ${python}`;
    return badProgram("wrong-python", says, [line], usingEnvironment(ended, own));
  }
  const says = `the module ${pack} is not installed for ${python}`;
  return badProgram(
    "module-missing",
    says,
    [line, ...listedIn(folder, pack)],
    ...installing(pack, python, folder),
  );
}

/** The package in this place is ours. */
function flupMissing({ path }: Ended, line: string): Finding {
  const library = ownFile("python");
  const [written] = /^(?:from|import) flup/m.exec(readText(path)) ?? [];
  const says = "flup is not installed, and neither is the stand-in for it on PYTHONPATH";
  const remedy: Remedy =
    written === undefined
      ? { advice: `give it PYTHONPATH=${library} where it is started` }
      : {
          file: path,
          from: written,
          to: `import sys; sys.path.append(${JSON.stringify(library)}); ${written}`,
        };
  return badProgram("module-missing", says, [line, "postern serve FILE needs neither"], remedy);
}

/** The virtual environment beside the application that has the package. */
function environmentWith(pack: string, folder: string): string | undefined {
  return [".venv", "venv"]
    .map((name) => join(folder, name))
    .find((environment) => {
      const libraries = join(environment, "lib");
      if (!existsSync(libraries)) return false;
      return readdirSync(libraries).some((version) => {
        const there = join(libraries, version, "site-packages", pack);
        return existsSync(there) || existsSync(`${there}.py`);
      });
    });
}

function usingEnvironment({ path, trial }: Ended, environment: string): Remedy {
  const shebang = trial.command[0] === path ? readProgram(path).shebang : undefined;
  const python = join(environment, "bin", "python");
  if (shebang === undefined) return { advice: `start it with --python ${environment}` };
  return { file: path, line: 1, from: shebang.line, to: `#!${python}` };
}

function installing(pack: string, python: string, folder: string): Remedy[] {
  const requirements = join(folder, "requirements.txt");
  const what =
    listedIn(folder, pack).length > 0 ? `-r ${shWord("file", requirements)}` : shWord("module", pack);
  const isEnvironment = existsSync(join(python, "pyvenv.cfg"));
  if (isEnvironment)
    return [{ run: `${shWord("python", join(python, "bin", "python"))} -m pip install ${what}` }];
  // Distributions refuse pip into their own Python (PEP 668).
  const environment = shWord("folder", join(folder, ".venv"));
  return [
    { run: `${shWord("python", python)} -m venv ${environment}` },
    { run: `${environment}/bin/python -m pip install ${what}` },
    { advice: "or install the distribution's package (Debian: apt install python3-NAME)" },
  ];
}

function listedIn(folder: string, pack: string): string[] {
  const file = join(folder, "requirements.txt");
  const name = pack.replace(/[-_]/g, "[-_]");
  return new RegExp(`^${name}\\b`, "im").test(readText(file)) ? [`${file} lists it`] : [];
}

/** The interpreter that runs it, as far as can be told from outside. */
function pythonOf({ path, trial }: Ended): string {
  const shebang = trial.command[0] === path ? readProgram(path).shebang : undefined;
  return shebang === undefined || /\/env$/.test(shebang.interpreter) ? "python3" : shebang.interpreter;
}

/** What our worker says of an application that it cannot serve. */
function notServed({ text, facts }: Ended): Finding | undefined {
  const [, shown = "", sentence] = /postern: application ([^\n]*?): (?!could not)([^\n]+)/.exec(text) ?? [];
  if (sentence === undefined) return undefined;
  const [, missing, has = ""] = /^there is no (\S+)(?: \(it has ([^)]*)\))?/.exec(sentence) ?? [];
  const [says = "", ...advice] = sentence.split("; ");
  if (missing === undefined) {
    return badProgram("bad-export", `${shown} cannot be served: ${clip(says, 300)}`, [], {
      advice: advice.join("; ") || "name the WSGI application: package.module:name",
    });
  }
  const names = has.split(", ").filter((name) => name !== "");
  const likely = ["app", "application"].find((name) => names.includes(name));
  const [module = ""] = (facts.application?.file ?? shown).split(":");
  return badProgram(
    "bad-export",
    `there is no ${missing} in ${module}`,
    names.length > 0 ? [`it has ${names.join(", ")}`] : [],
    {
      advice:
        likely === undefined
          ? "name the WSGI application: package.module:name, or name() for a function that makes one"
          : `say ${module}:${likely}`,
    },
  );
}

function syntaxError({ text }: Ended): Finding | undefined {
  const line = /^(?:[^\n]*\s)?((?:Syntax|Indentation|Tab)Error: [^\n]*)$/m.exec(text)?.[1];
  if (line === undefined) return undefined;
  const at = placesIn(text).at(-1);
  if (at === undefined) return undefined;
  const place = `${at.file}:${at.line}`;
  const says = `the program is not valid Python at ${place}: ${line}`;
  return badProgram("syntax-error", says, [at.source], {
    advice: `mend ${place}; python3 -m py_compile says when the file is valid`,
  });
}

/** `File "…", line N`, and the source below it. */
function placesIn(text: string): { file: string; line: string; source: string }[] {
  return [...text.matchAll(/ File "([^"\n]+)", line (\d+)[^\n]*\n([^\n]*)/g)].map(
    ([, file = "", line = "", source = ""]) => ({ file, line, source: source.trim() }),
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

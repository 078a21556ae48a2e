/** A program that ends because a variable is missing from its environment: which, and where it is to be had. */
import { existsSync, readFileSync } from "node:fs";
import { clip } from "../../base/text.ts";
import { shWord } from "../../generate/quoting.ts";
import type { Ended } from "./ended.ts";
import { envFileOf, variablesOf } from "./facts.ts";
import type { Finding, Remedy } from "./model.ts";
import { readProgram } from "./program-file.ts";

export function missingVariable({ text, path, trial, facts }: Ended): Finding | undefined {
  const { application, options } = facts;
  const file = application === undefined ? undefined : envFileOf(application);
  const inFile = file === undefined ? {} : variablesOf(file);
  const inShell = options?.environment ?? {};
  const source = sourceOf(path);
  const line = linesWithNames(text).find(({ names }) =>
    names.some(
      (name) => trial.environment[name] === undefined && isVariable(name, source, text, inFile, inShell),
    ),
  );
  const name = line?.names.find(
    (one) => trial.environment[one] === undefined && isVariable(one, source, text, inFile, inShell),
  );
  if (line === undefined || name === undefined) return undefined;
  const evidence = [
    clip(line.line.trim(), 300),
    `the environment it is started with has ${namesOf(trial.environment)}`,
  ];
  if (file !== undefined && inFile[name] !== undefined)
    evidence.push(`${file} has it, and nobody reads that file`);
  if (inShell[name] !== undefined)
    evidence.push("this shell has it, which the web server and the service do not see");
  return {
    id: "program.environment-missing",
    verdict: "bad",
    says: `the program fails because the environment variable ${name} is missing where it is started`,
    evidence,
    remedy: remedyOf(
      name,
      path,
      file !== undefined && inFile[name] !== undefined ? file : undefined,
      trial.command,
    ),
  };
}

function remedyOf(
  name: string,
  path: string,
  file: string | undefined,
  command: readonly string[],
): Remedy[] {
  const isProgram = command[0] === path;
  if (!isProgram) {
    const flag = file === undefined ? `--env ${name}=VALUE` : `--env-file ${shWord("file", file)}`;
    return [{ advice: `start it with postern serve ${flag}, or set it in the service that starts it` }];
  }
  const shebang = existsSync(path) ? readProgram(path).shebang : undefined;
  const isPlainNode =
    shebang !== undefined && /(?:^|[\s/])node(?:js)?$/.test(shebang.line) && !/\s/.test(file ?? " ");
  if (file === undefined || shebang === undefined || !isPlainNode) {
    return [
      {
        advice: `give it to the program where the web server starts it: FcgidInitialEnv ${name} VALUE (mod_fcgid), "bin-environment" (lighttpd), or NAME=VALUE in a shell script that execs it`,
      },
    ];
  }
  const node = /(\S*node(?:js)?)$/.exec(shebang.line)?.[1] ?? "node";
  return [{ file: path, line: 1, from: shebang.line, to: `#!/usr/bin/env -S ${node} --env-file=${file}` }];
}

/** Lines of an error, with the words in them that look like variables. */
function linesWithNames(text: string): { line: string; names: string[] }[] {
  return text.split("\n").flatMap((line) => {
    const names = line.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b/g)?.filter((word) => word.length > 2) ?? [];
    return names.length > 0 ? [{ line, names }] : [];
  });
}

/** Codes of errors look like variables: it is one when the program, an environment or the message says so. */
function isVariable(
  name: string,
  source: string,
  text: string,
  inFile: Readonly<Record<string, string>>,
  inShell: Readonly<Record<string, string | undefined>>,
): boolean {
  if (/^(?:ERR_|E[A-Z]{3,}$|POSTERN_)/.test(name)) return false;
  const used = new RegExp(
    `\\benv(?:iron(?:ment)?)?\\b(?:\\.|\\[\\s*["']|\\.get\\(\\s*["'])${name}\\b|\\bgetenv\\(\\s*["']${name}\\b`,
  );
  if (used.test(source) || used.test(text)) return true;
  const isSaid = new RegExp(
    `(?:environment|env|variable|set|missing|required|undefined)\\b[^\\n]*\\b${name}\\b|\\b${name}\\b[^\\n]*\\b(?:set|missing|required|undefined|environment|empty)\\b`,
    "i",
  );
  return (
    (inFile[name] !== undefined || inShell[name] !== undefined || name.includes("_")) && isSaid.test(text)
  );
}

function namesOf(environment: Readonly<Record<string, string>>): string {
  const names = Object.keys(environment);
  return names.length > 0 ? clip(names.join(", "), 200) : "nothing";
}

function sourceOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

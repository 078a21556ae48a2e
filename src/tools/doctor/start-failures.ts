/**
 * What a program that ended says of why, in the order in which it is looked for: the first rule that fits names the
 * cause. The texts are those of Node 20 to 26, V8, and Postern itself.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { clip } from "../../base/text.ts";
import { shWord } from "../../generate/quoting.ts";
import { forbids, openWay, packageFolder, walk } from "./access.ts";
import { linesOf } from "./answer-findings.ts";
import { badProgram, type Ended, errorLine, placeIn } from "./ended.ts";
import { missingVariable } from "./environment-failure.ts";
import type { Finding, Remedy } from "./model.ts";
import { moduleSystem } from "./module-system-failure.ts";
import { pythonException, pythonFailure } from "./python-failure.ts";

type Rule = (ended: Ended) => Finding | undefined;

/** Why it ended; undefined when it does not say. */
export function causeOfEnd(ended: Ended): Finding | undefined {
  for (const rule of RULES) {
    const found = rule(ended);
    if (found !== undefined) return found;
  }
  return undefined;
}

const outOfMemory: Rule = ({ text, result, path }) => {
  const isHeap = /heap out of memory|Allocation failed/.test(text);
  const isKilled = result.exit?.signal === "SIGKILL" || result.exit?.code === 137;
  if (!isHeap && !isKilled) return undefined;
  const line =
    /^FATAL ERROR[^\n]*/m.exec(text)?.[0] ??
    "it was killed with SIGKILL, as the kernel does when memory runs out";
  const first = firstLineOf(path);
  const limit = /--max[-_]old[-_]space[-_]size=(\d+)/.exec(first);
  const remedy: Remedy =
    limit === null
      ? {
          advice:
            "give it more: --node-args=--max-old-space-size=512, or a larger memory limit of its service or container",
        }
      : {
          file: path,
          line: 1,
          from: limit[0],
          to: limit[0].replace(limit[1]!, String(Math.max(256, Number(limit[1]) * 2))),
        };
  const evidence = [clip(line, 300), ...(limit === null ? [] : [`line 1 of ${path} is ${first}`])];
  return badProgram("out-of-memory", "the program runs out of memory", evidence, remedy);
};

const moduleMissing: Rule = ({ text, path, trial }) => {
  const [line, name = "", by = path] =
    /Cannot find (?:package|module) '([^']+)'(?: imported from (\S[^\n]*))?/.exec(text) ?? [];
  if (line === undefined) return undefined;
  const asking = (/Require stack:\n- (\S[^\n]*)/.exec(text)?.[1] ?? by).trim().replace(/^file:\/\//, "");
  const from = resolve(dirname(path), asking);
  const evidence = [line, `asked for by ${from}`];
  if (name.startsWith(".") || name.startsWith("/") || name.startsWith("file:"))
    return fileMissing(name, from, evidence);
  const pack = name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
  const installed = installedAt(pack, from);
  if (installed !== undefined && trial.user !== undefined) {
    const { obstacle, obstacles, steps } = walk(join(installed, "package.json"), trial.user, ["r"]);
    if (obstacle !== undefined) {
      return badProgram(
        "module-unreadable",
        `${trial.user.name} ${forbids(obstacle)}, so the module ${pack} is not found`,
        [...evidence, ...steps],
        ...openWay(obstacles, trial.user),
      );
    }
  }
  const folder = packageFolder(from) ?? dirname(from);
  const isListed = dependenciesOf(join(folder, "package.json")).includes(pack);
  const where = isListed
    ? `${folder}/package.json lists it, and it is not installed`
    : `${folder}/package.json does not list it`;
  const command = isListed ? "npm install" : `npm install ${shWord("module", pack)}`;
  const says = `the module ${pack} is not installed where ${from} looks for it`;
  return badProgram("module-missing", says, [...evidence, where], {
    run: `cd ${shWord("folder", folder)} && ${command}`,
  });
};

function fileMissing(name: string, from: string, evidence: readonly string[]): Finding {
  const path = name.startsWith(".") ? join(dirname(from), name) : name.replace(/^file:\/\//, "");
  const near = [".js", ".mjs", ".cjs", ".ts", "/index.js"].find((ending) => isFile(path + ending));
  if (near !== undefined && name.startsWith(".")) {
    const says = `${from} imports ${name}, and there is only ${path}${near}`;
    return badProgram("module-missing", says, evidence, { file: from, from: name, to: name + near });
  }
  const says = `${from} asks for ${path}, which is not there`;
  return badProgram("module-missing", says, evidence, {
    advice: `put ${path} there (was it built, and uploaded?), or mend its name`,
  });
}

/** Where a package is that somebody with more rights would find. */
function installedAt(pack: string, from: string): string | undefined {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const there = join(folder, "node_modules", pack);
    if (isFile(join(there, "package.json"))) return there;
    if (folder === dirname(folder)) return undefined;
  }
}

const syntaxError: Rule = ({ text, path }) => {
  const line =
    /^(?:SyntaxError|\[?TSError|Error \[ERR_INVALID_TYPESCRIPT_SYNTAX\])[^\n]*/m.exec(text)?.[0] ??
    /SyntaxError: [^\n]*/.exec(text)?.[0];
  if (line === undefined) return undefined;
  const at = placeIn(text) ?? shortPlace(line, path);
  if (at === undefined)
    return badProgram("syntax-error", `the program is not valid JavaScript: ${line}`, linesOf(text), {
      advice: "mend it; node --check FILE says when it is valid",
    });
  const says = `the program is not valid JavaScript at ${at.place}: ${line}`;
  return badProgram("syntax-error", says, at.excerpt, {
    advice: `mend ${at.place}; node --check says when the file is valid`,
  });
};

/** `… (syntax.js:2)`, as a program of ours answers that cannot start. */
function shortPlace(line: string, path: string): ReturnType<typeof placeIn> {
  const [, name = "", number] = /\(([^()]+):(\d+)\)$/.exec(line) ?? [];
  if (number === undefined) return undefined;
  const file = resolve(dirname(path), name);
  return { place: `${file}:${number}`, excerpt: [lineOf(file, Number(number))] };
}

const noSpace: Rule = ({ text }) => {
  const line = /[^\n]*\bENOSPC\b[^\n]*/.exec(text)?.[0];
  if (line === undefined) return undefined;
  return badProgram("disk-full", "the program ends because a disk is full", [clip(line.trim(), 300)], {
    advice: "make room there: df -h shows which disk is full",
  });
};

const noPermission: Rule = ({ text, trial, facts }) => {
  const found =
    /(?:EACCES|EPERM): (?:permission denied|operation not permitted), (\w+) '([^']+)'/.exec(text) ??
    /PermissionError: \[Errno 13\] Permission denied(): '([^']+)'/.exec(text); // Python's
  if (found === null) return undefined;
  const [line, given, file = ""] = found;
  const call = given || "open";
  const user = trial.user ?? facts.application?.user;
  const needs =
    call === "listen" || /^(?:mkdir|unlink|rename)/.test(call) ? (["w", "x"] as const) : (["r"] as const);
  const target = needs.length === 2 ? dirname(file) : file;
  const way = user === undefined ? undefined : walk(target, user, [...needs]);
  const says = `the program may not ${call} ${file}`;
  if (user === undefined || way?.obstacle === undefined) {
    return badProgram("no-file-permission", says, [line], {
      advice: `let its user use ${file}: namei -l ${file} shows the permissions on the way`,
    });
  }
  return badProgram(
    "no-file-permission",
    `${says}: ${user.name} ${forbids(way.obstacle)}`,
    [line, ...way.steps],
    ...openWay(way.obstacles, user),
  );
};

const addressInUse: Rule = ({ text }) => {
  const line = /[^\n]*(?:EADDRINUSE|ERR_POSTERN_SOCKET_IN_USE|already (?:in use|served|listens))[^\n]*/.exec(
    text,
  )?.[0];
  if (line === undefined) return undefined;
  return badProgram(
    "address-in-use",
    "the address on which the program listens is taken",
    [clip(line.trim(), 300)],
    {
      advice: "this may be the running application itself; if not, end who has it, or choose another address",
    },
  );
};

/** Nothing keeps the process alive while it waits: Node leaves, with this exit code. */
const UNSETTLED_AWAIT = 13;

const unsettledAwait: Rule = ({ text, result, path }) => {
  const line =
    /[^\n]*(?:unsettled top-level await|top-level await that never settles|awaits something that nothing will ever settle)[^\n]*/.exec(
      text,
    )?.[0];
  if (line === undefined && result.exit?.code !== UNSETTLED_AWAIT) return undefined;
  const evidence = line === undefined ? [`exit code ${UNSETTLED_AWAIT}`] : [clip(line.trim(), 300)];
  return badProgram("never-ready", `an await at the top level of ${path} never ends`, evidence, {
    advice: "it waits for something that never comes, such as a connection to a database: give it a deadline",
  });
};

const noApplication: Rule = ({ text }) => {
  const line = /[^\n]*(?:ERR_POSTERN_BAD_APP|the application is |it exports )[^\n]*/.exec(text)?.[0];
  return line === undefined ? undefined : badExport(line);
};

export function badExport(line: string): Finding {
  return badProgram("bad-export", "what the file exports is no application", [clip(line.trim(), 400)], {
    advice:
      "export default it: a function (req, res), an object with fetch, an http.Server or a framework's object",
  });
}

const threw: Rule = ({ text }) => {
  const line = errorLine(text);
  if (line === undefined) return undefined;
  const at = placeIn(text);
  const stack = /^\s+at [^\n]*/m.exec(text)?.[0].trim();
  const evidence = at === undefined ? [...(stack === undefined ? [] : [stack])] : [at.place, ...at.excerpt];
  return badProgram("throws", `the program ends with an error: ${clip(line, 200)}`, evidence, {
    advice: "mend it; the whole error is what the program prints when it is started by hand",
  });
};

const RULES: readonly Rule[] = [
  outOfMemory,
  noSpace,
  pythonFailure,
  moduleSystem,
  moduleMissing,
  missingVariable,
  noPermission,
  pythonException,
  syntaxError,
  unsettledAwait,
  addressInUse,
  noApplication,
  threw,
];

function firstLineOf(path: string): string {
  return lineOf(path, 1);
}

function lineOf(path: string, number: number): string {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/)[number - 1] ?? "";
  } catch {
    return "";
  }
}

function dependenciesOf(file: string): string[] {
  try {
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(file, "utf8")) as Record<
      string,
      object
    >;
    return Object.keys({ ...dependencies, ...optionalDependencies });
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  return extname(path) !== "" && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

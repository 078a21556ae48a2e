/** Questions about a program's first line: what the kernel makes of it, and the Node it leads to. */
import { execFile } from "node:child_process";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { shWord } from "../../generate/quoting.ts";
import { findOnPath, forbids, openWay, packageFolder, walkAndAsk } from "./access.ts";
import { BARE_PATH } from "./facts.ts";
import type { Check, Facts, Finding, Remedy } from "./model.ts";
import { type ProgramFile, readProgram, type Shebang } from "./program-file.ts";
import { good, type ProgramOf, programsOf } from "./programs.ts";

const run = promisify(execFile);

/** As package.json of Postern says. */
const OLDEST_NODE = "20.19.0";

export const firstLineCheck: Check = {
  id: "program.first-line",
  question: "Does the first line lead to an interpreter, as the web server's environment has it?",
  examine: (facts) => each(facts, async (program, file) => [await firstLine(program, file, facts)]),
};

export const nodeVersionCheck: Check = {
  id: "program.node-version",
  question: "Is the Node that runs it new enough?",
  examine: (facts, signal) =>
    each(facts, async (program, file) => {
      const node = file.shebang === undefined ? undefined : interpreterOf(file.shebang, program.searchPath);
      if (node === undefined || !/^node(?:js)?$/.test(basename(node))) return [];
      if (statSync(node, { throwIfNoEntry: false })?.isFile() !== true) return [];
      return [await nodeVersion(program, file, node, facts, signal)];
    }),
};

/** Every program that is started by its first line, and can be read. */
async function each(
  facts: Facts,
  ask: (program: ProgramOf, file: ProgramFile) => Promise<readonly Finding[]>,
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const program of programsOf(facts)) {
    if (!program.isStarted || statSync(program.path, { throwIfNoEntry: false })?.isFile() !== true) continue;
    const file = readProgram(program.path);
    if (!file.isElf) found.push(...(await ask(program, file)));
  }
  return found;
}

async function firstLine(program: ProgramOf, file: ProgramFile, facts: Facts): Promise<Finding> {
  const { path, searchPath, user } = program;
  const word = shWord("path", path);
  const bad = (
    id: string,
    says: string,
    evidence: readonly string[],
    ...remedy: readonly Remedy[]
  ): Finding => ({
    id: `program.${id}`,
    verdict: "bad",
    says,
    evidence,
    remedy,
  });
  if (file.hasBom) {
    return bad(
      "bom",
      `${path} begins with a byte order mark, so the kernel does not see its first line`,
      ["its first bytes are EF BB BF"],
      { run: `sed -i '1s/^\\xEF\\xBB\\xBF//' ${word}` },
      ...(file.hasCrLf ? [{ run: `sed -i 's/\\r$//' ${word}` }] : []),
    );
  }
  const { shebang } = file;
  if (shebang === undefined) {
    const interpreter =
      file.isJavaScript || !/\.(?:py|pl|php|rb|sh)$/.test(path) ? nodeOf(facts) : "the interpreter";
    const says = `${path} has no first line that names its interpreter, so it cannot be started as a program`;
    const first = file.text.split("\n", 1)[0] ?? "";
    return bad("no-shebang", says, [`its first line is ${JSON.stringify(first.slice(0, 80))}`], {
      run: `sed -i '1i #!${interpreter}' ${word}`,
    });
  }
  if (file.hasCrLf) {
    return bad(
      "crlf",
      `${path} has line ends of Windows: the kernel looks for an interpreter whose name ends with a carriage return`,
      [`line 1 is ${JSON.stringify(`${shebang.line}\r`)}`],
      { run: `sed -i 's/\\r$//' ${word}` },
    );
  }
  const evidence = [`line 1 of ${path} is ${shebang.line}`];
  const isEnv = basename(shebang.interpreter) === "env";
  if (isEnv && !/^-/.test(shebang.argument) && /\s/.test(shebang.argument)) {
    return bad(
      "shebang-arguments",
      `the kernel hands ${JSON.stringify(shebang.argument)} to env as one word, and there is no program of that name`,
      evidence,
      { file: path, line: 1, from: `${shebang.interpreter} `, to: `${shebang.interpreter} -S ` },
    );
  }
  if (statSync(shebang.interpreter, { throwIfNoEntry: false })?.isFile() !== true) {
    const name = basename(shebang.interpreter);
    const there =
      name === "node" || name === "nodejs"
        ? nodeOf(facts)
        : (python3Of(name) ?? findOnPath(name, process.env["PATH"] ?? ""));
    return bad(
      "interpreter-missing",
      `there is no ${shebang.interpreter}, which the first line of ${path} names`,
      evidence,
      there === undefined
        ? { advice: `install ${name}, or name the interpreter that there is` }
        : { file: path, line: 1, from: shebang.interpreter, to: there },
    );
  }
  const interpreter = interpreterOf(shebang, searchPath);
  if (interpreter === undefined) {
    const name = envProgram(shebang) ?? "";
    const there = name === "node" ? nodeOf(facts) : findOnPath(name, process.env["PATH"] ?? "");
    return bad(
      `${name === "node" ? "node" : "interpreter"}-not-on-path`,
      `env does not find ${name}: it is in no folder of the PATH that the program is started with`,
      [...evidence, `PATH=${searchPath}`, ...(there === undefined ? [] : [`${name} is ${there}`])],
      there === undefined
        ? { advice: `install ${name} for all users` }
        : { file: path, line: 1, ...absolute(shebang, name, there) },
    );
  }
  if (user !== undefined) {
    const way = await walkAndAsk(interpreter, user, ["x"]);
    if (way.obstacle !== undefined) {
      return bad(
        "interpreter-permission",
        `${user.name} ${forbids(way.obstacle)}, and so cannot run ${interpreter}`,
        [...evidence, ...way.steps],
        ...openWay(way.obstacles, user),
      );
    }
  }
  return good("program.first-line", `${path} is run by ${interpreter}`, evidence);
}

/** What today's systems have in the place of `python`. */
function python3Of(name: string): string | undefined {
  return /^python(?:3[\d.]*)?$/.test(name) ? findOnPath("python3", BARE_PATH) : undefined;
}

/** `env node` → the full path; with `-S` only the name is replaced. */
function absolute(
  { interpreter, argument }: Shebang,
  name: string,
  path: string,
): { from: string; to: string } {
  return argument === name
    ? { from: `${interpreter} ${name}`, to: path }
    : { from: ` ${name}`, to: ` ${path}` };
}

/** The program behind `env`, without its flags and variables. */
function envProgram({ argument }: Shebang): string | undefined {
  return argument.split(/\s+/).find((word) => word !== "" && !word.startsWith("-") && !word.includes("="));
}

/** What really interprets; undefined when env does not find it. */
function interpreterOf(shebang: Shebang, searchPath: string): string | undefined {
  if (basename(shebang.interpreter) !== "env") return shebang.interpreter;
  const name = envProgram(shebang) ?? "";
  const path = /(?:^|\s)PATH=(\S+)/.exec(shebang.argument)?.[1] ?? searchPath;
  return name.startsWith("/") ? name : findOnPath(name, path);
}

/** The Node that is to run applications: the one that runs us. A link in /usr/bin outlives its next release. */
function nodeOf({ options }: Facts): string {
  const own = options?.postern[0] ?? process.execPath;
  const link = findOnPath("node", "/usr/local/bin:/usr/bin");
  return link !== undefined && realpathSync(link) === realpathSync(own) ? link : own;
}

async function nodeVersion(
  { path }: ProgramOf,
  { shebang }: ProgramFile,
  node: string,
  facts: Facts,
  signal: AbortSignal,
): Promise<Finding> {
  const { stdout } = await run(node, ["--version"], { timeout: 5000, signal });
  const version = /^v?(\d+\.\d+\.\d+)/.exec(stdout.trim())?.[1];
  if (version === undefined) {
    const says = `${node} does not say which version it is`;
    return {
      id: "program.node-version",
      verdict: "unknown",
      says,
      evidence: [stdout.slice(0, 80)],
      remedy: [],
    };
  }
  const wanted = oldestFor(path);
  if (!isOlder(version, wanted.version)) return good("program.node-version", `${node} is Node ${version}`);
  const ours = nodeOf(facts);
  const isBetter = ours !== node && !isOlder(process.versions.node, wanted.version);
  const line = shebang?.line.slice(2).trim() ?? "";
  return {
    id: "program.node-too-old",
    verdict: "bad",
    says: `the program is run by Node ${version}, and ${wanted.who} needs ${wanted.version} or newer`,
    evidence: [`line 1 of ${path} is ${shebang?.line ?? ""}`, `${node} --version says ${version}`],
    remedy: isBetter
      ? [
          {
            file: path,
            line: 1,
            from: line,
            to: /\s-S\s/.test(line) ? line.replace(/\bnode\b(?!.*\bnode\b)/, ours) : ours,
          },
        ]
      : [{ advice: `install Node ${wanted.version} or newer, and name it in the first line of ${path}` }],
  };
}

/** The oldest Node that will do: Postern's own, or what the application's package asks for. */
function oldestFor(path: string): { readonly version: string; readonly who: string } {
  const folder = packageFolder(path);
  const least = { version: OLDEST_NODE, who: "Postern" };
  if (folder === undefined) return least;
  const engines = enginesOf(join(folder, "package.json"));
  const asked = /^>=\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(engines ?? "");
  if (asked === null) return least;
  const version = `${asked[1]}.${asked[2] ?? 0}.${asked[3] ?? 0}`;
  return isOlder(OLDEST_NODE, version) ? { version, who: join(folder, "package.json") } : least;
}

function enginesOf(file: string): string | undefined {
  try {
    const { engines } = JSON.parse(readFileSync(file, "utf8")) as { engines?: { node?: unknown } };
    return typeof engines?.node === "string" ? engines.node : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `one` comes before `other`, both `a.b.c`. */
export function isOlder(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => text.split(".").map(Number)) as [number[], number[]];
  const at = a.findIndex((part, index) => part !== b[index]);
  return at >= 0 && a[at]! < (b[at] ?? 0);
}

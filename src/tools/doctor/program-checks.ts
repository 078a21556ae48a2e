/**
 * Questions about the program's file that need no run: is it there, may its user read and start it, and does its first
 * line lead to an interpreter that is new enough.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, resolve } from "node:path";
import { nearestName } from "../../base/settings.ts";
import { shWord } from "../../generate/quoting.ts";
import { forbids, openWay, walkAndAsk } from "./access.ts";
import { diskCheck } from "./disk-check.ts";
import type { Check, Facts, Finding, Remedy } from "./model.ts";
import { placeOf } from "./places.ts";
import { readProgram } from "./program-file.ts";
import { firstLineCheck, nodeVersionCheck } from "./program-interpreter-checks.ts";
import { good, type ProgramOf, perProgram } from "./programs.ts";
import { taking } from "./web-server-remedies.ts";

const settings: Check = {
  id: "program.settings",
  question: "Can everything that was named be used: settings, users, configurations?",
  examine: async ({ problems = [] }) => problems,
};

const exists = perProgram(
  "program.exists",
  "Is the program where it is said to be?",
  async (program, facts) => {
    const { written, path, place } = program;
    const evidence = place === undefined ? [] : [`${place} says ${written}`];
    if (place !== undefined && !isAbsolute(written)) return [relative(program, facts)];
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) {
      const near = nearFile(path);
      return [
        {
          id: "program.missing",
          verdict: "bad",
          says: `there is no file ${path}`,
          evidence: [...evidence, ...(near === undefined ? [] : [`there is ${near}`])],
          remedy: [
            near === undefined
              ? { advice: `put the program there, or name the right file` }
              : renamed(program, near),
          ],
        },
      ];
    }
    if (stats.isDirectory()) {
      const remedy = [{ advice: "name the file in it that starts the application" }];
      return [
        {
          id: "program.is-folder",
          verdict: "bad",
          says: `${path} is a folder, not a program`,
          evidence,
          remedy,
        },
      ];
    }
    return [good("program.exists", `${path} is a file`)];
  },
);

function relative({ written, place = "" }: ProgramOf, { application, webServers }: Facts): Finding {
  const { file, line } = placeOf(place);
  const given = application?.path;
  const there =
    given !== undefined && basename(given) === basename(written) ? given : resolve(dirname(file), written);
  const server = webServers.find(({ backends }) => backends.some((backend) => backend.place === place));
  const isThere = statSync(there, { throwIfNoEntry: false })?.isFile() === true;
  return {
    id: "program.relative-path",
    verdict: "bad",
    says: `the web server is told to start ${written}, a relative path: from which folder, only the web server knows`,
    evidence: [`${place} says ${written}`],
    remedy: isThere
      ? [
          { file, line: lineOf(file, line, written), from: written, to: there },
          ...(server === undefined ? [] : taking(server)),
        ]
      : [{ advice: `write the full path of the program in ${place}` }],
  };
}

/** Of an entry that goes over several lines, the one with the program. */
function lineOf(file: string, first: number, written: string): number {
  const lines = readFileSync(file, "utf8").split("\n");
  const at = lines.findIndex((line, index) => index >= first - 1 && line.includes(written));
  return at < 0 ? first : at + 1;
}

function renamed({ written, place }: ProgramOf, near: string): Remedy {
  if (place === undefined) return { advice: `did you mean ${near}?` };
  return { ...placeOf(place), from: written, to: near };
}

/** A file of nearly that name in the same folder. */
function nearFile(path: string): string | undefined {
  try {
    const near = nearestName(basename(path), readdirSync(dirname(path)));
    return near === undefined ? undefined : resolve(dirname(path), near);
  } catch {
    return undefined; // no such folder, or not ours to read
  }
}

const permission = perProgram(
  "program.permission",
  "May the user who starts it reach, read and execute the program?",
  async ({ path, user, isStarted }) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() !== true) return [];
    if (isStarted && (stats.mode & 0o111) === 0) {
      return [
        {
          id: "program.not-executable",
          verdict: "bad",
          says: `nobody may execute ${path}: it lacks the execute bit`,
          evidence: [`its mode is ${(stats.mode & 0o777).toString(8).padStart(4, "0")}`],
          remedy: [{ run: `chmod +x ${shWord("path", path)}` }],
        },
      ];
    }
    const mount = isStarted ? noexecMount(path) : undefined;
    if (mount !== undefined) {
      return [
        {
          id: "program.noexec",
          verdict: "bad",
          says: `nothing on ${mount} may be executed: it is mounted with noexec`,
          evidence: [`${path} is on it`],
          remedy: [{ run: `mount -o remount,exec ${shWord("path", mount)}` }],
        },
      ];
    }
    if (user === undefined) return [];
    const isScript = isStarted && !isBinary(path);
    const way = await walkAndAsk(path, user, isStarted ? (isScript ? ["x", "r"] : ["x"]) : ["r"]);
    if (way.obstacle === undefined)
      return [good("program.permission", `${user.name} may start ${path}`, way.steps)];
    return [
      {
        id: "program.no-permission",
        verdict: "bad",
        says: `${user.name}, who starts the program, ${forbids(way.obstacle)}`,
        evidence: way.steps,
        remedy: openWay(way.obstacles, user),
      },
    ];
  },
);

function isBinary(path: string): boolean {
  try {
    return readProgram(path).isElf;
  } catch {
    return false;
  }
}

/** The mount that a file is on, when it is one of noexec. */
function noexecMount(path: string): string | undefined {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/self/mounts", "utf8");
  } catch {
    return undefined; // not Linux
  }
  let best = { folder: "", options: "" };
  for (const line of mounts.split("\n")) {
    const [, escaped = "", , options = ""] = line.split(" ");
    const folder = escaped.replace(/\\([0-7]{3})/g, (_, code) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    const isAbove = folder === "/" || path.startsWith(`${folder}/`);
    if (folder !== "" && isAbove && folder.length >= best.folder.length) best = { folder, options };
  }
  return best.options.split(",").includes("noexec") ? best.folder : undefined;
}

export const programChecks: readonly Check[] = [
  settings,
  exists,
  permission,
  firstLineCheck,
  nodeVersionCheck,
  diskCheck,
];

/**
 * A `.fcgi` program as users upload one, for whoever starts it: in a folder of its own with everything it needs, which
 * the web server's user may read and write. Tells who has been started, and how they ended.
 */
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../paths.ts";
import { isAlive } from "../proc.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { built, programPath } from "./built.ts";
import { loadApplication } from "./load.ts";

/** Until anything of a started program has happened, on a machine that does much else at the time. */
export const PATIENT: { readonly timeoutMs: number } = { timeoutMs: 30_000 };

/**
 * `shell`: as examples/shared-hosting. `node`: a CommonJS file with Node in its first line. `manager`: `postern serve`
 * with two workers.
 */
export type ProgramForm = "shell" | "node" | "manager";

/** What the program does when it is started. */
export type StartMode = "serves" | "throws" | "exits" | "waits";

export interface Program {
  readonly folder: string;
  /** The `.fcgi` file. */
  readonly path: string;
  /** What the next start does. */
  begin(mode: StartMode): void;
  /** Makes the file of that name, for which `/wait?until=` or a start waits. */
  open(name: string): void;
  /** The processes there have been, in the order of their start. */
  started(): readonly number[];
  /** Those that live. */
  alive(): readonly number[];
  /** How one has ended: its exit code; undefined while it lives, and when it was killed. */
  exitCode(pid: number): number | undefined;
  /** Waits until a request is open at `/wait?until=name`. @returns the process it is in */
  waiting(name: string): Promise<number>;
  /** Waits until so many have been started. */
  untilStarted(count: number, evidence?: () => string): Promise<void>;
  /** Waits until so many serve: then they also know who has started them. Not told by a manager. */
  untilServing(count: number, evidence?: () => string): Promise<void>;
  /** Waits until none of these lives. */
  untilGone(pids: readonly number[], evidence?: () => string): Promise<void>;
}

export interface ProgramOptions {
  readonly form?: ProgramForm;
  /** More options for `serve`, as JavaScript. */
  readonly options?: string;
}

/** Behind `await serve(app)`. */
const NOTE_UP = 'appendFileSync(new URL("lives.txt", import.meta.url), "up " + process.pid + "\\n");\n';

/** Makes a program that can be started. */
export async function makeProgram({ form = "shell", options = "{}" }: ProgramOptions = {}): Promise<Program> {
  await built();
  const folder = temporaryFolder("www");
  const path = join(folder, "yourapplication.fcgi");
  // Copied: the web server's user need not be allowed to read the repository.
  const library = join(folder, "node_modules", "postern");
  mkdirSync(library, { recursive: true });
  cpSync(join(repositoryRoot, "dist"), join(library, "dist"), { recursive: true });
  cpSync(join(repositoryRoot, "package.json"), join(library, "package.json"));
  const example = (name: string): string =>
    readFileSync(join(repositoryRoot, "examples", "shared-hosting", name), "utf8");
  // Node's full path, as the example's comment advises: the Node of this run need not be the one in /usr/bin.
  const shell = (command: string): string =>
    example("yourapplication.fcgi").replace("exec node serve.js", `exec ${process.execPath} ${command}`);
  const cli = "node_modules/postern/dist/cli/main.js";
  const programs = {
    shell: shell("serve.mjs"),
    node: `#!${process.execPath}\nimport("./serve.mjs");\n`,
    manager: shell(`${cli} serve app.mjs --workers 2`),
  };
  write("yourapplication.fcgi", programs[form]);
  chmodSync(path, 0o755);
  if (form === "manager") {
    for (const name of dependencies()) {
      const target = join(folder, "node_modules", name);
      cpSync(join(repositoryRoot, "node_modules", name), target, { recursive: true, dereference: true });
    }
  }
  const serving = example("serve.js")
    .replace("./app.js", "./app.mjs")
    .replace("serve(app)", `serve(app, ${options})`);
  write("serve.mjs", `import { appendFileSync } from "node:fs";\n${serving}${NOTE_UP}`);
  write("app.mjs", readFileSync(programPath("spawned-app.js"), "utf8").replace("./load.js", "./load.mjs"));
  write("load.mjs", loadApplication("one", join(folder, "begun.txt")));
  write("lives.txt", "");
  write("start.txt", "serves");
  chmodSync(join(folder, "lives.txt"), 0o666);
  write("begun.txt", "");
  chmodSync(join(folder, "begun.txt"), 0o666);

  function write(name: string, text: string): void {
    writeFileSync(join(folder, name), text);
  }
  const lives = (): string[][] =>
    readFileSync(join(folder, "lives.txt"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" "));
  const started = (): number[] => lives().flatMap(([what, pid]) => (what === "start" ? [Number(pid)] : []));
  const seen = (evidence?: () => string): string =>
    `${readFileSync(join(folder, "lives.txt"), "utf8")}\n${evidence?.() ?? ""}`;
  return {
    folder,
    path,
    begin: (mode) => write("start.txt", mode),
    open: (name) => write(name, ""),
    started,
    alive: () => started().filter(isAlive),
    exitCode(pid) {
      const line = lives().find(([what, , who]) => what === "exit" && Number(who) === pid);
      return line === undefined ? undefined : Number(line[1]);
    },
    async waiting(name) {
      const find = (): string[] | undefined =>
        lives().find(([what, which]) => what === "wait" && which === name);
      const line = await waitFor(find, {
        ...PATIENT,
        what: `a request that waits for ${name}`,
        evidence: seen,
      });
      return Number(line[2]);
    },
    async untilStarted(count, evidence) {
      await waitFor(() => started().length >= count, {
        ...PATIENT,
        what: `${count} starts`,
        evidence: () => seen(evidence),
      });
    },
    async untilServing(count, evidence) {
      await waitFor(() => lives().filter(([what]) => what === "up").length >= count, {
        ...PATIENT,
        what: `${count} that serve`,
        evidence: () => seen(evidence),
      });
    },
    async untilGone(pids, evidence) {
      await waitFor(() => !pids.some(isAlive), {
        ...PATIENT,
        what: `the end of ${pids.join(", ")}`,
        evidence: () => seen(evidence),
      });
    },
  };
}

/** What the command needs beside the library. */
function dependencies(): string[] {
  const text = readFileSync(join(repositoryRoot, "package.json"), "utf8");
  return Object.keys((JSON.parse(text) as { dependencies: Record<string, string> }).dependencies);
}

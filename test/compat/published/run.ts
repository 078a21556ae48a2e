/** Runs published tests in processes of their own, over node:http or with Postern in its place, and counts. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../support/paths.ts";
import { describeExit, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { CAPACITY, type Suite } from "./suites.ts";

export type Target = "node:http" | "Postern";

export interface Outcome {
  readonly test: string;
  /** Why it failed; undefined when it passed. */
  readonly failure: string | undefined;
}

const HERE = join(repositoryRoot, "test", "compat", "published");
const IN_PLACE = join(HERE, "in-place.cjs");
const LOCALHOST = join(HERE, "localhost.cjs");
const REPORTER = join(HERE, "reporter.mjs");
const MOCHA = join(HERE, "node_modules", "mocha", "bin", "mocha.js");
/** A published test that takes longer waits for something that does not come. */
const FILE_LIMIT_MS = 20_000;
const PACKAGE_LIMIT_MS = 120_000;

let taken = 0;
let count = 0;
const waiting: (() => void)[] = [];

/**
 * All tests of a suite, each file once: what fails now and then is a failure. Whole files that are `leftOut` are not
 * started.
 */
export async function runSuite(
  suite: Suite,
  target: Target,
  leftOut: ReadonlySet<string>,
): Promise<Outcome[]> {
  const files = suite.files.filter((file) => !leftOut.has(file));
  const outcomes = await Promise.all(
    files.map((file) => inTurn(suite.weight, () => runFile(suite, file, target))),
  );
  return numbered(outcomes.flat());
}

/** The same title twice is two tests. */
function numbered(outcomes: readonly Outcome[]): Outcome[] {
  const seen = new Map<string, number>();
  return outcomes.map((outcome) => {
    const times = (seen.get(outcome.test) ?? 0) + 1;
    seen.set(outcome.test, times);
    return times === 1 ? outcome : { ...outcome, test: `${outcome.test} (${times})` };
  });
}

async function inTurn<T>(weight: number, work: () => Promise<T>): Promise<T> {
  while (taken + weight > CAPACITY) await new Promise<void>((resolve) => waiting.push(resolve));
  taken += weight;
  try {
    return await work();
  } finally {
    taken -= weight;
    for (const retry of waiting.splice(0)) retry();
  }
}

function runFile(suite: Suite, file: string, target: Target): Promise<Outcome[]> {
  switch (suite.kind) {
    case "script":
      return runScript(suite, file, target);
    case "mocha":
      return runMocha(suite, target);
    case "node:test":
      return runNodeTest(suite, file, target);
  }
}

/** One of Node's: a program that ends with 0. */
async function runScript(suite: Suite, file: string, target: Target): Promise<Outcome[]> {
  const path = join(suite.folder, file);
  const flags = [...readFileSync(path, "utf8").matchAll(/^\/\/ Flags: (.*)$/gm)].flatMap(([, line = ""]) =>
    line.trim().split(/\s+/),
  );
  const { failure } = await run([...flags, path], suite.folder, target, FILE_LIMIT_MS);
  return [{ test: file, failure }];
}

async function runMocha(suite: Suite, target: Target): Promise<Outcome[]> {
  const report = join(temporaryFolder("mocha"), "report.json");
  const set = existsSync(join(suite.folder, "test", "support", "env.js"))
    ? ["--require", "test/support/env"]
    : [];
  const more = existsSync(join(suite.folder, "test", "acceptance")) ? ["test/acceptance"] : [];
  const reporter = ["--reporter", "json", "--reporter-option", `output=${report}`];
  const args = [MOCHA, ...set, "--exit", "--timeout", "5000", ...reporter, "test", ...more];
  const { output } = await run(args, suite.folder, target, PACKAGE_LIMIT_MS);
  if (!existsSync(report)) return [{ test: "mocha gives a report", failure: output }];
  const { tests, pending } = JSON.parse(readFileSync(report, "utf8")) as MochaReport;
  const skipped = new Set(pending.map(({ fullTitle }) => fullTitle));
  return tests
    .filter(({ fullTitle }) => !skipped.has(fullTitle))
    .map(({ fullTitle, err }) => ({ test: fullTitle, failure: err.stack ?? err.message }));
}

interface MochaReport {
  readonly tests: readonly { fullTitle: string; err: { message?: string; stack?: string } }[];
  readonly pending: readonly { fullTitle: string }[];
}

/** One file of a package that tests with node:test. */
async function runNodeTest(suite: Suite, file: string, target: Target): Promise<Outcome[]> {
  const path = join(suite.folder, file);
  const args = [`--test-reporter=${REPORTER}`, "--test-reporter-destination=stdout", path];
  const { output, failure, isCutOff } = await run(args, join(suite.folder, ".."), target, FILE_LIMIT_MS);
  const found = [...output.matchAll(/^stdout\| @postern (.*)$/gm)].map(
    ([, line = ""]) => JSON.parse(line) as NodeTestLine,
  );
  const outcomes = found
    .filter(({ nesting, isLeftOut }) => nesting === 0 && !isLeftOut)
    .map(({ name, message }) => ({ test: `${file}: ${name}`, failure: message }));
  // A test that failed explains an exit code, but not a process that had to be killed.
  const isExplained = !isCutOff && outcomes.some((outcome) => outcome.failure !== undefined);
  return failure === undefined || isExplained ? outcomes : [...outcomes, { test: `${file}: ends`, failure }];
}

interface NodeTestLine {
  readonly name: string;
  readonly nesting: number;
  readonly isLeftOut: boolean;
  readonly message?: string;
}

interface Ended {
  readonly output: string;
  readonly failure: string | undefined;
  /** It did not end by itself. */
  readonly isCutOff: boolean;
}

/** Runs Node to its end, or to the limit. Never rejects. */
async function run(args: readonly string[], cwd: string, target: Target, limitMs: number): Promise<Ended> {
  const folder = temporaryFolder("published");
  const scratch = `${++count}`;
  mkdirSync(join(folder, `.tmp.${scratch}`), { recursive: true });
  const preloaded = target === "Postern" ? [LOCALHOST, IN_PLACE] : [LOCALHOST];
  const env = {
    PATH: process.env["PATH"],
    HOME: process.env["HOME"],
    TMPDIR: folder,
    // Through the environment, because several of the tests start others.
    NODE_OPTIONS: preloaded.map((module) => `--require ${module}`).join(" "),
    // For Node's own: where it may write, and that it need not mind what a preloaded module made global.
    NODE_TEST_DIR: folder,
    TEST_THREAD_ID: scratch,
    NODE_TEST_KNOWN_GLOBALS: "0",
  };
  const program = start(process.execPath, args, { cwd, env });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void program.stop({ signal: "SIGKILL" });
  }, limitMs);
  const exit = await program.exited;
  clearTimeout(timer);
  await program.stop({ signal: "SIGKILL" }); // what it started and forgot
  const output = program.output();
  const how = isLate ? `not at its end after ${limitMs / 1000} s` : describeExit(exit);
  const isCutOff = isLate || exit.signal !== null;
  const failure = exit.code === 0 && !isLate ? undefined : `${how}\n${output.slice(-4000)}`;
  return { output, failure, isCutOff };
}

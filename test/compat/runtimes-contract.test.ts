/**
 * The contract of the wire with the server running under Bun and under Deno: the very tests of test/contract, all
 * recorded connections among them, run by Vitest in that runtime. What ran there is then looked up test by test.
 */
import { readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { bun, deno } from "./runtimes/runtimes.ts";

const VITEST = join(repositoryRoot, "node_modules", "vitest", "vitest.mjs");
const RUN_MS = 240_000;

const suites: Readonly<Record<string, readonly string[]>> = {
  "Protocol contract": ["test/contract/", "test/unit/protocol/vectors.test.ts"],
  "Client and gateway": ["test/unit/client/", "test/unit/gateway/"],
};
const runtimes: readonly { readonly name: string; readonly command: readonly [string, ...string[]] }[] = [
  { name: "node", command: [process.execPath] },
  bun,
  deno,
];

/** Vitest's own variables would make the inner one believe that it is a worker of the outer one. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|TEST$)/.test(name));
  return Object.fromEntries(kept);
}

function vitest(
  [program, ...args]: readonly [string, ...string[]],
  command: readonly string[],
  files: readonly string[],
): ReturnType<typeof run> {
  return run(program, [...args, VITEST, ...command, "--project", "fast", ...files], {
    cwd: repositoryRoot,
    env: environment(),
    timeoutMs: RUN_MS,
  });
}

/** `test/contract/rules.test.ts > describe > test` for every test there is. */
async function listed(files: readonly string[]): Promise<string[]> {
  const file = join(temporaryFolder("l"), "list.json");
  const { code, stdout, stderr } = await vitest([process.execPath], ["list", `--json=${file}`], files);
  if (code !== 0) throw new Error(`the tests cannot be listed:\n${stdout}\n${stderr}`);
  const tests = JSON.parse(readFileSync(file, "utf8")) as { name: string; file: string }[];
  return tests.map((test) => `${inRepository(test.file)} > ${test.name}`);
}

interface Outcome {
  readonly status: string;
  readonly failureMessages: readonly string[];
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly (Outcome & {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
    })[];
  }[];
}

/** Runs them in another runtime; what became of each, by its name. */
async function outcomes(
  command: readonly [string, ...string[]],
  files: readonly string[],
): Promise<Map<string, Outcome>> {
  const file = join(temporaryFolder("r"), "report.json");
  // Three runs beside whatever else this machine does: patience costs nothing where nothing is late.
  const options = ["run", "--testTimeout=40000", "--reporter=json", `--outputFile=${file}`];
  const { stdout, stderr } = await vitest(command, options, files);
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, "utf8")) as Report;
  } catch (cause) {
    throw new Error(`Vitest has not got as far as a report:\n${stdout}\n${stderr}`, { cause });
  }
  return new Map(
    report.testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map((test) => {
        const titles = [inRepository(name), ...test.ancestorTitles, test.title];
        return [titles.join(" > "), test] as const;
      }),
    ),
  );
}

function inRepository(file: string): string {
  return relative(repositoryRoot, file).replaceAll(sep, "/");
}

interface Exclusion {
  readonly suite: string;
  readonly target: string | readonly string[];
  readonly test: string;
}

const exclusions = JSON.parse(
  readFileSync(join(repositoryRoot, "test", "compat", "exclusions", "runtimes.json"), "utf8"),
) as Exclusion[];

function excluded(suite: string, target: string): string[] {
  const own = exclusions.filter((entry) => entry.suite === suite && [entry.target].flat().includes(target));
  return own.map((entry) => entry.test);
}

for (const [suite, files] of Object.entries(suites)) {
  const names = await listed(files);
  for (const { name: target, command } of runtimes) {
    describe(`compat | ${suite} | ${target}`, () => {
      let found: Map<string, Outcome>;
      beforeAll(async () => {
        found = await outcomes(command, files);
      }, RUN_MS);
      for (const name of names) {
        if (excluded(suite, target).includes(name)) continue;
        it(name, () => {
          const outcome = found.get(name);
          expect(outcome?.status, outcome?.failureMessages.join("\n")).toBe("passed");
        });
      }
    });
    it(`every exclusion of ${target} from "${suite}" names a test`, () => {
      expect(excluded(suite, target).filter((name) => !names.includes(name))).toEqual([]);
    });
  }
}

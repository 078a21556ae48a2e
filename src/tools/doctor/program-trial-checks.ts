/** The question that a run answers: does the program start as the web server would start it, and does it answer? */
import { statSync } from "node:fs";
import { type Address, printAddress } from "../../base/address.ts";
import { clip } from "../../base/text.ts";
import { findingsOfAnswer, linesOf } from "./answer-findings.ts";
import { badProgram } from "./ended.ts";
import type { Check, Facts, Finding, Remedy, TrialFact } from "./model.ts";
import { readProgram } from "./program-file.ts";
import { badExport, causeOfEnd } from "./start-failures.ts";
import { runTrial, type TrialResult } from "./trial.ts";

/** Long enough for a large application on a busy machine, ms. */
const PATIENCE_MS = 12_000;

const starts: Check = {
  id: "program.starts",
  question: "Does it start with that user and environment, and answer a request?",
  examine: async (facts, signal) => {
    const { trial, application, options, url } = facts;
    if (trial === undefined || application?.path === undefined) return [];
    const target = url === undefined ? "/" : `${url.pathname}${url.search}`;
    const patienceMs = Math.min(PATIENCE_MS, (options?.deadlineMs ?? 30_000) / 2);
    const result = await runTrial(trial, { target, patienceMs }, signal);
    const findings = judge(facts, trial, result, target);
    return [
      ...findings.map((finding) => ({ ...finding, evidence: [...finding.evidence, howOf(trial)] })),
      ...prints(result),
    ];
  },
};

/** How it was started, said with each finding. */
function howOf({ notes, command, folder }: TrialFact): string {
  return clip(`started as a test: ${command.join(" ")}, in ${folder}, ${notes.join(", ")}`, 500);
}

/** What a run shows. */
function judge(facts: Facts, trial: TrialFact, result: TrialResult, target: string): Finding[] {
  const path = facts.application?.path ?? "";
  const { exit, startError, answer, stderr, listens } = result;
  if (startError !== undefined) {
    return [
      badProgram("not-started", `the program cannot be started: ${startError.message}`, [], {
        advice: "start it by hand as that user",
      }),
    ];
  }
  const ended = { path, facts, trial, result, text: stderr };
  if (exit !== undefined) {
    // The one that the web server has started is there already, with its own port.
    const taken = facts.application?.spawnedAt === undefined ? undefined : takenPort(stderr);
    if (taken !== undefined) return [listensItself(facts, trial, { listens: [taken] })];
    // Whoever runs it has given it up: it served, but not here.
    const isElsewhere = !result.wasReady && listens.length > 0;
    const cause =
      causeOfEnd(ended) ?? (isElsewhere ? listensItself(facts, trial, result) : byItself(facts, result));
    return [result.wasReady ? { ...cause, says: `${cause.says} (while it worked on ${target})` } : cause];
  }
  if (answer === undefined || answer.kind === "silent") {
    const line = /[^\n]* exports [^\n]*: waiting for it to listen/.exec(stderr)?.[0];
    if (line !== undefined && listens.length === 0) return [badExport(line)];
    if (listens.length > 0) return [listensItself(facts, trial, result)];
    return [silent(facts, result, target)];
  }
  if (answer.kind === "unconnected" || answer.kind === "closed" || answer.kind === "stranger") {
    const says = `the program closes the connection without an answer to ${target}`;
    return [
      causeOfEnd(ended) ??
        badProgram("no-answer", says, [answer.message, ...linesOf(stderr)], {
          advice: "its own log says why",
        }),
    ];
  }
  // A program that cannot start may still answer, with what its error was.
  if (answer.kind === "answered" && answer.status >= 500) {
    const cause = causeOfEnd({ ...ended, text: `${stderr}\n${answer.stderr}` });
    if (cause !== undefined && cause.id !== "program.throws") return [cause];
  }
  const asked = { stage: "program", name: "the program", target, webServers: facts.webServers } as const;
  return findingsOfAnswer(answer, asked).map((finding) =>
    finding.verdict === "bad"
      ? { ...finding, evidence: [...finding.evidence, ...linesOf(stderr, 3)] }
      : finding,
  );
}

/** It ended, and said nothing that is known. */
function byItself({ application }: Facts, { exit, stderr, stdout, wasReady }: TrialResult): Finding {
  const how = exit?.signal ? `was ended by ${exit.signal}` : `ended by itself with exit code ${exit?.code}`;
  const evidence = [...linesOf(stderr), ...linesOf(stdout, 3)];
  if (wasReady || exit?.signal) {
    return badProgram("dies", `the program ${how} instead of answering`, evidence, {
      advice:
        "look for process.exit, and for errors outside of requests: an application ends requests, not its process",
    });
  }
  return badProgram("ends-at-once", `the program ${how} and served nothing`, evidence, {
    advice: `it must export an application for postern serve, or call serve(app) itself: ${application?.file ?? "the file"} does neither, or leaves before it does`,
  });
}

function silent({ application }: Facts, { wasReady, isBusy, stderr }: TrialResult, target: string): Finding {
  if (isBusy) {
    return badProgram(
      "blocked",
      `the program is busy with itself and does not answer ${target}: its event loop is blocked`,
      ["whenever one looked, it was running", ...linesOf(stderr, 3)],
      {
        advice:
          "find the loop: postern serve logs the stack of a worker that stands still (--max-loop-delay)",
      },
    );
  }
  if (wasReady) {
    return badProgram("no-answer", `the program runs, and does not answer ${target}`, linesOf(stderr, 3), {
      advice:
        "end every response: something waits for what does not come, a database or a call without a deadline",
    });
  }
  return badProgram(
    "never-ready",
    "the program never becomes ready: it still starts, waiting for something that does not come",
    ["it was asleep meanwhile", ...linesOf(stderr, 3)],
    {
      advice: `look for an await at the top level of ${application?.file ?? "the program"} that never ends, such as a connection to a database`,
    },
  );
}

/** It has a socket of its own, where no web server asks. */
function listensItself(
  { application, options }: Facts,
  { command }: TrialFact,
  { listens }: Pick<TrialResult, "listens">,
): Finding {
  const path = application?.path ?? "";
  const where = listens.map((address) => printAddress(address)).join(", ");
  return badProgram(
    "listens-itself",
    `the program listens by itself on ${where}, and not on the socket that it is given: no web server finds it`,
    [`it listens on ${where}`],
    ...(application?.python === undefined
      ? registered(path, command, options?.postern ?? [])
      : [BEHIND_MAIN]),
  );
}

const BEHIND_MAIN: Remedy = {
  advice: 'put the call that starts that server behind the line: if __name__ == "__main__":',
};

/** The port that a server of Node would have, were it not taken. */
function takenPort(stderr: string): Address | undefined {
  const [, host, port] = /listen EADDRINUSE: address already in use (\S*?):(\d+)$/m.exec(stderr) ?? [];
  return host === undefined ? undefined : { kind: "tcp", host, port: Number(port) };
}

/** The first line of a program of Node, with the module that takes `listen` over. */
function registered(path: string, command: readonly string[], postern: readonly string[]): Remedy[] {
  const main = postern[1];
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  const shebang = isFile ? readProgram(path).shebang : undefined;
  const node = /(\S*node(?:js)?)$/.exec(shebang?.line ?? "")?.[1];
  if (command[0] !== path || shebang === undefined || node === undefined || main === undefined) {
    return [
      {
        advice:
          "start it with postern serve, which takes its listen over, or with node --import postern/register",
      },
    ];
  }
  // Not --import: with that, Node 20 reads the program as a module, and knows no module that is named .fcgi.
  const register = main.replace(/cli\/main\.js$/, "register.js");
  return [
    {
      file: path,
      line: 1,
      from: shebang.line,
      to: `#!/usr/bin/env -S ${node.replace("#!", "")} --require ${register}`,
    },
  ];
}

/** Said, because people fear it. */
function prints({ stdout, answer }: TrialResult): Finding[] {
  if (stdout.trim() === "" || answer?.kind !== "answered") return [];
  return [
    {
      id: "program.prints",
      verdict: "good",
      says: "what the program prints to standard output does no harm: it is not part of any answer",
      evidence: linesOf(stdout, 3),
      remedy: [],
    },
  ];
}

export const trialChecks: readonly Check[] = [starts];

/**
 * The order of findings, and which of them only follow from another: a program that cannot start explains the socket
 * that nobody listens on, and both explain the lines of a log. Pure.
 */
import type { Finding, Stage, Verdict } from "./model.ts";

/** What came of one question. */
export interface Asked {
  readonly id: string;
  readonly question: string;
  readonly stage: Stage;
  /** The worst of its findings. */
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
}

/** Findings of a stage, and what they explain: ids, or their beginnings up to a dot. */
const EXPLAINS: Readonly<Record<Stage, readonly string[]>> = {
  program: [
    "program.",
    "socket.missing",
    "socket.stale",
    "socket.refused",
    "socket.no-answer",
    "socket.crash",
    "socket.dies",
    "socket.blocked",
    "socket.threw",
    "request.",
    "log.",
  ],
  socket: ["socket.", "request.", "log."],
  "web-server": ["request.", "log."],
  request: ["log."],
  log: ["log."],
};

const RANK: Readonly<Record<Verdict, number>> = { bad: 0, doubtful: 1, unknown: 2, good: 3 };

/** All findings: bad, doubtful, unknown, good; within each in the order in which they were asked. */
export function inOrder(asked: readonly Asked[]): Finding[] {
  const all = asked.flatMap(({ stage, findings }) => findings.map((finding) => ({ stage, finding })));
  const cause = all.find(({ finding }) => finding.verdict === "bad");
  return all
    .map(({ finding }) => {
      const isExplained =
        cause !== undefined &&
        finding !== cause.finding &&
        isTrouble(finding) &&
        explains(cause.stage, finding);
      return isExplained ? { ...finding, follows: cause.finding.id } : finding;
    })
    .sort((one, other) => RANK[one.verdict] - RANK[other.verdict]);
}

function isTrouble({ verdict }: Finding): boolean {
  return verdict === "bad" || verdict === "doubtful";
}

function explains(stage: Stage, { id }: Finding): boolean {
  return EXPLAINS[stage].some((prefix) => id === prefix || (prefix.endsWith(".") && id.startsWith(prefix)));
}

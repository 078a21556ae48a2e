/**
 * An examination as text for people and as JSON for programs. Pure. Evidence quotes files, logs and answers of
 * strangers: no control character of it reaches a terminal.
 */
import { clip, escapeControls } from "../../base/text.ts";
import type { Examination } from "./examine.ts";
import type { Finding, Remedy } from "./model.ts";

export interface ReportOptions {
  /** What is good, too. */
  readonly isVerbose: boolean;
  /** Whether escape sequences may be written. */
  readonly hasColour: boolean;
}

/** The report. The cause comes first. */
export function printReport({ findings, asked }: Examination, options: ReportOptions): string {
  const paint = (code: number, text: string): string =>
    options.hasColour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const lines: string[] = [];
  const [first] = findings;
  const cause = first?.verdict === "bad" ? first : undefined;
  if (cause !== undefined) lines.push(paint(31, `✗ ${headOf(cause)}`), ...bodyOf(cause));
  const others = findings.filter((finding) => finding !== cause && isTrouble(finding));
  const [following, own] = split(others, ({ follows }) => follows !== undefined);
  if (own.length > 0) {
    if (cause !== undefined) lines.push("", "Also found:");
    for (const finding of own) {
      if (lines.length > 0) lines.push("");
      const isBad = finding.verdict === "bad";
      lines.push(paint(isBad ? 31 : 33, `${isBad ? "✗" : "!"} ${headOf(finding)}`), ...bodyOf(finding));
    }
  }
  if (following.length > 0) {
    lines.push("", "That follows from the first, and goes away with it:");
    for (const finding of following) {
      lines.push(`  - ${headOf(finding)}`);
      if (options.isVerbose) lines.push(...finding.evidence.map((text) => `      ${safe(text)}`));
    }
  }
  const unknown = findings.filter(({ verdict }) => verdict === "unknown");
  if (unknown.length > 0 && (options.isVerbose || lines.length === 0)) {
    if (lines.length > 0) lines.push("");
    for (const finding of unknown) lines.push(`? ${headOf(finding)}`, ...bodyOf(finding));
  }
  if (options.isVerbose) {
    if (lines.length > 0) lines.push("");
    for (const { question, verdict, findings: found } of asked) {
      if (verdict !== "good") continue;
      lines.push(`${paint(32, "✓")} ${safe(question)}`, ...found.map(({ says }) => `    ${safe(says)}`));
    }
  }
  if (!findings.some(isTrouble)) {
    const good = asked.filter(({ verdict }) => verdict === "good").length;
    if (good > 0) lines.push(`Nothing wrong found: ${good} of ${asked.length} questions have a good answer.`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** What programs read. */
export function jsonReport({ verdict, findings, asked }: Examination): object {
  const checks = asked.map((one) => ({ id: one.id, question: one.question, verdict: one.verdict }));
  return { verdict, findings, checks };
}

function isTrouble({ verdict }: Finding): boolean {
  return verdict === "bad" || verdict === "doubtful";
}

function headOf({ says, id }: Finding): string {
  return `${safe(says)}  [${id}]`;
}

function bodyOf({ evidence, remedy }: Finding): string[] {
  return [...evidence.map((text) => `    ${safe(text)}`), ...remedy.flatMap(remedyLines)];
}

/** Lines that can be copied: a shell's after `$`, edits as a sentence, advice as it is. */
export function remedyLines(remedy: Remedy): string[] {
  if ("run" in remedy) return [`  $ ${escapeControls(remedy.run)}`];
  if ("advice" in remedy) {
    const [first = "", ...more] = remedy.advice.split("\n");
    return [`  → ${safe(first)}`, ...more.map((line) => `      ${safe(line)}`)];
  }
  const place = remedy.line === undefined ? remedy.file : `${remedy.file} line ${remedy.line}`;
  return [
    `  in ${escapeControls(place)} replace`,
    `      ${escapeControls(remedy.from)}`,
    "    by",
    ...remedy.to.split("\n").map((line) => `      ${escapeControls(line)}`),
  ];
}

function split<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter((one) => !isFirst(one))];
}

function safe(text: string): string {
  return escapeControls(clip(text, 2000));
}

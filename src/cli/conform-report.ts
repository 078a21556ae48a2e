/** A conformance run as text: its results by section, what was broken with the records that show it, the sums. Pure. */
import type { Colour, Style } from "../status/table.ts";
import { counted, cut, printable, widthOf } from "../status/text.ts";
import type { ConformReport, Outcome, Result } from "../tools/conform/model.ts";
import type { Statement } from "../tools/conform/statement.ts";

export interface ReportOptions {
  readonly width: number;
  readonly style: Style;
  /** What was seen of those that hold, too. */
  readonly verbose: boolean;
}

/** Lines of evidence shown of one statement. */
const EVIDENCE_LINES = 40;
const WORDS: Readonly<Record<Outcome, string>> = {
  holds: "holds",
  broken: "BROKEN",
  absent: "absent",
  untestable: "not tried",
};
const INDENT = "             ";

export function reportLines(report: ConformReport, options: ReportOptions): string[] {
  const lines = [`FastCGI 1.0 on ${printable(report.target)}`];
  const idWidth = Math.max(0, ...report.results.map(({ id }) => widthOf(id)));
  let section: string | undefined;
  for (const result of inOrder(report.results)) {
    if (result.section !== section) {
      section = result.section;
      lines.push("", options.style("strong", titleOf(section)));
    }
    lines.push(...resultLines(result, idWidth, options));
  }
  return [...lines, "", ...sumLines(report)];
}

/** `--list`. */
export function statementLines(statements: readonly Statement[]): string[] {
  const width = Math.max(...statements.map(({ id }) => id.length));
  return statements.map(({ id, level, statement, section, needsSpawn }) => {
    const where = section === "" ? "" : ` (${section})`;
    const how = needsSpawn === true ? " [--spawn]" : "";
    return `${id.padEnd(width)}  ${level.padEnd(6)}  ${statement}${where}${how}`;
  });
}

/** Results of one section together, sections in the order of their names. */
function inOrder(results: readonly Result[]): Result[] {
  const key = ({ section }: Result): string => {
    if (section === "") return "~~";
    return section.startsWith("§") ? section : `~${section}`;
  };
  return [...results].sort((one, two) => key(one).localeCompare(key(two), "en", { numeric: true }));
}

function titleOf(section: string): string {
  if (section === "") return "beyond the specification";
  return section.startsWith("§") ? `FastCGI 1.0 ${section}` : section;
}

function resultLines(result: Result, idWidth: number, { width, style, verbose }: ReportOptions): string[] {
  const { outcome, level, id, says, evidence } = result;
  const word = outcome === "broken" && level !== "must" ? "warning" : WORDS[outcome];
  const first = `  ${style(colourOf(result), word.padEnd(9))}  ${id.padEnd(idWidth)}  ${result.statement}`;
  const lines = [first];
  const isTold = outcome !== "holds" || verbose;
  if (says !== "" && isTold) lines.push(...wrapped(printable(says), width));
  if (outcome !== "broken") return lines;
  const shown = evidence.slice(0, EVIDENCE_LINES);
  lines.push(
    ...shown.map((line) => style("faint", cut(`${INDENT}  ${printable(line)}`, Math.max(60, width)))),
  );
  const more = evidence.length - shown.length;
  if (more > 0) lines.push(`${INDENT}  … (${counted(more, "more line")})`);
  return lines;
}

function colourOf({ outcome, level }: Result): Colour {
  if (outcome === "holds") return "good";
  if (outcome !== "broken") return "faint";
  return level === "must" ? "bad" : "busy";
}

function wrapped(text: string, width: number): string[] {
  const most = Math.max(40, width - INDENT.length);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > most) {
      lines.push(INDENT + line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, INDENT + line];
}

function sumLines({ counts, mustBroken, shouldBroken, died, blind, results }: ConformReport): string[] {
  const lines = blind.map((text) => `note: ${text}`);
  const parts = [
    `${counts.holds} hold`,
    `${mustBroken} broken`,
    `${counted(shouldBroken, "warning")}`,
    `${counts.absent} absent`,
    `${counts.untestable} not tried`,
  ];
  lines.push(`${counted(results.length, "statement")}: ${parts.join(", ")}`);
  if (died !== undefined) lines.push(`The run ends here: the application answers no more after ${died}.`);
  return lines;
}

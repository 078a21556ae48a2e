/** The doctor's engine: order of causes, what follows from what, checks that fail, and the report. */
import { describe, expect, it } from "vitest";
import type { CHECKS } from "../../../../src/tools/doctor/checks.ts";
import { examine } from "../../../../src/tools/doctor/examine.ts";
import type { Check, Finding, Verdict } from "../../../../src/tools/doctor/model.ts";
import { jsonReport, printReport, remedyLines } from "../../../../src/tools/doctor/report.ts";

const FACTS = { webServers: [] };
const PLAIN = { isVerbose: false, hasColour: false };

function finding(id: string, verdict: Verdict, more: Partial<Finding> = {}): Finding {
  return { id, verdict, says: `about ${id}`, evidence: [], remedy: [], ...more };
}

function check(id: string, ...findings: readonly Finding[]): Check {
  return { id, question: `Is ${id} well?`, examine: async () => findings };
}

function checks(given: Partial<typeof CHECKS>): typeof CHECKS {
  return { program: [], socket: [], "web-server": [], request: [], log: [], ...given };
}

const run = (given: Partial<typeof CHECKS>, signal: AbortSignal = new AbortController().signal) =>
  examine(FACTS, signal, checks(given));

describe("the order", () => {
  it("has the cause first, and says what follows from it", async () => {
    const { findings, verdict } = await run({
      log: [check("log.lines", finding("log.no-socket", "bad"))],
      socket: [
        check("socket.exists", finding("socket.missing", "bad"), finding("socket.permission", "good")),
      ],
      program: [check("program.starts", finding("program.prints", "good"), finding("program.throws", "bad"))],
      "web-server": [check("web-server.limits", finding("web-server.body-limit", "doubtful"))],
    });
    expect(verdict).toBe("bad");
    expect(findings.map(({ id, follows }) => [id, follows])).toEqual([
      ["program.throws", undefined],
      ["socket.missing", "program.throws"],
      ["log.no-socket", "program.throws"],
      ["web-server.body-limit", undefined],
      ["program.prints", undefined],
      ["socket.permission", undefined],
    ]);
  });

  it("leaves findings alone that the cause does not explain", async () => {
    const { findings } = await run({
      program: [check("program.starts", finding("program.throws", "bad"))],
      socket: [check("socket.permission", finding("socket.no-permission", "bad"))],
    });
    expect(findings[1]).not.toHaveProperty("follows");
  });

  it("asks nothing of what has nothing to look at", async () => {
    const { asked, verdict, findings } = await run({ program: [check("program.exists")] });
    expect({ asked, verdict, findings }).toEqual({ asked: [], verdict: "unknown", findings: [] });
  });
});

describe("a check that fails", () => {
  it("is unknown, and the others are asked", async () => {
    const broken: Check = {
      id: "program.broken",
      question: "Does it fail?",
      examine: () => Promise.reject(new Error("no such luck")),
    };
    const { findings, verdict } = await run({
      program: [broken, check("program.exists", finding("program.exists", "good"))],
    });
    expect(verdict).toBe("good");
    expect(findings).toMatchObject([
      { id: "program.broken", verdict: "unknown", evidence: ["Error: no such luck"] },
      { id: "program.exists", verdict: "good" },
    ]);
  });

  it("is unknown when the time is up, and so are those that were not asked", async () => {
    const time = new AbortController();
    const slow: Check = {
      id: "program.slow",
      question: "Does it take long?",
      examine: (_facts, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
          time.abort();
        }),
    };
    const { findings } = await run(
      { program: [slow], log: [check("log.lines", finding("log.x", "bad"))] },
      time.signal,
    );
    expect(findings.map(({ id, verdict }) => [id, verdict])).toEqual([
      ["program.slow", "unknown"],
      ["log.lines", "unknown"],
    ]);
  });
});

describe("the report", () => {
  it("prints the cause with its evidence and remedy, then the rest", async () => {
    const examination = await run({
      program: [
        check(
          "program.first-line",
          finding("program.crlf", "bad", {
            evidence: ["line 1 is odd"],
            remedy: [
              { run: "sed -i x app.fcgi" },
              { file: "/a", line: 2, from: "b", to: "c" },
              { advice: "take care" },
            ],
          }),
        ),
      ],
      "web-server": [check("web-server.limits", finding("web-server.body-limit", "doubtful"))],
      log: [check("log.lines", finding("log.died", "bad"))],
    });
    expect(printReport(examination, PLAIN)).toBe(
      [
        "✗ about program.crlf  [program.crlf]",
        "    line 1 is odd",
        "  $ sed -i x app.fcgi",
        "  in /a line 2 replace",
        "      b",
        "    by",
        "      c",
        "  → take care",
        "",
        "Also found:",
        "",
        "! about web-server.body-limit  [web-server.body-limit]",
        "",
        "That follows from the first, and goes away with it:",
        "  - about log.died  [log.died]",
        "",
      ].join("\n"),
    );
    expect(jsonReport(examination)).toMatchObject({
      verdict: "bad",
      findings: [
        { id: "program.crlf" },
        { id: "log.died", follows: "program.crlf" },
        { id: "web-server.body-limit" },
      ],
      checks: [
        { id: "program.first-line", question: "Is program.first-line well?", verdict: "bad" },
        { id: "web-server.limits", verdict: "doubtful" },
        { id: "log.lines", verdict: "bad" },
      ],
    });
  });

  it("says when nothing is wrong, and with --verbose what was asked", async () => {
    const examination = await run({ socket: [check("socket.exists", finding("socket.exists", "good"))] });
    expect(printReport(examination, PLAIN)).toBe(
      "Nothing wrong found: 1 of 1 questions have a good answer.\n",
    );
    expect(printReport(examination, { ...PLAIN, isVerbose: true })).toContain(
      "✓ Is socket.exists well?\n    about socket.exists\n",
    );
  });

  it("lets no text of strangers command the terminal", async () => {
    const evil = "\x1b]0;x\x07\nline";
    const examination = await run({
      log: [
        check(
          "log.lines",
          finding("log.x", "bad", {
            says: evil,
            evidence: [evil],
            remedy: [{ run: evil }, { advice: evil }],
          }),
        ),
      ],
    });
    expect(printReport(examination, PLAIN)).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
    expect(remedyLines({ file: evil, from: evil, to: evil }).join("\n")).not.toMatch(
      /[\x00-\x09\x0b-\x1f\x7f]/,
    );
  });

  it("has colours only where they may be", async () => {
    const examination = await run({ log: [check("log.lines", finding("log.x", "bad"))] });
    expect(printReport(examination, { ...PLAIN, hasColour: true })).toContain("\x1b[31m");
  });
});

/** Log lines: one per message, whatever is in it, and never an exception. */
import { expect, it } from "vitest";
import { lineLogger, safeLogger, silentLogger } from "../../../src/base/log.ts";
import { clip, escapeControls, oneLine } from "../../../src/base/text.ts";

function logged(log: (logger: ReturnType<typeof lineLogger>) => void, level?: "debug" | "warn"): string[] {
  const lines: string[] = [];
  log(lineLogger((line) => lines.push(line), level));
  return lines;
}

it("a message is one line: time, level, text, fields", () => {
  const [line] = logged((logger) =>
    logger.warn({ peer: "10.0.0.7:80", count: 3, nothing: undefined, text: "two words" }, "it happened"),
  );
  expect(line).toMatch(
    /^\d{4}-\d\d-\d\dT[\d:.]+Z warn {2}it happened peer=10\.0\.0\.7:80 count=3 text="two words"\n$/,
  );
});

it("nobody can forge a line, in the message, a field or an error", () => {
  const lines = logged((logger) => {
    const error = new Error("first\nsecond");
    logger.error({ url: "/x\n2026 error forged", error }, "a\r\nb\x1b[0m");
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]!.trimEnd()).not.toMatch(/[\n\r\x1b]/);
  expect(lines[0]).toContain("a\\x0d\\x0ab\\x1b[0m");
  expect(lines[0]).toContain("first\\nsecond");
});

it("no field holds a control character, not even one that JSON leaves alone", () => {
  const [line] = logged((logger) =>
    logger.warn({ url: "/\x9b31m\x7f", error: new Error("\x9b"), list: ["\x85"] }, "m"),
  );
  expect(line!.trimEnd()).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
  expect(line).toContain('url="/\\x9b31m\\x7f"');
});

it("a level writes itself and what is worse", () => {
  const all = (logger: ReturnType<typeof lineLogger>): void => {
    logger.debug({}, "d");
    logger.info({}, "i");
    logger.warn({}, "w");
    logger.error({}, "e");
  };
  expect(logged(all).map((line) => line.split(/\s+/)[2])).toEqual(["i", "w", "e"]);
  expect(logged(all, "debug")).toHaveLength(4);
  expect(logged(all, "warn")).toHaveLength(2);
  all(silentLogger);
});

it("a logger that throws, or a field that cannot be printed, harms nothing", () => {
  const throwing = lineLogger(() => {
    throw new Error("disk full");
  });
  expect(() => safeLogger(throwing).error({}, "x")).not.toThrow();
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  expect(() => safeLogger(lineLogger(() => {})).info({ circular, big: 1n }, "x")).not.toThrow();
});

it("a safe logger calls the methods on their object, as pino needs", () => {
  const seen: unknown[] = [];
  const logger = {
    seen,
    debug(): void {},
    info(this: { seen: unknown[] }, fields: object, message: string): void {
      this.seen.push([fields, message]);
    },
    warn(): void {},
    error(): void {},
  };
  safeLogger(logger).info({ a: 1 }, "m");
  expect(seen).toEqual([[{ a: 1 }, "m"]]);
});

it("text from strangers is made printable: controls escaped, one line, clipped", () => {
  expect(escapeControls("a\0\n\x1b\x7f\x9bé")).toBe("a\\x00\\x0a\\x1b\\x7f\\x9bé");
  expect(clip("abcdef", 3)).toBe("abc… (3 more)");
  expect(clip("abc", 3)).toBe("abc");
  expect(oneLine(new Error("first\nsecond"))).toBe("Error: first");
  expect(oneLine("x".repeat(600))).toHaveLength(500 + "… (100 more)".length);
  expect(oneLine(undefined)).toBe("undefined");
  expect(oneLine(Object.create(null))).not.toContain("\n");
});

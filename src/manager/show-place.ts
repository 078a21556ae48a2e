/** The place of a syntax error, which only Node itself tells. */

/** Node tells the file and line of a syntax error only when nobody catches it: this ends the process that way. */
export function showPlace(error: SyntaxError, exitCode: number): void {
  process.on("exit", () => {
    process.exitCode = exitCode;
  });
  setImmediate(() => {
    throw error;
  });
}

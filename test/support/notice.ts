import { writeSync } from "node:fs";

/** Prints one line for the person who runs the tests, past the test runner's own capture of the console. */
export function notice(line: string): void {
  writeSync(2, `${line}\n`);
}

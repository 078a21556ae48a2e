/**
 * Errors outside of any test, which Vitest's JSON report leaves out: a server that could not listen, for one, and the
 * test that waits for it is only told that its time is over.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { STRAY_ERRORS } from "./report.mjs";

export default class StrayErrors {
  onTestRunEnd(_modules, errors) {
    mkdirSync(dirname(STRAY_ERRORS), { recursive: true });
    writeFileSync(STRAY_ERRORS, JSON.stringify(errors.map(({ message, stack }) => stack ?? message)));
  }
}

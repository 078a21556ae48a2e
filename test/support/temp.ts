/**
 * Temporary folders that a web server's own user may enter, removed when the test file ends.
 * All of one run lie in one folder, by which the global check also recognises processes left behind.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made = new Set<string>();
let count = 0;

/** The folder of this test run. The global set-up names it; a script that runs no tests gets one of its own. */
export function runFolder(): string {
  let folder = process.env["POSTERN_TEST_RUN"];
  if (folder === undefined) {
    folder = makeRunFolder();
    process.env["POSTERN_TEST_RUN"] = folder;
    const own = folder;
    process.once("exit", () => rmSync(own, { recursive: true, force: true }));
  }
  return folder;
}

/** Short, because a unix socket's whole path must fit into 107 bytes (103 on macOS). */
export function makeRunFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "postern-"));
  // mkdtemp makes it 0700, and www-data must get through.
  chmodSync(folder, 0o755);
  return folder;
}

/** A new empty folder, mode 0755 whatever the umask says. `name` should be short: sockets are made in here. */
export function temporaryFolder(name = "t"): string {
  const folder = join(runFolder(), `${name}-${process.pid}-${++count}`);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  made.add(folder);
  return folder;
}

/** Removes every folder this process made. The set-up file calls it after each test file. */
export function removeTemporaryFolders(): void {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
  made.clear();
}

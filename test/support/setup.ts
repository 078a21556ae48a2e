/** After each test file: nothing it started still runs, no listener is still open, no folder is left. */
import { afterAll, type RunnerTask } from "vitest";
import { stopLeftOvers } from "./process.ts";
import { removeTemporaryFolders } from "./temp.ts";
import { waitFor } from "./wait.ts";

/**
 * What must have been closed: listeners, unix sockets (Node counts their listeners among them), child processes.
 * Not TCP connections: the global fetch keeps some open for reuse.
 */
function openThings(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => /^(TCPServerWrap|PipeWrap|ProcessWrap)$/.test(kind));
}

function hasFailed(task: RunnerTask): boolean {
  return task.result?.state === "fail" || ("tasks" in task && task.tasks.some(hasFailed));
}

// Both are made when first used, and would count as left open.
void [process.stdout.fd, process.stderr.fd];
const before = openThings().length;

// Hooks run last registered first, so this one comes after all of the file's own.
// biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names of the fixtures wanted from this pattern.
afterAll(async ({}, file) => {
  const left = await stopLeftOvers();
  // Closing takes a turn or two of the event loop.
  await waitFor(() => openThings().length <= before, { timeoutMs: 1000 }).catch(() => {});
  const open = openThings();
  removeTemporaryFolders();
  // A test that failed half-way leaves things behind; its own message is the one to read.
  if (hasFailed(file)) return;
  if (left.length > 0) throw new Error(`this file left processes running: ${left.join(", ")}`);
  if (open.length > before) throw new Error(`this file left open: ${open.join(", ")}`);
});

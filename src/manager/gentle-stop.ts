/**
 * Ends a program in another language between two requests, whatever it thinks of signals. Many die of TERM at once; and
 * libfcgi, which handles USR1, drops a connection that it has accepted but not read when the signal comes just then.
 *
 * So the program is stopped for a moment (STOP), which makes sure that it accepts nothing, and its connections are
 * counted from outside. Has it none, it gets its signal and goes on (CONT) to receive that; otherwise it goes on, and is
 * looked at again.
 */
import { observe, sendSignal, stopSignalOf } from "./process-facts.ts";

/** How soon to look again, ms. */
const LOOK_AGAIN_MS = 20;
/** How long to wait for an idle moment of a program that handles the signal: it ends after its request anyway, ms. */
const HANDLED_PATIENCE_MS = 1000;

/**
 * @param address where it listens; unknown connections count as none
 * @param after calls back later, unless the program has ended by then
 */
export function stopWhenIdle(
  pid: number,
  address: string | undefined,
  after: (ms: number, look: () => void) => void,
  waitedMs = 0,
): void {
  const { signal, isHandled } = stopSignalOf(pid);
  sendSignal(pid, "SIGSTOP", false);
  const isIdle = (observe(pid, address).connections ?? 0) === 0;
  const isTime = isIdle || (isHandled && waitedMs >= HANDLED_PATIENCE_MS);
  if (isTime) sendSignal(pid, signal, false);
  sendSignal(pid, "SIGCONT", false);
  if (!isTime) after(LOOK_AGAIN_MS, () => stopWhenIdle(pid, address, after, waitedMs + LOOK_AGAIN_MS));
}

/** Time limits of a look that others may end earlier. */
import { setMaxListeners } from "node:events";

/**
 * A signal that aborts after `ms`, or with the first of `signals`. Not `AbortSignal.any` with `AbortSignal.timeout`: on
 * Node 20 nothing keeps that timeout, and it never comes once memory was collected.
 */
export function deadline(ms: number, ...signals: readonly AbortSignal[]): AbortSignal {
  const over = new AbortController();
  setMaxListeners(0, over.signal, ...signals); // as many as there are looks at once
  const abort = (reason: unknown): void => {
    clearTimeout(timer);
    over.abort(reason);
  };
  const late = (): void => abort(new DOMException(`not done within ${ms} ms`, "TimeoutError"));
  const timer = setTimeout(late, ms).unref();
  for (const signal of signals) {
    if (signal.aborted) abort(signal.reason);
    else signal.addEventListener("abort", () => abort(signal.reason), { once: true, signal: over.signal });
  }
  return over.signal;
}

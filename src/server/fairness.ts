/**
 * How many connections a process keeps that shares its listening socket with others. While a request computes, nothing
 * else in its process goes on: a light request that the web server sends over another connection it kept to that
 * process waits, though a sibling has nothing to do. So while requests are known to compute, a process keeps one
 * connection, as a child of php-fpm does, and closes the others behind their answers: what comes instead finds a process
 * that has time. See docs/adr/0012 for what was measured.
 *
 * What counts is the share of the time lately spent in long turns of the event loop. A garbage collection now and then
 * is nothing; an application that never blocks keeps all its connections.
 */

/** The share of the time that may be spent in long turns: below it, fewer than one request in a hundred meets one. */
const ALLOWED_SHARE = 0.01;
/** Connections are closed from so much time above the share on, ms. More than what warming up takes. */
const CLOSE_MS = 100;
/** More is not remembered, ms: what has become light again keeps its connections after a few seconds. */
const MOST_MS = 200;

export class Fairness {
  #debtMs = 0; // time spent in long turns and not yet forgiven
  #at = 0; // of the debt

  /** The event loop stood still for so long. @param now `performance.now()` */
  onBlocked(blockedMs: number, now: number): void {
    this.#forgive(now);
    this.#debtMs = Math.min(this.#debtMs + blockedMs, MOST_MS);
  }

  /** Whether a connection should be closed behind its answer. @param connections open ones, this included */
  closesConnection(connections: number, now?: number): boolean {
    if (this.#debtMs === 0 || connections <= 1) return false;
    this.#forgive(now ?? performance.now());
    return this.#debtMs >= CLOSE_MS;
  }

  #forgive(now: number): void {
    this.#debtMs = Math.max(0, this.#debtMs - (now - this.#at) * ALLOWED_SHARE);
    this.#at = now;
  }
}

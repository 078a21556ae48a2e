/**
 * The last connections that a server takes which is told to end. What waits in the queue of a socket that nobody else has
 * open is lost when it closes, so it is closed just after the event loop has looked, and found nothing: then the queue is
 * empty. A connection that comes in the moment between is lost all the same. What is taken here is therefore read only
 * once the socket is closed: a web server that gives a process one request at a time, as mod_fcgid does, has nothing for
 * this one in that moment. Where it has nothing now either, its next request is waited for, a little. See docs/adr/0024.
 */
import type { Wire } from "./wire.ts";

/** The queue is looked at until a turn of the event loop has brought nothing, but no longer than this, ms. */
const LOOK_MS = 2000;
/** A turn that took longer has worked on something, while which connections may have come, ms. */
const QUIET_TURN_MS = 0.1;
/** How long the next request is waited for: one of a busy site comes by then, and who ends a quiet one hardly notices, ms. */
const LULL_MS = 100;
/** A connection is read after this in any case: one that drains must not be taken for silent, ms. */
const HOLD_MS = 800;

export interface LookHost {
  /** Connections accepted so far. */
  readonly accepted: () => number;
  /** Closes the sockets: the look is over. */
  readonly close: () => void;
}

export class LastLook {
  readonly #host: LookHost;
  #lull: NodeJS.Timeout | undefined = undefined;
  #turn: NodeJS.Immediate | undefined = undefined;
  #until = 0;
  #held: Wire[] = [];

  constructor(host: LookHost) {
    this.#host = host;
  }

  /** @param waits whether to wait for the next request */
  begin(waits: boolean): void {
    if (waits) this.#lull = setTimeout(() => this.#look(), LULL_MS);
    else this.#look();
  }

  /** A connection was accepted, and is not read before the sockets are closed. */
  hold(wire: Wire): void {
    wire.pause();
    this.#held.push(wire);
    if (this.#lull !== undefined) this.#look();
  }

  /** The sockets are closed. */
  end(): void {
    clearTimeout(this.#lull);
    clearImmediate(this.#turn);
    this.#release();
  }

  #look(): void {
    clearTimeout(this.#lull);
    this.#lull = undefined;
    const now = performance.now();
    this.#until = now + LOOK_MS;
    this.#next(-1, now); // this turn may have looked for connections before: it does not count
  }

  #next(seen: number, since: number): void {
    this.#turn = setImmediate(() => {
      const now = performance.now();
      const accepted = this.#host.accepted();
      const isQuiet = accepted === seen && now - since < QUIET_TURN_MS;
      if (isQuiet || now >= this.#until) {
        this.#host.close();
        return;
      }
      if (now >= this.#until - LOOK_MS + HOLD_MS) this.#release();
      this.#next(accepted, now);
    });
  }

  #release(): void {
    for (const wire of this.#held.splice(0)) wire.resume();
  }
}

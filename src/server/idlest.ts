/**
 * Which kept connection has been idle longest, asked again and again by a server that is full. Looking at all of them each
 * time would cost a newcomer the more the more there are; so they are put in order once, and that order is used up. One
 * that has had a request meanwhile is passed over: it is not idlest any more.
 */

/** What is asked of a connection. */
export interface Keepable {
  /** Kept, and without a request. */
  readonly isIdle: boolean;
  /** When something last came, in ms of the server's clock. */
  readonly lastReceive: number;
}

export class Idlest<Connection extends Keepable> {
  #ordered: { readonly connection: Connection; readonly lastReceive: number }[] = []; // the idlest last

  /**
   * Takes the connection that has been idle longest; one that began to be idle after the last time of putting in order
   * comes only when that order is used up. Undefined when none of them is idle.
   */
  take(all: ReadonlySet<Connection>): Connection | undefined {
    const left = this.#next(all);
    if (left !== undefined) return left;
    for (const connection of all) {
      if (connection.isIdle) this.#ordered.push({ connection, lastReceive: connection.lastReceive });
    }
    // The clock is coarse: of equals, the one that was made first.
    this.#ordered.sort((one, other) => one.lastReceive - other.lastReceive).reverse();
    return this.#next(all);
  }

  /** The server is not full any more: what has gone need not be kept in memory. */
  forget(): void {
    this.#ordered = [];
  }

  #next(all: ReadonlySet<Connection>): Connection | undefined {
    for (let next = this.#ordered.pop(); next !== undefined; next = this.#ordered.pop()) {
      const { connection, lastReceive } = next;
      if (all.has(connection) && connection.isIdle && connection.lastReceive === lastReceive)
        return connection;
    }
    return undefined;
  }
}

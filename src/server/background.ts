/**
 * Work that applications do after their answers (`waitUntil`), counted: a server that closes lets it end, as far as its
 * drain timeout goes. What fails is logged by whoever handed the work over, never here.
 */

export class Background {
  readonly #onIdle: () => void;
  #size = 0;
  #generation = 0; // work of an earlier one was given up

  /** @param onIdle the last piece of work has ended */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** How much is being worked on. */
  get size(): number {
    return this.#size;
  }

  add(work: Promise<unknown>): void {
    this.#size++;
    const generation = this.#generation;
    const onEnd = (): void => {
      if (generation === this.#generation && --this.#size === 0) this.#onIdle();
    };
    work.then(onEnd, onEnd);
  }

  /** Waits for none of it any more. Returns how much that was. */
  abandon(): number {
    const size = this.#size;
    this.#size = 0;
    this.#generation++;
    return size;
  }
}

/**
 * Writes to a descriptor without ever waiting for it: a terminal that was stopped with ctrl-S, or a pipe that nobody
 * reads, must not hold up what a tap passes on, as `process.stdout.write` would. What does not fit is left out, and told.
 */
import { write } from "node:fs";

/** Bytes that may wait. */
const MOST_WAITING = 4 * 1024 * 1024;
/** Until a descriptor that is not ready is tried again, ms. */
const RETRY_MS = 10;

export class Outlet {
  readonly #fd: number;
  readonly #onGone: () => void;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #isGone = false;
  #leftOut = 0;
  #onEmpty: (() => void) | undefined;

  /** @param onGone nobody reads any more */
  constructor(fd: number, onGone: () => void) {
    this.#fd = fd;
    this.#onGone = onGone;
  }

  /** Whether everything is out. */
  get isEmpty(): boolean {
    return this.#waitingBytes === 0;
  }

  line(text: string): void {
    if (this.#isGone) return;
    if (this.#waitingBytes > MOST_WAITING) {
      this.#leftOut++;
      return;
    }
    if (this.#leftOut > 0) {
      const note = `… ${this.#leftOut} lines left out: they were not read in time`;
      this.#leftOut = 0;
      this.text(`${note}\n`);
    }
    this.text(`${text}\n`);
  }

  text(text: string): void {
    if (this.#isGone) return;
    const bytes = Buffer.from(text, "utf8");
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (!this.#isWriting) this.#next();
  }

  /** Resolves when everything is out, or nobody takes it for so long. */
  async flush(mostMs: number): Promise<void> {
    if (this.isEmpty || this.#isGone) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      timer = setTimeout(resolve, mostMs);
    });
    clearTimeout(timer);
  }

  #next(): void {
    if (this.#waiting.length === 0) {
      this.#onEmpty?.();
      return;
    }
    this.#isWriting = true;
    this.#write(Buffer.concat(this.#waiting.splice(0)));
  }

  #write(bytes: Buffer): void {
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#write(bytes), RETRY_MS);
        return;
      }
      if (error !== null) {
        this.#isGone = true;
        this.#waiting = [];
        this.#waitingBytes = 0;
        this.#onEmpty?.();
        this.#onGone();
        return;
      }
      this.#waitingBytes -= written;
      if (written < bytes.length) {
        this.#write(bytes.subarray(written));
        return;
      }
      this.#isWriting = false;
      this.#next();
    });
  }
}

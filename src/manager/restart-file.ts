/** `tmp/restart.txt`: touching it asks for a reload, for people who can send files and not signals (Passenger's habit). */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";

export class RestartFile {
  readonly #path: string;
  #seen: number | undefined = undefined; // its time of change; -1 while there is none
  #isLooking = false;

  /** @param folder what a relative path is relative to; links in it are followed anew at each look */
  constructor(path: string, folder: string) {
    this.#path = resolve(folder, path);
  }

  /** Whether it was touched since the last look. The first look only remembers. */
  async hasChanged(): Promise<boolean> {
    if (this.#isLooking) return false;
    this.#isLooking = true;
    const now = await stat(this.#path).then(
      (file) => file.mtimeMs,
      () => -1, // not there: the usual case
    );
    this.#isLooking = false;
    const before = this.#seen;
    this.#seen = now;
    return before !== undefined && now !== before && now >= 0;
  }
}

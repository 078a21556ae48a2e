// HOT
/**
 * What names of parameters mean to somebody, found in the text of a request without cutting them out of it: nearly all
 * requests of a web server have the same names.
 */
import { asPropertyName } from "../base/text.ts";

/** Most names remembered; a client that invents more gets them looked at each time. */
const MAX_NAMES = 512;
/** Longest name remembered, in characters. */
const MAX_NAME = 64;

const SLOTS = 2048;
/** How far a name may be from its slot: clients choose names, and none may make this a long search. */
const MAX_STEPS = 8;

interface Entry<T> {
  readonly name: string;
  readonly meaning: T | undefined;
}

/** Remembers meanings by name. */
export class ParamNames<T> {
  /** By first character: the third that must follow, 0 for any, -1 where no name with a meaning begins so. */
  readonly #thirds: number[] = new Array(256).fill(-1);
  readonly #read: (name: string) => T | undefined;
  readonly #entries: (Entry<T> | undefined)[] = new Array(SLOTS).fill(undefined);
  #size = 0;

  /**
   * @param prefixes what names with a meaning begin with, each with another character
   * @param read what a name means; undefined for nothing. Must not keep the name, a slice of a request
   */
  constructor(prefixes: readonly string[], read: (name: string) => T | undefined) {
    for (const prefix of prefixes) this.#thirds[prefix.charCodeAt(0)] = prefix.charCodeAt(2) || 0;
    this.#read = read;
  }

  /** What the name means that is in `text` from `start` to before `end`. */
  find(text: string, start: number, end: number): T | undefined {
    if (start === end) return undefined;
    const third = this.#thirds[text.charCodeAt(start)]!;
    if (third !== 0 && text.charCodeAt(start + 2) !== third) return undefined;
    const length = end - start;
    const mixed =
      length +
      31 * text.charCodeAt(end - 1) +
      7 * text.charCodeAt(start + (length >> 1)) +
      131 * text.charCodeAt(end - (length >> 2) - 1);
    for (let step = 0; step < MAX_STEPS; step++) {
      const slot = (mixed + step) % SLOTS;
      const entry = this.#entries[slot];
      if (entry === undefined) return this.#learn(text.slice(start, end), slot);
      if (entry.name.length === length && text.startsWith(entry.name, start)) return entry.meaning;
    }
    return this.#read(text.slice(start, end));
  }

  #learn(name: string, slot: number): T | undefined {
    const meaning = this.#read(name);
    if (this.#size < MAX_NAMES && name.length <= MAX_NAME) {
      this.#size++;
      this.#entries[slot] = { name: asPropertyName(name), meaning }; // a copy: a slice would keep the whole request
    }
    return meaning;
  }
}

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
  readonly #read: (name: string, isKept: boolean) => T | undefined;
  readonly #entries: (Entry<T> | undefined)[] = new Array(SLOTS).fill(undefined);
  #size = 0;

  /**
   * @param prefixes what names with a meaning begin with, each with another character
   * @param read what a name means; undefined for nothing. The meaning is kept, or else of use to one request only, and
   * then the name is a slice of it
   */
  constructor(prefixes: readonly string[], read: (name: string, isKept: boolean) => T | undefined) {
    for (const prefix of prefixes) this.#thirds[prefix.charCodeAt(0)] = prefix.charCodeAt(2) || 0;
    this.#read = read;
  }

  /** What the name means that is in `text` from `start` to before `end`. */
  find(text: string, start: number, end: number): T | undefined {
    if (start === end) return undefined;
    const third = this.#thirds[text.charCodeAt(start)]!;
    if (third !== 0 && text.charCodeAt(start + 2) !== third) return undefined;
    const length = end - start;
    // Names that are counted differ in their last characters.
    const mixed =
      length +
      31 * text.charCodeAt(end - 1) +
      7 * text.charCodeAt(start + (length >> 1)) +
      131 * text.charCodeAt(length > 1 ? end - 2 : start) +
      521 * text.charCodeAt(length > 2 ? end - 3 : start);
    for (let step = 0; step < MAX_STEPS; step++) {
      const slot = (mixed + step) % SLOTS;
      const entry = this.#entries[slot];
      if (entry === undefined) return this.#learn(text.slice(start, end), slot);
      if (entry.name.length === length && text.startsWith(entry.name, start)) return entry.meaning;
    }
    return this.#read(text.slice(start, end), false);
  }

  #learn(slice: string, slot: number): T | undefined {
    if (this.#size === MAX_NAMES || slice.length > MAX_NAME) return this.#read(slice, false);
    const name = asPropertyName(slice); // a copy: a slice would keep the whole request
    const meaning = this.#read(name, true);
    this.#size++;
    this.#entries[slot] = { name, meaning };
    return meaning;
  }
}

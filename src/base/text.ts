/** Text that came from strangers, made safe to print. */

/** Replaces control characters (C0, DEL, C1) with `\xNN`, so that one message stays one line. */
export function escapeControls(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Cuts `text` to `limit` characters, saying how many were left out. */
export function clip(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length - limit} more)`;
}

/** The first line of an error, or a value, as one printable line of at most 500 characters. */
export function oneLine(value: unknown): string {
  return clip(escapeControls(textOf(value).split("\n", 1)[0] ?? ""), 500);
}

/** `String` that takes everything: some objects cannot be converted, and anything can be thrown. */
function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/**
 * A copy of latin1 text that keeps nothing else in memory, as a slice does, and is the one string that V8 has for
 * property names: as the key of an object it is found without a search for that one, a thing of 0.2 to 1 µs.
 */
export function asPropertyName(text: string): string {
  return Object.keys({ [Buffer.from(text, "latin1").toString("latin1")]: true })[0]!;
}

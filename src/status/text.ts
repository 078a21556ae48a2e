/**
 * Text for terminals: what strangers sent made harmless, widths kept, numbers made readable. Pure.
 *
 * A URL comes from whoever asked for it. Printed as it is, it could move the cursor, rename the window or answer for
 * the person at the keyboard; so nothing of it reaches a terminal but printable ASCII.
 */
import { escapeControls } from "../base/text.ts";

/** Text of strangers: everything but printable ASCII is escaped. */
export function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (character) => escaped(character));
}

/** Text of the operator: letters of all languages stay; controls, and what hides or reorders text, are escaped. */
export function printable(text: string): string {
  return escapeControls(text).replace(/[\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu, (character) =>
    escaped(character),
  );
}

/** {@link printable}, with its line ends: the first lines of a failure. */
export function printableLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => printable(line.replaceAll("\t", "  ")))
    .join("\n");
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

/** Columns that text takes, near enough: one for each character, two for the wide ones of East Asia and emoji. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += columnsOf(character);
  return width;
}

function columnsOf(character: string): number {
  if (/[\p{Mn}\p{Me}]/u.test(character)) return 0;
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{3fffd}]/u.test(
    character,
  )
    ? 2
    : 1;
}

/** Cut to `width` columns, the last of them an ellipsis when something is missing. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const character of text) {
    used += columnsOf(character);
    if (used > width - 1) break;
    kept += character;
  }
  return width < 1 ? "" : `${kept}…`;
}

/** Blanks before it, or behind it, up to `width` columns. */
export function pad(text: string, width: number, side: "left" | "right"): string {
  const blanks = " ".repeat(Math.max(0, width - widthOf(text)));
  return side === "left" ? blanks + text : text + blanks;
}

/** `340 ms`, `12 s`, `3m 20s`, `4h 5m`, `3d 4h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "-";
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1000) return `${whole} ms`;
  const seconds = Math.floor(whole / 1000);
  if (seconds < 60) return seconds < 10 ? `${(Math.floor(whole / 100) / 10).toFixed(1)} s` : `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

/** `640 KB`, `88 MB`, `1.4 GB`; a KB has 1024 bytes. */
export function bytes(count: number): string {
  if (count >= 1024 ** 3) return `${(count / 1024 ** 3).toFixed(1)} GB`;
  if (count >= 1024 ** 2) return `${Math.round(count / 1024 ** 2)} MB`;
  return `${Math.round(count / 1024)} KB`;
}

/** `1 worker`, `2 workers`. */
export function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}

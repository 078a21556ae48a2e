/**
 * Durations, sizes and permissions as people write them. A bare duration is seconds, as in php-fpm; a bare size is
 * bytes. Nothing here knows a setting: `undefined` means that the text is none of these.
 */

const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_UNITS = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const;

/** The longest time a timer of Node takes is 24.8 days. */
export const MOST_MS: number = 24 * DURATION_UNITS.d;

/** Seconds, or text such as `500ms`, `30s`, `1.5h`: in ms. */
export function readDuration(value: unknown): number | undefined {
  const [, digits = "", unit = "s"] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(numberText(value)) ?? [];
  if (digits === "") return undefined;
  return Math.round(Number(digits) * DURATION_UNITS[unit as keyof typeof DURATION_UNITS]);
}

/** ms as {@link readDuration} reads it, in the largest unit that is exact: `90s`, `5m`. 0 is `0`. */
export function printDuration(ms: number): string {
  if (ms === 0) return "0";
  const units = Object.entries(DURATION_UNITS).reverse();
  const [unit, size] = units.find(([, one]) => ms % one === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}

/** Bytes, or text such as `512K`, `256M`, `1G`: in bytes. */
export function readSize(value: unknown): number | undefined {
  const [, digits = "", unit] = /^(\d+(?:\.\d+)?)\s*([KMG])?(?:i?B)?$/i.exec(numberText(value)) ?? [];
  if (digits === "") return undefined;
  const size = unit === undefined ? 1 : SIZE_UNITS[unit.toUpperCase() as keyof typeof SIZE_UNITS];
  const bytes = Math.round(Number(digits) * size);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes as {@link readSize} reads it: `256M`, `1000`. */
export function printSize(bytes: number): string {
  if (bytes === 0) return "0";
  const units = Object.entries(SIZE_UNITS).reverse();
  const [unit, size] = units.find(([, one]) => bytes % one === 0) ?? ["", 1];
  return `${bytes / size}${unit}`;
}

/** Permissions: text is octal (`0660`, `660`, `0o660`), a number is what JavaScript makes of `0o660`. */
export function readOctal(value: unknown): number | undefined {
  const isText = typeof value === "string" && /^(?:0o?)?[0-7]{1,4}$/.test(value);
  const bits = isText ? Number.parseInt(value.replace("o", ""), 8) : value;
  return typeof bits === "number" && Number.isInteger(bits) && bits >= 0 && bits <= 0o777 ? bits : undefined;
}

/** Permissions in four octal digits. */
export function printOctal(bits: number): string {
  return bits.toString(8).padStart(4, "0");
}

/** A whole number, also as text. */
export function readCount(value: unknown): number | undefined {
  const text = numberText(value);
  const number = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  return number;
}

const YES_NO: Readonly<Record<string, boolean>> = {
  1: true,
  0: false,
  true: true,
  false: false,
  yes: true,
  no: false,
  on: true,
  off: false,
};

/** On or off, also as the words that environments use. */
export function readYesNo(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (typeof value !== "string") return undefined;
  const word = value.toLowerCase();
  return Object.hasOwn(YES_NO, word) ? YES_NO[word] : undefined;
}

function numberText(value: unknown): string {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value.trim() : "";
}

/**
 * Times of the access log: strftime(3) patterns, as php-fpm takes them, and ISO 8601. Local time, with its offset. What
 * a pattern gives is kept for its second.
 */
import { badOption } from "../base/settings.ts";

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** What stands behind the `%` of a pattern. */
const CONVERSIONS: Readonly<Record<string, string | ((at: Date) => string | number)>> = {
  Y: (at) => at.getFullYear(),
  y: (at) => two(at.getFullYear() % 100),
  m: (at) => two(at.getMonth() + 1),
  d: (at) => two(at.getDate()),
  e: (at) => String(at.getDate()).padStart(2),
  H: (at) => two(at.getHours()),
  I: (at) => two(at.getHours() % 12 || 12),
  M: (at) => two(at.getMinutes()),
  S: (at) => two(at.getSeconds()),
  p: (at) => (at.getHours() < 12 ? "AM" : "PM"),
  z: (at) => offset(at),
  s: (at) => Math.floor(at.getTime() / 1000),
  a: (at) => DAYS[at.getDay()]!.slice(0, 3),
  A: (at) => DAYS[at.getDay()]!,
  b: (at) => MONTHS[at.getMonth()]!.slice(0, 3),
  h: (at) => MONTHS[at.getMonth()]!.slice(0, 3),
  B: (at) => MONTHS[at.getMonth()]!,
  j: (at) =>
    String(Math.round((startOfDay(at) - Date.UTC(at.getFullYear(), 0, 0)) / 86_400_000)).padStart(3, "0"),
  F: "%Y-%m-%d",
  T: "%H:%M:%S",
  R: "%H:%M",
  D: "%m/%d/%y",
  "%": () => "%",
};

/** @throws {SettingError} a conversion that is not known */
export function compileTime(pattern: string, option: string): (ms: number) => string {
  const parts = partsOf(pattern, option);
  let second = Number.NaN;
  let text = "";
  return (ms) => {
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      const at = new Date(now * 1000);
      second = now;
      text = parts.map((part) => (typeof part === "string" ? part : part(at))).join("");
    }
    return text;
  };
}

/** `2026-11-22T13:15:41.250Z`. */
export function compileIsoTime(): (ms: number) => string {
  let second = Number.NaN;
  let text = "";
  return (ms) => {
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toISOString().slice(0, 20);
    }
    const rest = Math.floor(ms - now * 1000);
    return `${text}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
  };
}

function partsOf(pattern: string, option: string): (string | ((at: Date) => string | number))[] {
  return pattern.split(/(%.?)/s).flatMap((part) => {
    if (!part.startsWith("%")) return [Buffer.from(part).toString("latin1")]; // lines are written as latin1
    const meaning = Object.hasOwn(CONVERSIONS, part.slice(1)) ? CONVERSIONS[part.slice(1)]! : undefined;
    if (meaning === undefined) {
      const known = Object.keys(CONVERSIONS)
        .map((letter) => `%${letter}`)
        .join(" ");
      throw badOption(option, part, `a time made of ${known}`);
    }
    return typeof meaning === "string" ? partsOf(meaning, option) : [meaning];
  });
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function offset(at: Date): string {
  const minutes = -at.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}${two(size % 60)}`;
}

/** The local day, as if it were one of UTC: days are counted without the hours that summer time takes. */
function startOfDay(at: Date): number {
  return Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
}

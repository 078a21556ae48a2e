/** Parameters as people have them: `NAME=value` lines, nginx's fastcgi_param, JSON, what an application printed. */
import { SettingError } from "../../base/errors.ts";

export type Pairs = readonly (readonly [name: string, value: string])[];

/** Whether bytes are text of parameters rather than a recording: FastCGI begins with the version, gzip with its own. */
export function isText(bytes: Uint8Array): boolean {
  return bytes[0] !== 1 && bytes[0] !== 0x1f && !bytes.subarray(0, 512).includes(0);
}

/**
 * @param text UTF-8 as read; the pairs are latin1, as parameters are
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: a line that is no parameter, with its number
 */
export function readParams(name: string, text: string): Pairs {
  const trimmed = text.replace(/^\ufeff/, "").trim();
  const pairs = /^(?:\{|\[\s*[[\]])/.test(trimmed) ? fromJson(name, trimmed) : fromLines(name, trimmed);
  if (pairs.length === 0) throw wrong(name, "there is no parameter in it");
  return pairs.map(([key, value]) => [latin1(key), latin1(value)]);
}

/** `NAME=value`, `NAME: value`, `fastcgi_param NAME value;`, `[NAME] => value`, or a name alone, which is empty. */
const LINE =
  /^(?:fastcgi_param\s+)?\[?([A-Za-z_][A-Za-z0-9_.-]*)\]?(?:(?:\s*=>\s*|\s*=\s*|:\s+|:$|\s+)(.*))?$/;

function fromLines(name: string, text: string): Pairs {
  const pairs: [string, string][] = [];
  for (const [index, whole] of text.split(/\r?\n/).entries()) {
    const line = whole.trim();
    if (line === "" || line.startsWith("#")) continue;
    const found = LINE.exec(line);
    if (found === null) {
      throw wrong(
        name,
        `line ${index + 1} is no parameter: ${JSON.stringify(line.slice(0, 60))}; write NAME=value`,
      );
    }
    pairs.push([
      found[1]!,
      unquoted(line.startsWith("fastcgi_param") ? (found[2] ?? "").replace(/\s*;$/, "") : (found[2] ?? "")),
    ]);
  }
  return pairs;
}

function unquoted(text: string): string {
  const found = /^"(.*)"$/s.exec(text) ?? /^'(.*)'$/s.exec(text);
  return found?.[1] ?? text;
}

function fromJson(name: string, text: string): Pairs {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(name, `it is no JSON: ${(error as Error).message}`);
  }
  const entries: unknown[] = Array.isArray(value) ? value : Object.entries(value as object);
  return entries.map((entry) => {
    const [key, one] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof key !== "string" || typeof one !== "string") {
      throw wrong(name, 'parameters in JSON are texts: {"NAME": "value"}, or [["NAME", "value"]]');
    }
    return [key, one] as const;
  });
}

function latin1(text: string): string {
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

function wrong(name: string, why: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", `${name}: ${why}`);
}

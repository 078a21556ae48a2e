/** `-w`: what is printed when the transfer is over. */
import { type OpenStdin, readWhole } from "./body.ts";

/** What `%{name}` can be. */
export interface TransferFacts {
  readonly http_code: number;
  readonly app_status: number | undefined;
  readonly protocol_status: string | undefined;
  readonly content_type: string | undefined;
  readonly method: string;
  readonly num_redirects: number;
  readonly redirect_url: string | undefined;
  readonly size_download: number;
  readonly size_header: number;
  readonly size_stderr: number;
  readonly size_upload: number;
  readonly time_connect: number;
  readonly time_starttransfer: number;
  readonly time_total: number;
  readonly url: string;
  readonly url_effective: string;
  readonly filename_effective: string | undefined;
  readonly exitcode: number;
  readonly errormsg: string | undefined;
  /** Names and values in turn, of the last head. */
  readonly headers: readonly string[];
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\" };

/** The format itself, or that of `@file`, where `@-` is standard input. */
export async function formatOf(text: string, stdin: OpenStdin): Promise<string> {
  return text.startsWith("@") ? (await readWhole(text.slice(1), stdin)).toString("utf8") : text;
}

/** Texts for standard output and standard error; `%{stderr}` and `%{stdout}` switch between them. */
export function writeOut(format: string, facts: TransferFacts): { stdout: string; stderr: string } {
  const texts = { stdout: "", stderr: "" };
  let where: keyof typeof texts = "stdout";
  const parts = /%%|%header\{([^}]*)\}|%\{([^}]*)\}|\\([nrt\\])|[^%\\]+|[%\\]/gs;
  for (const [whole, header, variable, escaped] of format.matchAll(parts)) {
    if (whole === "%%") texts[where] += "%";
    else if (escaped !== undefined) texts[where] += ESCAPES[escaped] ?? whole;
    else if (header !== undefined) texts[where] += headerOf(facts.headers, header);
    else if (variable === "stdout" || variable === "stderr") where = variable;
    else if (variable !== undefined) texts[where] += valueText(variable, facts);
    else texts[where] += whole;
  }
  return texts;
}

function valueText(name: string, { headers, ...facts }: TransferFacts): string {
  if (name === "json") return JSON.stringify({ ...facts, response_code: facts.http_code });
  if (name === "header_json") return JSON.stringify(headersByName(headers));
  const key = name === "response_code" ? "http_code" : name;
  if (!Object.hasOwn(facts, key)) return `%{${name}: there is no such variable}`;
  const value = facts[key as keyof typeof facts];
  if (key === "http_code") return String(value).padStart(3, "0");
  if (key.startsWith("time_")) return Number(value).toFixed(6);
  return value === undefined ? "" : String(value);
}

function headerOf(headers: readonly string[], name: string): string {
  for (let at = 0; at + 1 < headers.length; at += 2)
    if (headers[at]!.toLowerCase() === name.toLowerCase()) return headers[at + 1]!;
  return "";
}

function headersByName(headers: readonly string[]): Record<string, string[]> {
  const byName: Record<string, string[]> = Object.create(null);
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]!.toLowerCase();
    byName[name] = [...(byName[name] ?? []), headers[at + 1]!];
  }
  return byName;
}

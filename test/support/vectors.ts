/**
 * Vectors: annotated bytes with what must come of them, one per file, in sections. `#` starts a comment.
 *
 *     app: answers at input end            optional; also `never answers`, `answers at once`; `upgrade` may follow
 *     limits: maxParams 3, maxRequests 2   optional
 *     bytes:
 *       01 01 00 01 00 08 00 00            hex, or "text" with \r \n \xhh, either repeated with *n
 *     events:
 *       request 1 responder close          what the application hears, see app-recorder.ts
 *     output:
 *       END_REQUEST 1 app 0 complete       the records that are answered, decoded independently
 *     state:
 *       open 0, served 1, finished         what the machine then says of itself; left out after an error
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AppLimits } from "../../src/protocol/app-limits.ts";
import type { Answers, RecorderOptions } from "./app-recorder.ts";
import { repositoryRoot } from "./paths.ts";

export interface Vector {
  /** `valid/get`: the file without its ending. */
  readonly name: string;
  readonly options: RecorderOptions;
  readonly bytes: Buffer;
  readonly events: readonly string[];
  readonly output: readonly string[];
  readonly state: string | undefined;
}

const SECTIONS = ["app", "limits", "bytes", "events", "output", "state"];
const LIMIT_NAMES: readonly string[] = ["maxParamsBytes", "maxParams", "maxRequests", "maxConnections"];

/** The vectors of one folder of test/vectors, sorted by name. */
export function loadVectors(folder: "valid" | "invalid"): Vector[] {
  const path = join(repositoryRoot, "test/vectors", folder);
  const files = readdirSync(path).filter((file) => file.endsWith(".txt"));
  return files.sort().map((file) => {
    const name = `${folder}/${file.slice(0, -".txt".length)}`;
    try {
      return parseVector(name, readFileSync(join(path, file), "utf8"));
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`);
    }
  });
}

function parseVector(name: string, text: string): Vector {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const raw of text.split("\n")) {
    const line = withoutComment(raw).trimEnd();
    const title = /^([a-z]+):(.*)$/.exec(line);
    if (title !== null) {
      const [, section = "", rest = ""] = title;
      if (!SECTIONS.includes(section) || sections.has(section)) throw new Error(`section "${section}"?`);
      lines = rest.trim() === "" ? [] : [rest.trim()];
      sections.set(section, lines);
    } else if (line.trim() !== "") {
      if (!line.startsWith("  ") || sections.size === 0) throw new Error(`line "${line}"?`);
      lines.push(line.trim());
    }
  }
  const get = (section: string): string[] => sections.get(section) ?? [];
  return {
    name,
    options: { ...parseApp(get("app")[0] ?? "never answers"), limits: parseLimits(get("limits").join(", ")) },
    bytes: Buffer.concat(get("bytes").map(parseBytes)),
    events: get("events"),
    output: get("output"),
    state: sections.has("state") ? get("state").join(", ") : undefined,
  };
}

/** Cuts the line at the first `#` outside quotes. */
function withoutComment(line: string): string {
  const kept = /^(?:[^"#]|"(?:[^"\\]|\\.)*")*/.exec(line);
  return kept?.[0] ?? "";
}

function parseApp(text: string): RecorderOptions {
  const match = /^(never answers|answers at once|answers at input end)$/.exec(text);
  if (match === null) throw new Error(`app "${text}"?`);
  const answers: Answers =
    match[1] === "never answers" ? "never" : (match[1]!.slice("answers ".length) as Answers);
  return { answers };
}

function parseLimits(text: string): Partial<AppLimits> {
  const limits: Record<string, number> = {};
  for (const part of text === "" ? [] : text.split(/, */)) {
    const [name = "", value] = part.split(" ");
    if (!LIMIT_NAMES.includes(name)) throw new Error(`limit "${part}"?`);
    limits[name] = Number(value);
  }
  return limits;
}

function parseBytes(line: string): Buffer {
  const pieces: Buffer[] = [];
  const token = /\s*(?:([0-9a-f]{2})|"((?:[^"\\]|\\.)*)")(?:\*(\d+))?(?=\s|$)/gy;
  for (let at = 0; at < line.length; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(line);
    if (match === null) throw new Error(`bytes "${line.slice(at)}"?`);
    const piece =
      match[1] === undefined ? Buffer.from(unescaped(match[2]!), "latin1") : Buffer.from(match[1], "hex");
    const times = Number(match[3] ?? 1);
    pieces.push(Buffer.alloc(piece.length * times, piece));
  }
  return Buffer.concat(pieces);
}

function unescaped(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, char: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return { r: "\r", n: "\n" }[char] ?? char;
  });
}

/** `-F`: a form with files, multipart/form-data (RFC 7578), its fields as curl writes them. */
import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { type Body, fileStream, type OpenStdin, readWhole, statsOf } from "./body.ts";
import { CurlExit, CurlFailure } from "./exit.ts";
import type { FormFlag } from "./options.ts";

/** One field of a form, as `-F` describes it. */
export interface FormPart {
  readonly name: string;
  /** The value itself, or a file that holds it. */
  readonly value: { readonly text: string } | { readonly file: string };
  readonly filename: string | undefined;
  readonly type: string | undefined;
}

/** Content types by file ending: the few that curl knows. */
const TYPES: Readonly<Record<string, string>> = {
  gif: "image/gif",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain",
  htm: "text/html",
  html: "text/html",
  pdf: "application/pdf",
  xml: "application/xml",
};

/**
 * Reads `name=value`, `name=@file`, `name=<file`, with `;type=` and `;filename=` behind.
 * @throws {CurlFailure} 2
 */
export function parseForm({ text, isLiteral }: FormFlag): FormPart {
  const sign = text.indexOf("=");
  if (sign < 1) throw wrong(text, "write name=value, or name=@file");
  const name = text.slice(0, sign);
  const value = text.slice(sign + 1);
  if (isLiteral) return { name, value: { text: value }, filename: undefined, type: undefined };
  const kind = /^[@<]/.exec(value)?.[0];
  const [content = "", ...attributes] = splitAttributes(kind === undefined ? value : value.slice(1));
  let type: string | undefined;
  let filename: string | undefined;
  for (const attribute of attributes) {
    const [, key = "", given = ""] = /^\s*(type|filename)=(.*)$/is.exec(attribute) ?? [];
    if (/^type$/i.test(key)) type = given;
    else if (/^filename$/i.test(key)) filename = unquoted(given);
    else if (type !== undefined && filename === undefined) type += `;${attribute}`;
    else
      throw wrong(
        text,
        `";${attribute}" is neither ;type= nor ;filename=; for a value with a semicolon use --form-string`,
      );
  }
  if (kind === undefined) {
    return { name, value: { text: unquoted(content) }, filename, type: type ?? typeOf(filename) };
  }
  if (!content.startsWith('"') && content.includes(","))
    throw wrong(text, 'one file each: repeat -F, or quote a name with a comma: name=@"a,b"');
  const file = unquoted(content);
  if (file === "") throw wrong(text, "the name of the file is missing");
  if (kind === "<") return { name, value: { file }, filename, type };
  // As curl: what comes from standard input has a type only by its name.
  const usual = typeOf(filename) ?? typeOf(file) ?? (file === "-" ? undefined : "application/octet-stream");
  return { name, value: { file }, filename: filename ?? basename(file), type: type ?? usual };
}

/** The body of a form. Files are read while they are sent; standard input before, because its length must be known. */
export async function formBody(flags: readonly FormFlag[], stdin: OpenStdin): Promise<Body> {
  const boundary = `------------------------${randomBytes(8).toString("hex")}`;
  const pieces: (Buffer | { readonly file: string; readonly length: number })[] = [];
  for (const part of flags.map(parseForm)) {
    pieces.push(Buffer.from(`--${boundary}\r\n${headOf(part)}\r\n`));
    if ("text" in part.value) {
      pieces.push(Buffer.from(part.value.text));
    } else {
      const { file } = part.value;
      const stats = file === "-" ? undefined : statsOf(file);
      if (stats?.isFile()) pieces.push({ file, length: stats.size });
      else pieces.push(await readWhole(file, stdin));
    }
    pieces.push(Buffer.from("\r\n"));
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return {
    length: pieces.reduce((sum, { length }) => sum + length, 0),
    contentType: `multipart/form-data; boundary=${boundary}`,
    isReplayable: true,
    open: () => send(pieces),
  };
}

async function* send(
  pieces: readonly (Buffer | { readonly file: string; readonly length: number })[],
): AsyncGenerator<Buffer> {
  let small: Buffer[] = []; // what lies between files goes out together
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) {
      small.push(piece);
      continue;
    }
    yield Buffer.concat(small);
    small = [];
    yield* fileStream(piece.file, piece.length);
  }
  yield Buffer.concat(small);
}

function headOf({ name, filename, type }: FormPart): string {
  const file = filename === undefined ? "" : `; filename="${escaped(filename)}"`;
  const contentType = type === undefined ? "" : `Content-Type: ${type.replace(/[\r\n]/g, "")}\r\n`;
  return `Content-Disposition: form-data; name="${escaped(name)}"${file}\r\n${contentType}`;
}

/** As browsers and curl from 7.81 on write names. */
function escaped(text: string): string {
  return text.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function typeOf(file: string | undefined): string | undefined {
  return TYPES[/\.([^./]+)$/.exec(file ?? "")?.[1]?.toLowerCase() ?? ""];
}

/** Cuts at semicolons that are not in quotes. */
function splitAttributes(text: string): string[] {
  const parts: string[] = [];
  let current = "";
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (isQuoted && character === "\\" && at + 1 < text.length) {
      current += character + text[++at]!;
      continue;
    }
    if (character === '"' && (isQuoted || current === "" || current.endsWith("="))) isQuoted = !isQuoted;
    if (character === ";" && !isQuoted) {
      parts.push(current);
      current = "";
    } else {
      current += character;
    }
  }
  parts.push(current);
  return parts;
}

function unquoted(text: string): string {
  const inside = /^"(.*)"\s*$/s.exec(text)?.[1];
  return inside === undefined ? text : inside.replace(/\\(["\\])/g, "$1");
}

function wrong(text: string, remedy: string): CurlFailure {
  return new CurlFailure(CurlExit.Usage, `-F ${JSON.stringify(text)}: ${remedy}`);
}

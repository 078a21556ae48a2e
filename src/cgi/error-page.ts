/**
 * The page a person sees when there is no response of the application: small, plain, valid HTML.
 * It says what happened, never why, unless the caller passes a detail.
 */
import { serializeHead } from "./response-head.ts";

/** A whole response. Both parts are ASCII: `head + body` is the bytes of one STDOUT record. */
export interface ErrorPage {
  /** Header block, blank line included. */
  readonly head: string;
  /** Leave it out for HEAD; Content-Length in `head` stays right. */
  readonly body: string;
}

/** Most characters of a detail; escaped ten times as long it still fits one record. */
const MAX_DETAIL = 6000;

/**
 * A page for `status`, ready to send.
 * @param title reason phrase and heading, such as `Service Unavailable`
 * @param detail preformatted text, such as a stack; only for eyes that may see it
 * @param headers further headers, such as `["Retry-After", "5"]`
 */
export function errorPage(
  status: number,
  title: string,
  detail?: string,
  headers: readonly string[] = [],
): ErrorPage {
  const heading = `${status} ${escapeHtml(title)}`;
  const more = detail === undefined ? "" : `<pre>${escapeHtml(shorten(detail))}</pre>\n`;
  const body =
    `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n` +
    `<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>${heading}</title>\n` +
    `<style>body{font:1em/1.5 system-ui,sans-serif;color-scheme:light dark;max-width:45em;margin:15vh auto;padding:0 1em}` +
    `h1{font-size:1.5em;font-weight:600}pre{overflow:auto;font-size:.85em}</style>\n` +
    `</head>\n<body>\n<h1>${heading}</h1>\n${more}</body>\n</html>\n`;
  const head = serializeHead(status, title, [
    "Content-Type",
    "text/html; charset=utf-8",
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
    ...headers,
  ]);
  return { head, body };
}

function shorten(detail: string): string {
  return detail.length <= MAX_DETAIL ? detail : `${detail.slice(0, MAX_DETAIL)}…`;
}

/** ASCII with every markup and non-ASCII character as a reference; control characters but tab and newline dropped. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'\x00-\x08\x0b-\x1f\x7f]|[^\x00-\x7f]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x20 || code === 0x7f ? "" : `&#${code};`;
  });
}

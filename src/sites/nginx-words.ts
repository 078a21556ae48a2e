/**
 * How a text is written in nginx's configuration so that it means itself. In quotes only `"` and `\` are special to the
 * reader; `$` begins a variable in the directives that take variables, and has no other spelling there, so that a
 * variable stands for it whose value is a dollar sign.
 */
import { refused } from "./parts.ts";

/** Means itself without quotes. */
const HARMLESS = /^[A-Za-z0-9_./:@%=,+-]+$/;
/** A word must fit into the reader's buffer. */
const MOST_BYTES = 4000;

/** Its value is `$`. `geo` is the one directive that can say so: it does not look for variables. */
const DOLLAR_VARIABLE = "postern_dollar";

/** A word of a directive that knows no variables, such as `server` in an `upstream`, or the name of a `location`. */
export function nginxWord(text: string): string {
  return HARMLESS.test(text) ? text : inQuotes(text);
}

/** A word of a directive that takes variables, such as `root` and `alias`. With a `$` in it, {@link dollarLines} is needed. */
export function nginxText(text: string): string {
  return HARMLESS.test(text) ? text : inQuotes(text).replaceAll("$", `\${${DOLLAR_VARIABLE}}`);
}

/** A text that a regular expression matches as it is, not yet quoted. */
export function nginxPattern(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

/** A file that nginx would read anew for each visitor, with the rights of its workers, if a variable were in its name. */
export function nginxFixedFile(what: string, path: string): string {
  if (!path.includes("$")) return nginxWord(path);
  throw refused(
    `${what} ${JSON.stringify(path)}: nginx takes the $ in it for a variable; give a path without one, such as a link to the file`,
  );
}

/** What the top of a site needs when {@link nginxText} has met a `$`. */
export function dollarLines(): string[] {
  return ["# A $ in a path: nginx has no other way to write it.", `geo $${DOLLAR_VARIABLE} { default "$"; }`];
}

function inQuotes(text: string): string {
  const word = `"${text.replace(/["\\]/g, "\\$&")}"`;
  if (new TextEncoder().encode(word).length > MOST_BYTES) {
    throw refused(
      `${JSON.stringify(text.slice(0, 60))}…: nginx takes words of at most ${MOST_BYTES} bytes; give a shorter path`,
    );
  }
  return word;
}

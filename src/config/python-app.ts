/**
 * Which of the applications that are named are Python's: `yourapplication:app`, `package.module:factory()`, `app.py`,
 * `app.py:name`, `site.wsgi`, and files without an ending of ours whose first line names Python, such as the `.fcgi` file
 * that was written for flup. The rest is JavaScript.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const IDENTIFIER = "[A-Za-z_]\\w*";
const DOTTED = `${IDENTIFIER}(?:\\.${IDENTIFIER})*`;
const MODULE = new RegExp(`^${DOTTED}:${DOTTED}(?:\\(\\))?$`);
const FILE = new RegExp(`\\.(?:py|wsgi|fcgi)(?::${DOTTED}(?:\\(\\))?)?$`);
const SHEBANG_BYTES = 256;

/** @param path what was named, made absolute: the folder, and in it a file or a module and a name */
export function isPythonApp(path: string): boolean {
  if (/\.(?:py|wsgi)$/.test(path)) return true;
  const isFile = existsSync(path);
  const named = basename(path);
  if (named.includes(":")) return !isFile && (FILE.test(named) || MODULE.test(named));
  return isFile && /\bpython[\d.]*(?:\s|$)/.test(shebangOf(path));
}

/**
 * The file that a Python application is loaded from; undefined when there is none.
 * @param path as for {@link isPythonApp}
 */
export function pythonSource(path: string): string | undefined {
  const folder = dirname(path);
  const [named = "", attribute] = basename(path).split(":");
  const file = join(folder, named);
  const isFile = (one: string): boolean => statSync(one, { throwIfNoEntry: false })?.isFile() === true;
  // mysite.wsgi:application is a module, unless there is a file of that name.
  if (isFile(file) || attribute === undefined) return isFile(file) ? file : undefined;
  const module = join(folder, ...named.split("."));
  return [`${module}.py`, join(module, "__init__.py")].find(isFile);
}

/** The first line of a file, when it says by which program it is run; else empty. */
export function shebangOf(path: string): string {
  const start = Buffer.alloc(SHEBANG_BYTES);
  let length = 0;
  try {
    const fd = openSync(path, "r");
    try {
      length = readSync(fd, start, 0, SHEBANG_BYTES, 0);
    } finally {
      closeSync(fd);
    }
  } catch {
    return ""; // a folder, or not ours to read: whoever loads it says so
  }
  const [line = ""] = start.toString("latin1", 0, length).split("\n");
  return line.startsWith("#!") ? line.slice(2).trim() : "";
}

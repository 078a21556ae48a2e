/** ES modules taken for CommonJS and the other way round: why Node does so, and the edit that tells it. */
import { readFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { shWord } from "../../generate/quoting.ts";
import { packageFolder } from "./access.ts";
import type { Ended } from "./ended.ts";
import type { Finding, Remedy } from "./model.ts";

const ESM_IN_COMMONJS =
  /Cannot use import statement outside a module|Unexpected token 'export'|is an ES module, but its package\.json says otherwise|Cannot use 'import\.meta' outside a module|await is only valid in async functions and the top level bodies of modules/;
const COMMONJS_IN_ESM =
  /\b(?:require|module|exports|__dirname|__filename) is not defined(?: in ES module scope)?/;
const UNKNOWN_ENDING = /Unknown file extension "(\.[^"]*)" for (\/[^\n]*)/;

export function moduleSystem({ text, path, trial, facts }: Ended): Finding | undefined {
  const node = facts.options?.postern[0] ?? process.execPath;
  const unknown = UNKNOWN_ENDING.exec(text);
  if (unknown !== null && unknown[2]?.trim() === path) {
    const says = `Node does not run files that end with ${unknown[1]} in a package whose type is module`;
    return bad("esm-mismatch", says, [unknown[0], typeOf(path)], ...wrapped(path, node));
  }
  const esm = ESM_IN_COMMONJS.exec(text)?.[0];
  if (esm !== undefined) {
    const file = fileIn(text) ?? path;
    const says = `${file} is an ES module, and Node takes it for CommonJS`;
    const isProgram = file === path && trial.command[0] === path && !/\.[cm]?js$/.test(path);
    return bad(
      "esm-mismatch",
      says,
      [esm, typeOf(file)],
      ...(isProgram ? wrapped(path, node) : typed(file, "module")),
    );
  }
  const commonjs = COMMONJS_IN_ESM.exec(text)?.[0];
  if (commonjs === undefined) return undefined;
  const file = fileIn(text) ?? path;
  // Without this the name may be missing for any other reason.
  if (!/ES module/.test(text) && extname(file) !== ".mjs" && !/"module"/.test(typeOf(file))) return undefined;
  const says = `${file} is CommonJS, and Node takes it for an ES module`;
  const remedy =
    extname(file) === ".mjs"
      ? [{ advice: `name it ${basename(file, ".mjs")}.cjs` }]
      : typed(file, "commonjs");
  return bad("esm-mismatch", says, [commonjs, typeOf(file)], ...remedy);
}

function bad(id: string, says: string, evidence: readonly string[], ...remedy: readonly Remedy[]): Finding {
  return { id: `program.${id}`, verdict: "bad", says, evidence, remedy };
}

/** The file that the first line of Node's message names. */
function fileIn(text: string): string | undefined {
  return (
    /^(?:file:\/\/)?(\/[^\n]*?\.[a-z]+):\d+$/m.exec(text)?.[1] ??
    /application (\/\S+) is an ES module/.exec(text)?.[1]
  );
}

/** The edit of `package.json` that says what its `.js` files are. */
function typed(file: string, type: "module" | "commonjs"): Remedy[] {
  const folder = packageFolder(file);
  if (folder === undefined) {
    const place = shWord("file", join(dirname(file), "package.json"));
    return [{ run: `printf '{ "type": "${type}" }\\n' > ${place}` }];
  }
  const name = join(folder, "package.json");
  const text = read(name);
  const there = /"type"\s*:\s*"(?:module|commonjs)"/.exec(text)?.[0];
  if (there !== undefined) return [{ file: name, from: there, to: `"type": "${type}"` }];
  const isEmpty = /^\s*\{\s*\}\s*$/.test(text);
  return [{ file: name, from: "{", to: isEmpty ? `{ "type": "${type}"` : `{ "type": "${type}",` }];
}

/** An ending that no setting makes right: the module gets one of its own, and the program becomes a line that starts it. */
function wrapped(path: string, node: string): Remedy[] {
  const module = join(dirname(path), `${basename(path, extname(path))}.mjs`);
  const [from, to] = [shWord("file", path), shWord("file", module)];
  return [
    { run: `mv ${from} ${to}` },
    {
      run: `printf '#!/bin/sh\\nexec %s %s\\n' ${shWord("node", shWord("node", node))} ${shWord("file", to)} > ${from}`,
    },
    { run: `chmod 755 ${from}` },
  ];
}

function typeOf(file: string): string {
  const folder = packageFolder(file);
  if (folder === undefined) return `there is no package.json above ${file}`;
  const type = /"type"\s*:\s*"(\w+)"/.exec(read(join(folder, "package.json")))?.[1];
  return type === undefined
    ? `${folder}/package.json has no "type"`
    : `${folder}/package.json says "type": "${type}"`;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

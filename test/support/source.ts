/** Reads the import statements of src/ without a compiler: TypeScript 7 ships none that a test could use. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { repositoryRoot } from "./paths.ts";

export interface Import {
  /** As written: `node:net`, `commander`, `../base/errors.ts`. */
  readonly specifier: string;
  /** For a relative one, the file it means, relative to src: `base/errors.ts`. */
  readonly file: string | undefined;
  /** `import type` and `export type`: nothing is loaded. */
  readonly isTypeOnly: boolean;
  /** `import(...)`: loaded when it is reached, not with the file. */
  readonly isDynamic: boolean;
}

export interface SourceFile {
  /** Relative to src, with slashes: `protocol/records.ts`. */
  readonly path: string;
  /** The first part of the path, or the empty string for a file in src itself. */
  readonly folder: string;
  readonly lineCount: number;
  readonly imports: readonly Import[];
}

// The formatter puts every static import at the start of a line; text in comments and strings is never there.
const STATIC = /^(?:import|export)\s+(type\s+)?(?:[^;"'()=]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /^(?!\s*(?:\*|\/\/)).*?\bimport\(\s*"([^"]+)"\s*\)/gm;

/** All TypeScript files of src/, sorted by path. */
export function readSources(): SourceFile[] {
  const src = join(repositoryRoot, "src");
  const paths = readdirSync(src, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts"))
    .sort();
  return paths.map((path) => {
    const text = readFileSync(join(src, path), "utf8");
    const at = (specifier: string): string | undefined =>
      specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined;
    const imports: Import[] = [];
    for (const [, type, specifier = ""] of text.matchAll(STATIC)) {
      imports.push({ specifier, file: at(specifier), isTypeOnly: type !== undefined, isDynamic: false });
    }
    for (const [, specifier = ""] of text.matchAll(DYNAMIC)) {
      imports.push({ specifier, file: at(specifier), isTypeOnly: false, isDynamic: true });
    }
    const lineCount = text.split("\n").length - 1;
    return { path, folder: path.includes("/") ? (path.split("/")[0] ?? "") : "", lineCount, imports };
  });
}

/** The `.htaccess` files of an Apache: in its document roots and the folders above them, and where aliases lead. */
import { existsSync, readFileSync, statSync } from "node:fs";
import {
  type FolderBackend,
  type FolderFile,
  readApacheFolders,
  withParents,
} from "../../../sites/apache-folders.ts";
import { type Directive, parseApache } from "../../../sites/apache-parse.ts";
import type { Disk } from "./source-text.ts";

const MOST_BYTES = 256 * 1024;

/** @param text the whole configuration; one that cannot be read has none */
export function htaccessOf(text: string, disk: Disk): FolderFile[] {
  let directives: Directive[];
  try {
    directives = parseApache(text);
  } catch {
    return [];
  }
  // AllowOverride is None unless somebody says otherwise.
  const isAllowed = directives.some(
    ({ name, args }) => name === "allowoverride" && !/^none$/i.test(args[0] ?? "none"),
  );
  if (!isAllowed) return [];
  const name = directives.findLast((one) => one.name === "accessfilename")?.args[0] ?? ".htaccess";
  const folders = directives
    .filter((one) => one.name === "documentroot" || one.name === "alias")
    .map(({ args }) => args.at(-1) ?? "")
    .filter((path) => path.startsWith("/"))
    .flatMap((path) => withParents(path.replace(/\/+$/, "")).reverse());
  return [...new Set(folders)].flatMap((folder) => {
    const file = `${folder}/${name}`;
    try {
      if (statSync(disk.root + file).size > MOST_BYTES) return [];
      return [{ file, text: readFileSync(disk.root + file, "utf8") }];
    } catch {
      return []; // there is none, or not for us
    }
  });
}

/** The programs that they have Apache start. @param text the whole configuration */
export function programsOf(text: string, files: readonly FolderFile[], disk: Disk): FolderBackend[] {
  if (files.length === 0) return [];
  try {
    return readApacheFolders(text, files).filter(({ program }) => existsSync(disk.root + program));
  } catch {
    return []; // said where the configuration is judged
  }
}

/** A machine that lacks programs. */
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { temporaryFolder } from "./temp.ts";

/** A PATH with these programs and nothing else. */
export function pathWith(...programs: readonly string[]): string {
  const folder = join(temporaryFolder(), "bin");
  mkdirSync(folder);
  for (const program of programs) {
    const found = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]
      .map((from) => join(from, program))
      .find((file) => existsSync(file));
    if (found !== undefined) symlinkSync(found, join(folder, program));
  }
  return folder;
}

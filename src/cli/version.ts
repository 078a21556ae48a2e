/** The version of the package that is running. */
import { readFileSync } from "node:fs";
import { ownFile } from "../base/own-files.ts";

export function packageVersion(): string {
  return (JSON.parse(readFileSync(ownFile("package.json"), "utf8")) as { version: string }).version;
}

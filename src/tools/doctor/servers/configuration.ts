/** The configuration of one web server, read from the disk with all that it includes. Nothing is run for it. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { oneLine } from "../../../base/text.ts";
import type { WebServerName } from "../../../sites/model.ts";
import { contentOf } from "./processes.ts";
import {
  below,
  type Disk,
  folderOf,
  type Includes,
  inlined,
  matching,
  oneByOne,
  type SourceText,
} from "./source-text.ts";

interface ConfigurationPlace {
  readonly server: WebServerName;
  /** The main files. */
  readonly files: readonly string[];
  /** The folder that relative paths begin in. Undefined: what the server takes by itself. */
  readonly prefix: string | undefined;
  /** Apache: what `${NAME}` in it stands for. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  readonly disk: Disk;
}

export interface ConfigurationFound {
  readonly source: SourceText | undefined;
  /** Why there is none. */
  readonly problem: string | undefined;
  /** Where relative paths of logs and programs begin. */
  readonly folder: string;
}

export function readFiles(place: ConfigurationPlace): ConfigurationFound {
  const main = place.files[0] ?? "/";
  const folder = place.prefix ?? folderOf(main);
  try {
    return found(place, main, folder);
  } catch (error) {
    return { source: undefined, problem: oneLine(error instanceof Error ? error.message : error), folder };
  }
}

function found(
  { server, files, prefix, disk, environment }: ConfigurationPlace,
  main: string,
  folder: string,
): ConfigurationFound {
  const done = (source: SourceText, of = folder): ConfigurationFound => ({
    source,
    problem: undefined,
    folder: of,
  });
  switch (server) {
    case "nginx":
      // An include is relative to the folder of the main file, whatever -p says.
      return done(
        oneByOne(
          main,
          disk,
          includeOf(/^\s*include\s+(?:"([^"]+)"|'([^']+)'|([^\s;"']+))\s*;/, folderOf(main)),
        ),
      );
    case "apache": {
      const root = serverRoot(main, disk, prefix);
      const variables = variablesOf(main, disk, environment);
      const replaced = (text: string): string =>
        text.replace(/\$\{(\w+)\}/g, (whole, name: string) => variables[name] ?? whole);
      const includes = includeOf(/^\s*Include(?:Optional)?\s+(?:"([^"]+)"|'([^']+)'|(\S+))\s*$/i, root);
      const source = inlined([main], disk, (line, file) => includes(replaced(line), file));
      return done({ ...source, text: replaced(source.text) }, root);
    }
    case "lighttpd":
      return done(inlined([main], disk, includeOf(/^\s*include\s+"([^"]+)"\s*(?:#.*)?$/, folderOf(main))));
    case "caddy":
      return done(inlined([main], disk, caddyIncludes(disk)));
    case "haproxy":
      return done(
        inlined(
          files.flatMap((file) => haproxyFiles(file, disk)),
          disk,
          () => undefined,
        ),
      );
    case "cherokee":
    case "h2o":
      return done(inlined([main], disk, () => undefined));
  }
}

function includeOf(pattern: RegExp, folder: string): Includes {
  return (line) => {
    const groups = pattern.exec(line)?.slice(1);
    const path = groups?.find((one) => one !== undefined);
    return path === undefined ? undefined : [below(folder, path)];
  };
}

/** `import` of files; a snippet's name is no file. */
function caddyIncludes(disk: Disk): Includes {
  return (line, file) => {
    const path = /^\s*import\s+(?:"([^"]+)"|(\S+))\s*$/.exec(line)?.slice(1).find(Boolean);
    if (path === undefined || !/[./*]/.test(path)) return undefined;
    const full = below(folderOf(file), path);
    return matching(full, disk).length > 0 || path.includes("*") ? [full] : undefined;
  };
}

/** A folder means its `.cfg` files. */
function haproxyFiles(path: string, disk: Disk): string[] {
  if (statSync(disk.root + path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path];
  return readdirSync(disk.root + path)
    .filter((name) => name.endsWith(".cfg"))
    .sort()
    .map((name) => join(path, name));
}

function serverRoot(main: string, disk: Disk, prefix: string | undefined): string {
  const text = contentOf(disk.root + main);
  const said = /^\s*ServerRoot\s+"?([^"\s]+)"?/im.exec(text)?.[1];
  if (said !== undefined) return said;
  // Red Hat's main file is in a folder below the root, Debian's in the root.
  return prefix ?? folderOf(main).replace(/\/conf$/, "");
}

/** Debian writes them into envvars; `Define` may, too. */
function variablesOf(
  main: string,
  disk: Disk,
  environment: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
  const exported = [
    ...contentOf(`${disk.root}${folderOf(main)}/envvars`).matchAll(/^\s*export (\w+)=["']?([^"'\n]*)/gm),
  ];
  const defined = [...contentOf(disk.root + main).matchAll(/^\s*Define\s+(\w+)\s+"?([^"\n]*?)"?\s*$/gim)];
  const pairs = [...exported, ...defined].map(
    ([, name = "", value = ""]) => [name, value.replace(/\$\w+/g, "")] as const,
  );
  return { ...Object.fromEntries(pairs), ...environment };
}

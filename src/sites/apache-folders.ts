/**
 * The programs that Apache starts because a folder's own directives say so: those of a `.htaccess`, as users of shared
 * hosting have it.
 */
import { type Directive, parseApache } from "./apache-parse.ts";
import { byFcgid, sitesOf } from "./apache-reading.ts";
import { sectionOf } from "./apache-scopes.ts";
import type { SaidBackend, SaidSite } from "./reading-model.ts";

/** A `.htaccess`. */
export interface FolderFile {
  readonly file: string;
  readonly text: string;
}

/** A backend whose line is of that file. */
export interface FolderBackend extends SaidBackend {
  readonly file: string;
  readonly program: string;
}

/** A folder that visitors reach, and below which URL path. */
interface PublicFolder {
  readonly folder: string;
  readonly url: string;
  readonly site: SaidSite | undefined;
}

/**
 * @param text the whole configuration of the server
 * @throws {SettingError} it cannot be read; a `.htaccess` that cannot be read has no programs
 */
export function readApacheFolders(text: string, files: readonly FolderFile[]): FolderBackend[] {
  const directives = parseApache(text);
  const siteOf = sitesOf(directives);
  const open = directives.flatMap((one) => publicFolder(one, siteOf(one)));
  const byFolder = new Map<string, PublicFolder[]>();
  for (const one of open) {
    const same = byFolder.get(one.folder);
    if (same === undefined) byFolder.set(one.folder, [one]);
    else same.push(one);
  }
  const shared = byFcgid({ directives: directives.filter(({ within }) => within.length === 0) });
  return files.flatMap(({ file, text: own }) => {
    const at = file.slice(0, file.lastIndexOf("/"));
    // A site may be in a folder of another one.
    const ways = new Map<string, (PublicFolder & { below: string })[]>();
    for (const place of withParents(at).flatMap((folder) => byFolder.get(folder) ?? [])) {
      const url = `${place.url}${at.slice(place.folder.length)}` || "/";
      const key = JSON.stringify([url, place.site?.names]);
      const same = ways.get(key);
      if (same === undefined) ways.set(key, [{ ...place, below: url }]);
      else same.push({ ...place, below: url });
    }
    if (ways.size === 0) return [];
    let said: Directive[];
    try {
      said = parseApache(own);
    } catch {
      return [];
    }
    return programsOf(said).flatMap(({ name, line }) =>
      [...ways.values()].flatMap((places) => {
        const [place] = places;
        if (place === undefined) return [];
        const program = name.startsWith("/") ? inFolder(name, place) : `${at}/${name}`;
        const site = together(places.map((one) => one.site));
        return [{ ...shared, program, file, line, url: place.below, site }];
      }),
    );
  });
}

/** A URL path as a file. */
function inFolder(path: string, { folder, url }: PublicFolder): string {
  return folder + (path.startsWith(`${url}/`) ? path.slice(url.length) : path);
}

/** The folder itself first, and without the root. */
export function withParents(folder: string): string[] {
  const parts = folder.split("/");
  return parts.map((_, less) => parts.slice(0, parts.length - less).join("/")).filter((one) => one !== "");
}

function publicFolder({ name, args }: Directive, site: SaidSite | undefined): PublicFolder[] {
  const path = (args.at(-1) ?? "").replace(/\/+$/, "");
  if (!path.startsWith("/")) return [];
  if (name === "documentroot") return [{ folder: path, url: "", site }];
  if (name !== "alias" || args.length < 2) return [];
  return [{ folder: path, url: (args[0] ?? "").replace(/\/+$/, ""), site }];
}

/** All that lead to the same folder, as one: a site has a virtual host for HTTP and another for HTTPS. */
function together(sites: readonly (SaidSite | undefined)[]): SaidSite | undefined {
  const said = sites.filter((one) => one !== undefined);
  if (said.length < sites.length) return undefined;
  return {
    names: [...new Set(said.flatMap(({ names }) => names))],
    ports: [...new Set(said.flatMap(({ ports }) => ports))],
    patterns: [...new Set(said.flatMap(({ patterns = [] }) => patterns))],
    otherwiseAt: [...new Set(said.flatMap((one) => one.otherwiseAt ?? []))],
  };
}

const PROGRAM = /^[\w./-]+\.fcgi(?=[/?$]|$)/;

/** The files that FastCGI is said of, and those that requests are handed to. */
function programsOf(directives: readonly Directive[]): { name: string; line: number }[] {
  const found = directives.flatMap((one) => {
    const { name, args, line } = one;
    if (name === "sethandler" && args[0]?.toLowerCase() === "fcgid-script") {
      const file = sectionOf(one, "files")?.args[0];
      return file === undefined || /[*?~]/.test(file) ? [] : [{ name: file, line }];
    }
    if (name !== "rewriterule" && name !== "fallbackresource") return [];
    const target = PROGRAM.exec(args[name === "rewriterule" ? 1 : 0] ?? "")?.[0];
    return target === undefined ? [] : [{ name: target, line }];
  });
  return [...new Map(found.reverse().map((one) => [one.name.replace(/^\//, ""), one])).values()].reverse();
}

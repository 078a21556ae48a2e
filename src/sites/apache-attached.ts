/** What each of Apache's FastCGI modules adds to the site that is the same for all of them. Types and small words. */

/** The part of a configuration that depends on the module. */
export interface Attached {
  /** Modules to be loaded, as `a2enmod` has them. */
  readonly modules: readonly string[];
  /** Outside of the virtual host. */
  readonly server: readonly string[];
  /** In the virtual host, before everything that routes. */
  readonly host: readonly string[];
  /** The application: after the files and folders that come before it. */
  readonly routes: readonly string[];
  /** The RewriteRule that leaves a file of the document root to Apache; undefined where there is none. */
  readonly fileRule: string | undefined;
  /** Where it puts its own files, in a server of its own folder. */
  readonly standalone: (folder: string) => readonly string[];
  readonly notes: readonly string[];
}

/** PATH of a program that is started with next to no environment. */
export const USUAL_PATH = "/usr/local/bin:/usr/bin:/bin";

export function indented(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `    ${line}`));
}

/** A mount as a URL path. */
export function urlOf(mount: string): string {
  return mount === "" ? "/" : mount;
}

/** Folder and file name of a path. */
export function splitPath(path: string): [folder: string, name: string] {
  const at = path.lastIndexOf("/");
  return [at <= 0 ? "/" : path.slice(0, at), path.slice(at + 1)];
}

/**
 * One entry of the setting `sendFile`: a folder whose files the web server may send in the application's place, and how
 * it is told of them. `/var/files=/protected/` names the internal location of nginx that stands for the folder
 * (X-Accel-Redirect); `/var/files` alone is for lighttpd and Apache, which take the path itself (X-Sendfile).
 */

/** Such a folder. */
export interface OffloadFolder {
  /** Without a slash at the end. Not resolved: `current -> releases/42` is followed anew for each file. */
  readonly folder: string;
  /** What stands for it in X-Accel-Redirect, with a slash at the end; undefined for X-Sendfile. */
  readonly url: string | undefined;
}

/** What an entry must be, as the end of "it must be …". */
export const OFFLOAD_FOLDERS =
  "a folder such as /var/files (for lighttpd and Apache), or folder=/internal/location/ such as /var/files=/protected/ (for nginx)";

/** @returns undefined for what cannot be one. The whole disk cannot. */
export function parseOffloadFolder(text: string): OffloadFolder | undefined {
  const at = text.lastIndexOf("=/");
  const folder = (at < 0 ? text : text.slice(0, at)).replace(/\/+$/, "");
  if (folder === "" || /[\0\r\n]/.test(folder)) return undefined;
  if (at < 0) return { folder, url: undefined };
  const url = text.slice(at + 1);
  // What nginx would decode, or take for a query, cannot be the name of a location.
  if (/[\s?#%\0-\x1f\x7f]|^\/\//.test(url)) return undefined;
  return { folder, url: url.endsWith("/") ? url : `${url}/` };
}

/** The entry as it is written. */
export function printOffloadFolder({ folder, url }: OffloadFolder): string {
  return url === undefined ? folder : `${folder}=${url}`;
}

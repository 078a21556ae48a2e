/**
 * The option `sendFile`: which open files the web server may send itself, and by which name it finds them. Which
 * responses that is done for is in adapters/offload.ts.
 */
import { constants, fstat, ReadStream, realpath, type Stats, stat } from "node:fs";
import { resolve } from "node:path";
import { OFFLOAD_FOLDERS, type OffloadFolder, parseOffloadFolder } from "../base/offload-folder.ts";
import { badOption } from "../base/settings.ts";

/** The folders, by the web servers that are told of them. */
export interface SendFile {
  /** For nginx. */
  readonly accel: readonly OffloadFolder[];
  /** For lighttpd and Apache. */
  readonly plain: readonly OffloadFolder[];
}

/** Web servers that can send files, each in its own way. */
export type Sender = "nginx" | "lighttpd" | "Apache";

/** A file that the web server may send. */
export interface OffloadedFile {
  /** The header line that makes it do so. */
  readonly line: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

const fstatOf: (fd: number) => Promise<Stats> = promised(fstat);
const statOf: (path: string) => Promise<Stats> = promised(stat);
const realpathOf: (path: string) => Promise<string> = promised(realpath.native);

/**
 * @returns undefined when no folder is named
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function resolveSendFile(value: unknown): SendFile | undefined {
  const entries: readonly unknown[] = [value ?? []].flat();
  const folders = entries.map((entry) => {
    const parsed = typeof entry === "string" ? parseOffloadFolder(entry) : undefined;
    if (parsed === undefined) throw badOption("sendFile", entry, OFFLOAD_FOLDERS);
    return { folder: resolve(parsed.folder), url: parsed.url };
  });
  if (folders.length === 0) return undefined;
  // Of folders inside each other the inner one counts.
  folders.sort((one, other) => other.folder.length - one.folder.length);
  return {
    accel: folders.filter(({ url }) => url !== undefined),
    plain: folders.filter(({ url }) => url === undefined),
  };
}

/** Whether something is a stream of a file, opened by its path for reading and for nothing else. */
export function isFileStream(source: unknown): source is ReadStream {
  if (!(source instanceof ReadStream) || source._read !== ReadStream.prototype._read) return false;
  const { flags } = source as ReadStream & { readonly flags?: unknown };
  // One that was made with a descriptor has no flags, and may begin anywhere.
  return (flags === "r" || flags === constants.O_RDONLY) && typeof source.path === "string";
}

/**
 * What the web server has to be told to send that open file. Symlinks are followed first: one that leads out of the
 * folders leads away from the web server, too.
 * @returns undefined when it may not, or would send another file
 */
export async function findOffload(
  source: ReadStream,
  sender: Sender,
  folders: readonly OffloadFolder[],
): Promise<OffloadedFile | undefined> {
  const { fd } = source as ReadStream & { readonly fd: unknown };
  if (typeof fd !== "number") return undefined;
  try {
    const [open, path] = await Promise.all([fstatOf(fd), realpathOf(source.path as string)]);
    if (!open.isFile()) return undefined;
    const there = await statOf(path);
    if (there.dev !== open.dev || there.ino !== open.ino) return undefined; // replaced since it was opened
    for (const { folder, url } of folders) {
      const real = await realpathOf(folder).catch(() => undefined);
      if (real === undefined || !path.startsWith(`${real}/`)) continue;
      const rest = path.slice(real.length + 1);
      const line =
        url === undefined
          ? plainLine(`${folder}/${rest}`, sender)
          : `X-Accel-Redirect: ${url}${encodePath(rest)}`;
      return line === undefined ? undefined : { line, sizeBytes: open.size, modifiedMs: open.mtimeMs };
    }
  } catch {
    // Gone, or not to be looked at: then it is sent from here, as far as it can be read.
  }
  return undefined;
}

/** lighttpd decodes the path. Apache takes it as it is, but its module has a switch for the other. */
function plainLine(path: string, sender: Sender): string | undefined {
  if (sender !== "Apache") return `X-Sendfile: ${encodePath(path)}`;
  if (/[%\x00-\x1f\x7f]/.test(path) || path.endsWith(" ")) return undefined;
  return `X-Sendfile: ${Buffer.from(path).toString("latin1")}`;
}

/** nginx decodes it too, and takes a question mark for the begin of a query. */
function encodePath(path: string): string {
  return encodeURIComponent(path).replaceAll("%2F", "/");
}

/** As util.promisify; an import of node:util reads all of its names, and some of those load worker_threads and more. */
function promised<Argument, Result>(
  call: (argument: Argument, done: (error: Error | null, result: Result) => void) => void,
): (argument: Argument) => Promise<Result> {
  return (argument) =>
    new Promise((resolve, reject) => {
      call(argument, (error, result) => (error === null ? resolve(result) : reject(error)));
    });
}

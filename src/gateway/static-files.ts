/**
 * Files of one folder, in front of an application. What it does not serve is left to the application.
 *
 * Never served: anything outside the folder, however it is spelled (`..`, `%2e%2e`, a backslash, a symbolic link);
 * names that start with a dot, except below `/.well-known/` (RFC 8615); anything that is not a regular file.
 * Methods other than GET and HEAD are the application's.
 *
 * Invariant: a file is opened by its real path, which has been found inside the folder's real path, and without
 * following a link that was put there in between.
 */
import { constants, realpathSync, type Stats, statSync } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { SettingError } from "../base/errors.ts";
import { checkKeys } from "../base/settings.ts";
import { contentType } from "./content-types.ts";

/** Which files, and how. */
export interface StaticFilesOptions {
  /** The folder. */
  readonly folder: string;
  /** The file of a path that ends in a slash. @default "index.html" */
  readonly index?: string;
  /** Cache-Control of every file. @default "no-cache": a browser asks, and mostly hears 304 */
  readonly cacheControl?: string;
  /** Paths that are never served, such as program sources. Tested on the path with a slash in front. */
  readonly hidden?: RegExp;
}

interface Found {
  readonly handle: FileHandle;
  readonly stats: Stats;
  readonly name: string;
}

/** Every name; the compiler compares it with the interface. */
const KNOWN = { folder: 0, index: 0, cacheControl: 0, hidden: 0 } satisfies Readonly<
  Record<keyof StaticFilesOptions, unknown>
>;

export class StaticFiles {
  readonly #root: string;
  readonly #index: string;
  readonly #cacheControl: string;
  readonly #hidden: RegExp | undefined;

  /** @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: the folder is not there */
  constructor(options: StaticFilesOptions) {
    checkKeys("files options", options, KNOWN);
    this.#root = realFolder(options.folder);
    this.#index = options.index ?? "index.html";
    this.#cacheControl = options.cacheControl ?? "no-cache";
    this.#hidden = options.hidden;
  }

  /**
   * Answers a request if a file does.
   * @param path decoded and normalised, latin1, as `parseTarget` gives it
   * @param publicPath the same with the mount in front, for redirects
   * @returns false when the application should answer; nothing has been sent then
   */
  async serve(
    req: IncomingMessage,
    res: ServerResponse,
    path: string,
    publicPath: string = path,
  ): Promise<boolean> {
    if (req.method !== "GET" && req.method !== "HEAD") return false;
    const relative = this.#relative(path);
    if (relative === undefined) return false;
    const isFolder = path.endsWith("/");
    const found = await this.#open(isFolder ? join(relative, this.#index) : relative);
    if (found === "folder" && !isFolder) return this.#redirect(req, res, relative, publicPath);
    if (typeof found !== "object") return false;
    try {
      await this.#send(req, res, found);
    } finally {
      await found.handle.close();
    }
    return true;
  }

  /** The path as this system writes it, if it may name a file at all. */
  #relative(path: string): string | undefined {
    const text = Buffer.from(path, "latin1").toString("utf8");
    if (!text.startsWith("/") || /[\0\\\ufffd]/.test(text) || this.#hidden?.test(text)) return undefined;
    const segments = text.slice(1).split("/");
    if (text.endsWith("/")) segments.pop();
    if (!segments.every(isPlain)) return undefined;
    if (process.platform === "win32" && /[:*?"<>|]|[. ](\/|$)/.test(text)) return undefined;
    return segments.join(sep);
  }

  async #open(relative: string): Promise<Found | "folder" | undefined> {
    let handle: FileHandle | undefined;
    try {
      const real = await realpath(join(this.#root, relative));
      const name = this.#inside(real);
      if (name === undefined) return undefined;
      // Non-blocking, so that a named pipe does not hold the request for ever.
      handle = await open(
        real,
        constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
      );
      const stats = await handle.stat();
      if (stats.isFile()) return { handle, stats, name };
      await handle.close();
      return stats.isDirectory() ? "folder" : undefined;
    } catch {
      await handle?.close();
      return undefined; // not there, or not ours to read: the application may know the path
    }
  }

  /** A real path without the folder's, unless it is outside or hidden by what a link led to. */
  #inside(real: string): string | undefined {
    if (real === this.#root) return "";
    const prefix = this.#root.endsWith(sep) ? this.#root : this.#root + sep;
    if (!real.startsWith(prefix)) return undefined;
    const name = real.slice(prefix.length);
    const segments = name.split(sep);
    if (!segments.every(isPlain) || this.#hidden?.test(`/${segments.join("/")}`)) return undefined;
    return name;
  }

  /** A folder named without its slash: relative links on its index page would go wrong. */
  async #redirect(
    req: IncomingMessage,
    res: ServerResponse,
    relative: string,
    publicPath: string,
  ): Promise<boolean> {
    const index = await this.#open(join(relative, this.#index));
    if (typeof index !== "object") return false;
    await index.handle.close();
    const query = /\?.*$/.exec(req.url ?? "")?.[0] ?? "";
    // Built from the normalised path: the raw one may start with two slashes, which names another host.
    res.writeHead(301, { Location: `${encodePath(publicPath)}/${query}`, "Content-Length": 0 }).end();
    return true;
  }

  async #send(req: IncomingMessage, res: ServerResponse, { handle, stats, name }: Found): Promise<void> {
    const size = stats.size;
    const etag = `"${Math.floor(stats.mtimeMs).toString(16)}-${size.toString(16)}"`;
    res.setHeader("ETag", etag);
    res.setHeader("Last-Modified", stats.mtime.toUTCString());
    res.setHeader("Cache-Control", this.#cacheControl);
    if (isFresh(req, etag, stats.mtime)) {
      res.writeHead(304).end();
      return;
    }
    res.setHeader("Accept-Ranges", "bytes");
    res.setHeader("X-Content-Type-Options", "nosniff");
    const range = req.method === "GET" ? readRange(req, size, etag, stats.mtime) : undefined;
    if (range === "unsatisfiable") {
      res.writeHead(416, { "Content-Range": `bytes */${size}`, "Content-Length": 0 }).end();
      return;
    }
    const { start, end } = range ?? { start: 0, end: size };
    if (range !== undefined) res.setHeader("Content-Range", `bytes ${start}-${end - 1}/${size}`);
    res.setHeader("Content-Type", contentType(name));
    res.setHeader("Content-Length", end - start);
    res.writeHead(range === undefined ? 200 : 206);
    if (req.method === "HEAD" || start === end) {
      res.end();
      return;
    }
    const stream = handle.createReadStream({ start, end: end - 1, autoClose: false });
    try {
      await pipeline(stream, res, { end: false });
    } catch {
      res.destroy();
      return;
    }
    // The file may have shrunk meanwhile; the length is promised, so only hanging up is honest.
    if (stream.bytesRead === end - start) res.end();
    else res.destroy();
  }
}

/** Whether a segment may be part of a served path. */
function isPlain(segment: string): boolean {
  return segment !== "" && (!segment.startsWith(".") || segment === ".well-known");
}

function realFolder(folder: string): string {
  try {
    const real = realpathSync(folder);
    if (statSync(real).isDirectory()) return real;
  } catch {
    // Said below, for both cases.
  }
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `the folder of static files, ${JSON.stringify(folder)}, is not there`,
  );
}

function encodePath(path: string): string {
  return path.replace(/[^A-Za-z0-9/\-._~!$&'()*+,;=:@]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

/** Whether the client has this very version. RFC 9110 §13.1.2, §13.1.3. */
function isFresh(req: IncomingMessage, etag: string, modified: Date): boolean {
  const match = req.headers["if-none-match"];
  if (match !== undefined) {
    return match.trim() === "*" || match.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
  }
  const since = Date.parse(req.headers["if-modified-since"] ?? "");
  return Math.floor(modified.getTime() / 1000) * 1000 <= since; // false for NaN
}

/** A single byte range, `end` exclusive; undefined when the whole file is to be sent. RFC 9110 §14.2. */
function readRange(
  req: IncomingMessage,
  size: number,
  etag: string,
  modified: Date,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(req.headers.range ?? "");
  if (found === null || !mayUseRange(req.headers["if-range"], etag, modified)) return undefined;
  const [, first = "", last = ""] = found;
  if (first === "" && last === "") return undefined;
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end };
}

function mayUseRange(condition: string | string[] | undefined, etag: string, modified: Date): boolean {
  if (condition === undefined) return true;
  const text = String(condition);
  return text.startsWith('"') ? text === etag : text === modified.toUTCString();
}

/**
 * Notices that files of an application have changed. Watched are folders, one watch each, however many files they have:
 * that survives every way in which editors save (in place, by renaming, by removing first). Of what happens there only
 * the named files count; or, when the application could not be started, everything, since what it lacks has no name yet.
 */
import { type FSWatcher, readdirSync, type Stats, statSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Several files that are saved at once, and a file that is emptied before it is written, are one change, ms. */
const QUIET_MS = 25;
/** Somebody who writes without end does not put it off for ever, ms. */
const LONGEST_MS = 500;
/** Folders of one `--watch`. */
const MOST_FOLDERS = 5000;
const IGNORED = /^(?:node_modules|\.git|\.hg|\.svn)$/;
/** What editors write beside a file, and remove again. */
const PASSING = /^(?:\.#.*|#.*#|.*~|\..*\.sw[a-z]|4913|.*\.tmp\.\d+)$/;

/** What may be imported. A log that is written there, for one, says nothing. */
const SOURCES = /\.(?:[cm]?[jt]sx?|json|node|wasm|py)$|^\.env/;

export interface WatchSink {
  /** Something has changed; `onChange` follows. */
  onFirst(): void;
  /** All of it. */
  onChange(files: readonly string[]): void;
}

export class DevWatch {
  readonly #sink: WatchSink;
  readonly #folders = new Map<string, FSWatcher>();
  /** Named files, as they were. */
  readonly #files = new Map<string, string>();
  readonly #whole = new Set<string>(); // folders in which everything counts
  readonly #changed = new Set<string>();
  #isWide = false;
  #quiet: NodeJS.Timeout | undefined = undefined;
  #longest: NodeJS.Timeout | undefined = undefined;

  constructor(sink: WatchSink) {
    this.#sink = sink;
  }

  /** Folders that are watched. */
  get size(): number {
    return this.#folders.size;
  }

  /**
   * Watches these files too. One that is not there yet counts when it comes.
   * @param since when they were not yet loaded, ms of the epoch: one that was changed after that counts at once
   */
  add(files: readonly string[], since: number = Number.POSITIVE_INFINITY): void {
    for (const file of files) {
      const isNew = !this.#files.has(file);
      if (isNew) this.#files.set(file, stampOf(file));
      this.#open(nearestFolder(dirname(file)));
      const stat = isNew ? statSync(file, { throwIfNoEntry: false }) : undefined;
      if (stat !== undefined && stat.mtimeMs >= since) this.#tell(file);
    }
  }

  /** Everything in it counts, and below it; of a file, that file. */
  addWhole(path: string): void {
    if (!isFolder(path)) {
      this.add([path]);
      return;
    }
    for (const folder of foldersBelow(path)) {
      this.#whole.add(folder);
      this.#open(folder);
    }
  }

  /** Whether every file in the folders that are watched counts: an import may be missing. */
  setWide(isWide: boolean): void {
    this.#isWide = isWide;
  }

  /** What has happened so far is known: the files as they are now are those that were loaded. */
  rebase(): void {
    for (const file of this.#files.keys()) this.#files.set(file, stampOf(file));
    for (const [folder, watcher] of this.#folders) {
      if (isFolder(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const file of this.#files.keys()) this.#open(nearestFolder(dirname(file)));
  }

  close(): void {
    clearTimeout(this.#quiet);
    clearTimeout(this.#longest);
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #open(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.#onEvent(folder, name));
      watcher.on("error", () => this.#lose(folder));
      this.#folders.set(folder, watcher);
    } catch {
      // No more watches to be had (fs.inotify.max_user_watches), or it is gone: its files are seen at the next reload.
    }
  }

  #lose(folder: string): void {
    this.#folders.get(folder)?.close();
    this.#folders.delete(folder);
  }

  #onEvent(folder: string, name: string | null): void {
    if (name === null || PASSING.test(name)) return;
    // A folder tells of itself by its own name when it is removed; it may come again as another one.
    if (!isFolder(folder) || (name === basename(folder) && !this.#files.has(join(folder, name)))) {
      if (!isFolder(folder)) this.#lose(folder);
      this.#lookAtAll();
    }
    const path = join(folder, name);
    if (this.#files.has(path)) {
      this.#look(path);
    } else if (this.#whole.has(folder)) {
      if (isFolder(path)) this.addWhole(path);
      this.#tell(path);
    } else if (this.#isWide && SOURCES.test(name)) this.#tell(path);
    else if (isFolder(path)) this.#lookAtAll();
  }

  #lookAtAll(): void {
    for (const file of this.#files.keys()) {
      this.#look(file);
      this.#open(nearestFolder(dirname(file)));
    }
  }

  #look(file: string): void {
    const stamp = stampOf(file);
    if (stamp === this.#files.get(file)) return;
    this.#files.set(file, stamp);
    this.#tell(file);
  }

  #tell(file: string): void {
    const isFirst = this.#changed.size === 0;
    this.#changed.add(file);
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#settle(), QUIET_MS);
    if (!isFirst) return;
    this.#longest = setTimeout(() => this.#settle(), LONGEST_MS);
    this.#sink.onFirst();
  }

  #settle(): void {
    clearTimeout(this.#quiet);
    clearTimeout(this.#longest);
    const files = [...this.#changed];
    this.#changed.clear();
    if (files.length > 0) this.#sink.onChange(files);
  }
}

function stampOf(file: string): string {
  const stat: Stats | undefined = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function nearestFolder(folder: string): string {
  let found = folder;
  while (!isFolder(found) && found !== "/") found = dirname(found);
  return found;
}

function foldersBelow(path: string): string[] {
  const found = [path];
  for (const folder of found) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory() || IGNORED.test(entry.name) || found.length >= MOST_FOLDERS) continue;
      found.push(join(folder, entry.name));
    }
  }
  return found;
}

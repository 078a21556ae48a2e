// HOT
/**
 * What a worker is working on, where it survives the worker: a file without a name that the worker writes and the
 * manager reads, also while the worker's event loop stands still and after it was killed. php-fpm keeps the same facts
 * in shared memory, which Node does not have (docs/adr/0014).
 *
 * A slot of fixed size per open request: `1 START METHOD URL CLIENT`, or a first byte 0 when it is free. A request is
 * written before the application sees it. It is cleared only at the end of the turn in which it ended, after its answer
 * has left: so what is found after a death is never too little, and a request that begins in the same turn takes over
 * the slot at the price of one write.
 */
import { closeSync, constants, existsSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Exchange } from "../server/exchange.ts";
import { Tally } from "../server/tally.ts";
import type { RequestSnapshot } from "../status/snapshot.ts";

const SLOT_BYTES = 1024;
/** More requests at once than this are served and not listed. */
const SLOTS = 256;
const URL_CHARACTERS = 800;
/** Further stacks of a worker that was looked into so often are not read. */
const BEHIND_BYTES = 1_048_576;
const FREE = new Uint8Array(1);

/** A memory file system, where there is one: a write costs the same, and no disk is ever touched. */
const FOLDER = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** The writing side, in the worker. It observes the server. */
export class Scoreboard {
  readonly #fd: number;
  /** Those that are open, in no order: each knows its place, which is cheaper than a Map. */
  readonly #open: Exchange[] = [];
  readonly #free: number[] = [];
  readonly #bytes: Buffer = Buffer.alloc(SLOT_BYTES);
  readonly #ended: number[] = []; // slots whose request is over, not yet cleared
  #used = 0; // slots ever used
  #isScheduled = false;
  readonly #clear = (): void => this.#clearEnded();

  constructor(fd: number) {
    this.#fd = fd;
  }

  // RequestObserver

  onRequestBegin(exchange: Exchange): void {
    const tally = Tally.begin(exchange);
    tally.identify(exchange);
    const startedAt = Date.now();
    tally.listedAt = startedAt;
    tally.place = this.#open.push(exchange) - 1;
    const slot = this.#ended.pop() ?? this.#free.pop() ?? (this.#used < SLOTS ? this.#used++ : -1);
    tally.slot = slot;
    if (slot < 0) return;
    let { method = "?", uri = urlOf(exchange), address = "" } = tally;
    if (uri.length > URL_CHARACTERS) uri = uri.slice(0, URL_CHARACTERS);
    if (address.length > 100) address = address.slice(0, 100);
    if (method.length > 40) method = method.slice(0, 40);
    const text = `1${startedAt} ${method} ${uri} ${address}\n`;
    this.#write(this.#bytes, this.#bytes.write(text, 0, "latin1"), slot);
  }

  onRequestEnd(exchange: Exchange): void {
    const { tally } = exchange;
    if (tally === undefined || tally.place < 0) return;
    const last = this.#open.pop()!;
    if (last !== exchange) {
      this.#open[tally.place] = last;
      last.tally!.place = tally.place;
    }
    tally.place = -1;
    if (tally.slot < 0) return;
    this.#ended.push(tally.slot);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#clear);
  }

  /** What is being worked on, oldest first: asked by the watchdog through the inspector. */
  list(): RequestSnapshot[] {
    const open = this.#open.map((exchange) => ({ exchange, tally: exchange.tally! }));
    open.sort((one, other) => one.tally.startedAt - other.tally.startedAt);
    return open.map(
      ({ exchange, tally: { method = "?", uri = urlOf(exchange), address = "", listedAt } }) => ({
        method,
        url: uri.slice(0, URL_CHARACTERS),
        client: address,
        startedAt: listedAt,
      }),
    );
  }

  #clearEnded(): void {
    this.#isScheduled = false;
    for (const slot of this.#ended) {
      this.#write(FREE, 1, slot);
      this.#free.push(slot);
    }
    this.#ended.length = 0;
  }

  #write(bytes: Uint8Array, length: number, slot: number): void {
    try {
      writeSync(this.#fd, bytes, 0, length, slot * SLOT_BYTES);
    } catch {
      // A full memory file system must not take requests with it: the list is short then, which is all.
    }
  }
}

/** The manager's side of one worker's scoreboard. */
export class ScoreboardFile {
  /** For the worker to inherit. */
  readonly fd: number;
  #isOpen = true;

  /** @throws {Error} ENOSPC, EACCES, …: there is no place for temporary files */
  constructor() {
    const path = join(FOLDER, `postern-${process.pid}-${process.hrtime.bigint()}`);
    this.fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    rmSync(path, { force: true });
  }

  /** The open requests, oldest first. A worker can write anything here: what does not parse is left out. */
  read(): RequestSnapshot[] {
    if (!this.#isOpen) return [];
    const all = Buffer.alloc(SLOT_BYTES * SLOTS);
    let length = 0;
    try {
      length = readSync(this.fd, all, 0, all.length, 0);
    } catch {
      return []; // the worker is gone and so is what it had
    }
    const found: RequestSnapshot[] = [];
    for (let at = 0; at < length; at += SLOT_BYTES) {
      const one = parseSlot(all.toString("latin1", at, Math.min(at + SLOT_BYTES, length)));
      if (one !== undefined) found.push(one);
    }
    return found.sort((a, b) => a.startedAt - b.startedAt);
  }

  /** What a Python worker wrote behind the slots: the stacks of its threads. */
  readBehind(): string {
    if (!this.#isOpen) return "";
    const behind = Buffer.alloc(BEHIND_BYTES);
    try {
      return behind.toString("utf8", 0, readSync(this.fd, behind, 0, behind.length, SLOT_BYTES * SLOTS));
    } catch {
      return "";
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.fd);
  }
}

function parseSlot(slot: string): RequestSnapshot | undefined {
  if (slot[0] !== "1") return undefined;
  const words = slot.slice(1, slot.indexOf("\n")).split(" ");
  const startedAt = Number(words[0]);
  if (words.length < 4 || !Number.isFinite(startedAt)) return undefined;
  return {
    startedAt,
    method: words[1] ?? "?",
    url: words.slice(2, -1).join(" "),
    client: words.at(-1) ?? "",
  };
}

/** Of a request without REQUEST_URI. */
function urlOf({ params }: Exchange): string {
  return `${params.get("SCRIPT_NAME") ?? ""}${params.get("PATH_INFO") ?? ""}`;
}

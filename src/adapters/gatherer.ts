// HOT
/**
 * Pieces of a body put behind each other. Every piece is copied, and nothing of it is kept: it may be lent, and it would
 * pin the whole chunk it was cut from.
 */
import { announcedLength } from "../cgi/environ.ts";
import type { Exchange } from "../server/exchange.ts";
import { giveMemoryBack, LEAST_BYTES, takeMemory } from "./spare-memory.ts";

/** What is made of the whole. */
export type Convert<T> = (bytes: Buffer) => T;

/** Most memory that is made because of an announced length alone, in bytes. */
const MAX_TRUSTED_BYTES = 1024 * 1024;
const LEAST_BLOCK_BYTES = 4096;
const NOTHING = Buffer.alloc(0);

export class Gatherer<T> {
  readonly #convert: Convert<T>;
  readonly #keeps: boolean;
  readonly #announced: number;
  #full: Buffer[] | undefined = undefined;
  #block: Buffer = NOTHING;
  #at = 0; // end of what is in the block
  #total = 0;

  /** @param keeps `convert` keeps the bytes: they get memory of their own, exactly as large */
  constructor(exchange: Exchange, convert: Convert<T>, keeps: boolean) {
    this.#convert = convert;
    this.#keeps = keeps;
    this.#announced = announcedLength(exchange.params) ?? 0;
  }

  add(piece: Uint8Array): void {
    let from = 0;
    if (piece.length > this.#block.length - this.#at) {
      from = this.#block.length - this.#at;
      this.#block.set(piece.subarray(0, from), this.#at);
      this.#total += from;
      this.#addBlock(piece.length - from);
    }
    this.#block.set(from === 0 ? piece : piece.subarray(from), this.#at);
    this.#at += piece.length - from;
    this.#total += piece.length - from;
  }

  #addBlock(wanted: number): void {
    if (this.#block.length > 0) {
      this.#full ??= [];
      this.#full.push(this.#block);
    }
    const left = this.#announced - this.#total;
    // As much again as has really come; of an announced length not more than that, unless it is little.
    const size =
      left > 0
        ? Math.min(left, Math.max(MAX_TRUSTED_BYTES, this.#total))
        : Math.max(LEAST_BLOCK_BYTES, this.#total);
    this.#block = this.#take(Math.max(size, wanted));
    this.#at = 0;
  }

  #take(size: number): Buffer {
    if (this.#keeps) return Buffer.allocUnsafeSlow(size);
    return size < LEAST_BLOCK_BYTES ? Buffer.allocUnsafe(size) : takeMemory(size);
  }

  /** Of a small block the memory is Node's pool, which others have parts of. */
  #giveBack(block: Buffer): void {
    if (!this.#keeps && block.length >= LEAST_BYTES) giveMemoryBack(block);
  }

  /** Nothing more comes: converts the whole. */
  finish(): T {
    if (this.#full !== undefined) this.#join();
    if (this.#keeps) return this.#convert(this.#exact());
    try {
      return this.#convert(this.#block.subarray(0, this.#at));
    } finally {
      this.#giveBack(this.#block);
    }
  }

  #join(): void {
    const whole = this.#take(this.#total);
    let at = 0;
    for (const block of this.#full!) {
      whole.set(block, at);
      at += block.length;
      this.#giveBack(block);
    }
    whole.set(this.#block.subarray(0, this.#at), at);
    this.#giveBack(this.#block);
    this.#full = undefined;
    this.#block = whole;
    this.#at = this.#total;
  }

  #exact(): Buffer {
    if (this.#total > 0 && this.#at === this.#block.length) return this.#block;
    const exact = Buffer.allocUnsafeSlow(this.#total);
    exact.set(this.#block.subarray(0, this.#total));
    return exact;
  }
}

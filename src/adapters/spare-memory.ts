// HOT
/**
 * Memory for copies that soon end, used again: a megabyte of fresh memory costs four times the copy itself, for the
 * kernel makes every page of it anew. What is spare is held weakly, so that an idle process gives it back.
 */

/** Smaller copies are cheap in fresh memory, in bytes. */
export const LEAST_BYTES = 32768;
/** Larger ones are rare: nothing of them is kept. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Spare memory of one size class, in bytes. */
const CLASS_BYTES = 8 * 1024 * 1024;

const spare: WeakRef<ArrayBuffer>[][] = [];

/** Memory of `size` bytes that hold anything; it is the caller's until {@link giveMemoryBack}, or for good. */
export function takeMemory(size: number): Buffer {
  if (size < LEAST_BYTES || size > MOST_BYTES) return Buffer.allocUnsafeSlow(size);
  const list = spare[classOf(size)];
  if (list !== undefined) {
    while (list.length > 0) {
      const memory = list.pop()!.deref();
      if (memory !== undefined) return Buffer.from(memory, 0, size);
    }
  }
  return Buffer.from(Buffer.allocUnsafeSlow(2 ** classOf(size)).buffer, 0, size);
}

/** Nobody reads or writes the bytes of {@link takeMemory} any more. */
export function giveMemoryBack({ buffer }: Uint8Array): void {
  const size = buffer.byteLength;
  if (size < LEAST_BYTES || size > MOST_BYTES) return;
  const at = classOf(size);
  spare[at] ??= [];
  if (spare[at].length * size < CLASS_BYTES) spare[at].push(new WeakRef(buffer as ArrayBuffer));
}

/** Sizes are rounded up to powers of two: what is not touched of them is no memory yet. */
function classOf(size: number): number {
  return 32 - Math.clz32(size - 1);
}

/** Reads what a command is given to look at: a file, or standard input. Settings are read in config/ instead. */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";

/**
 * The text of a file, or of standard input for `-`. Read piece by piece: standard input may be a pipe that somebody who
 * holds it has made non-blocking, where a synchronous read fails (EAGAIN) as soon as nothing is in it. And what never
 * ends is left at the bound.
 *
 * @throws when it cannot be read, or has more than `mostBytes`
 */
export async function readInput(file: string, mostBytes: number): Promise<string> {
  return (await readInputBytes(file, mostBytes)).toString("utf8");
}

/** The same, as bytes. */
export async function readInputBytes(file: string, mostBytes: number): Promise<Buffer> {
  const input: Readable = file === "-" ? process.stdin : createReadStream(file);
  const pieces: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop early destroys the stream, so that the rest holds nobody up.
  for await (const piece of input as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > mostBytes) throw new Error(`it has more than the ${mostBytes} bytes that are read at most`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

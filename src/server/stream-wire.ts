// HOT
/** A connection over a Duplex: a socket of Node where its handle cannot be had, standard input and output, tests. */
import type { Duplex } from "node:stream";
import type { EndCallback, Wire, WireSink } from "./wire.ts";

const NOTHING: Buffer = Buffer.alloc(0);

export class StreamWire implements Wire {
  readonly isLent = false;
  readonly #stream: Duplex;
  #sink: WireSink | undefined = undefined;
  #isDrainAsked = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  get isDestroyed(): boolean {
    return this.#stream.destroyed;
  }

  get isEnded(): boolean {
    return this.#stream.writableEnded;
  }

  get unsentBytes(): number {
    return this.#stream.writableLength;
  }

  open(sink: WireSink): void {
    const stream = this.#stream;
    this.#sink = sink;
    stream.on("data", (chunk: Buffer) => sink.onRead(chunk, chunk.length));
    stream.on("end", () => sink.onEnd());
    stream.on("error", (error) => sink.onError(error));
    stream.on("close", () => sink.onClose());
    stream.on("drain", () => this.#onDrain());
  }

  writeOne(piece: Uint8Array): void {
    this.#stream.write(piece);
  }

  write(pieces: readonly Uint8Array[]): void {
    const stream = this.#stream;
    stream.cork();
    for (const piece of pieces) stream.write(piece);
    stream.uncork();
  }

  /** Below its high-water mark a stream says nothing when it has written everything. */
  awaitDrain(): void {
    const stream = this.#stream;
    if (this.#isDrainAsked || stream.writableNeedDrain || stream.writableEnded) return;
    this.#isDrainAsked = true;
    stream.write(NOTHING, () => {
      this.#isDrainAsked = false;
      this.#onDrain();
    });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(callback: EndCallback): void {
    if (this.#stream.writableFinished) process.nextTick(callback);
    else this.#stream.end((error?: Error | null) => callback(error ?? undefined));
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #onDrain(): void {
    if (this.#stream.writableLength === 0) this.#sink!.onDrain();
  }
}

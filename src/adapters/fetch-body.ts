// HOT
/**
 * The body of a fetch request, straight from the web server's input. `text()` and its kin gather the pieces and convert
 * once; the runtime's own Request takes them through a stream, several promises and several copies.
 *
 *     UNTOUCHED --read()--> READ     used: everything from then on fails, as the standard has it
 *         └--stream--> a ReadableStream, which knows itself whether it is used; read() reads it while it is not
 */
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { bodyStream, isUsedStream, spentStream } from "./body-stream.ts";
import { type Convert, Gatherer } from "./gatherer.ts";
import { asSeen } from "./streams.ts";

export class RequestBody {
  readonly #exchange: Exchange;
  #stream: ReadableStream<Uint8Array> | undefined = undefined;
  #isRead = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** What is there to read, or a stream that was read. */
  get stream(): ReadableStream<Uint8Array> {
    this.#stream ??= this.#isRead ? spentStream() : bodyStream(this.#exchange);
    return this.#stream;
  }

  /** `bodyUsed`. */
  get isUsed(): boolean {
    return this.#isRead || (this.#stream !== undefined && isUsedStream(this.#stream));
  }

  /** Whether it can still be read as a whole. */
  get isWhole(): boolean {
    return !this.isUsed && this.#stream?.locked !== true;
  }

  /**
   * The whole body, converted.
   * @param keeps `convert` keeps the bytes: they get memory of their own, with nothing else in it
   */
  read<T>(convert: Convert<T>, keeps: boolean): Promise<T> {
    if (!this.isWhole) return Promise.reject(new TypeError("Body is unusable: Body has already been read"));
    const exchange = this.#exchange;
    if (this.#stream !== undefined) return readStream(this.#stream, new Gatherer(exchange, convert, keeps));
    this.#isRead = true;
    return new Promise((resolve, reject) => {
      exchange.stdin.attach(new BodySink(exchange, new Gatherer(exchange, convert, keeps), resolve, reject));
      exchange.stdin.resume();
    });
  }
}

class BodySink<T> implements InputSink {
  readonly takesLoans = true; // all pieces are copied into one
  readonly #exchange: Exchange;
  readonly #gatherer: Gatherer<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    exchange: Exchange,
    gatherer: Gatherer<T>,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ) {
    this.#exchange = exchange;
    this.#gatherer = gatherer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onPiece(piece: Buffer): void {
    this.#gatherer.add(piece);
  }
  onEnd(): void {
    try {
      this.#resolve(this.#gatherer.finish());
    } catch (error) {
      this.#reject(error);
    }
  }
  onFail(error: Error): void {
    this.#reject(asSeen(error, this.#exchange));
  }
}

async function readStream<T>(stream: ReadableStream<Uint8Array>, gatherer: Gatherer<T>): Promise<T> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return gatherer.finish();
    gatherer.add(value);
  }
}

/** The Encoding Standard's "UTF-8 decode": without one byte-order mark at the beginning, and whatever is no UTF-8 replaced. */
export function asText(bytes: Buffer): string {
  const hasMark = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return bytes.toString("utf8", hasMark ? 3 : 0);
}
export function asJson(bytes: Buffer): unknown {
  return JSON.parse(asText(bytes));
}
/** Of bytes in memory of their own. */
export function asBytes({ buffer }: Buffer): Uint8Array {
  return new Uint8Array(buffer);
}
export function asArrayBuffer({ buffer }: Buffer): ArrayBuffer {
  return buffer as ArrayBuffer;
}

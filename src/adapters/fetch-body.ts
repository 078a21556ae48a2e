// HOT
/**
 * The body of a fetch request, straight from the web server's input. `text()` and its kin gather the pieces and convert
 * once; the runtime's own Request takes them through a stream, several promises and several copies.
 *
 *     UNTOUCHED --read()--> READ     used: everything from then on fails, as the standard has it
 *         └--stream--> a ReadableStream, which knows itself whether it is used; read() reads it while it is not
 */
import { Readable } from "node:stream";
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { type Convert, Gatherer } from "./gatherer.ts";
import { asAbortError } from "./streams.ts";

/** Node says of a stream whether it was read from; of the others only their own Request can tell. */
export const CAN_TELL: boolean = !("bun" in process.versions || "deno" in process.versions);

export class RequestBody {
  readonly #exchange: Exchange;
  #stream: ReadableStream<Uint8Array> | undefined = undefined;
  #isRead = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** What is there to read, or a stream that was read. */
  get stream(): ReadableStream<Uint8Array> {
    this.#stream ??= this.#isRead
      ? spentStream()
      : new ReadableStream(new BodySource(this.#exchange), NOTHING_AHEAD);
    return this.#stream;
  }

  /** `bodyUsed`. */
  get isUsed(): boolean {
    return this.#isRead || (this.#stream !== undefined && isDisturbed(this.#stream));
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

/** Reads only what is asked for: an application that looks at `body` and answers has not begun to read it. */
const NOTHING_AHEAD: QueuingStrategy<Uint8Array> = { highWaterMark: 0 };

class BodySource implements InputSink {
  readonly #exchange: Exchange;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined = undefined; // while the stream is open

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    this.#exchange.stdin.attach(this);
  }
  pull(): void {
    this.#exchange.stdin.resume();
  }
  cancel(): void {
    this.#controller = undefined;
    this.#exchange.stdin.discard();
  }

  onPiece(piece: Buffer): void {
    const controller = this.#controller;
    if (controller === undefined) return;
    controller.enqueue(piece);
    if ((controller.desiredSize ?? 0) <= 0) this.#exchange.stdin.pause();
  }
  onEnd(): void {
    this.#controller?.close();
    this.#controller = undefined;
  }
  onFail(error: Error): void {
    this.#controller?.error(asSeen(error, this.#exchange));
    this.#controller = undefined;
  }
}

/** A stream of which everything was read, by a reader who keeps it. */
function spentStream(): ReadableStream<Uint8Array> {
  const stream = closedStream();
  spend(stream);
  return stream;
}

export function closedStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

/** Makes a closed stream one that was read. */
export function spend(stream: ReadableStream<Uint8Array>): void {
  stream.getReader().read().catch(ignore);
}

/** Takes the streams of the web too, whatever its types say. */
const isDisturbed: (stream: ReadableStream<Uint8Array>) => boolean = Readable.isDisturbed as never;

function ignore(): void {}

function asSeen(error: Error, exchange: Exchange): Error {
  return error === exchange.abortError ? asAbortError(error) : error;
}

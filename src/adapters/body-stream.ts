// HOT
/**
 * `request.body`, a stream over the web server's input.
 *
 * Almost always somebody iterates over it. On Node 20 it costs 25 µs to make a ReadableStream and as much again to read
 * through one, a fifth of an upload of 64 KiB. So a LazyStream is handed out there, which is iterated over without, and
 * makes the real stream as soon as anything else is wanted of it. Node keeps what a stream is under symbols; those of a
 * LazyStream are the real one's, so that whatever Node does with the one it does with the other. It can all but be
 * transferred to another thread. Where streams are cheap (from Node 24 on), or keep nothing under symbols (Bun, Deno), a
 * real one is made at once.
 */
import { Readable } from "node:stream";
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { BodyIterator } from "./body-iterator.ts";
import { asSeen } from "./streams.ts";

/** Node says of a stream whether it was read from; of the others only their own Request can tell. */
export const CAN_TELL: boolean = !("bun" in process.versions || "deno" in process.versions);
/**
 * From this major version of Node on streams are cheap: 1 µs to make one, 5 to iterate over it. There the little garbage
 * that the lazy ones make does harm: V8 collects the bodies so late that it takes a full collection instead of small ones.
 */
const FIRST_CHEAP = 24;

/** Whether streams are made lazily; undefined until the first. */
let isLazy: boolean | undefined;

/** The body of a request that nobody has read from. */
export function bodyStream(exchange: Exchange): ReadableStream<Uint8Array> {
  isLazy ??= prepareLazyStreams();
  return isLazy ? (new LazyStream(exchange) as unknown as ReadableStream<Uint8Array>) : realStream(exchange);
}

/** Whether a stream, one made here too, was read from or given up. */
export function isUsedStream(stream: ReadableStream<Uint8Array>): boolean {
  return stream instanceof LazyStream ? LazyStream.isUsed(stream) : isDisturbed(stream);
}

class LazyStream {
  readonly #exchange: Exchange;
  #real: ReadableStream<Uint8Array> | undefined = undefined;
  #iterator: BodyIterator | undefined = undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  get locked(): boolean {
    return this.#real === undefined ? this.#iterator?.isGoing === true : this.#real.locked;
  }
  values(options?: ReadableStreamIteratorOptions): AsyncIterableIterator<Uint8Array> {
    if (this.#iterator !== undefined || this.#real !== undefined || options !== undefined) {
      return (LazyStream.realOf(this) as unknown as LazyStream).values(options);
    }
    this.#iterator = new BodyIterator(this.#exchange);
    return this.#iterator as unknown as AsyncIterableIterator<Uint8Array>;
  }

  static isUsed(stream: LazyStream): boolean {
    if (stream.#iterator !== undefined) return stream.#iterator.hasBegun;
    return stream.#real !== undefined && isDisturbed(stream.#real);
  }
  static realOf(stream: LazyStream): ReadableStream<Uint8Array> {
    stream.#real ??= stream.#iterator === undefined ? realStream(stream.#exchange) : stream.#iterator.stream;
    return stream.#real;
  }
}

function prepareLazyStreams(): boolean {
  if (!CAN_TELL || Number.parseInt(process.versions.node, 10) >= FIRST_CHEAP) return false;
  const insides = Reflect.ownKeys(new ReadableStream());
  if (insides.length === 0) return false;
  const { prototype } = LazyStream;
  for (const name of insides) {
    Object.defineProperty(prototype, name, {
      get(this: LazyStream): unknown {
        return (LazyStream.realOf(this) as unknown as Insides)[name];
      },
      set(this: LazyStream, value: unknown): void {
        (LazyStream.realOf(this) as unknown as Insides)[name] = value;
      },
      configurable: true,
    });
  }
  // One function under two names, as the standard has it.
  Object.defineProperty(prototype, Symbol.asyncIterator, {
    value: prototype.values,
    writable: true,
    configurable: true,
  });
  Object.defineProperty(prototype, "constructor", {
    value: ReadableStream,
    writable: true,
    configurable: true,
  });
  Object.setPrototypeOf(prototype, ReadableStream.prototype);
  return true;
}

type Insides = Record<PropertyKey, unknown>;

interface ReadableStreamIteratorOptions {
  preventCancel?: boolean;
}

function realStream(exchange: Exchange): ReadableStream<Uint8Array> {
  return new ReadableStream(new BodySource(exchange), NOTHING_AHEAD);
}

/** Takes the streams of the web too, whatever its types say. */
const isDisturbed: (stream: ReadableStream<Uint8Array>) => boolean = Readable.isDisturbed as never;

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
export function spentStream(): ReadableStream<Uint8Array> {
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

function ignore(): void {}

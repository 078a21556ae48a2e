// HOT
/**
 * `for await (const piece of request.body)` past the stream: pieces go from the web server's input to the loop, without
 * the queue, the requests and the promises of a stream in between.
 *
 *     NEW --next()--> GOING --input ends, next()--> OVER
 *      │                ├──── input fails --------> OVER    next() rejects once
 *      └────────────────┴──── return() -----------> OVER    the rest is dropped
 *
 * As the standard has it: `next()` may be called again before the last one is settled; the loop locks its stream until
 * it is over. Whoever looks at the stream meanwhile sees a real one in that state, see {@link BodyIterator.stream}.
 */
import type { Exchange } from "../server/exchange.ts";
import type { InputSink } from "../server/input.ts";
import { asSeen } from "./streams.ts";

type Step = IteratorResult<Uint8Array, undefined>;

const NEW = 0;
const GOING = 1;
const OVER = 2;

export class BodyIterator implements InputSink {
  readonly #exchange: Exchange;
  #state: number = NEW;
  #pending: Promise<Step> | undefined = undefined; // what the last next() gave, while that waits
  #resolve: ((step: Step) => void) | undefined = undefined;
  #reject: ((error: unknown) => void) | undefined = undefined;
  #piece: Buffer | undefined = undefined; // one that came while next() asked for it
  #isAtEnd = false; // nothing comes behind #piece
  #error: Error | undefined = undefined;
  #hasBegun = false;
  #shown: ShownStream | undefined = undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    exchange.stdin.attach(this);
  }

  /** Whether something was asked for: the stream is disturbed. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }
  /** Whether the stream is locked. */
  get isGoing(): boolean {
    return this.#state !== OVER;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    if (this.#pending !== undefined) {
      const again = (): Promise<Step> => this.next();
      return this.#pending.then(again, again);
    }
    if (this.#state === OVER) return Promise.resolve(DONE);
    if (this.#state === NEW) {
      // Node's own begins a little later too: `bodyUsed` is not yet true behind the call.
      this.#state = GOING;
      this.#pending = Promise.resolve(this).then(beginLater);
      return this.#pending;
    }
    if (this.#piece === undefined && !this.#isAtEnd) this.#exchange.stdin.resume();
    const piece = this.#piece;
    if (piece !== undefined) {
      this.#piece = undefined;
      return Promise.resolve({ done: false, value: piece });
    }
    if (this.#isAtEnd) return this.#finish();
    this.#pending = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    return this.#pending;
  }

  return(value?: unknown): Promise<IteratorResult<Uint8Array, unknown>> {
    if (this.#pending !== undefined) {
      const again = (): Promise<IteratorResult<Uint8Array, unknown>> => this.return(value);
      return this.#pending.then(again, again);
    }
    if (this.#state === OVER) return Promise.resolve({ done: true, value });
    if (this.#state === NEW) this.#begin();
    this.#state = OVER;
    this.#piece = undefined;
    this.#exchange.stdin.discard();
    this.#shown?.end(undefined, true);
    return Promise.resolve({ done: true, value });
  }

  /** @internal */
  begin(): Promise<Step> {
    this.#pending = undefined;
    this.#begin();
    return this.next();
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#shown?.disturb();
  }

  #finish(): Promise<Step> {
    this.#state = OVER;
    const error = this.#error;
    this.#shown?.end(error, true);
    return error === undefined ? Promise.resolve(DONE) : Promise.reject(error);
  }

  onPiece(piece: Buffer): void {
    if (this.#state === OVER) return;
    // One piece is asked for at a time.
    this.#exchange.stdin.pause();
    const resolve = this.#resolve;
    if (resolve === undefined) {
      this.#piece = piece;
      return;
    }
    this.#settled();
    resolve({ done: false, value: piece });
  }
  onEnd(): void {
    this.#end(undefined);
  }
  onFail(error: Error): void {
    this.#end(asSeen(error, this.#exchange));
  }

  #end(error: Error | undefined): void {
    if (this.#state === OVER) return;
    this.#isAtEnd = true;
    this.#error = error;
    const resolve = this.#resolve;
    const reject = this.#reject;
    if (resolve === undefined || reject === undefined) {
      if (this.#piece === undefined) this.#shown?.end(error, false);
      return;
    }
    this.#settled();
    this.#state = OVER;
    this.#shown?.end(error, true);
    if (error === undefined) resolve(DONE);
    else reject(error);
  }

  #settled(): void {
    this.#pending = undefined;
    this.#resolve = undefined;
    this.#reject = undefined;
  }

  /** A real stream in the state of the one that is iterated over, from now on: for whoever looks at its insides. */
  get stream(): ReadableStream<Uint8Array> {
    this.#shown ??= this.#show();
    return this.#shown.stream;
  }

  #show(): ShownStream {
    const shown = new ShownStream();
    if (this.#hasBegun) shown.disturb();
    const isOver = this.#state === OVER;
    if (isOver || (this.#isAtEnd && this.#piece === undefined)) shown.end(this.#error, isOver);
    return shown;
  }
}

/** What every asynchronous iterator of the language inherits from. */
const AsyncIterators: object = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}.prototype));
Object.setPrototypeOf(BodyIterator.prototype, AsyncIterators);

function beginLater(iterator: BodyIterator): Promise<Step> {
  return iterator.begin();
}

const DONE: Step = { done: true, value: undefined };

/** The stream that a loop has locked. Nothing ever comes through it. */
class ShownStream {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined = undefined;

  constructor() {
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    this.#reader = this.stream.getReader();
  }

  disturb(): void {
    this.#reader.read().catch(ignore);
  }

  end(error: Error | undefined, isFree: boolean): void {
    if (error === undefined) this.#controller?.close();
    else this.#controller?.error(error);
    this.#controller = undefined;
    if (isFree) this.#reader.releaseLock();
  }
}

function ignore(): void {}

/**
 * Sends one input stream of a request (STDIN or DATA) with back-pressure: a source is read only while the socket
 * takes what it gives.
 */
import { Readable } from "node:stream";
import type { WebConnection, WebRequest } from "../protocol/web-connection.ts";
import type { RequestInput, RequestOptions } from "./options.ts";

/** Bytes handed over at once; of a larger buffer, that is. Small enough to notice that the application takes it. */
const SLICE_BYTES = 262144;

/** Where the bytes go. */
export interface InputTarget {
  /** Sends bytes; false when the source should wait for {@link InputPump.resume}. */
  writeInput(bytes: Uint8Array): boolean;
  endInput(): void;
  /** The source failed: the request cannot be completed. */
  failInput(error: Error): void;
}

/** Whether an input can be sent a second time. */
export function isReplayable(input: RequestInput | undefined): boolean {
  return input === undefined || typeof input === "string" || input instanceof Uint8Array;
}

export class InputPump {
  readonly #target: InputTarget;
  readonly #whole: Uint8Array | undefined = undefined; // sent at once
  readonly #source: Readable | undefined = undefined;
  readonly #isOurs: boolean;
  #isStopped = false;

  constructor(input: RequestInput | undefined, target: InputTarget) {
    this.#target = target;
    this.#isOurs = !(input instanceof Readable);
    if (input === undefined) return;
    const whole = typeof input === "string" ? Buffer.from(input) : input;
    if (!(whole instanceof Uint8Array))
      this.#source = whole instanceof Readable ? whole : Readable.from(whole);
    else if (whole.length <= SLICE_BYTES) this.#whole = whole;
    else this.#source = Readable.from(slices(whole));
  }

  /** Whether it waits for its source, not for the socket. */
  get isHungry(): boolean {
    return !this.#isStopped && this.#source !== undefined && !this.#source.isPaused();
  }

  start(): void {
    const source = this.#source;
    if (source === undefined) {
      if (this.#whole !== undefined && this.#whole.length > 0) this.#target.writeInput(this.#whole);
      this.#end();
    } else if (source.readableEnded) {
      this.#end();
    } else if (source.destroyed) {
      this.#onClose();
    } else {
      source.on("data", this.#onData);
      source.on("end", this.#onEnd);
      source.on("error", this.#onError);
      source.on("close", this.#onClose);
      source.resume(); // it may have been paused by whoever made it
    }
  }

  /** The socket takes bytes again. */
  resume(): void {
    if (!this.#isStopped) this.#source?.resume();
  }

  /**
   * Reads no further. A Readable is left to its owner, paused, with what it still holds; anything else is closed.
   */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const source = this.#source;
    if (source === undefined) return;
    source.off("data", this.#onData);
    source.off("end", this.#onEnd);
    source.off("close", this.#onClose);
    if (this.#isOurs) {
      source.destroy(); // its errors still find #onError, which ignores them now
    } else {
      source.off("error", this.#onError);
      source.pause();
    }
  }

  readonly #onData = (chunk: unknown): void => {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (!(bytes instanceof Uint8Array)) {
      this.#fail(new TypeError(`the request body gave ${typeof chunk} where bytes or text are needed`));
    } else if (bytes.length > 0 && !this.#target.writeInput(bytes) && !this.#isStopped) {
      this.#source!.pause();
    }
  };

  readonly #onEnd = (): void => this.#end();

  readonly #onError = (error: Error): void => this.#fail(error);

  readonly #onClose = (): void => {
    this.#fail(this.#source!.errored ?? new Error("the request body was closed before its end"));
  };

  #end(): void {
    if (this.#isStopped) return;
    this.stop();
    this.#target.endInput();
  }

  #fail(error: Error): void {
    if (this.#isStopped) return;
    this.stop();
    this.#target.failInput(error);
  }
}

function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.subarray(at, at + SLICE_BYTES);
}

/**
 * Starts to send the input of a request: STDIN, and for a filter DATA after it.
 * @param pumps receives each pump as it starts; the last one is running
 * @param hooks `flush` sends what is queued, false when the socket is full
 */
export function pumpInput(
  machine: WebConnection,
  request: WebRequest,
  { role, stdin, data }: RequestOptions,
  pumps: InputPump[],
  hooks: { flush(): boolean; fail(error: Error): void },
): void {
  const start = (
    input: RequestInput | undefined,
    write: (bytes: Uint8Array) => void,
    end: () => void,
  ): void => {
    const pump = new InputPump(input, {
      writeInput: (bytes) => {
        write(bytes);
        return hooks.flush();
      },
      endInput: () => {
        end();
        hooks.flush();
      },
      failInput: hooks.fail,
    });
    pumps.push(pump);
    pump.start();
  };
  const startData = (): void =>
    start(
      data,
      (bytes) => machine.writeData(request, bytes),
      () => machine.endData(request),
    );
  const isFilter = role === "filter";
  start(
    stdin,
    (bytes) => machine.writeStdin(request, bytes),
    () => {
      machine.endStdin(request, !isFilter);
      if (isFilter) startData();
    },
  );
}

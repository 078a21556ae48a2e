// HOT
/**
 * A Duplex whose stream state is made when somebody first touches it. The socket of a request hardly ever needs one:
 * node:http asks such a socket whether it is destroyed and writable, and leaves it; that is answered without.
 *
 * Listening, piping, destroying and whatever else reads `_readableState` or `_writableState` finds a Duplex as made by
 * its constructor. A runtime whose Duplex cannot be made late gets one at once.
 */
import { Duplex, type DuplexOptions } from "node:stream";

interface States {
  _readableState?: unknown;
  _writableState?: unknown;
}

/** Stands in for the constructor: `instanceof` and the methods are Duplex's own. */
function Late(this: object): void {}
Late.prototype = Duplex.prototype;

/** Whether Duplex can be called on an object that there is already, which is no part of its documentation. */
function canBeLate(): boolean {
  const object = Object.create(Duplex.prototype) as States;
  try {
    (Duplex as unknown as (this: object) => void).call(object);
    return object._readableState !== undefined && object._writableState !== undefined;
  } catch {
    return false;
  }
}

const Base = (canBeLate() ? Late : Duplex) as unknown as typeof Duplex;

export class LateDuplex extends Base {
  /** Whether the stream state is there. */
  hasState = false;
  readonly #options: DuplexOptions;

  constructor(options: DuplexOptions) {
    super(options);
    this.#options = options;
    this.hasState = Object.hasOwn(this, "_readableState");
  }

  /** Makes the stream state. */
  makeState(): void {
    if (this.hasState) return;
    this.hasState = true;
    (Duplex as unknown as (this: object, options: DuplexOptions) => void).call(this, this.#options);
  }
}

/** The state is an own property from when it is made. */
function defineState(name: keyof States): void {
  Object.defineProperty(LateDuplex.prototype, name, {
    configurable: true,
    get(this: LateDuplex & States): unknown {
      // Of the prototype itself, as inspection asks for it, there is none.
      if (!Object.hasOwn(this, "hasState") || this.hasState) return undefined;
      this.makeState();
      return this[name];
    },
    set(this: LateDuplex, value: unknown): void {
      Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
    },
  });
}
defineState("_readableState");
defineState("_writableState");

/** What Duplex answers out of its state, answered without it while it is as at the beginning. */
function defineAnswer(name: "destroyed" | "readable" | "writable", beginning: boolean): void {
  const own = Object.getOwnPropertyDescriptor(Duplex.prototype, name) ?? findDescriptor(name);
  Object.defineProperty(LateDuplex.prototype, name, {
    configurable: true,
    get(this: LateDuplex): unknown {
      return this.hasState ? own?.get?.call(this) : beginning;
    },
    set(this: LateDuplex, value: unknown): void {
      this.makeState();
      own?.set?.call(this, value);
    },
  });
}

/** Duplex has some of them from Readable. */
function findDescriptor(name: string): PropertyDescriptor | undefined {
  return Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Duplex.prototype), name);
}
defineAnswer("destroyed", false);
defineAnswer("readable", true);
defineAnswer("writable", true);

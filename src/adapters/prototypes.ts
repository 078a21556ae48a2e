/**
 * Express puts prototypes of its own under each request and each response: its application's `request` and
 * `response`. To change the prototype of an object costs more the more it has, and makes all code that touches it
 * slower, on Node 20 and 22 by a factor. So the objects of such an application are made on these prototypes, and it
 * finds nothing to change.
 */
import { IncomingMessage, ServerResponse } from "../base/node-http.ts";
import { isEndKnown } from "./http-internals.ts";
import type { ServerTraits } from "./server-traits.ts";

/**
 * The traits with such classes, where the application has such objects.
 * @param listener what is called with requests and responses, of any kind
 */
export function onPrototypesOf(listener: unknown, traits: ServerTraits): ServerTraits {
  if (typeof listener !== "function" || !isEndKnown) return traits;
  if (traits.Request !== IncomingMessage || !traits.isPlainResponse) return traits;
  const { request, response } = listener as { readonly request?: unknown; readonly response?: unknown };
  const plain = new IncomingMessage(undefined as never);
  const keys = [...Reflect.ownKeys(plain), "baseUrl", "originalUrl", "joinDuplicateHeaders"];
  const answerKeys = [...Reflect.ownKeys(new ServerResponse(plain)), "end", "setHeader"];
  if (!isOver(IncomingMessage.prototype, request, keys)) return traits;
  if (!isOver(ServerResponse.prototype, response, answerKeys)) return traits;
  return {
    ...traits,
    Request: madeBy(IncomingMessage as never, request) as never,
    Response: madeBy(ServerResponse as never, response) as never,
  };
}

/** Whether it inherits from that prototype, and nothing of it stands in the way of what is set on each object. */
function isOver(prototype: object, value: unknown, keys: readonly PropertyKey[]): value is object {
  let at = value;
  while (at !== prototype) {
    if (typeof at !== "object" || at === null) return false;
    for (const key of keys) {
      const own = Object.getOwnPropertyDescriptor(at, key);
      if (own !== undefined && own.writable !== true) return false;
    }
    at = Object.getPrototypeOf(at);
  }
  return value !== prototype;
}

type Room = Record<`${"a" | "b" | "c" | "d"}${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8}`, number>;
type Maker = new (first: unknown, second: unknown) => object;

/**
 * A constructor that does what `of` does, for objects on another prototype.
 *
 * V8 makes room in an object for as many members as it counts assignments to `this` in the source of its constructor,
 * and gives back what is not used. Without these that are never done all members of a request are outside of it: an
 * Express hello then took 31 us here instead of 14 on Node 26, and 25 instead of 18 on Node 20.
 */
function madeBy(of: Maker, prototype: object): Maker {
  const call = of as unknown as { call(it: object, first: unknown, second: unknown): void };
  const make = function (this: Room, first: unknown, second: unknown): void {
    if (of === undefined) {
      this.a0 = this.a1 = this.a2 = this.a3 = this.a4 = this.a5 = this.a6 = this.a7 = this.a8 = 0;
      this.b0 = this.b1 = this.b2 = this.b3 = this.b4 = this.b5 = this.b6 = this.b7 = this.b8 = 0;
      this.c0 = this.c1 = this.c2 = this.c3 = this.c4 = this.c5 = this.c6 = this.c7 = this.c8 = 0;
      this.d0 = this.d1 = this.d2 = this.d3 = this.d4 = this.d5 = this.d6 = this.d7 = this.d8 = 0;
    }
    call.call(this, first, second);
  } as unknown as Maker;
  make.prototype = prototype;
  return make;
}

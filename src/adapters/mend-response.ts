/**
 * Bun's ServerResponse answers some questions from the native response behind it, which ours has not: whether a drain
 * is awaited, what still waits to be written, whether there is a socket. What its base class OutgoingMessage has under
 * the same names is Node's own way, and right here. In Node and Deno ServerResponse leaves those names to its base.
 */
import { OutgoingMessage, ServerResponse } from "../base/node-http.ts";

/** What ServerResponse has of its own in Node too. */
const OWN: ReadonlySet<string> = new Set([
  "constructor",
  "statusCode",
  "statusMessage",
  "_finish",
  "_implicitHeader",
]);

/** The members of OutgoingMessage that this runtime's ServerResponse hides; undefined when there are none. */
const hidden: PropertyDescriptorMap | undefined = hiddenMembers();

function hiddenMembers(): PropertyDescriptorMap | undefined {
  const own = Object.getOwnPropertyNames(ServerResponse.prototype).filter((name) => !OWN.has(name));
  const found = own.flatMap((name) => {
    const descriptor = Object.getOwnPropertyDescriptor(OutgoingMessage.prototype, name);
    return descriptor === undefined ? [] : [[name, { ...descriptor, configurable: true }] as const];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/**
 * Undefined where nothing is to be mended. The members go to the object itself, because Express puts another
 * prototype under it; a subclass of the application's keeps its own.
 */
export const mendResponse: ((response: ServerResponse) => void) | undefined =
  hidden &&
  ((response) => {
    if (Object.getPrototypeOf(response) === ServerResponse.prototype)
      Object.defineProperties(response, hidden);
  });

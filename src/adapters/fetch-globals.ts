/**
 * The globals of a fetch application, changed once, when one is first served: `Request` and `fetch` take the lazy
 * requests made here (both look at internals that only a native Request has), and `Response` makes light responses.
 * Deno's own Response is fast, and stays; Bun's does not say that text is text.
 */
import { type RequestInput, unwrapRequest, useNatives } from "./fetch-request.ts";
import { makeLight } from "./fetch-response.ts";

let isDone = false;

export function teachGlobals(): void {
  if (isDone) return;
  isDone = true;
  const NativeRequest = globalThis.Request;
  useNatives(NativeRequest, globalThis.Response);
  class PosternAwareRequest extends NativeRequest {
    constructor(input: RequestInput, init?: RequestInit) {
      super(unwrapRequest(input), init);
    }
    static override [Symbol.hasInstance](value: unknown): boolean {
      return value instanceof NativeRequest;
    }
  }
  Object.defineProperty(PosternAwareRequest, "name", { value: "Request" });
  globalThis.Request = PosternAwareRequest;
  const nativeFetch = globalThis.fetch;
  globalThis.fetch = function fetch(input: RequestInput, init?: RequestInit): Promise<Response> {
    return nativeFetch(unwrapRequest(input), init);
  };
  const Light = makeLight(globalThis.Response);
  if (!("deno" in process.versions)) globalThis.Response = Light;
}

// HOT
/**
 * The Request of a fetch application, made lazily: method, URL and headers come straight from the parameters, and
 * the runtime's own Request is made only when something needs it (`clone()`, `formData()`, `new Request(request)`).
 * `instanceof Request` holds. Shaped as srvx's ServerRequest: `ip`, `runtime`, `waitUntil`.
 */
import { method } from "../cgi/environ.ts";
import { absoluteUrl } from "../cgi/mount.ts";
import type { Exchange } from "../server/exchange.ts";
import { CAN_TELL, closedStream, spend } from "./body-stream.ts";
import { asArrayBuffer, asBytes, asJson, asText, RequestBody } from "./fetch-body.ts";
import type { FetchContext, FetchRuntime } from "./fetch-context.ts";
import { areUntouched, requestHeaders, unwrapHeaders, useNativeHeaders } from "./fetch-headers.ts";
import type { Convert } from "./gatherer.ts";
import { remember } from "./side.ts";

// See useNatives.
let NativeRequest: typeof Request;
let NativeResponse: typeof Response;
export type RequestInput = string | URL | Request;

class LazyRequest {
  readonly #exchange: Exchange;
  readonly #context: FetchContext;
  #native: Request | undefined = undefined;
  #headers: Headers | undefined = undefined;
  #url: string | undefined = undefined;
  #body: RequestBody | undefined = undefined;
  #hasNativeBody = false; // whether the body is the native one's to read

  constructor(exchange: Exchange, context: FetchContext) {
    this.#exchange = exchange;
    this.#context = context;
  }

  get method(): string {
    return method(this.#exchange.params);
  }
  get url(): string {
    const { client, target, options } = this.#exchange;
    this.#url ??= absoluteUrl(client, options.stripBase ? { ...target, originalUrl: target.url } : target);
    return this.#url;
  }
  get headers(): Headers {
    this.#headers ??= requestHeaders(this.#exchange);
    return this.#headers;
  }
  get signal(): AbortSignal {
    return this.#context.signal;
  }
  get ip(): string | undefined {
    return this.#exchange.client.get("REMOTE_ADDR") || undefined;
  }
  get runtime(): FetchRuntime {
    return this.#context.runtime;
  }
  get waitUntil(): FetchContext["waitUntil"] {
    return this.#context.waitUntil;
  }

  clone(): Request {
    const copy = this.current.clone();
    remember(copy, this.#exchange);
    return copy;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#hasNativeBody || !hasBody(this.method)) return this.native.body;
    // Only Node can tell of a stream of ours whether it was read.
    return CAN_TELL ? this.#ownBody.stream : this.native.body;
  }
  get bodyUsed(): boolean {
    return this.#hasNativeBody ? this.native.bodyUsed : this.#body?.isUsed === true;
  }
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#hasNativeBody ? this.native.arrayBuffer() : this.#read(asArrayBuffer, true);
  }
  /** Node 20 has no `bytes`. */
  bytes(): Promise<Uint8Array> {
    return this.#hasNativeBody
      ? this.native.arrayBuffer().then((bytes) => new Uint8Array(bytes))
      : this.#read(asBytes, true);
  }
  blob(): Promise<Blob> {
    if (this.#hasNativeBody) return this.native.blob();
    // What becomes of its type is for the native class to say.
    const type = this.headers.get("content-type");
    const headers: [string, string][] = type === null ? [] : [["content-type", type]];
    return this.#read(asArrayBuffer, true).then((bytes) => new NativeResponse(bytes, { headers }).blob());
  }
  json(): Promise<unknown> {
    return this.#hasNativeBody ? this.native.json() : this.#read(asJson, false);
  }
  text(): Promise<string> {
    return this.#hasNativeBody ? this.native.text() : this.#read(asText, false);
  }

  #read<T>(convert: Convert<T>, keeps: boolean): Promise<T> {
    if (hasBody(this.method)) return this.#ownBody.read(convert, keeps);
    return new Promise((resolve) => resolve(convert(Buffer.allocUnsafeSlow(0))));
  }

  get #ownBody(): RequestBody {
    this.#body ??= new RequestBody(this.#exchange);
    return this.#body;
  }

  /** The runtime's own Request with the same facts and, while nobody has used it, the body: it has it from then on. */
  get native(): Request {
    this.#native ??= this.#makeNative();
    return this.#native;
  }

  /** The same with the headers as they are now: an application may have changed them after the native one was made. */
  get current(): Request {
    const native = this.native;
    const headers = this.#headers;
    if (headers === undefined || areUntouched(headers)) return native;
    for (const name of [...native.headers.keys()]) if (!headers.has(name)) native.headers.delete(name);
    for (const [name, value] of headers) {
      // getSetCookie() of a request is a curiosity, but joining would change it.
      if (name !== "set-cookie" && native.headers.get(name) !== value) native.headers.set(name, value);
    }
    return native;
  }

  #makeNative(): Request {
    const headers = unwrapHeaders(this.headers);
    const init: RequestInit = { method: this.method, headers, signal: this.signal };
    if (!hasBody(this.method)) {
      this.#hasNativeBody = true;
      return new NativeRequest(this.url, init);
    }
    const body = this.#ownBody;
    this.#hasNativeBody = body.isWhole;
    init.body = body.isWhole ? body.stream : closedStream();
    init.duplex = "half";
    const native = new NativeRequest(this.url, init);
    // It takes no body that was used; but it must refuse to be read and cloned, as this one does.
    if (!this.#hasNativeBody) spend(native.body!);
    return native;
  }
}

/** In any case: Request takes "get" for GET, and refuses a body with it. */
function hasBody(method: string): boolean {
  return method !== "GET" && method !== "HEAD" && !/^(?:GET|HEAD)$/i.test(method);
}

// Everything else is the native Request's.
Object.defineProperty(LazyRequest.prototype, "formData", {
  value(this: LazyRequest): Promise<FormData> {
    return this.native.formData();
  },
  writable: true,
  configurable: true,
});
for (const name of [
  "cache",
  "credentials",
  "destination",
  "duplex",
  "integrity",
  "isHistoryNavigation",
  "isReloadNavigation",
  "keepalive",
  "mode",
  "redirect",
  "referrer",
  "referrerPolicy",
]) {
  Object.defineProperty(LazyRequest.prototype, name, {
    get(this: LazyRequest): unknown {
      return (this.native as unknown as Record<string, unknown>)[name];
    },
    configurable: true,
  });
}
// Middleware may know better, and says so by assigning.
for (const name of ["ip", "runtime", "waitUntil"] as const) {
  const { get } = Object.getOwnPropertyDescriptor(LazyRequest.prototype, name)!;
  Object.defineProperty(LazyRequest.prototype, name, {
    get: get!,
    set(this: LazyRequest, value: unknown): void {
      Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
    },
    configurable: true,
  });
}
/**
 * Takes the runtime's own Request and Response, once, before the first request. Not at import: from Node 22 on the first
 * look at the globals loads undici, 60 ms of processor time, which applications of other forms need not spend.
 */
export function useNatives(request: typeof Request, response: typeof Response): void {
  NativeRequest = request;
  NativeResponse = response;
  Object.setPrototypeOf(LazyRequest.prototype, request.prototype);
  useNativeHeaders(globalThis.Headers);
}

/** The Request for one exchange. */
export function makeFetchRequest(exchange: Exchange, context: FetchContext): Request {
  const request = new LazyRequest(exchange, context);
  remember(request, exchange);
  return request as unknown as Request;
}

/** A native Request for one made here; anything else as it is. */
export function unwrapRequest(input: RequestInput): RequestInput {
  return input instanceof LazyRequest ? input.current : input;
}

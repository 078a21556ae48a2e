// HOT
/**
 * The Request of a fetch application, made lazily: method, URL and headers come straight from the parameters, and
 * the runtime's own Request is made only when something needs it (the body, `clone()`, `new Request(request)`).
 * `instanceof Request` holds. Shaped as srvx's ServerRequest: `ip`, `runtime`, `waitUntil`.
 */
import { method, rawHeaders } from "../cgi/environ.ts";
import { absoluteUrl } from "../cgi/mount.ts";
import type { Exchange } from "../server/exchange.ts";
import type { FetchContext, FetchRuntime } from "./fetch-context.ts";
import { remember } from "./side.ts";
import { asAbortError } from "./streams.ts";

let NativeRequest: typeof Request; // see useNativeRequest
export type RequestInput = string | URL | Request;

class LazyRequest {
  readonly #exchange: Exchange;
  readonly #context: FetchContext;
  #native: Request | undefined = undefined;
  #headers: Headers | undefined = undefined;
  #url: string | undefined = undefined;

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
    if (this.#headers === undefined) {
      const raw = rawHeaders(this.#exchange.params);
      const headers = new Headers();
      for (let at = 0; at < raw.length; at += 2) {
        const name = raw[at]!;
        // Deno would put a comma between cookies, where nothing takes them apart.
        if (name === "cookie" && headers.has(name)) headers.set(name, `${headers.get(name)}; ${raw[at + 1]}`);
        else headers.append(name, raw[at + 1]!);
      }
      this.#headers = headers;
    }
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
  /** Node 20 has no `bytes`. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.native.arrayBuffer());
  }

  /** The runtime's own Request with the same facts and the body. */
  get native(): Request {
    this.#native ??= this.#makeNative();
    return this.#native;
  }

  /** The same with the headers as they are now: an application may have changed them after the native one was made. */
  get current(): Request {
    const native = this.native;
    const headers = this.#headers;
    if (headers === undefined) return native;
    for (const name of [...native.headers.keys()]) if (!headers.has(name)) native.headers.delete(name);
    for (const [name, value] of headers) {
      // getSetCookie() of a request is a curiosity, but joining would change it.
      if (name !== "set-cookie" && native.headers.get(name) !== value) native.headers.set(name, value);
    }
    return native;
  }

  #makeNative(): Request {
    const init: RequestInit = { method: this.method, headers: this.headers, signal: this.signal };
    // In any case: Request takes "get" for GET, and refuses a body with it.
    if (!/^(?:GET|HEAD)$/i.test(this.method)) {
      init.body = bodyOf(this.#exchange);
      init.duplex = "half";
    }
    return new NativeRequest(this.url, init);
  }
}

// Everything else is the native Request's.
for (const name of ["arrayBuffer", "blob", "formData", "json", "text"] as const) {
  Object.defineProperty(LazyRequest.prototype, name, {
    value(this: LazyRequest): unknown {
      return (this.native as unknown as Record<string, () => unknown>)[name]!();
    },
    writable: true,
    configurable: true,
  });
}
for (const name of [
  "body",
  "bodyUsed",
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
 * Takes the runtime's own Request, once, before the first request. Not at import: from Node 22 on the first look at the
 * global loads undici, 60 ms of processor time, which applications of other forms need not spend.
 */
export function useNativeRequest(native: typeof Request): void {
  NativeRequest = native;
  Object.setPrototypeOf(LazyRequest.prototype, native.prototype);
}

/** The Request for one exchange. */
export function makeFetchRequest(exchange: Exchange, context: FetchContext): Request {
  const request = new LazyRequest(exchange, context);
  remember(request, exchange);
  return request as unknown as Request;
}

/** Reads only what is asked for: an application that looks at `body` and answers has not begun to read it. */
const NOTHING_AHEAD: QueuingStrategy<Uint8Array> = { highWaterMark: 0 };

function bodyOf(exchange: Exchange): ReadableStream<Uint8Array> {
  const input = exchange.stdin;
  let isOpen = true;
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        input.attach({
          onPiece: (piece) => {
            if (!isOpen) return;
            controller.enqueue(piece);
            if ((controller.desiredSize ?? 0) <= 0) input.pause();
          },
          onEnd: () => {
            if (isOpen) controller.close();
            isOpen = false;
          },
          onFail: (error) => {
            if (isOpen) controller.error(error === exchange.abortError ? asAbortError(error) : error);
            isOpen = false;
          },
        });
      },
      pull: () => input.resume(),
      cancel: () => {
        isOpen = false;
        input.discard();
      },
    },
    NOTHING_AHEAD,
  );
}

/** A native Request for one made here; anything else as it is. */
export function unwrapRequest(input: RequestInput): RequestInput {
  return input instanceof LazyRequest ? input.current : input;
}

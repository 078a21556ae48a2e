// HOT
/**
 * The Request of a fetch application, made lazily: method, URL and headers come straight from the parameters, and
 * the runtime's own Request is made only when something needs it (the body, `clone()`, `new Request(request)`).
 * `instanceof Request` holds. Shaped as srvx's ServerRequest: `ip`, `runtime`, `waitUntil`.
 */
import { addresses, method, rawHeaders } from "../cgi/environ.ts";
import { absoluteUrl } from "../cgi/mount.ts";
import type { Exchange } from "../server/exchange.ts";
import type { FetchContext } from "./fetch-context.ts";
import { remember } from "./side.ts";

const NativeRequest = globalThis.Request;
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
    const { params, target, options } = this.#exchange;
    this.#url ??= absoluteUrl(params, options.stripBase ? { ...target, originalUrl: target.url } : target);
    return this.#url;
  }
  get headers(): Headers {
    if (this.#headers === undefined) {
      const raw = rawHeaders(this.#exchange.params);
      const headers = new Headers();
      for (let at = 0; at < raw.length; at += 2) headers.append(raw[at]!, raw[at + 1]!);
      this.#headers = headers;
    }
    return this.#headers;
  }
  get signal(): AbortSignal {
    return this.#context.signal;
  }
  get ip(): string | undefined {
    return addresses(this.#exchange.params).remoteAddress;
  }
  get runtime(): object {
    return { name: "postern", fastcgi: this.#context };
  }
  get waitUntil(): FetchContext["waitUntil"] {
    return this.#context.waitUntil;
  }

  /** The runtime's own Request with the same facts and the body. */
  get native(): Request {
    this.#native ??= this.#makeNative();
    return this.#native;
  }

  #makeNative(): Request {
    const init: RequestInit = { method: this.method, headers: this.headers, signal: this.signal };
    if (this.method !== "GET" && this.method !== "HEAD") {
      init.body = bodyOf(this.#exchange);
      init.duplex = "half";
    }
    return new NativeRequest(this.url, init);
  }
}

// Everything else is the native Request's.
for (const name of ["arrayBuffer", "blob", "bytes", "clone", "formData", "json", "text"] as const) {
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
Object.setPrototypeOf(LazyRequest.prototype, NativeRequest.prototype);

/** The Request for one exchange. */
export function makeFetchRequest(exchange: Exchange, context: FetchContext): Request {
  const request = new LazyRequest(exchange, context);
  remember(request, exchange);
  return request as unknown as Request;
}

function bodyOf(exchange: Exchange): ReadableStream<Uint8Array> {
  const input = exchange.stdin;
  let isOpen = true;
  return new ReadableStream<Uint8Array>({
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
          if (isOpen) controller.error(error);
          isOpen = false;
        },
      });
    },
    pull: () => input.resume(),
    cancel: () => {
      isOpen = false;
      input.discard();
    },
  });
}

/** A native Request for one made here; anything else as it is. */
export function unwrapRequest(input: RequestInput): RequestInput {
  return input instanceof LazyRequest ? input.native : input;
}

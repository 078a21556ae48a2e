// HOT
/**
 * A light `Response`: what almost every fetch application makes, a string or bytes with a status and headers, kept as
 * it was given and sent without a stream. The runtime's own Response is made only when something needs more of it
 * (`body`, `clone()`, `text()`), and at once for every other kind of body and for whatever it would refuse.
 * `instanceof Response` holds either way. Node's own costs 17 µs, half of a small request.
 */
let NativeResponse: typeof Response; // see makeLight

type Body = ConstructorParameters<typeof Response>[0];
type HeaderPairs = readonly (readonly [string, string])[];

/** What the adapter sends. */
export interface LightParts {
  readonly body: string | Uint8Array | null;
  /** Name, value, name, value. */
  readonly headers: string[];
}

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;
const REASON = /^[\t -~\x80-\xff]*$/;

class LightResponse {
  readonly #body: string | Uint8Array | null;
  readonly #status: number;
  readonly #statusText: string;
  readonly #pairs: HeaderPairs;
  #headers: Headers | undefined = undefined;
  #native: Response | undefined = undefined;

  constructor(body?: Body, init?: ResponseInit) {
    const pairs = plainPairs(init?.headers);
    const status = init?.status ?? 200;
    const statusText = init?.statusText ?? "";
    const isLight =
      (typeof body === "string" || body === null || body === undefined || body instanceof Uint8Array) &&
      pairs !== undefined &&
      Number.isInteger(status) &&
      status >= 200 &&
      status <= 599 &&
      (body === null || body === undefined || (status !== 204 && status !== 205 && status !== 304)) &&
      REASON.test(statusText);
    // Anything else is the native one's to take apart, or to refuse with its own error.
    if (!isLight) this.#native = new NativeResponse(body, init);
    // Bytes are copied, as the native one does: whoever made them may use their memory again.
    this.#body = !isLight
      ? null
      : body instanceof Uint8Array
        ? new Uint8Array(body)
        : ((body ?? null) as string | null);
    this.#status = status;
    this.#statusText = statusText;
    this.#pairs = pairs ?? [];
  }

  get status(): number {
    return this.#native?.status ?? this.#status;
  }
  get statusText(): string {
    return this.#native?.statusText ?? this.#statusText;
  }
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }
  get headers(): Headers {
    this.#headers ??= this.#native?.headers ?? this.#makeHeaders();
    return this.#headers;
  }

  /** The runtime's own Response with the same facts and body; the truth from then on. */
  get native(): Response {
    if (this.#native === undefined) {
      const init = { status: this.#status, statusText: this.#statusText, headers: this.headers };
      this.#native = new NativeResponse(this.#body as Body, init);
      this.#headers = this.#native.headers;
    }
    return this.#native;
  }

  /** @internal what to send, while nobody has needed the native one */
  static parts(response: LightResponse): LightParts | undefined {
    if (response.#native !== undefined) return undefined;
    const headers: string[] = [];
    const body = response.#body;
    if (response.#headers !== undefined) {
      for (const [name, value] of response.#headers) headers.push(name, value);
    } else {
      for (const [name, value] of response.#pairs) headers.push(name, value);
      if (needsType(body, response.#pairs)) headers.push("content-type", TEXT);
    }
    // A length tells the client a whole body from a cut one, and saves the web server its chunks.
    if (body !== null && !hasLength(headers)) headers.push("content-length", String(Buffer.byteLength(body)));
    return { body, headers };
  }

  #makeHeaders(): Headers {
    const headers = new Headers();
    for (const [name, value] of this.#pairs) headers.append(name, value);
    if (needsType(this.#body, this.#pairs)) headers.set("content-type", TEXT);
    return headers;
  }

  static json(data: unknown, init?: ResponseInit): Response {
    // undefined and functions have no JSON: the native one says so.
    const text = JSON.stringify(data);
    const pairs = plainPairs(init?.headers);
    if (text === undefined || pairs === undefined) return NativeResponse.json(data, init);
    const headers = pairs.some(isContentType)
      ? pairs
      : [...pairs, ["content-type", "application/json"] as const];
    return new LightResponse(text, {
      ...init,
      headers: headers as [string, string][],
    }) as unknown as Response;
  }
  static redirect(url: string | URL, status?: number): Response {
    return NativeResponse.redirect(url, status as 302);
  }
  static error(): Response {
    return NativeResponse.error();
  }
  static [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof NativeResponse;
  }
}

for (const name of ["arrayBuffer", "blob", "bytes", "clone", "formData", "json", "text"] as const) {
  Object.defineProperty(LightResponse.prototype, name, {
    value(this: LightResponse): unknown {
      return (this.native as unknown as Record<string, () => unknown>)[name]!();
    },
    writable: true,
    configurable: true,
  });
}
for (const name of ["body", "bodyUsed", "redirected", "type", "url"] as const) {
  Object.defineProperty(LightResponse.prototype, name, {
    get(this: LightResponse): unknown {
      return this.native[name];
    },
    configurable: true,
  });
}
Object.defineProperty(LightResponse, "name", { value: "Response" });

/**
 * The class to put in the place of the global Response, over the runtime's own, which is taken once, before the first
 * response. Not at import, for the reason that `useNatives` gives.
 */
export function makeLight(native: typeof Response): typeof Response {
  NativeResponse = native;
  Object.setPrototypeOf(LightResponse.prototype, native.prototype);
  return LightResponse as unknown as typeof Response;
}

/** What to send of a response made by {@link Light}; undefined for every other one, which is streamed. */
export function lightParts(response: Response): LightParts | undefined {
  // Only instances have the private fields; a look at the constructor is cheaper than a failed `#x in`.
  return response.constructor === LightResponse
    ? LightResponse.parts(response as unknown as LightResponse)
    : undefined;
}

const TEXT = "text/plain;charset=UTF-8";
const NO_PAIRS: HeaderPairs = [];

/** Headers given as a plain object or pairs, all of them valid as they stand; undefined: let the native class see to them. */
function plainPairs(headers: ResponseInit["headers"]): HeaderPairs | undefined {
  if (headers === undefined) return NO_PAIRS;
  let pairs: HeaderPairs;
  if (Array.isArray(headers)) pairs = headers as unknown as HeaderPairs;
  else if (Object.getPrototypeOf(headers) === Object.prototype)
    pairs = Object.entries(headers) as unknown as HeaderPairs;
  else return undefined;
  for (const pair of pairs) {
    const [name, value] = pair;
    if (pair.length !== 2 || typeof name !== "string" || typeof value !== "string") return undefined;
    if (!NAME.test(name) || !VALUE.test(value)) return undefined;
  }
  return pairs;
}

function needsType(body: string | Uint8Array | null, pairs: HeaderPairs): boolean {
  return typeof body === "string" && !pairs.some(isContentType);
}

function hasLength(headers: readonly string[]): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!;
    if (name.length === 14 && name.toLowerCase() === "content-length") return true;
  }
  return false;
}

function isContentType([name]: readonly [string, string]): boolean {
  return name.length === 12 && name.toLowerCase() === "content-type";
}

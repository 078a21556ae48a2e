// HOT
/**
 * A light `Response`: what almost every fetch application makes, a string or bytes with a status and headers, kept as
 * it was given and sent without a stream. The runtime's own Response is made only when something needs more of it
 * (`body`, `clone()`, `text()`), and at once for every other kind of body and for whatever it would refuse.
 * `instanceof Response` holds either way. Node's own costs 17 µs, half of a small request.
 */
import { isFieldName, isFieldValue } from "../cgi/response-head.ts";
import { closedStream, spend } from "./body-stream.ts";
import { LEAST_BYTES, takeMemory } from "./spare-memory.ts";

let NativeResponse: typeof Response; // see makeLight

type Body = ConstructorParameters<typeof Response>[0];
/** Name, value, name, value. */
type HeaderList = readonly string[];

/** What the adapter sends. */
export interface LightParts {
  readonly body: string | Uint8Array | null;
  readonly headers: HeaderList;
  /** Whether the memory of the body is spare as soon as it is sent. */
  readonly isSpare: boolean;
}

class LightResponse {
  #body: string | Uint8Array | null;
  readonly #status: number;
  readonly #statusText: string;
  readonly #list: HeaderList;
  #headers: Headers | undefined = undefined;
  #native: Response | undefined = undefined;
  #isGone = false; // whether the bytes were sent

  constructor(body?: Body, init?: ResponseInit) {
    const list = flatHeaders(init?.headers);
    const status = init?.status ?? 200;
    const statusText = init?.statusText ?? "";
    const hasBody = body !== null && body !== undefined;
    const isLight =
      (!hasBody || typeof body === "string" || body instanceof Uint8Array) &&
      list !== undefined &&
      Number.isInteger(status) &&
      status >= 200 &&
      status <= 599 &&
      (!hasBody || (status !== 204 && status !== 205 && status !== 304)) &&
      isFieldValue(statusText);
    // Anything else is the native one's to take apart, or to refuse with its own error.
    if (!isLight) this.#native = new NativeResponse(body, init);
    if (!isLight || !hasBody) this.#body = null;
    else this.#body = typeof body === "string" ? body : copyOf(body as Uint8Array);
    this.#status = status;
    this.#statusText = statusText;
    this.#list = list ?? NO_HEADERS;
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
      this.#native = this.#isGone ? usedResponse(init) : new NativeResponse(this.#body as Body, init);
      this.#headers = this.#native.headers;
      this.#body = null;
    }
    return this.#native;
  }

  /** @internal what to send, while nobody has needed the native one */
  static parts(response: LightResponse): LightParts | undefined {
    if (response.#native !== undefined || response.#isGone) return undefined;
    const body = response.#body;
    if (response.#headers !== undefined) {
      const headers: string[] = [];
      for (const [name, value] of response.#headers) headers.push(name, value);
      return response.#partsWith(body, headers, false);
    }
    return response.#partsWith(body, response.#list.slice(), typeof body === "string");
  }

  #partsWith(body: string | Uint8Array | null, headers: string[], mayNeedType: boolean): LightParts {
    const given = headers.length;
    if (mayNeedType && indexOf(headers, given, TYPE) < 0) headers.push(TYPE, TEXT);
    // A length tells the client a whole body from a cut one, and saves the web server its chunks.
    if (body !== null && indexOf(headers, given, LENGTH) < 0) {
      headers.push(LENGTH, String(typeof body === "string" ? Buffer.byteLength(body) : body.length));
    }
    const isSpare = typeof body === "object" && body !== null && body.length >= LEAST_BYTES;
    // The memory is about to be used again: from now on this is a response whose body was used.
    if (body instanceof Uint8Array) this.#giveAway();
    return { body, headers, isSpare };
  }

  /** Bytes can be sent once, as the standard has it of every body. */
  #giveAway(): void {
    this.#body = null;
    this.#isGone = true;
  }

  #makeHeaders(): Headers {
    const headers = new Headers();
    const list = this.#list;
    for (let at = 0; at < list.length; at += 2) headers.append(list[at]!, list[at + 1]!);
    if (typeof this.#body === "string" && indexOf(list, list.length, TYPE) < 0) headers.set(TYPE, TEXT);
    return headers;
  }

  static json(data: unknown, init?: ResponseInit): Response {
    // undefined and functions have no JSON: the native one says so.
    const text = JSON.stringify(data);
    const list = flatHeaders(init?.headers);
    if (text === undefined || list === undefined) return NativeResponse.json(data, init);
    const headers: [string, string][] = [];
    for (let at = 0; at < list.length; at += 2) headers.push([list[at]!, list[at + 1]!]);
    if (indexOf(list, list.length, TYPE) < 0) headers.push([TYPE, "application/json"]);
    return new LightResponse(text, { ...init, headers }) as unknown as Response;
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
  return Light;
}

/** What `makeLight` gives, for who wants to know one when he sees it. */
export const Light: typeof Response = LightResponse as unknown as typeof Response;

/** What to send of a response made by {@link Light}; undefined for every other one, which is streamed. */
export function lightParts(response: Response): LightParts | undefined {
  // Only instances have the private fields; a look at the constructor is cheaper than a failed `#x in`.
  return response.constructor === LightResponse
    ? LightResponse.parts(response as unknown as LightResponse)
    : undefined;
}

const TYPE = "content-type";
const LENGTH = "content-length";
const TEXT = "text/plain;charset=UTF-8";
const NO_HEADERS: HeaderList = [];

/** Headers given as a plain object or pairs, all of them valid as they stand; undefined: let the native class see to them. */
function flatHeaders(headers: ResponseInit["headers"]): HeaderList | undefined {
  if (headers === undefined) return NO_HEADERS;
  const list: string[] = [];
  if (Array.isArray(headers)) {
    for (const pair of headers as unknown as readonly string[][]) {
      if (pair.length !== 2 || !isPlain(pair[0], pair[1])) return undefined;
      list.push(pair[0]!, pair[1]!);
    }
  } else {
    if (Object.getPrototypeOf(headers) !== Object.prototype) return undefined;
    const given = headers as unknown as Record<string, unknown>;
    for (const name of Object.keys(given)) {
      const value = given[name];
      if (!isPlain(name, value)) return undefined;
      list.push(name, value as string);
    }
  }
  return list;
}

/** Whether Headers would take both as they are: without white space at the ends of the value. */
function isPlain(name: unknown, value: unknown): boolean {
  if (typeof name !== "string" || typeof value !== "string") return false;
  if (!isFieldName(name) || !isFieldValue(value)) return false;
  return (
    value.length === 0 || (!isSpace(value.charCodeAt(0)) && !isSpace(value.charCodeAt(value.length - 1)))
  );
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Where a header is among the first `end` entries, or -1; `wanted` in lower case. */
function indexOf(list: HeaderList, end: number, wanted: string): number {
  for (let at = 0; at < end; at += 2) {
    const name = list[at]!;
    if (name.length === wanted.length && name.toLowerCase() === wanted) return at;
  }
  return -1;
}

/** Bytes are copied, as the native one does: whoever made them may use their memory again. */
function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length < LEAST_BYTES) return new Uint8Array(bytes);
  const copy = takeMemory(bytes.length);
  copy.set(bytes);
  return copy;
}

/** What is left of a response whose bytes were sent. */
function usedResponse(init: ResponseInit): Response {
  const response = new NativeResponse(closedStream(), init);
  spend(response.body!);
  return response;
}

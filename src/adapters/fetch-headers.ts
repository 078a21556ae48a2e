// HOT
/**
 * The headers of a fetch request. Most applications ask for two or three of them by name, and to fill the runtime's own
 * Headers takes 5 µs. So `get` and `has` look into the list as the parameters have it; for everything else the runtime's own
 * is made, which is the truth from then on. `instanceof Headers` holds.
 */
import { rawHeaders } from "../cgi/environ.ts";
import { isFieldName } from "../cgi/response-head.ts";
import type { Exchange } from "../server/exchange.ts";
import { CAN_TELL } from "./body-stream.ts";

/** Name, value, name, value; names in lower case. */
type HeaderList = readonly string[];

/** `util.inspect.custom`. */
const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

class LightHeaders {
  readonly #list: HeaderList;
  #native: Headers | undefined = undefined;

  constructor(list: HeaderList) {
    this.#list = list;
  }

  get(name: string): string | null {
    // What is no name is the native one's to refuse, and of set-cookie it alone knows.
    if (this.#native !== undefined || typeof name !== "string" || !isFieldName(name)) {
      return LightHeaders.nativeOf(this).get(name);
    }
    const list = this.#list;
    const wanted = name.toLowerCase();
    let found: string | null = null;
    for (let at = 0; at < list.length; at += 2) {
      if (list[at] !== wanted) continue;
      const value = trimmed(list[at + 1]!);
      found = found === null ? value : `${found}${wanted === "cookie" ? "; " : ", "}${value}`;
    }
    return found;
  }

  has(name: string): boolean {
    if (this.#native !== undefined || typeof name !== "string" || !isFieldName(name)) {
      return LightHeaders.nativeOf(this).has(name);
    }
    const list = this.#list;
    const wanted = name.toLowerCase();
    for (let at = 0; at < list.length; at += 2) if (list[at] === wanted) return true;
    return false;
  }

  forEach(visit: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
    const native = LightHeaders.nativeOf(this);
    if (typeof visit !== "function") native.forEach(visit); // which refuses it
    native.forEach((value, name) => {
      visit.call(self, value, name, this as unknown as Headers);
    });
  }

  [INSPECT](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    return inspect(LightHeaders.nativeOf(this), options);
  }

  static nativeOf(headers: LightHeaders): Headers {
    headers.#native ??= nativeHeaders(headers.#list);
    return headers.#native;
  }
  /** For one that is to have a life of its own. */
  static copyOf(headers: LightHeaders): Headers {
    return headers.#native ?? nativeHeaders(headers.#list);
  }
  static isUntouched(headers: LightHeaders): boolean {
    return headers.#native === undefined;
  }
}

for (const name of [
  "append",
  "delete",
  "entries",
  "getSetCookie",
  "keys",
  "set",
  "values",
  Symbol.iterator,
] as const) {
  Object.defineProperty(LightHeaders.prototype, name, {
    value(this: LightHeaders, ...given: unknown[]): unknown {
      const native = LightHeaders.nativeOf(this) as unknown as Record<
        PropertyKey,
        (...given: unknown[]) => unknown
      >;
      return native[name]!(...given);
    },
    writable: true,
    configurable: true,
  });
}

/** Lets `instanceof` hold. Not at import, for the reason that `useNatives` gives. */
export function useNativeHeaders(native: typeof Headers): void {
  Object.setPrototypeOf(LightHeaders.prototype, native.prototype);
  Object.defineProperty(LightHeaders.prototype, "constructor", {
    value: native,
    writable: true,
    configurable: true,
  });
}

/**
 * The headers of a request. Outside Node they are the runtime's own: those are fast there, and look into each other.
 * @throws {RemoteProtocolError} `ERR_POSTERN_HEADER_INVALID`
 */
export function requestHeaders({ params }: Exchange): Headers {
  const list = rawHeaders(params);
  return CAN_TELL ? (new LightHeaders(list) as unknown as Headers) : nativeHeaders(list);
}

/** The runtime's own Headers with what is in those of {@link requestHeaders}, for who copies them. */
export function unwrapHeaders(headers: Headers): Headers {
  return headers instanceof LightHeaders ? LightHeaders.copyOf(headers) : headers;
}

/** Whether nobody can have changed them. */
export function areUntouched(headers: Headers): boolean {
  return headers instanceof LightHeaders && LightHeaders.isUntouched(headers);
}

function nativeHeaders(list: HeaderList): Headers {
  const headers = new Headers();
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at]!;
    // Deno would put a comma between cookies, where nothing takes them apart.
    if (name === "cookie" && headers.has(name)) headers.set(name, `${headers.get(name)}; ${list[at + 1]}`);
    else headers.append(name, list[at + 1]!);
  }
  return headers;
}

/** Without the white space at its ends, which is no part of a value. RFC 9110 §5.5. */
function trimmed(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

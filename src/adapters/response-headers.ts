// HOT
/**
 * The names of response headers, each looked at once, and `response.setHeader` built on that. node:http's own makes the
 * lower-case name anew for each header, and V8 then searches for it among its property names: the dearest thing that a
 * small response did. Errors, and whatever is not plainly ordinary, are left to node:http's own.
 */

import { OutgoingMessage, type ServerResponse } from "../base/node-http.ts";
import { asPropertyName } from "../base/text.ts";
import { isToken } from "../cgi/environ.ts";
import { isSetHeaderKnown, outHeaders, type ResponseInternals } from "./http-internals.ts";

/** What a response keeps for each header that was set, under its lower-case name: the name as given, and the value. */
export type SetHeaders = Record<string, readonly [name: string, value: unknown]>;

/** Most names remembered; an application that invents more gets them checked each time. */
const MAX_NAMES = 512;
/** Longest name remembered, in characters. */
const MAX_NAME = 64;
const lowerNames = new Map<string, string>();

/** The lower-case form of a header name, or "" for what is none. */
export function lowerName(name: string): string {
  return lowerNames.get(name) ?? learnName(name);
}

function learnName(name: string): string {
  const lower = isToken(name) ? name.toLowerCase() : "";
  if (lowerNames.size >= MAX_NAMES || name.length > MAX_NAME || lower === "") return lower;
  const known = asPropertyName(lower);
  lowerNames.set(asPropertyName(name), known);
  return known;
}

/** What no header value may hold, where node:http is strict. */
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/;

/** Whether a header may have this text as its value. */
export function isHeaderText(value: string): boolean {
  return !FORBIDDEN.test(value);
}

/**
 * What the headers that were set are kept in: without a prototype's names, like node:http's own `{ __proto__: null }`,
 * but an object with a hidden class, where that is a dictionary, six times as slow to fill and to walk through.
 */
const Bare = function (this: object): void {} as unknown as new () => SetHeaders;
Bare.prototype = Object.create(null);

type Response = ServerResponse & ResponseInternals & Record<symbol, SetHeaders | null>;

const plainSetHeader: unknown = OutgoingMessage.prototype.setHeader;

/** Stands in for OutgoingMessage#setHeader, as an own property: frameworks replace the prototypes of responses. */
export function setHeader(this: ServerResponse, name: unknown, value: unknown): ServerResponse {
  const response = this as Response;
  const lower = lowerNames.get(name as string);
  const isPlain = typeof value === "string" ? !FORBIDDEN.test(value) : typeof value === "number";
  const inherited: unknown = Object.getPrototypeOf(this).setHeader;
  if (lower === undefined || !isPlain || inherited !== plainSetHeader || response._header) {
    if (typeof name === "string") lowerName(name);
    const own = inherited === setHeader ? plainSetHeader : inherited; // `this` was made of a response by Object.create
    return (own as ServerResponse["setHeader"]).call(this, name as string, value as string);
  }
  let headers = response[outHeaders!]!;
  if (headers === null) {
    headers = new Bare();
    response[outHeaders!] = headers;
  }
  headers[lower] = [name as string, value];
  return this;
}

/** Undefined where nobody knows what this runtime's own does. */
export const ownSetHeader: typeof setHeader | undefined = isSetHeaderKnown ? setHeader : undefined;

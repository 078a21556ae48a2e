/** What a request resolves to: the head, and the body still to come. */
import type { Readable } from "node:stream";
import type { ResponseHead } from "../cgi/response-head.ts";
import type { ProtocolStatus } from "../protocol/records.ts";

/** How a request ended: the two fields of END_REQUEST. */
export interface RequestEnd {
  /** 0..4294967295; by convention 0 when all went well. */
  readonly appStatus: number;
  readonly protocolStatus: ProtocolStatus;
}

/** The answer to one request. */
export class ClientResponse {
  /** 101..999; 302 for Location alone; 200 when the application named neither. */
  readonly status: number;
  /** The reason phrase the application gave; may be empty. */
  readonly statusText: string;
  /** The path, when the application asks for an internal redirect: Location without Status. RFC 3875 §6.2.2. */
  readonly localRedirect: string | undefined;
  /** Names and values in turn, as sent, duplicates included; Status left out. Latin1. */
  readonly headers: readonly string[];
  /**
   * Read it to the end, or destroy it: until then it holds its connection. Fails with `ERR_POSTERN_RESPONSE_CUT` when
   * the application did not finish it. Empty for HEAD, 204 and 304, whatever the application sent.
   */
  readonly body: Readable;
  /** Resolves when END_REQUEST has come; rejects when it will not. Need not be looked at. */
  readonly ended: Promise<RequestEnd>;
  readonly #stderr: () => string;

  /** @internal */
  constructor(head: ResponseHead, body: Readable, ended: Promise<RequestEnd>, stderr: () => string) {
    this.status = head.status;
    this.statusText = head.reason;
    this.localRedirect = head.localRedirect;
    this.headers = head.headers;
    this.body = body;
    this.ended = ended;
    this.#stderr = stderr;
  }

  /** What the application has written to STDERR so far, at most `maxStderrBytes`. */
  get stderr(): string {
    return this.#stderr();
  }

  /** The value of a field, case-insensitive, the first one when there are several. */
  header(name: string): string | undefined {
    return fieldValues(this.headers, name)[0];
  }

  /** Every value of a field, case-insensitive, in order. */
  headerValues(name: string): string[] {
    return fieldValues(this.headers, name);
  }
}

/** Values of a field in a flat list of names and values. */
export function fieldValues(headers: readonly string[], name: string): string[] {
  const wanted = name.toLowerCase();
  const values: string[] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]!.toLowerCase() === wanted) values.push(headers[index + 1]!);
  }
  return values;
}

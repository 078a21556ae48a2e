/**
 * What may not be shown or kept of a request: who is logged in, and with which password. Shown as its length, recorded as
 * as many x's. Bodies and URLs are not looked into: who records, records them.
 */
import { RecordType } from "../../protocol/records.ts";
import { type CutRecord, RecordCutter } from "./cutter.ts";

/** Of parameters, without HTTP_ and what a redirect puts before it. */
const SECRET_PARAMS: ReadonlySet<string> = new Set([
  "AUTHORIZATION",
  "COOKIE",
  "COOKIE2",
  "PROXY_AUTHORIZATION",
  "X_API_KEY",
  "SET_COOKIE",
  "REMOTE_PASSWD",
  "AUTH_PASSWORD",
  "PHP_AUTH_PW",
  "PHP_AUTH_DIGEST",
]);

/** Of answers, in lower case. */
const SECRET_HEADERS: ReadonlySet<string> = new Set([
  "set-cookie",
  "set-cookie2",
  "authorization",
  "proxy-authorization",
  "cookie",
  "x-api-key",
]);

/** The longest name that is looked at; no secret one is longer, with what may stand before it. */
const NAME_CHARACTERS = 128;

/** Whether the value of a parameter is a secret. */
export function isSecretParam(name: string): boolean {
  return SECRET_PARAMS.has(name.replace(/^(?:REDIRECT_)*(?:HTTP_)?/, ""));
}

/** Whether the value of a header is a secret; any case. */
export function isSecretHeader(name: string): boolean {
  return SECRET_HEADERS.has(name.toLowerCase());
}

/** What is shown in place of a secret. */
export function hidden(value: string): string {
  return `…(${value.length} bytes)`;
}

const X = 0x78;
const COLON = 0x3a;
const LF = 0x0a;
const CR = 0x0d;

// Where a stream of pairs stands.
const NAME_LENGTH = 0;
const VALUE_LENGTH = 1;
const NAME = 2;
const VALUE = 3;

/** One stream of pairs, cut anywhere: secret values become x's in place. */
class PairsBlinder {
  #state = NAME_LENGTH;
  #length = 0; // being read
  #lengthLeft = 0; // bytes of a long length still to come
  #nameLeft = 0;
  #valueLeft = 0;
  #name = "";
  #isSecret = false;

  blind(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#state === NAME) {
        const stop = Math.min(at + this.#nameLeft, end);
        if (this.#name.length < NAME_CHARACTERS) this.#name += bytes.toString("latin1", at, stop);
        this.#nameLeft -= stop - at;
        at = stop;
        if (this.#nameLeft === 0) this.#beginValue();
      } else if (this.#state === VALUE) {
        const stop = Math.min(at + this.#valueLeft, end);
        if (this.#isSecret) bytes.fill(X, at, stop);
        this.#valueLeft -= stop - at;
        at = stop;
        if (this.#valueLeft === 0) this.#state = NAME_LENGTH;
      } else {
        this.#takeLength(bytes[at++]!);
      }
    }
  }

  #takeLength(byte: number): void {
    if (this.#lengthLeft > 0) {
      this.#length = this.#length * 256 + byte;
      if (--this.#lengthLeft > 0) return;
    } else if (byte >= 0x80) {
      this.#length = byte & 0x7f;
      this.#lengthLeft = 3;
      return;
    } else {
      this.#length = byte;
    }
    if (this.#state === NAME_LENGTH) {
      this.#nameLeft = this.#length;
      this.#state = VALUE_LENGTH;
      return;
    }
    this.#valueLeft = this.#length;
    this.#name = "";
    this.#state = NAME;
    if (this.#nameLeft === 0) this.#beginValue();
  }

  #beginValue(): void {
    this.#isSecret = isSecretParam(this.#name);
    this.#state = this.#valueLeft > 0 ? VALUE : NAME_LENGTH;
  }
}

/** The header block at the start of one STDOUT stream: the same. */
class HeadBlinder {
  #name = "";
  #isValue = false;
  #isSecret = false;
  #isBlank = true; // nothing on this line yet
  #isStatus = false;
  #isInterim = false;
  #isOver = false;

  blind(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end && !this.#isOver; at++) {
      const byte = bytes[at]!;
      if (byte === LF) {
        // An interim answer is followed by another block.
        if (this.#isBlank) {
          this.#isOver = !this.#isInterim;
          this.#isInterim = false;
        }
        this.#name = "";
        this.#isValue = false;
        this.#isSecret = false;
        this.#isBlank = true;
      } else if (byte !== CR) {
        this.#isBlank = false;
        if (this.#isValue) this.#takeValue(bytes, at, byte);
        else if (byte === COLON) {
          this.#isValue = true;
          this.#isSecret = isSecretHeader(this.#name);
          this.#isStatus = this.#name.toLowerCase() === "status";
        } else if (this.#name.length < NAME_CHARACTERS) this.#name += String.fromCharCode(byte);
      }
    }
  }

  #takeValue(bytes: Buffer, at: number, byte: number): void {
    if (this.#isSecret && byte !== 0x20) bytes[at] = X;
    if (this.#isStatus && byte !== 0x20) {
      this.#isInterim = byte === 0x31; // 1xx
      this.#isStatus = false;
    }
  }
}

/** Blinds the bytes of one direction of a connection, piece by piece. Their number stays the same. */
export class Blinder {
  readonly #cutter: RecordCutter;
  readonly #pairs = new Map<number, PairsBlinder>();
  readonly #heads = new Map<number, HeadBlinder>();
  #record: CutRecord | undefined;

  constructor() {
    this.#cutter = new RecordCutter({
      onRecord: (record) => this.#open(record),
      onContent: (chunk, start, end) => this.#content(chunk, start, end),
      onRecordEnd: () => {},
    });
  }

  /** @returns a copy, without secrets */
  push(chunk: Buffer): Buffer {
    const copy = Buffer.from(chunk);
    this.#cutter.push(copy);
    return copy;
  }

  #open(record: CutRecord): void {
    this.#record = record;
    const { type, requestId } = record;
    if (type === RecordType.BeginRequest) this.#pairs.set(requestId, new PairsBlinder());
    if (type === RecordType.Params && record.contentLength === 0) this.#pairs.delete(requestId);
    if (type === RecordType.EndRequest) this.#heads.delete(requestId);
  }

  #content(chunk: Buffer, start: number, end: number): void {
    const { type, requestId } = this.#record!;
    if (type === RecordType.Params) this.#pairs.get(requestId)?.blind(chunk, start, end);
    else if (type === RecordType.Stdout) {
      let head = this.#heads.get(requestId);
      if (head === undefined) {
        head = new HeadBlinder();
        this.#heads.set(requestId, head);
      }
      head.blind(chunk, start, end);
    }
  }
}

/**
 * Reads the HTTP answer that an application writes by itself onto the socket of an upgrade: the 101 of `ws`, the
 * refusals of everybody, whole responses of a ServerResponse that was given this socket. It takes HTTP's framing away,
 * since FastCGI has its own. Pure: what it finds goes to the sink.
 *
 *     HEAD ──101──> TUNNEL   what follows is not ours to read
 *       ├──other 1xx: dropped──> HEAD
 *       └──any other──> BODY, counted, in chunks or up to the end ──> WHOLE, the rest is dropped
 */
import { AppError } from "../base/errors.ts";
import { clip, escapeControls } from "../base/text.ts";
import { hasNoBody, MAX_HEAD_BYTES } from "../cgi/response-head.ts";

/** Takes an answer apart. */
export interface AnswerSink {
  /** The header block of a final answer, or of a 101. @param headers name, value, name, value */
  onHead(status: number, reason: string, headers: readonly string[]): void;
  onBody(piece: Buffer): void;
  /** The answer is complete by its own account. */
  onWhole(): void;
}

type State =
  | "head"
  | "tunnel"
  | "counted"
  | "open"
  | "chunk-size"
  | "chunk"
  | "chunk-end"
  | "trailer"
  | "whole";

/** Longest line of chunk framing, in characters. */
const MAX_LINE = 16384;

export class RawAnswer {
  readonly #sink: AnswerSink;
  readonly #method: string;
  #state: State = "head";
  #text = ""; // of a head, or of a line of chunk framing, that is not complete
  #left = 0; // bytes of the body, or of its chunk

  /** @param method of the request: an answer to HEAD has no body */
  constructor(sink: AnswerSink, method: string) {
    this.#sink = sink;
    this.#method = method;
  }

  /** Whether nothing was written but perhaps the beginning of a head. */
  get isHeadless(): boolean {
    return this.#state === "head";
  }

  /** Whether the answer may end here: it is complete, or its end is that of the connection. */
  get mayEnd(): boolean {
    return this.#state === "whole" || this.#state === "open";
  }

  /**
   * Takes what was written.
   * @returns the bytes behind a 101: the first of the tunnel
   * @throws {AppError} ERR_POSTERN_RESPONSE_HEAD: that is no HTTP; ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE
   */
  push(bytes: Buffer): Buffer | undefined {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case "head": {
          at = this.#pushHead(bytes, at);
          if ((this.#state as State) === "tunnel") return bytes.subarray(at);
          break;
        }
        case "open":
          this.#sink.onBody(at === 0 ? bytes : bytes.subarray(at));
          return undefined;
        case "counted":
        case "chunk": {
          const size = Math.min(this.#left, bytes.length - at);
          this.#sink.onBody(bytes.subarray(at, at + size));
          at += size;
          this.#left -= size;
          if (this.#left > 0) break;
          if (this.#state === "counted") this.#finish();
          else this.#state = "chunk-end";
          break;
        }
        case "chunk-size":
        case "chunk-end":
        case "trailer":
          at = this.#pushLine(bytes, at);
          break;
        default:
          return undefined;
      }
    }
    return undefined;
  }

  /** Returns where the head has ended in `bytes`. */
  #pushHead(bytes: Buffer, at: number): number {
    const before = this.#text.length;
    this.#text += bytes.toString("latin1", at);
    const end = /\r?\n\r?\n/.exec(this.#text);
    if (end === null) {
      this.#checkSize(this.#text.length);
      return bytes.length;
    }
    this.#checkSize(end.index);
    const head = this.#text.slice(0, end.index);
    this.#text = "";
    this.#onHead(head);
    return at + end.index + end[0].length - before;
  }

  #checkSize(characters: number): void {
    if (characters <= MAX_HEAD_BYTES) return;
    throw new AppError(
      "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE",
      `the answer to an upgrade has a head of more than ${MAX_HEAD_BYTES} bytes`,
    );
  }

  #onHead(head: string): void {
    const [first = "", ...lines] = head.split(/\r?\n/);
    const found = /^HTTP\/1\.\d ([1-9]\d\d)(?: (.*))?$/.exec(first);
    if (found === null) throw notHttp(first);
    const status = Number(found[1]);
    const headers: string[] = [];
    let length = -1;
    let isChunked = false;
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon <= 0) throw notHttp(line);
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).trim();
      if (/^content-length$/i.test(name)) length = /^\d{1,15}$/.test(value) ? Number(value) : -1;
      if (/^transfer-encoding$/i.test(name)) isChunked = /\bchunked$/i.test(value);
      headers.push(name, value);
    }
    if (status === 101) this.#state = "tunnel";
    else if (status < 200) return; // 100, 102, 103: no web server relays them soundly
    // A 101 has no body, and of two lengths the chunks count: whoever relays an answer must not pass on the other.
    if (status === 101 || isChunked) dropHeader(headers, /^content-length$/i);
    this.#sink.onHead(status, found[2] ?? "", headers);
    if (this.#state === "tunnel") return;
    if (hasNoBody(this.#method, status) || (length === 0 && !isChunked)) this.#finish();
    else if (isChunked) this.#state = "chunk-size";
    else if (length > 0) {
      this.#state = "counted";
      this.#left = length;
    } else this.#state = "open";
  }

  /** Takes a line of chunk framing. Returns where the next begins in `bytes`. */
  #pushLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(10, at);
    this.#text += bytes.toString("latin1", at, end < 0 ? bytes.length : end);
    if (this.#text.length > MAX_LINE) throw notHttp(this.#text);
    if (end < 0) return bytes.length;
    const line = this.#text.trimEnd();
    this.#text = "";
    if (this.#state === "chunk-end") {
      if (line !== "") throw notHttp(line);
      this.#state = "chunk-size";
    } else if (this.#state === "trailer") {
      if (line === "") this.#finish();
    } else {
      const [size = ""] = line.split(";");
      if (!/^[\da-f]{1,8}$/i.test(size.trim())) throw notHttp(line);
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailer" : "chunk";
    }
    return end + 1;
  }

  #finish(): void {
    this.#state = "whole";
    this.#sink.onWhole();
  }
}

function dropHeader(headers: string[], name: RegExp): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) if (name.test(headers[at]!)) headers.splice(at, 2);
}

function notHttp(line: string): AppError {
  return new AppError(
    "ERR_POSTERN_RESPONSE_HEAD",
    `what was written to the socket of an upgrade is no HTTP answer: "${escapeControls(clip(line, 80))}"`,
  );
}

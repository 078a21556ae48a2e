/**
 * One request of a load: what is sent, and what became of it. Lanes send it and fill it in; the schedule times it; the
 * tally counts it.
 */
import { explainConnect } from "../../client/connect.ts";

/** Why a connection failed, in words. */
export function connectFault(error: NodeJS.ErrnoException, isUnix: boolean): string {
  const code = error.code ?? error.message;
  if (code === "EMFILE" || code === "ENFILE")
    return `no file descriptor is left (${code}); raise the limit (ulimit -n), or ask for fewer --connections`;
  if (code === "EAGAIN")
    return "the queue of the socket is full (EAGAIN): the application accepts no faster; ask for fewer --connections, or raise its backlog";
  return explainConnect(code, isUnix);
}

/** What is sent, the same each time. */
export interface Shot {
  readonly method: string;
  /** Names and values of FastCGI parameters, latin1. */
  readonly params: readonly (readonly [name: string, value: string])[];
  /** Of the HTTP request: path with its query, and fields, names and values in turn. */
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
}

/** Why an answer does not count as one. */
export type FaultKind =
  | "connect"
  | "timeout"
  | "closed"
  | "protocol"
  | "refused"
  | "status"
  | "length"
  | "body"
  | "app status";

export interface Fault {
  readonly kind: FaultKind;
  /** One sentence without its full stop. */
  readonly says: string;
}

/** What an answer must be. */
export interface Expectation {
  /** Any that does not say 4xx or 5xx, when absent. */
  readonly status: number | undefined;
  /** Absent: only its length is held against what the answer announces. */
  readonly body: Buffer | undefined;
}

/** One request under way. A lane calls the methods in their order; exactly one of `succeed` and `fail` ends it. */
export class Exchange {
  readonly expected: Expectation;
  /** When it was to be sent, and when it was, in ms of `performance.now`. */
  readonly dueAt: number;
  sentAt = 0;
  firstByteAt = 0;
  endedAt = 0;
  status = 0;
  /** Of the body. */
  bytes = 0;
  fault: Fault | undefined = undefined;
  /** Gathered only while nothing is known of what to expect. */
  readonly body: Buffer[] | undefined;
  readonly #onEnd: (exchange: Exchange) => void;
  #isSame = true;
  #isOver = false;

  constructor(dueAt: number, expected: Expectation, onEnd: (exchange: Exchange) => void, keepsBody = false) {
    this.dueAt = dueAt;
    this.expected = expected;
    this.#onEnd = onEnd;
    this.body = keepsBody ? [] : undefined;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** A piece of the body; only lent. */
  take(chunk: Buffer, start: number, end: number): void {
    const { body } = this.expected;
    if (body !== undefined && this.#isSame) {
      const until = this.bytes + end - start;
      this.#isSame = until <= body.length && chunk.compare(body, this.bytes, until, start, end) === 0;
    }
    this.bytes += end - start;
    if (this.body !== undefined) this.body.push(Buffer.from(chunk.subarray(start, end)));
  }

  /** The answer is whole by its protocol. @param announced its Content-Length, if it has one and a body */
  succeed(announced: number | undefined, appStatus: number): void {
    this.#end(this.#judge(announced, appStatus));
  }

  fail(kind: FaultKind, says: string): void {
    this.#end({ kind, says });
  }

  #judge(announced: number | undefined, appStatus: number): Fault | undefined {
    const { status, body } = this.expected;
    if (status === undefined ? this.status >= 400 : this.status !== status) {
      const wanted = status === undefined ? "below 400" : String(status);
      return { kind: "status", says: `status ${this.status}, expected ${wanted}` };
    }
    if (appStatus !== 0) return { kind: "app status", says: `application status ${appStatus}` };
    if (announced !== undefined && announced !== this.bytes) {
      return { kind: "length", says: `${this.bytes} bytes, Content-Length says ${announced}` };
    }
    if (body !== undefined && !(this.#isSame && this.bytes === body.length)) {
      return {
        kind: "body",
        says: `another body than expected: ${this.bytes} bytes, expected ${body.length}`,
      };
    }
    return undefined;
  }

  #end(fault: Fault | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.fault = fault;
    this.endedAt = performance.now();
    this.#onEnd(this);
  }
}

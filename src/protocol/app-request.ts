// HOT
/**
 * One request of a connection, from its BEGIN_REQUEST to its END_REQUEST, and where its input goes. Only
 * AppConnection changes it; the states are drawn there.
 */
import { type ErrorCode, RemoteProtocolError } from "../base/errors.ts";
import { Params } from "./params.ts";
import { HEADER_BYTES, RecordType, Role, VERSION } from "./records.ts";

/** Takes the input of one request. Chunks are only lent: copy what must outlive the call. */
export interface RequestSink {
  onStdin(chunk: Buffer, start: number, end: number): void;
  /** STDIN is complete; of an authorizer, directly after `onRequest`. */
  onStdinEnd(): void;
  /** FCGI_DATA, for filters only. */
  onData(chunk: Buffer, start: number, end: number): void;
  onDataEnd(): void;
  /** The web server gave up on the request: END_REQUEST is already queued, whatever is written now is dropped. */
  onAbort(error: RemoteProtocolError): void;
}

// The states of a request.
/** @internal */ export const PARAMS = 0;
/** @internal */ export const RUNNING = 1;
/** @internal */ export const REFUSED = 2;
/** @internal */ export const GONE = 3;

/** Params of a refused request that are skipped, beyond those allowed, before the connection is given up. */
const MAX_SKIPPED_PARAMS_BYTES = 1 << 20;

/** Pieces a params text may consist of: each takes 32 bytes of its own, and a piece may be one byte. */
const FLATTEN_PIECES = 1024;

const NO_PARAMS = Params.from([]);

/** Drops everything: the sink of requests that are not running. @internal */
export const deaf: RequestSink = {
  onStdin(): void {},
  onStdinEnd(): void {},
  onData(): void {},
  onDataEnd(): void {},
  onAbort(): void {},
};

/** One request of a connection, from its BEGIN_REQUEST to its END_REQUEST. Written to by AppConnection only. */
export class AppRequest {
  /** 1..65535, unique among the open requests of the connection. */
  readonly id: number;
  readonly role: Role;
  /** Whether the web server asked to keep the connection open afterwards. */
  readonly keepConn: boolean;
  /** The parameters; empty before they are complete. */
  params: Params = NO_PARAMS;
  /** @internal */ state: number = PARAMS;
  /** @internal */ paramsText = "";
  /** @internal Since when its PARAMS are waited for, ms; 0 before anybody looked. */ waitingSince = 0;
  /** @internal */ paramsBytes = 0; // received, skipped ones included
  /** @internal */ paramsPieces = 0;
  /** @internal */ error: RemoteProtocolError | undefined = undefined; // why it was refused or lost
  /** @internal */ stdinEnded: boolean;
  /** @internal */ dataEnded: boolean;
  /** @internal */ sink: RequestSink = deaf;
  /** @internal */ readsOn = false; // gone, and its sink still takes input
  /** @internal */ hasStdout = false;
  /** @internal */ hasStderr = false;

  constructor(id: number, role: Role, keepConn: boolean) {
    this.id = id;
    this.role = role;
    this.keepConn = keepConn;
    this.stdinEnded = role === Role.Authorizer;
    this.dataEnded = role !== Role.Filter;
  }

  /** Whether all the input of the role has ended: nothing more of this request is to come. */
  get inputEnded(): boolean {
    return this.stdinEnded && this.dataEnded;
  }

  /** Whether END_REQUEST has been queued: nothing can be written any more. */
  get isGone(): boolean {
    return this.state === GONE;
  }

  /**
   * Takes a piece of PARAMS.
   * @internal
   * @throws {RemoteProtocolError} scope connection: refused, and far too many still came
   */
  addParams(chunk: Buffer, start: number, end: number, maxBytes: number): void {
    this.paramsBytes += end - start;
    if (this.state === PARAMS) {
      if (this.paramsBytes <= maxBytes) {
        this.paramsText += chunk.toString("latin1", start, end);
        if (++this.paramsPieces % FLATTEN_PIECES === 0) flatten(this.paramsText);
        return;
      }
      this.refuse(
        "ERR_POSTERN_PARAMS_TOO_LARGE",
        `parameters of request ${this.id} exceed ${maxBytes} bytes`,
      );
    }
    if (this.state === REFUSED && this.paramsBytes > maxBytes + MAX_SKIPPED_PARAMS_BYTES) {
      const { code, message } = this.error!;
      throw new RemoteProtocolError(code, `${message}, and kept coming`, "connection");
    }
  }

  /** Whether `chunk[at..end)` starts with the header of the record that ends its STDIN. @internal */
  isStdinEnd(chunk: Buffer, at: number, end: number): boolean {
    return (
      end - at >= HEADER_BYTES &&
      chunk[at] === VERSION &&
      chunk[at + 1] === RecordType.Stdin &&
      ((chunk[at + 2]! << 8) | chunk[at + 3]!) === this.id &&
      chunk[at + 4] === 0 &&
      chunk[at + 5] === 0
    );
  }

  /** PARAMS are complete: decodes them, or refuses the request. @internal */
  decodeParams(maxCount: number): void {
    try {
      this.params = Params.decode(this.paramsText, maxCount);
      this.paramsText = "";
    } catch (error) {
      const { code, message } = error as RemoteProtocolError;
      this.refuse(code, message);
    }
  }

  /** The request is to be answered with a page, at the end of its parameters. @internal */
  refuse(code: ErrorCode, message: string): void {
    this.state = REFUSED;
    this.error = new RemoteProtocolError(code, message, "request");
    this.paramsText = "";
  }
}

/** Makes one string of the pieces a string was added up from: V8 does so when it is asked for a character. */
function flatten(text: string): number {
  return text.charCodeAt(0);
}

/**
 * Plain CGI (RFC 3875): the program was started for one request, with its parameters in the environment, its body on
 * stdin and its answer expected on stdout. The request is put into FastCGI records and served like any other; the
 * records that come back are taken apart again. Slower than a path of its own, and nothing to keep equal.
 */
import { Duplex, type Readable, type Writable } from "node:stream";
import { encodeParams } from "../protocol/params.ts";
import { RecordReader, type RecordSink } from "../protocol/record-reader.ts";
import { RecordWriter, SlabPool } from "../protocol/record-writer.ts";
import { RecordType, Role } from "../protocol/records.ts";
import type { AnswerOutput } from "./claim-stdout.ts";
import { isPlainCgi } from "./inherited.ts";

const ID = 1;

/** The three streams of a CGI program. */
export interface CgiStreams {
  readonly stdin: Readable;
  readonly stdout: AnswerOutput;
  readonly stderr: Writable;
}

/** The web server's end of a FastCGI connection that carries the one request of a CGI program. */
export class CgiConnection extends Duplex implements RecordSink {
  readonly #streams: CgiStreams;
  readonly #writer = new RecordWriter(new SlabPool());
  readonly #reader: RecordReader = new RecordReader(this);
  readonly #env: NodeJS.ProcessEnv;
  #bodyLeft: number;
  #begun = false;
  #type = 0;
  #endBody: Buffer = Buffer.alloc(0);
  /** The application's exit code: END_REQUEST's appStatus, 1 if it never came. */
  appStatus = 1;

  constructor(env: NodeJS.ProcessEnv, streams: CgiStreams) {
    super({ allowHalfOpen: true });
    this.#env = env;
    this.#streams = streams;
    this.#bodyLeft = bodyBytes(env);
    // The web server hanging up is the end of the request, not of the process.
    streams.stdout.on("error", () => this.destroy());
    streams.stderr.on("error", () => {});
    streams.stdin.on("error", () => this.#endStdin());
  }

  override _read(): void {
    if (!this.#begun) {
      this.#begun = true;
      this.#begin();
      if (this.#bodyLeft > 0) this.#readStdin();
      else this.#endStdin();
    } else if (this.#bodyLeft > 0) {
      this.#streams.stdin.resume();
    }
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    try {
      this.#reader.push(chunk);
    } catch (error) {
      callback(error as Error); // the answer breaks off: all a CGI program can say is its exit code
      return;
    }
    // Done when all of it is with the kernel: the process exits soon after the last piece.
    this.#streams.stdout.write("", () => callback());
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#streams.stdin.pause();
    callback(error);
  }

  #begin(): void {
    this.#writer.writeFixed(RecordType.BeginRequest, ID, Role.Responder << 16, 0);
    this.#writer.writeBytes(RecordType.Params, ID, encodeParams(environPairs(this.#env)));
    this.#writer.endStream(RecordType.Params, ID);
    this.#send();
  }

  #readStdin(): void {
    const { stdin } = this.#streams;
    stdin.on("data", (chunk: Buffer) => {
      if (this.#bodyLeft < 0) return; // what comes behind CONTENT_LENGTH bytes is not the body
      const piece = chunk.subarray(0, this.#bodyLeft);
      this.#bodyLeft -= piece.length;
      this.#writer.writeBytes(RecordType.Stdin, ID, piece);
      if (!this.#send()) stdin.pause();
      if (this.#bodyLeft === 0) this.#endStdin();
    });
    stdin.on("end", () => this.#endStdin());
  }

  #endStdin(): void {
    if (this.#bodyLeft < 0) return;
    this.#bodyLeft = -1;
    this.#streams.stdin.pause();
    this.#writer.endStream(RecordType.Stdin, ID);
    this.#send();
  }

  #send(): boolean {
    let wantsMore = true;
    for (const piece of this.#writer.take()) wantsMore = this.push(piece);
    this.#writer.recycle(false);
    return wantsMore;
  }

  onRecord(type: number): void {
    this.#type = type;
    this.#endBody = Buffer.alloc(0);
  }

  onContent(chunk: Buffer, start: number, end: number): void {
    const piece = chunk.subarray(start, end);
    if (this.#type === RecordType.EndRequest) this.#endBody = Buffer.concat([this.#endBody, piece]);
    const stream =
      this.#type === RecordType.Stdout
        ? this.#streams.stdout
        : this.#type === RecordType.Stderr
          ? this.#streams.stderr
          : undefined;
    stream?.write(Buffer.from(piece));
  }

  onRecordEnd(): void {
    if (this.#type === RecordType.EndRequest) this.appStatus = this.#endBody.readUInt32BE(0);
  }
}

/**
 * Removes a client's Proxy header from our own environment, where libraries would take it for a setting (httpoxy).
 * Does nothing unless this process was started for one CGI request.
 */
export function forgetProxyHeader(env: NodeJS.ProcessEnv = process.env): void {
  if (isPlainCgi(env)) delete env["HTTP_PROXY"];
}

/** The environment as parameters: bytes, and without a client's Proxy header (httpoxy). */
function* environPairs(env: NodeJS.ProcessEnv): Iterable<[string, string]> {
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && name !== "HTTP_PROXY") yield [latin1(name), latin1(value)];
  }
}

function latin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** How much of stdin is the body: CONTENT_LENGTH (RFC 3875 §4.2), else all of it, except for methods without a body. */
function bodyBytes(env: NodeJS.ProcessEnv): number {
  const length = env["CONTENT_LENGTH"];
  if (length !== undefined && /^\d+$/.test(length)) return Number(length);
  return /^(GET|HEAD|OPTIONS|DELETE|TRACE)$/.test(env["REQUEST_METHOD"] ?? "") ? 0 : Number.POSITIVE_INFINITY;
}

/** Where the answer goes: standard output or a file, with back-pressure. And the application's STDERR, line by line. */
import { createWriteStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { printable } from "../../status/text.ts";
import { CurlExit, CurlFailure } from "./exit.ts";

/** The process around a transfer. */
export interface CurlIo {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  /** A line for people, without its end. */
  readonly say: (line: string) => void;
  readonly stdin: () => Readable;
  /** Columns of the terminal that `say` writes to. */
  readonly width: number;
  /** Aborts when the person at the keyboard has had enough. */
  readonly signal: AbortSignal;
}

/** A place for bytes. */
export class Sink {
  readonly #name: string;
  readonly #stream: Writable;
  readonly #isOurs: boolean;
  #error: Error | undefined = undefined;
  bytes = 0;

  /** @param file undefined for the standard output that is given */
  constructor(stdout: Writable, file: string | undefined) {
    this.#name = file ?? "standard output";
    this.#isOurs = file !== undefined;
    this.#stream = file === undefined ? stdout : createWriteStream(file);
    this.#stream.on("error", this.#onError);
  }

  /** @throws {CurlFailure} 23 */
  async write(bytes: Uint8Array): Promise<void> {
    this.#check();
    this.bytes += bytes.length;
    if (!this.#stream.write(bytes)) {
      try {
        await untilEvent(this.#stream, "drain");
      } catch (error) {
        this.#error ??= error as Error;
      }
    }
    this.#check();
  }

  /** Everything is written. @throws {CurlFailure} 23 */
  async end(): Promise<void> {
    this.#check();
    try {
      if (this.#isOurs) {
        this.#stream.end();
        if (!this.#stream.closed) await untilEvent(this.#stream, "close");
      } else if (this.#stream.writableLength > 0) {
        await untilEvent(this.#stream, "drain");
      }
    } catch (error) {
      this.#error ??= error as Error;
    }
    this.#check();
    this.#stream.off("error", this.#onError);
  }

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
  };

  #check(): void {
    if (this.#error === undefined) return;
    const { code, message } = this.#error as NodeJS.ErrnoException;
    const why = code === "EPIPE" ? "whoever reads it has stopped (EPIPE)" : message;
    throw new CurlFailure(CurlExit.Write, `${this.#name} cannot be written: ${why}`, { cause: this.#error });
  }
}

function untilEvent(stream: Writable, event: "close" | "drain"): Promise<void> {
  return new Promise((resolve, reject) => {
    const happened = (): void => {
      stream.off("error", failed);
      resolve();
    };
    const failed = (error: Error): void => {
      stream.off(event, happened);
      reject(error);
    };
    stream.once(event, happened);
    stream.once("error", failed);
  });
}

/** What the application writes to STDERR, as lines as soon as they are whole. */
export class StderrLines {
  readonly #say: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#print(line);
    if (this.#rest.length > MOST_LINE) this.#flush();
  }

  end(): void {
    this.#rest += this.#decoder.decode();
    this.#flush();
  }

  #flush(): void {
    if (this.#rest !== "") this.#print(this.#rest);
    this.#rest = "";
  }

  #print(line: string): void {
    this.#say(`stderr: ${printable(line.replace(/\r$/, "").replaceAll("\t", "  "))}`);
  }
}

/** Characters after which a line without end is printed all the same. */
const MOST_LINE = 65536;

/** The head as HTTP would carry it, latin1. */
export function headText(status: number, reason: string, headers: readonly string[]): string {
  let text = `HTTP/1.1 ${status}${reason === "" ? "" : ` ${reason}`}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return `${text}\r\n`;
}

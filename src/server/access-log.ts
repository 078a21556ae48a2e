// HOT
/**
 * The access log: a line for each request that is over. Lines are collected, and written together when there are many
 * or after a moment: no request waits for a disk, and the kernel is not asked for every one.
 *
 * Invariants: 1. a line is written once, whole, and never mixed with those of other processes; 2. no more than
 * {@link MOST_WAITING} characters wait for somebody to read a pipe, beyond it lines are lost, and the log says how many;
 * 3. a log that cannot be written is said once, and takes no request with it.
 */
import type { Logger } from "../base/log.ts";
import { AccessLogFile } from "./access-log-file.ts";
import {
  compileFormat,
  type LineFormat,
  type LoggedRequest,
  type LoggingProcess,
} from "./access-log-format.ts";
import { type Counted, Tally } from "./tally.ts";
import { loggingProcess, whenExiting } from "./this-process.ts";

/** As many characters are written at once, without waiting for more. */
const FULL = 32768;
/** How long lines wait for others, ms. */
const WAIT_MS = 100;
/** For a pipe that is not read: a few seconds of a busy log. */
const MOST_WAITING = 1048576;
/** Most characters of one value of a line. */
const MOST_FIELD = 4096;
/** The same where a line must fit into PIPE_BUF. */
const MOST_FIELD_IN_PIPE = 640;

/** A request, as far as it looks at one. */
type Logged = LoggedRequest["exchange"] & Counted;

/** An observer of a server, see hooks.ts. */
export class AccessLog implements LoggedRequest {
  readonly #where: string;
  readonly #format: string;
  readonly #logger: Logger;
  readonly #process: LoggingProcess;
  #line: LineFormat;
  #file: AccessLogFile | undefined = undefined;
  #mostLine = Number.POSITIVE_INFINITY;
  #text = "";
  #waiting: Buffer | undefined = undefined; // what a pipe has not taken
  #isScheduled = false;
  #lostLines = 0;
  #isBroken = false;
  #forgetExit: (() => void) | undefined = undefined;
  readonly #onTime = (): void => {
    this.#isScheduled = false;
    this.flush();
  };
  // LoggedRequest: one for all, since each becomes a line at once.
  exchange!: Logged;
  method: string | undefined = undefined;
  uri: string | undefined = undefined;
  address: string | undefined = undefined;
  head = "";
  status = 0;
  sentBytes = 0;
  durationMs = 0;
  endedAt = 0;

  /** @throws {SettingError} the format makes no sense */
  constructor(where: string, format: string, logger: Logger, process: LoggingProcess = loggingProcess()) {
    this.#where = where;
    this.#format = format;
    this.#logger = logger;
    this.#process = process;
    this.#line = compileFormat(format, MOST_FIELD, process);
  }

  /** @throws {SettingError} it cannot be opened */
  open(): void {
    if (this.#file !== undefined) return;
    const file = new AccessLogFile(this.#where);
    this.#file = file;
    this.#mostLine = file.mostLineBytes - 1;
    if (file.mostLineBytes < MOST_FIELD * 4)
      this.#line = compileFormat(this.#format, MOST_FIELD_IN_PIPE, this.#process);
  }

  onRequestBegin(exchange: Logged): void {
    Tally.begin(exchange);
  }

  onRequestEnd(exchange: Logged): void {
    const tally = Tally.end(exchange);
    tally.identify(exchange);
    this.exchange = exchange;
    this.method = tally.method;
    this.uri = tally.uri;
    this.address = tally.address;
    this.head = tally.head;
    this.status = tally.status;
    this.sentBytes = tally.sentBytes;
    this.durationMs = tally.durationMs;
    this.endedAt = Date.now();
    if (this.#text.length + (this.#waiting?.length ?? 0) > MOST_WAITING) {
      this.#lostLines++;
      return;
    }
    const line = this.#line(this);
    this.#text += line.length > this.#mostLine ? `${line.slice(0, this.#mostLine)}\n` : `${line}\n`;
    if (this.#text.length >= FULL) this.flush();
    else this.#schedule();
  }

  /** Writes what has collected. @param now by `performance.now()` */
  flush(now: number = performance.now()): void {
    if (this.#text === "" && this.#waiting === undefined) return;
    try {
      this.open();
      this.#file?.look(now);
    } catch (error) {
      this.#complain(error);
      if (this.#file === undefined) this.#lose(this.#text);
    }
    const lines = Buffer.from(this.#text, "latin1");
    const all = this.#waiting === undefined ? lines : Buffer.concat([this.#waiting, lines]);
    this.#text = "";
    this.#waiting = undefined;
    try {
      const taken = this.#file?.write(all) ?? 0;
      if (taken < all.length) {
        this.#waiting = all.subarray(taken);
        this.#schedule();
        return;
      }
      // The old file may go on to take lines while the new one cannot be opened.
      if (this.#file?.isStale !== true) this.#isBroken = false;
    } catch (error) {
      this.#complain(error);
      this.#lose(all.toString("latin1"));
      return;
    }
    if (this.#lostLines === 0) return;
    this.#logger.warn(
      { file: this.#where },
      `${this.#lostLines} lines of the access log were lost: nobody took them in time`,
    );
    this.#lostLines = 0;
  }

  /** Opens the file again, after it was moved away. What has collected is for the old one. */
  reopen(): void {
    this.flush();
    try {
      this.#file?.reopen();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Nothing more will come. */
  close(): void {
    this.flush();
    this.#forgetExit?.();
    this.#forgetExit = undefined;
    this.#file?.close();
    this.#file = undefined;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#forgetExit ??= whenExiting(() => this.flush());
    setTimeout(this.#onTime, WAIT_MS).unref();
  }

  #lose(text: string): void {
    this.#lostLines += text.split("\n").length - 1;
    this.#text = "";
  }

  #complain(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#logger.error(
      { error, file: this.#where },
      "the access log cannot be written: requests go on without it",
    );
  }
}

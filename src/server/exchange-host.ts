/** What an exchange needs of its surroundings. Types alone; `E` is the exchange, which cannot be named here. */
import type { ErrorPage } from "../cgi/error-page.ts";
import type { AppConnection } from "../protocol/app-connection.ts";
import type { ResolvedOptions } from "./options.ts";

/** Hears of the end of an exchange, once. */
export interface WatcherOf<E> {
  /** It is answered, aborted or lost. Returns whether its connection should be closed behind the answer. */
  onEnded(exchange: E): boolean;
}

/** What an exchange needs of its connection. */
export interface HostOf<E> {
  readonly app: AppConnection;
  readonly server: ServerOf<E>;
  readonly options: ResolvedOptions;
  /** Whether more output would only pile up. */
  readonly isCongested: boolean;
  /** Bytes that the web server has not taken yet, of all requests of the connection. */
  readonly backlogBytes: number;
  /** Makes sure that what was written leaves in this turn of the event loop. */
  scheduleFlush(): void;
  /** An answer is complete: where nothing else can be written in this turn, it leaves at once. */
  flushAnswer(): void;
  /** Calls back once everything written so far is with the kernel, or `error` if it never will be. */
  afterFlush(callback: (error?: Error) => void): void;
  /** The piece, in memory that the exchange may keep. */
  own(chunk: Buffer, start: number, end: number): Buffer;
  /** The amount of input waiting for the application has changed. */
  onQueued(exchange: E, change: number): void;
  /** Closes the connection without END_REQUEST: the only way to tell a web server that a body is not whole. */
  cut(reason: string): void;
  /** The answer to the last request of a connection that the web server wanted to keep is complete. */
  sayGoodbye(exchange: E): void;
}

/** What an exchange needs of its server. */
export interface ServerOf<E> {
  /** The number of the next request. */
  nextNumber(): number;
  /** Logs a warning that every such request would give, once: the first of its kind. */
  warnOnce(kind: string, warning: string): void;
  /** The page for a failure of the application, when somebody has one of their own. */
  readonly failurePage: ((exchange: E, error: Error) => ErrorPage | undefined) | undefined;
  readonly background: {
    /** Work that goes on after an answer. */
    add(work: Promise<unknown>): void;
  };
  readonly tunnels: {
    /** The request has become a tunnel. Returns who hears of its end from now on. */
    add(exchange: E): WatcherOf<E>;
  };
}

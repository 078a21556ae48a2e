/**
 * Node's inspector as far as the watchdog needs it: how its URL is learnt from what a worker prints, and a few calls
 * of its protocol over a WebSocket.
 *
 * SIGUSR1 makes a Node process open it, also while JavaScript runs in an endless loop: a thread of its own listens.
 * Whoever can connect to it controls the worker, so it is open on 127.0.0.1 only, and asked to close at once.
 */
import { clip, escapeControls } from "../base/text.ts";

/** What a worker may say in one message. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** How long a closing connection may take to say goodbye, ms. */
const GOODBYE_MS = 1000;

const LISTENING =
  /^Debugger listening on (ws:\/\/127\.0\.0\.1:\d{1,5}\/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12})$/;
const CHATTER =
  /^(?:Debugger (?:attached\.|ending on ws:\/\/127\.0\.0\.1:\S+)|For help, see: https:\/\/nodejs\.org\/\S*|Waiting for the debugger to disconnect\.\.\.)$/;

/**
 * Picks what the inspector prints out of the lines of a worker's stderr. Before a stack was asked for, everything is
 * the application's: a line that only looks like the inspector's is logged, and never believed.
 */
export class InspectorUrl {
  #wasAsked = false;
  #onUrl: ((url: string) => void) | undefined;
  #last: string | undefined;

  /** The URL that was announced last. The inspector may be closed since. */
  get last(): string | undefined {
    return this.#last;
  }

  /** `onUrl` gets the next URL that the worker announces, once; an earlier call's no longer gets any. */
  expect(onUrl: (url: string) => void): void {
    this.#wasAsked = true;
    this.#onUrl = onUrl;
  }

  /** Takes a line of stderr. True when it is the inspector's and should not be logged. */
  offer(line: string): boolean {
    if (!this.#wasAsked) return false;
    const [, url] = LISTENING.exec(line) ?? [];
    if (url === undefined) return CHATTER.test(line);
    const onUrl = this.#onUrl;
    // Nobody asked for this one: somebody else opened the inspector, which is worth seeing.
    if (onUrl === undefined) return false;
    this.#onUrl = undefined;
    this.#last = url;
    onUrl(url);
    return true;
  }
}

/** A value of the protocol: whatever JSON can be. */
export type Fields = Readonly<Record<string, unknown>>;

/** A connection to an inspector. What cannot be done gives undefined; nothing here throws or rejects. */
export class InspectorSession {
  readonly #socket: Socket;
  readonly #calls = new Map<number, (result: Fields | undefined) => void>();
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (data: { toString(): string }) => this.#receive(data.toString()));
    socket.once("close", () => {
      for (const settle of this.#calls.values()) settle(undefined);
      this.#calls.clear();
    });
  }

  /** @returns the session, or why there is none */
  static async open(url: string, timeoutMs: number): Promise<InspectorSession | string> {
    // Only here: most managers never need it.
    const ws = await import("ws").catch(() => undefined);
    if (ws === undefined) return "the package ws is not installed";
    const socket = new ws.WebSocket(url, {
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      handshakeTimeout: Math.max(1, timeoutMs),
    });
    return new Promise((resolve) => {
      socket.once("open", () => resolve(new InspectorSession(socket)));
      // Stays: a connection may also break later, which "close" tells the session.
      socket.on("error", (error: Error) => resolve(`its inspector cannot be reached: ${error.message}`));
    });
  }

  /** Calls a method. Resolves with its result; undefined when it failed or the connection ended. */
  call(method: string, params: Fields = {}): Promise<Fields | undefined> {
    return new Promise((resolve) => {
      if (this.#socket.readyState !== this.#socket.OPEN) return resolve(undefined);
      const id = ++this.#lastId;
      this.#calls.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** Ends the connection after what was sent. A worker that was paused runs on. */
  close(): void {
    // Not terminate: with unread messages the system would throw away what the worker has not read yet.
    this.#socket.close();
    const timer = setTimeout(() => this.#socket.terminate(), GOODBYE_MS);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  #receive(text: string): void {
    const message = parse(text);
    const { id } = message;
    if (typeof id !== "number") return; // an event; none was asked for
    const settle = this.#calls.get(id);
    this.#calls.delete(id);
    settle?.(message["error"] === undefined ? fieldsOf(message["result"]) : undefined);
  }
}

/** What is used of a WebSocket. */
interface Socket {
  readonly readyState: number;
  readonly OPEN: number;
  on(event: "message", listener: (data: { toString(): string }) => void): unknown;
  once(event: "close", listener: () => void): unknown;
  send(text: string): void;
  close(): void;
  terminate(): void;
}

function parse(text: string): Fields {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return {};
  }
}

/** An object as such; anything else as an empty one. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/** A text of at most `limit` printable characters; anything else is empty. */
export function textOf(value: unknown, limit: number): string {
  return typeof value === "string" ? clip(escapeControls(value.slice(0, limit * 4)), limit) : "";
}

/**
 * The line between a manager and one of its workers: a socket pair that carries JSON, one message a line. Not Node's
 * own IPC: a worker may run another runtime, the application's `process.send` stays what it is without us, and what a
 * worker sends is bounded, because the manager may run as root and the worker as anybody.
 */
import { Socket } from "node:net";
import { isAbsolute } from "node:path";
import type { Logger } from "../base/log.ts";
import type { BootFailure } from "../server/boot-failure.ts";
import { METER_LENGTH } from "../server/meter.ts";

/** The descriptor a worker finds its end under. */
const CHANNEL_FD = 3;
/** The descriptor of its scoreboard. */
export const SCOREBOARD_FD = 4;
/** The first of its listening sockets. */
export const FIRST_SOCKET_FD = 5;

/** A longer message ends the channel. */
export const MAX_MESSAGE_BYTES = 262144;

/** More are read a second later. */
const MAX_MESSAGES_PER_SECOND = 10000;

/** What the manager tells a worker. */
export type ToWorker =
  | { readonly type: "start"; readonly settings: WorkerSettings }
  | { readonly type: "drain"; readonly delayMs: number }
  /** The files of logs were moved away. */
  | { readonly type: "reopenLogs" }
  /** To one that was started before there was need of it. */
  | { readonly type: "go"; readonly failure: BootFailure | undefined }
  | { readonly type: "status"; readonly id: number; readonly text: string; readonly contentType: string };

/** What a worker tells the manager. */
export type FromWorker =
  | { readonly type: "ready" }
  /** It cannot serve: `app` could not be loaded, or the worker itself could not be set up. */
  | Failed
  | { readonly type: "beat"; readonly beat: Beat }
  /** It finishes what it has and ends, without having been told to. `why`: `a worker was sent TERM`. */
  | { readonly type: "leaving"; readonly why: string }
  | { readonly type: "log"; readonly level: keyof Logger; readonly message: string; readonly fields: object }
  /** Files of the application that were loaded, for whoever watches them. */
  | { readonly type: "files"; readonly files: readonly string[] }
  /** A visitor asks for the status page. */
  | { readonly type: "status"; readonly id: number; readonly query: string };

export interface Failed {
  readonly type: "failed";
  readonly stage: "boot" | "app";
  readonly message: string;
  /** Whether the place of the mistake follows on standard error, where Node prints it. */
  readonly isPlacePrinted: boolean;
}

/** A worker's account of itself, sent about once a second and whenever it becomes busy or ceases to be. */
export interface Beat {
  readonly requests: number;
  readonly openRequests: number;
  /** Those that wait for their turn. */
  readonly queuedRequests: number;
  readonly connections: number;
  readonly acceptedConnections: number;
  readonly slowRequests: number;
  readonly isBusy: boolean;
  readonly loopDelayMs: number;
  readonly loopUtilisation: number;
  readonly memoryBytes: number;
  /** The numbers of its meter, see server/meter.ts. */
  readonly meter: readonly number[];
}

/** Everything a worker needs to know; it reads no configuration itself. */
export interface WorkerSettings {
  readonly pool: string;
  readonly id: number;
  readonly generation: number;
  readonly file: string;
  /** Listening sockets for FastCGI and, if any, for HTTP: descriptors, and the addresses for people. */
  readonly sockets: readonly { readonly fd: number; readonly address: string }[];
  readonly httpFd: number | undefined;
  /** Where upgraded connections come by HTTP. */
  readonly wsHttpFd: number | undefined;
  readonly static: string | undefined;
  readonly chdir: string;
  readonly user: string | number | undefined;
  readonly group: string | number | undefined;
  readonly umask: number | undefined;
  readonly logLevel: string;
  /** Whether other workers accept from the same sockets. */
  readonly hasSiblings: boolean;
  readonly statusPath: string | undefined;
  readonly metricsPath: string | undefined;
  /** Options of the server, and of the one behind the HTTP gateway: plain values only. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly frontOptions: Readonly<Record<string, unknown>>;
  /** For its private socket; the manager has made it and removes it, however the worker ends. */
  readonly frontFolder: string | undefined;
  /** There is no application: every request is answered with this. */
  readonly failure: BootFailure | undefined;
  /** For whoever works on the application. */
  readonly dev: DevSettings | undefined;
  /** For a worker in Python. */
  readonly python?: { readonly threads: number; readonly slowDepth: number };
}

/** Of a worker of `postern dev`. */
export interface DevSettings {
  /** Whether sources may be shown to a developer. */
  readonly hasSources: boolean;
  /** Whether it waits for `go` before it loads anything of the application's. */
  readonly isSpare: boolean;
}

/** Sends and receives messages; whatever is not one ends it. */
export class Channel {
  readonly #socket: Socket;
  readonly #sink: ChannelSink;
  #partial = "";
  #isOpen = true;
  #second = 0; // of the messages counted
  #messages = 0;

  constructor(socket: Socket, sink: ChannelSink) {
    this.#socket = socket;
    this.#sink = sink;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#onText(text));
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#end());
    socket.on("end", () => this.#end());
  }

  /** Returns false when nobody will get it. */
  send(message: ToWorker | FromWorker): boolean {
    if (!this.#isOpen || !this.#socket.writable) return false;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    return true;
  }

  /** Sends what is still to be sent, then nothing more, and no longer keeps the process alive. */
  finish(): void {
    this.#socket.end();
    this.#socket.unref();
  }

  /** Whether an open channel keeps the process alive, as it does at first. */
  keepAlive(isKept: boolean): void {
    if (isKept) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Sends nothing more and hears nothing more; the other side notices. */
  close(): void {
    this.#isOpen = false;
    this.#socket.destroy();
  }

  #onText(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    this.#slowDown(lines.length);
    for (const line of lines) {
      if (!this.#isOpen) return;
      try {
        this.#sink.onMessage(JSON.parse(line));
      } catch (error) {
        this.#break(`it sent what is not a message: ${(error as Error).message}`);
      }
    }
    if (this.#partial.length > MAX_MESSAGE_BYTES) {
      this.#break(`it sent a message of more than ${MAX_MESSAGE_BYTES} bytes`);
    }
  }

  /** Somebody who talks without end is heard a second later: what waits, waits on the sender's side. */
  #slowDown(messages: number): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#messages = 0;
    this.#second = second;
    this.#messages += messages;
    if (this.#messages <= MAX_MESSAGES_PER_SECOND || this.#socket.isPaused()) return;
    this.#socket.pause();
    setTimeout(() => this.#socket.resume(), 1000).unref();
  }

  #break(reason: string): void {
    if (!this.#isOpen) return;
    this.#sink.onBroken(reason);
    this.#end();
    this.#socket.destroy();
  }

  #end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#sink.onEnd();
  }
}

export interface ChannelSink {
  /** A message, parsed and not yet checked. Throwing breaks the channel. */
  onMessage(message: unknown): void;
  /** The other side broke the rules; `onEnd` follows. */
  onBroken(reason: string): void;
  /** The other side is gone. */
  onEnd(): void;
}

/** The worker's end. */
export function channelToManager(sink: ChannelSink): Channel {
  return new Channel(new Socket({ fd: CHANNEL_FD }), sink);
}

/** Checks what a worker has sent. @throws {TypeError} naming the field */
export function readFromWorker(message: unknown): FromWorker {
  const given = record(message, "message");
  switch (given["type"]) {
    case "ready":
      return { type: "ready" };
    case "leaving":
      return { type: "leaving", why: text(given, "why") };
    case "failed":
      return {
        type: "failed",
        stage: given["stage"] === "boot" ? "boot" : "app",
        message: text(given, "message"),
        isPlacePrinted: given["isPlacePrinted"] === true,
      };
    case "log": {
      const level = text(given, "level");
      return {
        type: "log",
        level: level === "debug" || level === "info" || level === "warn" ? level : "error",
        message: text(given, "message"),
        fields: record(given["fields"], "fields"),
      };
    }
    case "files":
      return { type: "files", files: texts(given, "files") };
    case "status":
      return { type: "status", id: count(given, "id"), query: text(given, "query") };
    case "beat":
      return { type: "beat", beat: readBeat(record(given["beat"], "beat")) };
    default:
      throw new TypeError(`type ${JSON.stringify(given["type"])} is unknown`);
  }
}

function readBeat(given: Readonly<Record<string, unknown>>): Beat {
  return {
    requests: count(given, "requests"),
    openRequests: count(given, "openRequests"),
    queuedRequests: count(given, "queuedRequests"),
    connections: count(given, "connections"),
    acceptedConnections: count(given, "acceptedConnections"),
    slowRequests: count(given, "slowRequests"),
    isBusy: given["isBusy"] === true,
    loopDelayMs: count(given, "loopDelayMs"),
    loopUtilisation: count(given, "loopUtilisation"),
    memoryBytes: count(given, "memoryBytes"),
    meter: counts(given, "meter", METER_LENGTH),
  };
}

function record(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new TypeError(`${name} is not an object`);
}

function text(given: Readonly<Record<string, unknown>>, name: string): string {
  const value = given[name];
  if (typeof value === "string") return value;
  throw new TypeError(`${name} is not text`);
}

function texts(given: Readonly<Record<string, unknown>>, name: string): string[] {
  const value = given[name];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new TypeError(`${name} is not a list of texts`);
}

function count(given: Readonly<Record<string, unknown>>, name: string): number {
  const value = given[name];
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw new TypeError(`${name} is not a number from 0`);
}

function counts(given: Readonly<Record<string, unknown>>, name: string, length: number): number[] {
  const value = given[name];
  const isOne = (one: unknown): boolean => typeof one === "number" && Number.isFinite(one) && one >= 0;
  if (Array.isArray(value) && value.length === length && value.every(isOne)) return value;
  throw new TypeError(`${name} is not a list of ${length} numbers from 0`);
}

/** Checks what came in place of the manager's first message: somebody started a worker by hand. */
export function readStart(message: unknown): WorkerSettings {
  const given = record(message, "message");
  const settings = record(given["settings"], "settings");
  if (given["type"] !== "start" || !isAbsolute(text(settings, "file")))
    throw new TypeError("no start message");
  return settings as unknown as WorkerSettings;
}

/**
 * Makes a connection to an application, and says in one sentence why one could not be made and what to do.
 * A unix socket whose backlog is full (EAGAIN) is tried again until the time is up: the application is only busy.
 */
import { statSync } from "node:fs";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import type { Address } from "../base/address.ts";
import { PosternError, RemoteProtocolError, SettingError } from "../base/errors.ts";
import { sniff } from "../protocol/sniff.ts";
import type { ResolvedClientOptions } from "./options.ts";

/** First and longest pause between two attempts at a full backlog. */
const RETRY_FIRST_MS = 5;
const RETRY_MOST_MS = 100;

/**
 * Connects.
 * @throws {SettingError} `ERR_POSTERN_CONNECT`; `cause` is the system's error
 * @throws {RemoteProtocolError} `ERR_POSTERN_CLIENT_TIMEOUT`
 */
export async function connectSocket(options: ResolvedClientOptions, signal: AbortSignal): Promise<Socket> {
  const deadline =
    options.connectTimeoutMs > 0 ? performance.now() + options.connectTimeoutMs : Number.POSITIVE_INFINITY;
  for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_MOST_MS)) {
    try {
      return await attempt(options, deadline, signal);
    } catch (error) {
      if (errorCode(error) !== "EAGAIN") throw describe(error, options);
      if (performance.now() + pause > deadline) throw late(options, "its queue of new connections is full");
      await sleep(pause, signal);
    }
  }
}

function attempt(options: ResolvedClientOptions, deadline: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = connect(socketOptions(options.address));
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      socket.off("connect", connected);
      socket.off("error", failed);
    };
    const failed = (error: unknown): void => {
      done();
      socket.on("error", ignore);
      socket.destroy();
      reject(error);
    };
    const connected = (): void => {
      done();
      socket.on("error", ignore); // until the owner listens
      socket.setNoDelay(true);
      resolve(socket);
    };
    const cancel = (): void => failed(signal.reason);
    const timer = Number.isFinite(deadline)
      ? setTimeout(
          () => failed(late(options, "it did not answer")),
          Math.max(1, deadline - performance.now()),
        )
      : undefined;
    signal.addEventListener("abort", cancel);
    socket.on("connect", connected);
    socket.on("error", failed);
  });
}

function ignore(): void {}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", cancel);
      resolve();
    }, ms);
    signal.addEventListener("abort", cancel);
  });
}

/** What `net.connect` takes. @throws {SettingError} `ERR_POSTERN_ADDRESS`: an inherited socket */
export function socketOptions(address: Address): NetConnectOpts {
  switch (address.kind) {
    case "unix":
      return { path: address.path };
    case "abstract":
      return { path: `\0${address.name}` };
    case "tcp":
      return { host: address.host || "localhost", port: address.port };
    default:
      throw new SettingError("ERR_POSTERN_ADDRESS", `${address.kind} is not an address to connect to`);
  }
}

function late(options: ResolvedClientOptions, why: string): RemoteProtocolError {
  return new RemoteProtocolError(
    "ERR_POSTERN_CLIENT_TIMEOUT",
    `no connection to ${options.name} within ${options.connectTimeoutMs} ms: ${why}`,
    "connection",
  );
}

function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || error instanceof PosternError) return "";
  // Several addresses of one host name: an AggregateError, whose first member tells enough.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = (first as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** The sentence for a failed connection; anything that is not a system error passes through. */
function describe(error: unknown, options: ResolvedClientOptions): unknown {
  const code = errorCode(error);
  if (code === "") return error;
  const { address } = options;
  // Linux refuses a connection to any file but a socket with the error of a socket without a listener.
  const found = code === "ECONNREFUSED" && address.kind === "unix" ? fileAt(address.path) : undefined;
  return new SettingError(
    "ERR_POSTERN_CONNECT",
    `cannot connect to ${options.name}: ${found ?? explainConnect(code, address.kind !== "tcp")}`,
    {
      cause: error,
    },
  );
}

/** What is at a path, if that is not a socket. */
function fileAt(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isSocket()) return undefined;
  return `${stats.isDirectory() ? "that is a directory," : "that file is"} not a socket; name the one the application listens on`;
}

/** What a system error of a connection means, and what to do; the code itself where there is nothing to add. */
export function explainConnect(code: string, isUnix: boolean): string {
  switch (code) {
    case "ENOENT":
      return "there is no such socket (ENOENT); is the application running, and with this very path?";
    case "ECONNREFUSED":
      return isUnix
        ? "nobody listens on that socket any more (ECONNREFUSED); start the application again"
        : "nobody listens on that port (ECONNREFUSED); is the application running, and on this port?";
    case "EACCES":
    case "EPERM":
      return `permission denied (${code}) for user ${process.getuid?.() ?? "?"}; it needs write permission on the socket and x on every directory above it`;
    case "ENOTSOCK":
      return "that file is not a socket (ENOTSOCK)";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the host name cannot be resolved (${code})`;
    case "EPROTOTYPE":
      return "that is a socket of another type (EPROTOTYPE)";
    case "EMFILE":
    case "ENFILE":
      return `no file descriptor is left (${code}); raise the limit (ulimit -n) or lower maxConnections`;
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `the host cannot be reached (${code})`;
    default:
      return code;
  }
}

/** The error for a peer whose first bytes are not FastCGI; undefined when they may be. */
export function recogniseStranger(
  chunk: Buffer,
  options: ResolvedClientOptions,
): RemoteProtocolError | undefined {
  const stranger = sniff(chunk);
  if (stranger === undefined) return undefined;
  const message =
    chunk[0] === 0x48
      ? `${options.name} speaks HTTP, not FastCGI (record version 72 is the H of HTTP): connect to the FastCGI port of the application`
      : `${options.name} does not speak FastCGI but ${stranger.name}`;
  return new RemoteProtocolError("ERR_POSTERN_NOT_FASTCGI", message, "connection");
}

/** Waits for `promise`, but no longer than until `signal` aborts. */
export function whileNotAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", cancel));
  });
}

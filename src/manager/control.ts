/**
 * The control socket: HTTP with JSON on a unix socket that only the manager's user and root may connect to.
 *
 * It reads requests and writes answers; what they mean is in `control-routes.ts`. Nothing a client does may harm the
 * manager, which is why everything about a request is bounded:
 *
 * | what                      | bound              | beyond it                                  |
 * | ------------------------- | ------------------ | ------------------------------------------ |
 * | connections               | 32                 | closed at once                             |
 * | the head of a request     | 8 KiB, 10 s        | 431, 408                                   |
 * | its body                  | 16 KiB, 10 s       | 413, 408                                   |
 * | taking the answer         | 10 s               | the connection is cut                      |
 * | the wait for a reload     | the manager's own  | who leaves meanwhile does not end a reload |
 *
 * Permissions are the file's. A request with an `Origin` comes from a web page by way of some proxy, and is refused.
 */

import type { Socket } from "node:net";
import { basename, dirname, resolve } from "node:path";
import { SettingError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import {
  createServer,
  type HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "../base/node-http.ts";
import { escapeControls } from "../base/text.ts";
import { runFolder } from "../config/places.ts";
import { holderOfUnixSocket } from "../server/socket-holder.ts";
import { listenOnUnixSocket } from "../server/unix-socket.ts";
import type { Commands } from "./commands.ts";
import { makeControlFolder } from "./control-folder.ts";
import { type Answer, answerRequest, failure } from "./control-routes.ts";

export interface ControlSocket {
  /** Absolute. */
  readonly path: string;
  /** Removes the socket. Answers under way get a second to leave. */
  close(): Promise<void>;
}

/** Bounds that tests make smaller. */
export interface ControlLimits {
  readonly maxConnections: number;
  readonly maxHeadBytes: number;
  readonly maxBodyBytes: number;
  /** For the whole of a request to come, and for its answer to be taken. */
  readonly requestTimeoutMs: number;
  /** How long closing waits for answers under way. */
  readonly closeGraceMs: number;
}

const LIMITS: ControlLimits = {
  maxConnections: 32,
  maxHeadBytes: 8192,
  maxBodyBytes: 16_384,
  requestTimeoutMs: 10_000,
  closeGraceMs: 1000,
};

/**
 * Opens the control socket, mode 0600. Its folder is made if it is missing.
 * @throws {SettingError} `ERR_POSTERN_SOCKET_IN_USE` when another manager has it; `ERR_POSTERN_ADDRESS`,
 *   `ERR_POSTERN_SOCKET_NOT_A_SOCKET` when the path cannot be used
 */
export async function openControl(
  path: string,
  commands: Commands,
  logger: Logger,
  limits: Partial<ControlLimits> = {},
): Promise<ControlSocket> {
  const bounds = { ...LIMITS, ...limits };
  const file = resolve(path);
  const folder = dirname(file);
  makeControlFolder(folder, folder === runFolder(process.env, process.getuid?.() ?? 0));
  const server = makeServer(commands, logger, bounds);
  const remove = await listen(server, file);
  server.on("error", (error) => logger.warn({ error, path: file }, "the control socket failed"));
  return { path: file, close: () => close(server, remove, bounds.closeGraceMs) };
}

async function listen(server: HttpServer, path: string): Promise<() => void> {
  try {
    return await listenOnUnixSocket(server, path, {
      mode: 0o600,
      owner: undefined,
      group: undefined,
      backlog: 64,
    });
  } catch (error) {
    if (!(error instanceof SettingError && error.code === "ERR_POSTERN_SOCKET_IN_USE")) throw error;
    const name = basename(path, ".sock");
    const holder = escapeControls(holderOfUnixSocket(path));
    throw new SettingError(
      error.code,
      holder === ""
        ? `another manager named ${name} runs or starts (${error.message}); give this one another name with --name`
        : `another manager named ${name} runs${holder}; give this one another name with --name, or stop that one: postern stop ${name}`,
      { cause: error },
    );
  }
}

function makeServer(commands: Commands, logger: Logger, limits: ControlLimits): HttpServer {
  const server = createServer({
    maxHeaderSize: limits.maxHeadBytes,
    requestTimeout: limits.requestTimeoutMs,
    headersTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, limits.requestTimeoutMs),
    keepAliveTimeout: limits.requestTimeoutMs,
  });
  server.maxConnections = limits.maxConnections;
  server.on("request", (request, response) => {
    // A response that cannot be written any more says so with an event; who left has no use for the answer.
    response.on("error", () => {});
    void respond(commands, request, limits).then(
      (answer) => send(response, answer, limits),
      (error: unknown) => {
        if (error instanceof Gone) return;
        logger.error(
          { error, path: request.url },
          "a command of the control socket failed: a bug in Postern",
        );
        send(
          response,
          failure(500, "the command failed by a bug in Postern; the manager's log has it"),
          limits,
        );
      },
    );
  });
  server.on("checkExpectation", (_request, response) => {
    send(response, failure(417, "there is nothing here that could be expected but 100-continue"), limits);
  });
  server.on("clientError", refuseGarbage);
  return server;
}

/** The client has left before its request was complete. */
class Gone extends Error {}

async function respond(commands: Commands, request: IncomingMessage, limits: ControlLimits): Promise<Answer> {
  if (request.headers.origin !== undefined) {
    return failure(403, "requests of web pages are refused; take the Origin header away");
  }
  const { method = "", url = "" } = request;
  try {
    return await answerRequest(commands, method, url, () => readJson(request, limits.maxBodyBytes));
  } catch (error) {
    if (error instanceof Refused) return failure(error.status, error.message);
    throw error;
  }
}

/** A body that is not taken. */
class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The body as JSON; an empty one is an empty object. */
async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const text = (await readBody(request, maxBytes)).toString();
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Refused(400, `the body is not JSON: ${escapeControls((error as Error).message)}`);
  }
}

/** Not `for await`: that would destroy the connection when the body is refused, and the answer with it. */
function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on("data", (piece: Buffer) => {
      length += piece.length;
      if (length <= maxBytes) pieces.push(piece);
      else reject(new Refused(413, `the body has more than ${maxBytes} bytes`));
    });
    request.on("end", () => resolve(Buffer.concat(pieces)));
    request.on("error", () => {});
    request.on("close", () => reject(new Gone()));
  });
}

function send(
  response: ServerResponse,
  answer: Answer & { readonly allow?: string },
  limits: ControlLimits,
): void {
  if (response.destroyed || response.headersSent) return;
  const { contentType = "application/json" } = answer;
  const text = answer.contentType === undefined ? `${JSON.stringify(answer.body)}\n` : String(answer.body);
  // Who does not take its answer holds one of few connections.
  response.setTimeout(limits.requestTimeoutMs, () => response.destroy());
  response.writeHead(answer.status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(answer.allow !== undefined && { allow: answer.allow }),
    connection: "close",
  });
  response.end(text);
}

/** What did not get as far as a request. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, message] = garbage(error.code);
  const text = `${JSON.stringify({ ok: false, message })}\n`;
  const head = `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n`;
  socket.end(head + text, () => socket.destroy());
}

function garbage(code: string | undefined): readonly [number, string, string] {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return [431, "Request Header Fields Too Large", "the head of the request is too long"];
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, "Request Timeout", "the request did not come in time"];
    default:
      return [400, "Bad Request", "this is not an HTTP request"];
  }
}

async function close(server: HttpServer, remove: () => void, graceMs: number): Promise<void> {
  remove();
  if (!server.listening) return;
  const closed = new Promise<void>((done) => server.close(() => done()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

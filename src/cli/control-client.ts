/** HTTP to a control socket: one request, one answer in JSON, and a deadline. It knows no command. */
import { type IncomingMessage, request } from "../base/node-http.ts";

/** A snapshot with as many workers and requests as there can be is far below. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface ControlAnswer {
  readonly status: number;
  /** What was parsed; not checked. */
  readonly body: unknown;
}

/** No answer; `code` is the system's, or one of these two. */
export class ControlError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface ControlCall {
  readonly method?: "GET" | "POST";
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** For the whole of it. */
  readonly timeoutMs: number;
}

/** Asks the manager at the socket `file`. @throws {ControlError} */
export function askControl(file: string, call: ControlCall): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    const text = call.body === undefined ? "" : JSON.stringify(call.body);
    const message = request({
      socketPath: file,
      method: call.method ?? "GET",
      path: call.path,
      agent: false,
      headers: { host: "localhost", connection: "close", ...(text !== "" && jsonHeaders(text)) },
    });
    const timer = setTimeout(() => {
      message.destroy(new ControlError("TIMEOUT", `no answer within ${call.timeoutMs / 1000} s`));
    }, call.timeoutMs);
    const fail = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      reject(
        error instanceof ControlError
          ? error
          : new ControlError(error.code ?? "FAILED", error.message, { cause: error }),
      );
      message.destroy();
    };
    message.on("error", fail);
    message.on("response", (response) => {
      readAnswer(response).then((answer) => {
        clearTimeout(timer);
        resolve(answer);
      }, fail);
    });
    message.end(text);
  });
}

function jsonHeaders(text: string): Record<string, string | number> {
  return { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
}

async function readAnswer(response: IncomingMessage): Promise<ControlAnswer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) throw new ControlError("FOREIGN", "the answer is too long");
    pieces.push(piece);
  }
  try {
    return {
      status: response.statusCode ?? 0,
      body: JSON.parse(Buffer.concat(pieces).toString()) as unknown,
    };
  } catch (error) {
    throw new ControlError("FOREIGN", "the answer is not JSON", { cause: error });
  }
}

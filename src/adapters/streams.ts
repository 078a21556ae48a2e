/** Node streams over the parts of an exchange, for the adapters that do not bring their own. */
import { Readable, Writable } from "node:stream";
import { escapeControls } from "../base/text.ts";
import type { Exchange } from "../server/exchange.ts";
import type { Input } from "../server/input.ts";

/** An input stream as a Readable with back-pressure. */
export function inputStream(input: Input): Readable {
  const stream = new Readable({
    read: () => input.resume(),
    destroy: (error, callback) => {
      input.pause();
      callback(error);
    },
  });
  // Readers hear of a failure. Without one it must not end the process: clients leave at any time.
  stream.on("error", () => {});
  input.attach({
    onPiece: (piece) => {
      if (!stream.push(piece)) input.pause();
    },
    onEnd: () => stream.push(null),
    onFail: (error) => stream.destroy(error),
  });
  return stream;
}

/**
 * The web server's error log. Ends with the request; line ends pass, other control characters are escaped. HAProxy 2
 * dies of a STDERR record that comes by itself, with every visitor it has: there the lines go to the log of Postern.
 */
export function stderrStream(exchange: Exchange): Writable {
  const isDeadly = exchange.params.get("SERVER_SOFTWARE")?.startsWith("HAProxy 2.") === true;
  return new Writable({
    decodeStrings: false,
    write: (chunk: Buffer | string, _encoding, callback) => {
      const lines = String(chunk)
        .split("\n")
        .map((line) => escapeControls(line.replace(/\r$/, "")));
      if (isDeadly) for (const line of lines.filter(Boolean)) exchange.log("info", line, {});
      else exchange.sendStderr(lines.join("\n"));
      if (exchange.isCongested) exchange.afterFlush(() => callback());
      else callback();
    },
  });
}

/** A signal that aborts with the exchange. */
export function abortSignal(exchange: Exchange): AbortSignal {
  const controller = new AbortController();
  exchange.whenAborted((error) => controller.abort(asAbortError(error)));
  return controller.signal;
}

/** Why a request was given up, as interfaces of the web say it: an AbortError or TimeoutError, which has the cause. */
export function asAbortError(error: Error): DOMException {
  const isLate = (error as { code?: unknown }).code === "ERR_POSTERN_REQUEST_TIMEOUT";
  const shown = new DOMException(error.message, isLate ? "TimeoutError" : "AbortError");
  return Object.defineProperty(shown, "cause", { value: error, configurable: true, writable: true });
}

/** A failed input as the application sees it. */
export function asSeen(error: Error, exchange: Exchange): Error {
  return error === exchange.abortError ? asAbortError(error) : error;
}

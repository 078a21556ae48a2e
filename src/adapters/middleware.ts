/**
 * Middleware, `(req, res, next) => void`, in the place of an application: what is called when it passes a request on.
 * SvelteKit's and React Router's handlers are such functions, and so is a router without its app.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "../base/node-http.ts";
import { errorPage } from "../cgi/error-page.ts";

export type NodeMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown;

/** The third parameter of a function by its name, as its author wrote it. */
const THIRD_IS_NEXT = /^(?:async\b)?\s*(?:function\b[^(]*|[\w$]+)?\s*\(?\s*[\w$]+\s*,\s*[\w$]+\s*,\s*next\b/;

/**
 * Whether a function is middleware: a third parameter, called `next`. The number of parameters alone says nothing: the
 * third of Next.js's handler is a parsed URL. Applications of Express and connect look the same, but they answer
 * what nobody took themselves: those can listen.
 */
export function isMiddleware(listener: (...parameters: never[]) => unknown): boolean {
  if (listener.length < 3 || "listen" in listener) return false;
  return THIRD_IS_NEXT.test(Function.prototype.toString.call(listener));
}

/** A listener of it: what it passes on is not found, what it passes on with an error has failed. */
export function withNext(
  middleware: NodeMiddleware,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return (request, response) =>
    new Promise((resolve, reject) => {
      const next = (error?: unknown): void => {
        if (error !== undefined && error !== null) reject(error as Error);
        else notFound(response);
        resolve();
      };
      Promise.resolve(middleware(request, response, next)).catch(reject);
    });
}

function notFound(response: ServerResponse): void {
  if (response.headersSent) return;
  const { body } = errorPage(404, STATUS_CODES[404] as string);
  response.statusCode = 404;
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(body);
}

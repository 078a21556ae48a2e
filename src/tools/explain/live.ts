/**
 * The live form: a FastCGI application that answers every request with its own explanation. Parameters tell how a web
 * server is set up, so only visitors on this machine get them, unless the operator says otherwise.
 */
import { serializeHead } from "../../cgi/response-head.ts";
import type { Exchange } from "../../server/exchange.ts";
import type { ServerOptions } from "../../server/options.ts";
import { Server } from "../../server/server.ts";
import type { Rules } from "./decisions.ts";
import { type Explanation, explain } from "./explanation.ts";
import { explanationPage } from "./page.ts";
import { explanationJson, explanationText } from "./text.ts";

export interface LiveOptions {
  readonly server: ServerOptions;
  readonly rules: Rules;
  readonly withSecrets: boolean;
  /** Answer visitors of any address. */
  readonly forAnyClient: boolean;
  readonly onRequest: (explanation: Explanation) => void;
}

const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

/** @returns the server, listening; what it cannot listen on is thrown as of any server */
export async function explainLive(options: LiveOptions): Promise<Server> {
  const server = new Server((exchange) => answer(exchange, options), options.server);
  await server.listen();
  return server;
}

function answer(exchange: Exchange, options: LiveOptions): void {
  const explanation = explain([...exchange.params], options.rules);
  options.onRequest(explanation);
  const address = exchange.params.get("REMOTE_ADDR");
  if (!options.forAnyClient && (address === undefined || !LOOPBACK.test(address))) {
    const text = `Only visitors on the web server's own machine are told more; you come from ${address ?? "an address it does not say"}. --any-client changes that.\n`;
    respond(exchange, 403, "text/plain; charset=utf-8", text);
    return;
  }
  const accept = exchange.params.get("HTTP_ACCEPT") ?? "";
  if (accept.includes("application/json")) {
    const json = `${JSON.stringify(explanationJson(explanation, options), undefined, 2)}\n`;
    respond(exchange, 200, "application/json", json);
  } else if (accept.includes("text/html")) {
    respond(exchange, 200, "text/html; charset=utf-8", explanationPage(explanation, options));
  } else {
    respond(exchange, 200, "text/plain; charset=utf-8", explanationText(explanation, options));
  }
}

function respond(exchange: Exchange, status: number, type: string, text: string): void {
  const bytes = Buffer.from(text);
  const head = serializeHead(status, status === 200 ? "OK" : "Forbidden", [
    "Content-Type",
    type,
    "Content-Length",
    String(bytes.length),
    "Cache-Control",
    "no-store",
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options",
    "nosniff",
  ]);
  exchange.sendHead(head);
  if (exchange.params.get("REQUEST_METHOD") !== "HEAD") exchange.sendBytes(bytes);
  exchange.end();
}

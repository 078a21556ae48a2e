/** A lane that speaks HTTP/1.1, to a web server in front of the application or to any other. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as requestHttp,
} from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { hasNoBody } from "../../cgi/response-head.ts";
import { connectFault, type Exchange, type FaultKind, type Shot } from "./exchange.ts";
import type { Lane } from "./lane.ts";

export interface HttpLaneOptions {
  readonly url: URL;
  readonly shot: Shot;
  readonly keepsConnection: boolean;
  /** Accept any certificate: a benchmark of one's own server. */
  readonly isInsecure: boolean;
}

export class HttpLane implements Lane {
  readonly room = 1;
  readonly #options: HttpLaneOptions;
  readonly #agent: HttpAgent;
  #request: ClientRequest | undefined = undefined;
  #exchange: Exchange | undefined = undefined;

  constructor(options: HttpLaneOptions) {
    this.#options = options;
    const settings = { keepAlive: options.keepsConnection, maxSockets: 1 };
    this.#agent =
      options.url.protocol === "https:"
        ? new HttpsAgent({ ...settings, rejectUnauthorized: !options.isInsecure })
        : new HttpAgent(settings);
  }

  send(exchange: Exchange): void {
    const { url, shot } = this.#options;
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const headers =
      shot.body === undefined ? shot.headers : [...shot.headers, "Content-Length", shot.body.length];
    const request = send({
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port,
      method: shot.method,
      path: shot.target,
      headers: headers as string[],
      agent: this.#agent,
    });
    this.#request = request;
    this.#exchange = exchange;
    let isConnected = false;
    request.on("socket", (socket) => {
      isConnected = !socket.connecting;
      if (!isConnected) socket.once("connect", () => (isConnected = true));
    });
    request.on("response", (response) => answer(exchange, shot.method, response));
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (isConnected) exchange.fail(kindOf(error), error.code ?? error.message);
      else exchange.fail("connect", connectFault(error, false));
    });
    request.end(shot.body);
  }

  cut(kind: FaultKind, says: string): void {
    this.#exchange?.fail(kind, says);
    this.#request?.destroy();
  }

  close(): void {
    this.cut("closed", "the load has ended");
    this.#agent.destroy();
  }
}

function answer(exchange: Exchange, method: string, response: IncomingMessage): void {
  exchange.firstByteAt = performance.now();
  exchange.status = response.statusCode ?? 0;
  const length = response.headers["content-length"];
  const isBodyless = hasNoBody(method, exchange.status);
  response.on("data", (chunk: Buffer) => exchange.take(chunk, 0, chunk.length));
  response.on("end", () => {
    if (!response.complete) exchange.fail("closed", "the answer was cut");
    // In a turn of its own: the agent has its socket back by then.
    else
      setImmediate(() =>
        exchange.succeed(isBodyless || length === undefined ? undefined : Number(length), 0),
      );
  });
  response.on("error", (error) => exchange.fail("closed", error.message));
}

function kindOf(error: NodeJS.ErrnoException): FaultKind {
  return error.code?.startsWith("HPE_") ? "protocol" : "closed";
}

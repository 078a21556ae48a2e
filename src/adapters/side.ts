/**
 * The FastCGI side of a request, for applications that want more than HTTP shows: `fastcgi(req)`.
 */
import type { Readable, Writable } from "node:stream";
import { UsageError } from "../base/errors.ts";
import { type GatewayFacts, gatewayFacts } from "../cgi/gateway-facts.ts";
import { Role } from "../protocol/records.ts";
import type { Exchange } from "../server/exchange.ts";
import { abortSignal, inputStream, stderrStream } from "./streams.ts";

export type { ClientCertificate } from "../cgi/client-certificate.ts";
export type { GatewayFacts, TlsConnection } from "../cgi/gateway-facts.ts";

/** `responder` answers, `authorizer` decides, `filter` gets a file's content too. FastCGI 1.0 §6. */
export type RoleName = "responder" | "authorizer" | "filter";

/** CGI variables by name. Has no prototype, so a variable may be called anything; frozen. */
export type CgiParams = Readonly<Record<string, string | undefined>>;

/** One request as FastCGI has it. */
export class FastCGISide {
  readonly #exchange: Exchange;
  #params: CgiParams | undefined = undefined;
  #rawParams: readonly string[] | undefined = undefined;
  #gateway: GatewayFacts | undefined = undefined;
  #stderr: Writable | undefined = undefined;
  #data: Readable | undefined = undefined;
  #signal: AbortSignal | undefined = undefined;

  /** @internal */
  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /**
   * Every CGI variable as the web server sent it, read-only; of one sent more than once the last. Values are latin1: one
   * character is one byte. `HTTP_*` is what the client said, the rest what the web server says.
   */
  get params(): CgiParams {
    this.#params ??= Object.freeze(this.#exchange.params.toObject());
    return this.#params;
  }
  /** The same as it came: name, value, name, value in the order of the wire, duplicates included. */
  get rawParams(): readonly string[] {
    this.#rawParams ??= Object.freeze([...this.#exchange.params].flat());
    return this.#rawParams;
  }
  get role(): RoleName {
    const { role } = this.#exchange;
    return role === Role.Responder ? "responder" : role === Role.Authorizer ? "authorizer" : "filter";
  }
  /** The id of the request on its connection, 1..65535; not unique. */
  get requestId(): number {
    return this.#exchange.requestId;
  }
  /** The name of this request in Postern's log. */
  get id(): string {
    return this.#exchange.id;
  }
  /** The mount, `""` or `"/x"`, as the public URL has it. */
  get base(): string {
    return this.#exchange.target.base;
  }
  /** What the web server vouches for, by name and with types. */
  get gateway(): GatewayFacts {
    this.#gateway ??= gatewayFacts(this.#exchange.client, this.#exchange.params);
    return this.#gateway;
  }
  /** The web server's error log, while the request is open. Control characters are escaped. */
  get stderr(): Writable {
    this.#stderr ??= stderrStream(this.#exchange);
    return this.#stderr;
  }
  /** The file to filter (FCGI_DATA); undefined in other roles. */
  get data(): Readable | undefined {
    const { data } = this.#exchange;
    if (data !== undefined) this.#data ??= inputStream(data);
    return this.#data;
  }
  /** Aborts when the web server gives up on the request or its connection is lost. */
  get signal(): AbortSignal {
    this.#signal ??= abortSignal(this.#exchange);
    return this.#signal;
  }
  /** What END_REQUEST will report, as a program's exit code; web servers only log it. @default 0 */
  get appStatus(): number {
    return this.#exchange.appStatus;
  }
  set appStatus(status: number) {
    this.#exchange.appStatus = status;
  }
}

// Registered, because the command and the application may have a copy of the package each.
const EXCHANGE = Symbol.for("postern.exchange");
const SIDE = Symbol.for("postern.side");

interface Marked {
  [EXCHANGE]?: Exchange;
  [SIDE]?: FastCGISide;
}

/** Lets {@link fastcgi} find the exchange of a request. */
export function remember(request: object, exchange: Exchange): void {
  (request as Marked)[EXCHANGE] = exchange;
}

/** The FastCGI side of a request, if Postern made the request. */
function findSide(request: object): FastCGISide | undefined {
  const marked = request as Marked;
  const exchange = marked[EXCHANGE];
  if (exchange === undefined) return undefined;
  marked[SIDE] ??= new FastCGISide(exchange);
  return marked[SIDE];
}

/**
 * The FastCGI side of a request: a Node request, a fetch Request, or what a framework wraps around one (`raw` in
 * Fastify, `req` in Koa's context, `req.raw` in Hono's).
 * @throws {UsageError} ERR_POSTERN_NOT_SERVED_BY_POSTERN
 */
export function fastcgi(request: object): FastCGISide {
  const wrapped = request as { raw?: unknown; req?: unknown; request?: unknown };
  for (const candidate of [request, wrapped.raw, wrapped.req, wrapped.request]) {
    if (typeof candidate !== "object" || candidate === null) continue;
    const side = findSide(candidate) ?? findSide((candidate as { raw?: object }).raw ?? {});
    if (side !== undefined) return side;
  }
  throw new UsageError(
    "ERR_POSTERN_NOT_SERVED_BY_POSTERN",
    "fastcgi(request): this request was not made by Postern; it has no FastCGI side (is the application running under node:http?)",
  );
}

/** Recognises what an application is and makes the one handler that serves it. */
import { Server as HttpServer } from "node:http";
import { AppError, UsageError } from "../base/errors.ts";
import { errorPage } from "../cgi/error-page.ts";
import { Role } from "../protocol/records.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { type FetchApplication, fetchHandler } from "./fetch.ts";
import { httpServerHandler, type NodeListener, nodeHandler } from "./node.ts";
import { type RawHandler, rawHandler } from "./raw.ts";

/** Handlers by FastCGI role. A role without a handler is answered 500, and the log says which is missing. */
export interface RoleHandlers {
  /** Any application form. */
  responder?: Exclude<Application, RoleHandlers>;
  authorizer?: RawHandler;
  filter?: RawHandler;
}

/**
 * Everything that can be served:
 *
 * - a Node listener `(req, res) => …`: Express, connect, Koa's `callback()`, Fastify's `routing`, …
 * - an object with `fetch(request, context)`: Hono, h3, `export default { fetch }`, …
 * - an `http.Server` made with its application
 * - `{ raw(request, response) }`: a program at protocol level
 * - `{ responder, authorizer, filter }`: FastCGI roles
 */
export type Application = NodeListener | FetchApplication | HttpServer | { raw: RawHandler } | RoleHandlers;

/** The handler that serves an application. @throws {UsageError} ERR_POSTERN_BAD_APP */
export function handlerFor(application: unknown): Handler {
  const { responder, authorizer, filter } = (application ?? {}) as RoleHandlers;
  if (typeof application === "object" && (responder ?? authorizer ?? filter) !== undefined) {
    return roleHandler(
      responder === undefined ? undefined : responderFor(responder),
      raw("authorizer", authorizer),
      raw("filter", filter),
    );
  }
  return roleHandler(responderFor(application), undefined, undefined);
}

function raw(role: string, handler: RawHandler | undefined): Handler | undefined {
  if (handler === undefined) return undefined;
  if (typeof handler === "function") return rawHandler(handler);
  throw new UsageError(
    "ERR_POSTERN_BAD_APP",
    `${role} is ${describe(handler)}, it must be a function (request, response)`,
  );
}

function responderFor(application: unknown): Handler {
  if (application instanceof HttpServer) return httpServerHandler(application);
  const object = application as { fetch?: unknown; raw?: unknown } | null | undefined;
  // Express applications are functions; so is Hono's fetch when it is passed on its own, which nothing can tell.
  if (typeof application === "function" && typeof object?.fetch !== "function") {
    if (isClass(application)) throw wrongExport(application);
    return nodeHandler(application as NodeListener);
  }
  if (typeof object?.fetch === "function") return fetchHandler(application as FetchApplication);
  if (typeof object?.raw === "function") return rawHandler(object.raw as RawHandler);
  throw wrongExport(application);
}

function wrongExport(application: unknown): UsageError {
  const [what, remedy] = recognise(application);
  return new UsageError("ERR_POSTERN_BAD_APP", `the application is ${what}; ${remedy}`);
}

const FORMS =
  "serve takes (req, res) => …, { fetch }, an http.Server, { raw }, or { responder, authorizer, filter }";

/** What was given instead of an application, and what to do. */
function recognise(value: unknown): readonly [what: string, remedy: string] {
  const has = (name: string, type: string): boolean =>
    typeof (Object(value) as Readonly<Record<string, unknown>>)[name] === type;
  if (value === undefined) return ["undefined", `nothing was exported, or under another name; ${FORMS}`];
  if (isClass(value)) {
    const { name } = value as { name?: unknown };
    const what = typeof name === "string" && name !== "" ? `the class ${name}` : "a class";
    return [what, `make an instance of it, if that is an application; ${FORMS}`];
  }
  if (has("callback", "function") && has("middleware", "object")) {
    return ["a Koa instance", "export app.callback()"];
  }
  if (has("routing", "function") && has("ready", "function")) {
    return ["a Fastify instance", "await app.ready() and export app.routing"];
  }
  if (has("then", "function")) return ["a promise", "await it first"];
  return [describe(value), FORMS];
}

function isClass(value: unknown): boolean {
  return typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
}

function roleHandler(
  responder: Handler | undefined,
  authorizer: Handler | undefined,
  filter: Handler | undefined,
): Handler {
  return (exchange: Exchange): void => {
    const { role } = exchange;
    const handler = role === Role.Responder ? responder : role === Role.Authorizer ? authorizer : filter;
    if (handler !== undefined) handler(exchange);
    else
      refuseRole(
        exchange,
        role === Role.Responder ? "responder" : role === Role.Authorizer ? "authorizer" : "filter",
      );
  };
}

/** Never lets an authorizer request pass: every web server takes a status other than 200 as a no. */
function refuseRole(exchange: Exchange, role: string): void {
  const error = new AppError(
    "ERR_POSTERN_BAD_APP",
    `the application has no ${role} handler: serve({ ${role}(request, response) { … } })`,
  );
  exchange.log("error", error.message);
  const page = errorPage(500, "Internal Server Error");
  exchange.sendStderr(`${error.message}\n`);
  exchange.respond(page.head, page.body, 1);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const keys = Object.keys(value).slice(0, 5);
  return keys.length === 0 ? "an empty object" : `an object with ${keys.join(", ")}`;
}

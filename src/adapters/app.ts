/**
 * Recognises what an application is and makes the one handler that serves it. What frameworks hand over is in
 * frameworks.ts.
 */

import { AppError, UsageError } from "../base/errors.ts";
import { HttpServer } from "../base/node-http.ts";
import { errorPage } from "../cgi/error-page.ts";
import { Role } from "../protocol/records.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import { type FetchApplication, fetchHandler } from "./fetch.ts";
import { type FrameworkApplication, findFramework, hasMember, isH3Of1, isPromise } from "./frameworks.ts";
import { isMiddleware, type NodeMiddleware, withNext } from "./middleware.ts";
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
 * - a Node listener `(req, res) => …`: Express, connect, any framework's `handler`; with a third parameter of the name `next`, too
 * - an object with `fetch(request, context)`: Hono, h3, Elysia, `export default { fetch }`, …
 * - an `http.Server` made with its application
 * - the object of a framework: Koa, Fastify, NestJS, hapi, Next.js, polka, …
 * - `{ raw(request, response) }`: a program at protocol level
 * - `{ responder, authorizer, filter }`: FastCGI roles
 */
export type Application =
  | NodeMiddleware // listeners are, too; with both here, TypeScript would infer the parameters of neither
  | FetchApplication
  | HttpServer
  | FrameworkApplication
  | { raw: RawHandler }
  | RoleHandlers;

/**
 * Makes an application ready to be served, as its framework wants it: Fastify's `await app.ready()`, NestJS's
 * `await app.init()`. What {@link handlerFor} takes comes back, or a promise of it.
 * @throws {AppError} (as a rejection) ERR_POSTERN_APP_LOAD: the framework could not
 */
export function prepareApplication(application: unknown): unknown {
  if (isRoles(application)) {
    const responder = prepareApplication(application.responder);
    if (responder === application.responder) return application;
    const { authorizer, filter } = application;
    const roles = (prepared: unknown): object => ({ responder: prepared, authorizer, filter });
    return isPromise(responder) ? responder.then(roles) : roles(responder);
  }
  const framework = findFramework(application);
  if (framework !== undefined) {
    const prepared = framework.prepare(application as never);
    if (!isPromise(prepared)) return prepared;
    return prepared.then(prepareApplication, (cause: unknown) => {
      throw notReady(framework.name, framework.step, cause);
    });
  }
  if (isPromise(application)) return application.then(prepareApplication);
  return application;
}

/** An application and what is known of its preparation. */
export interface HostedApplication {
  readonly handler: Handler;
  /** Rejects when it cannot be served. Undefined when there was nothing to wait for. */
  readonly ready: Promise<void> | undefined;
}

/**
 * Prepares an application and serves it: what takes a while lets requests wait, and what fails answers them with 500.
 * @throws {UsageError} ERR_POSTERN_BAD_APP
 */
export function hostApplication(application: unknown): HostedApplication {
  const prepared = prepareApplication(application);
  return isPromise(prepared) ? hostLater(prepared) : { handler: preparedHandler(prepared), ready: undefined };
}

/** The handler that serves an application. @throws {UsageError} ERR_POSTERN_BAD_APP */
export function handlerFor(application: unknown): Handler {
  return hostApplication(application).handler;
}

function preparedHandler(application: unknown): Handler {
  if (!isRoles(application)) return roleHandler(responderFor(application), undefined, undefined);
  const { responder, authorizer, filter } = application;
  return roleHandler(
    responder === undefined ? undefined : responderFor(responder),
    raw("authorizer", authorizer),
    raw("filter", filter),
  );
}

/** Keeps requests until there is something to serve them. */
function hostLater(pending: Promise<unknown>): HostedApplication {
  const waiting: Exchange[] = [];
  let handler: Handler = (exchange) => waiting.push(exchange);
  const begin = (next: Handler): void => {
    handler = next;
    for (const exchange of waiting.splice(0)) {
      if (exchange.isEnded) continue;
      try {
        next(exchange);
      } catch (error) {
        exchange.fail(error);
      }
    }
  };
  const ready = pending.then(preparedHandler).then(begin);
  ready.catch(() => begin(refuseUnprepared));
  return { handler: (exchange) => handler(exchange), ready };
}

/** Why, is told once, to whoever waits for the application to be ready. */
function refuseUnprepared(exchange: Exchange): void {
  exchange.sendStderr("the application could not be started\n");
  const page = errorPage(500, "Internal Server Error");
  exchange.respond(page.head, page.body, 1);
}

function isRoles(application: unknown): application is RoleHandlers {
  if (typeof application !== "object" || application === null) return false;
  const roles = application as RoleHandlers;
  return ["responder", "authorizer", "filter"].some(
    (role) => role in roles && roles[role as keyof RoleHandlers] !== undefined,
  );
}

function notReady(name: string, step: string | undefined, cause: unknown): AppError {
  const reason = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
  return new AppError("ERR_POSTERN_APP_LOAD", `${name} could not be started: ${step} failed\n${reason}`, {
    cause,
  });
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
  if (hasMember(application, "fetch", "function")) return fetchHandler(application as FetchApplication);
  // Express applications are functions; so is Hono's fetch when it is passed on its own, which nothing can tell.
  if (typeof application === "function") {
    if (isClass(application)) throw wrongExport(application);
    const listener = application as NodeListener;
    return nodeHandler(isMiddleware(listener) ? withNext(listener as NodeMiddleware) : listener);
  }
  if (hasMember(application, "raw", "function")) return rawHandler((application as { raw: RawHandler }).raw);
  throw wrongExport(application);
}

function wrongExport(application: unknown): UsageError {
  const [what, remedy] = recognise(application);
  return new UsageError("ERR_POSTERN_BAD_APP", `the application is ${what}; ${remedy}`);
}

const FORMS =
  "serve takes (req, res) => …, { fetch }, an http.Server, a framework's object, { raw }, or { responder, authorizer, filter }";

/** What was given instead of an application, and what to do. */
function recognise(value: unknown): readonly [what: string, remedy: string] {
  if (value === undefined) return ["undefined", `nothing was exported, or under another name; ${FORMS}`];
  if (isClass(value)) {
    const { name } = value as { name?: unknown };
    const what = typeof name === "string" && name !== "" ? `the class ${name}` : "a class";
    return [what, `make an instance of it, if that is an application; ${FORMS}`];
  }
  if (isH3Of1(value)) return ["an h3 1 app", "export toNodeListener(app)"];
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

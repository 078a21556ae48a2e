/**
 * What frameworks hand over: their own objects, how each is recognised, and what is made of it before it can be
 * served. One entry per framework, asked in this order; it runs at start-up only.
 *
 * Recognised by members and not by class, since the application has a copy of its framework that is not ours. Members
 * are looked for with `in`: itty-router's routers are proxies that have a function for every name.
 */
import { HttpServer, type IncomingMessage, type ServerResponse } from "../base/node-http.ts";
import { isMiddleware, type NodeMiddleware, withNext } from "./middleware.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Koa. */
export interface KoaApplication {
  callback(): Listener;
  readonly middleware: readonly unknown[];
}

/** Fastify, and what is made like it. */
export interface FastifyApplication {
  ready(): PromiseLike<unknown>;
  routing(request: IncomingMessage, response: ServerResponse): unknown;
  readonly server: unknown;
}

/** What `NestFactory.create` resolves to, on any platform. */
export interface NestApplication {
  init(): PromiseLike<unknown>;
  getHttpAdapter(): { getInstance(): unknown };
  getHttpServer(): unknown;
}

/** hapi's server. */
export interface HapiServer {
  initialize(): PromiseLike<unknown>;
  readonly listener: HttpServer;
}

/** What `next({ … })` of Next.js returns. */
export interface NextApplication {
  prepare(): PromiseLike<unknown>;
  getRequestHandler(): Listener;
}

/** An object around an `http.Server`, such as restify's. */
export interface ServerHolder {
  readonly server: HttpServer;
}

/**
 * An object or module with a Node listener under one of the usual names: polka, restana, the `handler` that
 * SvelteKit and Astro build, the `listener` or `middleware` of Nitro.
 */
export type ListenerHolder =
  | { handler(request: IncomingMessage, response: ServerResponse, ...more: never[]): unknown }
  | { listener(request: IncomingMessage, response: ServerResponse, ...more: never[]): unknown }
  | { middleware(request: IncomingMessage, response: ServerResponse, ...more: never[]): unknown }
  | { handle(request: IncomingMessage, response: ServerResponse, ...more: never[]): unknown };

/** Objects of frameworks that are no listener, no `{ fetch }` and no http.Server themselves. */
export type FrameworkApplication =
  | KoaApplication
  | FastifyApplication
  | NestApplication
  | HapiServer
  | NextApplication
  | ServerHolder
  | ListenerHolder;

interface Framework {
  /** For messages. */
  readonly name: string;
  /** The members it is recognised by, and what `typeof` says of each. */
  readonly members: Readonly<Record<string, "function" | "object">>;
  /** What members alone do not tell. */
  readonly is?: (application: object) => boolean;
  /** What is awaited in `prepare`, for the message when it fails. */
  readonly step?: string;
  /** What can be served, perhaps after a while: a listener, an http.Server or another framework's object. */
  readonly prepare: (application: never) => unknown;
}

const FRAMEWORKS: readonly Framework[] = [
  {
    // First: its object passes names that it does not know on to the framework below.
    name: "NestJS",
    members: { getHttpAdapter: "function", getHttpServer: "function", init: "function" },
    step: "app.init()",
    async prepare(app: NestApplication) {
      await app.init();
      const instance = app.getHttpAdapter().getInstance();
      if (hasMember(instance, "ready", "function")) await (instance as FastifyApplication).ready();
      const server = app.getHttpServer();
      return server instanceof HttpServer ? server : instance;
    },
  },
  {
    name: "Fastify",
    members: { routing: "function", ready: "function" },
    step: "app.ready()",
    async prepare(app: FastifyApplication) {
      await app.ready();
      return app.server instanceof HttpServer ? app.server : app.routing;
    },
  },
  {
    name: "Koa",
    members: { callback: "function", middleware: "object" },
    prepare: (app: KoaApplication) => app.callback(),
  },
  {
    name: "hapi",
    members: { initialize: "function", listener: "object" },
    is: (app) => (app as HapiServer).listener instanceof HttpServer,
    step: "server.initialize()",
    async prepare(server: HapiServer) {
      await server.initialize();
      return server.listener;
    },
  },
  {
    name: "Next.js",
    members: { getRequestHandler: "function", prepare: "function" },
    step: "app.prepare()",
    async prepare(app: NextApplication) {
      await app.prepare();
      return app.getRequestHandler();
    },
  },
  {
    // Looking at its `fetch` compiles its routes: not before those of lazy modules are there.
    name: "Elysia",
    members: { handle: "function", modules: "object" },
    step: "app.modules",
    async prepare(app: { readonly modules: PromiseLike<unknown>; readonly fetch: unknown }) {
      await app.modules;
      return { fetch: app.fetch };
    },
  },
  {
    // An await would take it for a promise: it has a function for every name, `then` included.
    name: "itty-router",
    members: { fetch: "function" },
    is: (app) => !("then" in app) && typeof (app as { then?: unknown }).then === "function",
    prepare: (app: { fetch(...given: unknown[]): unknown }) => ({ fetch: app.fetch.bind(app) }),
  },
  {
    name: "an object around an http.Server",
    members: { server: "object" },
    is: (app) => !("fetch" in app) && (app as ServerHolder).server instanceof HttpServer,
    prepare: ({ server }: ServerHolder) => server,
  },
  ...["handler", "listener", "middleware", "handle"].map(
    (member): Framework => ({
      name: `an object with ${member}(req, res)`,
      members: { [member]: "function" },
      is: (app) => !("fetch" in app || "raw" in app || isH3Of1(app)),
      prepare: (app: Readonly<Record<string, Listener>>) => bound(app, app[member] as Listener),
    }),
  ),
];

/** The framework that an object is from. */
export function findFramework(application: unknown): Framework | undefined {
  if (typeof application !== "object" || application === null) return undefined;
  return FRAMEWORKS.find(
    ({ members, is }) =>
      Object.entries(members).every(([name, type]) => hasMember(application, name, type)) &&
      is?.(application) !== false,
  );
}

/** Whether it has to be awaited. A Fastify instance looks like a promise, too, until it has been started. */
export function isPromise(value: unknown): value is Promise<unknown> {
  return hasMember(value, "then", "function") && findFramework(value) === undefined;
}

/** Whether an object or function has a member of that type, of its own or inherited. */
export function hasMember(value: unknown, name: string, type: string): boolean {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") return false;
  return name in value && typeof (value as Readonly<Record<string, unknown>>)[name] === type;
}

/** A listener that finds its object in `this`, and gets what it takes. */
function bound(holder: object, listener: Listener): Listener {
  if (isMiddleware(listener)) return withNext(listener.bind(holder) as NodeMiddleware);
  return listener.bind(holder);
}

/** An h3 1 app: its handler takes an event that only its own copy of h3 can make. */
export function isH3Of1(application: unknown): boolean {
  return hasMember(application, "stack", "object") && hasMember(application, "handler", "function");
}

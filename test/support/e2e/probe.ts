/**
 * The application behind the web servers of the end-to-end tests. It says what it sees, as JSON; and a test can put
 * a listener of its own on a path, since it runs in the same process.
 */
import { createHash } from "node:crypto";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import express from "express";
import { type Application, fastcgi } from "../../../src/index.ts";

/** What the application sees of a request. */
export interface Echo {
  readonly method: string;
  readonly url: string;
  readonly baseUrl: string;
  readonly originalUrl: string;
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
  readonly bodyBytes: number;
  readonly bodySha256: string;
  readonly complete: boolean;
  readonly params: Readonly<Record<string, string>>;
}

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface Probe {
  /** The same behaviour in every application form. */
  readonly forms: Readonly<Record<FormName, Application>>;
  /** Puts a listener on a new path, which is returned. */
  route(listener: Listener): string;
}

export type FormName = "express" | "listener" | "httpServer" | "fetch";

export function makeProbe(): Probe {
  const routes = new Map<string, Listener>();
  const listener = (request: IncomingMessage, response: ServerResponse): unknown => {
    const path = (request.url ?? "").replace(/[?].*$/s, "");
    return (routes.get(path) ?? echo)(request, response);
  };
  return {
    forms: {
      express: expressApplication(listener),
      listener,
      httpServer: createHttpServer(listener),
      fetch: { fetch: fetchEcho },
    },
    route(listen) {
      const path = `/route-${routes.size + 1}`;
      routes.set(path, listen);
      return path;
    },
  };
}

function expressApplication(listener: Listener): Application {
  const application = express();
  application.get("/express/cookies", (_request, response) => {
    response
      .cookie("a", "1")
      .cookie("b", "2; 3", { httpOnly: true })
      .cookie("c", "é", { path: "/" })
      .send("set");
  });
  application.get("/express/redirect", (request, response) => {
    response.redirect(303, `${request.baseUrl}/target`);
  });
  application.post("/express/json", express.json(), (request, response) => {
    response.json({ got: request.body });
  });
  application.get("/express/named/:name", (request, response) => {
    response.send(request.params.name);
  });
  application.get("/express/tagged", (_request, response) => {
    response.send("the same every time"); // with an ETag, and 304 when it matches
  });
  application.use(listener);
  return application;
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  let bodyBytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    hash.update(piece);
    bodyBytes += piece.length;
  }
  const { baseUrl, originalUrl } = request as IncomingMessage & { baseUrl: string; originalUrl: string };
  const seen: Echo = {
    method: request.method ?? "",
    url: request.url ?? "",
    baseUrl,
    originalUrl,
    httpVersion: request.httpVersion,
    headers: request.headers as Record<string, string>,
    remoteAddress: request.socket.remoteAddress ?? "",
    bodyBytes,
    bodySha256: hash.digest("hex"),
    complete: request.complete,
    params: fastcgi(request).params as Record<string, string>,
  };
  // What is bytes in a header is bytes in the answer.
  response.setHeader("Content-Type", "application/json; charset=latin1");
  response.end(Buffer.from(JSON.stringify(seen), "latin1"));
}

async function fetchEcho(
  request: Request,
  context: { readonly base: string; readonly params: object },
): Promise<Response> {
  const body = new Uint8Array(await request.arrayBuffer());
  const { pathname, search } = splitUrl(request.url);
  const seen: Omit<Echo, "params"> & { params: object } = {
    method: request.method,
    url: pathname.slice(context.base.length) + search,
    baseUrl: context.base,
    originalUrl: pathname + search,
    httpVersion: "1.1",
    headers: Object.fromEntries(request.headers),
    remoteAddress: (request as Request & { ip: string }).ip,
    bodyBytes: body.length,
    bodySha256: createHash("sha256").update(body).digest("hex"),
    complete: true,
    params: context.params,
  };
  return new Response(Buffer.from(JSON.stringify(seen), "latin1"), {
    headers: { "Content-Type": "application/json" },
  });
}

/** Without the mending that `new URL` would do. */
function splitUrl(url: string): { pathname: string; search: string } {
  const found = /^https?:\/\/[^/]+([^?]*)(.*)$/s.exec(url);
  return { pathname: found?.[1] ?? "", search: found?.[2] ?? "" };
}

/** The routes in every application form: a Node listener, an http.Server, Express, fetch. */
import { createServer as createHttpServer } from "node:http";
import { fastcgi } from "postern";
import { routeOf } from "./routes.js";

export const FORMS = {
  listener: (tools) => listenerOf(tools),
  httpServer: (tools) => createHttpServer(listenerOf(tools)),
  express: async (tools) => {
    const { expressOf } = await import("./express.js");
    return expressOf(listenerOf(tools));
  },
  fetch: (tools) => ({ fetch: (request, context) => answerFetch(request, context, tools) }),
};

/** What all forms note: the request when it comes, and the client that has left before the answer was whole. */
function note({ journal, server }, id, method, url) {
  const { acceptedConnections } = server().stats;
  journal.write("request", { id, method, url, acceptedConnections });
}

function parse(url) {
  const [, path, search] = /^([^?]*)(.*)$/s.exec(url);
  const query = new URLSearchParams(search);
  return { path, query, id: query.get("id") ?? undefined };
}

function listenerOf(tools) {
  const { journal } = tools;
  return async (request, response) => {
    const { path, query, id } = parse(request.url);
    note(tools, id, request.method, request.url);
    let hasLeft = false;
    response.on("close", () => {
      if (response.writableFinished) return;
      hasLeft = true;
      journal.write("left", { id, destroyed: request.destroyed });
    });
    await routeOf(path)({
      query,
      id,
      journal,
      body: request,
      side: fastcgi(request),
      early: (hints) => response.writeEarlyHints(hints),
      hasLeft: () => hasLeft,
      seen: () => ({
        method: request.method,
        url: request.url,
        baseUrl: request.baseUrl,
        originalUrl: request.originalUrl,
        httpVersion: request.httpVersion,
        headers: request.headers,
        remoteAddress: request.socket.remoteAddress,
        complete: request.complete,
        params: fastcgi(request).params,
      }),
      head(status, headers) {
        const values = new Map();
        for (const [name, value] of headers) values.set(name, [...(values.get(name) ?? []), value]);
        for (const [name, list] of values) response.setHeader(name, list.length === 1 ? list[0] : list);
        response.statusCode = status;
      },
      async write(piece) {
        if (response.write(piece) || hasLeft) return;
        await new Promise((resolve) => {
          response.once("drain", resolve);
          response.once("close", resolve);
        });
      },
      async end(piece) {
        response.end(piece);
      },
    });
  };
}

/** What `new URL` would mend stays as it is. */
function splitUrl(url) {
  const [, pathname = "", search = ""] = /^https?:\/\/[^/?]+([^?]*)(.*)$/s.exec(url) ?? [];
  return { pathname, search };
}

function answerFetch(request, context, tools) {
  const { journal } = tools;
  const { pathname, search } = splitUrl(request.url);
  const url = pathname.slice(context.base.length) + search;
  const { path, query, id } = parse(url);
  note(tools, id, request.method, url);
  let hasLeft = false;
  let isWhole = false;
  request.signal.addEventListener("abort", () => {
    hasLeft = true;
    if (!isWhole) journal.write("left", { id, destroyed: true });
  });
  return new Promise((resolve, reject) => {
    let status = 200;
    let headers = [];
    let controller;
    let wanted = withResolvers();
    const begin = () => {
      const stream = new ReadableStream(
        {
          start: (given) => {
            controller = given;
          },
          pull: () => wanted.resolve(),
          cancel: () => {
            if (!hasLeft && !isWhole) journal.write("left", { id, destroyed: true });
            hasLeft = true;
            wanted.resolve();
          },
        },
        { highWaterMark: 0 },
      );
      resolve(new Response(stream, { status, headers }));
    };
    const call = {
      query,
      id,
      journal,
      body: request.body ?? [],
      side: context,
      hasLeft: () => hasLeft,
      seen: () => ({
        method: request.method,
        url,
        baseUrl: context.base,
        originalUrl: pathname + search,
        httpVersion: "1.1",
        headers: Object.fromEntries(request.headers),
        remoteAddress: request.ip,
        complete: true,
        params: context.params,
      }),
      head(code, lines) {
        [status, headers] = [code, lines];
      },
      async write(piece) {
        if (controller === undefined) begin();
        await wanted.promise;
        wanted = withResolvers();
        if (!hasLeft) controller.enqueue(Buffer.from(piece));
      },
      async end(piece = "") {
        isWhole = true;
        if (controller === undefined) {
          const isBare = [101, 204, 205, 304].includes(status);
          resolve(new Response(isBare ? null : piece, { status, headers }));
          return;
        }
        if (hasLeft) return;
        if (piece.length > 0) controller.enqueue(Buffer.from(piece));
        controller.close();
      },
    };
    routeOf(path)(call).catch(reject);
  });
}

/** Promise.withResolvers, which Node 20 has not. */
function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
